// Routing: the first route whose conditions all hold, then the ordered list of candidates its strategy makes. Pure over the plan, the request and
// the worker's rotation state and random numbers.
import CScan
import CClaw
import ClawConfig
import ClawWire
import Glibc

extension Worker {
    // MARK: match

    func matchRoute(_ exchange: UnsafeMutablePointer<Exchange>) -> Int? {
        let routes = exchange.pointee.plan.pointee.routes
        for at in 0..<routes.count where matchesHead(exchange, routes[at]) && matchesBody(exchange, routes[at]) { return at }
        return nil
    }

    /// Before the body is there: is there a route whose other conditions hold?
    func mightRoute(_ exchange: UnsafeMutablePointer<Exchange>) -> Bool {
        let routes = exchange.pointee.plan.pointee.routes
        for at in 0..<routes.count where matchesHead(exchange, routes[at]) { return true }
        return false
    }

    func matchesHead(_ exchange: UnsafeMutablePointer<Exchange>, _ route: UnsafeMutablePointer<PlanRoute>) -> Bool {
        if route.pointee.methods != 0, route.pointee.methods & (1 << UInt16(exchange.pointee.method.rawValue)) == 0 { return false }
        if route.pointee.listeners != 0, !matchesListener(exchange, route) { return false }
        switch route.pointee.path {
        case .any: break
        case .exact(let text):
            if !text.equals(exchange.pointee.path) { return false }
        case .prefix(let text):
            let path = exchange.pointee.path
            guard path.count >= text.count, sameBytes(path.baseAddress, text.base, text.count) else { return false }
        case .template(let segments):
            if !matchesTemplate(exchange.pointee.path, segments) { return false }
        }
        if route.pointee.hosts.count > 0, !matchesHost(exchange, route) { return false }
        if route.pointee.hasClientConditions, !matchesClient(exchange, route) { return false }
        if route.pointee.headers.count > 0 {
            for at in 0..<route.pointee.headers.count where !matchesHeader(exchange, route.pointee.headers[at]) { return false }
        }
        if route.pointee.query.count > 0 {
            for at in 0..<route.pointee.query.count where !matchesQuery(exchange, route.pointee.query[at]) { return false }
        }
        return true
    }

    @inline(__always)
    private func matchesListener(_ exchange: UnsafeMutablePointer<Exchange>, _ route: UnsafeMutablePointer<PlanRoute>) -> Bool {
        route.pointee.listeners & (1 << UInt64(connections.base[Int(exchange.pointee.connection)].listener & 63)) != 0
    }

    /// Conditions on the client's certificate. Without one, only `present: false` holds.
    private func matchesClient(_ exchange: UnsafeMutablePointer<Exchange>, _ route: UnsafeMutablePointer<PlanRoute>) -> Bool {
        let certificate = connections.base[Int(exchange.pointee.connection)].clientCertificate
        if let test = route.pointee.clientSubject {
            let subject = certificate?.pointee.subject.raw
            if !holds(test, anyOf: subject, separator: nil) { return false }
        }
        if let test = route.pointee.clientName {
            let names = certificate?.pointee.names.raw
            if !holds(test, anyOf: names, separator: UInt8(ascii: ",")) { return false }
        }
        return true
    }

    /// The test on a text, or on each part of it; an empty text is none.
    private func holds(_ test: PlanTextTest, anyOf text: UnsafeRawBufferPointer?, separator: UInt8?) -> Bool {
        let isPresent = text.map { $0.count > 0 } ?? false
        if case .present(let wanted) = test { return wanted == isPresent }
        guard isPresent, let text else { return false }
        guard let separator else { return holds(test, text) }
        var at = 0
        while true {
            var end = at
            while end < text.count, text[end] != separator { end += 1 }
            if end > at, holds(test, UnsafeRawBufferPointer(rebasing: text[at..<end])) { return true }
            if end == text.count { return false }
            at = end + 1
        }
    }

    private func matchesTemplate(_ path: UnsafeRawBufferPointer, _ segments: List<PlanSegment>) -> Bool {
        var at = 0
        for index in 0..<segments.count {
            guard at < path.count, path[at] == 47 else { return false }
            at += 1
            var end = at
            while end < path.count, path[end] != 47 { end += 1 }
            if segments[index].pointee.isVariable {
                if end == at { return false }
            } else if !segments[index].pointee.literal.equals(UnsafeRawBufferPointer(rebasing: path[at..<end])) {
                return false
            }
            at = end
        }
        return at == path.count
    }

    private func matchesHost(_ exchange: UnsafeMutablePointer<Exchange>, _ route: UnsafeMutablePointer<PlanRoute>) -> Bool {
        var length = requestHead.hostLength
        let host = exchange.pointee.headBase + requestHead.hostOffset
        // The port does not take part; an IPv6 literal keeps its brackets.
        var at = length
        while at > 0 {
            at -= 1
            if host[at] == 58 {
                length = at
                break
            }
            if host[at] == 93 { break }
        }
        guard length <= 255 else { return false }
        for index in 0..<length {
            let c = host[index]
            scratch[index] = c >= 65 && c <= 90 ? c + 32 : c
        }
        for index in 0..<route.pointee.hosts.count {
            let wanted = route.pointee.hosts[index].pointee
            if wanted.count > 2, wanted.base[0] == 42 {
                let tail = wanted.count - 1
                if length > tail, memcmp(scratch + (length - tail), wanted.base + 1, tail) == 0 { return true }
            } else if wanted.equals(scratch, length) {
                return true
            }
        }
        return false
    }

    private func matchesHeader(_ exchange: UnsafeMutablePointer<Exchange>, _ test: UnsafeMutablePointer<PlanNamedTest>) -> Bool {
        let base = exchange.pointee.headBase
        var isPresent = false
        for at in 0..<requestHead.fieldCount {
            let field = requestHead.fields[at]
            guard Int(field.nameLength) == test.pointee.name.count,
                strncasecmp(UnsafeRawPointer(base + Int(field.nameOffset)).assumingMemoryBound(to: CChar.self),
                    UnsafeRawPointer(test.pointee.name.base).assumingMemoryBound(to: CChar.self), test.pointee.name.count) == 0
            else { continue }
            isPresent = true
            if holds(test.pointee.test, UnsafeRawBufferPointer(start: base + Int(field.valueOffset), count: Int(field.valueLength))) { return true }
        }
        if case .present(let wanted) = test.pointee.test { return wanted == isPresent }
        return false
    }

    private func holds(_ test: PlanTextTest, _ value: UnsafeRawBufferPointer) -> Bool {
        switch test {
        case .equals(let text): text.equals(value)
        case .regex(let regex): regex._withUnsafeGuaranteedRef { $0.matches(value) }
        case .present(let wanted): wanted
        }
    }

    /// Query parameters are compared after percent-decoding, "+" as space.
    private func matchesQuery(_ exchange: UnsafeMutablePointer<Exchange>, _ test: UnsafeMutablePointer<PlanNamedTest>) -> Bool {
        let query = exchange.pointee.query
        var isPresent = false
        var at = 0
        while exchange.pointee.hasQuery, at < query.count {
            var end = at
            while end < query.count, query[end] != 38 { end += 1 }
            var equal = at
            while equal < end, query[equal] != 61 { equal += 1 }
            if let name = decodeQuery(query, at, equal), name == test.pointee.name.count, memcmp(scratch, test.pointee.name.base, name) == 0 {
                isPresent = true
                if let value = equal < end ? decodeQuery(query, equal + 1, end) : 0,
                    holds(test.pointee.test, UnsafeRawBufferPointer(start: scratch, count: value))
                {
                    return true
                }
            }
            at = end + 1
        }
        if case .present(let wanted) = test.pointee.test { return wanted == isPresent }
        return false
    }

    /// Decodes a part of the query into `scratch`; how long it is there, nil when it does not fit (`server.max_target_kb` goes beyond it).
    func decodeQuery(_ query: UnsafeRawBufferPointer, _ from: Int, _ to: Int) -> Int? {
        if to - from > Self.scratchBytes { return nil }
        let into = scratch
        func digit(_ c: UInt8) -> UInt8? {
            switch c {
            case 48...57: c - 48
            case 65...70: c - 55
            case 97...102: c - 87
            default: nil
            }
        }
        var count = 0
        var at = from
        while at < to {
            var c = query[at]
            if c == 37, at + 2 < to, let high = digit(query[at + 1]), let low = digit(query[at + 2]) {
                c = high << 4 | low
                at += 2
            } else if c == 43 {
                c = 32
            }
            into[count] = c
            count += 1
            at += 1
        }
        return count
    }

    // MARK: body conditions

    private func matchesBody(_ exchange: UnsafeMutablePointer<Exchange>, _ route: UnsafeMutablePointer<PlanRoute>) -> Bool {
        if route.pointee.body.count == 0 { return true }
        guard exchange.pointee.bodyIsJSON, let body = exchange.pointee.bodyBase else { return false }
        for at in 0..<route.pointee.body.count {
            let condition = route.pointee.body[at]
            let span = spans[condition.pointee.path]
            if condition.pointee.path == PolicyPath.model, exchange.pointee.surface.hasModelInPath {
                if !holds(condition.pointee.test, model: exchange.pointee.requestedModel) { return false }
            } else if !holds(condition.pointee.test, span, body) {
                return false
            }
        }
        return true
    }

    /// A condition on `model` where the model is in the path: it is a string like any other.
    private func holds(_ test: PlanBodyTest, model: UnsafeRawBufferPointer) -> Bool {
        func isModel(_ value: PlanScalar) -> Bool { if case .string(let wanted) = value { wanted.equals(model) } else { false } }
        switch test {
        case .exists(let wanted): return wanted
        case .equals(let value): return isModel(value)
        case .notEquals(let value): return !isModel(value)
        case .isIn(let values):
            for at in 0..<values.count where isModel(values[at].pointee) { return true }
            return false
        case .regex(let regex): return regex._withUnsafeGuaranteedRef { $0.matches(model) }
        case .contains(let value):
            guard case .string(let wanted) = value else { return false }
            return wanted.count == 0 || cscan_find(model.baseAddress, model.count, wanted.base, wanted.count) < model.count
        case .lt, .lte, .gt, .gte: return false
        }
    }

    private func holds(_ test: PlanBodyTest, _ span: JSONSpan, _ body: UnsafeMutablePointer<UInt8>) -> Bool {
        switch test {
        case .exists(let wanted): return wanted == (span.kind != .missing)
        case .equals(let value): return equals(span, body, value)
        case .notEquals(let value): return span.kind != .missing && !equals(span, body, value)
        case .isIn(let values):
            for at in 0..<values.count where equals(span, body, values[at].pointee) { return true }
            return false
        case .regex(let regex):
            guard span.kind == .string, let text = text(span, body) else { return false }
            return regex._withUnsafeGuaranteedRef { $0.matches(text) }
        case .lt(let bound): return number(span, body).map { $0 < bound } ?? false
        case .lte(let bound): return number(span, body).map { $0 <= bound } ?? false
        case .gt(let bound): return number(span, body).map { $0 > bound } ?? false
        case .gte(let bound): return number(span, body).map { $0 >= bound } ?? false
        case .contains(let value): return contains(span, body, value)
        }
    }

    private func equals(_ span: JSONSpan, _ body: UnsafeMutablePointer<UInt8>, _ value: PlanScalar) -> Bool {
        switch value {
        case .string(let wanted):
            guard span.kind == .string else { return false }
            if !span.isEscaped { return wanted.equals(body + span.offset + 1, span.length - 2) }
            return text(span, body).map { wanted.equals($0) } ?? false
        case .number(let wanted): return number(span, body) == wanted
        case .bool(let wanted): return span.kind == .bool && span.isTrue == wanted
        case .null: return span.kind == .null
        }
    }

    private func number(_ span: JSONSpan, _ body: UnsafeMutablePointer<UInt8>) -> Double? {
        guard span.kind == .number else { return nil }
        return JSONNumber.parse(UnsafeRawBufferPointer(start: body + span.offset, count: span.length))
    }

    /// A string's text without quotes, unescaped into scratch where need be; nil when it is longer than scratch.
    private func text(_ span: JSONSpan, _ body: UnsafeMutablePointer<UInt8>) -> UnsafeRawBufferPointer? {
        let inner = UnsafeRawBufferPointer(start: body + span.offset + 1, count: span.length - 2)
        if !span.isEscaped { return inner }
        guard inner.count <= Self.scratchBytes,
            let count = JSONText.unescape(UnsafeRawBufferPointer(start: body + span.offset, count: span.length), into: UnsafeMutableRawBufferPointer(start: scratch, count: Self.scratchBytes))
        else { return nil }
        return UnsafeRawBufferPointer(start: scratch, count: count)
    }

    /// A substring of a string, or an element of an array of scalars.
    private func contains(_ span: JSONSpan, _ body: UnsafeMutablePointer<UInt8>, _ value: PlanScalar) -> Bool {
        if span.kind == .string, case .string(let wanted) = value, let text = text(span, body) {
            return wanted.count == 0 || cscan_find(text.baseAddress, text.count, wanted.base, wanted.count) < text.count
        }
        guard span.kind == .array else { return false }
        var elements = ArrayElements(base: body, from: span.offset + 1, to: span.offset + span.length - 1)
        while let element = elements.next() {
            if equals(element, body, value) { return true }
        }
        return false
    }

    // MARK: candidates

    /// Fills the exchange's candidates in the order they are to be tried.
    func chooseCandidates(_ exchange: UnsafeMutablePointer<Exchange>, _ route: UnsafeMutablePointer<PlanRoute>) {
        let targets = route.pointee.targets
        let first = firstTarget(exchange, route)
        var count = 0
        var passedBy = 0
        for round in 0..<2 {
            for step in 0..<targets.count {
                if count == 6 { break }
                let at = (first + step) % targets.count
                let isUnavailable = route.pointee.strategy == .firstAvailable && !isAvailable(exchange, targets[at])
                // Unavailable ones come last, not never: the last usable target is never taken away.
                if isUnavailable != (round == 1) {
                    passedBy += 1
                    continue
                }
                if targets[at].pointee.weight == 0, route.pointee.strategy == .weightedRandom || route.pointee.strategy == .weightedRoundRobin { continue }
                guard let candidate = candidate(exchange, route, targets[at]) else { continue }
                exchange.pointee.candidates[count] = candidate
                count += 1
            }
            if passedBy == 0 || route.pointee.strategy != .firstAvailable { break }
        }
        exchange.pointee.candidateCount = count
        exchange.pointee.candidateNext = 0
    }

    private func isAvailable(_ exchange: UnsafeMutablePointer<Exchange>, _ target: UnsafeMutablePointer<PlanTarget>) -> Bool {
        let upstream = exchange.pointee.plan.pointee.upstreams[target.pointee.upstream]
        for at in 0..<upstream.pointee.endpoints.count {
            if claw_word_load_relaxed(shared.unavailableUntil + upstream.pointee.endpoints[at].pointee.place) <= now { return true }
        }
        return false
    }

    /// Where in the route's list this request begins.
    private func firstTarget(_ exchange: UnsafeMutablePointer<Exchange>, _ route: UnsafeMutablePointer<PlanRoute>) -> Int {
        let targets = route.pointee.targets
        if targets.count < 2 { return 0 }
        let plan = exchange.pointee.plan
        let words = plan.pointee.rotation + index * plan.pointee.rotationStride + route.pointee.rotationOffset
        switch route.pointee.strategy {
        case .failover, .firstAvailable: return 0
        case .roundRobin:
            words[0] = (words[0] + 1) % Int64(targets.count)
            return Int((words[0] + Int64(targets.count) - 1) % Int64(targets.count))
        case .weightedRoundRobin:
            // Smooth weighted round robin: each gains its weight, the richest is taken and pays the total.
            var best = 0
            for at in 0..<targets.count {
                words[1 + at] += Int64(targets[at].pointee.weight)
                if words[1 + at] > words[1 + best] { best = at }
            }
            words[1 + best] -= Int64(route.pointee.weightTotal)
            return best
        case .weightedRandom:
            guard route.pointee.weightTotal > 0 else { return 0 }
            var point = Int(nextRandom() % UInt64(route.pointee.weightTotal))
            for at in 0..<targets.count {
                point -= targets[at].pointee.weight
                if point < 0 { return at }
            }
            return 0
        }
    }

    /// The target as a candidate for this request's model; nil when it does not serve it.
    private func candidate(
        _ exchange: UnsafeMutablePointer<Exchange>, _ route: UnsafeMutablePointer<PlanRoute>, _ target: UnsafeMutablePointer<PlanTarget>
    ) -> Candidate? {
        let upstream = exchange.pointee.plan.pointee.upstreams[target.pointee.upstream]
        let index = Int32(target.pointee.upstream)
        if upstream.pointee.endpoints.count == 0 { return nil }
        if !upstream.pointee.isModel { return Candidate(upstream: index, hasModel: false, model: target.pointee.model) }
        if target.pointee.hasModel { return Candidate(upstream: index, hasModel: true, model: resolve(upstream, target.pointee.model) ?? target.pointee.model) }
        guard exchange.pointee.modelSpan.kind == .string || exchange.pointee.surface.hasModelInPath || exchange.pointee.tunnel?.pointee.modelCount ?? 0 > 0 else {
            // A request that names no model (GET /v1/files …) goes through as it is; a model request without one goes nowhere.
            return exchange.pointee.surface.isModel && exchange.pointee.method == .post ? nil : Candidate(upstream: index, hasModel: false, model: target.pointee.model)
        }
        guard let asked = askedModel(exchange) else { return nil }
        for at in 0..<route.pointee.modelMap.count where route.pointee.modelMap[at].pointee.from.equals(asked) {
            let mapped = route.pointee.modelMap[at].pointee.to
            return Candidate(upstream: index, hasModel: true, model: resolve(upstream, mapped) ?? mapped)
        }
        if upstream.pointee.models.count > 0 {
            for at in 0..<upstream.pointee.models.count {
                let entry = upstream.pointee.models[at]
                if entry.pointee.from.equals(asked) {
                    return Candidate(upstream: index, hasModel: true, model: entry.pointee.to)
                }
            }
            return nil
        }
        return Candidate(upstream: index, hasModel: false, model: target.pointee.model)
    }

    /// The requested model, unescaped: from the query of a request that asks for a tunnel, else from the body.
    private func askedModel(_ exchange: UnsafeMutablePointer<Exchange>) -> UnsafeRawBufferPointer? {
        if let tunnel = exchange.pointee.tunnel, tunnel.pointee.modelCount > 0 { return exchange.pointee.requestedModel }
        if exchange.pointee.surface.hasModelInPath { return exchange.pointee.requestedModel }
        guard let body = exchange.pointee.bodyBase else { return nil }
        return text(exchange.pointee.modelSpan, body)
    }

    /// An alias of this upstream stands for the id behind it.
    private func resolve(_ upstream: UnsafeMutablePointer<PlanUpstream>, _ model: PlanServed) -> PlanServed? {
        for at in 0..<upstream.pointee.models.count where upstream.pointee.models[at].pointee.from.equals(model.id.base, model.id.count) {
            return upstream.pointee.models[at].pointee.to
        }
        return nil
    }
}

extension Bytes {
    @inline(__always)
    func equals(_ raw: UnsafeRawBufferPointer) -> Bool {
        raw.count == count && sameBytes(base, raw.baseAddress, count)
    }
}

/// Walks the elements of a JSON array that has been validated before; nested values are passed over as wholes.
struct ArrayElements {
    let base: UnsafeMutablePointer<UInt8>
    var from: Int
    let to: Int

    mutating func next() -> JSONSpan? {
        while from < to, base[from] == 32 || base[from] == 44 || (base[from] >= 9 && base[from] <= 13) { from += 1 }
        if from >= to { return nil }
        var span = JSONSpan()
        span.offset = from
        var depth = 0
        var at = from
        while at < to {
            let c = base[at]
            if c == 34 {
                at += 1
                while at < to, base[at] != 34 {
                    if base[at] == 92 {
                        at += 1
                        if depth == 0 { span.isEscaped = true }
                    }
                    at += 1
                }
            } else if c == 91 || c == 123 {
                depth += 1
            } else if c == 93 || c == 125 {
                depth -= 1
            } else if c == 44, depth == 0 {
                break
            }
            at += 1
        }
        var end = min(at, to)
        while end > from, base[end - 1] == 32 || (base[end - 1] >= 9 && base[end - 1] <= 13) { end -= 1 }
        span.length = end - from
        switch base[from] {
        case 34: span.kind = .string
        case 91: span.kind = .array
        case 123: span.kind = .object
        case 116, 102: span.kind = .bool; span.isTrue = base[from] == 116
        case 110: span.kind = .null
        default: span.kind = .number
        }
        from = at
        return span
    }
}
