// Consul's health endpoint, asked by blocking queries: GET /v1/health/service/NAME?passing answers with the instances whose checks all pass, and with an
// index (X-Consul-Index); the same request with that index waits until there is another.
import ClawWire

/// Where a blocking query goes on (Consul's "Implementation details" of blocking queries).
public struct ConsulIndex: Equatable, Sendable {
    /// 0: do not wait.
    public private(set) var value: UInt64 = 0
    public init() {}

    /// Takes the field of an answer. An index that went backwards (the servers were restored or replaced) begins again at 0; one below 1 is taken as 1, for
    /// a query that waits for an index above 0 that never comes would be asked again and again without waiting.
    /// - Returns: true when the answer may tell something new: the index is another.
    public mutating func take(_ field: String?) -> Bool {
        guard let field, let told = UInt64(field) else {
            value = 0
            return true
        }
        let before = value
        let index = max(1, told)
        value = index < before ? 0 : index
        return value != before
    }
}

public enum Consul {
    /// The target of the request.
    /// - Parameter waitSeconds: how long the server may hold it (it adds up to a sixteenth of that).
    public static func target(service: String, tag: String? = nil, datacenter: String? = nil, index: ConsulIndex = ConsulIndex(), waitSeconds: Int = 300) -> String {
        var target = "/v1/health/service/\(DiscoveryDocument.escaped(service))?passing=true"
        if let tag { target += "&tag=\(DiscoveryDocument.escaped(tag))" }
        if let datacenter { target += "&dc=\(DiscoveryDocument.escaped(datacenter))" }
        if index.value > 0 { target += "&index=\(index.value)&wait=\(waitSeconds)s" }
        return target
    }

    /// The answer's body. An instance's address is its service's, or, where that is empty, its node's. Instances that cannot be used are left out with a note.
    public static func read(_ body: UnsafeRawBufferPointer) throws(DiscoveryProblem) -> EndpointSet {
        try DiscoveryDocument.read(body) { (root) throws(DiscoveryProblem) in
            guard root.isArray else { throw .malformed("answer of consul that is no array") }
            var found: [FoundEndpoint] = []
            var notes: [String] = []
            for entry in root.elements {
                let service = entry["Service"]
                guard service.isObject, entry["Node"].isObject else { throw .malformed("entry of consul without Service or Node") }
                guard found.count < DiscoveryDocument.elementsMax else { throw DiscoveryProblem(.tooLarge, "more than \(DiscoveryDocument.elementsMax) instances") }
                let id = DiscoveryProblem.printable(service["ID"].string(bytesMax: 256) ?? "")
                guard let port = service["Port"].int, port >= 0, port <= 65_535 else { throw .malformed("instance \"\(id)\" without a port") }
                // An agent too old for `passing` sends all.
                if entry["Checks"].elements.contains(where: { $0["Status"].isString && !$0["Status"].equals("passing") }) { continue }
                var address = service["Address"].string(bytesMax: 255) ?? ""
                if address.isEmpty { address = entry["Node"]["Address"].string(bytesMax: 255) ?? "" }
                let told = service["Weights"]["Passing"].int ?? 1
                let weight = UInt16(min(65_535, max(1, told)))
                do throws(DiscoveryProblem) { found.append(try FoundEndpoint.read(host: address, port: UInt16(port), weight: weight)) } catch {
                    notes.append("instance \"\(id)\": \(error.message)")
                }
            }
            return EndpointSet(found, notes: notes)
        }
    }
}
