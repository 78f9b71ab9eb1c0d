// Reads tools and the choice among them, in their new and old forms. A tool's whole definition is kept too (`opaque`), so that its own dialect gets it as it
// was, with whatever members a provider has added.
import ClawWire

extension ChatDialect {
    static func readTools(_ value: JSONValue, into conversation: Conversation) throws(Refusal) {
        guard value.isArray else { throw Refusal("tools", "must be an array") }
        for item in value.elements {
            let at = conversation.tools.count
            guard at < Conversation.countMax else { throw Refusal("tools", "there are more than 100000 of them") }
            guard item.isObject else { throw Refusal(place(conversation.arena, "tools", at), "must be an object") }
            var tool = Tool()
            tool.opaque = item.raw
            let type = item["type"]
            if type.equals("function") || (!type.isPresent && item["function"].isObject) {
                try readFunction(item["function"], at, into: &tool, conversation)
                for member in item.members where !member.key.equals("type") && !member.key.equals("function") {
                    if member.key.equals("cache_control") { tool.cache = cacheMark(member.value) } else { conversation.extra(.tool, at, member) }
                }
            } else if type.equals("custom") {
                tool.kind = .custom
                let inner = item["custom"]
                guard inner.isObject, inner["name"].isString, !inner["name"].text.isEmpty else {
                    throw Refusal(place(conversation.arena, "tools", at, ".custom.name"), "must be a string that is not empty")
                }
                tool.name = inner["name"].text
                tool.description = inner["description"].text
            } else if type.isString, !type.text.isEmpty {
                tool.kind = .hosted
                tool.name = item["name"].text
            } else {
                throw Refusal(place(conversation.arena, "tools", at, ".type"), "must be a string: function or custom")
            }
            conversation.tools.append(tool)
        }
    }

    /// The inside of a function tool; also what stands in `functions`.
    private static func readFunction(_ inner: JSONValue, _ at: Int, into tool: inout Tool, _ conversation: Conversation) throws(Refusal) {
        guard inner.isObject else { throw Refusal(place(conversation.arena, "tools", at, ".function"), "must be an object") }
        for member in inner.members {
            let value = member.value
            if member.key.equals("name") {
                guard value.isString else { throw Refusal(place(conversation.arena, "tools", at, ".function.name"), "must be a string") }
                tool.name = value.text
            } else if !value.isPresent {
                continue
            } else if member.key.equals("description") {
                guard value.isString else { throw Refusal(place(conversation.arena, "tools", at, ".function.description"), "must be a string") }
                tool.description = value.text
            } else if member.key.equals("parameters") {
                guard value.isObject else { throw Refusal(place(conversation.arena, "tools", at, ".function.parameters"), "must be a JSON Schema, an object") }
                tool.schema = value.raw
            } else if member.key.equals("strict") {
                guard let flag = value.bool else { throw Refusal(place(conversation.arena, "tools", at, ".function.strict"), "must be true or false") }
                tool.strict = flag
            } else if member.key.equals("cache_control") {
                tool.cache = cacheMark(value)
            } else {
                conversation.extra(.tool, at, member)
            }
        }
        if tool.name.isEmpty { throw Refusal(place(conversation.arena, "tools", at, ".function.name"), "must be a string that is not empty") }
    }

    /// The old `functions`: the same without a wrapper.
    static func readFunctions(_ value: JSONValue, into conversation: Conversation) throws(Refusal) {
        guard value.isArray else { throw Refusal("functions", "must be an array") }
        for item in value.elements {
            guard conversation.tools.count < Conversation.countMax else { throw Refusal("functions", "there are more than 100000 of them") }
            var tool = Tool()
            do throws(Refusal) {
                try readFunction(item, conversation.tools.count, into: &tool, conversation)
            } catch {
                throw Refusal("functions", error.reason)
            }
            conversation.tools.append(tool)
        }
    }

    static func readToolChoice(_ member: (key: JSONValue, value: JSONValue), into conversation: Conversation) throws(Refusal) {
        let value = member.value
        if value.isString {
            if value.equals("auto") {
                conversation.toolChoice = .auto
            } else if value.equals("none") {
                conversation.toolChoice = .none
            } else if value.equals("required") || value.equals("any") {
                conversation.toolChoice = .required
            } else {
                throw Refusal("tool_choice", "must be none, auto, required or an object that names a tool")
            }
            form(member, conversation)
            return
        }
        let type = try object(value, "tool_choice")["type"]
        if type.equals("allowed_tools") {
            // Which of the tools: no other dialect has that, so they refuse it (or offer all, where that was allowed).
            let inner = value["allowed_tools"]
            guard inner["mode"].equals("auto") || inner["mode"].equals("required"), inner["tools"].isArray else {
                throw Refusal("tool_choice.allowed_tools", "must have a mode, auto or required, and tools")
            }
            conversation.toolChoice = inner["mode"].equals("required") ? .required : .auto
            conversation.extra(.root, 0, member)
            return
        }
        let name = (type.equals("custom") ? value["custom"] : value["function"])["name"]
        guard type.equals("function") || type.equals("custom") || !type.isPresent, name.isString, !name.text.isEmpty else {
            throw Refusal("tool_choice", "must be none, auto, required or an object that names a tool")
        }
        conversation.toolChoice = .tool(name.text)
        form(member, conversation)
    }

    static func readFunctionCall(_ value: JSONValue, into conversation: Conversation) throws(Refusal) {
        if value.equals("auto") {
            conversation.toolChoice = .auto
        } else if value.equals("none") {
            conversation.toolChoice = .none
        } else if value["name"].isString, !value["name"].text.isEmpty {
            conversation.toolChoice = .tool(value["name"].text)
        } else {
            throw Refusal("function_call", "must be none, auto or an object with a name")
        }
    }
}
