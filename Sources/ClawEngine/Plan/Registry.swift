// Names that outlive one plan: labels of metrics and places of endpoints. Ids are handed out while a plan is compiled and never change, so
// that counters and connection pools go on over a reload. Number 0 of each label list is "other" (or "none"): the bound on
// cardinality, since only configured names ever get a number.
import CClaw
import Synchronization

final class Registry: Sendable {
    struct State {
        var routes = ["other"], upstreams = ["none"], models = ["other"], listeners = ["none"]
        var endpoints: [String] = []
        /// claw_tls_tickets by rotation period.
        var tickets: [Int: UInt] = [:]
        /// By upstream: AWS credentials, which go on over a reload. The plans that use them own them.
        var signers: [String: Held] = [:]
        var signersMade = 0
    }
    struct Held { weak var signer: Signer? }
    private let state = Mutex(State())
    static let labelsMax = 4096
    static let endpointsMax = 4096

    enum Family { case route, upstream, model, listener }

    func label(_ family: Family, _ name: String) -> UInt16 {
        state.withLock { state in
            func place(_ list: inout [String]) -> UInt16 {
                if let index = list.firstIndex(of: name) { return UInt16(index) }
                guard list.count < Self.labelsMax else { return 0 }
                list.append(name)
                return UInt16(list.count - 1)
            }
            switch family {
            case .route: return place(&state.routes)
            case .upstream: return place(&state.upstreams)
            case .model: return place(&state.models)
            case .listener: return place(&state.listeners)
            }
        }
    }

    /// Place of an endpoint; nil beyond `endpointsMax` different ones in the life of the process.
    func endpoint(_ key: String) -> Int? {
        state.withLock { state in
            if let index = state.endpoints.firstIndex(of: key) { return index }
            guard state.endpoints.count < Self.endpointsMax else { return nil }
            state.endpoints.append(key)
            return state.endpoints.count - 1
        }
    }

    /// Keys of session tickets, kept over reloads so that clients go on resuming; nil: no tickets.
    func tickets(seconds: Int) -> OpaquePointer? {
        guard seconds > 0 else { return nil }
        return state.withLock { state in
            if let made = state.tickets[seconds] { return OpaquePointer(bitPattern: made) }
            var made: OpaquePointer?
            guard claw_tls_tickets_create(UInt32(clamping: seconds), &made) == 0, let made else { return nil }
            state.tickets[seconds] = UInt(bitPattern: made)
            return made
        }
    }

    /// The signer of this upstream; the same one over reloads.
    func signer(_ upstream: String, region: String) -> Signer {
        state.withLock { state in
            if let made = state.signers[upstream]?.signer, made.region == region { return made }
            let made = Signer(place: state.signersMade, region: region)
            state.signersMade += 1
            state.signers[upstream] = Held(signer: made)
            return made
        }
    }

    /// The signers of plans that are still in use.
    func signers() -> [(name: String, signer: Signer)] {
        state.withLock { state in state.signers.compactMap { name, held in held.signer.map { (name, $0) } } }
    }

    deinit {
        for keys in state.withLock({ $0.tickets.values }) { claw_tls_tickets_release(OpaquePointer(bitPattern: keys)) }
    }

    func names() -> State { state.withLock { $0 } }
}
