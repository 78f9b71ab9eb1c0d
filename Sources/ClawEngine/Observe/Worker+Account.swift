// The account of an exchange: counters and the one log line (spec/observability.md). Called once, from `finish`.
import CClaw
import ClawConfig
import ClawDialect
import ClawWire
import Glibc

extension Worker {
    /// A line is at most this long; what could make it longer is capped where it is written.
    static let lineBytesMax = 16384

    func account(_ exchange: UnsafeMutablePointer<Exchange>, end: UInt64) {
        let plan = exchange.pointee.plan
        let routeLabel = exchange.pointee.route >= 0 ? plan.pointee.routes[Int(exchange.pointee.route)].pointee.label : 0
        var upstreamLabel: UInt16 = 0
        var modelLabel: UInt16 = 0
        if exchange.pointee.attemptCount > 0 {
            upstreamLabel = plan.pointee.upstreams[Int(exchange.pointee.attempts[exchange.pointee.attemptCount - 1].upstream)].pointee.label
            let candidate = exchange.pointee.candidates[max(0, exchange.pointee.candidateNext - 1)]
            if candidate.hasModel { modelLabel = candidate.model.label }
        }
        metrics.add(.requests, routeLabel, exchange.pointee.status, UInt16(exchange.pointee.method.rawValue))
        let latency = end &- exchange.pointee.startedAt
        // How long a tunnel was open says nothing of how fast it was answered.
        let answered = exchange.pointee.tunnel?.pointee.isOpen == true ? exchange.pointee.tunnel.unsafelyUnwrapped.pointee.openedAt &- exchange.pointee.startedAt : latency
        metrics.observe(.requestDuration, routeLabel, upstreamLabel, nanoseconds: answered)
        metrics.observe(.overhead, routeLabel, nanoseconds: exchange.pointee.overhead)
        if exchange.pointee.firstContentAt != 0 {
            metrics.observe(.timeToFirstToken, upstreamLabel, modelLabel, nanoseconds: exchange.pointee.firstContentAt &- exchange.pointee.startedAt)
        }
        estimateUsage(exchange)
        let usage = exchange.pointee.usage
        if usage.isKnown {
            // Label c: high byte unused, low byte the kind (see TokenKind).
            if usage.input > 0 { metrics.add(.tokens, upstreamLabel, modelLabel, 0, by: UInt64(usage.input)) }
            if usage.output > 0 { metrics.add(.tokens, upstreamLabel, modelLabel, 1, by: UInt64(usage.output)) }
            if usage.cacheRead > 0 { metrics.add(.tokens, upstreamLabel, modelLabel, 2, by: UInt64(usage.cacheRead)) }
            if exchange.pointee.attemptCount > 0, let facts = facts(exchange, exchange.pointee.candidates[max(0, exchange.pointee.candidateNext - 1)]) {
                exchange.pointee.cost = facts.pointee.prices.cost(of: usage, tier: exchange.pointee.serviceTier)
                if let cost = exchange.pointee.cost, cost > 0 { metrics.add(.cost, upstreamLabel, modelLabel, by: UInt64(cost)) }
            }
            if usage.reasoning > 0 { metrics.add(.tokens, upstreamLabel, modelLabel, 3, by: UInt64(usage.reasoning)) }
        }
        if exchange.pointee.continuation != nil { addParts(exchange) }
        let isGood = exchange.pointee.failure == nil && exchange.pointee.status < 400
        let isDowngraded = exchange.pointee.status < 400 && isDowngraded(exchange)
        if isDowngraded { accountDowngrade(exchange, routeLabel) }
        if isGood, plan.pointee.logSample < 1, Double(nextRandom() >> 11) * 0x1p-53 >= plan.pointee.logSample { return }
        if plan.pointee.logFormatIsText { writeTextLine(exchange, latency) } else { writeLine(exchange, latency, isDowngraded) }
    }

    private func accountDowngrade(_ exchange: UnsafeMutablePointer<Exchange>, _ routeLabel: UInt16) {
        let candidate = exchange.pointee.candidates[Int(exchange.pointee.attempts[exchange.pointee.attemptCount - 1].candidate)]
        metrics.add(.downgrades, routeLabel, askedLabel(exchange), candidate.model.label)
        noteDowngrade(exchange)
    }

    /// The label of the model that was asked for; 0 for a name that no configuration has.
    private func askedLabel(_ exchange: UnsafeMutablePointer<Exchange>) -> UInt16 {
        let models = exchange.pointee.plan.pointee.models
        for at in 0..<models.count where models[at].pointee.name.equals(exchange.pointee.requestedModel) { return models[at].pointee.label }
        return 0
    }

    /// A stream that was cut before it said what it used: what was delivered is counted, and marked as a guess. Most providers send a token an event;
    /// where they send more, four bytes of text are taken for one.
    private func estimateUsage(_ exchange: UnsafeMutablePointer<Exchange>) {
        guard exchange.pointee.isStream || exchange.pointee.firstContentAt != 0, exchange.pointee.contentEvents > 0, exchange.pointee.attemptCount > 0 else { return }
        let wasCut = exchange.pointee.clientGone || exchange.pointee.upstreamCut || exchange.pointee.failure != nil
        if !wasCut || (exchange.pointee.usage.hasOutput && exchange.pointee.sawFinish) { return }
        let output = Int64(max(exchange.pointee.contentEvents, exchange.pointee.contentBytes / 4))
        if exchange.pointee.usage.output < output { exchange.pointee.usage.setOutput(sum: output) }
        if !exchange.pointee.usage.hasInput { exchange.pointee.usage.setInput(sum: Int64(max(1, exchange.pointee.promptBytes / 4))) }
        exchange.pointee.usage.isEstimated = true
    }

    private func writeLine(_ exchange: UnsafeMutablePointer<Exchange>, _ latency: UInt64, _ isDowngraded: Bool) {
        let plan = exchange.pointee.plan
        let line = scratch
        var text = TextWriter(line)
        let wall = realtime(exchange.pointee.startedAt)
        text.put("{\"time\":\"")
        text.put(timePrefix(wall / 1_000_000_000), 20)
        let micros = wall % 1_000_000_000 / 1000
        var divisor: UInt64 = 100_000
        while divisor > 0 {
            text.put(byte: 48 + UInt8(micros / divisor % 10))
            divisor /= 10
        }
        text.put("Z\",\"request_id\":\"")
        withUnsafeBytes(of: exchange.pointee.requestID) {
            text.put($0.baseAddress.unsafelyUnwrapped.assumingMemoryBound(to: UInt8.self), Int(exchange.pointee.requestIDLength))
        }
        text.put("\",\"trace_id\":\"")
        text.put(hex: exchange.pointee.traceHigh, digits: 16)
        text.put(hex: exchange.pointee.traceLow, digits: 16)
        text.put("\",\"session_id\":null,\"tenant\":")
        let caller = exchange.pointee.caller >= 0 ? plan.pointee.callers[Int(exchange.pointee.caller)] : nil
        if let caller, caller.pointee.tenant.count > 0 { text.put(json: caller.pointee.tenant.raw, limit: 100) } else { text.put("null") }
        text.put(",\"key_id\":")
        let last = exchange.pointee.attemptCount - 1
        if plan.pointee.callers.count > 0 {
            // Who called; the keys that upstreams were shown stand in `attempts`.
            if let caller { text.put(json: caller.pointee.id.raw, limit: 100) } else { text.put("null") }
        } else if last >= 0, exchange.pointee.attempts[last].key >= 0 {
            let upstream = plan.pointee.upstreams[Int(exchange.pointee.attempts[last].upstream)]
            text.put(json: upstream.pointee.keys[Int(exchange.pointee.attempts[last].key)].pointee.id.raw, limit: 100)
        } else {
            text.put("null")
        }
        text.put(",\"route_id\":")
        if exchange.pointee.route >= 0 {
            let id = plan.pointee.routes[Int(exchange.pointee.route)].pointee.id
            text.put(json: id.raw, limit: 100)
            text.put(",\"rule\":\"")
            text.put(plan.pointee.routes[Int(exchange.pointee.route)].pointee.rule)
            text.put("\"")
        } else {
            text.put("null,\"rule\":null")
        }
        writeServed(exchange, last, &text)
        text.put(",\"status\":")
        text.put(number: UInt64(exchange.pointee.status))
        text.put(",\"error_class\":")
        writeErrorClass(exchange, last, &text)
        if let refusal = exchange.pointee.refusal {
            text.put(",\"reason\":")
            text.put(json: UnsafeRawBufferPointer(start: refusal, count: strlen(refusal)), limit: 100)
        }
        text.put(",\"latency_ms\":")
        text.put(milliseconds: latency)
        text.put(",\"ttft_ms\":")
        if exchange.pointee.firstContentAt != 0 {
            text.put(milliseconds: exchange.pointee.firstContentAt &- exchange.pointee.startedAt)
        } else {
            text.put("null")
        }
        text.put(",\"overhead_us\":")
        text.put(number: exchange.pointee.overhead / 1000)
        writeAttempts(exchange, &text)
        text.put(",\"cache\":\"bypass\"")
        writeTokens(exchange, &text)
        text.put(exchange.pointee.isStream || exchange.pointee.wantsStream ? ",\"stream\":true,\"finish_reason\":" : ",\"stream\":false,\"finish_reason\":")
        if exchange.pointee.finishReasonLength > 0 {
            withUnsafeBytes(of: exchange.pointee.finishReason) {
                text.put(json: UnsafeRawBufferPointer(rebasing: $0[..<Int(exchange.pointee.finishReasonLength)]))
            }
        } else {
            text.put("null")
        }
        text.put(",\"client_ip\":\"")
        write(connections.base[Int(exchange.pointee.connection)].peer, &text)
        text.put("\",\"method\":\"")
        text.put(Self.name(of: exchange.pointee.method))
        text.put("\",\"path\":")
        text.put(json: exchange.pointee.path)
        text.put(",\"bytes_in\":")
        text.put(number: exchange.pointee.bytesIn)
        text.put(",\"bytes_out\":")
        text.put(number: exchange.pointee.bytesOut)
        text.put(",\"config_version\":\"")
        text.put(plan.pointee.version)
        text.put("\",\"disconnected\":")
        text.put(exchange.pointee.clientGone ? "\"client\"" : exchange.pointee.upstreamCut ? "\"upstream\"" : "null")
        if isDowngraded {
            text.put(",\"downgraded\":true,\"downgrade\":{\"route_id\":")
            text.put(json: plan.pointee.routes[Int(exchange.pointee.route)].pointee.id.raw, limit: 100)
            writeDowngradeMembers(exchange, &text)
            text.put(byte: 125)
        } else {
            text.put(",\"downgraded\":false")
        }
        writeResumes(exchange, &text)
        writeTunnel(exchange, &text)
        text.put("}\n")
        log.append(line, text.count)
    }

    private func writeServed(_ exchange: UnsafeMutablePointer<Exchange>, _ last: Int, _ text: inout TextWriter) {
        let plan = exchange.pointee.plan
        if last >= 0 {
            let upstream = plan.pointee.upstreams[Int(exchange.pointee.attempts[last].upstream)]
            text.put(",\"provider\":\"")
            text.put(upstream.pointee.type)
            text.put("\",\"upstream_name\":")
            text.put(json: upstream.pointee.name.raw, limit: 100)
        } else {
            text.put(",\"provider\":null,\"upstream_name\":null")
        }
        text.put(",\"model_requested\":")
        if exchange.pointee.requestedModel.count > 0 { text.put(json: exchange.pointee.requestedModel, limit: 256) } else { text.put("null") }
        text.put(",\"model_id\":")
        let candidate = exchange.pointee.candidates[max(0, exchange.pointee.candidateNext - 1)]
        if last >= 0, candidate.hasModel {
            text.put(candidate.model.json.count <= 512 ? candidate.model.json : .empty)
        } else if last >= 0, exchange.pointee.requestedModel.count > 0 {
            text.put(json: exchange.pointee.requestedModel, limit: 256)
        } else {
            text.put("null")
        }
    }

    private func writeErrorClass(_ exchange: UnsafeMutablePointer<Exchange>, _ last: Int, _ text: inout TextWriter) {
        var found = ErrorClass.none
        if exchange.pointee.clientGone { found = .clientGone }
        else if let failure = exchange.pointee.failure, exchange.pointee.status >= 400 || exchange.pointee.upstreamCut || failure == .upstreamInBand {
            // What an error within an answer means its attempt knows.
            found = failure == .upstreamInBand && last >= 0 && exchange.pointee.attempts[last].errorClass != .none ? exchange.pointee.attempts[last].errorClass : failure.row.errorClass
        } else if exchange.pointee.status >= 400, last >= 0 { found = exchange.pointee.attempts[last].errorClass }
        text.put(found)
    }

    private func writeAttempts(_ exchange: UnsafeMutablePointer<Exchange>, _ text: inout TextWriter) {
        let plan = exchange.pointee.plan
        text.put(",\"attempts\":[")
        for at in 0..<exchange.pointee.attemptCount {
            let attempt = exchange.pointee.attempts[attemptPlace(exchange, at)]
            let upstream = plan.pointee.upstreams[Int(attempt.upstream)]
            if at > 0 { text.put(byte: 44) }
            text.put("{\"upstream\":")
            text.put(json: upstream.pointee.name.raw, limit: 100)
            text.put(",\"key_id\":")
            if attempt.key >= 0 { text.put(json: upstream.pointee.keys[Int(attempt.key)].pointee.id.raw, limit: 100) } else { text.put("null") }
            text.put(",\"model\":")
            if attempt.model.count > 0 { text.put(json: attempt.model.raw, limit: 256) } else { text.put("null") }
            text.put(",\"status\":")
            text.put(number: UInt64(attempt.status))
            text.put(",\"class\":")
            text.put(attempt.errorClass)
            text.put(",\"ms\":")
            text.put(number: UInt64(attempt.milliseconds))
            text.put(",\"why\":\"")
            text.put(attempt.why.name)
            text.put("\"}")
        }
        text.put(byte: 93)
    }

    private func writeTokens(_ exchange: UnsafeMutablePointer<Exchange>, _ text: inout TextWriter) {
        let usage = exchange.pointee.usage
        func number(_ value: Int64, _ isKnown: Bool) {
            if isKnown { text.put(signed: value) } else { text.put("null") }
        }
        text.put(",\"tokens\":{\"input\":")
        number(usage.input, usage.hasInput)
        text.put(",\"output\":")
        number(usage.output, usage.hasOutput)
        text.put(",\"cached\":")
        number(usage.cacheRead, usage.hasInput && (usage.saysCached || usage.cacheRead > 0))
        text.put(",\"reasoning\":")
        number(usage.reasoning, usage.hasOutput && (usage.saysReasoning || usage.reasoning > 0))
        // Classes that only some answers have.
        if usage.cacheWrite + usage.cacheWriteHour > 0 {
            text.put(",\"cache_write\":")
            text.put(signed: usage.cacheWrite)
            text.put(",\"cache_write_1h\":")
            text.put(signed: usage.cacheWriteHour)
        }
        if usage.audioInput + usage.audioOutput > 0 {
            text.put(",\"audio_input\":")
            text.put(signed: usage.audioInput)
            text.put(",\"audio_output\":")
            text.put(signed: usage.audioOutput)
        }
        text.put(usage.isEstimated ? ",\"estimated\":true},\"cost_usd\":" : ",\"estimated\":false},\"cost_usd\":")
        if let cost = exchange.pointee.cost { text.at += Cost.write(nanoUSD: cost, into: text.at) } else { text.put("null") }
        guard let names = exchange.pointee.droppedNames else { return }
        text.put(",\"dropped\":[\"")
        for at in 0..<exchange.pointee.droppedLength {
            // The names hold no quote and no comma of their own.
            if names[at] == 44 { text.put("\",\"") } else { text.put(byte: names[at]) }
        }
        text.put("\"]")
    }

    private func writeTextLine(_ exchange: UnsafeMutablePointer<Exchange>, _ latency: UInt64) {
        var text = TextWriter(scratch)
        let wall = realtime(exchange.pointee.startedAt)
        text.put(timePrefix(wall / 1_000_000_000), 19)
        text.put("Z ")
        text.put(number: UInt64(exchange.pointee.status))
        text.put(byte: 32)
        text.put(Self.name(of: exchange.pointee.method))
        text.put(byte: 32)
        text.put(json: exchange.pointee.path)
        text.put(" route=")
        if exchange.pointee.route >= 0 { text.put(json: exchange.pointee.plan.pointee.routes[Int(exchange.pointee.route)].pointee.id.raw, limit: 100) } else { text.put("-") }
        text.put(" upstream=")
        if exchange.pointee.attemptCount > 0 {
            let upstream = exchange.pointee.plan.pointee.upstreams[Int(exchange.pointee.attempts[exchange.pointee.attemptCount - 1].upstream)]
            text.put(json: upstream.pointee.name.raw, limit: 100)
        } else {
            text.put("-")
        }
        text.put(" attempts=")
        text.put(number: UInt64(exchange.pointee.attemptCount))
        text.put(" latency_ms=")
        text.put(milliseconds: latency)
        text.put(" request_id=")
        withUnsafeBytes(of: exchange.pointee.requestID) {
            text.put($0.baseAddress.unsafelyUnwrapped.assumingMemoryBound(to: UInt8.self), Int(exchange.pointee.requestIDLength))
        }
        text.put(byte: 10)
        log.append(scratch, text.count)
    }

    static func name(of method: HTTPMethod) -> StaticString {
        switch method {
        case .get: "GET"
        case .head: "HEAD"
        case .post: "POST"
        case .put: "PUT"
        case .delete: "DELETE"
        case .patch: "PATCH"
        case .options: "OPTIONS"
        case .trace: "TRACE"
        case .connect: "CONNECT"
        case .other: "OTHER"
        }
    }
}

extension TextWriter {
    /// The word of a class, quoted; null where nothing failed.
    mutating func put(_ errorClass: ErrorClass) {
        if errorClass == .none { return put("null") }
        put(byte: 34)
        put(errorClass.name)
        put(byte: 34)
    }
}
