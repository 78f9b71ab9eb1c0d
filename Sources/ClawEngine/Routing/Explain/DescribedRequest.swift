/// What `openclaw explain` and POST /admin/routes/explain are told.
public struct DescribedRequest: Sendable {
    public var method = "POST"
    /// With its query.
    public var path = "/v1/chat/completions"
    public var headers: [(name: String, value: String)] = []
    public var body: [UInt8] = []
    /// Asks as the caller with this id of `security.keys`; nil: the headers say who asks.
    public var keyID: String?
    /// The listener's name; nil: the first.
    public var listener: String?
    public init() {}
}
