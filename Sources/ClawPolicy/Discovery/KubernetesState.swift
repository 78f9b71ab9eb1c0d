// The endpoints of one Kubernetes service, from its EndpointSlices (discovery.k8s.io/v1). The caller lists them (in pages), then watches from the list's
// resourceVersion: each line of the watch is one event that adds, replaces or removes a slice. A service's set is what its slices say together. A list
// replaces all when its last page is there; a document that is not of its form changes nothing.
//
// What counts as an endpoint, as kube-proxy has it: the first address of one that is ready (or does not say). While there is none at all, those that are
// leaving but still serve. The same pod under IPv4 and IPv6 (a service with both families) is one endpoint, by its IPv4 address.
import ClawWire

public struct KubernetesState: Sendable {
    public enum Page: Equatable, Sendable {
        case whole
        /// Ask for the next page with this token.
        case more(String)
    }
    public enum Step: Equatable, Sendable {
        case changed
        /// A bookmark, or another service's.
        case unchanged
    }

    /// Slices of a service, endpoints of all of them together, bytes of the strings kept.
    public static let slicesMax = 1024
    public static let endpointsMax = 65_536
    private static let wordBytesMax = 4096

    private struct Target: Sendable {
        var endpoint: FoundEndpoint
        /// What it is (a pod's uid), nil where nobody says.
        var uid: String?
    }
    private struct Slice: Sendable {
        var name: String
        var isIPv6 = false
        var ready: [Target] = []
        /// Terminating, but still serving.
        var leaving: [Target] = []
        var note: String?
        var count: Int { ready.count + leaving.count }
    }

    private let service: String
    private let port: String?
    private var slices: [String: Slice] = [:]
    /// Pages of a list under way.
    private var pages: [String: Slice] = [:]
    private var count = 0
    /// Where a watch begins; empty before the first whole list.
    public private(set) var resourceVersion = ""

    /// - Parameter port: a name or a number of the slices' ports; nil: their only one, or the one named http or https.
    public init(service: String, port: String? = nil) {
        self.service = service
        self.port = port
    }

    private static func target(_ namespace: String, _ service: String) -> String {
        "/apis/discovery.k8s.io/v1/namespaces/\(DiscoveryDocument.escaped(namespace))/endpointslices"
            + "?labelSelector=kubernetes.io%2Fservice-name%3D\(DiscoveryDocument.escaped(service))"
    }
    /// The target of a list's request.
    public func listTarget(namespace: String, after token: String? = nil) -> String {
        Self.target(namespace, service) + "&limit=500" + (token.map { "&continue=\(DiscoveryDocument.escaped($0))" } ?? "")
    }
    /// The target of a watch's request, which the server ends after about `timeoutSeconds`.
    public func watchTarget(namespace: String, timeoutSeconds: Int = 300) -> String {
        Self.target(namespace, service) + "&watch=true&allowWatchBookmarks=true&timeoutSeconds=\(timeoutSeconds)&resourceVersion=\(DiscoveryDocument.escaped(resourceVersion))"
    }

    /// Takes a page of a list. The first page is any that comes after a whole list or a refusal.
    public mutating func list(_ body: UnsafeRawBufferPointer) throws(DiscoveryProblem) -> Page {
        var gathered = pages
        pages = [:]
        let port = port
        let service = service
        let (version, token) = try DiscoveryDocument.read(body) { (root) throws(DiscoveryProblem) -> (String, String) in
            if root["kind"].equals("Status") { throw Self.problem(root) }
            guard root["kind"].equals("EndpointSliceList"), root["apiVersion"].equals("discovery.k8s.io/v1") else {
                throw .malformed("no EndpointSliceList of discovery.k8s.io/v1")
            }
            guard let version = root["metadata"]["resourceVersion"].string(bytesMax: Self.wordBytesMax), !version.isEmpty else {
                throw .malformed("EndpointSliceList without a resourceVersion")
            }
            let items = root["items"]
            guard items.isArray || !items.isPresent else { throw .malformed("items of an EndpointSliceList that are no array") }
            var count = gathered.values.reduce(0) { $0 + $1.count }
            for item in items.elements {
                guard let slice = try Self.slice(item, service, port) else { continue }
                count += slice.count
                guard gathered.count < Self.slicesMax, count <= Self.endpointsMax else {
                    throw DiscoveryProblem(.tooLarge, "more than \(Self.slicesMax) slices or \(Self.endpointsMax) endpoints")
                }
                gathered[slice.name] = slice
            }
            let token = root["metadata"]["continue"]
            guard let next = token.isPresent ? token.string(bytesMax: Self.wordBytesMax) : "" else { throw .malformed("malformed continue token") }
            return (version, next)
        }
        if !token.isEmpty {
            pages = gathered
            return .more(token)
        }
        slices = gathered
        count = gathered.values.reduce(0) { $0 + $1.count }
        resourceVersion = version
        return .whole
    }

    /// Takes one event of a watch (a line of its body).
    public mutating func event(_ line: UnsafeRawBufferPointer) throws(DiscoveryProblem) -> Step {
        enum Change { case put(Slice), remove(String), none }
        let port = port
        let service = service
        let (change, version) = try DiscoveryDocument.read(line, bytesMax: DiscoveryDocument.eventBytesMax) { (root) throws(DiscoveryProblem) -> (Change, String) in
            let object = root["object"]
            guard object.isObject else { throw .malformed("watch event without an object") }
            if root["type"].equals("ERROR") { throw Self.problem(object) }
            guard object["kind"].equals("EndpointSlice"), object["apiVersion"].equals("discovery.k8s.io/v1") else {
                throw .malformed("watch event of no EndpointSlice of discovery.k8s.io/v1")
            }
            guard let version = object["metadata"]["resourceVersion"].string(bytesMax: Self.wordBytesMax), !version.isEmpty else {
                throw .malformed("watch event without a resourceVersion")
            }
            if root["type"].equals("BOOKMARK") { return (.none, version) }
            let name = try Self.name(object)
            if root["type"].equals("DELETED") { return (.remove(name), version) }
            guard root["type"].equals("ADDED") || root["type"].equals("MODIFIED") else {
                throw .malformed("watch event of type \(DiscoveryProblem.printable(root["type"].raw.string))")
            }
            // A slice whose label was given to another service is ours no more.
            return (try Self.slice(object, service, port).map { .put($0) } ?? .remove(name), version)
        }
        switch change {
        case .none:
            resourceVersion = version
            return .unchanged
        case .remove(let name):
            resourceVersion = version
            guard let old = slices.removeValue(forKey: name) else { return .unchanged }
            count -= old.count
            return .changed
        case .put(let slice):
            let old = slices[slice.name]
            let total = count - (old?.count ?? 0) + slice.count
            guard old != nil || slices.count < Self.slicesMax, total <= Self.endpointsMax else {
                throw DiscoveryProblem(.tooLarge, "more than \(Self.slicesMax) slices or \(Self.endpointsMax) endpoints")
            }
            slices[slice.name] = slice
            count = total
            resourceVersion = version
            return .changed
        }
    }

    /// What all slices say together.
    public var set: EndpointSet {
        let ordered = slices.values.sorted { $0.name < $1.name }
        let isAnyReady = ordered.contains { !$0.ready.isEmpty }
        var found: [FoundEndpoint] = []
        var seen: Set<String> = []
        for isIPv6 in [false, true] {
            for slice in ordered where slice.isIPv6 == isIPv6 {
                for target in isAnyReady ? slice.ready : slice.leaving {
                    if isIPv6, let uid = target.uid, seen.contains(uid) { continue }
                    if !isIPv6, let uid = target.uid { seen.insert(uid) }
                    found.append(target.endpoint)
                }
            }
        }
        return EndpointSet(found, notes: ordered.compactMap(\.note))
    }

    private static func name(_ object: JSONValue) throws(DiscoveryProblem) -> String {
        guard let name = object["metadata"]["name"].string(bytesMax: 253), !name.isEmpty else { throw .malformed("EndpointSlice without a name") }
        return name
    }

    /// A slice; nil for another service's.
    private static func slice(_ object: JSONValue, _ service: String, _ port: String?) throws(DiscoveryProblem) -> Slice? {
        guard object.isObject else { throw .malformed("EndpointSlice that is no object") }
        var slice = Slice(name: try name(object))
        let label = object["metadata"]["labels"]["kubernetes.io/service-name"]
        if label.isPresent, label.string(bytesMax: 253) != service { return nil }
        let type = object["addressType"]
        guard type.equals("IPv4") || type.equals("IPv6") || type.equals("FQDN") else {
            throw .malformed("EndpointSlice \(DiscoveryProblem.printable(slice.name)): addressType \(DiscoveryProblem.printable(type.raw.string))")
        }
        slice.isIPv6 = type.equals("IPv6")
        let endpoints = object["endpoints"]
        guard endpoints.isArray || !endpoints.isPresent else { throw .malformed("EndpointSlice \(DiscoveryProblem.printable(slice.name)): endpoints are no array") }
        let chosen = try choose(object["ports"], port, slice.name)
        if case .none(let why) = chosen, endpoints.count > 0 { slice.note = "slice \(DiscoveryProblem.printable(slice.name)): \(why)" }
        for endpoint in endpoints.elements {
            guard endpoint.isObject, let address = endpoint["addresses"].first.string(bytesMax: 253) else {
                throw .malformed("EndpointSlice \(DiscoveryProblem.printable(slice.name)): endpoint without an address")
            }
            guard slice.count < endpointsMax else { throw DiscoveryProblem(.tooLarge, "more than \(endpointsMax) endpoints") }
            guard case .port(let number, let isTLS) = chosen else { continue }
            let isOfType = switch DNSAddress(address) {
            case .v4?: type.equals("IPv4")
            case .v6?: type.equals("IPv6")
            case nil: type.equals("FQDN")
            }
            guard isOfType else {
                throw .malformed("EndpointSlice \(DiscoveryProblem.printable(slice.name)): \"\(DiscoveryProblem.printable(address))\" is no \(type.text.string)")
            }
            var found = try FoundEndpoint.read(host: address, port: number)
            found.isTLS = isTLS
            let target = Target(endpoint: found, uid: endpoint["targetRef"]["uid"].string(bytesMax: 128))
            let conditions = endpoint["conditions"]
            // Unknown is ready; and what serves is, where nobody says it, what is ready.
            let isReady = conditions["ready"].bool ?? true
            let isServing = conditions["serving"].bool ?? isReady
            if isReady { slice.ready.append(target) } else if isServing, conditions["terminating"].bool == true { slice.leaving.append(target) }
        }
        return slice
    }

    private enum Choice { case port(UInt16, isTLS: Bool?), none(String) }

    /// The port of a slice that is meant. (They are the pods' own, not the service's.)
    private static func choose(_ ports: JSONValue, _ wanted: String?, _ slice: String) throws(DiscoveryProblem) -> Choice {
        guard ports.isArray || !ports.isPresent else { throw .malformed("EndpointSlice \(DiscoveryProblem.printable(slice)): ports are no array") }
        let number = wanted.flatMap { UInt16($0) }
        var choices: [(name: String, port: UInt16, isTLS: Bool?)] = []
        // A port without a number stands for all of them.
        var isAny = ports.count == 0
        for entry in ports.elements {
            if entry["protocol"].isPresent, !entry["protocol"].equals("TCP") { continue }
            guard entry["port"].isPresent else {
                isAny = true
                continue
            }
            guard entry.isObject, let port = entry["port"].int, port >= 1, port <= 65_535, choices.count < 256 else {
                throw .malformed("EndpointSlice \(DiscoveryProblem.printable(slice)): malformed port")
            }
            choices.append((entry["name"].string(bytesMax: 63) ?? "", UInt16(port), entry["appProtocol"].equals("https") ? true : nil))
        }
        func take(_ at: Int) -> Choice { .port(choices[at].port, isTLS: choices[at].isTLS) }
        if let number, number > 0 {
            if let at = choices.firstIndex(where: { $0.port == number }) { return take(at) }
            return isAny ? .port(number, isTLS: nil) : .none("no port \(number)")
        }
        if let wanted { return choices.firstIndex { $0.name == wanted }.map(take) ?? .none("no port named \(DiscoveryProblem.printable(wanted))") }
        if choices.count == 1 { return take(0) }
        for name in ["http", "https"] { if let at = choices.firstIndex(where: { $0.name == name }) { return take(at) } }
        return .none(choices.isEmpty ? "no port, name one by its number" : "\(choices.count) ports, none named http or https: name the one that is meant")
    }

    /// What a Status says (the answer to a request that was refused, the object of an ERROR).
    private static func problem(_ status: JSONValue) -> DiscoveryProblem {
        let code = status["code"].int ?? 0
        let message = "kubernetes: \(code) \(DiscoveryProblem.printable(status["message"].string(bytesMax: 65_536) ?? "", 200))"
        if code == 410 || status["reason"].equals("Expired") || status["reason"].equals("Gone") { return DiscoveryProblem(.expired, message) }
        return DiscoveryProblem(code == 401 || code == 403 ? .unauthorised : .failed, message)
    }
}
