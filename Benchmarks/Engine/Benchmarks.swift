// What a worker does for each request beside the wire: find the route, keep its deadlines, count, write its line.
import Benchmark
import ClawConfig
@_spi(Benchmarks) import ClawEngine
import Support

let benchmarks: @Sendable () -> Void = {
    let counters = EngineBenchmarks.Counters()
    measure("metric, add", operations: 1000) { counters.add($0) }
    measure("metric, observe", operations: 1000) { counters.observe($0) }
    let ring = EngineBenchmarks.Ring(lineBytes: 700)
    measure("log ring, line of 700 bytes", operations: 500) { ring.append($0) }
    let timers = EngineBenchmarks.Timers()
    measure("timer, postponed", operations: 2000) { timers.postpone($0) }
    measure("timer, set and expired", operations: 1000) { guard timers.setAndExpire($0) >= $0 else { fatalError("timers lost") } }
    for routes in [1, 10, 100, 1000] {
        let request = request(routes: routes)
        measure("route, last of \(routes)", operations: max(1, 2000 / routes)) { guard request.match($0) == routes - 1 else { fatalError("another route") } }
    }
    for routes in [1000, 10_000] {
        for shape in Shape.allCases {
            let decision = decision(shape, routes: routes)
            measure("route, \(routes) \(shape.rawValue)", operations: 50) { guard decision.match($0) == routes - 1 else { fatalError("another route") } }
        }
    }
    for strategy in ["failover", "weighted_random", "least_connections", "lowest_latency"] {
        let decision = decision(strategy: strategy)
        measure("candidates, \(strategy) of 3", operations: 50) { guard decision.choose($0) == 3 else { fatalError("other candidates") } }
    }
    decisions()
    let accounted = request(routes: 10)
    guard accounted.match(1) == 9 else { fatalError("another route") }
    measure("account, metrics and log line", operations: 20) { accounted.account($0) }
}

/// What routes of a large file differ in.
private enum Shape: String, CaseIterable { case paths, models, headers, hosts, templates }

/// Routes that differ in one thing; the request is for the last.
private func decision(_ shape: Shape, routes: Int) -> EngineBenchmarks.Decision {
    var text = "upstreams:\n  local: { type: generic, base_url: \"http://127.0.0.1:7001\" }\nroutes:\n"
    for route in 0..<routes {
        let match = switch shape {
        case .paths: "path: /service/\(route)/items"
        case .models: "path: /v1/chat/completions, json_body: { model: model-\(route) }"
        case .headers: "path: \"/v1/*\", headers: { X-Tenant: t\(route) }"
        case .hosts: "host: s\(route).example.com, method: POST"
        case .templates: "path: \"/users/{id}/kind-\(route)\""
        }
        text += "  - { id: r\(route), match: { \(match) }, strategy: { upstreams: [local] } }\n"
    }
    let last = routes - 1
    var request = DescribedRequest()
    request.body = Array(#"{"model":"model-\#(last)","messages":[{"role":"user","content":"hello"}]}"#.utf8)
    request.headers = [("host", "s\(last).example.com:8080"), ("accept", "*/*"), ("x-tenant", "t\(last)"), ("user-agent", "benchmark"), ("content-type", "application/json")]
    switch shape {
    case .paths: request.path = "/service/\(last)/items?page=2"
    case .templates: request.path = "/users/7/kind-\(last)"
    default: break
    }
    return made(text, request)
}

/// Three upstreams with keys, all well.
private func decision(strategy: String) -> EngineBenchmarks.Decision {
    var text = "upstreams:\n"
    for name in ["a", "b", "c"] { text += "  \(name): { type: openai, base_url: \"http://127.0.0.1:7001/v1\", api_key: sk-benchmark-\(name), models: [gpt-4o] }\n" }
    text += "routes:\n  - { id: r, strategy: { type: \(strategy), upstreams: [a, b, c] } }\n"
    var request = DescribedRequest()
    request.body = Array(#"{"model":"gpt-4o","messages":[{"role":"user","content":"hello"}]}"#.utf8)
    return made(text, request)
}

private func made(_ text: String, _ request: DescribedRequest) -> EngineBenchmarks.Decision {
    let load = loadConfiguration(text: text, name: "benchmark.yaml", environment: [:])
    guard let configuration = load.configuration else { fatalError("the configuration is refused: \(load.issues)") }
    do { return try EngineBenchmarks.Decision(configuration, request) } catch { fatalError("\(error)") }
}

/// Routes by path, method, host and header in turn; the request is for the last.
private func request(routes: Int) -> EngineBenchmarks.Request {
    var text = "upstreams:\n  local: { type: http, endpoints: [\"http://127.0.0.1:7001\"] }\nroutes:\n"
    for route in 0..<routes - 1 {
        let match = switch route % 4 {
        case 0: "path: /service/\(route)/items"
        case 1: "path: \"/service/\(route)/*\", method: [GET, POST]"
        case 2: "path: \"/service/*\", host: \"s\(route).example.com\""
        default: "path: \"/service/*\", headers: { X-Tenant: \"t\(route)\" }"
        }
        text += "  - { id: r\(route), match: { \(match) }, strategy: { type: failover, upstreams: [local] } }\n"
    }
    text += "  - { id: last, match: { path: \"/service/*\" }, strategy: { type: failover, upstreams: [local] } }\n"
    let load = loadConfiguration(text: text, name: "benchmark.yaml", environment: [:])
    guard let configuration = load.configuration else { fatalError("the configuration is refused: \(load.issues)") }
    let head = "GET /service/last/items?page=2 HTTP/1.1\r\nHost: api.example.com:8080\r\nAccept: */*\r\nX-Tenant: other\r\n\r\n"
    do { return try EngineBenchmarks.Request(configuration, head: head) } catch { fatalError("\(error)") }
}
