// Finds the routes that may take a request without asking all of them. Made with the plan, read by every worker.
//
// Routes are bits of a set, in the order of the file. Each kind of condition that some route has is a dimension: the path, the host, the method, the
// names of the commonest headers … In each dimension the routes that could take the request are those that do not ask (`free`), those whose condition is
// none that can be looked up, such as a regex (`present`), and those that ask for the value this request has, which a hash table leads to. The sets of
// all dimensions, one ANDed with the other, leave the few routes that are then looked at in full, the first first. So a decision costs a look-up for each
// dimension and a pass over a bit per route and dimension: 10,000 routes are 157 words.
//
// The hash table holds hashes, not values: where two values collide a route too many is looked at, never one too few.
import CScan
import ClawPolicy
import ClawWire
import Glibc

struct RouteIndex {
    static let routesMax = 32_768
    static let wordsMax = routesMax / 64
    /// So few routes are looked at one after the other, which is quicker.
    static let linearMax = 8

    struct Slot {
        /// 0: empty.
        var hash: UInt64
        /// Where its routes begin in `postings`, or the number of a set.
        var start: UInt32
        /// -1: a set.
        var count: Int32
    }

    enum Kind: UInt8 { case path, host, method, listener, header, query, keyID, keyTenant, keyTag, body }

    struct Dimension {
        var kind: Kind
        /// Of a header (in lower case) or of a query's parameter.
        var name: Bytes
        /// Of a body's value.
        var path: Int
        /// Sets: the routes that may take a request without such a value, and those that may take one with any.
        var absent: UInt32
        var present: UInt32
        /// Longer values are none of those looked up.
        var valueBytesMax: Int
        /// Hashes of this dimension begin with it.
        var seed: UInt64
    }

    var routeCount: Int
    /// Of a set; 0: there is no index.
    var words: Int
    var slots: UnsafeMutablePointer<Slot>
    var slotMask: Int
    var postings: UnsafeMutablePointer<UInt16>
    var sets: UnsafeMutablePointer<UInt64>
    var dimensions: List<Dimension>
    /// The set of the routes without conditions on the body.
    var bodiless: UInt32
    /// What of a path can matter: the longest exact one and prefix, the segments of the longest template, and which of its segments are looked up, a bit each.
    var exactBytesMax: Int
    var prefixBytesMax: Int
    var templateSegmentsMax: Int
    var templatePlaces: UInt64
    /// Sets by method and by listener.
    var methods: InlineArray<16, UInt32>
    var listeners: InlineArray<64, UInt32>
    var hasHostTails: Bool

    @inline(__always)
    func set(_ number: UInt32) -> UnsafeMutablePointer<UInt64> { sets + Int(number) * words }

    // MARK: hashes

    enum Seed {
        static let exact: UInt64 = 0x51_0001, prefix: UInt64 = 0x51_0002, template: UInt64 = 0x51_0003, bareTemplate: UInt64 = 0x51_0004
        static let host: UInt64 = 0x51_0005, hostTail: UInt64 = 0x51_0006, value: UInt64 = 0x51_0100
    }
    static let fnvStart: UInt64 = 0xcbf2_9ce4_8422_2325
    static let fnvPrime: UInt64 = 0x100_0000_01b3

    /// Ends a hash; never 0.
    @inline(__always)
    static func finish(_ state: UInt64, _ seed: UInt64) -> UInt64 {
        var z = (state ^ (seed &* 0x9e37_79b9_7f4a_7c15)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 29)) &* 0x94d0_49bb_1331_11eb
        return (z ^ (z >> 32)) | 1
    }

    /// Of a value: eight bytes at a time.
    @inline(__always)
    static func hash(_ text: UnsafeRawBufferPointer, _ seed: UInt64) -> UInt64 {
        var state = fnvStart ^ UInt64(truncatingIfNeeded: text.count)
        var at = 0
        while at + 8 <= text.count {
            state = (state ^ text.loadUnaligned(fromByteOffset: at, as: UInt64.self)) &* 0x9ddf_ea08_eb38_2d69
            state ^= state >> 32
            at += 8
        }
        var tail: UInt64 = 0
        while at < text.count {
            tail = tail << 8 | UInt64(text[at])
            at += 1
        }
        return finish((state ^ tail) &* 0x9ddf_ea08_eb38_2d69, seed)
    }

    /// Of a path or a piece of it, byte by byte, so that it can be told at each slash.
    static func pathHash(_ text: UnsafeRawBufferPointer) -> UInt64 {
        var state = fnvStart
        for byte in text { state = (state ^ UInt64(byte)) &* fnvPrime }
        return state
    }

    /// Of a host's tail, from its end: told at each dot.
    static func tailHash(_ text: UnsafeRawBufferPointer) -> UInt64 {
        var state = fnvStart
        var at = text.count
        while at > 0 {
            at -= 1
            state = (state ^ UInt64(text[at])) &* fnvPrime
        }
        return state
    }

    static func templateSeed(segments: Int, place: Int) -> UInt64 { Seed.template &+ UInt64(truncatingIfNeeded: segments) << 32 &+ UInt64(truncatingIfNeeded: place) << 48 }
    static func bareTemplateHash(segments: Int) -> UInt64 { finish(UInt64(truncatingIfNeeded: segments), Seed.bareTemplate) }

    // MARK: the sets of a request

    /// Fills the view's `bits` with the routes that may take its request; without the body's conditions where `part` is `head`.
    func search(_ view: UnsafeMutablePointer<RequestView>, _ part: RouteSearch.Part) {
        let bits = view.pointee.bits, union = view.pointee.union
        var isFirst = true
        @inline(__always) func narrow(_ from: UnsafeMutablePointer<UInt64>) {
            if isFirst {
                bits.update(from: from, count: words)
                isFirst = false
            } else {
                for at in 0..<words { bits[at] &= from[at] }
            }
        }
        let looksAtBody = part == .all && view.pointee.bodyIsJSON && view.pointee.body != nil
        if part == .all, !looksAtBody { narrow(set(bodiless)) }
        for number in 0..<dimensions.count {
            let dimension = dimensions[number]
            switch dimension.pointee.kind {
            case .method: narrow(set(methods[Int(view.pointee.method.rawValue & 15)]))
            case .listener: narrow(set(listeners[Int(view.pointee.listener & 63)]))
            case .path:
                union.update(from: set(dimension.pointee.present), count: words)
                addPaths(view.pointee.path, union)
                narrow(union)
            case .host:
                union.update(from: set(dimension.pointee.absent), count: words)
                addHosts(view, union)
                narrow(union)
            case .header:
                var isPresent = false
                for at in 0..<view.pointee.fieldCount where view.pointee.isNamed(view.pointee.fields[at], dimension.pointee.name) {
                    begin(dimension, union, &isPresent)
                    add(dimension, view.pointee.value(view.pointee.fields[at]), union)
                }
                narrow(isPresent ? union : set(dimension.pointee.absent))
            case .query:
                var isPresent = false
                var parameters = QueryParameters(view.pointee.query, view.pointee.hasQuery)
                while parameters.next() {
                    guard parameters.isNamed(dimension.pointee.name, view.pointee.scratch) else { continue }
                    begin(dimension, union, &isPresent)
                    if let value = parameters.value(view.pointee.scratch) { add(dimension, value, union) }
                }
                narrow(isPresent ? union : set(dimension.pointee.absent))
            case .keyID, .keyTenant, .keyTag:
                if view.pointee.callerIsOpen { continue }
                guard view.pointee.caller >= 0 else {
                    narrow(set(dimension.pointee.absent))
                    continue
                }
                union.update(from: set(dimension.pointee.present), count: words)
                let caller = view.pointee.plan.pointee.callers[Int(view.pointee.caller)]
                switch dimension.pointee.kind {
                case .keyID: add(dimension, caller.pointee.id.raw, union)
                case .keyTenant: add(dimension, caller.pointee.tenant.raw, union)
                default: for at in 0..<caller.pointee.tags.count { add(dimension, caller.pointee.tags[at].pointee.raw, union) }
                }
                narrow(union)
            case .body:
                guard looksAtBody, let body = view.pointee.body else { continue }
                if dimension.pointee.path == PolicyPath.model, view.pointee.surface.hasModelInPath {
                    union.update(from: set(dimension.pointee.present), count: words)
                    add(dimension, view.pointee.requestedModel, union)
                    narrow(union)
                    continue
                }
                let span = view.pointee.spans[dimension.pointee.path]
                guard span.kind != .missing else {
                    narrow(set(dimension.pointee.absent))
                    continue
                }
                union.update(from: set(dimension.pointee.present), count: words)
                if span.kind == .string, span.length <= dimension.pointee.valueBytesMax * 6 + 2, let text = view.pointee.text(span, body) { add(dimension, text, union) }
                narrow(union)
            }
        }
        if isFirst {
            for at in 0..<words { bits[at] = ~0 }
        }
        // The last word holds bits of no route.
        if routeCount & 63 != 0 { bits[words - 1] &= (1 << UInt64(routeCount & 63)) - 1 }
    }

    @inline(__always)
    private func begin(_ dimension: UnsafeMutablePointer<Dimension>, _ union: UnsafeMutablePointer<UInt64>, _ isPresent: inout Bool) {
        if isPresent { return }
        isPresent = true
        union.update(from: set(dimension.pointee.present), count: words)
    }

    @inline(__always)
    private func add(_ dimension: UnsafeMutablePointer<Dimension>, _ value: UnsafeRawBufferPointer, _ union: UnsafeMutablePointer<UInt64>) {
        guard value.count <= dimension.pointee.valueBytesMax else { return }
        add(Self.hash(value, dimension.pointee.seed), union)
    }

    /// The routes of this hash, if any, come into the set.
    @inline(__always)
    private func add(_ hash: UInt64, _ union: UnsafeMutablePointer<UInt64>) {
        var at = Int(truncatingIfNeeded: hash) & slotMask
        while true {
            let slot = slots[at]
            if slot.hash == hash {
                if slot.count < 0 {
                    let routes = set(slot.start)
                    for word in 0..<words { union[word] |= routes[word] }
                } else {
                    for place in Int(slot.start)..<Int(slot.start) + Int(slot.count) {
                        let route = Int(postings[place])
                        union[route >> 6] |= 1 << UInt64(route & 63)
                    }
                }
                return
            }
            if slot.hash == 0 { return }
            at = (at + 1) & slotMask
        }
    }

    private func addPaths(_ path: UnsafeRawBufferPointer, _ union: UnsafeMutablePointer<UInt64>) {
        let count = path.count
        if path.count <= max(exactBytesMax, prefixBytesMax) || prefixBytesMax > 0 {
            var state = Self.fnvStart
            let end = count <= exactBytesMax ? count : min(count, prefixBytesMax)
            for at in 0..<end {
                let byte = path[at]
                state = (state ^ UInt64(byte)) &* Self.fnvPrime
                // Prefixes end with a slash.
                if byte == 47, at < prefixBytesMax { add(Self.finish(state, Seed.prefix), union) }
            }
            if end == count, count <= exactBytesMax { add(Self.finish(state, Seed.exact), union) }
        }
        guard templateSegmentsMax > 0, count > 0, path[0] == 47 else { return }
        var segments = 0
        for byte in path where byte == 47 {
            segments += 1
            if segments > templateSegmentsMax { return }
        }
        add(Self.bareTemplateHash(segments: segments), union)
        var at = 0
        for place in 0..<min(segments, 64) {
            at += 1
            var state = Self.fnvStart
            while at < count, path[at] != 47 {
                state = (state ^ UInt64(path[at])) &* Self.fnvPrime
                at += 1
            }
            if templatePlaces & (1 << UInt64(place)) != 0 { add(Self.finish(state, Self.templateSeed(segments: segments, place: place)), union) }
        }
    }

    private func addHosts(_ view: UnsafeMutablePointer<RequestView>, _ union: UnsafeMutablePointer<UInt64>) {
        guard let length = view.pointee.hostName() else { return }
        let host = UnsafeRawBufferPointer(start: view.pointee.hostText, count: length)
        add(Self.hash(host, Seed.host), union)
        guard hasHostTails else { return }
        var state = Self.fnvStart
        var at = length
        while at > 1 {
            at -= 1
            state = (state ^ UInt64(host[at])) &* Self.fnvPrime
            if host[at] == 46 { add(Self.finish(state, Seed.hostTail), union) }
        }
    }
}

/// Goes through the routes that may take a request, the first first. Uses the view's memory: one search at a time.
struct RouteSearch {
    enum Part {
        /// What can be told before the body is there.
        case head
        case all
    }
    private let routeCount: Int
    private let words: Int
    private var at = 0
    private var word: UInt64 = 0

    @inline(__always)
    init(_ view: UnsafeMutablePointer<RequestView>, _ part: Part) {
        routeCount = view.pointee.plan.pointee.index.routeCount
        words = view.pointee.plan.pointee.index.words
        guard words > 0 else { return }
        view.pointee.plan.pointee.index.search(view, part)
        word = view.pointee.bits[0]
    }

    @inline(__always)
    mutating func next(_ view: UnsafeMutablePointer<RequestView>) -> Int? {
        if words == 0 {
            guard at < routeCount else { return nil }
            at += 1
            return at - 1
        }
        while word == 0 {
            at += 1
            if at >= words { return nil }
            word = view.pointee.bits[at]
        }
        let bit = word.trailingZeroBitCount
        word &= word &- 1
        return at << 6 | bit
    }
}
