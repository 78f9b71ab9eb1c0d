// What only the large providers have words for, refused or dropped in one place for the dialects that have none of it (Cohere, Ollama).
import ClawWire

extension Conversation {
    /// Options that a dialect of few words does not know: those that matter are refused, hints are left out.
    func refuseWideOptions() throws(Refusal) {
        if let n, n != 1 { try cannot(.n) }
        if logitBias.exists, !isEmptyContainer(logitBias) { try cannot(.logitBias) }
        if modalities.exists, !isTextOnly(modalities) { try cannot(.modalities) }
        if audio.exists { try cannot(.audio) }
        if verbosity.exists, !verbosity.equals("medium") { try cannot(.verbosity) }
        if previousResponseID.exists, !previousResponseID.isEmpty { try cannot(.previousResponseID) }
        if prediction.exists { hint(.prediction) }
        if user.exists { hint(.user) }
        if metadata.exists { hint(.metadata) }
        if serviceTier.exists, !serviceTier.equals("auto"), !serviceTier.equals("default") { hint(.serviceTier) }
        if store == true { hint(.store) }
        if promptCacheKey.exists { hint(.promptCacheKey) }
        if cache != .none { hint(.cacheControl) }
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
