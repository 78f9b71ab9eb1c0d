import CClaw
@testable import ClawEngine
import ClawPolicy
import Synchronization

/// Where a storm looks into what the workers share.
extension Storm {
    func breaker(_ upstream: Int) -> Breaker { shared.outlook.breaker(places[upstream], .model) }

    /// The exchange that a connection to an upstream carries, as its worker sees it.
    func exchange(_ worker: Int, on fd: Int32) -> UInt32? {
        let links = workers[worker].links.base
        for at in 0..<workers[worker].links.touched where links[at].fd == fd && links[at].state == .active && links[at].exchange != noIndex { return links[at].exchange }
        return nil
    }

    /// When nothing runs any more, no place among concurrent requests, in a queue or of a probe may be taken.
    func lookForPlacesHeld() {
        for (upstream, place) in places.enumerated() where place >= 0 {
            if shared.outlook.concurrency(place).inFlight != 0 { violated("left over: \(shared.outlook.concurrency(place).inFlight) requests under way at upstream \(upstream)") }
            if breaker(upstream).probesInFlight != 0 { violated("left over: \(breaker(upstream).probesInFlight) probes of upstream \(upstream)") }
            let queued = shared.outlook.queued(place)[0].load(ordering: .relaxed), recovering = shared.outlook.recovering(place)[0].load(ordering: .relaxed)
            if queued != 0 || recovering != 0 { violated("left over: \(queued) queued and \(recovering) waiting for keys of upstream \(upstream)") }
        }
    }
}
