// Names that outlive one plan: labels of metrics and places of endpoints. Ids are handed out while a plan is compiled and never change, so
// that counters and connection pools go on over a reload. Number 0 of each label list is "other" (or "none"): the bound on
// cardinality, since only configured names ever get a number.
import Synchronization

final class Registry: Sendable {
    struct State {
        var routes = ["other"], upstreams = ["none"], models = ["other"]
        var endpoints: [String] = []
    }
    private let state = Mutex(State())
    static let labelsMax = 4096
    static let endpointsMax = 4096

    enum Family { case route, upstream, model }

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

    func names() -> State { state.withLock { $0 } }
}
