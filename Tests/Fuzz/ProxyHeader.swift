// PROXY headers. Checked: the verdict doesn't depend on the cuts nor on what follows the header, a header is no longer than its bound, an input that begins
// like a header of either version and is long enough gets a verdict, and a header written from any addresses comes out again.
import ClawWire
import Glibc

private func verdict(_ bytes: UnsafeRawBufferPointer) -> ProxyHeader.Progress { withCopy(bytes) { ProxyHeader.parse($0) } }

/// The input's bytes as addresses, written out in both versions.
private func written(_ dice: inout Dice) -> [(bytes: [UInt8], source: ProxyHeader.Source)] {
    let port = UInt16(truncatingIfNeeded: dice.next())
    let portBytes = [UInt8(port >> 8), UInt8(port & 255)]
    let signature: [UInt8] = [0x0D, 0x0A, 0x0D, 0x0A, 0, 0x0D, 0x0A, 0x51, 0x55, 0x49, 0x54, 0x0A]
    func text(_ family: Int32, _ address: [UInt8]) -> String {
        var buffer = [CChar](repeating: 0, count: 64)
        _ = address.withUnsafeBytes { inet_ntop(family, $0.baseAddress, &buffer, 64) }
        return String(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
    let long = (0..<16).map { _ in dice.below(3) == 0 ? UInt8(0) : UInt8(truncatingIfNeeded: dice.next()) }
    let short = Array(long.prefix(4))
    let filler = [UInt8](repeating: 7, count: dice.below(300))
    let extensions = filler.isEmpty ? [] : [0x05, UInt8(filler.count >> 8), UInt8(filler.count & 255)] + filler
    func binary(_ family: UInt8, _ address: [UInt8]) -> [UInt8] {
        let body = address + address + portBytes + portBytes + extensions
        return signature + [0x21, family, UInt8(body.count >> 8), UInt8(body.count & 255)] + body
    }
    let four = ProxyHeader.Source.ipv4(address: short.withUnsafeBytes { $0.loadUnaligned(as: UInt32.self) }, port: port)
    let six = long.withUnsafeBytes { ProxyHeader.Source.ipv6(high: $0.loadUnaligned(as: UInt64.self), low: $0.loadUnaligned(fromByteOffset: 8, as: UInt64.self), port: port) }
    return [
        (Array("PROXY TCP4 \(text(AF_INET, short)) 1.2.3.4 \(port) 80\r\n".utf8), four), (binary(0x11, short), four),
        (Array("PROXY TCP6 \(text(AF_INET6, long)) ::1 \(port) 80\r\n".utf8), six), (binary(0x21, long), six),
    ]
}

@c(LLVMFuzzerTestOneInput)
public func fuzzOne(_ data: UnsafePointer<UInt8>?, _ size: Int) -> CInt {
    let bytes = UnsafeRawBufferPointer(start: data, count: size)
    var dice = Dice(bytes)
    let whole = verdict(bytes)
    for cut in dice.cuts(size) {
        let part = verdict(UnsafeRawBufferPointer(rebasing: bytes[..<cut]))
        switch (part, whole) {
        case (.needMore, _): break
        default: check(part == whole, "\(part) at \(cut), then \(whole)")
        }
    }
    if case .complete(let length, _) = whole {
        check(length > 0 && length <= size && length <= ProxyHeader.bytesMax, "a header of \(length) bytes in \(size)")
        check(verdict(UnsafeRawBufferPointer(rebasing: bytes[..<length])) == whole, "what follows the header counts")
        check(verdict(UnsafeRawBufferPointer(rebasing: bytes[..<(length - 1)])) == .needMore, "complete without its last byte")
    }
    check(whole != .needMore || size < ProxyHeader.bytesMax, "undecided after \(size) bytes")
    for (text, source) in written(&dice) {
        check(text.withUnsafeBytes(verdict) == .complete(length: text.count, source: source), "\(show(text)) does not come out as it went in")
    }
    return 0
}
