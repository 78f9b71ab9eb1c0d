/// What is asked of a name server: one name, one type, class IN. Builds the message (RFC 1035 §4, RFC 6891 §6); the answer is read by `DNSAnswer`.
public struct DNSQuestion: Hashable, Sendable {
    public enum RecordType: UInt16, Sendable, CaseIterable { case a = 1, aaaa = 28, srv = 33 }

    public let type: RecordType
    let name: DNSName

    /// What we take in one datagram: the largest that passes everywhere unfragmented (DNS flag day 2020).
    public static let payloadBytes: UInt16 = 1232
    /// Over TCP a message has its length in two bytes before it, so it is never longer.
    public static let messageBytesMax = 65_535

    /// nil for what is no name of a host or service: letters, digits, "-" and "_" in labels of 1 … 63 bytes, 253 in all.
    public init?(_ name: String, _ type: RecordType) {
        guard let name = DNSName(name) else { return nil }
        self.name = name
        self.type = type
    }

    /// In lower case, without the final dot.
    public var nameText: String { name.text ?? "" }

    /// The message to send. `id` is drawn at random by the caller for each try: with the port it is what keeps others from answering.
    /// - Parameter hasOptions: false for a server that answers FORMERR to EDNS, being older than it.
    public func message(id: UInt16, hasOptions: Bool = true) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(12 + name.wire.count + 4 + 11)
        func put(_ value: UInt16) {
            bytes.append(UInt8(value >> 8))
            bytes.append(UInt8(value & 255))
        }
        put(id)
        // Recursion desired, nothing else.
        put(0x0100)
        put(1)
        put(0)
        put(0)
        put(hasOptions ? 1 : 0)
        bytes += name.wire
        put(type.rawValue)
        put(1)
        if hasOptions {
            bytes.append(0)
            put(41)
            put(Self.payloadBytes)
            put(0)
            put(0)
            put(0)
        }
        return bytes
    }
}
