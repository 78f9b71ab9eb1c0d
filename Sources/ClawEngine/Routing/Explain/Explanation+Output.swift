// An explanation as JSON (one line) and as text for a terminal.

extension Explanation {
    public var json: String {
        var out = JSONLine()
        var request = JSONLine()
        request.member("method", method)
        request.member("path", path)
        request.member("surface", surface)
        request.member("model", model)
        request.member("key_id", caller)
        request.member("tenant", tenant)
        Self.number(&request, "prompt_tokens_estimate", promptTokens)
        Self.number(&request, "output_tokens_asked", outputTokens)
        request.member("language", language)
        out.member("request", raw: request.text)
        if let matched {
            var line = JSONLine()
            line.member("rule", matched.rule)
            line.member("route_id", matched.route)
            line.member("strategy", matched.strategy.isEmpty ? nil : matched.strategy)
            out.member("matched", raw: line.text)
        } else {
            out.member("matched", nil as String?)
        }
        if let profile {
            var line = JSONLine()
            line.member("name", profile.used)
            line.member("instead_of", profile.used == profile.matched ? nil : profile.matched)
            out.member("profile", raw: line.text)
        } else {
            out.member("profile", nil as String?)
        }
        if let refusal {
            var line = JSONLine()
            line.member("status", refusal.status)
            line.member("code", refusal.code)
            line.member("message", refusal.message)
            out.member("refusal", raw: line.text)
        } else {
            out.member("refusal", nil as String?)
        }
        out.member("rules", list: rules.map(\.json))
        out.member("score_unit", scoreUnit)
        out.member("candidates", list: candidates.map(\.json))
        out.member("excluded", list: excluded.map(\.json))
        if let mirror {
            var line = JSONLine()
            line.member("upstream", mirror.target.upstream)
            line.member("model", mirror.target.model)
            line.member("percentage", raw: String(mirror.percentage))
            out.member("mirror", raw: line.text)
        } else {
            out.member("mirror", nil as String?)
        }
        return out.text
    }

    fileprivate static func number(_ line: inout JSONLine, _ name: String, _ value: Int?) {
        if let value { line.member(name, value) } else { line.member(name, nil as String?) }
    }

    /// Several lines, the last one ended.
    public var text: String {
        var out = "\(method) \(path)\(model.map { ", model \($0)" } ?? "")\(caller.map { ", key \($0)" } ?? "")\(promptTokens.map { ", about \($0) tokens" } ?? "")\n\nrules\n"
        for rule in rules {
            switch rule.verdict {
            case .matched: out += "  * \(rule.rule) \(rule.route): matches\n"
            case .notReached: out += "    \(rule.rule) \(rule.route): not reached\n"
            case .failed(let condition, let wanted, let seen): out += "    \(rule.rule) \(rule.route): \(condition) wants \(wanted), seen \(seen ?? "nothing")\n"
            }
        }
        if let profile, profile.used != profile.matched { out += "\nprofile \(profile.used), because the request is too long for \(profile.matched)\n" }
        if let refusal { out += "\nanswered with \(refusal.status) \(refusal.code): \(refusal.message)\n" }
        if !candidates.isEmpty { out += "\ncandidates, \(matched?.strategy ?? "")\(scoreUnit.map { " by \($0)" } ?? "")\n" }
        for (at, target) in candidates.enumerated() {
            out += "  \(at + 1). \(target.upstream)\(target.model.map { " \($0)" } ?? "")\(target.score.map { " (\($0))" } ?? "")\(target.isFallback ? ", fallback" : "")\(target.isDowngrade ? ", another model than asked for" : "")"
            if target.isSlow { out += ", slower than its max_latency_ms: \(target.latencyMilliseconds ?? 0) ms" }
            if let problem = target.problem { out += ", cannot take it now: \(problem)\(target.recoversMilliseconds.map { " for \($0) ms" } ?? "")" }
            out += "\n"
            for key in target.keys where key.problem != nil { out += "       key \(key.id): \(key.problem ?? "")\(key.coolingMilliseconds.map { " for \($0) ms" } ?? "")\n" }
        }
        if !excluded.isEmpty { out += "\nleft out\n" }
        for target in excluded { out += "     \(target.upstream)\(target.model.map { " \($0)" } ?? ""): \(target.exclusion ?? "")\(target.isFallback ? " (fallback)" : "")\n" }
        if let mirror { out += "\nmirror: \(mirror.target.upstream) gets \(mirror.percentage) %\n" }
        return out
    }
}

extension Explanation.Rule {
    var json: String {
        var out = JSONLine()
        out.member("rule", rule)
        out.member("route_id", route)
        switch verdict {
        case .matched: out.member("verdict", "matched")
        case .notReached: out.member("verdict", "not_reached")
        case .failed(let condition, let wanted, let seen):
            out.member("verdict", "failed")
            out.member("condition", condition)
            out.member("wanted", wanted)
            out.member("seen", seen)
        }
        return out.text
    }
}

extension Explanation.Target {
    var json: String {
        var out = JSONLine()
        out.member("upstream", upstream)
        out.member("model", model)
        out.member("fallback", isFallback)
        if let exclusion {
            out.member("reason", exclusion)
            return out.text
        }
        out.member("other_model", isDowngrade)
        Explanation.number(&out, "score", score)
        Explanation.number(&out, "latency_ms", latencyMilliseconds)
        out.member("above_latency_limit", isSlow)
        out.member("available", problem == nil)
        out.member("reason", problem)
        Explanation.number(&out, "recovers_ms", recoversMilliseconds)
        out.member("keys", list: keys.map { key in
            var line = JSONLine()
            line.member("id", key.id)
            line.member("usable", key.problem == nil)
            line.member("reason", key.problem)
            Explanation.number(&line, "cooling_ms", key.coolingMilliseconds)
            return line.text
        })
        return out.text
    }
}
