// Writes one frame of Amazon's event stream into a JSONWriter: the lengths and checksums that stand before what they cover are filled in at the end, so the
// payload is written in its place and copied nowhere. A frame that finds no room is taken back whole.

public struct FrameWriter {
    private let start: Int
    private var headersEnd: Int

    /// Begins a frame; headers follow, then `beginPayload`, the payload, `end`.
    public init(_ out: inout JSONWriter) {
        start = out.count
        if let room = out.reserve(FrameScanner.preludeBytes) {
            room.update(repeating: 0, count: FrameScanner.preludeBytes)
            out.count += FrameScanner.preludeBytes
        }
        headersEnd = out.count
    }

    /// A frame with the three headers that all of Bedrock's have, as far as its payload.
    public static func event(_ type: JSONBytes, into out: inout JSONWriter) -> FrameWriter {
        begin(":event-type", type, "event", into: &out)
    }

    public static func exception(_ type: JSONBytes, into out: inout JSONWriter) -> FrameWriter {
        begin(":exception-type", type, "exception", into: &out)
    }

    private static func begin(_ typeName: StaticString, _ type: JSONBytes, _ messageType: StaticString, into out: inout JSONWriter) -> FrameWriter {
        var frame = FrameWriter(&out)
        frame.header(typeName, type, into: &out)
        frame.header(":content-type", JSONBytes("application/json"), into: &out)
        frame.header(":message-type", JSONBytes(messageType), into: &out)
        frame.beginPayload(&out)
        return frame
    }

    /// A string header. Names have 1 … 255 bytes, values at most 65,535.
    public func header(_ name: StaticString, _ text: JSONBytes, into out: inout JSONWriter) { header(JSONBytes(name), .string, text.raw, into: &out) }

    /// A header of any type, its value as it stands on the wire (without a length).
    public func header(_ name: JSONBytes, _ type: FrameValueType, _ value: UnsafeRawBufferPointer, into out: inout JSONWriter) {
        precondition(name.count > 0 && name.count < 256 && value.count < 65536, "a name has 1 … 255 bytes, a value at most 65535")
        precondition(type.fixedCount == nil || type.fixedCount == value.count, "the value has the length of its type")
        out.put(byte: UInt8(name.count))
        out.put(name)
        out.put(byte: type.rawValue)
        if type.fixedCount == nil {
            out.put(byte: UInt8(value.count >> 8))
            out.put(byte: UInt8(value.count & 255))
        }
        out.put(JSONBytes(value))
    }

    public mutating func beginPayload(_ out: inout JSONWriter) {
        headersEnd = out.count
        out.needsComma = false
    }

    public func end(_ out: inout JSONWriter) {
        out.needsComma = false
        guard let tail = out.reserve(4), !out.isOverflown, let memory = out.memory else { return out.truncate(to: start) }
        let frame = UnsafeMutableRawPointer(memory + start)
        let length = out.count - start + 4
        guard headersEnd - start - FrameScanner.preludeBytes <= FrameScanner.headersBytesMax, out.count - headersEnd <= FrameScanner.payloadBytesMax else {
            return out.truncate(to: start)
        }
        frame.storeBytes(of: UInt32(length).bigEndian, as: UInt32.self)
        frame.storeBytes(of: UInt32(headersEnd - start - FrameScanner.preludeBytes).bigEndian, toByteOffset: 4, as: UInt32.self)
        frame.storeBytes(of: CRC32.of(UnsafeRawBufferPointer(start: frame, count: 8)).bigEndian, toByteOffset: 8, as: UInt32.self)
        let sum = CRC32.of(UnsafeRawBufferPointer(start: frame, count: length - 4))
        UnsafeMutableRawPointer(tail).storeBytes(of: sum.bigEndian, as: UInt32.self)
        out.count += 4
    }
}
