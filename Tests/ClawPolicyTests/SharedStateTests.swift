@testable import ClawPolicy
import Glibc
import Synchronization
import Testing

/// Zeroed words for a view, freed with the test.
final class Memory: @unchecked Sendable {
    let words: Words
    init(_ count: Int) {
        let raw = UnsafeMutableRawPointer.allocate(byteCount: count * 8, alignment: 64)
        memset(raw, 0, count * 8)
        words = raw.bindMemory(to: Atomic<UInt64>.self, capacity: count)
    }
    deinit { UnsafeMutableRawPointer(words).deallocate() }
}

/// A small generator with a seed, so that a failure can be seen again.
struct SplitMix: RandomNumberGenerator {
    var state: UInt64
    init(_ seed: UInt64) { state = seed }
    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}

/// Runs the body on so many threads at once, each beginning when all are there; returns when all have ended.
func together(_ threads: Int, _ body: @escaping @Sendable (Int) -> Void) {
    final class Start: Sendable {
        let arrived = Atomic<Int>(0)
        let next = Atomic<Int>(0)
        let threads: Int
        let body: @Sendable (Int) -> Void
        init(_ threads: Int, _ body: @escaping @Sendable (Int) -> Void) { (self.threads, self.body) = (threads, body) }
    }
    let start = Start(threads, body)
    var handles: [pthread_t] = []
    for _ in 0 ..< threads {
        var handle = pthread_t()
        let made = pthread_create(&handle, nil, { context in
            guard let context else { return nil }
            let start = Unmanaged<Start>.fromOpaque(context).takeRetainedValue()
            let index = start.next.wrappingAdd(1, ordering: .relaxed).oldValue
            start.arrived.wrappingAdd(1, ordering: .acquiringAndReleasing)
            while start.arrived.load(ordering: .acquiring) < start.threads { sched_yield() }
            start.body(index)
            return nil
        }, Unmanaged.passRetained(start).toOpaque())
        precondition(made == 0, "a thread cannot be made")
        handles.append(handle)
    }
    for handle in handles { pthread_join(handle, nil) }
}

let milli: UInt64 = 1_000_000
let second: UInt64 = 1_000_000_000

@Suite struct SharedStateTests {
    @Test func arithmeticStopsAtItsEnds() {
        #expect(doubled(3, 0) == 3 && doubled(3, -5) == 3 && doubled(3, 4) == 48 && doubled(0, 99) == 0)
        #expect(doubled(1, 63) == 1 << 63 && doubled(1, 64) == .max && doubled(.max, 1) == .max && doubled(1, .max) == .max)
        #expect(later(.max, by: 1) == .max && later(1, by: 2) == 3 && since(5, 3) == 0 && since(3, 5) == 2)
        #expect(portion(0.5, of: 3) == 1 && portion(.nan, of: 3) == 0 && portion(-1, of: 3) == 0 && portion(7, of: 3) == 3 && portion(0.1, of: 10) == 1)
    }
}
