// `x-openclaw-deadline-ms`: how long the client itself waits, in milliseconds from the request's head on. It bounds all attempts and all waiting between them, beside
// the route's own time; what is left of it is passed on to `http` upstreams.
import CClaw
import ClawPolicy
import ClawWire

extension Worker {
    /// Takes the deadline from the head in `requestHead`. False when it says nonsense, which is answered.
    func takeDeadline(_ index: UInt32) -> Bool {
        let exchange = exchanges.base + Int(index)
        let name: StaticString = "x-openclaw-deadline-ms"
        var wasThere = false
        for at in 0..<requestHead.fieldCount where requestHead.fields[at].name == .xOpenclaw && Int(requestHead.fields[at].nameLength) == name.utf8CodeUnitCount {
            let field = requestHead.fields[at]
            guard Self.sameName(exchange.pointee.headBase + Int(field.nameOffset), name.utf8Start, name.utf8CodeUnitCount) else { continue }
            let value = UnsafeRawBufferPointer(start: exchange.pointee.headBase + Int(field.valueOffset), count: Int(field.valueLength))
            guard !wasThere, let wait = ClientDeadline.nanoseconds(value) else {
                answerError(index, .badDeadline, detail: "")
                return false
            }
            wasThere = true
            exchange.pointee.clientDeadline = exchange.pointee.startedAt &+ wait
        }
        return true
    }
}
