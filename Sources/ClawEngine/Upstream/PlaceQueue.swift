// Requests of one worker that wait for a place at one upstream. Fair between tenants: each has a lane, first come first served within it, and the lanes take
// turns, so that a tenant with a thousand waiting requests takes from one with a single request one turn and no more. How many wait in all is bounded by
// the upstream's `max_pending`, which the workers count together.

final class PlaceQueue {
    private struct Lane {
        var tenant: UInt64
        var waiting: [SlotToken]
        var head = 0
        var count: Int { waiting.count - head }
    }
    /// Place of the upstream in the outlook.
    let place: Int
    private var lanes: [Lane] = []
    /// The lane whose turn it is.
    private var turn = 0
    private(set) var count = 0
    /// Handed out since another worker was last left a place.
    var servedInARow = 0

    init(place: Int) { self.place = place }

    func append(_ token: SlotToken, tenant: UInt64) {
        count += 1
        if let at = lanes.firstIndex(where: { $0.tenant == tenant }) { return lanes[at].waiting.append(token) }
        // A new lane has its turn after all others had theirs.
        lanes.insert(Lane(tenant: tenant, waiting: [token]), at: turn)
        turn = (turn + 1) % lanes.count
    }

    /// Whoever is next.
    var first: SlotToken? { lanes.isEmpty ? nil : lanes[turn].waiting[lanes[turn].head] }

    /// Takes out whoever is next.
    func next() -> SlotToken? {
        guard !lanes.isEmpty else { return nil }
        let token = lanes[turn].waiting[lanes[turn].head]
        lanes[turn].head += 1
        count -= 1
        if lanes[turn].count == 0 {
            lanes.remove(at: turn)
        } else {
            if lanes[turn].head >= 64 {
                lanes[turn].waiting.removeFirst(lanes[turn].head)
                lanes[turn].head = 0
            }
            turn += 1
        }
        if turn >= lanes.count { turn = 0 }
        return token
    }

    /// Somebody leaves without having had a place.
    func remove(_ token: SlotToken, tenant: UInt64) {
        guard let lane = lanes.firstIndex(where: { $0.tenant == tenant }), let at = lanes[lane].waiting[lanes[lane].head...].firstIndex(of: token) else { return }
        count -= 1
        lanes[lane].waiting.remove(at: at)
        guard lanes[lane].count == 0 else { return }
        lanes.remove(at: lane)
        if lane < turn { turn -= 1 }
        if turn >= lanes.count { turn = 0 }
    }
}
