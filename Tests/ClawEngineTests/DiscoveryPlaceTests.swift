// Places of endpoints under churn, and files of endpoints in all their forms.
import CClaw
import ClawPolicy
import Testing
@testable import ClawConfig
@testable import ClawEngine

struct DiscoveryPlaceTests {
    @Test func anEndpointKeepsItsPlaceAsLongAsNobodyNeedsIt() throws {
        let registry = Registry()
        let one = try #require(registry.holdEndpoint("a"))
        let again = try #require(registry.holdEndpoint("a"))
        #expect(one == again)
        registry.releaseEndpoint(one.place)
        registry.releaseEndpoint(one.place)
        #expect(try #require(registry.holdEndpoint("a")) == one)
    }

    @Test func churnDoesNotUsePlacesUp() throws {
        let registry = Registry()
        var cleaned: [Int] = []
        registry.clean = { cleaned.append($0) }
        let kept = try #require(registry.holdEndpoint("kept"))
        for number in 0..<(3 * Registry.endpointsMax) {
            let held = try #require(registry.holdEndpoint("pod-\(number)"))
            #expect(held.place != kept.place)
            registry.releaseEndpoint(held.place)
        }
        #expect(cleaned.count == 2 * Registry.endpointsMax + 1)
        #expect(try #require(registry.holdEndpoint("kept")) == kept)
    }

    @Test func theLongestGoneGivesItsPlaceAndTheNewOneHasAnotherGeneration() throws {
        let registry = Registry()
        var places: [(place: Int, generation: UInt32)] = []
        for number in 0..<Registry.endpointsMax { places.append(try #require(registry.holdEndpoint("e\(number)"))) }
        #expect(registry.holdEndpoint("one too many") == nil)
        registry.releaseEndpoint(places[7].place)
        registry.releaseEndpoint(places[3].place)
        let fresh = try #require(registry.holdEndpoint("fresh"))
        #expect(fresh.place == places[7].place && fresh.generation != places[7].generation)
        #expect(try #require(registry.holdEndpoint("e3")) == places[3])
        #expect(registry.holdEndpoint("e7") == nil)
    }

    @Test func aPlaceWithConnectionsIsNotGivenAway() throws {
        let registry = Registry()
        for number in 0..<Registry.endpointsMax { _ = registry.holdEndpoint("e\(number)") }
        registry.isUnused = { $0 != 5 }
        registry.releaseEndpoint(5)
        #expect(registry.holdEndpoint("fresh") == nil)
        registry.releaseEndpoint(6)
        #expect(try #require(registry.holdEndpoint("fresh")).place == 6)
    }

    @Test func aPlanLetsItsPlacesGo() throws {
        var configuration = Configuration()
        var upstream = Upstream(name: "u", type: .http)
        upstream.endpoints = [Endpoint(isTLS: false, host: "127.0.0.1", port: 9, basePath: "")]
        upstream.discovery = Discovery(source: .file(path: "/nowhere"))
        configuration.upstreams = [upstream]
        configuration.server.listeners = [Listener(name: "main")]
        let registry = Registry()
        var found = Endpoint(isTLS: true, host: "127.0.0.2", port: 443, basePath: "/v1")
        found.name = "llm.example"
        do {
            let owner = try PlanOwner(configuration, found: ["u": [found]], serial: 1, workers: 1, registry: registry)
            let endpoint = owner.ref.pointee.upstreams[0].pointee.endpoints[0].pointee
            #expect(owner.ref.pointee.upstreams[0].pointee.endpoints.count == 1)
            #expect(endpoint.host.string == "127.0.0.2" && endpoint.tlsName.string == "llm.example" && endpoint.hostLine.string == "host: llm.example\r\n")
            #expect(owner.ref.pointee.names(endpoint.place) && !owner.ref.pointee.names(endpoint.place + 1))
            #expect(registry.names().endpoints[endpoint.place].plans == 1)
        }
        #expect(registry.names().endpoints.allSatisfy { $0.plans == 0 })
    }

    @Test(arguments: [
        ("10.0.0.1:80\n# nobody\n10.0.0.2:81 7\n", ["10.0.0.1:80 1", "10.0.0.2:81 7"]),
        ("[\"http://10.0.0.1:80\", {\"url\": \"http://10.0.0.2:81\", \"weight\": 7}]", ["10.0.0.1:80 1", "10.0.0.2:81 7"]),
        ("- http://10.0.0.1:80\n- {url: http://10.0.0.2:81, weight: 7}\n", ["10.0.0.1:80 1", "10.0.0.2:81 7"]),
        ("# by hand\n---\nendpoints:\n- 10.0.0.1:80\n- address: 10.0.0.2\n  port: 81\n  weight: 7\n", ["10.0.0.1:80 1", "10.0.0.2:81 7"]),
        ("{\"endpoints\": [\"10.0.0.1:80\"]}", ["10.0.0.1:80 1"]),
        ("endpoints:\n", []), ("", []), ("# nobody\n", []), ("[]", []),
    ])
    func aFileOfEndpoints(text: String, wanted: [String]) throws {
        let set = try FileSource.parse(Array(text.utf8))
        #expect(set.endpoints.map { "\($0.host):\($0.port) \($0.weight)" } == wanted)
    }

    @Test(arguments: ["- a: [", "- 10.0.0.1\n", "- {url: 7}\n", "endpoints: many\n", "10.0.0.1:80 0\n", "[1]", "- &a [*a]\n", "- http://10.0.0.1:80\n- http://\n"])
    func aFileThatIsNoListOfEndpoints(text: String) {
        #expect(throws: DiscoveryProblem.self) { try FileSource.parse(Array(text.utf8)) }
    }

    @Test(arguments: [("127.0.0.1", 53), ("127.0.0.1:5353", 5353), ("::1", 53), ("[::1]:54", 54)])
    func addressesOfNameServers(text: String, port: Int) throws {
        var address = try #require(NameServers.address(text))
        #expect(Int(claw_address_port(&address)) == port)
    }
}
