@testable import ClawWire
import Foundation
import Testing

/// What a body comes to, comparable.
struct FrameOutcome: Equatable {
    struct Header: Equatable {
        var name: [UInt8]
        var type: FrameValueType
        var value: [UInt8]
    }
    struct Message: Equatable {
        var headers: [Header]
        var kind: Frame.Kind
        var eventType: String
        var contentType: String
        var errorMessage: String
        var payload: [UInt8]
    }
    var messages: [Message] = []
    var ends: [Int] = []
    var refusal: String?
    var isBetween = false

    /// Reads a body in pieces that end at `cuts` and at its end, each an exact-size copy.
    init(_ body: [UInt8], cuts: some Sequence<Int>, frameBytesMax: Int? = nil) {
        var scanner = frameBytesMax.map { FrameScanner(frameBytesMax: $0) } ?? FrameScanner()
        var start = 0
        for cut in Array(cuts) + [body.count] {
            let piece = UnsafeMutableRawBufferPointer.allocate(byteCount: cut - start, alignment: 1)
            defer { piece.deallocate() }
            piece.copyBytes(from: body[start..<cut])
            var from = 0
            feed: while true {
                switch scanner.next(UnsafeRawBufferPointer(piece), from: from) {
                case .needMore: break feed
                case .refused(let reason):
                    refusal = "\(reason)"
                    break feed
                case .frame(let frame, let end):
                    from = end
                    ends.append(start + end)
                    messages.append(Message(
                        headers: frame.headers.map { Header(name: Array($0.name), type: $0.type, value: Array($0.value)) }, kind: frame.kind,
                        eventType: String(decoding: frame.eventType, as: UTF8.self), contentType: String(decoding: frame.contentType, as: UTF8.self),
                        errorMessage: String(decoding: frame.errorMessage, as: UTF8.self), payload: Array(frame.payload)))
                }
            }
            start = cut
        }
        isBetween = scanner.isBetweenFrames
    }
}

@Suite struct FrameScannerTests {
    static func frame(_ type: String = "x", _ payload: [UInt8] = Array("{}".utf8), kind: String = "event", name: StaticString = ":event-type") -> [UInt8] {
        var out = JSONWriter()
        var frame = FrameWriter(&out)
        put(frame, name, type, &out)
        put(frame, ":message-type", kind, &out)
        frame.beginPayload(&out)
        payload.withUnsafeBytes { out.put(JSONBytes($0)) }
        frame.end(&out)
        return Array(out.bytes)
    }

    static func put(_ frame: FrameWriter, _ name: StaticString, _ text: String, _ out: inout JSONWriter) {
        Array(text.utf8).withUnsafeBytes { frame.header(name, JSONBytes($0), into: &out) }
    }

    @Test func crcHasItsCheckValue() {
        let text = Array("123456789".utf8)
        text.withUnsafeBytes { #expect(CRC32.of($0) == 0xCBF4_3926) }
        // The value does not depend on where the bytes are cut, nor on how they lie.
        let long = (0..<300).map { UInt8(truncatingIfNeeded: $0 * 7) }
        long.withUnsafeBytes { whole in
            let value = CRC32.of(whole)
            for cut in 0...300 {
                let first = CRC32.of(UnsafeRawBufferPointer(rebasing: whole[..<cut]))
                #expect(CRC32.of(UnsafeRawBufferPointer(rebasing: whole[cut...]), after: first) == value)
            }
        }
    }

    @Test func kindsTellWhichHeaderNamesThem() {
        let event = FrameOutcome(Self.frame("contentBlockDelta"), cuts: []).messages.first
        #expect(event?.kind == .event && event?.eventType == "contentBlockDelta")
        let exception = FrameOutcome(Self.frame("throttlingException", kind: "exception", name: ":exception-type"), cuts: []).messages.first
        #expect(exception?.kind == .exception && exception?.eventType == "throttlingException")
        let error = FrameOutcome(Self.frame("InternalError", [], kind: "error", name: ":error-code"), cuts: []).messages.first
        #expect(error?.kind == .error && error?.eventType == "InternalError")
        // An exception that says :event-type has no exception type.
        #expect(FrameOutcome(Self.frame("x", kind: "exception"), cuts: []).messages.first?.eventType == "")
        #expect(FrameOutcome(Self.frame("x", kind: "other"), cuts: []).messages.first?.kind == .other)
    }

    @Test func limitOfTheCallerIsKept() {
        let body = Self.frame()
        #expect(FrameOutcome(body, cuts: [], frameBytesMax: body.count).messages.count == 1)
        #expect(FrameOutcome(body, cuts: [], frameBytesMax: body.count - 1).refusal == "length")
        #expect(FrameOutcome(body, cuts: 0...body.count, frameBytesMax: body.count - 1).refusal == "length")
    }

    @Test func moreThan64HeadersAreRefused() {
        func body(_ count: Int) -> [UInt8] {
            var out = JSONWriter()
            var frame = FrameWriter(&out)
            for at in 0..<count {
                Array("h\(at)".utf8).withUnsafeBytes { frame.header(JSONBytes($0), .yes, UnsafeRawBufferPointer(start: nil, count: 0), into: &out) }
            }
            frame.beginPayload(&out)
            frame.end(&out)
            return Array(out.bytes)
        }
        #expect(FrameOutcome(body(64), cuts: []).messages.first?.headers.count == 64)
        #expect(FrameOutcome(body(65), cuts: []).refusal == "header")
    }

    @Test func betweenFramesIsTrueOnlyThere() {
        let body = Self.frame()
        for cut in 0...body.count {
            let part = FrameOutcome(Array(body[..<cut]), cuts: [])
            #expect(part.isBetween == (cut == 0 || cut == body.count), "\(cut)")
        }
        #expect(FrameOutcome(body, cuts: [5]).isBetween)
    }

    @Test func nothingIsReadBehindARefusal() {
        var scanner = FrameScanner()
        let bad = [UInt8](repeating: 0, count: 12)
        let good = Self.frame()
        bad.withUnsafeBytes { if case .refused = scanner.next($0, from: 0) {} else { Issue.record("taken") } }
        good.withUnsafeBytes { if case .refused = scanner.next($0, from: 0) {} else { Issue.record("taken") } }
        #expect(!scanner.isBetweenFrames && scanner.heldBytes == 0)
    }

    @Test func aPromiseOfMuchTakesNoMemory() {
        // 24 MiB announced, a few bytes sent.
        var out = JSONWriter()
        var frame = FrameWriter(&out)
        frame.beginPayload(&out)
        let zeros = [UInt8](repeating: 0, count: 24 << 20)
        zeros.withUnsafeBytes { out.put(JSONBytes($0)) }
        frame.end(&out)
        var scanner = FrameScanner()
        if case .needMore = scanner.next(UnsafeRawBufferPointer(rebasing: out.bytes[..<100]), from: 0) {} else { Issue.record("not cut") }
        #expect(scanner.heldBytes <= 512)
        if case .frame(let whole, _) = scanner.next(UnsafeRawBufferPointer(rebasing: out.bytes[100...]), from: 0) {
            #expect(whole.payload.count == 24 << 20)
        } else {
            Issue.record("refused")
        }
        var nothing = [UInt8]()
        nothing.withUnsafeMutableBytes { _ = scanner.next(UnsafeRawBufferPointer($0), from: 0) }
        #expect(scanner.heldBytes == 0)
    }

    @Test func writerTakesBackAFrameWithoutRoom() {
        var out = JSONWriter(limit: 64)
        out.put("before")
        var frame = FrameWriter.event(JSONBytes("x"), into: &out)
        frame.beginPayload(&out)
        out.put("0123456789012345678901234567890123456789")
        frame.end(&out)
        #expect(out.isOverflown && String(decoding: out.bytes, as: UTF8.self) == "before")
    }

    @Test func writerBeginsEachPayloadWithoutComma() {
        var out = JSONWriter()
        for _ in 0..<2 {
            let frame = FrameWriter.event(JSONBytes("x"), into: &out)
            out.beginObject()
            out.member("a", Int64(1))
            out.endObject()
            frame.end(&out)
        }
        let outcome = FrameOutcome(Array(out.bytes), cuts: [])
        #expect(outcome.messages.map { String(decoding: $0.payload, as: UTF8.self) } == ["{\"a\":1}", "{\"a\":1}"])
        #expect(outcome.messages.allSatisfy { $0.contentType == "application/json" && $0.kind == .event })
    }

    @Test func changedBytesNeverPassAsAnotherFrame() {
        var random = SplitMix(7)
        let body = Self.frame("contentBlockDelta", Array("{\"contentBlockIndex\":0,\"delta\":{\"text\":\"Hi\"}}".utf8)) + Self.frame()
        let good = FrameOutcome(body, cuts: []).messages
        for _ in 0..<2000 {
            var changed = body
            for _ in 0...Int.random(in: 0...3, using: &random) { changed[Int.random(in: 0..<changed.count, using: &random)] ^= 1 << UInt8.random(in: 0...7, using: &random) }
            if Bool.random(using: &random) { changed.removeLast(Int.random(in: 0...20, using: &random)) }
            let outcome = FrameOutcome(changed, cuts: [Int.random(in: 0...changed.count, using: &random)])
            for (one, other) in zip(outcome.messages, good) { #expect(one == other) }
        }
    }
}

@Suite(.enabled(if: WireSuites.isPresent, WireSuites.absence))
struct FrameSuiteTests {
    static func file(_ path: String) -> [[String: Any]] {
        guard let url = WireSuites.folder?.appendingPathComponent(path), let data = try? Data(contentsOf: url),
            let root = try? JSONSerialization.jsonObject(with: data) as? [String: Any]
        else { return [] }
        return root["cases"] as? [[String: Any]] ?? []
    }

    static let types: [String: FrameValueType] = [
        "true": .yes, "false": .no, "byte": .byte, "short": .short, "integer": .integer, "long": .long, "bytes": .bytes, "string": .string,
        "timestamp": .timestamp, "uuid": .uuid,
    ]

    static func agrees(_ header: FrameOutcome.Header, _ want: [String: Any]) -> Bool {
        guard String(decoding: header.name, as: UTF8.self) == want["name"] as? String, header.type == types[want["type"] as? String ?? ""] else { return false }
        return header.value.withUnsafeBytes { value in
            let number = FrameHeader(name: value, type: header.type, value: value).number
            switch header.type {
            case .yes, .no: return header.value.isEmpty && number == (header.type == .yes ? 1 : 0)
            case .byte, .short, .integer: return number == (want["value"] as? NSNumber)?.int64Value
            case .long, .timestamp: return number.map(String.init) == want["value"] as? String
            case .bytes: return number == nil && Data(value) == Data(base64Encoded: want["value_base64"] as? String ?? "")
            case .string: return number == nil && String(decoding: value, as: UTF8.self) == want["value"] as? String
            case .uuid: return header.value.map { String(format: "%02x", $0) }.joined() == (want["value"] as? String)?.replacingOccurrences(of: "-", with: "")
            }
        }
    }

    /// Cuts worth trying: all, but of long bodies those near their ends and some between.
    static func cuts(_ count: Int) -> [Int] { (0...count).filter { count <= 2000 || $0 < 150 || $0 > count - 150 || $0 % (count / 40) == 0 } }

    @Test func allFramesOfTheSuitePassWholeAndCut() throws {
        let cases = Self.file("eventstream/frames.json")
        #expect(cases.count == 62)
        for one in cases {
            let name = one["name"] as? String ?? ""
            let body = Array(Data(base64Encoded: one["bytes"] as? String ?? "") ?? Data())
            let whole = FrameOutcome(body, cuts: [])
            var expected = one["messages"] as? [[String: Any]] ?? []
            if let times = one["repeated"] as? Int, let first = expected.first { expected = Array(repeating: first, count: times) }
            #expect(whole.messages.count == expected.count, "\(name)")
            for (message, want) in zip(whole.messages, expected) {
                let headers = want["headers"] as? [[String: Any]] ?? []
                #expect(message.headers.count == headers.count, "\(name)")
                for (header, want) in zip(message.headers, headers) { #expect(Self.agrees(header, want), "\(name): \(want)") }
                #expect(Data(message.payload) == Data(base64Encoded: want["payload"] as? String ?? ""), "\(name)")
            }
            let end = one["end"] as? String
            #expect(whole.refusal == (end == "error" ? one["error"] as? String : nil), "\(name)")
            #expect(whole.isBetween == (end == "clean"), "\(name)")
            if body.count < 80_000 { #expect(FrameOutcome(body, cuts: 0...body.count) == whole, "\(name) byte by byte") }
            for cut in Self.cuts(body.count) { #expect(FrameOutcome(body, cuts: [cut]) == whole, "\(name) cut at \(cut)") }
        }
    }

    @Test func allVectorsPassWholeAndCut() throws {
        let cases = Self.file("../providers/vectors/eventstream.json")
        #expect(cases.count == 11)
        for one in cases {
            let name = one["name"] as? String ?? ""
            let digits = Array((one["hex"] as? String ?? "").utf8)
            let body = stride(from: 0, to: digits.count, by: 2).compactMap { UInt8(String(decoding: digits[$0..<$0 + 2], as: UTF8.self), radix: 16) }
            let whole = FrameOutcome(body, cuts: [])
            let isValid = one["valid"] as? Bool == true
            #expect((whole.refusal == nil && whole.isBetween) == isValid, "\(name)")
            for (message, want) in zip(whole.messages, one["messages"] as? [[String: Any]] ?? []) {
                #expect(String(decoding: message.payload, as: UTF8.self) == want["payload_utf8"] as? String, "\(name)")
                for (key, value) in want["headers"] as? [String: Any] ?? [:] {
                    let header = try #require(message.headers.first { $0.name == Array(key.utf8) }, "\(name)")
                    if header.type == .string { #expect(String(decoding: header.value, as: UTF8.self) == value as? String, "\(name)") }
                }
            }
            if isValid { #expect(whole.messages.count == (one["messages"] as? [Any])?.count, "\(name)") }
            #expect(FrameOutcome(body, cuts: 0...body.count) == whole, "\(name) byte by byte")
            for cut in 0...body.count { #expect(FrameOutcome(body, cuts: [cut]) == whole, "\(name) cut at \(cut)") }
        }
    }

    @Test func whatIsReadIsWrittenTheSame() {
        for one in Self.file("eventstream/frames.json") where one["end"] as? String == "clean" && one["repeated"] == nil {
            let body = Array(Data(base64Encoded: one["bytes"] as? String ?? "") ?? Data())
            var out = JSONWriter()
            for message in FrameOutcome(body, cuts: []).messages {
                var frame = FrameWriter(&out)
                for header in message.headers {
                    header.name.withUnsafeBytes { name in header.value.withUnsafeBytes { frame.header(JSONBytes(name), header.type, $0, into: &out) } }
                }
                frame.beginPayload(&out)
                message.payload.withUnsafeBytes { out.put(JSONBytes($0)) }
                frame.end(&out)
            }
            #expect(Array(out.bytes) == body, "\(one["name"] ?? "")")
        }
    }
}
