// How events that workers write are told to people: a worker writes down what happened and to what, the words are put together here, off its way.
import ClawConfig

struct WorkerEvent {
    let name: String
    init(_ name: String) { self.name = name }

    var severity: Logging.Level {
        switch name {
        case "key_refused": .error
        case "breaker_opened", "breaker_reopened", "endpoint_ejected", "key_cooled", "retries_exhausted": .warn
        default: .info
        }
    }

    /// Whether the operator's log has it too. A downgrade is one of each request, which that request's line tells.
    var telling: EventBus.Telling { name == "downgrade" || name == "retries_exhausted" ? .never : .rationed }

    /// `member`: the event's members as text.
    func message(_ member: (String) -> String?) -> String {
        let upstream = "upstreams.\(member("upstream") ?? "?")"
        let seconds = member("seconds").flatMap { $0.isEmpty ? nil : " for \($0) s" } ?? ""
        let traffic = member("traffic_class") ?? "its"
        let model = member("model").flatMap { $0.isEmpty ? nil : " with \($0)" } ?? ""
        switch name {
        case "breaker_opened": return "\(upstream): the breaker of \(traffic) traffic opened\(seconds): too many failures"
        case "breaker_reopened": return "\(upstream): the breaker of \(traffic) traffic opened again\(seconds): a probe failed"
        case "breaker_half_open": return "\(upstream): the breaker of \(traffic) traffic lets probes through"
        case "breaker_closed": return "\(upstream): the breaker of \(traffic) traffic closed"
        case "key_cooled": return "\(upstream): key \(member("key_id") ?? "?") cools down\(model)\(seconds) after a rate limit"
        case "key_refused": return "\(upstream): key \(member("key_id") ?? "?") was refused (401 or 403); it is left alone\(seconds)"
        case "endpoint_ejected": return "\(upstream): \(member("endpoint") ?? "an endpoint") is left out\(seconds) after failures in a row"
        case "endpoint_returned": return "\(upstream): \(member("endpoint") ?? "an endpoint") gets requests again"
        case "downgrade": return "route \(member("route_id") ?? "?"): \(member("to") ?? "?") answered for \(member("from") ?? "?") (\(member("reason") ?? "?"))"
        case "retries_exhausted": return "route \(member("route_id") ?? "?"): the retry budget is used up (\(member("class") ?? "?"))"
        default: return name
        }
    }
}
