// Something an operator may want to be told: what webhooks will carry and `GET /admin/events` shows.
import ClawConfig

public struct GatewayEvent: Sendable {
    /// Counts up from 1 in the life of the process.
    public var id: UInt64
    /// A word such as `breaker_opened`, stable.
    public var name: String
    public var severity: Logging.Level
    /// For people.
    public var message: String
    /// The event as one JSON object: id, time, event, severity, message, and what belongs to it.
    public var json: String
}
