import ClawPolicy
import Testing

@Suite struct PromptKeywordTests {
    private func found(_ keywords: [String], in pieces: [[UInt8]]) -> Set<Int> {
        guard let matcher = KeywordMatcher(keywords.map { Array($0.utf8) }) else {
            Issue.record("refused")
            return []
        }
        var words = [UInt64](repeating: 0, count: max(1, matcher.foundWords))
        var reading = KeywordMatcher.Reading()
        words.withUnsafeMutableBufferPointer { words in
            guard let base = words.baseAddress else { return }
            for piece in pieces { piece.withUnsafeBytes { reading.read($0, matcher, found: base) } }
        }
        return Set((0..<keywords.count).filter { words[$0 / 64] >> UInt64($0 % 64) & 1 == 1 })
    }
    private func found(_ keywords: [String], _ text: String) -> Set<Int> { found(keywords, in: [Array(text.utf8)]) }

    @Test func keywordsAreFoundInsideWordsAndInEitherCase() {
        #expect(found(["invoice", "billing", "voice", "INVOICES"], "Two Invoices, please") == [0, 2, 3])
        #expect(found(["he", "she", "his", "hers"], "ushers") == [0, 1, 3])
        #expect(found([], "x") == [])
        #expect(found(["", "a"], "a") == [1])
        #expect(found(["dup", "DUP", "up"], "xdup") == [0, 1, 2])
    }

    @Test func lettersOfEqualLengthAreFolded() {
        #expect(found(["CRÈME BRÛLÉE", "straße", "×"], "crème brûlée in der STRAßE ÷") == [0, 1])
        #expect(found(["ΤΙΜΟΛΌΓΙΟ", "ώρα"], "τιμολόγιο ΏΡΑ") == [0, 1])
        #expect(found(["СЧЁТ", "рахунок", "їжак"], "счёт РАХУНОК ЇЖАК") == [0, 1, 2])
        #expect(found(["계산서", "請求書", "😀"], "세금계산서 / 請求書 😀") == [0, 1, 2])
        // Not folded: their lower case is written elsewhere or is longer.
        #expect(found(["ŁÓDŹ"], "łódź") == [])
        // No letter is taken for its neighbour.
        #expect(found(["п", "я", "à"], "Q Я À") == [1, 2])
    }

    @Test func piecesMakeNoDifference() {
        let text = Array("ein GRÜßENDES Wort, СЧЁТ, ΤΙΜΟΛΌΓΙΟ, 계산서".utf8)
        let keywords = ["grüßendes", "счёт", "τιμολόγιο", "계산서", "wort, с"]
        for cut in 0...text.count {
            for other in [cut, min(text.count, cut + 1), min(text.count, cut + 3)] {
                #expect(found(keywords, in: [Array(text[0..<cut]), Array(text[cut..<other]), Array(text[other...])]) == [0, 1, 2, 3, 4])
            }
        }
    }

    @Test func thousandsAgreeWithAPlainSearch() {
        var random = Seeded(11)
        func word(_ length: Int) -> String { String((0..<length).map { _ in ["a", "b", "c", "é", "д"][Int(random.next() % 5)] }.joined()) }
        let keywords = (0..<3000).map { _ in word(Int(random.next() % 7) + 2) }
        for _ in 0..<20 {
            let text = word(300)
            let bytes = Array(text.utf8)
            let expected = Set(keywords.indices.filter { at in
                let wanted = Array(keywords[at].utf8)
                return (0...bytes.count - wanted.count).contains { bytes[$0] == wanted[0] && Array(bytes[$0..<$0 + wanted.count]) == wanted }
            })
            #expect(found(keywords, text) == expected)
        }
    }

    @Test func whatIsTooMuchIsRefused() {
        #expect(KeywordMatcher([[UInt8]](repeating: [1], count: KeywordMatcher.keywordsMax + 1)) == nil)
        #expect(KeywordMatcher([[UInt8](repeating: 1, count: KeywordMatcher.bytesMax + 1)]) == nil)
        #expect(KeywordMatcher([[UInt8](repeating: 1, count: KeywordMatcher.bytesMax)]) != nil)
    }

    @Test func textsDoNotRunIntoEachOther() {
        guard let matcher = KeywordMatcher([Array("invoice".utf8)]) else { return }
        for (json, expected) in [(#"{"prompt":["in","voice"]}"#, 0), (#"{"prompt":"in\u0076oice"}"#, 1), (#"{"model":"invoice","prompt":"x"}"#, 0)] as [(String, UInt64)] {
            var found: UInt64 = 0
            withUnsafeMutablePointer(to: &found) { found in
                var reading = PromptReading(.keywords, matcher: matcher, found: found)
                Array(json.utf8).withUnsafeBytes { _ = reading.read($0) }
            }
            #expect(found == expected)
        }
    }
}
