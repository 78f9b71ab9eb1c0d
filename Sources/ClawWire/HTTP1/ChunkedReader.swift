import CScan

/// Reads a chunked body (RFC 9112 §7.1) without copying it. Value state, resumable at every byte: unlike the head parsers it is given
/// each byte once, so that a body may be relayed and forgotten as it comes. It owns memory only when made with `keepTrailers`.
///
/// Extensions are checked (§7.1.1), counted over the whole body and dropped. Trailer fields are checked like head fields and dropped or
/// kept as one block. A chunk size has at most 16 hex digits and is below 2^63.
public struct ChunkedReader {
    public enum Step: Equatable, Sendable {
        /// All input used, more is expected.
        case needMore
        /// This range of the input is body; call again with the input behind it.
        case data(Range<Int>)
        /// The body is whole; the message ends at this offset of the input. Trailer bytes, if any were seen, were validated and skipped
        /// unless the reader was made with `keepTrailers`.
        case end(Int)
        case refused(HTTPRefusal)
    }

    enum Phase: UInt8 {
        /// The first digit of a size, further digits, and the line feed that ends the line.
        case size, digits, sizeFeed
        /// Blanks that only a ";" may follow.
        case blanksBeforeExtension
        /// Behind ";": blanks, then the name; blanks behind the name, then "=" or ";".
        case extensionStart, extensionName, blanksAfterName
        /// Behind "=": blanks, then a token or a quoted string.
        case valueStart, valueToken, valueQuoted, valueEscape, valueEnd
        case data, dataReturn, dataFeed
        case trailerStart, trailerName, trailerValue, trailerFeed, finalFeed
        case done
    }

    private var phase = Phase.size
    private var digitCount: UInt8 = 0
    /// The size being read, then the bytes of the chunk still to come.
    private var remaining: UInt64 = 0
    private var extensionBytesLeft: Int
    private var trailerBytesLeft: Int
    private let keepsTrailers: Bool
    /// Decoded bytes so far.
    public private(set) var bodyBytes: UInt64 = 0
    /// With `keepTrailers`, the trailer field lines as sent, each with its CRLF, without the empty line. Whole when `.end` was said.
    public private(set) var trailers: [UInt8] = []

    /// - Parameters:
    ///   - extensionBytesMax: bytes of all chunk extensions of the body together; more is refused with 400.
    ///   - trailerBytesMax: bytes of the trailer section; more is refused with 431.
    public init(extensionBytesMax: Int = 4096, trailerBytesMax: Int = 16384, keepTrailers: Bool = false) {
        extensionBytesLeft = max(0, extensionBytesMax)
        trailerBytesLeft = max(0, trailerBytesMax)
        keepsTrailers = keepTrailers
    }

    /// The body has been read to its end.
    public var isDone: Bool { phase == .done }

    /// True exactly when the next byte is the first digit of a chunk's size.
    public var isBetweenChunks: Bool { phase == .size }

    /// A whole chunk without extension at `at`, where a chunk must begin: its data, and the offset behind its CRLF. nil when it is not whole, is
    /// the last one, or is not plain; then `next` decides. Does not change any reader.
    @inlinable
    public static func plainChunk(_ bytes: UnsafeRawBufferPointer, at: Int) -> (dataStart: Int, dataCount: Int, end: Int)? {
        guard let base = bytes.baseAddress?.assumingMemoryBound(to: UInt8.self) else { return nil }
        var size = 0
        var place = at
        // Seven digits are 256 MiB, more than any buffer.
        let limit = min(bytes.count, at + 7)
        while place < limit {
            let byte = base[place]
            switch byte {
            case 48...57: size = size << 4 | Int(byte &- 48)
            case 97...102: size = size << 4 | Int(byte &- 87)
            case 65...70: size = size << 4 | Int(byte &- 55)
            default:
                guard byte == 13, size > 0, bytes.count - place >= size + 4, base[place + 1] == 10, base[place + 2 + size] == 13,
                    base[place + 3 + size] == 10
                else { return nil }
                return (place + 2, size, place + 4 + size)
            }
            place += 1
        }
        return nil
    }

    /// Reads on at `offset` of this piece of input. After `.needMore` the next piece is given with its own offsets; after `.data` call
    /// again with the same piece from the range's end; after `.end` again gives `.end` where it is asked. A refusal is final.
    public mutating func next(_ bytes: UnsafeRawBufferPointer, from offset: Int) -> Step {
        if phase == .done { return .end(offset) }
        guard let base = bytes.baseAddress, offset >= 0, offset < bytes.count else { return .needMore }
        return next(base.assumingMemoryBound(to: UInt8.self), offset, bytes.count)
    }

    private mutating func next(_ bytes: UnsafePointer<UInt8>, _ offset: Int, _ end: Int) -> Step {
        var at = offset
        while at < end {
            let byte = bytes[at]
            switch phase {
            case .size:
                let digit = hexValue(byte)
                guard digit < 16 else { return refuse(byte == byteLF ? .bareLF : .chunkSize, at) }
                remaining = UInt64(digit)
                digitCount = 1
                phase = .digits
            case .digits:
                let digit = hexValue(byte)
                if digit < 16 {
                    guard digitCount < 16, remaining < 1 << 59 else { return refuse(.chunkSizeOverflow, at) }
                    remaining = remaining << 4 | UInt64(digit)
                    digitCount &+= 1
                } else if byte == byteCR {
                    phase = .sizeFeed
                } else if byte == 0x3B || isBlank(byte) {
                    guard countExtension() else { return refuse(.chunkExtensionsTooLarge, at) }
                    phase = byte == 0x3B ? .extensionStart : .blanksBeforeExtension
                } else {
                    return refuse(byte == byteLF ? .bareLF : .chunkSizeEnd, at)
                }
            case .sizeFeed:
                guard byte == byteLF else { return refuse(.bareCR, at) }
                phase = remaining == 0 ? .trailerStart : .data
            case .data:
                let taken = min(remaining, UInt64(end &- at))
                remaining &-= taken
                bodyBytes &+= taken
                if remaining == 0 { phase = .dataReturn }
                return .data(at..<at &+ Int(taken))
            case .dataReturn:
                guard byte == byteCR else { return refuse(byte == byteLF ? .bareLF : .chunkDataEnd, at) }
                phase = .dataFeed
            case .dataFeed:
                guard byte == byteLF else { return refuse(.bareCR, at) }
                phase = .size
            case .trailerStart, .trailerName, .trailerValue, .trailerFeed, .finalFeed:
                if let fault = onTrailerByte(byte) { return refuse(fault, at) }
                if phase == .done { return .end(at &+ 1) }
            case .done:
                return .end(at)
            default:
                if let fault = onExtensionByte(byte) { return refuse(fault, at) }
            }
            at &+= 1
        }
        return .needMore
    }

    private func refuse(_ fault: MessageFault, _ offset: Int) -> Step {
        .refused(HTTPRefusal(status: fault.status, reason: fault.reason, offset: offset))
    }

    /// Takes one byte off the allowance for extensions.
    private mutating func countExtension() -> Bool {
        guard extensionBytesLeft > 0 else { return false }
        extensionBytesLeft &-= 1
        return true
    }

    /// chunk-ext = *( BWS ";" BWS name [ BWS "=" BWS ( token / quoted-string ) ] )
    @inline(never)
    private mutating func onExtensionByte(_ byte: UInt8) -> MessageFault? {
        if byte == byteCR {
            switch phase {
            case .extensionName, .valueToken, .valueEnd: phase = .sizeFeed; return nil
            case .blanksBeforeExtension: return .chunkSizeEnd
            default: return .chunkExtension
            }
        }
        guard countExtension() else { return .chunkExtensionsTooLarge }
        if byte == byteLF { return .bareLF }
        let isToken = isOfClass(byte, cscan_http_token)
        switch phase {
        case .blanksBeforeExtension:
            if byte == 0x3B { phase = .extensionStart } else if !isBlank(byte) { return .chunkSizeEnd }
        case .extensionStart:
            if isToken { phase = .extensionName } else if !isBlank(byte) { return .chunkExtension }
        case .extensionName, .blanksAfterName:
            if isToken && phase == .extensionName { return nil }
            if byte == 0x3D { phase = .valueStart } else if byte == 0x3B { phase = .extensionStart } else if isBlank(byte) { phase = .blanksAfterName } else { return .chunkExtension }
        case .valueStart:
            if isToken { phase = .valueToken } else if byte == 0x22 { phase = .valueQuoted } else if !isBlank(byte) { return .chunkExtension }
        case .valueToken:
            if isToken { return nil }
            if byte == 0x3B { phase = .extensionStart } else if isBlank(byte) { phase = .blanksBeforeExtension } else { return .chunkExtension }
        case .valueQuoted:
            if byte == 0x22 { phase = .valueEnd } else if byte == 0x5C { phase = .valueEscape } else if !isOfClass(byte, cscan_http_quoted) { return .chunkExtension }
        case .valueEscape:
            guard isOfClass(byte, cscan_http_value) else { return .chunkExtension }
            phase = .valueQuoted
        case .valueEnd:
            if byte == 0x3B { phase = .extensionStart } else if isBlank(byte) { phase = .blanksBeforeExtension } else { return .chunkExtension }
        default:
            return .chunkExtension
        }
        return nil
    }

    /// trailer-section = *( field-line CRLF ), then the empty line. The same rules as in a head.
    @inline(never)
    private mutating func onTrailerByte(_ byte: UInt8) -> MessageFault? {
        if phase == .finalFeed {
            guard byte == byteLF else { return .bareCR }
            phase = .done
            return nil
        }
        if phase == .trailerStart && byte == byteCR {
            phase = .finalFeed
            return nil
        }
        guard trailerBytesLeft > 0 else { return .trailersTooLarge }
        trailerBytesLeft &-= 1
        switch phase {
        case .trailerStart:
            guard isOfClass(byte, cscan_http_token) else {
                switch byte {
                case byteLF: return .bareLF
                case byteSP, byteHTAB: return .foldedLine
                case 0x3A: return .emptyName
                default: return .nameByte
                }
            }
            phase = .trailerName
        case .trailerName:
            if byte == 0x3A {
                phase = .trailerValue
            } else if !isOfClass(byte, cscan_http_token) {
                switch byte {
                case byteCR: return .noColon
                case byteLF: return .bareLF
                case byteSP, byteHTAB: return .spaceBeforeColon
                default: return .nameByte
                }
            }
        case .trailerValue:
            if byte == byteCR {
                phase = .trailerFeed
            } else if !isOfClass(byte, cscan_http_value) {
                return byte == byteLF ? .bareLF : .controlByte
            }
        default:
            guard byte == byteLF else { return .bareCR }
            phase = .trailerStart
        }
        if keepsTrailers { trailers.append(byte) }
        return nil
    }
}
