// What is asked: conditions on the prompt's words, language and size, and what else is estimated of it. The prompt is walked through once for a request, and
// only when something is reached that asks for it; then everything the plan may ask for is found at once.
import ClawPolicy
import ClawWire

extension RequestView {
    /// What was found in the prompt.
    struct Prompt {
        var isRead = false
        /// Place in `LanguageGuess.codes`.
        var language = LanguageGuess.undetermined
        var tokens = 0
        /// Of what the conversation begins with; 0: nothing.
        var prefix: UInt64 = 0
    }

    /// Walks through the prompt, if nobody has.
    mutating func readPrompt() {
        if prompt.isRead { return }
        prompt = Prompt(isRead: true)
        guard bodyIsJSON, let body else { return }
        let reading = plan.pointee.reading
        for at in 0..<reading.keywordWords { found[at] = 0 }
        let bytes = UnsafeRawBufferPointer(start: body, count: bodyLength)
        func read(_ matcher: KeywordMatcher?) {
            var walk = PromptReading(reading.prompt, matcher: matcher, found: found)
            walk.read(bytes)
            if reading.prompt.contains(.language) { prompt.language = walk.language.language }
            if reading.prompt.contains(.tokens) { prompt.tokens = walk.tokens.value }
            if reading.prompt.contains(.prefix) { prompt.prefix = walk.prefix.value }
        }
        if let keywords = reading.keywords { keywords._withUnsafeGuaranteedRef { read($0) } } else { read(nil) }
    }

    mutating func promptMismatch(_ wanted: PlanPrompt) -> Mismatch {
        guard bodyIsJSON, body != nil else { return Mismatch(.noBody) }
        readPrompt()
        func isFound(_ place: Int) -> Bool { found[place >> 6] & (1 << UInt64(place & 63)) != 0 }
        if wanted.containsAny.count > 0 {
            var hasOne = false
            for at in 0..<wanted.containsAny.count where isFound(wanted.containsAny[at].pointee) { hasOne = true }
            if !hasOne { return Mismatch(.promptContainsAny) }
        }
        for at in 0..<wanted.containsAll.count where !isFound(wanted.containsAll[at].pointee) { return Mismatch(.promptContainsAll, at) }
        if wanted.languages != 0, wanted.languages & (1 << UInt64(prompt.language & 63)) == 0 { return Mismatch(.promptLanguage) }
        for at in 0..<wanted.tokens.count where !Self.holds(wanted.tokens[at].pointee, Double(prompt.tokens)) { return Mismatch(.promptTokens, at) }
        return .none
    }

    private static func holds(_ test: PlanBodyTest, _ number: Double) -> Bool {
        switch test {
        case .lt(let bound): number < bound
        case .lte(let bound): number <= bound
        case .gt(let bound): number > bound
        case .gte(let bound): number >= bound
        default: false
        }
    }

    // MARK: sizes

    /// How long the answer may be, as the client says it; 0: it does not.
    func outputTokensAsked() -> Int64 {
        guard bodyIsJSON, let body else { return 0 }
        let paths = plan.pointee.reading.outputTokens
        var most: Int64 = 0
        for at in 0..<paths.count {
            let span = spans[paths[at].pointee]
            guard span.kind == .number, let value = JSONNumber.parse(UnsafeRawBufferPointer(start: body + span.offset, count: span.length)), value > 0 else { continue }
            most = max(most, value < 1e12 ? Int64(value) : 1_000_000_000_000)
        }
        return most
    }

    // MARK: what requests are told apart by

    /// A hash of the caller, the user, the session …; 0: not known.
    mutating func identity(_ by: PlanIdentity) -> UInt64 {
        switch by {
        case .none: return 0
        case .key:
            if caller >= 0 { return Outlook.hash(plan.pointee.callers[Int(caller)].pointee.id.raw) }
            for at in 0..<fieldCount {
                switch fields[at].name {
                case .authorization, .xApiKey, .apiKey, .xGoogApiKey: return Outlook.hash(value(fields[at]))
                default: continue
                }
            }
            return 0
        case .user: return bodyIdentity(plan.pointee.reading.user) ?? field(Bytes("x-user-id")).map { Outlook.hash($0) } ?? 0
        case .session: return field(Bytes("x-session-id")).map { Outlook.hash($0) } ?? bodyIdentity(plan.pointee.reading.session) ?? 0
        case .ip: return peer.family == 0 ? 0 : Mix.mix(peer.high, peer.low) | 1
        case .header(let name): return field(name).map { Outlook.hash($0) } ?? 0
        }
    }

    /// The first of these values that the body has: a text, or whatever it is as it stands there.
    private func bodyIdentity(_ paths: List<Int>) -> UInt64? {
        guard bodyIsJSON, let body else { return nil }
        for at in 0..<paths.count {
            let span = spans[paths[at].pointee]
            switch span.kind {
            case .missing, .null: continue
            case .string:
                if span.length > 2, let text = text(span, body) { return Outlook.hash(text) }
            default: return Outlook.hash(UnsafeRawBufferPointer(start: body + span.offset, count: span.length))
            }
        }
        return nil
    }
}
