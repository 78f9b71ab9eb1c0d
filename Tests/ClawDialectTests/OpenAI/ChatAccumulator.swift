// Puts a chat stream together as the official SDKs do, with Foundation and nothing of the gateway's: what two streams must have in common to be the same
// answer. Members that are on every chunk count once, all others are a list in their order.
import Foundation

struct ChatAccumulator {
    struct Call: Equatable {
        var index = -1
        var id = ""
        var name = ""
        var arguments = ""
    }
    struct Choice: Equatable {
        var text = ""
        var reasoning = ""
        var refusal = ""
        var calls: [Call] = []
        var functionCall = ""
        var finish = ""
        var extras: [String] = []
        var roles = 0
    }
    var id = ""
    var model = ""
    var choices: [Int: Choice] = [:]
    var usage: [String: Any]?
    var sticky: [String: String] = [:]
    var extras: [String] = []
    var error: [String: Any]?
    var sawDone = false
    var chunks: [[String: Any]] = []
    var ids: Set<String> = []

    init(_ body: [UInt8]) {
        let text = String(decoding: body, as: UTF8.self).replacingOccurrences(of: "\r\n", with: "\n")
        for line in text.split(separator: "\n") where line.hasPrefix("data:") {
            let data = line.dropFirst(5).trimmingCharacters(in: .whitespaces)
            if data == "[DONE]" {
                sawDone = true
                continue
            }
            guard let chunk = (try? JSONSerialization.jsonObject(with: Data(data.utf8))) as? [String: Any] else { continue }
            chunks.append(chunk)
            take(chunk)
        }
    }

    private static func canonical(_ key: String, _ value: Any) -> String {
        let data = try? JSONSerialization.data(withJSONObject: value, options: [.sortedKeys, .fragmentsAllowed])
        return key + "=" + String(decoding: data ?? Data(), as: UTF8.self)
    }

    private mutating func take(_ chunk: [String: Any]) {
        if let id = chunk["id"] as? String, !id.isEmpty {
            ids.insert(id)
            if self.id.isEmpty { self.id = id }
        }
        if let model = chunk["model"] as? String, !model.isEmpty, self.model.isEmpty { self.model = model }
        if let usage = (chunk["usage"] as? [String: Any]) ?? ((chunk["x_groq"] as? [String: Any])?["usage"] as? [String: Any]) { self.usage = usage }
        if let error = chunk["error"] as? [String: Any] { self.error = error }
        for (key, value) in chunk.sorted(by: { $0.key < $1.key }) where !(value is NSNull) {
            switch key {
            case "id", "model", "usage", "error", "object", "created", "choices": continue
            case "system_fingerprint", "service_tier", "provider": sticky[key] = "\(value)"
            default: extras.append(Self.canonical(key, value))
            }
        }
        for choice in chunk["choices"] as? [[String: Any]] ?? [] { take(choice: choice) }
    }

    private mutating func take(choice: [String: Any]) {
        let index = choice["index"] as? Int ?? 0
        var sum = choices[index] ?? Choice()
        if let word = choice["finish_reason"] as? String, sum.finish.isEmpty { sum.finish = word }
        for (key, value) in choice.sorted(by: { $0.key < $1.key }) where !(value is NSNull) {
            if ["index", "delta", "finish_reason", "message"].contains(key) || (key == "text" && choice["delta"] == nil) { continue }
            if let empty = value as? [String: Any], empty.isEmpty { continue }
            sum.extras.append(Self.canonical(key, value))
        }
        if choice["delta"] == nil, let text = choice["text"] as? String { sum.text += text }
        let delta = choice["delta"] as? [String: Any] ?? [:]
        if delta["role"] != nil { sum.roles += 1 }
        if let text = delta["content"] as? String { sum.text += text }
        for part in delta["content"] as? [[String: Any]] ?? [] {
            sum.text += part["text"] as? String ?? ""
            for piece in part["thinking"] as? [[String: Any]] ?? [] { sum.reasoning += piece["text"] as? String ?? "" }
        }
        sum.reasoning += (delta["reasoning_content"] as? String) ?? (delta["reasoning"] as? String) ?? ""
        sum.refusal += delta["refusal"] as? String ?? ""
        if let call = delta["function_call"] as? [String: Any] {
            sum.functionCall += (call["name"] as? String).map { $0 + ":" } ?? ""
            sum.functionCall += call["arguments"] as? String ?? ""
        }
        for fragment in delta["tool_calls"] as? [[String: Any]] ?? [] {
            let key = fragment["index"] as? Int ?? sum.calls.count
            let function = fragment["function"] as? [String: Any] ?? fragment["custom"] as? [String: Any] ?? [:]
            if !sum.calls.contains(where: { $0.index == key }) { sum.calls.append(Call(index: key)) }
            let at = sum.calls.lastIndex { $0.index == key }!
            if let id = fragment["id"] as? String, sum.calls[at].id.isEmpty { sum.calls[at].id = id }
            if let name = function["name"] as? String, sum.calls[at].name.isEmpty { sum.calls[at].name = name }
            sum.calls[at].arguments += function["arguments"] as? String ?? function["input"] as? String ?? ""
        }
        for (key, value) in delta.sorted(by: { $0.key < $1.key }) where !(value is NSNull) {
            if ["role", "content", "refusal", "reasoning", "reasoning_content", "tool_calls", "function_call"].contains(key) { continue }
            if let empty = value as? [Any], empty.isEmpty { continue }
            sum.extras.append(Self.canonical(key, value))
        }
        choices[index] = sum
    }

    /// What the two differ in.
    func differences(from other: ChatAccumulator) -> [String] {
        var out: [String] = []
        if model != other.model { out.append("model: \(model), then \(other.model)") }
        if choices.keys.sorted() != other.choices.keys.sorted() { out.append("choices: \(choices.keys.sorted()), then \(other.choices.keys.sorted())") }
        for (index, choice) in choices {
            guard var now = other.choices[index] else { continue }
            now.roles = choice.roles
            if choice != now { out.append("choice \(index): \(choice), then \(now)") }
        }
        out += ClawDialectTests.differences(usage, other.usage, at: "usage")
        out += ClawDialectTests.differences(error, other.error.map { $0.filter { !($0.value is NSNull) } }, at: "error")
        if sticky != other.sticky { out.append("on all chunks: \(sticky), then \(other.sticky)") }
        if extras != other.extras { out.append("extras: \(extras.joined(separator: " ").prefix(300)), then \(other.extras.joined(separator: " ").prefix(300))") }
        return out
    }
}

/// The value without members that are null: null and absent say the same.
func withoutNulls(_ value: Any?) -> Any? {
    if let object = value as? [String: Any] { return object.filter { !($0.value is NSNull) }.mapValues { withoutNulls($0)! } }
    if let list = value as? [Any] { return list.map { withoutNulls($0)! } }
    return value
}
