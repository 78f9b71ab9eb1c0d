// Reads a stream as OpenAI's SDK does (openai-python, lib/streaming/responses/_responses.py): from the deltas, checking on the way that every event is about
// an item and a piece that exist, that the `done` events repeat what the deltas said, and that the last response repeats the items.
import ClawDialect
import ClawWire
import Foundation

struct ResponsesAccumulator {
    var names: [String] = []
    var complaints: [String] = []
    var response: [String: Any] = [:]
    var error: [String: Any]?
    /// By output index: the item as accumulated, and as its `done` event said.
    private var items: [Int: [String: Any]] = [:]
    private var done: [Int: [String: Any]] = [:]
    private var created: [String: Any]?
    private var numbers: [Int] = []

    init(_ body: [UInt8]) {
        for event in sseEvents(body) {
            let name = String(decoding: event.name, as: UTF8.self)
            guard !event.isDone else { complaints.append("[DONE]"); continue }
            guard let value = (try? parsed(event.data)) as? [String: Any] else { complaints.append("no JSON in \(name)"); continue }
            if value["type"] as? String != name { complaints.append("\(name) calls itself \(value["type"] ?? "nothing")") }
            if response["status"] != nil || error != nil { complaints.append("\(name) comes after the end") }
            take(name, value)
        }
        if numbers != Array(0..<numbers.count) { complaints.append("sequence numbers are \(numbers)") }
    }

    /// Event names with runs collapsed.
    var order: [String] { names.reduce(into: []) { if $0.last != $1 { $0.append($1) } } }
    var output: [[String: Any]] { response["output"] as? [[String: Any]] ?? [] }
    var status: String { response["status"] as? String ?? "" }
    var text: String { pieces("message", "output_text", "text") }
    var refusal: String { pieces("message", "refusal", "refusal") }
    var thoughts: [String] {
        items.sorted { $0.key < $1.key }.filter { $0.value["type"] as? String == "reasoning" }.map { one in
            ((one.value["summary"] as? [[String: Any]]) ?? []).map { $0["text"] as? String ?? "" }.joined(separator: "\n\n")
        }
    }
    var proofs: [String] { output.compactMap { $0["encrypted_content"] as? String } }
    var calls: [[String: String]] {
        items.sorted { $0.key < $1.key }.filter { ($0.value["type"] as? String)?.hasSuffix("_call") == true }.map { one in
            [
                "id": one.value["call_id"] as? String ?? "", "name": one.value["name"] as? String ?? "",
                "arguments": one.value["arguments"] as? String ?? one.value["input"] as? String ?? "",
            ]
        }
    }

    private func pieces(_ type: String, _ piece: String, _ key: String) -> String {
        items.sorted { $0.key < $1.key }.filter { $0.value["type"] as? String == type }.flatMap { ($0.value["content"] as? [[String: Any]]) ?? [] }
            .filter { $0["type"] as? String == piece }.map { $0[key] as? String ?? "" }.joined()
    }

    private mutating func take(_ name: String, _ event: [String: Any]) {
        if names.isEmpty, name != "response.created" { complaints.append("\(name) comes before response.created") }
        names.append(name)
        if let number = event["sequence_number"] as? Int { numbers.append(number) } else { complaints.append("\(name) has no sequence_number") }
        let index = event["output_index"] as? Int ?? -1
        switch name {
        case "response.created", "response.in_progress":
            let response = event["response"] as? [String: Any] ?? [:]
            if created == nil { created = response }
            if response["id"] as? String != created?["id"] as? String { complaints.append("the response's id changes") }
        case "response.output_item.added":
            if items[index] != nil { complaints.append("output_index \(index) stands twice") }
            if index != items.count { complaints.append("output_index \(index) after \(items.count) items") }
            items[index] = event["item"] as? [String: Any]
        case "response.output_item.done":
            let item = event["item"] as? [String: Any] ?? [:]
            if items[index] == nil || done[index] != nil { complaints.append("output_item.done without output_item.added") }
            done[index] = item
            let said = items[index] ?? [:]
            let differ = differences(said, item, ignoring: ["status": "changes with the item's end", "encrypted_content": "is whole only at the item's end"])
            complaints += differ.map { "item \(index) was not what its deltas said: \($0)" }
            items[index]?["status"] = item["status"]
        case "response.content_part.added": add(event["part"], "content", index, event["content_index"] as? Int ?? -1)
        case "response.reasoning_summary_part.added": add(event["part"], "summary", index, event["summary_index"] as? Int ?? -1)
        case "response.output_text.delta": grow("content", "text", index, event["content_index"] as? Int ?? -1, event)
        case "response.refusal.delta": grow("content", "refusal", index, event["content_index"] as? Int ?? -1, event)
        case "response.reasoning_summary_text.delta": grow("summary", "text", index, event["summary_index"] as? Int ?? -1, event)
        case "response.function_call_arguments.delta": extend("arguments", index, event)
        case "response.custom_tool_call_input.delta": extend("input", index, event)
        case "response.output_text.done": compare("content", "text", index, event["content_index"] as? Int ?? -1, event["text"])
        case "response.refusal.done": compare("content", "refusal", index, event["content_index"] as? Int ?? -1, event["refusal"])
        case "response.reasoning_summary_text.done": compare("summary", "text", index, event["summary_index"] as? Int ?? -1, event["text"])
        case "response.function_call_arguments.done":
            if event["arguments"] as? String != items[index]?["arguments"] as? String { complaints.append("arguments differ from their deltas") }
        case "response.custom_tool_call_input.done":
            if event["input"] as? String != items[index]?["input"] as? String { complaints.append("input differs from its deltas") }
        case "response.output_text.annotation.added":
            var content = items[index]?["content"] as? [[String: Any]] ?? []
            let place = event["content_index"] as? Int ?? -1
            guard content.indices.contains(place) else { complaints.append("annotation without a piece"); return }
            content[place]["annotations"] = (content[place]["annotations"] as? [Any] ?? []) + [event["annotation"] ?? NSNull()]
            items[index]?["content"] = content
        case "response.completed", "response.incomplete", "response.failed":
            response = event["response"] as? [String: Any] ?? [:]
            if response["id"] as? String != created?["id"] as? String { complaints.append("the response's id changes") }
            if done.count != items.count { complaints.append("the response ends with items open") }
            let said = done.sorted { $0.key < $1.key }.map(\.value)
            complaints += differences(said, output, ignoring: ["encrypted_content": "OpenAI encrypts anew for each event"]).map { "the last response differs: \($0)" }
        case "error": error = event
        case "response.content_part.done", "response.reasoning_summary_part.done": break
        default: complaints.append("unknown event \(name)")
        }
    }

    private mutating func add(_ part: Any?, _ list: String, _ index: Int, _ place: Int) {
        var content = items[index]?[list] as? [[String: Any]] ?? []
        if items[index] == nil || done[index] != nil { complaints.append("a piece of an item that is not open") }
        if place != content.count { complaints.append("piece \(place) after \(content.count) pieces") }
        content.append(part as? [String: Any] ?? [:])
        items[index]?[list] = content
    }

    private mutating func grow(_ list: String, _ key: String, _ index: Int, _ place: Int, _ event: [String: Any]) {
        var content = items[index]?[list] as? [[String: Any]] ?? []
        guard content.indices.contains(place), done[index] == nil else { complaints.append("a delta without a piece"); return }
        if event["item_id"] as? String != items[index]?["id"] as? String { complaints.append("item_id is another item's") }
        content[place][key] = (content[place][key] as? String ?? "") + (event["delta"] as? String ?? "")
        items[index]?[list] = content
    }

    private mutating func extend(_ key: String, _ index: Int, _ event: [String: Any]) {
        let before = items[index]?[key] as? String ?? ""
        if items[index] == nil || done[index] != nil { complaints.append("a delta of \(key) for an item that is not open") }
        items[index]?[key] = before + (event["delta"] as? String ?? "")
    }

    private mutating func compare(_ list: String, _ key: String, _ index: Int, _ place: Int, _ whole: Any?) {
        let content = items[index]?[list] as? [[String: Any]] ?? []
        guard content.indices.contains(place), content[place][key] as? String == whole as? String else { complaints.append("\(key) differs from its deltas"); return }
    }
}
