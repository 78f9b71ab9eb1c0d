// What all workers know together of upstreams, endpoints, keys, targets and routes: words of shared memory, found by the places that the Registry hands
// out. The views that give them a meaning are ClawPolicy's (`Breaker`, `Cooldowns` …); all zeroes is where everything begins. The tables are reserved
// whole and touched where they are used.
import ClawPolicy
import ClawWire
import Glibc
import Synchronization

final class Outlook: @unchecked Sendable {
    /// Words of one upstream: a breaker for each class of traffic, its limit of concurrency, counters.
    static let upstreamStride = 512
    /// Of one endpoint: passive and active health.
    static let endpointStride = 32
    /// Of one key: cool-downs and what is known of its quota.
    static let keyStride = 256
    /// Of one target (upstream and model): its latencies.
    static let targetStride = 128
    /// Of one route: the retry budget, canaries, hedges.
    static let routeStride = 128

    private let upstreams: Words
    private let endpoints: Words
    private let keys: Words
    private let targets: Words
    private let routes: Words
    let canariesMade = Atomic<Int>(0)

    init() {
        precondition(Self.fits, "each view has room in its place")
        upstreams = Self.reserve(Registry.Place.upstream.capacity * Self.upstreamStride)
        endpoints = Self.reserve(Registry.endpointsMax * Self.endpointStride)
        keys = Self.reserve(Registry.Place.key.capacity * Self.keyStride)
        targets = Self.reserve(Registry.Place.target.capacity * Self.targetStride)
        routes = Self.reserve(Registry.Place.route.capacity * Self.routeStride)
    }

    deinit {
        freeCanaries()
        for words in [upstreams, endpoints, keys, targets, routes] { free(words) }
    }

    /// Zeroed memory that costs nothing until it is touched.
    private static func reserve(_ words: Int) -> Words {
        guard let memory = calloc(words, 8) else { fatalError("no memory for \(words) words") }
        return memory.assumingMemoryBound(to: Atomic<UInt64>.self)
    }

    func upstream(_ place: Int) -> Words { upstreams + place * Self.upstreamStride }
    func endpoint(_ place: Int) -> Words { endpoints + place * Self.endpointStride }
    func key(_ place: Int) -> Words { keys + place * Self.keyStride }
    func target(_ place: Int) -> Words { targets + place * Self.targetStride }
    func route(_ place: Int) -> Words { routes + place * Self.routeStride }

    /// Another endpoint takes this place; nobody uses the words.
    func cleanEndpoint(_ place: Int) {
        let words = endpoint(place)
        for at in 0..<Self.endpointStride { words[at].store(0, ordering: .relaxed) }
    }

    // MARK: hashes

    /// FNV-1a with a finisher; never 0. For names, not for secrets to be told by.
    static func hash(_ bytes: UnsafeRawBufferPointer) -> UInt64 {
        var h: UInt64 = 0xcbf2_9ce4_8422_2325
        for byte in bytes { h = (h ^ UInt64(byte)) &* 0x100_0000_01b3 }
        h ^= h >> 32
        h = h &* 0xd6e8_feb8_6659_fd93
        h ^= h >> 32
        return h | 1
    }

    static func hash(_ text: String) -> UInt64 {
        var text = text
        return text.withUTF8 { hash(UnsafeRawBufferPointer($0)) }
    }

    /// SHA-256, as words that compare in constant time.
    static func digest(_ bytes: UnsafeRawBufferPointer) -> (UInt64, UInt64, UInt64, UInt64) {
        var out: (UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0)
        withUnsafeMutableBytes(of: &out) { SHA256.digest(of: bytes, into: $0.baseAddress.unsafelyUnwrapped.assumingMemoryBound(to: UInt8.self)) }
        return out
    }

    static func digest(_ bytes: [UInt8]) -> (UInt64, UInt64, UInt64, UInt64) { bytes.withUnsafeBytes { digest($0) } }
}
