import ClawPolicy
import Foundation
import Testing

@Suite struct DiscoverySourceTests {
    // MARK: Kubernetes

    private func kubernetes(_ file: String, port: String? = nil) throws -> KubernetesState {
        var state = KubernetesState(service: "llm", port: port)
        let page = try with(Conversation.bytes(file)) { try state.list($0) }
        #expect(page == .whole)
        return state
    }

    @Test func kubernetesListIsItsReadyEndpointsOfAllSlices() throws {
        let state = try kubernetes("kubernetes-list.json")
        #expect(state.set.words == ["10.244.1.17:8000", "10.244.2.9:8000", "10.244.4.2:8000"] && state.set.notes.isEmpty && state.resourceVersion == "10260")
        #expect(state.watchTarget(namespace: "models") == "/apis/discovery.k8s.io/v1/namespaces/models/endpointslices?labelSelector=kubernetes.io%2Fservice-name%3Dllm&watch=true&allowWatchBookmarks=true&timeoutSeconds=300&resourceVersion=10260")
        #expect(state.listTarget(namespace: "models", after: "a=/").hasSuffix("&limit=500&continue=a%3D%2F"))
        #expect(try kubernetes("kubernetes-list-empty.json").set == EndpointSet())
    }

    @Test func kubernetesPortIsByNameOrNumber() throws {
        #expect(try kubernetes("kubernetes-list.json", port: "metrics").set.words.first == "10.244.1.17:9090")
        #expect(try kubernetes("kubernetes-list.json", port: "9090").set.words.first == "10.244.1.17:9090")
        for port in ["quic", "1234"] {
            let set = try kubernetes("kubernetes-list.json", port: port).set
            #expect(set.isEmpty && set.notes.count == 2)
        }
        func ports(_ ports: String, _ wanted: String?) throws -> [String] {
            let text = #"{"kind":"EndpointSliceList","apiVersion":"discovery.k8s.io/v1","metadata":{"resourceVersion":"1"},"items":[{"metadata":{"name":"x"},"addressType":"FQDN","endpoints":[{"addresses":["a.example.com"]}],"ports":\#(ports)}]}"#
            var state = KubernetesState(service: "llm", port: wanted)
            _ = try with(text.utf8) { try state.list($0) }
            return state.set.words
        }
        #expect(try ports("null", "80") == ["a.example.com:80"] && ports("[]", nil) == [] && ports(#"[{"name":"x","port":null}]"#, "80") == ["a.example.com:80"])
        #expect(try ports(#"[{"name":"x","port":1},{"name":"y","port":2}]"#, nil) == [] && ports(#"[{"name":"x","port":1},{"name":"http","port":2}]"#, nil) == ["a.example.com:2"])
        #expect(try ports(#"[{"name":"x","port":1}]"#, nil) == ["a.example.com:1"] && ports(#"[{"name":"x","port":1,"protocol":"SCTP"}]"#, "x") == [])
    }

    @Test func kubernetesPagesAreOneList() throws {
        var state = try kubernetes("kubernetes-list-empty.json")
        #expect(try with(Conversation.bytes("kubernetes-list-page1.json")) { try state.list($0) } == .more("eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6MTAyNjB9"))
        #expect(state.set.isEmpty && state.resourceVersion == "10300")
        #expect(try with(Conversation.bytes("kubernetes-list-page2.json")) { try state.list($0) } == .whole)
        #expect(state.set.words == ["10.244.1.17:8000", "10.244.4.2:8000"] && state.resourceVersion == "10260")
        // A refusal in the middle begins anew, and what was known stays.
        _ = try with(Conversation.bytes("kubernetes-list-page1.json")) { try state.list($0) }
        #expect(kind { _ = try with("{}".utf8) { try state.list($0) } } == .malformed && state.set.endpoints.count == 2)
        _ = try with(Conversation.bytes("kubernetes-list-page2.json")) { try state.list($0) }
        #expect(state.set.words == ["10.244.4.2:8000"])
    }

    @Test func kubernetesPodsOfTwoFamiliesAreOneEndpoint() throws {
        #expect(try kubernetes("kubernetes-list-dual.json").set.words == ["https://10.244.1.17:8443", "https://10.244.2.9:8443", "https://fd00:10:244:5::1:8443"])
    }

    @Test func kubernetesWatchChangesTheSet() throws {
        var state = try kubernetes("kubernetes-list.json")
        let lines = try Conversation.lines("kubernetes-watch.ndjson")
        func feed(_ at: Int) throws -> KubernetesState.Step { try with(lines[at].utf8) { try state.event($0) } }
        #expect(try feed(0) == .changed && state.set.words == ["10.244.1.17:8000", "10.244.4.2:8000", "10.244.9.9:8000"] && state.resourceVersion == "10270")
        #expect(try feed(1) == .changed && state.set.words.count == 4)
        #expect(try feed(2) == .unchanged && state.set.words.count == 4 && state.resourceVersion == "10290")
        #expect(try feed(3) == .changed && state.set.words == ["10.244.1.17:8000", "10.244.7.1:8000", "10.244.9.9:8000"])
        #expect(try feed(4) == .changed && state.set.words == ["10.244.1.17:8000", "10.244.9.9:8000"] && state.resourceVersion == "10296")
        #expect(kind { _ = try feed(5) } == .expired && state.set.words.count == 2)
        #expect(try feed(3) == .unchanged)
    }

    @Test func kubernetesEndpointsThatLeaveServeWhileThereIsNoOther() throws {
        let text = try Conversation.text("kubernetes-list.json").replacingOccurrences(of: #""ready":true"#, with: #""ready":false"#).replacingOccurrences(of: #""conditions":{}"#, with: #""conditions":{"ready":false}"#)
        var state = KubernetesState(service: "llm")
        _ = try with(text.utf8) { try state.list($0) }
        #expect(state.set.words == ["10.244.3.5:8000"])
    }

    @Test func kubernetesRefusalsHaveTheirKinds() throws {
        var state = try kubernetes("kubernetes-list.json")
        #expect(kind { _ = try with(Conversation.bytes("kubernetes-forbidden.json")) { try state.list($0) } } == .unauthorised)
        let slice = #"{"kind":"EndpointSlice","apiVersion":"discovery.k8s.io/v1","metadata":{"name":"x","resourceVersion":"1"},"addressType":"IPv4","endpoints":[{"addresses":["10.0.0.1"]}],"ports":[{"port":1}]}"#
        func event(_ type: String, _ object: String) -> DiscoveryProblem.Kind? { kind { _ = try with(#"{"type":"\#(type)","object":\#(object)}"#.utf8) { try state.event($0) } } }
        #expect(event("NEW", slice) == .malformed && event("ADDED", "null") == .malformed && event("ADDED", "{}") == .malformed)
        for (part, other) in [
            ("EndpointSlice\"", "Endpoints\""), ("v1\",\"meta", "v1beta1\",\"meta"), ("\"name\":\"x\",", ""), ("\"1\"}", "1}"), ("IPv4", "IPv7"), ("10.0.0.1", "fd00::1"), ("[\"10.0.0.1\"]", "[]"),
            (":1}]", ":0}]"), (":1}]", ":\"x\"}]"), ("[{\"addr", "{\"addr"), ("[{\"port\":1}]", "{}"),
        ] {
            let wrong = slice.replacingOccurrences(of: part, with: other)
            #expect(wrong != slice && event("ADDED", wrong) == .malformed, "\(wrong)")
        }
        #expect(state.set.words.count == 3 && state.resourceVersion == "10260")
        #expect(event("ADDED", slice) == nil && state.set.words.count == 4)
        #expect(event("ERROR", #"{"kind":"Status","code":500,"message":"etcd is away"}"#) == .failed)
    }

    @Test func kubernetesSlicesHaveABound() throws {
        var state = KubernetesState(service: "llm")
        var outcome: DiscoveryProblem.Kind?
        var count = 0
        while outcome == nil, count <= KubernetesState.slicesMax {
            let line = #"{"type":"ADDED","object":{"kind":"EndpointSlice","apiVersion":"discovery.k8s.io/v1","metadata":{"name":"x\#(count)","resourceVersion":"1"},"addressType":"IPv4","endpoints":null,"ports":null}}"#
            outcome = kind { _ = try with(line.utf8) { try state.event($0) } }
            count += 1
        }
        #expect(outcome == .tooLarge && count == KubernetesState.slicesMax + 1)
    }

    // MARK: Consul

    @Test func consulInstancesHaveTheAddressOfServiceOrNode() throws {
        let set = try with(Conversation.bytes("consul-health.json")) { try Consul.read($0) }
        #expect(set.words == ["10.1.10.13:8001", "10.1.20.1:8000 10", "llm-3.internal.example.com:8002"])
        #expect(set.notes == ["instance \"llm-4\": port 0"])
        #expect(try with(Conversation.bytes("consul-health-empty.json")) { try Consul.read($0) } == EndpointSet())
        for wrong in ["", "{}", "null", "[1]", "[{}]", #"[{"Service":{"Port":1}}]"#, #"[{"Node":{},"Service":{"Port":"1"}}]"#, #"[{"Node":{},"Service":{"Port":65536}}]"#, "rpc error: No cluster leader"] {
            #expect(kind { _ = try with(wrong.utf8) { try Consul.read($0) } } == .malformed, "\(wrong)")
        }
    }

    @Test func consulIndexIsResetWhenItGoesBack() {
        var index = ConsulIndex()
        #expect(Consul.target(service: "llm", tag: "a b", datacenter: "dc1", index: index) == "/v1/health/service/llm?passing=true&tag=a%20b&dc=dc1")
        let table: [(field: String?, isNew: Bool, value: UInt64)] = [
            ("42", true, 42), ("42", false, 42), ("43", true, 43), ("41", true, 0), ("0", true, 1), ("0", false, 1), ("9", true, 9), (nil, true, 0), ("9", true, 9), ("x", true, 0), ("-1", true, 0),
        ]
        for (field, isNew, value) in table {
            let told = index.take(field)
            #expect(told == isNew && index.value == value, "\(field ?? "no field")")
        }
        _ = index.take("42")
        #expect(Consul.target(service: "l/m", index: index, waitSeconds: 60) == "/v1/health/service/l%2Fm?passing=true&index=42&wait=60s")
    }

    // MARK: etcd

    private func etcd() throws -> EtcdState {
        var state = EtcdState(prefix: "/svc/llm/")
        try with(Conversation.bytes("etcd-range.json")) { try state.range($0) }
        return state
    }

    @Test func etcdRangeEndIsTheNextKeyBehindThePrefix() {
        for (prefix, end) in [([0x61], [0x62]), ([0x61, 0xFF], [0x62]), ([0xFF, 0xFF], [0]), ([], [0]), ([0x2F, 0x61, 0x2F], [0x2F, 0x61, 0x30]), ([0xFE, 0xFF], [0xFF])] as [([UInt8], [UInt8])] {
            #expect(EtcdState.rangeEnd(prefix) == end)
        }
        #expect(EtcdState(prefix: "/svc/llm/").rangeRequest == #"{"key":"L3N2Yy9sbG0v","range_end":"L3N2Yy9sbG0w","limit":"4096"}"#)
        #expect(EtcdState(prefix: "").watchRequest == #"{"create_request":{"key":"AA==","range_end":"AA==","start_revision":"1","progress_notify":true}}"#)
        #expect(EtcdState.authenticateRequest(username: "a\"b", password: "p\\\u{1}") == #"{"name":"a\"b","password":"p\\\u0001"}"#)
    }

    @Test func etcdRangeIsReadAsItWasRecorded() throws {
        let state = try etcd()
        #expect(state.set.words == ["http://10.0.0.1:8000/v1", "10.0.0.2:8001", "10.0.0.4:9000", "fd00::5:8080 2", "https://llm.example.com:443 3"])
        #expect(state.revision == 7 && state.set.notes.isEmpty && state.watchRequest.contains(#""start_revision":"8""#))
        var empty = EtcdState(prefix: "/svc/llm/")
        try with(Conversation.bytes("etcd-range-empty.json")) { try empty.range($0) }
        #expect(empty.set == EndpointSet() && empty.revision == 1)
    }

    @Test func etcdWatchIsReadAsItWasRecorded() throws {
        var state = try etcd()
        let lines = try Conversation.lines("etcd-watch.ndjson")
        func feed(_ at: Int) throws -> EtcdState.Step { try with(lines[at].utf8) { try state.watch($0) } }
        #expect(try feed(0) == .unchanged && state.revision == 7)
        #expect(try feed(1) == .changed && state.set.words.contains("10.0.0.6:8006") && state.revision == 8)
        #expect(try feed(2) == .changed && !state.set.words.contains("10.0.0.2:8001") && state.revision == 9)
        #expect(try feed(3) == .changed && state.set.words.contains("https://llm.example.com:443 7") && state.set.words.count == 5)
        #expect(try feed(4) == .changed && state.set.words.contains("http://10.0.0.7:80") && !state.set.words.contains("10.0.0.4:9000") && state.revision == 11)
        for line in try Conversation.lines("etcd-watch-deleted.ndjson") { _ = try with(line.utf8) { try state.watch($0) } }
        #expect(state.set == EndpointSet() && state.revision == 12)
    }

    @Test func etcdWatchGoesOnBehindTheLastEventItGave() throws {
        var state = try etcd()
        func feed(_ result: String) throws -> EtcdState.Step {
            try with(#"{"result":{"header":{"cluster_id":"15118495548433857066","revision":"50"},\#(result)}}"#.utf8) { try state.watch($0) }
        }
        // The watch was made, and is behind the store.
        #expect(try feed(#""created":true"#) == .unchanged && state.revision == 7)
        #expect(try feed(#""events":[{"kv":{"key":"L3N2Yy9sbG0vZg==","mod_revision":"20","value":"YTox"}}]"#) == .changed && state.revision == 20)
        // Without events the header's revision is where it is.
        #expect(try feed(#""watch_id":"0""#) == .unchanged && state.revision == 50)
        // A key of somebody else's is passed over.
        #expect(try feed(#""events":[{"kv":{"key":"L3g=","mod_revision":"51","value":"YTox"}}]"#) == .changed && state.revision == 51 && state.set.words.count == 6)
        #expect(kind { _ = try feed(#""events":[{"kv":{"key":"L3N2Yy9sbG0vZg==","value":"YTox"}}]"#) } == .malformed)
        #expect(kind { _ = try feed(#""events":[{"type":"MOVE","kv":{"key":"L3g=","mod_revision":"52"}}]"#) } == .malformed && state.revision == 51)
    }

    @Test func etcdRefusalsHaveTheirKinds() throws {
        var state = try etcd()
        func watch(_ file: String, _ at: Int) -> DiscoveryProblem.Kind? { kind { _ = try with(Conversation.lines(file)[at].utf8) { try state.watch($0) } } }
        func range(_ file: String) -> DiscoveryProblem.Kind? { kind { try with(Conversation.bytes(file)) { try state.range($0) } } }
        #expect(watch("etcd-watch-compacted.ndjson", 0) == nil && watch("etcd-watch-compacted.ndjson", 1) == .expired)
        #expect(watch("etcd-watch-unauthenticated.ndjson", 0) == .unauthorised && watch("etcd-watch-ended.ndjson", 1) == .failed)
        #expect(range("etcd-range-compacted.json") == .expired && range("etcd-range-unauthenticated.json") == .unauthorised)
        #expect(kind { _ = try with(#"{"result":{"header":{"cluster_id":"1","revision":"9"},"created":true}}"#.utf8) { try state.watch($0) } } == .expired)
        #expect(state.set.words.count == 5 && state.revision == 7)
        #expect(try with(Conversation.bytes("etcd-auth.json")) { try EtcdState.token($0) } == "lAXbGODbsWvsOmmI.24")
        #expect(try with(Conversation.bytes("etcd-auth-off.json")) { try EtcdState.token($0) } == nil)
        #expect(kind { _ = try with(Conversation.bytes("etcd-auth-refused.json")) { try EtcdState.token($0) } } == .unauthorised)
        for wrong in ["", "[]", "{}", #"{"header":{}}"#, #"{"header":{"cluster_id":"1","revision":"x"}}"#, #"{"header":{"cluster_id":"1","revision":"1"},"kvs":{}}"#,
            #"{"header":{"cluster_id":"1","revision":"1"},"kvs":[{"value":"YTox"}]}"#, #"{"header":{"cluster_id":"1","revision":"1"},"kvs":[{"key":"YTox=","value":"YTox"}]}"#,
            #"{"header":{"cluster_id":"1","revision":"1"},"kvs":[{"key":"YQ==","value":"Y*"}]}"#, #"{"header":{"cluster_id":"1","revision":"99999999999999999999"}}"#] {
            #expect(kind { try with(wrong.utf8) { try state.range($0) } } == .malformed, "\(wrong)")
        }
    }

    @Test func aValueThatIsNoAddressHidesNoOther() throws {
        var state = EtcdState(prefix: "")
        let text = #"{"header":{"cluster_id":"1","revision":"1"},"kvs":[{"key":"YQ==","value":"Og=="},{"key":"Yg==","value":"YTox"},{"key":"Yw=="},{"key":"ZA==","value":"e30="}]}"#
        try with(text.utf8) { try state.range($0) }
        #expect(state.set.words == ["a:1"] && state.set.notes.count == 3 && state.set.notes[0].hasPrefix("key \"a\": "))
    }

    // MARK: all

    @Test func aWatchIsTheSameHoweverItIsCut() throws {
        let bytes = try Conversation.bytes("etcd-watch.ndjson")
        for size in [1, 2, 7, 100, 5000] {
            var stream = DiscoveryStream()
            var state = try etcd()
            var at = 0
            while at < bytes.count {
                let end = min(bytes.count, at + size)
                try with(bytes[at..<end]) { piece in try stream.feed(piece) { (line) throws(DiscoveryProblem) in _ = try state.watch(line) } }
                at = end
            }
            #expect(state.revision == 11 && state.set.words.count == 5)
        }
        var stream = DiscoveryStream()
        let long = [UInt8](repeating: 0x20, count: DiscoveryDocument.eventBytesMax + 1)
        #expect(kind { try with(long) { try stream.feed($0) { _ in } } } == .tooLarge)
    }

    @Test func noDocumentTraps() throws {
        var dice = DiscoveryDice(state: 0xE7CD)
        let names = ["kubernetes-list.json", "kubernetes-watch.ndjson", "consul-health.json", "etcd-range.json", "etcd-watch.ndjson", "etcd-auth.json"]
        let documents = try names.flatMap { try Conversation.lines($0) }.map { Array($0.utf8) }
        for round in 0..<3000 {
            var bytes = documents[round % documents.count]
            switch round % 3 {
            case 0: bytes.removeLast(Int.random(in: 0..<bytes.count, using: &dice))
            case 1: for _ in 0..<Int.random(in: 1...4, using: &dice) { bytes[Int.random(in: 0..<bytes.count, using: &dice)] = UInt8.random(in: 0x20...0x7E, using: &dice) }
            default:
                // A piece somewhere else: shapes that are still JSON now and then.
                let from = Int.random(in: 0..<bytes.count, using: &dice)
                bytes.replaceSubrange(from..<min(bytes.count, from + Int.random(in: 0...20, using: &dice)), with: Array(["null", "0", "-1", "{}", "[]", "\"\"", "1e99"][Int.random(in: 0..<7, using: &dice)].utf8))
            }
            with(bytes) { bytes in
                var kubernetes = KubernetesState(service: "llm")
                _ = try? kubernetes.list(bytes)
                _ = try? kubernetes.event(bytes)
                var etcd = EtcdState(prefix: "/svc")
                _ = try? etcd.range(bytes)
                _ = try? etcd.watch(bytes)
                _ = try? EtcdState.token(bytes)
                let sets = [kubernetes.set, etcd.set, (try? Consul.read(bytes)) ?? EndpointSet(), (try? DiscoveryDocument.list(bytes)) ?? EndpointSet()]
                for set in sets { #expect(set.endpoints.count <= EndpointSet.endpointsMax && set.endpoints.allSatisfy { $0.port > 0 && $0.weight > 0 && !$0.host.isEmpty }) }
            }
        }
    }
}
