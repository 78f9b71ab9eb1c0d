// A canary's memory is large and few routes have one: it is made when the first request needs it, and found by a word of the route's place ever after.
import ClawPolicy
import Glibc
import Synchronization

extension Outlook {
    /// The words of this route's canary; nil: there is no memory.
    func canaryWords(_ route: Int) -> Words? {
        let place = canary(route)
        let known = place[0].load(ordering: .acquiring)
        if known != 0 { return Words(bitPattern: UInt(known)) }
        guard let made = calloc(Canary.words, 8) else { return nil }
        let (isOurs, other) = place[0].compareExchange(expected: 0, desired: UInt64(UInt(bitPattern: made)), ordering: .acquiringAndReleasing)
        if !isOurs {
            free(made)
            return Words(bitPattern: UInt(other))
        }
        canariesMade.wrappingAdd(1, ordering: .relaxed)
        return made.assumingMemoryBound(to: Atomic<UInt64>.self)
    }

    func freeCanaries() {
        guard canariesMade.load(ordering: .relaxed) > 0 else { return }
        for route in 0..<Registry.Place.route.capacity {
            let known = canary(route)[0].load(ordering: .relaxed)
            if known != 0 { free(UnsafeMutableRawPointer(bitPattern: UInt(known))) }
        }
    }
}
