import CScan

// The small values requests and responses share: a field line's place, methods, body framing, limits, progress and refusals.

/// A run of bytes in the head.
public struct HTTPSpan: Equatable, Sendable {
    public var offset: UInt32 = 0
    public var length: UInt32 = 0
    public init() {}
    public init(offset: Int, length: Int) {
        self.offset = UInt32(truncatingIfNeeded: offset)
        self.length = UInt32(truncatingIfNeeded: length)
    }
}

/// One field line of a head: where its name and value lie, and which known field it is.
public struct HTTPField {
    public var nameOffset: UInt32 = 0
    public var valueOffset: UInt32 = 0
    /// Bytes of the value, optional white space already taken off both ends.
    public var valueLength: UInt32 = 0
    public var nameLength: UInt16 = 0
    public var name: FieldName = .other
    /// Bits of `underscore` and `namedByConnection`.
    public var marks: UInt8 = 0
    public init() {}

    public static let underscore: UInt8 = 1
    public static let namedByConnection: UInt8 = 2
    /// The name holds a "_": many servers read `X_Api_Key` as `X-Api-Key`, so such fields are dropped, not forwarded (faults H1-29).
    public var hasUnderscore: Bool { marks & 1 != 0 }
    /// The message's Connection field names this field: it ends here and is not forwarded (RFC 9110 §7.6.1).
    public var isNamedByConnection: Bool { marks & 2 != 0 }
}

/// Request methods the gateway knows; any other token parses as `.other` (the server answers 501). Methods are case-sensitive.
public enum HTTPMethod: UInt8, Sendable { case get, head, post, put, delete, patch, options, trace, connect, other }

/// How a message's body is delimited (RFC 9112 §6.3).
public enum BodyFraming: Equatable, Sendable {
    case none
    case contentLength(UInt64)
    case chunked
    /// Responses only: the body ends when the peer closes.
    case untilClose
}

/// Why a head or body was refused, with the status a server answers and a stable reason.
public struct HTTPRefusal: Error, Equatable, Sendable {
    /// 400, 414, 417, 431, 501 or 505 for requests; for responses always 502 towards the client.
    public var status: UInt16
    /// Stable label for counters and logs, e.g. "bare_lf", "content_length_conflict".
    public var reason: StaticString
    /// Index of the byte that decided: with one byte fewer the parser would have asked for more.
    public var offset: Int
    public init(status: UInt16, reason: StaticString, offset: Int) { self.status = status; self.reason = reason; self.offset = offset }
    public static func == (a: HTTPRefusal, b: HTTPRefusal) -> Bool {
        a.status == b.status && a.offset == b.offset && a.reason.description == b.reason.description
    }
}

/// Limits of a head; beyond: 414 for the target, 431 for the rest.
public struct HeadLimits: Sendable {
    public var headBytesMax: Int = 65536
    public var targetBytesMax: Int = 16384
    /// At most `RequestHead.fieldsCapacity`; more is taken as that.
    public var fieldsMax: Int = 100
    public init() {}
}

public enum HeadProgress: Equatable, Sendable {
    /// A right beginning; feed the same bytes again with more behind them.
    case needMore
    /// The head is whole and ends (after its empty line) at this offset.
    case complete(Int)
    case refused(HTTPRefusal)
}

/// Everything a head or a chunked body can be refused for: one table of status and label. Rules: RFC 9112 unless said otherwise.
enum MessageFault: UInt8 {
    case requestLine, method, target, fragment, badEscape, targetForm, authority, userinfo, asterisk, version, majorVersion
    case statusLine, statusCode, switchingProtocols
    case bareCR, bareLF, controlByte, spaceBeforeFields, foldedLine, emptyName, nameByte, noColon, spaceBeforeColon
    case targetTooLong, headTooLarge, nameTooLong, tooManyFields
    case contentLength, contentLengthOverflow, contentLengthConflict
    case transferEncoding, transferEncodingRepeated, transferEncodingInOldVersion, transferEncodingUnsupported, lengthAndEncoding
    case connectionOptions, expectation
    case chunkSize, chunkSizeOverflow, chunkSizeEnd, chunkExtension, chunkExtensionsTooLarge, chunkDataEnd, trailersTooLarge

    /// What a server answers. A response with any of these is a bad gateway.
    var status: UInt16 {
        switch self {
        case .targetTooLong: 414
        case .headTooLarge, .nameTooLong, .tooManyFields, .trailersTooLarge: 431
        case .expectation: 417
        case .transferEncodingUnsupported: 501
        case .majorVersion: 505
        default: 400
        }
    }

    var reason: StaticString {
        switch self {
        case .requestLine: "request_line"                                   // §3
        case .method: "method_byte"                                         // RFC 9110 §9.1
        case .target: "target_byte"                                         // §3.2, RFC 3986 §3.3
        case .fragment: "target_fragment"                                   // RFC 9110 §7.1
        case .badEscape: "target_escape"                                    // RFC 3986 §2.1
        case .targetForm: "target_form"                                     // §3.2
        case .authority: "target_authority"                                 // §3.2.2, §3.2.3
        case .userinfo: "target_userinfo"                                   // RFC 9110 §4.2.4
        case .asterisk: "target_asterisk"                                   // §3.2.4
        case .version: "version"                                            // §2.3
        case .majorVersion: "version_major"                                 // §2.3
        case .statusLine: "status_line"                                     // §4
        case .statusCode: "status_code"                                     // RFC 9110 §15
        case .switchingProtocols: "unasked_101"                             // RFC 9110 §15.2.2
        case .bareCR: "bare_cr"                                             // §2.2
        case .bareLF: "bare_lf"                                             // §2.2
        case .controlByte: "control_byte"                                   // RFC 9110 §5.5
        case .spaceBeforeFields: "space_before_fields"                      // §2.2
        case .foldedLine: "folded_line"                                     // §5.2
        case .emptyName: "field_name_empty"                                 // RFC 9110 §5.1
        case .nameByte: "field_name_byte"                                   // RFC 9110 §5.1
        case .noColon: "field_without_colon"                                // §5
        case .spaceBeforeColon: "space_before_colon"                        // §5.1
        case .targetTooLong: "target_too_long"                              // §3
        case .headTooLarge: "head_too_large"                                // RFC 6585 §5
        case .nameTooLong: "field_name_too_long"                            // RFC 6585 §5
        case .tooManyFields: "too_many_fields"                              // RFC 6585 §5
        case .contentLength: "content_length"                               // §6.3 item 5
        case .contentLengthOverflow: "content_length_overflow"              // RFC 9110 §8.6
        case .contentLengthConflict: "content_length_conflict"              // §6.3 item 5
        case .transferEncoding: "transfer_encoding"                         // §6.3 item 4
        case .transferEncodingRepeated: "transfer_encoding_repeated"        // §6.1
        case .transferEncodingInOldVersion: "transfer_encoding_http10"      // §6.1
        case .transferEncodingUnsupported: "transfer_encoding_unsupported"  // §6.1
        case .lengthAndEncoding: "content_length_and_transfer_encoding"     // §6.1, §6.3 item 3
        case .connectionOptions: "connection_options"                       // RFC 9110 §7.6.1
        case .expectation: "expectation"                                    // RFC 9110 §10.1.1
        case .chunkSize: "chunk_size"                                       // §7.1
        case .chunkSizeOverflow: "chunk_size_overflow"                      // §7.1
        case .chunkSizeEnd: "chunk_size_end"                                // §7.1
        case .chunkExtension: "chunk_extension"                             // §7.1.1
        case .chunkExtensionsTooLarge: "chunk_extensions_too_large"         // §7.1.1
        case .chunkDataEnd: "chunk_data_end"                                // §7.1
        case .trailersTooLarge: "trailers_too_large"                        // §7.1.2
        }
    }
}

// Bytes by name.
let byteHTAB: UInt8 = 9, byteLF: UInt8 = 10, byteCR: UInt8 = 13, byteSP: UInt8 = 32

@inline(__always) func isBlank(_ byte: UInt8) -> Bool { byte == byteSP || byte == byteHTAB }
@inline(__always) func isDigit(_ byte: UInt8) -> Bool { byte &- 48 < 10 }

/// Whether the byte has one of these class bits (cscan_http.h).
@inline(__always) func isOfClass(_ byte: UInt8, _ bits: Int) -> Bool {
    Int(cscan_http_classes()[Int(byte)]) & bits != 0
}

/// The value of a hex digit; 255 for any other byte.
@inline(__always) func hexValue(_ byte: UInt8) -> UInt8 {
    let digit = byte &- 48
    if digit < 10 { return digit }
    let letter = (byte | 0x20) &- 97
    return letter < 6 ? letter &+ 10 : 255
}

/// Compares with a lower-case ASCII word, letters in either case.
@inline(__always) func equalsFolded(_ bytes: UnsafePointer<UInt8>, _ count: Int, _ word: StaticString) -> Bool {
    guard count == word.utf8CodeUnitCount else { return false }
    return beginsFolded(bytes, word)
}

/// As `equalsFolded`, for the first bytes; there must be as many as the word has.
@inline(__always) func beginsFolded(_ bytes: UnsafePointer<UInt8>, _ word: StaticString) -> Bool {
    let letters = word.utf8Start
    for index in 0..<word.utf8CodeUnitCount {
        let wanted = letters[index]
        let fold: UInt8 = wanted &- 97 < 26 ? 0x20 : 0
        if bytes[index] | fold != wanted { return false }
    }
    return true
}
