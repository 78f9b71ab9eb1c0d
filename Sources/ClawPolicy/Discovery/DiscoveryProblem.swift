/// Why a source's document changed nothing. The last good set stays; the kind says what the caller does next, the message is for the log.
public struct DiscoveryProblem: Error, Equatable, Sendable {
    public enum Kind: Equatable, Sendable {
        /// Not of the form the source's interface has.
        case malformed
        /// Larger than a bound of this module.
        case tooLarge
        /// The place to go on from is gone: read the whole list again.
        case expired
        /// The credentials are missing, wrong or no longer good.
        case unauthorised
        /// The source answered that it cannot.
        case failed
    }
    public var kind: Kind
    /// Printable ASCII, at most `messageBytesMax`.
    public var message: String
    public static let messageBytesMax = 300

    public init(_ kind: Kind, _ message: String) {
        self.kind = kind
        self.message = Self.printable(message, Self.messageBytesMax)
    }

    static func malformed(_ message: String) -> DiscoveryProblem { DiscoveryProblem(.malformed, message) }

    /// Foreign text on its way into a message.
    static func printable(_ text: String, _ bytesMax: Int = 80) -> String {
        String(decoding: text.utf8.prefix(bytesMax).map { $0 >= 0x20 && $0 < 0x7F ? $0 : 0x3F }, as: UTF8.self)
    }
}
