// Gemini's `Schema`, a subset of OpenAPI 3.0 in which types are enum words and null is a flag, as the JSON Schema that everybody else takes. What is JSON
// Schema already comes out as it was.
import ClawWire

enum GeminiSchema {
    static func jsonSchema(_ schema: JSONValue, _ arena: inout JSONArena) -> JSONBytes {
        var out = JSONWriter(limit: 4 << 20)
        write(schema, into: &out)
        return out.isOverflown ? schema.raw : arena.copy(out.written)
    }

    /// Recursion is as deep as the text, which is at most 128.
    private static func write(_ schema: JSONValue, into out: inout JSONWriter) {
        guard schema.isObject else { return out.value(schema.raw) }
        let isNullable = GeminiKey.pick(schema, "nullable").bool ?? false
        out.beginObject()
        for (key, value) in schema.members {
            if key.equals("type") {
                writeType(value, isNullable, into: &out)
            } else if key.equals("nullable") || GeminiKey.matches(key, "propertyOrdering") {
                continue
            } else if key.equals("format"), value.equals("enum") {
                continue
            } else if key.equals("enum"), isNullable, value.isArray {
                out.key("enum")
                out.beginArray()
                for element in value.elements { out.value(element.raw) }
                out.null()
                out.endArray()
            } else if key.equals("properties") || key.equals("defs") || key.equals("$defs") {
                out.key(key.equals("properties") ? "properties" : "$defs")
                guard value.isObject else {
                    out.value(value.raw)
                    continue
                }
                out.beginObject()
                for (name, inner) in value.members {
                    out.key(name.text)
                    write(inner, into: &out)
                }
                out.endObject()
            } else if GeminiKey.matches(key, "anyOf") || GeminiKey.matches(key, "oneOf") || GeminiKey.matches(key, "allOf") || GeminiKey.matches(key, "prefixItems") {
                let isAny = GeminiKey.matches(key, "anyOf")
                out.key(isAny ? "anyOf" : GeminiKey.matches(key, "oneOf") ? "oneOf" : GeminiKey.matches(key, "allOf") ? "allOf" : "prefixItems")
                out.beginArray()
                for inner in value.elements { write(inner, into: &out) }
                if isAny, isNullable, !schema["type"].isPresent {
                    out.beginObject()
                    out.member("type", "null")
                    out.endObject()
                }
                out.endArray()
            } else if key.equals("items") || GeminiKey.matches(key, "additionalProperties") {
                out.key(key.equals("items") ? "items" : "additionalProperties")
                write(value, into: &out)
            } else if key.equals("example") {
                out.key("examples")
                out.beginArray()
                out.value(value.raw)
                out.endArray()
            } else if key.equals("ref") {
                out.key("$ref")
                out.value(value.raw)
            } else {
                writeBound(key, value, into: &out)
            }
        }
        out.endObject()
    }

    private static func writeType(_ type: JSONValue, _ isNullable: Bool, into out: inout JSONWriter) {
        let text = type.text
        if GeminiKey.isWord(text, "TYPE_UNSPECIFIED") { return }
        guard type.isString, let word = word(text) else {
            out.key("type")
            return out.value(type.raw)
        }
        out.key("type")
        guard isNullable, !GeminiKey.isWord(text, "NULL") else { return out.string(word) }
        out.beginArray()
        out.string(word)
        out.string("null")
        out.endArray()
    }

    private static func word(_ text: JSONBytes) -> StaticString? {
        if GeminiKey.isWord(text, "OBJECT") { return "object" }
        if GeminiKey.isWord(text, "STRING") { return "string" }
        if GeminiKey.isWord(text, "INTEGER") { return "integer" }
        if GeminiKey.isWord(text, "NUMBER") { return "number" }
        if GeminiKey.isWord(text, "BOOLEAN") { return "boolean" }
        if GeminiKey.isWord(text, "ARRAY") { return "array" }
        if GeminiKey.isWord(text, "NULL") { return "null" }
        return nil
    }

    /// Counts are 64-bit in the proto, and such numbers may be strings in its JSON.
    private static func writeBound(_ key: JSONValue, _ value: JSONValue, into out: inout JSONWriter) {
        let bounds: [StaticString] = ["minItems", "maxItems", "minLength", "maxLength", "minProperties", "maxProperties"]
        for bound in bounds where GeminiKey.matches(key, bound) {
            out.key(bound)
            if value.isString, JSONNumber.parseInt(value.text.raw) != nil { return out.value(value.text) }
            return out.value(value.raw)
        }
        out.key(key.text)
        out.value(value.raw)
    }
}
