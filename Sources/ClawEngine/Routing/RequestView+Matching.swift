// Whether a route takes a request. Pure over the view and the plan.
import CScan
import ClawConfig
import ClawWire
import Glibc

extension RequestView {
    /// All conditions.
    @inline(__always)
    mutating func matches(_ route: UnsafeMutablePointer<PlanRoute>) -> Bool { headMismatch(route).isNone && bodyMismatch(route).isNone }

    /// The first condition that does not hold, of all.
    mutating func mismatch(_ route: UnsafeMutablePointer<PlanRoute>) -> Mismatch {
        let head = headMismatch(route)
        return head.isNone ? bodyMismatch(route) : head
    }

    /// Of the conditions that can be told before the body is there.
    mutating func headMismatch(_ route: UnsafeMutablePointer<PlanRoute>) -> Mismatch {
        if route.pointee.methods != 0, route.pointee.methods & (1 << UInt16(method.rawValue)) == 0 { return Mismatch(.method) }
        if route.pointee.listeners != 0, route.pointee.listeners & (1 << UInt64(listener & 63)) == 0 { return Mismatch(.listener) }
        switch route.pointee.path {
        case .any: break
        case .exact(let text):
            if !text.equals(path) { return Mismatch(.path) }
        case .prefix(let text):
            guard path.count >= text.count, sameBytes(path.baseAddress, text.base, text.count) else { return Mismatch(.path) }
        case .template(let segments):
            if !matchesTemplate(segments) { return Mismatch(.path) }
        }
        if route.pointee.hosts.count > 0, !matchesHost(route) { return Mismatch(.host) }
        if let test = route.pointee.clientSubject, !holds(test, anyOf: certificate?.pointee.subject.raw, separator: nil) { return Mismatch(.clientSubject) }
        if let test = route.pointee.clientName, !holds(test, anyOf: certificate?.pointee.names.raw, separator: UInt8(ascii: ",")) { return Mismatch(.clientName) }
        if route.pointee.headers.count > 0 {
            for at in 0..<route.pointee.headers.count where !matchesHeader(route.pointee.headers[at]) { return Mismatch(.header, at) }
        }
        if route.pointee.query.count > 0 {
            for at in 0..<route.pointee.query.count where !matchesQuery(route.pointee.query[at]) { return Mismatch(.query, at) }
        }
        return route.pointee.hasKeyConditions && !callerIsOpen ? keyMismatch(route) : .none
    }

    // MARK: who asks

    private func keyMismatch(_ route: UnsafeMutablePointer<PlanRoute>) -> Mismatch {
        let asked = caller >= 0 ? plan.pointee.callers[Int(caller)] : nil
        if route.pointee.keyIDs.count > 0 {
            guard let asked, isOne(asked.pointee.id, of: route.pointee.keyIDs) else { return Mismatch(.keyID) }
        }
        if route.pointee.keyTenants.count > 0 {
            guard let asked, isOne(asked.pointee.tenant, of: route.pointee.keyTenants) else { return Mismatch(.keyTenant) }
        }
        for at in 0..<route.pointee.keyTags.count {
            guard let asked, isOne(route.pointee.keyTags[at].pointee, of: asked.pointee.tags) else { return Mismatch(.keyTags, at) }
        }
        return .none
    }

    private func isOne(_ text: Bytes, of list: List<Bytes>) -> Bool {
        for at in 0..<list.count where list[at].pointee.equals(text.base, text.count) { return true }
        return false
    }

    /// The test on a text, or on each part of it; an empty text is none. Without a certificate, only `present: false` holds.
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

    // MARK: path and host

    private func matchesTemplate(_ segments: List<PlanSegment>) -> Bool {
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

    /// The host's name in `hostText`, in lower case; its length, nil when it is longer than any name.
    mutating func hostName() -> Int? {
        if hostLength >= 0 { return hostLength }
        if hostLength == -2 { return nil }
        var length = host.count
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
        guard length <= Self.hostBytesMax else {
            hostLength = -2
            return nil
        }
        for index in 0..<length {
            let c = host[index]
            hostText[index] = c >= 65 && c <= 90 ? c + 32 : c
        }
        hostLength = length
        return length
    }

    private mutating func matchesHost(_ route: UnsafeMutablePointer<PlanRoute>) -> Bool {
        guard let length = hostName() else { return false }
        for index in 0..<route.pointee.hosts.count {
            let wanted = route.pointee.hosts[index].pointee
            if wanted.count > 2, wanted.base[0] == 42 {
                let tail = wanted.count - 1
                if length > tail, memcmp(hostText + (length - tail), wanted.base + 1, tail) == 0 { return true }
            } else if wanted.equals(hostText, length) {
                return true
            }
        }
        return false
    }

    // MARK: fields and query

    /// Whether a field has this name (in lower case).
    @inline(__always)
    func isNamed(_ field: HTTPField, _ name: Bytes) -> Bool {
        Int(field.nameLength) == name.count
            && strncasecmp(
                UnsafeRawPointer(headBase + Int(field.nameOffset)).assumingMemoryBound(to: CChar.self), UnsafeRawPointer(name.base).assumingMemoryBound(to: CChar.self), name.count) == 0
    }

    @inline(__always)
    func value(_ field: HTTPField) -> UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: headBase + Int(field.valueOffset), count: Int(field.valueLength)) }

    /// The value of the first field of this name (in lower case).
    func field(_ name: Bytes) -> UnsafeRawBufferPointer? {
        for at in 0..<fieldCount where isNamed(fields[at], name) { return value(fields[at]) }
        return nil
    }

    private func matchesHeader(_ test: UnsafeMutablePointer<PlanNamedTest>) -> Bool {
        var isPresent = false
        for at in 0..<fieldCount where isNamed(fields[at], test.pointee.name) {
            isPresent = true
            if holds(test.pointee.test, value(fields[at])) { return true }
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
    private func matchesQuery(_ test: UnsafeMutablePointer<PlanNamedTest>) -> Bool {
        var parameters = QueryParameters(query, hasQuery)
        var isPresent = false
        while parameters.next() {
            guard parameters.isNamed(test.pointee.name, scratch) else { continue }
            isPresent = true
            if let value = parameters.value(scratch), holds(test.pointee.test, value) { return true }
        }
        if case .present(let wanted) = test.pointee.test { return wanted == isPresent }
        return false
    }
}

/// Walks a query's parameters; names and values are decoded into memory of `Worker.scratchBytes`.
struct QueryParameters {
    private let query: UnsafeRawBufferPointer
    private var at: Int
    private var from = 0, equal = 0, end = -1

    init(_ query: UnsafeRawBufferPointer, _ hasQuery: Bool) {
        self.query = query
        at = hasQuery ? 0 : query.count
    }

    mutating func next() -> Bool {
        guard at < query.count else { return false }
        from = at
        end = at
        while end < query.count, query[end] != 38 { end += 1 }
        equal = at
        while equal < end, query[equal] != 61 { equal += 1 }
        at = end + 1
        return true
    }

    func isNamed(_ name: Bytes, _ into: UnsafeMutablePointer<UInt8>) -> Bool {
        guard let length = Self.decode(query, from, equal, into) else { return false }
        return length == name.count && memcmp(into, name.base, length) == 0
    }

    func value(_ into: UnsafeMutablePointer<UInt8>) -> UnsafeRawBufferPointer? {
        guard equal < end else { return UnsafeRawBufferPointer(start: into, count: 0) }
        return Self.decode(query, equal + 1, end, into).map { UnsafeRawBufferPointer(start: into, count: $0) }
    }

    /// Decodes a part of the query; how long it is then, nil when it does not fit (`server.max_target_kb` goes beyond it).
    static func decode(_ query: UnsafeRawBufferPointer, _ from: Int, _ to: Int, _ into: UnsafeMutablePointer<UInt8>) -> Int? {
        if to - from > Worker.scratchBytes { return nil }
        var count = 0
        var at = from
        while at < to {
            var c = query[at]
            if c == 37, at + 2 < to, let high = Worker.hexDigit(query[at + 1]), let low = Worker.hexDigit(query[at + 2]) {
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
}
