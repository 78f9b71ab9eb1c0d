// What only the large providers have words for, refused or dropped in one place for the dialects that have none of it (Cohere, Ollama).
import ClawWire

extension Conversation {
    /// Options that a dialect of few words does not know: those that matter are refused, hints are left out.
    func refuseWideOptions() throws(Refusal) {
        if let n, n != 1 { try cannot(.n) }
        if logitBias.exists, !isEmptyContainer(logitBias) { try cannot(.logitBias) }
        if modalities.exists, !isTextOnly(modalities) { try cannot(.modalities) }
        if audio.exists { try cannot(.audio) }
        if verbosity.exists, !verbosity.contains("medium") { try cannot(.verbosity) }
        if previousResponseID.exists, !previousResponseID.isEmpty { try cannot(.previousResponseID) }
        if prediction.exists { hint(.prediction) }
        if user.exists { hint(.user) }
        if metadata.exists { hint(.metadata) }
        if serviceTier.exists, !serviceTier.equals("auto"), !serviceTier.equals("default") { hint(.serviceTier) }
        if store == true { hint(.store) }
        if promptCacheKey.exists { hint(.promptCacheKey) }
        if cache != .none { hint(.cacheControl) }
    }

    /// The name of the tool that a result belongs to: of the nearest call with this id before part `place`.
    func toolName(of id: JSONBytes, before place: Int) -> JSONBytes {
        if id.isEmpty { return JSONBytes() }
        var at = place
        // A call is a few parts away from its result. Looking no further keeps a request of many results without calls from costing their square.
        let last = max(0, place - 4096)
        while at > last {
            at -= 1
            if parts[at].kind == .toolCall, parts[at].id.equals(id) { return parts[at].name }
        }
        return JSONBytes()
    }

    /// One that says a name twice, or has more names than any dialect: refused.
    static func refuseDuplicates(_ body: JSONValue) throws(Refusal) {
        // The comparison is of each with each.
        if body.count > 256 { throw Refusal("body", "must have at most 256 members") }
        if let key = body.duplicateKey { throw Refusal(key, "must be there only once") }
    }

    private func isEmptyContainer(_ raw: JSONBytes) -> Bool { arena.tape.read(raw.raw) == nil && arena.tape.root.count == 0 }
    private func isTextOnly(_ raw: JSONBytes) -> Bool {
        guard arena.tape.read(raw.raw) == nil else { return false }
        for word in arena.tape.root.elements where !word.equals("text") { return false }
        return true
    }
}
