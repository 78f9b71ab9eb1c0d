// Events of the gateway, from the workers' rings and from control threads, in the order in which they came here. The last `keptMax` are kept; whoever
// subscribed is told of each on the thread that brought it, and must not wait. Important ones go to the operator's log too, at most
// `toldMax` of a kind in ten seconds; how many were not told is said with the next. Nothing here is on a request's way: a worker writes a line into its ring
// and goes on.
import CClaw
import ClawConfig
import ClawWire
import Glibc
import Synchronization

public final class EventBus: @unchecked Sendable {
    public static let keptMax = 1024
    static let toldMax = 5
    private static let toldWindow: UInt64 = 10_000_000_000
    /// Of one line of a worker's ring.
    private static let lineBytesMax = 16 << 10

    /// Whether the operator's log has an event too.
    enum Telling {
        /// An answer to something the operator did.
        case always
        /// At most `toldMax` of a kind in ten seconds.
        case rationed
        case never
    }

    private struct Told {
        var since: UInt64 = 0
        var count = 0
        var left = 0
    }
    private struct State {
        /// Written round and round.
        var ring: [GatewayEvent] = []
        var nextID: UInt64 = 1
        var told: [String: Told] = [:]
        var subscribers: [Int: @Sendable (GatewayEvent) -> Void] = [:]
        var subscriberNext = 0
        /// What a ring held of a line whose end was not there yet.
        var rest: [ObjectIdentifier: [UInt8]] = [:]
        /// Lines of workers that were no events.
        var unreadable = 0
    }
    private let state = Mutex(State())
    private let operatorLog: @Sendable (Logging.Level, String) -> Void

    init(operatorLog: @escaping @Sendable (Logging.Level, String) -> Void) { self.operatorLog = operatorLog }

    // MARK: in

    /// Takes an event of a control thread.
    /// - Parameter members: what belongs to it; values are JSON.
    func publish(_ name: String, _ severity: Logging.Level, _ message: String, _ members: [(name: String, raw: String)] = [], telling: Telling = .rationed) {
        var more = ""
        for (name, raw) in members { more += ",\"\(name)\":\(raw)" }
        let text = "\"message\":\(JSONLine.quoted(message))\(more)"
        take(name, severity, message, Self.text(claw_realtime_ns()), text, telling)
    }

    private func take(_ name: String, _ severity: Logging.Level, _ message: String, _ time: String, _ members: String, _ telling: Telling) {
        let (event, line, subscribers) = state.withLock { state in
            let id = state.nextID
            state.nextID += 1
            let json = "{\"id\":\(id),\"time\":\(JSONLine.quoted(time)),\"event\":\"\(name)\",\"severity\":\"\(severity.rawValue)\",\(members)}"
            let event = GatewayEvent(id: id, name: name, severity: severity, message: message, json: json)
            let at = Int((id - 1) % UInt64(Self.keptMax))
            if at < state.ring.count { state.ring[at] = event } else { state.ring.append(event) }
            let line: String? = switch telling {
            case .always: message
            case .rationed: Self.line(event, &state)
            case .never: nil
            }
            return (event, line, Array(state.subscribers.values))
        }
        if let line { operatorLog(severity, line) }
        for subscriber in subscribers { subscriber(event) }
    }

    /// What the operator's log says of it; nil: nothing, there were enough of its kind.
    private static func line(_ event: GatewayEvent, _ state: inout State) -> String? {
        if event.severity == .debug { return nil }
        let now = claw_monotonic_ns()
        var told = state.told[event.name] ?? Told(since: now)
        if now &- told.since > toldWindow { told = Told(since: now, left: told.left) }
        defer { state.told[event.name] = told }
        guard told.count < toldMax else {
            told.left += 1
            return nil
        }
        told.count += 1
        defer { told.left = 0 }
        return told.left == 0 ? event.message : "\(event.message) (and \(told.left) more \(event.name) that are not told here, see /admin/events)"
    }

    /// Takes what the workers' rings hold. A line is one JSON object with `time`, `event`, and what belongs to it (Observe/Worker+Events); how grave it is and
    /// how it is told, `WorkerEvent` says. One call at a time reads a ring: the lock is its reader's.
    func drain(_ rings: [LogRing]) {
        var lines: [[UInt8]] = []
        state.withLock { state in
            for ring in rings {
                let (first, second) = ring.pending()
                let total = first.count + second.count
                if total == 0 { continue }
                var bytes = state.rest.removeValue(forKey: ObjectIdentifier(ring)) ?? []
                bytes.append(contentsOf: first)
                bytes.append(contentsOf: second)
                ring.consume(total)
                var from = 0
                while let end = bytes[from...].firstIndex(of: 0x0A) {
                    if end > from { lines.append(Array(bytes[from..<end])) }
                    from = end + 1
                }
                if from < bytes.count, bytes.count - from <= Self.lineBytesMax { state.rest[ObjectIdentifier(ring)] = Array(bytes[from...]) }
            }
        }
        for line in lines { read(line) }
    }

    private func read(_ line: [UInt8]) {
        var found: (name: String, severity: Logging.Level, message: String, time: String, members: String, telling: Telling)?
        line.withUnsafeBytes { bytes in
            var tape = JSONTape()
            guard tape.read(bytes) == nil, tape.root.isObject else { return }
            func text(_ name: StaticString) -> String? {
                let value = tape.root[name]
                guard value.isString else { return nil }
                guard value.isEscaped else { return value.text.string }
                var plain = [UInt8](repeating: 0, count: max(1, value.text.count))
                return plain.withUnsafeMutableBytes { JSONText.unescape(value.raw.raw, into: $0) }.map { String(decoding: plain[..<$0], as: UTF8.self) }
            }
            guard let name = text("event"), !name.isEmpty, name.utf8.allSatisfy({ $0 == 0x5F || ($0 >= 0x61 && $0 <= 0x7A) || ($0 >= 0x30 && $0 <= 0x39) }) else { return }
            let time = text("time") ?? Self.text(claw_realtime_ns())
            let kind = WorkerEvent(name)
            let message = kind.message { member in
                switch member {
                case "upstream": text("upstream")
                case "endpoint": text("endpoint")
                case "key_id": text("key_id")
                case "model": text("model")
                case "route_id": text("route_id")
                case "class": text("class")
                case "traffic_class": text("traffic_class")
                case "from": text("from")
                case "to": text("to")
                case "reason": text("reason")
                case "seconds": tape.root["seconds"].raw.string
                default: nil
                }
            }
            var members = "\"message\":\(JSONLine.quoted(message))"
            for (key, value) in tape.root.members {
                let name = key.text.string
                if ["id", "time", "event", "severity", "message"].contains(name) { continue }
                members += ",\"\(name)\":\(value.raw.string)"
            }
            found = (name, kind.severity, message, time, members, kind.telling)
        }
        guard let found else { return state.withLock { $0.unreadable += 1 } }
        take(found.name, found.severity, found.message, found.time, found.members, found.telling)
    }

    // MARK: out

    /// Tells of each event from now on, on whatever control thread it comes to. For webhooks, which queue and go.
    @discardableResult
    public func subscribe(_ subscriber: @escaping @Sendable (GatewayEvent) -> Void) -> Int {
        state.withLock { state in
            state.subscriberNext += 1
            state.subscribers[state.subscriberNext] = subscriber
            return state.subscriberNext
        }
    }

    public func unsubscribe(_ id: Int) { state.withLock { _ = $0.subscribers.removeValue(forKey: id) } }

    /// The number of the latest one.
    var last: UInt64 { state.withLock { $0.nextID - 1 } }

    /// Events after number `since`, oldest first, and how many of those are not there any more.
    func events(since: UInt64, limit: Int = keptMax) -> (events: [GatewayEvent], missed: UInt64, last: UInt64) {
        state.withLock { state in
            let last = state.nextID - 1
            guard since < last else { return ([], 0, last) }
            let oldest = last - UInt64(state.ring.count) + 1
            let first = max(oldest, since + 1)
            let events = (first...last).prefix(limit).map { state.ring[Int(($0 - 1) % UInt64(Self.keptMax))] }
            return (events, first - since - 1, last)
        }
    }

    /// The body of `GET /admin/events?since=N`. `next` is the number to ask with next; `missed`: events after `since` that are kept no more;
    /// `dropped`: those a worker had no room to tell.
    func json(since: UInt64, dropped: UInt64) -> String {
        let (events, missed, last) = events(since: since)
        var out = JSONLine()
        out.member("events", list: events.map(\.json))
        out.member("next", Int(clamping: events.last?.id ?? min(since, last)))
        out.member("missed", Int(clamping: missed))
        out.member("dropped", Int(clamping: dropped))
        return out.text
    }

    /// RFC 3339 with milliseconds.
    static func text(_ realtime: UInt64) -> String {
        var seconds = time_t(realtime / 1_000_000_000)
        var parts = tm()
        gmtime_r(&seconds, &parts)
        let text = withUnsafeTemporaryAllocation(of: CChar.self, capacity: 32) { room in
            strftime(room.baseAddress.unsafelyUnwrapped, 32, "%Y-%m-%dT%H:%M:%S", &parts)
            return String(cString: room.baseAddress.unsafelyUnwrapped)
        }
        let milliseconds = realtime / 1_000_000 % 1000
        return "\(text).\(milliseconds < 10 ? "00" : milliseconds < 100 ? "0" : "")\(milliseconds)Z"
    }
}
