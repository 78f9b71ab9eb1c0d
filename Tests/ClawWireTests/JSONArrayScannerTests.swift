// A JSON array in pieces: the same elements however it is cut, and nothing that isn't one.
import ClawWire
import Testing

struct JSONArrayScannerTests {
    /// Elements, whether the end was told, and the refusal if any, of a text fed in pieces of `size`.
    private func scan(_ text: String, pieces size: Int, max: Int = 8 << 20) -> (elements: [String], ends: Int, refusal: String?) {
        var scanner = ArrayScanner(elementBytesMax: max)
        let bytes = Array(text.utf8)
        var elements: [String] = []
        var ends = 0
        var at = 0
        while at < bytes.count {
            // A copy of its own for each feed, so that data left pointing into an earlier feed would show.
            let piece = Array(bytes[at..<min(bytes.count, at + size)])
            at += piece.count
            let refusal: String? = piece.withUnsafeBytes { raw in
                var from = 0
                while true {
                    switch scanner.next(raw, from: from) {
                    case .needMore: return nil
                    case .element(let data, let end):
                        elements.append(String(decoding: data, as: UTF8.self))
                        from = end
                    case .end(let end):
                        ends += 1
                        from = end
                    case .refused(let reason): return "\(reason)"
                    }
                }
            }
            if let refusal { return (elements, ends, refusal) }
        }
        return (elements, ends, nil)
    }

    static let good: [(String, [String])] = [
        ("[]", []), (" [ \n] \n", []), ("[{}]", ["{}"]), ("[{\"a\":1}\n,\r\n{\"b\":2}\n]", ["{\"a\":1}", "{\"b\":2}"]),
        ("[{\"a\":[1,{\"b\":[]}]} , {}]", ["{\"a\":[1,{\"b\":[]}]}", "{}"]),
        ("[{\"a\":\"}]{[,\"},{\"\\\"}\":\"\\\\\"}]", ["{\"a\":\"}]{[,\"}", "{\"\\\"}\":\"\\\\\"}"]),
        ("[{\"a\":\"\\\\\\\"}\"},{\"long\":\"0123456789abcdef\\u0022}]é\"}]", ["{\"a\":\"\\\\\\\"}\"}", "{\"long\":\"0123456789abcdef\\u0022}]é\"}"]),
    ]

    @Test(arguments: good) func elementsAreTheSameHoweverTheArrayIsCut(_ text: String, _ wanted: [String]) {
        for size in 1...max(1, text.utf8.count) {
            let (elements, ends, refusal) = scan(text, pieces: size)
            #expect(elements == wanted)
            #expect(ends == 1)
            #expect(refusal == nil)
        }
    }

    @Test func singleObjectIsTheOnlyElement() {
        for size in 1...30 {
            let (elements, _, refusal) = scan(" {\"error\":{\"code\":1}} ", pieces: size)
            #expect(elements == ["{\"error\":{\"code\":1}}"])
            #expect(refusal == nil)
        }
    }

    @Test func elementIsToldBeforeTheArrayEnds() {
        let (elements, ends, refusal) = scan("[{\"a\":1}", pieces: 100)
        #expect(elements == ["{\"a\":1}"])
        #expect(ends == 0)
        #expect(refusal == nil)
    }

    static let bad: [(String, Int)] = [
        ("x", 0), ("\"a\"", 0), ("[1]", 0), ("[[]]", 0), ("[null]", 0), ("[,{}]", 0), ("[{},]", 1), ("[{},,{}]", 1), ("[{} {}]", 1), ("[{}]{}", 1),
        ("[{}}]", 1), ("{}{}", 1), ("]", 0),
    ]

    @Test(arguments: bad) func whatIsNoArrayOfObjectsIsRefused(_ text: String, _ before: Int) {
        for size in 1...text.utf8.count {
            let (elements, _, refusal) = scan(text, pieces: size)
            #expect(elements.count == before)
            #expect(refusal != nil)
        }
    }

    @Test func refusalStays() {
        var scanner = ArrayScanner()
        let bytes = Array("[1,{}]".utf8)
        bytes.withUnsafeBytes { raw in
            for _ in 0..<3 {
                guard case .refused = scanner.next(raw, from: 0) else {
                    Issue.record("it went on")
                    return
                }
            }
        }
    }

    @Test func elementLargerThanTheLimitIsRefusedHoweverItIsCut() {
        let large = "{\"a\":\"" + String(repeating: "x", count: 100) + "\"}"
        for size in [1, 7, 50, 1000] {
            #expect(scan("[\(large)]", pieces: size, max: large.utf8.count).elements == [large])
            let (elements, _, refusal) = scan("[\(large)]", pieces: size, max: large.utf8.count - 1)
            #expect(elements.isEmpty)
            #expect(refusal == "an element of the array is too large")
        }
    }

    @Test func memoryIsBoundedAndGivenBack() {
        var scanner = ArrayScanner(elementBytesMax: 1 << 20)
        let start = Array(("[{\"a\":\"" + String(repeating: "x", count: 300_000)).utf8)
        let rest = Array("\"},".utf8)
        start.withUnsafeBytes { raw in _ = scanner.next(raw, from: 0) }
        let (held, isBetween) = (scanner.heldBytes, scanner.isBetweenElements)
        #expect(held >= 300_000 && held <= 1 << 20)
        #expect(!isBetween)
        rest.withUnsafeBytes { raw in
            guard case .element(let data, let end) = scanner.next(raw, from: 0) else {
                Issue.record("no element")
                return
            }
            #expect(data.count == start.count + 1)
            _ = scanner.next(raw, from: end)
        }
        let (heldThen, isBetweenThen) = (scanner.heldBytes, scanner.isBetweenElements)
        #expect(heldThen == 0)
        #expect(isBetweenThen)
    }

    @Test func randomBytesNeverTrap() {
        var state: UInt64 = 7
        let alphabet = Array("[]{},:\"\\ \n1a".utf8)
        for _ in 0..<2000 {
            var bytes: [UInt8] = []
            for _ in 0..<24 {
                state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
                bytes.append(alphabet[Int(state >> 33) % alphabet.count])
            }
            let text = "[{" + String(decoding: bytes, as: UTF8.self)
            let whole = scan(text, pieces: 1000)
            for size in [1, 3] {
                let cut = scan(text, pieces: size)
                #expect(cut.elements == whole.elements && cut.ends == whole.ends && cut.refusal == whole.refusal)
            }
        }
    }
}
