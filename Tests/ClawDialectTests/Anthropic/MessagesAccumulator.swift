// What a client of the Messages API makes of a stream, written from the official Python client's `accumulate_event` with Foundation alone, so that it shares
// nothing with what it judges. It is stricter: blocks must be opened, filled and closed in their order, and names must fit the data.
import Foundation

struct MessagesAccumulator {
    var message: [String: Any] = [:]
    /// Names in their order, runs as one.
    var order: [String] = []
    var faults: [String] = []
    private var json: [Int: String] = [:]
    private var openIndex: Int?
    private var isDone = false
    var error: [String: Any]?

    init(_ bytes: [UInt8]) {
        for event in sseEvents(bytes) { take(String(decoding: event.name, as: UTF8.self), event.data) }
        if openIndex != nil { faults.append("a block is still open") }
    }

    private mutating func take(_ name: String, _ data: [UInt8]) {
        guard let event = (try? parsed(data)) as? [String: Any], let type = event["type"] as? String else {
            faults.append("no JSON: \(String(decoding: data, as: UTF8.self))")
            return
        }
        if name != type { faults.append("\(name) is named \(type)") }
        if order.last != name { order.append(name) }
        if isDone { faults.append("\(name) after the end") }
        if message.isEmpty, name != "message_start", name != "ping", name != "error" { faults.append("\(name) before message_start") }
        var content = message["content"] as? [[String: Any]] ?? []
        switch name {
        case "message_start":
            if !message.isEmpty { faults.append("a second message_start") }
            message = event["message"] as? [String: Any] ?? [:]
            return
        case "content_block_start":
            let index = event["index"] as? Int ?? -1
            if index != content.count || openIndex != nil { faults.append("block \(index) starts after \(content.count) blocks") }
            openIndex = index
            content.append(event["content_block"] as? [String: Any] ?? [:])
        case "content_block_delta":
            let index = event["index"] as? Int ?? -1
            guard index == openIndex, content.indices.contains(index), let delta = event["delta"] as? [String: Any] else {
                faults.append("a delta for block \(index)")
                return
            }
            func append(_ key: String) {
                guard let text = delta[key] as? String, let before = content[index][key] as? String else { return faults.append("no \(key)") }
                content[index][key] = before + text
            }
            switch delta["type"] as? String {
            case "text_delta": append("text")
            case "thinking_delta":
                append("thinking")
                if let tokens = delta["estimated_tokens"] { content[index]["estimated_tokens"] = tokens }
            case "signature_delta": content[index]["signature"] = delta["signature"]
            case "citations_delta": content[index]["citations"] = (content[index]["citations"] as? [Any] ?? []) + [delta["citation"] as Any]
            case "input_json_delta": json[index, default: ""] += delta["partial_json"] as? String ?? "?"
            default: faults.append("delta \(delta)")
            }
        case "content_block_stop":
            let index = event["index"] as? Int ?? -1
            if index != openIndex { faults.append("block \(index) stops") }
            openIndex = nil
            if let text = json[index], !text.isEmpty, content.indices.contains(index) {
                content[index]["input"] = try? parsed(text)
                if content[index]["input"] == nil { faults.append("arguments \(text)") }
            }
        case "message_delta":
            if openIndex != nil { faults.append("message_delta within a block") }
            for (key, value) in event["delta"] as? [String: Any] ?? [:] { message[key] = value }
            var usage = message["usage"] as? [String: Any] ?? [:]
            for (key, value) in event["usage"] as? [String: Any] ?? [:] where !(value is NSNull) { usage[key] = value }
            message["usage"] = usage
            for (key, value) in event where !["type", "delta", "usage"].contains(key) { message[key] = value }
        case "message_stop": isDone = true
        case "ping": return
        case "error":
            error = event["error"] as? [String: Any]
            isDone = true
        default: faults.append("event \(name)")
        }
        message["content"] = content
    }

    var isWhole: Bool { isDone && error == nil }
    var content: [[String: Any]] { message["content"] as? [[String: Any]] ?? [] }
    var types: [String] { content.map { $0["type"] as? String ?? "" } }
    var usage: [String: Any] { message["usage"] as? [String: Any] ?? [:] }
    var stopReason: String? { message["stop_reason"] as? String }
}
