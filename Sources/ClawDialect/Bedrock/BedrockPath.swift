// The paths of Bedrock's runtime. A model's id may be an ARN with colons and slashes, and must stay one segment: all but the unreserved characters is
// percent-encoded. The same bytes go on the wire and into the signature, which encodes them once more.
import ClawWire

public enum BedrockPath {
    public enum Operation: Sendable, CaseIterable {
        case converse, converseStream, invoke, invokeStream, countTokens
        public var segment: StaticString {
            switch self {
            case .converse: "converse"
            case .converseStream: "converse-stream"
            case .invoke: "invoke"
            case .invokeStream: "invoke-with-response-stream"
            case .countTokens: "count-tokens"
            }
        }
    }

    /// `/model/{id}/converse`; `model` in plain bytes, its escapes undone.
    public static func write(_ operation: Operation, model: JSONBytes, into out: inout JSONWriter) {
        out.put("/model/")
        for byte in model.raw {
            switch byte {
            case 48...57, 65...90, 97...122, 0x2D, 0x2E, 0x5F, 0x7E: out.put(byte: byte)
            default:
                out.put(byte: 0x25)
                out.put(byte: hex(byte >> 4))
                out.put(byte: hex(byte & 15))
            }
        }
        out.put(byte: 0x2F)
        out.put(operation.segment)
    }

    private static func hex(_ digit: UInt8) -> UInt8 { digit < 10 ? 48 + digit : 55 + digit }
}
