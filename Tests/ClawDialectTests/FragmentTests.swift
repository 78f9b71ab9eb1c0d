// A call's arguments come in fragments that are cut anywhere, between the halves of a character too. However they were cut, and whatever dialect they go
// to, they are in the end what the whole answer says (faults SS-15).
import ClawDialect
import ClawWire
import Foundation
import Testing

@Suite struct FragmentTests {
    private static let arguments = #"{"city":"Zürich \"😀\" \\ \n가","n":9007199254740993,"list":[1,{"deep":null}],"empty":""}"#
    private static let fronts: [DialectID] = [.chat, .responses, .messages, .gemini, .ollama, .cohere]

    /// UTF-16 units from ..< to of the arguments as the inside of a JSON string; a lone half of a pair is escaped, as providers do.
    private static func escaped(_ units: ArraySlice<UInt16>) -> String {
        var out = ""
        for unit in units {
            switch unit {
            case 0x22: out += "\\\""
            case 0x5C: out += "\\\\"
            case 0x20...0x7E: out.unicodeScalars.append(Unicode.Scalar(unit)!)
            default: out += "\\u" + String(repeating: "0", count: 4 - String(unit, radix: 16).count) + String(unit, radix: 16)
            }
        }
        return out
    }

    private static func chatStream(_ pieces: [String]) -> [String] {
        func chunk(_ delta: String, _ finish: String = "null") -> String {
            #"{"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":\#(delta),"finish_reason":\#(finish)}]}"#
        }
        return [chunk(#"{"role":"assistant","content":null,"tool_calls":[{"index":0,"id":"call_1","type":"function","function":{"name":"f","arguments":""}}]}"#)]
            + pieces.map { chunk(#"{"tool_calls":[{"index":0,"function":{"arguments":"\#($0)"}}]}"#) } + [chunk("{}", #""tool_calls""#)]
    }

    private static func claudeStream(_ pieces: [String]) -> [String] {
        [#"{"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","model":"m","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":1,"output_tokens":1}}}"#,
         #"{"type":"content_block_start","index":0,"content_block":{"type":"tool_use","id":"toolu_1","name":"f","input":{}}}"#]
            + pieces.map { #"{"type":"content_block_delta","index":0,"delta":{"type":"input_json_delta","partial_json":"\#($0)"}}"# }
            + [#"{"type":"content_block_stop","index":0}"#, #"{"type":"message_delta","delta":{"stop_reason":"tool_use","stop_sequence":null},"usage":{"output_tokens":2}}"#, #"{"type":"message_stop"}"#]
    }

    /// The arguments as a client of this dialect puts them together.
    private func arguments(_ front: DialectID, _ bytes: [UInt8]) throws -> Any? {
        let objects: [[String: Any]] = front == .ollama
            ? try String(decoding: bytes, as: UTF8.self).split(separator: "\n").map { try parsed(String($0)) as? [String: Any] ?? [:] }
            : try sseEvents(bytes).filter { !$0.isDone && !$0.data.isEmpty }.map { try parsed($0.data) as? [String: Any] ?? [:] }
        var text: [UInt16] = []
        func at(_ value: Any?, _ path: Any...) -> Any? {
            var here = value
            for step in path {
                if let key = step as? String { here = (here as? [String: Any])?[key] } else if let index = step as? Int { here = (here as? [Any]).flatMap { $0.count > index ? $0[index] : nil } }
            }
            return here
        }
        for one in objects {
            switch front {
            case .chat: if let piece = at(one, "choices", 0, "delta", "tool_calls", 0, "function", "arguments") as? String { text += Array(piece.utf16) }
            case .responses: if one["type"] as? String == "response.function_call_arguments.delta", let piece = one["delta"] as? String { text += Array(piece.utf16) }
            case .messages: if let piece = at(one, "delta", "partial_json") as? String { text += Array(piece.utf16) }
            case .cohere: if let piece = at(one, "delta", "message", "tool_calls", "function", "arguments") as? String { text += Array(piece.utf16) }
            case .gemini:
                for part in at(one, "candidates", 0, "content", "parts") as? [Any] ?? [] { if let args = at(part, "functionCall", "args") { return args } }
            default: if let args = at(one, "message", "tool_calls", 0, "function", "arguments") { return args }
            }
        }
        return text.isEmpty ? nil : try parsed(String(decoding: text, as: UTF16.self))
    }

    @Test(arguments: fronts, [DialectID.chat, .messages])
    func SS_15_argumentsInFragmentsAreWhatTheWholeAnswerSays(front: DialectID, back: DialectID) throws {
        let wanted = try parsed(Self.arguments)
        let units = Array(Self.arguments.utf16)
        var cuts: [[ArraySlice<UInt16>]] = (1..<units.count).map { [units[..<$0], units[$0...]] }
        for size in [1, 2, 3, 7] { cuts.append(stride(from: 0, to: units.count, by: size).map { units[$0..<min(units.count, $0 + size)] }) }
        cuts.append([units[...]])
        for cut in cuts {
            // A string of a test cannot hold half a pair, so neither can what is parsed of one: such cuts are left to dialects that gather the whole.
            let isBetweenHalves = cut.contains { $0.first.map { UTF16.isTrailSurrogate($0) } ?? false }
            if isBetweenHalves, front != .gemini, front != .ollama { continue }
            let pieces = cut.map { Self.escaped($0) }
            let stream = back == .chat ? Self.chatStream(pieces) : Self.claudeStream(pieces)
            var events = stream.map { (name: [UInt8](), data: Array($0.utf8), isDone: false) }
            if back == .chat { events.append((name: [], data: [], isDone: true)) }
            let out = translateStream(events, reader: back.pieces.streamReader(Quirks()), writer: front.pieces.streamWriter(testContext))
            #expect(differences(wanted, try arguments(front, out.bytes)) == [], "\(back) to \(front), \(pieces.count) pieces, first \(pieces[0].count)")
        }
    }
}
