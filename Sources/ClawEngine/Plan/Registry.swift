// Names that outlive one plan: labels of metrics and places of endpoints. Ids are handed out while a plan is compiled and never change, so
// that counters and connection pools go on over a reload. Number 0 of each label list is "other" (or "none"): the bound on
// cardinality, since only configured names ever get a number.
import CClaw
import Synchronization

final class Registry: Sendable {
    struct State {
        var routes = ["other"], upstreams = ["none"], models = ["other"], listeners = ["none"], keys = ["none"]
        var places: [Place: [String: Int]] = [:]
        /// By place; a place whose name has gone is taken again when there are no fresh ones.
        var endpoints: [EndpointPlace] = []
        var endpointPlaces: [String: Int] = [:]
        var releases: UInt64 = 0
        /// claw_tls_tickets by rotation period.
        var tickets: [Int: UInt] = [:]
        /// By upstream: AWS credentials, which go on over a reload. The plans that use them own them.
        var signers: [String: Held] = [:]
        var signersMade = 0
    }
    struct Held { weak var signer: Signer? }
    /// One place of an endpoint's connections and health.
    struct EndpointPlace {
        var key: String
        /// Plans that name it.
        var plans = 0
        /// When the last of them went, as a serial.
        var releasedAt: UInt64 = 0
        /// Counts who has had this place, so that workers tell a new endpoint from the old one's connections.
        var generation: UInt32 = 1
    }
    private let state = Mutex(State())
    static let labelsMax = 4096
    /// Known at one time: those of all plans in use, and those that have gone as long as their places are not needed.
    static let endpointsMax = 4096
    /// Whether no worker has a connection at this place, and what makes it as new; set once by whoever runs workers, before a second plan is made.
    nonisolated(unsafe) var isUnused: (Int) -> Bool = { _ in true }
    nonisolated(unsafe) var clean: (Int) -> Void = { _ in }

    enum Family { case route, upstream, model, listener, key }

    /// What has words in the outlook.
    enum Place: CaseIterable {
        case upstream, key, target, route
        /// Different ones in the life of the process.
        var capacity: Int {
            switch self {
            case .upstream: 4096
            case .key: 8192
            case .target: 32768
            case .route: 16384
            }
        }
        var plural: String {
            switch self {
            case .upstream: "upstreams"
            case .key: "keys of upstreams"
            case .target: "pairs of upstream and model"
            case .route: "routes"
            }
        }
    }

    /// The place of this name; nil when there are none left.
    func place(_ family: Place, _ name: String) -> Int? {
        state.withLock { state in
            if let place = state.places[family]?[name] { return place }
            let next = state.places[family]?.count ?? 0
            guard next < family.capacity else { return nil }
            state.places[family, default: [:]][name] = next
            return next
        }
    }

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
            case .key: return place(&state.keys)
            }
        }
    }

    /// Place of an endpoint, held until `releaseEndpoint`; the same one for the same name as long as its place was not needed by another. nil: `endpointsMax`
    /// are in use.
    func holdEndpoint(_ key: String) -> (place: Int, generation: UInt32)? {
        state.withLock { state in
            let place: Int
            if let known = state.endpointPlaces[key] {
                place = known
            } else if state.endpoints.count < Self.endpointsMax {
                place = state.endpoints.count
                state.endpoints.append(EndpointPlace(key: key))
                state.endpointPlaces[key] = place
            } else {
                // The one that has been gone for longest. Its connections close by their idle time.
                guard let oldest = state.endpoints.indices.filter({ state.endpoints[$0].plans == 0 && isUnused($0) })
                    .min(by: { state.endpoints[$0].releasedAt < state.endpoints[$1].releasedAt }) else { return nil }
                place = oldest
                state.endpointPlaces[state.endpoints[place].key] = nil
                state.endpoints[place].key = key
                state.endpoints[place].generation = (state.endpoints[place].generation &+ 1) & 0xff_ffff
                state.endpointPlaces[key] = place
                clean(place)
            }
            state.endpoints[place].plans += 1
            return (place, state.endpoints[place].generation)
        }
    }

    func releaseEndpoint(_ place: Int) {
        state.withLock { state in
            state.endpoints[place].plans -= 1
            state.releases += 1
            state.endpoints[place].releasedAt = state.releases
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
