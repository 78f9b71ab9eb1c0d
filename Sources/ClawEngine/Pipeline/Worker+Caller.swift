// Who calls. Where `security.keys` names callers, a request without the key of one of them ends here, before its body is read. A key is looked for where
// the clients of each dialect put it; what is compared is its SHA-256, and how long that takes tells nothing of which key came near.
import CClaw
import ClawConfig
import ClawWire
import Glibc

extension Worker {
    /// Finds the caller of the head in `requestHead`. Nothing to find where nobody is named.
    func identifyCaller(_ exchange: UnsafeMutablePointer<Exchange>) {
        let callers = exchange.pointee.plan.pointee.callers
        guard callers.count > 0 else { return }
        let base = exchange.pointee.headBase
        func take(_ text: UnsafeRawBufferPointer) -> Bool {
            guard text.count > 0, text.count <= Self.credentialBytesMax else { return false }
            let found = Self.caller(Outlook.digest(text), callers)
            guard found >= 0 else { return false }
            exchange.pointee.caller = Int32(found)
            exchange.pointee.tenant = callers[found].pointee.tenantNumber
            return true
        }
        func value(_ at: Int) -> UnsafeRawBufferPointer {
            let field = requestHead.fields[at]
            return UnsafeRawBufferPointer(start: base + Int(field.valueOffset), count: Int(field.valueLength))
        }
        // A client may have filled in more than one of them; any that is right will do, the first that is says who it is.
        let authorization = requestHead.first(.authorization)
        if authorization >= 0, let token = Self.bearer(value(authorization)), take(token) { return }
        for name in [FieldName.xApiKey, .apiKey, .xGoogApiKey] {
            let at = requestHead.first(name)
            if at >= 0, take(value(at)) { return }
        }
        if exchange.pointee.surface.errorDialect == .gemini {
            var parameters = QueryParameters(exchange.pointee.query, exchange.pointee.hasQuery)
            while parameters.next() {
                if parameters.isNamed(Bytes("key"), scratch), let key = parameters.value(scratch), take(key) {
                    exchange.pointee.hasKeyInQuery = true
                    return
                }
            }
        }
        let protocols = requestHead.first(.secWebSocketProtocol)
        if protocols >= 0 {
            // Browsers, which cannot set other fields, carry it so (OpenAI's realtime API).
            let carrier: StaticString = "openai-insecure-api-key."
            let list = value(protocols)
            guard let start = list.baseAddress else { return }
            var tokens = TokenList(start.assumingMemoryBound(to: UInt8.self), list.count)
            while let token = tokens.next() {
                let length = carrier.utf8CodeUnitCount
                if token.count > length, memcmp(token.base, carrier.utf8Start, length) == 0,
                    take(UnsafeRawBufferPointer(start: token.base + length, count: token.count - length))
                {
                    return
                }
            }
        }
    }

    /// Longer ones are nobody's.
    private static let credentialBytesMax = 8192

    /// `Bearer TOKEN`, whatever the case of the word.
    private static func bearer(_ value: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer? {
        let word: StaticString = "bearer "
        guard value.count > 7, let start = value.baseAddress, strncasecmp(start.assumingMemoryBound(to: CChar.self), UnsafeRawPointer(word.utf8Start).assumingMemoryBound(to: CChar.self), 7) == 0
        else { return nil }
        var at = 7
        while at < value.count, value[at] == 32 { at += 1 }
        return UnsafeRawBufferPointer(rebasing: value[at...])
    }

    typealias Digest = (UInt64, UInt64, UInt64, UInt64)

    /// The caller with this digest, or -1. The same steps whatever the digest is.
    static func caller(_ digest: Digest, _ callers: List<PlanCaller>) -> Int {
        var base = 0
        var left = callers.count
        while left > 1 {
            let half = left / 2
            base &+= half & -isNotLess(digest, callers[base + half].pointee.digest)
            left -= half
        }
        let found = callers[base].pointee.digest
        let difference = (found.0 ^ digest.0) | (found.1 ^ digest.1) | (found.2 ^ digest.2) | (found.3 ^ digest.3)
        return difference == 0 ? base : -1
    }

    /// 1 when `one` is `other` or comes after it, else 0, without a branch.
    private static func isNotLess(_ one: Digest, _ other: Digest) -> Int {
        /// 1 when a < b.
        @inline(__always) func less(_ a: UInt64, _ b: UInt64) -> UInt64 { ((~a & b) | (~(a ^ b) & (a &- b))) >> 63 }
        @inline(__always) func same(_ a: UInt64, _ b: UInt64) -> UInt64 { 1 ^ less(a, b) ^ less(b, a) }
        var isLess = less(one.3, other.3)
        isLess = less(one.2, other.2) | (same(one.2, other.2) & isLess)
        isLess = less(one.1, other.1) | (same(one.1, other.1) & isLess)
        isLess = less(one.0, other.0) | (same(one.0, other.0) & isLess)
        return Int(truncatingIfNeeded: 1 ^ isLess)
    }

    /// The answer to a request of nobody's.
    func refuseCaller(_ index: UInt32) {
        let isGiven = [FieldName.authorization, .xApiKey, .apiKey, .xGoogApiKey].contains { requestHead.first($0) >= 0 }
        metrics.add(.refused, RefusalLabel.callerUnknown.rawValue)
        if isGiven {
            answerError(index, .invalidKey, detail: "incorrect API key provided (security.keys)")
        } else {
            answerError(index, .invalidKey, detail: "no API key provided: send it as authorization: Bearer KEY, x-api-key, api-key or x-goog-api-key (security.keys)")
        }
    }
}
