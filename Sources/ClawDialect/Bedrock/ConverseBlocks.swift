// Content blocks: objects whose only key says what they are. Reading is the same for requests and answers (answers keep as opaque what requests refuse).
// A kind of block that the neutral model has no word for (`guardContent`, `searchResult`, `citationsContent` of several pieces …) is an opaque part, and
// only Converse gets it back.
import ClawWire

extension ConverseDialect {
    static let blockName: StaticString = "messages[].content[]"

    /// A block that is no `toolResult` and no `cachePoint`.
    static func part(of block: JSONValue, _ arena: ArenaBox) throws(Refusal) -> Part {
        guard block.isObject else { throw Refusal(blockName, "must be an object") }
        var key = JSONValue()
        var value = JSONValue()
        var count = 0
        for member in block.members {
            key = member.key
            value = member.value
            count += 1
        }
        guard count == 1 else { throw Refusal(blockName, "must have exactly one key, which says what the block is") }
        if key.equals("text") {
            guard value.isString else { throw Refusal("messages[].content[].text", "must be a string") }
            return .text(value.text)
        }
        if key.equals("toolUse") {
            var part = Part(.toolCall)
            part.id = try required(value["toolUseId"], "messages[].content[].toolUse.toolUseId")
            part.name = try required(value["name"], "messages[].content[].toolUse.name")
            guard value["input"].isObject else { throw Refusal("messages[].content[].toolUse.input", "must be an object") }
            part.json = value["input"].raw
            return part
        }
        if key.equals("reasoningContent") {
            let text = value["reasoningText"]
            if text.isObject {
                var part = Part(.thinking)
                part.text = try required(text["text"], "messages[].content[].reasoningContent.reasoningText.text")
                part.signature = try optional(text["signature"], "messages[].content[].reasoningContent.reasoningText.signature")
                part.signatureOf = .converse
                return part
            }
            if value["redactedContent"].isString {
                var part = Part(.redactedThinking)
                part.data = value["redactedContent"].text
                part.signatureOf = .converse
                return part
            }
            return opaque(block)
        }
        if key.equals("image") { return try media(.image, value, block, arena) }
        if key.equals("document") { return try media(.document, value, block, arena) }
        if key.equals("video") { return try media(.video, value, block, arena) }
        if key.equals("audio") { return try media(.audio, value, block, arena) }
        if key.equals("citationsContent"), value["content"].count == 1, value["content"].first["text"].isString, value["citations"].isArray {
            var part = Part.text(value["content"].first["text"].text)
            part.citations = value["citations"].raw
            return part
        }
        return opaque(block)
    }

    static func opaque(_ block: JSONValue) -> Part {
        var part = Part(.opaque)
        part.json = block.raw
        return part
    }

    private static func media(_ kind: Part.Kind, _ value: JSONValue, _ block: JSONValue, _ arena: ArenaBox) throws(Refusal) -> Part {
        guard value.isObject else { throw Refusal(blockName, "must be an object under its key") }
        let source = value["source"]
        guard source.isObject || kind == .document else { throw Refusal("messages[].content[].*.source", "must be an object") }
        var part = Part(kind)
        if kind == .document { part.name = try required(value["name"], "messages[].content[].document.name") }
        // A format of tomorrow goes through as it is.
        let format = try optional(value["format"], "messages[].content[].*.format")
        guard let type = BedrockFormat.mediaType(of: format, kind) else { return opaque(block) }
        part.mediaType = JSONBytes(type)
        guard source.count == 1 else { return opaque(block) }
        let bytes = source["bytes"]
        let place = source["s3Location"]
        if bytes.isString {
            part.source = .base64
            part.data = bytes.text
        } else if place["uri"].isString, place.count == 1 {
            part.source = .url
            part.data = place["uri"].text
        } else if source["text"].isString, kind == .document {
            part.source = .text
            part.data = source["text"].text
        } else if bytes.exists {
            throw Refusal("messages[].content[].*.source.bytes", "must be a string in base64")
        } else {
            return opaque(block)
        }
        return part
    }

    /// Members inside a block that its part does not hold.
    static func isExtra(_ key: JSONValue, of kind: Part.Kind) -> Bool {
        switch kind {
        case .toolCall: !(key.equals("toolUseId") || key.equals("name") || key.equals("input"))
        case .image, .video, .audio: !(key.equals("format") || key.equals("source"))
        case .document: !(key.equals("format") || key.equals("source") || key.equals("name"))
        case .toolResult: !(key.equals("toolUseId") || key.equals("content") || key.equals("status"))
        default: false
        }
    }

    static func required(_ value: JSONValue, _ name: StaticString) throws(Refusal) -> JSONBytes {
        guard value.isString else { throw Refusal(name, value.isPresent ? "must be a string" : "is required") }
        return value.text
    }

    static func optional(_ value: JSONValue, _ name: StaticString) throws(Refusal) -> JSONBytes {
        guard value.isPresent else { return JSONBytes() }
        guard value.isString else { throw Refusal(name, "must be a string") }
        return value.text
    }

    /// Only white space, in characters or in escapes: refused by Bedrock as text.
    static func isBlank(_ text: JSONBytes) -> Bool {
        var at = 0
        while at < text.count {
            switch text[at] {
            case 0x20: at += 1
            case 0x5C where at + 1 < text.count && [0x6E, 0x72, 0x74].contains(text[at + 1]): at += 2
            default: return false
            }
        }
        return true
    }

    // MARK: writing

    static func writeText(_ text: JSONBytes, into out: inout JSONWriter) {
        out.beginObject()
        out.member("text", text)
        out.endObject()
    }

    static func writeThinking(_ text: JSONBytes, signature: JSONBytes, into out: inout JSONWriter) {
        out.beginObject()
        out.key("reasoningContent")
        out.beginObject()
        out.key("reasoningText")
        out.beginObject()
        out.member("text", text)
        if !signature.isEmpty { out.member("signature", signature) }
        out.endObject()
        out.endObject()
        out.endObject()
    }

    /// `data`: base64 of whatever the provider made, which is often base64 in its turn.
    static func writeRedacted(_ data: JSONBytes, into out: inout JSONWriter) {
        out.beginObject()
        out.key("reasoningContent")
        out.beginObject()
        out.member("redactedContent", data)
        out.endObject()
        out.endObject()
    }

    static func writeCitations(_ text: JSONBytes, _ citations: JSONBytes, into out: inout JSONWriter) {
        out.beginObject()
        out.key("citationsContent")
        out.beginObject()
        out.key("content")
        out.beginArray()
        writeText(text, into: &out)
        out.endArray()
        out.member("citations", raw: citations)
        out.endObject()
        out.endObject()
    }

    /// Members of an image, a document, a video or a sound, without the braces around them.
    static func writeMedia(_ part: Part, format: StaticString, into out: inout JSONWriter) {
        out.member("format", format)
        out.key("source")
        out.beginObject()
        switch part.source {
        case .url:
            out.key("s3Location")
            out.beginObject()
            out.member("uri", part.data)
            out.endObject()
        case .text: out.member("text", part.data)
        case .base64, .fileID, .none: out.member("bytes", part.data)
        }
        out.endObject()
    }

    static func mediaKey(_ kind: Part.Kind) -> StaticString {
        switch kind {
        case .document: "document"
        case .video: "video"
        case .audio: "audio"
        default: "image"
        }
    }
}
