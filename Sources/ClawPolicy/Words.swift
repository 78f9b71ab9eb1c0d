// State that workers share is words of memory: whoever owns it allocates zeroed words, and the views of this module (`Breaker`, `KeyCell` …) give them a
// meaning. All zeroes is each view's valid beginning. Every change is one atomic operation or a compare-and-swap loop of a few instructions; nothing waits.
import Synchronization

public typealias Words = UnsafeMutablePointer<Atomic<UInt64>>

extension UnsafeMutablePointer where Pointee == Atomic<UInt64> {
    /// Changes a word by compare-and-swap until it took; returns what was there and what is. `change` may run several times.
    @inline(__always)
    func update(_ at: Int, _ change: (UInt64) -> UInt64) -> (old: UInt64, new: UInt64) {
        var old = self[at].load(ordering: .relaxed)
        while true {
            let new = change(old)
            if new == old { return (old, old) }
            let (done, seen) = self[at].compareExchange(expected: old, desired: new, ordering: .acquiringAndReleasing)
            if done { return (old, new) }
            old = seen
        }
    }
}
