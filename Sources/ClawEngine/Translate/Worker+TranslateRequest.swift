// The request in the upstream's dialect. For each candidate it is decided whether the client's bytes go through as they are (both sides speak the same
// dialect) or are read and written anew. What the upstream's dialect cannot express makes the candidate unfit: the next one is looked at, and when none is
// left the client gets a 400 that names the field. Nothing has been sent by then, so no candidate counts as tried.
import CClaw
import CScan
import ClawConfig
import ClawDialect
import ClawWire
import Glibc

extension Worker {
    enum Preparation { case ready, unfit, answered }

    /// Brings the request into the form the candidate takes.
    func prepare(_ index: UInt32, _ candidate: Candidate) -> Preparation {
        let exchange = exchanges.base + Int(index)
        dropTranslation(exchange)
        keepDropped(exchange, [])
        let upstream = exchange.pointee.plan.pointee.upstreams[Int(candidate.upstream)]
        guard upstream.pointee.isModel, exchange.pointee.method == .post, exchange.pointee.tunnel == nil else { return .ready }
        let surface = exchange.pointee.surface
        guard let front = surface.dialect else {
            if surface == .otherModel, !upstream.pointee.isOpenAILike {
                return unfit(exchange, JSONBytes("model"), "this upstream has no such endpoint")
            }
            return .ready
        }
        let operation = surface.operation
        if upstream.pointee.speaks(front), operation != .embed || upstream.pointee.dialect == front, !namesModelInside(exchange, candidate) {
            // Mistral's clients do not understand all that OpenAI's dialect says.
            if front == .chat, isMistrals(exchange) { return translate(index, upstream, candidate, front: front, back: front, operation) }
            // A stream that may go on elsewhere is written anew, so that all of it is understood; what can't be is passed on, and can't go on.
            if shallResume(exchange, front, operation) {
                // Nobody goes on with an answer in the Responses API; the same server may in its other dialect.
                let back = exchange.pointee.isCommitted && front == .responses ? upstream.pointee.dialect : front
                let preparation = translate(index, upstream, candidate, front: front, back: back, operation)
                if preparation != .unfit || exchange.pointee.isCommitted { return preparation }
                dropContinuation(exchange)
            }
            // OpenAI's dialects are read along by the tap, which costs less.
            if front == .chat || front == .completions || front == .responses { return .ready }
            begin(exchange, front: front, back: front, operation: operation, isTranslated: false)
            return .ready
        }
        let back = operation == .embed ? upstream.pointee.embeddingDialect : upstream.pointee.dialect
        if operation == .count, !Self.counts(back) { return estimateCount(index, front, candidate) }
        return translate(index, upstream, candidate, front: front, back: back, operation)
    }

    /// Gemini's batches and counts name the model in the body too, once more for each text: where it has another name upstream they are written anew.
    private func namesModelInside(_ exchange: UnsafeMutablePointer<Exchange>, _ candidate: Candidate) -> Bool {
        guard exchange.pointee.surface == .geminiEmbedBatch || exchange.pointee.surface == .geminiCount, candidate.hasModel else { return false }
        let (asked, given) = (exchange.pointee.requestedModel, candidate.model.id.raw)
        if asked.count == given.count, let one = asked.baseAddress, let other = given.baseAddress, memcmp(one, other, asked.count) == 0 { return false }
        if exchange.pointee.surface == .geminiEmbedBatch { return true }
        guard translator.tape.read(UnsafeRawBufferPointer(start: exchange.pointee.bodyBase, count: exchange.pointee.bodyLength)) == nil else { return false }
        return translator.tape.root["generateContentRequest"].exists || translator.tape.root["generate_content_request"].exists
    }

    private static func counts(_ dialect: DialectID) -> Bool { dialect == .messages || dialect == .gemini || dialect == .converse }

    private func begin(_ exchange: UnsafeMutablePointer<Exchange>, front: DialectID, back: DialectID, operation: Operation, isTranslated: Bool) {
        let model = exchange.pointee.requestedModel
        var context = AnswerContext(
            seed: (nextRandom(), nextRandom()), now: Int64(realtime(now) / 1_000_000_000),
            model: JSONBytes(model.baseAddress?.assumingMemoryBound(to: UInt8.self), min(model.count, 256)),
            includesUsage: translator.conversation.includesUsage, wantsStream: exchange.pointee.wantsStream,
            asArray: exchange.pointee.surface == .geminiStream && !asksForEvents(exchange))
        context.isSingle = exchange.pointee.surface == .geminiEmbed || translator.embedding.isSingle
        context.asBase64 = translator.embedding.asBase64
        if front == .chat { context.client = isMistrals(exchange) ? .mistral : .openAI }
        let translation = Translation(front: front, back: back, operation: operation, isTranslated: isTranslated, context: context)
        translation.writer = exchange.pointee.continuation?._withUnsafeGuaranteedRef { $0.writer }
        exchange.pointee.translation = Unmanaged.passRetained(translation)
    }

    /// Mistral's clients have OpenAI's paths, and name themselves.
    private func isMistrals(_ exchange: UnsafeMutablePointer<Exchange>) -> Bool {
        restoreHead(UInt32(exchange - exchanges.base))
        let name: StaticString = "user-agent"
        let word: StaticString = "mistral"
        let base = exchange.pointee.headBase
        for at in 0..<requestHead.fieldCount where Int(requestHead.fields[at].nameLength) == name.utf8CodeUnitCount {
            let field = requestHead.fields[at]
            guard Self.sameName(base + Int(field.nameOffset), name.utf8Start, name.utf8CodeUnitCount) else { continue }
            let length = Int(field.valueLength)
            return cscan_find(base + Int(field.valueOffset), length, word.utf8Start, word.utf8CodeUnitCount) < length
        }
        return false
    }

    /// Gemini's stream is an array unless the query says alt=sse.
    func asksForEvents(_ exchange: UnsafeMutablePointer<Exchange>) -> Bool {
        let query = exchange.pointee.query
        let wanted: StaticString = "alt=sse"
        var at = 0
        while exchange.pointee.hasQuery, at < query.count {
            var end = at
            while end < query.count, query[end] != 38 { end += 1 }
            if end - at == 7, sameBytes(query.baseAddress.unsafelyUnwrapped + at, wanted.utf8Start, 7) { return true }
            at = end + 1
        }
        return false
    }

    // MARK: reading and writing

    private func translate(
        _ index: UInt32, _ upstream: UnsafeMutablePointer<PlanUpstream>, _ candidate: Candidate, front: DialectID, back: DialectID, _ operation: Operation
    ) -> Preparation {
        let exchange = exchanges.base + Int(index)
        let translator = translator
        let body = UnsafeRawBufferPointer(start: exchange.pointee.bodyBase, count: exchange.pointee.bodyLength)
        if let refusal = translator.tape.read(body) {
            return unfit(exchange, JSONBytes("body"), refusal == .tooManyValues ? "it has more than 1048576 values" : "it is not valid JSON")
        }
        if translator.tape.root.count > 256 { return unfit(exchange, JSONBytes("body"), "it has more than 256 members") }
        if let twice = translator.tape.root.duplicateKey { return unfit(exchange, twice, "it stands twice in the body") }
        let asked = exchange.pointee.requestedModel
        let model = candidate.hasModel
            ? JSONBytes(candidate.model.json.base + 1, candidate.model.json.count - 2)
            : JSONBytes(asked.baseAddress?.assumingMemoryBound(to: UInt8.self), asked.count)
        var target = Target(model: model, quirks: upstream.pointee.quirks)
        target.wantsStream = exchange.pointee.wantsStream
        target.asksUsage = upstream.pointee.asksUsage
        target.maxOutputTokens = facts(exchange, candidate)?.pointee.outputTokensMax ?? 0
        translator.out.reset()
        do throws(Refusal) {
            if operation == .embed {
                try readEmbedding(exchange, upstream, front)
                try back.pieces.writeEmbedding(translator.embedding, to: target, into: &translator.out)
            } else {
                try readConversation(exchange, upstream, front, back, operation)
                if operation == .count {
                    try back.pieces.writeCount(translator.conversation, to: target, into: &translator.out)
                } else {
                    if shallResume(exchange, front, operation) { try prefill(exchange, upstream, back, translator.conversation) }
                    try back.pieces.writeRequest(translator.conversation, to: target, into: &translator.out)
                }
            }
        } catch {
            return unfit(exchange, error.field, error.reason)
        }
        let written = translator.out.bytes
        guard !translator.out.isOverflown, let block = bodyStore.take(written.count, budget: exchange.pointee.plan.pointee.bodyMemoryBytesMax) else {
            answerError(index, .bodyMemoryExhausted, detail: "server.max_body_memory_mb")
            return .answered
        }
        if let from = written.baseAddress { memcpy(block.base, from, written.count) }
        exchange.pointee.sentBody = block.base
        exchange.pointee.sentBodyCapacity = block.capacity
        exchange.pointee.sentBodyLength = written.count
        keepDropped(exchange, operation == .embed ? translator.embedding.dropped : translator.conversation.dropped)
        begin(exchange, front: front, back: back, operation: operation, isTranslated: true)
        return .ready
    }

    /// What is known of the model that a candidate serves. A dated name that is not known by itself is looked up without its date; what is not known at all
    /// has the upstream's own prices, where there are any.
    func facts(_ exchange: UnsafeMutablePointer<Exchange>, _ candidate: Candidate) -> UnsafeMutablePointer<PlanModelFacts>? {
        let list = exchange.pointee.plan.pointee.upstreams[Int(candidate.upstream)].pointee.facts
        return Self.facts(list, candidate.hasModel ? candidate.model.id.raw : exchange.pointee.requestedModel)
    }

    static func facts(_ list: List<PlanModelFacts>, _ id: UnsafeRawBufferPointer) -> UnsafeMutablePointer<PlanModelFacts>? {
        if list.count == 0 || id.count == 0 { return nil }
        if let found = find(list, id) { return found }
        var end = id.count
        while end > 0, (id[end - 1] >= 48 && id[end - 1] <= 57) || id[end - 1] == 45 { end -= 1 }
        if end > 0, id.count - end >= 9, let found = find(list, UnsafeRawBufferPointer(rebasing: id[..<end])) { return found }
        return list[0].pointee.id.count == 0 ? list[0] : nil
    }

    private static func find(_ list: List<PlanModelFacts>, _ id: UnsafeRawBufferPointer) -> UnsafeMutablePointer<PlanModelFacts>? {
        var low = 0
        var high = list.count
        while low < high {
            let middle = (low + high) / 2
            let one = list[middle].pointee.id
            let shared = min(one.count, id.count)
            let order = shared == 0 ? 0 : memcmp(one.base, id.baseAddress.unsafelyUnwrapped, shared)
            if order == 0, one.count == id.count { return list[middle] }
            if order < 0 || (order == 0 && one.count < id.count) { low = middle + 1 } else { high = middle }
        }
        return nil
    }

    private func readConversation(
        _ exchange: UnsafeMutablePointer<Exchange>, _ upstream: UnsafeMutablePointer<PlanUpstream>, _ front: DialectID, _ back: DialectID, _ operation: Operation
    ) throws(Refusal) {
        let conversation = translator.conversation
        conversation.reset(source: front)
        conversation.dropsUnsupported = dropsUnsupported(exchange, upstream)
        if operation == .count {
            try front.pieces.readCount(translator.tape.root, into: conversation)
        } else {
            try front.pieces.readRequest(translator.tape.root, into: conversation)
        }
        conversation.wantsStream = exchange.pointee.wantsStream
        // Mistral's streams have it unasked.
        if front == .chat, isMistrals(exchange) { conversation.includesUsage = true }
        if conversation.extras.count > Conversation.extrasMax { throw Refusal("body", "it has more than 4096 members that the gateway has no word for") }
        if conversation.previousResponseID.exists, back != .responses {
            try conversation.cannot(.previousResponseID, "this upstream keeps no answers; send the whole conversation")
            conversation.previousResponseID = JSONBytes()
        }
    }

    private func readEmbedding(_ exchange: UnsafeMutablePointer<Exchange>, _ upstream: UnsafeMutablePointer<PlanUpstream>, _ front: DialectID) throws(Refusal) {
        translator.embedding.reset(source: front)
        translator.embedding.dropsUnsupported = dropsUnsupported(exchange, upstream)
        try front.pieces.readEmbedding(translator.tape.root, into: translator.embedding)
    }

    private func dropsUnsupported(_ exchange: UnsafeMutablePointer<Exchange>, _ upstream: UnsafeMutablePointer<PlanUpstream>) -> Bool {
        exchange.pointee.plan.pointee.routes[Int(exchange.pointee.route)].pointee.dropsUnsupported ?? upstream.pointee.dropsUnsupported
    }

    private func unfit(_ exchange: UnsafeMutablePointer<Exchange>, _ field: JSONBytes, _ reason: StaticString) -> Preparation {
        let fieldLength = min(field.count, 200)
        let length = fieldLength + 2 + reason.utf8CodeUnitCount
        let memory = UnsafeMutablePointer<UInt8>.allocate(capacity: length)
        var writer = TextWriter(memory)
        if let base = field.base { writer.put(base, fieldLength) }
        writer.put(": ")
        writer.put(reason)
        exchange.pointee.refusal400?.deallocate()
        exchange.pointee.refusal400 = memory
        exchange.pointee.refusalFieldLength = fieldLength
        exchange.pointee.refusalLength = length
        metrics.add(.refused, RefusalLabel.untranslatable.rawValue)
        return .unfit
    }

    private func keepDropped(_ exchange: UnsafeMutablePointer<Exchange>, _ names: [JSONBytes]) {
        exchange.pointee.droppedNames?.deallocate()
        exchange.pointee.droppedNames = nil
        exchange.pointee.droppedLength = 0
        guard !names.isEmpty else { return }
        let memory = UnsafeMutablePointer<UInt8>.allocate(capacity: 1024)
        var writer = TextWriter(memory)
        for name in names where writer.count + name.count + 1 < 1024 {
            if writer.count > 0 { writer.put(byte: 44) }
            let from = writer.at
            if let base = name.base { writer.put(base, name.count) }
            // It goes into a header too, and a key of the client's may hold anything.
            var at = from
            while at < writer.at {
                if at.pointee <= 32 || at.pointee > 126 || at.pointee == 44 || at.pointee == 34 || at.pointee == 92 { at.pointee = 63 }
                at += 1
            }
        }
        exchange.pointee.droppedNames = memory
        exchange.pointee.droppedLength = writer.count
    }

    /// The 400 for a request that no candidate could express.
    func answerUnfit(_ index: UInt32) {
        let exchange = exchanges.base + Int(index)
        guard let text = exchange.pointee.refusal400 else { return answerError(index, .upstreamsExhausted, detail: "") }
        answerError(
            index, .unsupported, message: UnsafeRawBufferPointer(start: text, count: exchange.pointee.refusalLength),
            field: JSONBytes(text, exchange.pointee.refusalFieldLength))
    }

    // MARK: counting

    /// An upstream without an endpoint for it: a count made here, and said to be a guess. A token is taken for four bytes of text (OpenAI's own rule of
    /// thumb for English; less for other scripts, which this overestimates).
    private func estimateCount(_ index: UInt32, _ front: DialectID, _ candidate: Candidate) -> Preparation {
        let exchange = exchanges.base + Int(index)
        let upstream = exchange.pointee.plan.pointee.upstreams[Int(candidate.upstream)]
        let body = UnsafeRawBufferPointer(start: exchange.pointee.bodyBase, count: exchange.pointee.bodyLength)
        guard translator.tape.read(body) == nil else { return unfit(exchange, JSONBytes("body"), "it is not valid JSON") }
        do throws(Refusal) {
            try readConversation(exchange, upstream, front, front, .count)
        } catch {
            return unfit(exchange, error.field, error.reason)
        }
        let conversation = translator.conversation
        var bytes = 0
        for part in conversation.parts { bytes += part.text.count + part.json.count + part.name.count }
        for part in conversation.inner { bytes += part.text.count + part.json.count }
        for tool in conversation.tools { bytes += tool.name.count + tool.description.count + tool.schema.count }
        // A message costs a few tokens of its own; a picture some hundreds.
        let pictures = conversation.parts.reduce(0) { $0 + ($1.kind == .image || $1.kind == .document ? 1 : 0) }
        let tokens = Int64(max(1, (bytes + 3) / 4 + 4 * conversation.messages.count + 765 * pictures))
        translator.out.reset()
        front.pieces.writeCountAnswer(tokens, into: &translator.out)
        let written = translator.out.bytes
        exchange.pointee.failure = nil
        answerOwn(
            index, status: 200, body: Bytes(base: written.baseAddress.unsafelyUnwrapped.assumingMemoryBound(to: UInt8.self), count: written.count), retryAfter: 0,
            lines: Bytes("x-openclaw-estimated: true\r\n"))
        return .answered
    }

    /// Lets go of what an attempt's dialects needed.
    func dropTranslation(_ exchange: UnsafeMutablePointer<Exchange>) {
        if let translation = exchange.pointee.translation {
            translation.release()
            exchange.pointee.translation = nil
        }
        dropSentBody(exchange)
        dropCollected(exchange)
        exchange.pointee.isCollecting = false
        exchange.pointee.isRewritten = false
        exchange.pointee.collectsCopy = false
    }

    func dropSentBody(_ exchange: UnsafeMutablePointer<Exchange>) {
        guard let body = exchange.pointee.sentBody else { return }
        bodyStore.give(body, capacity: exchange.pointee.sentBodyCapacity)
        exchange.pointee.sentBody = nil
    }

    func dropCollected(_ exchange: UnsafeMutablePointer<Exchange>) {
        if let memory = exchange.pointee.collected { bodyStore.give(memory, capacity: exchange.pointee.collectedCapacity) }
        exchange.pointee.collected = nil
        exchange.pointee.collectedLength = 0
        exchange.pointee.collectedCapacity = 0
    }
}
