// What operators want to be told of when it happens: a line of JSON for each event, in a ring of its own that the control thread drains (Control/Events). A full
// ring drops and counts, like the log's. Nothing here is on the way of a request that goes well.
import CClaw
import ClawDialect
import ClawPolicy
import ClawWire
import Glibc

enum EventKind: UInt8 {
    case breakerOpened, breakerReopened, breakerHalfOpen, breakerClosed, keyCooled, keyRefused, endpointEjected, endpointReturned, downgrade, retriesExhausted
    static let names: [StaticString] = [
        "breaker_opened", "breaker_reopened", "breaker_half_open", "breaker_closed", "key_cooled", "key_refused", "endpoint_ejected", "endpoint_returned", "downgrade",
        "retries_exhausted",
    ]
    var name: StaticString { Self.names[Int(rawValue)] }
}

extension Worker {
    private static let eventBytesMax = 4096

    private func begin(_ kind: EventKind) -> TextWriter {
        var text = TextWriter(scratch + Self.scratchBytes - Self.eventBytesMax - 2048)
        text.put("{\"time\":\"")
        let wall = realtime(now)
        text.put(timePrefix(wall / 1_000_000_000), 20)
        let millis = wall % 1_000_000_000 / 1_000_000
        text.put(byte: 48 + UInt8(millis / 100))
        text.put(byte: 48 + UInt8(millis / 10 % 10))
        text.put(byte: 48 + UInt8(millis % 10))
        text.put("Z\",\"event\":\"")
        text.put(kind.name)
        text.put(byte: 34)
        return text
    }

    private func member(_ name: StaticString, _ value: UnsafeRawBufferPointer, _ text: inout TextWriter) {
        text.put(",\"")
        text.put(name)
        text.put("\":")
        text.put(json: value, limit: 256)
    }

    private func word(_ name: StaticString, _ value: StaticString, _ text: inout TextWriter) {
        text.put(",\"")
        text.put(name)
        text.put("\":\"")
        text.put(value)
        text.put(byte: 34)
    }

    /// Seconds with a fraction, from now on.
    private func seconds(_ name: StaticString, until: UInt64, _ text: inout TextWriter) {
        text.put(",\"")
        text.put(name)
        text.put("\":")
        text.put(number: (until &- min(now, until)) / 1_000_000_000)
        text.put(byte: 46)
        text.put(number: (until &- min(now, until)) % 1_000_000_000 / 100_000_000)
    }

    private func end(_ writer: TextWriter) {
        var text = writer
        text.put("}\n")
        events.append(text.start, text.count)
    }

    func noteBreaker(_ kind: EventKind, _ upstream: UnsafeMutablePointer<PlanUpstream>, _ traffic: TrafficClass) {
        var text = begin(kind)
        member("upstream", upstream.pointee.name.raw, &text)
        switch traffic {
        case .model: word("traffic_class", "model", &text)
        case .tool: word("traffic_class", "tool", &text)
        case .http: word("traffic_class", "http", &text)
        }
        if kind == .breakerOpened || kind == .breakerReopened { seconds("seconds", until: shared.outlook.breaker(upstream.pointee.place, traffic).openUntil, &text) }
        end(text)
    }

    func noteKey(
        _ kind: EventKind, _ upstream: UnsafeMutablePointer<PlanUpstream>, _ key: UnsafeMutablePointer<PlanKey>, _ candidate: Candidate, _ exchange: UnsafeMutablePointer<Exchange>
    ) {
        var text = begin(kind)
        member("upstream", upstream.pointee.name.raw, &text)
        member("key_id", key.pointee.id.raw, &text)
        if kind == .keyCooled { member("model", candidate.hasModel ? candidate.model.id.raw : exchange.pointee.requestedModel, &text) }
        if let cooling = shared.outlook.cooldowns(key.pointee.place).until(model: modelHash(exchange, candidate), now: now) { seconds("seconds", until: cooling.until, &text) }
        end(text)
    }

    func noteEndpoint(_ kind: EventKind, _ upstream: UnsafeMutablePointer<PlanUpstream>, _ endpoint: UnsafeMutablePointer<PlanEndpoint>?) {
        var text = begin(kind)
        member("upstream", upstream.pointee.name.raw, &text)
        if let endpoint {
            member("endpoint", endpoint.pointee.origin.raw, &text)
            if kind == .endpointEjected { seconds("seconds", until: shared.outlook.outlier(endpoint.pointee.place).ejectedUntil, &text) }
        }
        end(text)
    }

    /// Events that each request may bring: one a second of each worker is enough, the counters tell how many there were.
    private static let pacedNanoseconds: UInt64 = 1_000_000_000

    func noteRoute(_ kind: EventKind, _ exchange: UnsafeMutablePointer<Exchange>, _ errorClass: ErrorClass) {
        guard now &- retriesToldAt >= Self.pacedNanoseconds else { return }
        retriesToldAt = now
        var text = begin(kind)
        member("route_id", exchange.pointee.plan.pointee.routes[Int(exchange.pointee.route)].pointee.id.raw, &text)
        word("class", errorClass.name, &text)
        end(text)
    }

    func noteDowngrade(_ exchange: UnsafeMutablePointer<Exchange>) {
        guard now &- downgradeToldAt >= Self.pacedNanoseconds else { return }
        downgradeToldAt = now
        var text = begin(.downgrade)
        member("route_id", exchange.pointee.plan.pointee.routes[Int(exchange.pointee.route)].pointee.id.raw, &text)
        writeDowngradeMembers(exchange, &text)
        end(text)
    }

    /// Members of a JSON object, a comma in front of each.
    func writeDowngradeMembers(_ exchange: UnsafeMutablePointer<Exchange>, _ text: inout TextWriter) {
        let candidate = exchange.pointee.candidates[Int(exchange.pointee.attempts[exchange.pointee.attemptCount - 1].candidate)]
        member("from", exchange.pointee.requestedModel, &text)
        member("to", candidate.model.id.raw, &text)
        word("reason", downgradeReason(exchange), &text)
        let lost = lostAbilities(exchange)
        if lost != 0 {
            text.put(",\"lost\":[")
            var isFirst = true
            for at in 0..<PlanModelFacts.abilityNames.count where lost & (1 << UInt8(at)) != 0 {
                text.put(isFirst ? "\"" : ",\"")
                text.put(PlanModelFacts.abilityNames[at])
                text.put(byte: 34)
                isFirst = false
            }
            text.put(byte: 93)
        }
        let window = smallerWindow(exchange)
        if window > 0 {
            text.put(",\"window\":")
            text.put(number: UInt64(window))
        }
    }
}
