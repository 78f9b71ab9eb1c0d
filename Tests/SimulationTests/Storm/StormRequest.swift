/// One request of a storm, and all that was seen of it.
struct StormRequest: Equatable {
    var model = 0
    var isStream = false
    /// It asks for a profile; its caller is one that is named; it reads slowly; it is long, and what answers it too.
    var hasProfile = false
    var isKnown = true
    var isSlow = false
    var isLarge = false
    var answers = 0
    var status = 0
    /// Times it reached an upstream, which of them were its shadow (a bit each), the models it was sent as (four bits each), and which of them the client's answer came from.
    var arrivals = 0
    var mirrors: UInt32 = 0
    var models: UInt64 = 0
    var arrival = -1
    var isCut = false
    var hasLeft = false
    /// Its stream went on at another upstream.
    var wentOn = false
    var isDowngraded = false
    var attempts = 0
    var lines = 0
    var loggedStatus = 0
    var loggedTokens = -1
    var isLoggedDowngraded = false

    /// Tokens that only this answer has, so that an account can be traced to it; more than any guess.
    static func tokens(_ id: Int, _ arrival: Int) -> Int { 100_000 + id % 1000 + arrival * 1000 }
    /// The model that an arrival asked for.
    func model(of arrival: Int) -> Int { Int(models >> UInt64(4 * (arrival & 15)) & 15) }
}
