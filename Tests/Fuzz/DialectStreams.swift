// The stream readers, one per dialect, and behind them every stream writer. The first byte of an input is the dialect's digit:
//
//   0 chat   1 completions   2 responses   3 messages   4 gemini   5 converse   6 cohere   7 ollama   8 ollamaGenerate   9 gemini as an array
//
// and the rest is the body of a stream as it is on the wire; for Converse its lines `type {json}` (an exception's begin with `!`), of which Amazon's frames
// are made here. Checked: in pieces, the same neutral events as whole; an error is the last of them; every event that a writer writes is a JSON object, and
// behind an error it writes nothing.
import ClawDialect
import ClawWire

nonisolated(unsafe) private let list = EventList()
// What a message of a failure shows must be alive by then, so it is not local.
nonisolated(unsafe) private var out = JSONWriter()

/// What the worker does with a stream's bytes; `take` gives false to stop.
private func run(
    _ bytes: UnsafeRawBufferPointer, cuts: [Int], framing: Framing, reader: StreamReader, keepsExtras: Bool, _ take: () -> Bool
) -> Bool {
    var scanner = WireScanner(framing)
    list.keepsExtras = keepsExtras
    var start = 0
    for cut in cuts {
        let isGoing = withCopy(part(bytes, start..<cut)) { piece in
            var at = 0
            while true {
                switch scanner.next(piece, from: at) {
                case .needMore: return true
                case .refused: return false
                case .event(let event, let end):
                    check(end > at && end <= piece.count, "an event's end outside its piece")
                    at = end
                    list.reset()
                    reader.read(event, into: list)
                    if !take() { return false }
                }
            }
        }
        if !isGoing { return false }
        start = cut
    }
    if let last = scanner.finish() {
        list.reset()
        reader.read(last, into: list)
        if !take() { return false }
    }
    list.reset()
    reader.finish(into: list)
    return take()
}

/// Lines `type {json}` as Amazon's frames.
private func frames(_ lines: UnsafeRawBufferPointer) -> [UInt8] {
    out.reset()
    for line in lines.split(separator: 10) {
        let space = line.firstIndex(of: 32) ?? line.endIndex
        let payload = JSONBytes(UnsafeRawBufferPointer(rebasing: line[min(line.endIndex, space + 1)...]))
        let isException = line.first == 33
        let name = JSONBytes(UnsafeRawBufferPointer(rebasing: line[line.startIndex + (isException ? 1 : 0)..<space]))
        let frame = isException ? FrameWriter.exception(name, into: &out) : FrameWriter.event(name, into: &out)
        out.put(payload)
        frame.end(&out)
    }
    return Array(out.bytes)
}

@c(LLVMFuzzerTestOneInput)
public func fuzzOne(_ data: UnsafePointer<UInt8>?, _ size: Int) -> CInt {
    guard size > 1 else { return 0 }
    let input = UnsafeRawBufferPointer(start: data, count: size)
    let isArray = input[0] == 57
    let back = isArray ? .gemini : dialect(input)
    let framing: Framing = isArray ? .array : back.pieces.framing
    var dice = Dice(input)
    let quirks = quirks(&dice)
    let body = part(input, 1..<size)
    let wire = framing == .frames ? frames(body) : Array(body)
    wire.withUnsafeBytes { wire in
        func events(_ cuts: [Int]) -> [String] {
            var all: [String] = []
            let reader = back.pieces.streamReader(quirks)
            let isWhole = run(wire, cuts: cuts, framing: framing, reader: reader, keepsExtras: true) {
                for (at, event) in list.events.enumerated() {
                    all.append(told(event, list))
                    if event.kind == .error {
                        check(at == list.events.count - 1, "\(back): \(list.events[at + 1].kind) behind an error")
                        return false
                    }
                }
                return true
            }
            all.append("\(isWhole) \(reader.sawEnd) \(reader.sawFinish)")
            return all
        }
        let whole = events([wire.count])
        let cut = events(dice.cuts(wire.count))
        check(whole == cut, "\(back): whole \(whole), in pieces \(cut)")
        for front in DialectID.allCases {
            let context = context(&dice)
            let reader = back.pieces.streamReader(quirks)
            let writer = front.pieces.streamWriter(context)
            out.reset()
            var isEnded = false
            let pings = dice.below(4) == 0
            var error: ProviderError?
            _ = run(wire, cuts: [wire.count], framing: framing, reader: reader, keepsExtras: front == back) {
                for event in list.events {
                    if event.kind == .error {
                        error = event.error ?? ProviderError(status: 502, problem: .serverError)
                        writer.write(error: error ?? ProviderError(status: 502, problem: .serverError), into: &out)
                        return false
                    }
                    writer.write(event, list, into: &out)
                    if event.kind == .end { isEnded = true }
                }
                if pings, !isEnded { writer.ping(into: &out) }
                return !isEnded
            }
            if error == nil, !isEnded {
                error = ProviderError(status: 502, problem: .serverError)
                writer.write(error: error ?? ProviderError(status: 502, problem: .serverError), into: &out)
            }
            if error != nil {
                let length = out.count
                list.reset()
                for kind in [StreamEvent.Kind.textDelta, .partEnd, .callEnd, .finish, .usage, .end] { writer.write(StreamEvent(kind), list, into: &out) }
                check(out.count == length, "\(front) writes behind an error: \(show(part(out.bytes, length..<out.count)))")
            }
            checkStream(out.bytes, of: front, asArray: context.asArray, isWhole: true)
        }
    }
    return 0
}
