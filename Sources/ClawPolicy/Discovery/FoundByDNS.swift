import ClawWire

extension EndpointSet {
    /// The addresses of a name, all with one port. Two answers (A and AAAA) are joined by the caller.
    public init(addresses: [DNSAddress], of name: String, port: UInt16) {
        guard port > 0 else {
            self.init(notes: ["no port for the addresses of \(DiscoveryProblem.printable(name))"])
            return
        }
        self.init(addresses.map { FoundEndpoint(host: $0.text, port: port, name: name) })
    }

    /// Services of an SRV answer (RFC 2782): those of the lowest priority; a weight of 0, which is "hardly ever", is 1. A target whose addresses are known
    /// is each of them with its weight; one without stands by its name.
    /// - Parameter addresses: what asking for targets brought, by target; the answer's own come first.
    public init(services: [DNSAnswer.Service], addresses: [String: [DNSAddress]] = [:]) {
        guard let lowest = services.map(\.priority).min() else {
            self.init()
            return
        }
        var found: [FoundEndpoint] = []
        var notes: [String] = []
        for service in services where service.priority == lowest {
            guard service.port > 0 else {
                notes.append("port 0 of \(DiscoveryProblem.printable(service.target))")
                continue
            }
            let weight = max(1, service.weight)
            let known = service.addresses.isEmpty ? addresses[service.target] ?? [] : service.addresses
            if known.isEmpty { found.append(FoundEndpoint(host: service.target, port: service.port, weight: weight)) }
            for address in known { found.append(FoundEndpoint(host: address.text, port: service.port, weight: weight, name: service.target)) }
        }
        self.init(found, notes: notes)
    }
}
