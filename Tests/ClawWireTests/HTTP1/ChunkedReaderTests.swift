import Testing
@testable import ClawWire

struct ChunkedReaderTests {
    /// Body, trailers and how it ended, the same whole and byte by byte.
    private func read(_ text: String, extensionBytesMax: Int = 4096, trailerBytesMax: Int = 16384) -> String {
        let bytes = Array(text.utf8)
        let whole = read([bytes], extensionBytesMax, trailerBytesMax)
        #expect(read(bytes.map { [$0] }, extensionBytesMax, trailerBytesMax) == whole, "byte by byte: \(text)")
        for cut in bytes.indices {
            #expect(read([Array(bytes[..<cut]), Array(bytes[cut...])], extensionBytesMax, trailerBytesMax) == whole, "cut at \(cut): \(text)")
        }
        return whole
    }

    private func read(_ pieces: [[UInt8]], _ extensionBytesMax: Int, _ trailerBytesMax: Int) -> String {
        var reader = ChunkedReader(extensionBytesMax: extensionBytesMax, trailerBytesMax: trailerBytesMax, keepTrailers: true)
        var body: [UInt8] = []
        var start = 0
        for piece in pieces {
            var offset = 0
            piece: while true {
                switch piece.withUnsafeBytes({ reader.next($0, from: offset) }) {
                case .needMore: break piece
                case .data(let range): body += piece[range]; offset = range.upperBound
                case .end(let end):
                    #expect(reader.isDone && reader.bodyBytes == UInt64(body.count))
                    return "\(String(decoding: body, as: UTF8.self))|\(String(decoding: reader.trailers, as: UTF8.self))|\(start + end)"
                case .refused(let refusal): return "\(refusal.status) \(refusal.reason) at \(start + refusal.offset)"
                }
            }
            start += piece.count
        }
        return "more"
    }

    @Test func rightBodiesAreDecoded() {
        #expect(read("5\r\nhello\r\n0\r\n\r\nrest") == "hello||15")
        #expect(read("A\r\n0123456789\r\na\r\n0123456789\r\n000\r\n\r\n") == "01234567890123456789||37")
        #expect(read("0\r\nVary: *\r\nX-Y:\r\n\r\n") == "|Vary: *\r\nX-Y:\r\n|20")
        #expect(read("1 ; a = b ;c=\"d\\\" ;\te\";f\r\nx\r\n0\r\n\r\n") == "x||34")
        #expect(read("0000000000000001\r\nx\r\n0\r\n\r\n") == "x||26")
    }

    @Test(arguments: [
        ("\r\n", "400 chunk_size at 0"), ("0x1\r\n", "400 chunk_size_end at 1"), ("+1\r\n", "400 chunk_size at 0"), ("-1\r\n", "400 chunk_size at 0"), ("1_0\r\n", "400 chunk_size_end at 1"),
        (" 1\r\n", "400 chunk_size at 0"), ("00000000000000001\r\n", "400 chunk_size_overflow at 16"), ("8000000000000000\r\n", "400 chunk_size_overflow at 15"),
        ("FFFFFFFFFFFFFFFFF\r\n", "400 chunk_size_overflow at 15"), ("1 \r\n", "400 chunk_size_end at 2"), ("1\n", "400 bare_lf at 1"), ("1\rx", "400 bare_cr at 2"), ("g\r\n", "400 chunk_size at 0"),
    ])
    func H1_09_oddChunkSizesAreRefused(_ text: String, _ outcome: String) {
        #expect(read(text) == outcome)
    }

    @Test func H1_09_theLargestSizeIsReadWithoutATrap() {
        #expect(read("7FFFFFFFFFFFFFFF\r\nabc") == "more")
    }

    @Test func theReaderStandsBetweenChunksBehindEachOfThem() {
        let text = Array("1;a=b\r\nx\r\n02\r\nyz\r\n0\r\n\r\n".utf8)
        var reader = ChunkedReader()
        var starts: [Int] = []
        for (at, byte) in text.enumerated() {
            if reader.isBetweenChunks { starts.append(at) }
            _ = withUnsafeBytes(of: byte) { reader.next($0, from: 0) }
        }
        #expect(starts == [0, 10, 18])
        #expect(!reader.isBetweenChunks)
    }

    @Test func H1_10_chunkDataMustEndWithItsLine() {
        #expect(read("1\r\nxx") == "400 chunk_data_end at 4")
        #expect(read("1\r\nx\n") == "400 bare_lf at 4")
        #expect(read("1\r\nx\rX") == "400 bare_cr at 5")
        #expect(read("1\r\nx\r\nXX") == "400 chunk_size at 6")
    }

    @Test func H1_11_extensionsAreCheckedAndBounded() {
        #expect(read("1;\r\n") == "400 chunk_extension at 2")
        #expect(read("1;a\n") == "400 bare_lf at 3")
        #expect(read("1;a\rb") == "400 bare_cr at 4")
        #expect(read("1;a\u{0}\r\n") == "400 chunk_extension at 3")
        #expect(read("1;a=\"b\r\n") == "400 chunk_extension at 6")
        #expect(read("1;a=\r\n") == "400 chunk_extension at 4")
        #expect(read("1;a \r\n") == "400 chunk_extension at 4")
        #expect(read("1;a b\r\n") == "400 chunk_extension at 4")
        #expect(read("1;a=b c\r\n") == "400 chunk_size_end at 6")
        #expect(read("1;a=\"b\"c\r\n") == "400 chunk_extension at 7")
        #expect(read("1;abc\r\nx\r\n0;abc\r\n\r\n", extensionBytesMax: 8) == "x||19")
        #expect(read("1;abc\r\nx\r\n0;abc\r\n\r\n", extensionBytesMax: 7) == "400 chunk_extensions_too_large at 14")
        #expect(read("1;" + String(repeating: "a", count: 5000)) == "400 chunk_extensions_too_large at 4097")
    }

    @Test func H1_12_aBodyThatStopsIsNotWhole() {
        for text in ["", "5", "5\r\nhel", "5\r\nhello", "5\r\nhello\r\n", "5\r\nhello\r\n0", "5\r\nhello\r\n0\r\n", "5\r\nhello\r\n0\r\n\r", "0\r\nA: b\r\n"] {
            #expect(read(text) == "more", "\(text)")
        }
    }

    @Test func H1_13_trailersAreCheckedAndBounded() {
        #expect(read("0\r\nA: b\r\n c\r\n\r\n") == "400 folded_line at 9")
        #expect(read("0\r\nA b\r\n\r\n") == "400 space_before_colon at 4")
        #expect(read("0\r\n: b\r\n\r\n") == "400 field_name_empty at 3")
        #expect(read("0\r\nAb\r\n\r\n") == "400 field_without_colon at 5")
        #expect(read("0\r\nA: \u{1}\r\n\r\n") == "400 control_byte at 6")
        #expect(read("0\r\nA: b\n\r\n") == "400 bare_lf at 7")
        #expect(read("0\r\nA: b\r\n\rx") == "400 bare_cr at 10")
        #expect(read("0\r\nA: b\r\n\r\n", trailerBytesMax: 6) == "|A: b\r\n|11")
        #expect(read("0\r\nA: b\r\n\r\n", trailerBytesMax: 5) == "431 trailers_too_large at 8")
    }
}
