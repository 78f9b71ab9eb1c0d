import CClaw
import Glibc
import Testing

/// The folder of other people's HTTP/2 bytes; nil if it isn't there.
let h2Suites: String? = {
    let named = getenv("OPENCLAW_SHARED").map { String(cString: $0) } ?? "../shared"
    let path = named + "/suites/h2-streams"
    return access(path, R_OK) == 0 ? path : nil
}()

/// Other people's bytes: h2spec's client streams and the frames of http2-frame-test-case.
@Suite(.enabled(if: h2Suites != nil, "the folder shared/suites/h2-streams is absent (set OPENCLAW_SHARED)")) struct H2SuiteTests {
    static func read(_ path: String) -> [UInt8] {
        guard let file = fopen(path, "r") else { return [] }
        defer { fclose(file) }
        var bytes = [UInt8](repeating: 0, count: 1 << 20)
        let n = fread(&bytes, 1, bytes.count, file)
        return Array(bytes[..<n])
    }

    static func names(in path: String) -> [String] {
        guard let folder = opendir(path) else { return [] }
        defer { closedir(folder) }
        var all: [String] = []
        while let entry = readdir(folder) {
            let name = withUnsafePointer(to: &entry.pointee.d_name) { $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) } }
            if !name.hasPrefix(".") { all.append(name) }
        }
        return all.sorted()
    }

    /// Answers whatever ended, and says with which codes the peer was refused.
    private func replay(_ bytes: [UInt8], step: Int) -> [UInt32] {
        let server = Session()
        var codes: [UInt32] = [], at = 0
        func send() { codes += server.produce().compactMap(\.code) }
        while at < bytes.count && !server.failed {
            let end = step > bytes.count ? bytes.count : min(bytes.count, at + step)
            for told in server.feed(Array(bytes[at..<end])) where told.kind == CLAW_H2_END { server.answer(told.stream) }
            if step == 1 { send() }
            at = end
        }
        send()
        #expect(server.failed == (server.blame != nil))
        return codes
    }

    /// 77 of the 133 do something that RFC 9113 or RFC 7541 forbids; the others are answered or have nothing to be said about.
    @Test func H2_01_everyViolationOfH2specsClientsIsRefused() throws {
        let folder = try #require(h2Suites) + "/client-streams"
        var refused = 0
        for name in H2SuiteTests.names(in: folder) {
            let bytes = H2SuiteTests.read(folder + "/" + name)
            let whole = replay(bytes, step: .max), pieces = replay(bytes, step: 1)
            // More than a hundred streams at once are too many, one after the other they are not.
            #expect(whole.last { $0 != Code.refused } == pieces.last, "\(name)")
            if !pieces.isEmpty { refused += 1 }
        }
        #expect(refused == 77)
    }

    @Test func H2_12_malformedFramesGetOneOfTheirCodes() throws {
        let folder = try #require(h2Suites) + "/frames/error"
        let names = H2SuiteTests.names(in: folder)
        #expect(names.count == 22)
        for name in names {
            let text = String(decoding: H2SuiteTests.read(folder + "/" + name), as: UTF8.self)
            let wire = try #require(text.firstMatch(of: /"wire": *"([0-9A-Fa-f]*)"/)).1, errors = try #require(text.firstMatch(of: /"error": *\[([0-9,\s]*)\]/)).1
            let allowed = errors.split(whereSeparator: { !$0.isNumber }).compactMap { UInt32($0) }
            let digits = Array(wire), frame = stride(from: 0, to: digits.count, by: 2).map { UInt8(String(digits[$0...$0 + 1]), radix: 16)! }
            let stream = number(frame, 5) & 0x7FFF_FFFF, server = Session.server()
            if stream % 2 == 1 && frame[3] != 1 { server.feed(headers(stream, post, end: false)) }
            server.feed(frame)
            // A frame cut off in its middle is no more than that.
            #expect(server.produce().compactMap(\.code).last.map(allowed.contains) == true || (name.hasPrefix("push_promise") && server.failed), "\(name): \(allowed)")
        }
    }
}
