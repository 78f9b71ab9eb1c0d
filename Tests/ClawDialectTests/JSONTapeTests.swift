import ClawDialect
import ClawWire
import Foundation
import Testing

struct JSONTapeTests {
    private func with<R>(_ text: String, _ body: (JSONValue) throws -> R) rethrows -> R? {
        let held = Held(Array(text.utf8))
        var tape = JSONTape()
        guard tape.read(held.bytes) == nil else { return nil }
        return try body(tape.root)
    }

    @Test func valuesAreFoundByKeyAndOrder() throws {
        let found = with(#" { "a" : [1, {"b":"x\n\"y"}, null], "c\u0064":true, "n":9007199254740993, "e":{} , "z":[]} "#) { root in
            #expect(root.isObject && root.count == 5)
            #expect(root["a"].elements.map { $0.raw.string } == ["1", #"{"b":"x\n\"y"}"#, "null"])
            #expect(root["cd"].bool == true && root["n"].int == 9_007_199_254_740_993)
            #expect(root["a"].first.int == 1 && !root["nothing"].exists && !root["nothing"]["deeper"].exists)
            #expect(root["e"].count == 0 && root["z"].count == 0)
            var inner = root["a"].elements
            _ = inner.next()
            #expect(inner.next()?["b"].text.string == #"x\n\"y"#)
            return true
        }
        #expect(found == true)
    }

    @Test func theLastOfTwoEqualKeysCounts() {
        _ = with(#"{"a":1,"a":2}"#) { #expect($0["a"].int == 2 && $0.duplicateKey?.string == "a") }
    }

    @Test(arguments: ["", "{", "[1,]", "\"\u{1}\"", "{\"a\" 1}", "[1] 2", "nul", "\"\\u12\""])
    func whatIsNoJSONIsRefused(text: String) {
        let held = Held(Array(text.utf8))
        var tape = JSONTape()
        #expect(tape.read(held.bytes) != nil && !tape.root.exists)
    }

    @Test func nestingAndNumberOfValuesAreBounded() {
        var tape = JSONTape()
        let deep = Held(Array((String(repeating: "[", count: 129) + String(repeating: "]", count: 129)).utf8))
        #expect(tape.read(deep.bytes) != nil)
        let many = Held(Array(("[" + String(repeating: "1,", count: JSONTape.nodesMax) + "1]").utf8))
        #expect(tape.read(many.bytes) == .tooManyValues)
    }

    @Test func everyTextOfTheSuiteIsReadAsFoundationReadsIt() throws {
        let texts = [#"{"a":{"b":[true,false,null,{"c":[]}]},"d":"\\\"","e":-1.5e10}"#, "[[],{},[[]]]", "\"x\"", " 3 "]
        for text in texts {
            let again = with(text) { root -> String in
                var out = JSONWriter()
                func copy(_ value: JSONValue) {
                    switch value.kind {
                    case .object:
                        out.beginObject()
                        for member in value.members { out.key(member.key.text); copy(member.value) }
                        out.endObject()
                    case .array:
                        out.beginArray()
                        for element in value.elements { copy(element) }
                        out.endArray()
                    default: out.value(value.raw)
                    }
                }
                copy(root)
                return String(decoding: out.bytes, as: UTF8.self)
            }
            #expect(differences(try parsed(text), try parsed(again ?? "")) == [])
        }
    }

    @Test func aWriterStopsAtItsLimit() {
        var out = JSONWriter(limit: 64)
        for _ in 0..<100 { out.string("abcdefgh") }
        #expect(out.isOverflown && out.bytes.count <= 64)
    }

    @Test func idsAreStableAndOfTheirForm() {
        var arena = JSONArena()
        #expect(Identifiers.nine(JSONBytes("call_abcdefghijkl"), &arena).count == 9)
        #expect(Identifiers.nine(JSONBytes("aB3aB3aB3"), &arena).string == "aB3aB3aB3")
        #expect(Identifiers.safe(JSONBytes("call:1/2"), &arena).string.hasPrefix("call_1_2_"))
        #expect(Identifiers.make("chatcmpl-", seed: (1, 2), &arena).count == 33)
        #expect(DataURL.parse(JSONBytes("data:image/png;base64,AAAA"))?.mediaType.string == "image/png")
        #expect(DataURL.parse(JSONBytes("https://x/y")) == nil)
    }
}
