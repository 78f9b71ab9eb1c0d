// What an answer says about its key's limits: how long to wait, and what is left of requests and tokens. Fed one field of the answer's head at a time, and an
// error's body. Plain memory on the stack of whoever reads an answer; no state of its own.
//
// The told wait is the first of: `retry-after-ms` above 0 (Azure sends 0 beside a `retry-after`), `retry-after` (seconds, with a fraction, or an HTTP date), a
// hint in the body, and the reset of what has nothing left. Anthropic sends `retry-after` with good answers as well, so who asks must look at the status first.
// A wait that is negative, nothing, junk or longer than a day (`waitMax`) counts as not told (UP-11); the caller caps it by its own settings.
//
// Resets: OpenAI, Groq and xAI write durations ("6m0s", "12ms"), Anthropic RFC 3339, Azure bare milliseconds (it gives itself away by `renewalperiod`), others
// bare seconds, or seconds or milliseconds since 1970. Mistral sends none: its windows are minutes (and ten seconds) of the wall clock.
import ClawWire

public struct RateSignals: Sendable {
    public static let waitMax: UInt64 = 86_400_000_000_000
    /// How much of a body is searched for a hint.
    public static let hintBytesMax = 65_536
    /// What is left is believed for so long where nothing says when it is renewed.
    public static let resetGuess: UInt64 = 60_000_000_000

    public struct Figure: Sendable, Equatable {
        /// 0: not told.
        public var limit: UInt64
        public var remaining: UInt64
        /// Nanoseconds from the answer on.
        public var reset: UInt64
        public init(limit: UInt64, remaining: UInt64, reset: UInt64) { (self.limit, self.remaining, self.reset) = (limit, remaining, reset) }
    }

    /// In an error's body: set it to what `hint(inBody:)` found.
    public var hint: UInt64?
    /// `x-should-retry`, where it was sent.
    public private(set) var shouldRetry: Bool?
    /// Bare numbers in `reset` fields are milliseconds.
    public var resetsAreMilliseconds: Bool
    private var milliseconds: UInt64?
    private var seconds: UInt64?

    private var requestsPlain = Bucket(), requestsShort = Bucket(), requestsLong = Bucket()
    private var tokensPlain = Bucket(), tokensLong = Bucket(), tokensIn = Bucket(), tokensOut = Bucket()
    /// Whether there is any figure to learn from.
    public private(set) var hasFigures = false

    public init(resetsAreMilliseconds: Bool = false) { self.resetsAreMilliseconds = resetsAreMilliseconds }

    // MARK: - Reading

    /// Whether a field may be one of ours: a look at its length and a few letters, for every field of every answer. `field` looks closer.
    @inline(__always) public static func concerns(_ name: UnsafeRawBufferPointer) -> Bool {
        let count = name.count
        guard count >= 11 else { return false }
        switch name[0] | 0x20 {
        case 0x72: // retry-after, retry-after-ms, ratelimit-…, ratelimitbysize-…
            return name[1] | 0x20 == 0x65 ? (count == 11 || count == 14) && name[5] == 0x2D : count >= 15 && name[1] | 0x20 == 0x61 && name[4] | 0x20 == 0x6C
        case 0x78: // x-ratelimit…, x-should-retry, x-ms-retry-after-ms
            guard name[1] == 0x2D else { return false }
            let letter = name[2] | 0x20
            return letter == 0x72 ? count >= 17 && name[3] | 0x20 == 0x61 : letter == 0x73 ? count == 14 : letter == 0x6D && count == 19
        case 0x61: // anthropic-ratelimit-…
            return count >= 32 && name[9] == 0x2D && name[10] | 0x20 == 0x72
        default: return false
        }
    }

    /// One field of the answer's head. `wall`: nanoseconds since 1970.
    public mutating func field(name: UnsafeRawBufferPointer, value untrimmed: UnsafeRawBufferPointer, wall: UInt64) {
        guard Self.concerns(name) else { return }
        let value = RateTimes.trimmed(untrimmed)
        if RateTimes.same(name, "retry-after") {
            seconds = Self.wait(RateTimes.durationOrSeconds(value)?.nanoseconds ?? RateTimes.httpDate(value).map { since(wall, $0) }) ?? seconds
        } else if RateTimes.same(name, "retry-after-ms") || RateTimes.same(name, "x-ms-retry-after-ms") {
            if let told = RateTimes.durationOrSeconds(value), told.isBare { milliseconds = Self.wait(told.nanoseconds / 1000) ?? milliseconds }
        } else if RateTimes.same(name, "x-should-retry") {
            shouldRetry = RateTimes.same(value, "true") ? true : RateTimes.same(value, "false") ? false : shouldRetry
        } else if RateTimes.begins(name, 0, "anthropic-ratelimit-") {
            anthropic(Self.rest(name, 20), value, wall)
        } else if RateTimes.begins(name, 0, "x-ratelimit-") {
            other(Self.rest(name, 12), value, wall, isBySize: false)
        } else if RateTimes.begins(name, 0, "ratelimit-") {
            other(Self.rest(name, 10), value, wall, isBySize: false)
        } else if RateTimes.begins(name, 0, "ratelimitbysize-") {
            other(Self.rest(name, 16), value, wall, isBySize: true)
        } else if RateTimes.begins(name, 0, "x-ratelimitbysize-") {
            other(Self.rest(name, 18), value, wall, isBySize: true)
        }
    }

    /// A wait that an error's body names: RetryInfo's `retryDelay` (Google), or "try again in 20.5s" and its likes; nil: none.
    public static func hint(inBody body: UnsafeRawBufferPointer) -> UInt64? {
        var found: UInt64?
        let end = min(body.count, hintBytesMax)
        let text = UnsafeRawBufferPointer(rebasing: body[0 ..< end])
        var at = 0
        while at < end {
            defer { at += 1 }
            let letter = text[at] | 0x20
            guard letter == 0x72 || letter == 0x74 else { continue }
            if letter == 0x72 && RateTimes.begins(text, at, "retrydelay") {
                var next = at + 10
                while next < end, text[next] == 0x22 || text[next] == 0x3A || text[next] == 0x20 || text[next] == 0x09 || text[next] == 0x0A || text[next] == 0x0D { next += 1 }
                if let wait = wait(RateTimes.duration(text, &next)) { return wait }
            } else if found == nil {
                for phrase in phrases where RateTimes.begins(text, at, phrase) {
                    var next = at + phrase.utf8CodeUnitCount
                    RateTimes.skipSpaces(text, &next)
                    found = wait(RateTimes.duration(text, &next))
                }
            }
        }
        return found
    }
    private static let phrases: [StaticString] = ["try again in ", "try again after ", "retry in ", "retry after ", "reset after ", "resets in "]

    // MARK: - What came of it

    /// How long the key should be left alone, from the answer on; nil: the provider did not say.
    public var told: UInt64? { milliseconds ?? seconds ?? hint ?? emptyReset }
    /// What is left of requests; nil: not told. Of several windows the tightest.
    public var requests: Figure? { tightest(requestsPlain, requestsShort, requestsLong, nil) }
    /// What is left of tokens; nil: not told. Of several windows and kinds the tightest.
    public var tokens: Figure? { tightest(tokensPlain, tokensLong, tokensIn, tokensOut) }

    /// When all that has nothing left is renewed.
    private var emptyReset: UInt64? {
        var latest = max(emptyReset(requestsPlain), emptyReset(requestsShort), emptyReset(requestsLong))
        latest = max(latest, emptyReset(tokensPlain), max(emptyReset(tokensLong), emptyReset(tokensIn), emptyReset(tokensOut)))
        return latest > 0 ? latest : nil
    }
    private func emptyReset(_ bucket: Bucket) -> UInt64 { bucket.remaining == 0 ? reset(bucket) ?? 0 : 0 }

    private func reset(_ bucket: Bucket) -> UInt64? {
        let told = bucket.reset == .max ? bucket.window == .max ? nil : bucket.window : bucket.isBare && resetsAreMilliseconds ? bucket.reset / 1000 : bucket.reset
        return told.map { min($0, Self.waitMax) }
    }

    private func tightest(_ one: Bucket, _ two: Bucket, _ three: Bucket, _ four: Bucket?) -> Figure? {
        guard hasFigures else { return nil }
        var found: Figure?
        for at in 0 ..< 4 {
            guard let bucket = at == 0 ? one : at == 1 ? two : at == 2 ? three : four, bucket.remaining != .max else { continue }
            let figure = Figure(limit: bucket.limit == .max ? 0 : bucket.limit, remaining: bucket.remaining, reset: reset(bucket) ?? Self.resetGuess)
            guard let best = found else {
                found = figure
                continue
            }
            if Self.isTighter(figure, best) { found = figure }
        }
        return found
    }

    /// The smaller share left; of two with nothing left that which is renewed later.
    private static func isTighter(_ one: Figure, _ other: Figure) -> Bool {
        if one.remaining == 0 && other.remaining == 0 { return one.reset > other.reset }
        func left(_ figure: Figure) -> Double { figure.limit == 0 ? figure.remaining == 0 ? 0 : 1 : Double(figure.remaining) / Double(figure.limit) }
        return left(one) < left(other)
    }

    // MARK: - Parts

    private struct Bucket: Sendable {
        // .max: not told
        var limit = UInt64.max, remaining = UInt64.max, reset = UInt64.max, window = UInt64.max
        var isBare = false
    }
    private enum Kind { case limit, remaining, reset }

    private static func wait(_ nanoseconds: UInt64?) -> UInt64? {
        guard let nanoseconds, nanoseconds > 0, nanoseconds <= waitMax else { return nil }
        return nanoseconds
    }

    private static func rest(_ name: UnsafeRawBufferPointer, _ from: Int) -> UnsafeRawBufferPointer { UnsafeRawBufferPointer(rebasing: name[from...]) }

    /// `requests-limit`, `input-tokens-remaining`, `tokens-reset` …
    private mutating func anthropic(_ name: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer, _ wall: UInt64) {
        let start = RateTimes.begins(name, 0, "requests-") ? 9 : RateTimes.begins(name, 0, "tokens-") ? 7 : RateTimes.begins(name, 0, "input-tokens-") ? 13 : RateTimes.begins(name, 0, "output-tokens-") ? 14 : 0
        let word = Self.rest(name, start)
        guard start > 0, let kind: Kind = RateTimes.same(word, "limit") ? .limit : RateTimes.same(word, "remaining") ? .remaining : RateTimes.same(word, "reset") ? .reset : nil else { return }
        switch start {
        case 9: Self.set(&requestsPlain, kind, value, wall, .max)
        case 7: Self.set(&tokensPlain, kind, value, wall, .max)
        case 13: Self.set(&tokensIn, kind, value, wall, .max)
        default: Self.set(&tokensOut, kind, value, wall, .max)
        }
        hasFigures = true
    }

    /// `limit-requests`, `remaining-tokens`, `reset-requests`, `limit-req-minute`, `remaining-tokens-minute`, `reset` … Other buckets (images, months) are no concern.
    private mutating func other(_ name: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer, _ wall: UInt64, isBySize: Bool) {
        if RateTimes.begins(name, 0, "renewalperiod-") {
            resetsAreMilliseconds = true
            return
        }
        let kind: Kind, length: Int
        if RateTimes.begins(name, 0, "limit") { (kind, length) = (.limit, 5) } else if RateTimes.begins(name, 0, "remaining") { (kind, length) = (.remaining, 9) } else if RateTimes.begins(name, 0, "reset") {
            (kind, length) = (.reset, 5)
        } else { return }
        var bucket = Self.rest(name, length)
        if bucket.count > 0 {
            guard bucket[0] == 0x2D else { return }
            bucket = Self.rest(bucket, 1)
        }
        func left(_ period: UInt64) -> UInt64 { period &- wall % period }
        let minute = 60 * RateTimes.second
        if isBySize {
            guard bucket.count == 0 || RateTimes.same(bucket, "minute") else { return }
            Self.set(&tokensPlain, kind, value, wall, left(minute))
        } else if bucket.count == 0 || RateTimes.same(bucket, "requests") {
            Self.set(&requestsPlain, kind, value, wall, .max)
        } else if RateTimes.same(bucket, "tokens") {
            Self.set(&tokensPlain, kind, value, wall, .max)
        } else if RateTimes.same(bucket, "req-minute") || RateTimes.same(bucket, "requests-minute") {
            Self.set(&requestsPlain, kind, value, wall, left(minute))
        } else if RateTimes.same(bucket, "req-10-second") {
            Self.set(&requestsShort, kind, value, wall, left(10 * RateTimes.second))
        } else if RateTimes.same(bucket, "requests-hour") || RateTimes.same(bucket, "requests-day") {
            Self.set(&requestsLong, kind, value, wall, .max)
        } else if RateTimes.same(bucket, "tokens-minute") {
            Self.set(&tokensPlain, kind, value, wall, left(minute))
        } else if RateTimes.same(bucket, "tokens-hour") || RateTimes.same(bucket, "tokens-day") {
            Self.set(&tokensLong, kind, value, wall, .max)
        } else if RateTimes.same(bucket, "input-tokens") {
            Self.set(&tokensIn, kind, value, wall, .max)
        } else if RateTimes.same(bucket, "output-tokens") {
            Self.set(&tokensOut, kind, value, wall, .max)
        } else { return }
        hasFigures = true
    }

    private static func set(_ bucket: inout Bucket, _ kind: Kind, _ value: UnsafeRawBufferPointer, _ wall: UInt64, _ window: UInt64) {
        bucket.window = window
        switch kind {
        case .limit: if let number = RateTimes.whole(value) { bucket.limit = number }
        case .remaining: if let number = RateTimes.whole(value) { bucket.remaining = number }
        case .reset:
            if let instant = RateTimes.rfc3339(value) {
                (bucket.reset, bucket.isBare) = (since(wall, instant), false)
                return
            }
            guard let told = RateTimes.durationOrSeconds(value) else { return }
            // A bare number of a billion and more is no time that anybody waits, but a time since 1970: in seconds, or in milliseconds.
            let number = told.isBare ? RateTimes.leading(value) : 0
            if number >= 100_000_000_000 {
                (bucket.reset, bucket.isBare) = (since(wall, RateTimes.times(number, 1_000_000)), false)
            } else if number >= 1_000_000_000 {
                (bucket.reset, bucket.isBare) = (since(wall, told.nanoseconds), false)
            } else {
                (bucket.reset, bucket.isBare) = (min(told.nanoseconds, .max - 1), told.isBare)
            }
        }
    }
}
