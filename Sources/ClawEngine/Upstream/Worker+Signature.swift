// The three fields that AWS's Signature Version 4 adds to a request (providers/bedrock.md). Signed are the method, the path as it is sent, host, content type,
// time and body; nothing that a proxy on the way may change.
import CClaw
import ClawDialect
import ClawWire
import Glibc

/// A worker's signer with the keys it derived, one per upstream and day.
final class Signing {
    var signer = SigV4()
    var out = JSONWriter()
    var keys: [(serial: UInt64, key: SigningKey)?] = []
    var hash: InlineArray<32, UInt8> = .init(repeating: 0)
    var hashHex: InlineArray<64, UInt8> = .init(repeating: 0)
    var date: InlineArray<16, UInt8> = .init(repeating: 0)

    func key(_ signer: Signer, _ credentials: SigningCredentials, _ date: UnsafeRawBufferPointer, _ service: UnsafeRawBufferPointer) -> SigningKey {
        while keys.count <= signer.place { keys.append(nil) }
        if let made = keys[signer.place], made.serial == credentials.serial, made.key.covers(date) { return made.key }
        let made = SigningKey(secret: credentials.secret.raw, date: date, region: signer.regionBytes.raw, service: service)
        keys[signer.place] = (credentials.serial, made)
        return made
    }
}

extension Worker {
    private static var service: UnsafeRawBufferPointer {
        let word: StaticString = "bedrock"
        return UnsafeRawBufferPointer(start: word.utf8Start, count: word.utf8CodeUnitCount)
    }

    /// Without credentials nothing is written, and AWS refuses the request; `startNextAttempt` has looked before.
    func writeSignature(
        _ exchange: UnsafeMutablePointer<Exchange>, _ upstream: UnsafeMutablePointer<PlanUpstream>, _ signer: Signer, _ writer: inout TextWriter
    ) {
        guard let credentials = signer.current?.pointee else { return }
        let signing = signing
        let body = exchange.pointee.sentBody ?? exchange.pointee.bodyBase
        let length = exchange.pointee.sentBody != nil ? exchange.pointee.sentBodyLength : exchange.pointee.bodyLength
        // The path as it is sent, in scratch; a query follows a question mark.
        var target = TextWriter(scratch)
        writeTarget(exchange, upstream, &target)
        let whole = UnsafeRawBufferPointer(start: scratch, count: target.count)
        let mark = whole.firstIndex(of: 63) ?? whole.count
        signing.out.reset()
        withUnsafeMutableBytes(of: &signing.hash) { hash in
            claw_sha256(body, length, hash.baseAddress.unsafelyUnwrapped.assumingMemoryBound(to: UInt8.self))
            withUnsafeMutableBytes(of: &signing.hashHex) {
                SHA256.writeHex(hash.baseAddress.unsafelyUnwrapped.assumingMemoryBound(to: UInt8.self), into: $0.baseAddress.unsafelyUnwrapped.assumingMemoryBound(to: UInt8.self))
            }
        }
        withUnsafeMutableBytes(of: &signing.date) {
            SigV4.writeDate(Int64(realtime(now) / 1_000_000_000), into: $0.baseAddress.unsafelyUnwrapped.assumingMemoryBound(to: UInt8.self))
        }
        // "host: NAME\r\n"
        let hostLine = exchange.pointee.endpoint.unsafelyUnwrapped.pointee.hostLine
        let host = UnsafeRawBufferPointer(start: hostLine.base + 6, count: hostLine.count - 8)
        func text(_ word: StaticString) -> UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: word.utf8Start, count: word.utf8CodeUnitCount) }
        // What is translated is a POST of JSON; anything else goes as the client said it, and its type is not signed.
        let isForeign = exchange.pointee.sentBody != nil
        let method = isForeign ? text("POST") : UnsafeRawBufferPointer(start: exchange.pointee.headBase + requestHead.methodOffset, count: requestHead.methodLength)
        let outcome = withUnsafeBytes(of: signing.date) { date in
            withUnsafeBytes(of: signing.hashHex) { hash in
                withUnsafeTemporaryAllocation(of: SigV4.Field.self, capacity: 2) { fields in
                    fields[0] = SigV4.Field(name: text("content-type"), value: text("application/json"))
                    fields[1] = SigV4.Field(name: text("host"), value: host)
                    let signed = UnsafeBufferPointer(rebasing: UnsafeBufferPointer(fields)[(isForeign ? 0 : 1)...])
                    var request = SigV4.Request(
                        method: method, path: UnsafeRawBufferPointer(rebasing: whole[..<mark]), fields: signed, payloadHash: hash, date: date)
                    if mark + 1 < whole.count { request.query = UnsafeRawBufferPointer(rebasing: whole[(mark + 1)...]) }
                    var signatory = SigV4.Signatory(accessKey: credentials.accessKey.raw, region: signer.regionBytes.raw, service: Self.service)
                    signatory.sessionToken = credentials.token.raw
                    return signing.signer.sign(request, by: signatory, with: signing.key(signer, credentials, date, Self.service), into: &signing.out)
                }
            }
        }
        guard outcome == .signed, signing.out.count <= 1024, credentials.token.count <= 4096 else { return }
        writer.put("x-amz-date: ")
        withUnsafeBytes(of: signing.date) { writer.put($0.baseAddress.unsafelyUnwrapped.assumingMemoryBound(to: UInt8.self), 16) }
        if credentials.token.count > 0 {
            writer.put("\r\nx-amz-security-token: ")
            writer.put(credentials.token)
        }
        writer.put("\r\nauthorization: ")
        writer.put(signing.out.bytes)
        writer.put("\r\n")
    }
}
