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
    let accounted = request(routes: 10)
    guard accounted.match(1) == 9 else { fatalError("another route") }
    measure("account, metrics and log line", operations: 20) { accounted.account($0) }
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
