// Shadows: a route with the strategy `shadow` sends a share of its requests a second time, to a mirror, after the first attempt of the client's own has begun.
// The mirror's answer is read to its end and thrown away as it comes. When both have ended, one line in the log says how they compare: status, finish reason and
// tokens of the answer; lengths and times beside them. Nothing of a shadow reaches the client or delays it. At most 64 run at a time in a worker; beyond that,
// and where a body is above 1 MiB, the request is counted as skipped. A mirror's failures are failures of its upstream like any others.
import CClaw
import ClawConfig
import ClawDialect
import ClawPolicy
import ClawWire
import Glibc

extension Worker {
    /// Shadows of a worker at a time.
    static let shadowsMax = 64

    /// The mirror as a candidate, where this request is one of its share; `view` describes the request. Exact over all workers.
    func dueMirror(_ exchange: UnsafeMutablePointer<Exchange>, _ route: UnsafeMutablePointer<PlanRoute>) -> Candidate? {
        guard let target = route.pointee.mirror, exchange.pointee.surface.isModel, exchange.pointee.method == .post,
            exchange.pointee.plan.pointee.upstreams[target.upstream].pointee.isModel, let candidate = mirrorCandidate(route, target),
            Canary.next(shared.outlook.canary(route.pointee.place) + 8, parts: target.parts)
        else { return nil }
        return candidate
    }

    /// The first attempt of the request has begun.
    func startShadow(_ index: UInt32, _ route: UnsafeMutablePointer<PlanRoute>, at candidate: Candidate) {
        let exchange = exchanges.base + Int(index)
        guard exchange.pointee.state == .attempting, shadowsRunning < Self.shadowsMax, canBeTwinned(exchange), let at = makeTwin(of: index, .shadow, on: nobody) else {
            return metrics.add(.shadows, route.pointee.label, ShadowResult.skipped.rawValue)
        }
        let shadow = UnsafeMutablePointer<Shadow>.allocate(capacity: 1)
        shadow.initialize(to: Shadow())
        exchange.pointee.shadow = shadow
        let twin = exchanges.base + Int(at)
        twin.pointee.shadow = shadow
        twin.pointee.candidates[0] = candidate
        twin.pointee.candidateCount = 1
        twin.pointee.attemptsMax = 1
        // It has its own time, whatever of the request's is spent.
        twin.pointee.clientDeadline = 0
        shadowsRunning += 1
        startNextAttempt(at)
    }

    // MARK: the comparison

    /// One of a request and its shadow has ended.
    func shadowEnds(_ exchange: UnsafeMutablePointer<Exchange>) {
        guard let shadow = exchange.pointee.shadow else { return }
        exchange.pointee.shadow = nil
        let isMirror = exchange.pointee.twin == .shadow
        if isMirror { shadow.pointee.mirror = outcome(of: exchange) } else { shadow.pointee.primary = outcome(of: exchange) }
        guard shadow.pointee.isHalf else {
            shadow.pointee.isHalf = true
            return
        }
        compare(exchange, shadow)
        shadow.deinitialize(count: 1)
        shadow.deallocate()
    }

    private func outcome(of exchange: UnsafeMutablePointer<Exchange>) -> Outcome {
        var outcome = Outcome()
        outcome.status = exchange.pointee.status
        outcome.isStream = exchange.pointee.isStream
        outcome.usage = exchange.pointee.usage
        outcome.finishReason = exchange.pointee.finishReason
        outcome.finishReasonLength = exchange.pointee.finishReasonLength
        outcome.bytes = exchange.pointee.bytesRelayed
        outcome.latency = now &- exchange.pointee.startedAt
        if exchange.pointee.firstContentAt != 0 { outcome.firstToken = exchange.pointee.firstContentAt &- exchange.pointee.startedAt }
        outcome.isWhole = exchange.pointee.failure == nil && !exchange.pointee.clientGone && !exchange.pointee.upstreamCut && exchange.pointee.status > 0 && exchange.pointee.status < 400
        outcome.cost = exchange.pointee.cost
        guard exchange.pointee.attemptCount > 0 else { return outcome }
        let last = exchange.pointee.attempts[exchange.pointee.attemptCount - 1]
        outcome.upstream = last.upstream
        outcome.model = last.model
        outcome.errorClass = exchange.pointee.clientGone ? .clientGone : last.errorClass != .none ? last.errorClass : exchange.pointee.failure?.row.errorClass ?? .none
        return outcome
    }

    private struct Differences: OptionSet {
        let rawValue: UInt8
        static let status = Differences(rawValue: 1), finishReason = Differences(rawValue: 2), outputTokens = Differences(rawValue: 4)
        static let names: [(Differences, StaticString)] = [(.status, "status"), (.finishReason, "finish_reason"), (.outputTokens, "output_tokens")]
    }

    private func compare(_ exchange: UnsafeMutablePointer<Exchange>, _ shadow: UnsafeMutablePointer<Shadow>) {
        let plan = exchange.pointee.plan
        var differences = Differences()
        if shadow.pointee.primary.status != shadow.pointee.mirror.status { differences.insert(.status) }
        if !Self.sameFinish(shadow.pointee.primary, shadow.pointee.mirror) { differences.insert(.finishReason) }
        if shadow.pointee.primary.usage.output != shadow.pointee.mirror.usage.output { differences.insert(.outputTokens) }
        let result: ShadowResult = !shadow.pointee.primary.isWhole ? .incomplete : !shadow.pointee.mirror.isWhole ? .failed : differences.isEmpty ? .same : .different
        metrics.add(.shadows, exchange.pointee.route >= 0 ? plan.pointee.routes[Int(exchange.pointee.route)].pointee.label : 0, result.rawValue)
        var text = TextWriter(scratch)
        if plan.pointee.logFormatIsText {
            text.put("shadow ")
            text.put(word(of: result))
            text.put(" status=")
            text.put(number: UInt64(shadow.pointee.mirror.status))
            text.put(" primary_status=")
            text.put(number: UInt64(shadow.pointee.primary.status))
            text.put(" request_id=")
            putID(exchange, &text)
            text.put(byte: 10)
            return log.append(scratch, text.count)
        }
        text.put("{\"time\":\"")
        putTime(realtime(now), &text)
        text.put("\",\"shadow\":true,\"request_id\":\"")
        putID(exchange, &text)
        text.put("\",\"trace_id\":\"")
        text.put(hex: exchange.pointee.traceHigh, digits: 16)
        text.put(hex: exchange.pointee.traceLow, digits: 16)
        text.put("\",\"route_id\":")
        if exchange.pointee.route >= 0 { text.put(json: plan.pointee.routes[Int(exchange.pointee.route)].pointee.id.raw, limit: 100) } else { text.put("null") }
        text.put(",\"result\":\"")
        text.put(word(of: result))
        text.put(result == .same ? "\",\"same\":true,\"differences\":[" : "\",\"same\":false,\"differences\":[")
        var isFirst = true
        for (one, name) in Differences.names where differences.contains(one) {
            text.put(isFirst ? "\"" : ",\"")
            text.put(name)
            text.put(byte: 34)
            isFirst = false
        }
        text.put("]")
        put(shadow.pointee.mirror, plan, &text)
        text.put(",\"primary\":{\"role\":\"primary\"")
        put(shadow.pointee.primary, plan, &text)
        text.put("}}\n")
        log.append(scratch, text.count)
    }

    /// Each provider has a word of its own for the same end.
    private static let finishWords: [[StaticString]] = [
        ["stop", "end_turn", "stop_sequence", "STOP", "COMPLETE", "STOP_SEQUENCE", "completed"], ["length", "max_tokens", "MAX_TOKENS", "incomplete"],
        ["tool_calls", "tool_use", "function_call", "TOOL_CALL"], ["content_filter", "refusal", "SAFETY", "guardrail_intervened", "content_filtered"],
    ]

    private static func sameFinish(_ one: Outcome, _ other: Outcome) -> Bool { finish(one) == finish(other) }

    /// A number for what the word means; for an unknown one a hash of it.
    private static func finish(_ outcome: Outcome) -> UInt64 {
        withUnsafeBytes(of: outcome.finishReason) { raw in
            let word = UnsafeRawBufferPointer(rebasing: raw[..<Int(outcome.finishReasonLength)])
            for (at, words) in finishWords.enumerated() {
                for known in words where Bytes(known).equals(word) { return UInt64(at + 2) }
            }
            return word.isEmpty ? 0 : Outlook.hash(word)
        }
    }

    private func put(_ outcome: Outcome, _ plan: PlanRef, _ text: inout TextWriter) {
        text.put(",\"upstream_name\":")
        if outcome.upstream >= 0 { text.put(json: plan.pointee.upstreams[Int(outcome.upstream)].pointee.name.raw, limit: 100) } else { text.put("null") }
        text.put(",\"model_id\":")
        if outcome.model.count > 0 { text.put(json: outcome.model.raw, limit: 256) } else { text.put("null") }
        text.put(",\"status\":")
        text.put(number: UInt64(outcome.status))
        text.put(",\"error_class\":")
        text.put(outcome.errorClass)
        text.put(",\"latency_ms\":")
        text.put(milliseconds: outcome.latency)
        text.put(",\"ttft_ms\":")
        if outcome.firstToken > 0 { text.put(milliseconds: outcome.firstToken) } else { text.put("null") }
        text.put(outcome.isStream ? ",\"stream\":true,\"finish_reason\":" : ",\"stream\":false,\"finish_reason\":")
        if outcome.finishReasonLength > 0 {
            withUnsafeBytes(of: outcome.finishReason) { text.put(json: UnsafeRawBufferPointer(rebasing: $0[..<Int(outcome.finishReasonLength)])) }
        } else {
            text.put("null")
        }
        text.put(",\"tokens\":{\"input\":")
        if outcome.usage.hasInput { text.put(signed: outcome.usage.input) } else { text.put("null") }
        text.put(",\"output\":")
        if outcome.usage.hasOutput { text.put(signed: outcome.usage.output) } else { text.put("null") }
        text.put("},\"bytes\":")
        text.put(number: outcome.bytes)
    }

    private func word(of result: ShadowResult) -> StaticString {
        switch result {
        case .same: "same"
        case .different: "different"
        case .failed: "failed"
        case .incomplete: "incomplete"
        case .skipped: "skipped"
        }
    }

    private func putID(_ exchange: UnsafeMutablePointer<Exchange>, _ text: inout TextWriter) {
        withUnsafeBytes(of: exchange.pointee.requestID) {
            text.put($0.baseAddress.unsafelyUnwrapped.assumingMemoryBound(to: UInt8.self), Int(exchange.pointee.requestIDLength))
        }
    }

    /// "2026-11-21T00:00:00.000000Z"
    private func putTime(_ wall: UInt64, _ text: inout TextWriter) {
        text.put(timePrefix(wall / 1_000_000_000), 20)
        var divisor: UInt64 = 100_000
        let micros = wall % 1_000_000_000 / 1000
        while divisor > 0 {
            text.put(byte: 48 + UInt8(micros / divisor % 10))
            divisor /= 10
        }
        text.put(byte: 90)
    }
}
