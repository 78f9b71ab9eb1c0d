// HMAC-SHA-256 (RFC 2104, FIPS 198-1). A keyed value may be kept and copied: each copy starts with the key's two blocks already hashed. Nothing here
// allocates. Checked against the vectors of RFC 4231.

public struct HMACSHA256: Sendable {
    private var inner = SHA256()
    private var outer = SHA256()

    public init(key: UnsafeRawBufferPointer) {
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: SHA256.blockBytes) { block in
            guard let pad = block.baseAddress else { return }
            pad.update(repeating: 0, count: SHA256.blockBytes)
            if key.count > SHA256.blockBytes {
                SHA256.digest(of: key, into: pad)
            } else if let base = key.baseAddress {
                pad.update(from: base.assumingMemoryBound(to: UInt8.self), count: key.count)
            }
            for at in 0..<SHA256.blockBytes { pad[at] ^= 0x36 }
            inner.update(UnsafeRawBufferPointer(block))
            for at in 0..<SHA256.blockBytes { pad[at] ^= 0x36 ^ 0x5C }
            outer.update(UnsafeRawBufferPointer(block))
            pad.update(repeating: 0, count: SHA256.blockBytes)
        }
    }

    public mutating func update(_ bytes: UnsafeRawBufferPointer) { inner.update(bytes) }

    /// The code, 32 bytes, into the caller's memory, which may be what was hashed.
    public consuming func finish(into out: UnsafeMutablePointer<UInt8>) {
        inner.finish(into: out)
        outer.update(UnsafeRawBufferPointer(start: out, count: SHA256.digestBytes))
        outer.finish(into: out)
    }
}
