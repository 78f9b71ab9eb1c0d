@testable import ClawPolicy
import Testing

@Suite struct RateSignalsStateTests {
    /// 2026-08-19T14:34:05Z
    static let wall: UInt64 = 1_787_150_045_000_000_000

    private func signals(_ fields: [(String, String)], wall: UInt64 = Self.wall) -> RateSignals {
        var signals = RateSignals()
        for (name, value) in fields {
            Array(name.utf8).withUnsafeBytes { name in Array(value.utf8).withUnsafeBytes { value in signals.field(name: name, value: value, wall: wall) } }
        }
        return signals
    }
    private func hint(_ body: String) -> UInt64? { Array(body.utf8).withUnsafeBytes { RateSignals.hint(inBody: $0) } }
    private func raw<T>(_ text: String, _ body: (UnsafeRawBufferPointer) -> T) -> T { Array(text.utf8).withUnsafeBytes(body) }

    @Test(arguments: [
        ("24", 24_000), ("1", 1000), ("1.5", 1500), (" 7 ", 7000), ("0.25", 250), ("30s", 30_000), ("86400", 86_400_000),
        ("Wed, 19 Aug 2026 14:34:22 GMT", 17_000), ("Wednesday, 19-Aug-26 14:34:22 GMT", 17_000), ("Wed Aug 19 14:34:22 2026", 17_000),
        ("Thu, 20 Aug 2026 00:00:00 GMT", 33_955_000), ("wed, 19 aug 2026 14:34:06 gmt", 1000),
    ] as [(String, UInt64)]) func UP_11_retryAfterIsRead(value: String, milliseconds: UInt64) {
        #expect(signals([("Retry-After", value)]).told == milliseconds * milli)
    }

    @Test(arguments: [
        "", " ", "0", "-5", "1000000000", "86401", "99999999999999999999999999", "soon", "1e3", "0x10", "5 apples", "1,2", "+5", "NaN", "Infinity", ".5", "5.",
        "Wed, 19 Aug 2026 14:34:05 GMT", "Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994", "Wed, 19 Aug 9999 14:34:22 GMT",
        "Wed, 19 Aug 2026 24:34:22 GMT", "Wed, 32 Aug 2026 14:34:22 GMT", "Wed, 19 Foo 2026 14:34:22 GMT", "Xyz, 19 Aug 2026 14:34:22 GMT", "Wed, 19 Aug 2026 14:34:22 PST",
        "Wed, 19 Aug 2026 14:34:22 GMT extra", "Wed, 19 Aug 2026", "Wed,", "Wed Aug 19 14:34:22", "Wed, 19 Aug 2026 14:34 GMT", "Wed, 00 Aug 2026 14:34:22 GMT",
    ]) func UP_11_junkAndTooMuchAreIgnored(value: String) {
        #expect(signals([("retry-after", value)]).told == nil)
    }

    @Test func datesAreReadInAllForms() {
        for text in ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"] { #expect(raw(text, RateTimes.httpDate) == 784_111_777 * second) }
        for (text, at) in [("2026-08-19T14:34:15Z", 10), ("2026-08-19t14:34:15.25z", 10.25), ("2026-08-19T16:34:15+02:00", 10), ("2026-08-19T10:04:15-04:30", 10)] as [(String, Double)] {
            #expect(raw(text, RateTimes.rfc3339) == Self.wall + UInt64(at * 1000) * milli, "\(text)")
        }
        for text in ["2026-08-19T14:34:15", "2026-08-19 14:34:15Z", "2026-13-19T14:34:15Z", "2026-08-19T14:34:15+2:00", "2026-08-19T14:34:15Zx", "0001-01-01T00:00:00Z", "2026-08-19T14:61:15Z"] {
            #expect(raw(text, RateTimes.rfc3339) == nil, "\(text)")
        }
        #expect(raw("1970-01-01T00:00:00+23:00", RateTimes.rfc3339) == 0)
    }

    @Test func millisecondsComeFirstUnlessTheyAreNothing() {
        #expect(signals([("retry-after", "2"), ("retry-after-ms", "1234")]).told == 1234 * milli)
        #expect(signals([("retry-after-ms", "0"), ("retry-after", "1")]).told == second) // Azure, azure/foundry-error-429
        #expect(signals([("x-ms-retry-after-ms", "12.5")]).told == 12_500_000)
        #expect(signals([("retry-after-ms", "-1")]).told == nil && signals([("retry-after-ms", "99999999999")]).told == nil)
    }

    @Test func openAIsFieldsAreRead() {
        let signals = signals([
            ("x-ratelimit-limit-requests", "500"), ("x-ratelimit-remaining-requests", "499"), ("x-ratelimit-reset-requests", "120ms"),
            ("X-RateLimit-Limit-Tokens", "200000"), ("X-RateLimit-Remaining-Tokens", "0"), ("X-RateLimit-Reset-Tokens", "6m0s"), ("x-ratelimit-remaining-input-images", "0"),
            ("x-ratelimit-remaining-tokens_usage_based", "0"),
        ])
        #expect(signals.requests == .init(limit: 500, remaining: 499, reset: 120 * milli))
        #expect(signals.tokens == .init(limit: 200_000, remaining: 0, reset: 360 * second))
        #expect(signals.told == 360 * second)
    }

    @Test(arguments: [
        ("0s", 0), ("12ms", 12_000_000), ("17.4s", 17_400_000_000), ("17.399999999s", 17_399_999_999), ("6m0s", 360_000_000_000), ("1h23m31s", 5_011_000_000_000), ("1.5µs", 1500), ("3us", 3000), ("250ns", 250),
        ("2", 2_000_000_000), ("59.5", 59_500_000_000), ("1787150055", 10_000_000_000), ("1787150055000", 10_000_000_000), ("1d", 86_400_000_000_000), ("40d", 86_400_000_000_000), ("2026-08-19T14:34:15Z", 10_000_000_000), ("2020-08-19T14:34:15Z", 0),
        ("99999999999999999999999s", 86_400_000_000_000), ("junk", 60_000_000_000), ("-1s", 60_000_000_000), ("5 parsecs", 60_000_000_000), ("1s junk", 60_000_000_000),
    ] as [(String, UInt64)]) func resetsAreReadInAllForms(value: String, nanoseconds: UInt64) {
        #expect(signals([("x-ratelimit-remaining-requests", "3"), ("x-ratelimit-reset-requests", value)]).requests?.reset == nanoseconds)
    }

    @Test func azuresBareResetsAreMilliseconds() {
        let fields = [("x-ratelimit-limit-requests", "120"), ("x-ratelimit-remaining-requests", "119"), ("x-ratelimit-reset-requests", "500")]
        for fields in [fields + [("x-ratelimit-renewalperiod-requests", "60")], [("x-ratelimit-renewalperiod-requests", "60")] + fields] { #expect(signals(fields).requests == .init(limit: 120, remaining: 119, reset: 500 * milli)) }
        #expect(signals(fields).requests?.reset == 500 * second)
    }

    @Test func anthropicsFieldsAreRead() {
        let signals = signals([
            ("anthropic-ratelimit-requests-limit", "4000"), ("anthropic-ratelimit-requests-remaining", "3999"), ("anthropic-ratelimit-requests-reset", "2026-08-19T14:34:05Z"),
            ("anthropic-ratelimit-tokens-limit", "480000"), ("anthropic-ratelimit-tokens-remaining", "470000"), ("anthropic-ratelimit-tokens-reset", "2026-08-19T14:34:06Z"),
            ("anthropic-ratelimit-input-tokens-limit", "400000"), ("anthropic-ratelimit-input-tokens-remaining", "390000"), ("anthropic-ratelimit-input-tokens-reset", "2026-08-19T14:34:06Z"),
            ("anthropic-ratelimit-output-tokens-limit", "80000"), ("anthropic-ratelimit-output-tokens-remaining", "8000"), ("anthropic-ratelimit-output-tokens-reset", "2026-08-19T14:35:05Z"),
            ("anthropic-ratelimit-unified-status", "allowed"), ("retry-after", "24"), ("x-should-retry", "true"),
        ])
        #expect(signals.requests == .init(limit: 4000, remaining: 3999, reset: 0))
        #expect(signals.tokens == .init(limit: 80_000, remaining: 8000, reset: 60 * second)) // the tightest
        #expect(signals.told == 24 * second && signals.shouldRetry == true)
    }

    @Test func mistralsWindowsAreMinutesOfTheWallClock() {
        let signals = signals([("x-ratelimit-limit-req-minute", "100"), ("x-ratelimit-remaining-req-minute", "0"), ("x-ratelimit-limit-req-10-second", "60"), ("x-ratelimit-remaining-req-10-second", "49"),
                               ("x-ratelimit-limit-tokens-minute", "100000"), ("x-ratelimit-remaining-tokens-minute", "98260"), ("x-ratelimit-remaining-tokens-month", "0"), ("x-ratelimit-tokens-query-cost", "10")])
        #expect(signals.requests == .init(limit: 100, remaining: 0, reset: 55 * second) && signals.told == 55 * second)
        #expect(signals.tokens == .init(limit: 100_000, remaining: 98_260, reset: 55 * second))
        let old = self.signals([("ratelimitbysize-limit", "500000"), ("ratelimitbysize-remaining", "307190"), ("ratelimitbysize-reset", "46"), ("x-ratelimitbysize-remaining-month", "1")])
        #expect(old.tokens == .init(limit: 500_000, remaining: 307_190, reset: 46 * second) && old.requests == nil)
    }

    @Test func plainAndStandardFieldsAreRead() {
        #expect(signals([("X-RateLimit-Limit", "20"), ("X-RateLimit-Remaining", "0"), ("X-RateLimit-Reset", "1787150055000")]).told == 10 * second) // OpenRouter
        #expect(signals([("ratelimit-limit", "20"), ("ratelimit-remaining", "1"), ("ratelimit-reset", "5")]).requests == .init(limit: 20, remaining: 1, reset: 5 * second))
        #expect(signals([("x-ratelimit-remaining-requests-day", "0"), ("x-ratelimit-reset-requests-day", "33011.382867")]).told == 33_011_382_867_000) // Cerebras
        for (name, value) in [("x-ratelimit-remaining-requests", "-3"), ("x-ratelimit-remaining-tokens", "many"), ("x-ratelimit-limitless", "1"), ("x-ratelimit-key", "x"), ("x-ratelimit-abusepenalty-active", "False")] {
            #expect(signals([(name, value)]).requests == nil && signals([(name, value)]).told == nil)
        }
        #expect(signals([("x-ratelimit-remaining-tokens", "99999999999999999999999")]).tokens == nil) // too much to be a number
        #expect(signals([("x-should-retry", "false")]).shouldRetry == false && signals([("x-should-retry", "maybe")]).shouldRetry == nil)
    }

    @Test func onlyFieldsOfInterestAreLookedAt() {
        let ours = ["retry-after", "Retry-After-Ms", "x-ms-retry-after-ms", "x-should-retry", "X-RateLimit-Limit", "x-ratelimit-reset-tokens", "anthropic-ratelimit-tokens-limit", "ratelimit-reset", "ratelimitbysize-limit", "x-ratelimitbysize-limit-minute"]
        let others = ["", "x", "date", "content-type", "content-length", "x-request-id", "openai-version", "openai-processing-ms", "strict-transport-security", "alt-svc", "cf-cache-status", "anthropic-organization-id", "request-id", "transfer-encoding",
                      "x-ms-region", "x-content-type-options", "referrer-policy", "x-envoy-upstream-service-time", "access-control-expose-headers"]
        for name in ours { #expect(raw(name) { RateSignals.concerns($0) }, "\(name)") }
        for name in others { #expect(!raw(name) { RateSignals.concerns($0) }, "\(name)") }
    }

    @Test(arguments: [
        (#"{"error":{"code":429,"message":"Please retry in 48.939935699s.","details":[{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"48s"}]}}"#, 48_000), // gemini/error-429-quota
        ("{\"retryDelay\" :\n  \"37.5s\"}", 37_500), (#"{"retry_delay":1,"message":"Please retry in 2s"}"#, 2000),
        (#"{"error":{"message":"Rate limit reached … Please try again in 20.5s. Visit …"}}"#, 20_500), ("Please try again in 6m0s.", 360_000), ("please TRY AGAIN IN 120ms", 120), ("try again in 7m12.5s", 432_500),
        ("Please retry after 30 seconds. Please go here", 30_000), ("Try again in 1 minute", 60_000), ("try again in 1 hour 5 minutes.", 3_900_000), ("Your quota will reset after 5s.", 5000), ("try again in 0s, retry in 3s", 3000),
    ] as [(String, UInt64)]) func hintsInBodiesAreRead(body: String, milliseconds: UInt64) {
        #expect(hint(body) == milliseconds * milli)
        var signals = signals([("x-ratelimit-remaining-requests", "0"), ("x-ratelimit-reset-requests", "1h")])
        signals.hint = hint(body)
        #expect(signals.told == milliseconds * milli) // before the reset
    }

    @Test(arguments: ["", "t", "retryDelay", #"{"retryDelay":"#, #"{"retryDelay":""}"#, #"{"retryDelay":"-5s"}"#, #"{"retryDelay":"5"}"#, "try again in ", "try again in a while", "try again in 5", "try again in 5 lightyears", "retry in 999999999999s",
                      #"{"error":{"type":"overloaded_error","message":"Overloaded"}}"#, #"{"message":"Too many tokens, please wait before trying again."}"#]) func bodiesWithoutHintGiveNone(body: String) {
        #expect(hint(body) == nil)
    }

    @Test func aHintFarBehindIsNotLookedFor() {
        #expect(hint(String(repeating: "x", count: RateSignals.hintBytesMax) + "retry in 5s") == nil)
        #expect(hint(String(repeating: "r", count: RateSignals.hintBytesMax - 11) + "retry in 5s") == 5 * second)
    }

    @Test(arguments: 0 ..< 8) func foreignBytesNeverTrap(seed: UInt64) {
        var random = SplitMix(seed)
        let names = ["retry-after", "retry-after-ms", "x-ratelimit-reset-requests", "x-ratelimit-remaining-tokens", "x-ratelimit-limit-requests", "anthropic-ratelimit-tokens-reset", "x-ratelimit-", "anthropic-ratelimit-requests-remaining", "ratelimitbysize-reset", "x-ratelimit-reset"]
        let pieces = ["9", "18446744073709551615", "99999999999999999999999", ".", "-", "s", "ms", "h", "d", "m", "µs", "\u{3bc}s", " ", ":", "T", "Z", "+", "2026-08-19T14:34:15", "Sun, 06 Nov 1994 08:49:37 GMT", "Wed Aug 19", "Sunday, 06-Nov-94",
                      "retryDelay", "\"", "try again in ", "retry in ", ",", "0", "9999-99-99T99:99:99", "١", "\0", "é"]
        for _ in 0 ..< 4000 {
            var value: [UInt8] = []
            for _ in 0 ..< Int.random(in: 0 ... 6, using: &random) {
                if Int.random(in: 0 ..< 4, using: &random) == 0 { value.append(UInt8.random(in: 0 ... 255, using: &random)) } else { value += Array(pieces[Int.random(in: 0 ..< pieces.count, using: &random)].utf8) }
            }
            var name = Array(names[Int.random(in: 0 ..< names.count, using: &random)].utf8)
            if !name.isEmpty, Int.random(in: 0 ..< 4, using: &random) == 0 { name[Int.random(in: 0 ..< name.count, using: &random)] = UInt8.random(in: 0 ... 255, using: &random) }
            if Int.random(in: 0 ..< 8, using: &random) == 0 { name.removeLast(Int.random(in: 0 ... name.count, using: &random)) }
            var signals = RateSignals()
            let wall = [0, Self.wall, UInt64.max][Int.random(in: 0 ..< 3, using: &random)]
            name.withUnsafeBytes { name in value.withUnsafeBytes { signals.field(name: name, value: $0, wall: wall) } }
            let hint = value.withUnsafeBytes { RateSignals.hint(inBody: $0) }
            for wait in [signals.told, hint] { if let wait { #expect(wait > 0 && wait <= RateSignals.waitMax) } }
            for figure in [signals.requests, signals.tokens] { if let figure { #expect(figure.reset <= RateSignals.waitMax) } }
        }
    }

    @Test func anEmptyValueWithoutMemoryIsNothing() {
        var signals = RateSignals()
        signals.field(name: UnsafeRawBufferPointer(start: nil, count: 0), value: UnsafeRawBufferPointer(start: nil, count: 0), wall: 0)
        raw("retry-after") { signals.field(name: $0, value: UnsafeRawBufferPointer(start: nil, count: 0), wall: 0) }
        #expect(signals.told == nil && RateSignals.hint(inBody: UnsafeRawBufferPointer(start: nil, count: 0)) == nil && !signals.hasFigures)
    }
}
