// A model that answers although another was asked for, because the route's first choice could not: told in a header, in the log, by a counter, and by a comment at
// the head of a stream of events. A model that the route itself puts in the place of the one asked for is none: that is what the route is for.
import CClaw
import ClawDialect
import ClawWire

extension Worker {
    /// Does the present candidate serve less, or other, than was asked for?
    func isDowngraded(_ exchange: UnsafeMutablePointer<Exchange>) -> Bool {
        guard exchange.pointee.attemptCount > 0 else { return false }
        let at = Int(exchange.pointee.attempts.place(exchange.pointee.attemptCount - 1).pointee.candidate)
        guard at >= 0 else { return false }
        let candidate = exchange.pointee.candidates.place(at)
        return candidate.pointee.isOther && candidate.pointee.hasModel && (candidate.pointee.isFallback || candidate.pointee.standsIn || at > 0)
    }

    /// Why the first choice did not serve: a class of failure, or that it could not be asked.
    func downgradeReason(_ exchange: UnsafeMutablePointer<Exchange>) -> StaticString {
        exchange.pointee.movedBy != .none ? exchange.pointee.movedBy.name : "unavailable"
    }

    /// Tokens of the window that serves, where it is known to be smaller than that of the model asked for; 0: it is not.
    func smallerWindow(_ exchange: UnsafeMutablePointer<Exchange>) -> Int64 {
        let attempt = exchange.pointee.attempts[exchange.pointee.attemptCount - 1]
        let asked = contextWindow(exchange, exchange.pointee.candidates[0])
        let served = contextWindow(exchange, exchange.pointee.candidates[Int(attempt.candidate)])
        return served > 0 && served < asked ? served : 0
    }

    /// What the model asked for can do and the one that serves cannot, as far as both are known: bits of `PlanModelFacts.abilityNames`.
    func lostAbilities(_ exchange: UnsafeMutablePointer<Exchange>) -> UInt8 {
        let attempt = exchange.pointee.attempts[exchange.pointee.attemptCount - 1]
        guard let asked = facts(exchange, exchange.pointee.candidates[0])?.pointee.abilities, let served = facts(exchange, exchange.pointee.candidates[Int(attempt.candidate)])?.pointee.abilities,
            asked & served & PlanModelFacts.abilitiesKnown != 0
        else { return 0 }
        return asked & ~served
    }

    /// `from=…;to=…;reason=…` and, where there are such, `;lost=…` and `;window=…`: at most about 700 bytes.
    func writeDowngrade(_ exchange: UnsafeMutablePointer<Exchange>, _ writer: inout TextWriter) {
        let candidate = exchange.pointee.candidates[Int(exchange.pointee.attempts[exchange.pointee.attemptCount - 1].candidate)]
        writer.put("from=")
        writeName(exchange.pointee.requestedModel, &writer)
        writer.put(";to=")
        writeName(candidate.model.id.raw, &writer)
        writer.put(";reason=")
        writer.put(downgradeReason(exchange))
        let lost = lostAbilities(exchange)
        if lost != 0 {
            writer.put(";lost=")
            var isFirst = true
            for at in 0..<PlanModelFacts.abilityNames.count where lost & (1 << UInt8(at)) != 0 {
                if !isFirst { writer.put(byte: 44) }
                writer.put(PlanModelFacts.abilityNames[at])
                isFirst = false
            }
        }
        let window = smallerWindow(exchange)
        if window > 0 {
            writer.put(";window=")
            writer.put(number: UInt64(window))
        }
    }

    /// A model's name in a field: visible characters that end no part of it.
    private func writeName(_ name: UnsafeRawBufferPointer, _ writer: inout TextWriter) {
        for byte in name.prefix(256) { writer.put(byte: byte > 32 && byte < 127 && byte != 59 ? byte : 63) }
    }

    /// A comment in front of the first event, where the client's stream has comments. The head stands in the output already, held back with it.
    func sayDowngraded(_ exchange: UnsafeMutablePointer<Exchange>, _ head: ResponseHead) {
        guard isDowngraded(exchange), isEventStream(exchange, head), let room = buffers.reserve(1024) else { return }
        var comment = TextWriter(scratch)
        comment.put(": openclaw downgraded ")
        writeDowngrade(exchange, &comment)
        comment.put("\n\n")
        var writer = TextWriter(room)
        if exchange.pointee.answerIsChunked {
            writer.put(chunkSize: UInt64(comment.count))
            writer.put("\r\n")
        }
        writer.put(UnsafeRawBufferPointer(start: scratch, count: comment.count))
        if exchange.pointee.answerIsChunked { writer.put("\r\n") }
        exchange.pointee.output.append(buffers.commit(writer.count))
    }

    private func isEventStream(_ exchange: UnsafeMutablePointer<Exchange>, _ head: ResponseHead) -> Bool {
        guard let translation = exchange.pointee.translation else { return head.isEventStream }
        return translation._withUnsafeGuaranteedRef { $0.front.pieces.framing == .sse && !$0.context.asArray && ($0.isTranslated || head.isEventStream) }
    }
}
