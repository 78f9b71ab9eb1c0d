// Why a route does not take a request: the first of its conditions that does not hold, in the order in which they are looked at.

struct Mismatch {
    enum Condition: UInt8 {
        /// All hold.
        case none
        case method, listener, path, host, clientSubject, clientName
        /// `at` is the place in the route's list.
        case header, query
        case keyID, keyTenant, keyTags
        /// The request has no JSON object for a body.
        case noBody
        case body
        case promptContainsAny, promptContainsAll, promptLanguage, promptTokens
    }
    var condition: Condition
    var at: Int32 = 0
    @inline(__always)
    init(_ condition: Condition, _ at: Int = 0) {
        self.condition = condition
        self.at = Int32(truncatingIfNeeded: at)
    }
    static let none = Mismatch(.none)
    @inline(__always)
    var isNone: Bool { condition == .none }
}
