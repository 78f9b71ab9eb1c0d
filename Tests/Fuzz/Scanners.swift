// The small readers around the dialects. The first byte of an input is the reader's digit, the rest is what it reads:
//
//   0 the tape                  1 lines                     2 Amazon's frames           3 an array's elements      4 redaction
//   5 SigV4's path and query    6 an AWS profile file       7 container credentials     8 a model catalogue        9 base64 and data: URLs
//
// Checked: what a scanner says does not depend on the cuts; the tape has the text's values in their order and finds what is there; nothing longer than its
// bound comes out of the redaction and no key does; the signer's path and query are in its canonical form; the others read or say why not.
import ClawDialect
import ClawWire

nonisolated(unsafe) private var tape = JSONTape()
nonisolated(unsafe) private var out = JSONWriter()
nonisolated(unsafe) private var once = JSONWriter()

private func readTape(_ bytes: UnsafeRawBufferPointer) {
    guard tape.read(bytes) == nil else { return check(!tape.root.exists, "values of a text that is refused") }
    var count = 0
    /// Returns the end of what was read.
    func walk(_ value: JSONValue, _ from: Int) -> Int {
        count += 1
        guard let base = value.raw.base, let start = bytes.baseAddress else { fail("a value without bytes") }
        let place = UnsafeRawPointer(base) - start
        check(place >= from && place + value.raw.count <= bytes.count && value.raw.count > 0, "a value out of its place")
        var at = place + 1
        var inner = 0
        for member in value.members {
            count += 1
            inner += 1
            guard let key = member.key.raw.base else { fail("a key without bytes") }
            check(UnsafeRawPointer(key) - start >= at, "a key before its object")
            at = walk(member.value, UnsafeRawPointer(key) - start + member.key.raw.count)
        }
        for element in value.elements {
            inner += 1
            at = walk(element, at)
        }
        if value.isObject || value.isArray { check(value.count == inner, "\(value.count) values, \(inner) seen") }
        if value.isString { check(value.isEscaped == value.text.raw.contains(0x5C), "isEscaped is wrong: \(show(value.raw.raw))") }
        _ = (value.int, value.double, value.tokens, value.bool, value["model"].kind, value.duplicateKey?.count)
        if let tokens = value.tokens { check(tokens >= 0 && tokens <= JSONNumber.countMax, "\(tokens) tokens") }
        return place + value.raw.count
    }
    _ = walk(tape.root, 0)
    check(count == tape.count, "\(count) values, \(tape.count) nodes")
}

private func checkCuts(_ bytes: UnsafeRawBufferPointer, _ framing: Framing, _ dice: inout Dice) {
    func events(_ cuts: [Int]) -> [[UInt8]] {
        var scanner = WireScanner(framing)
        var all: [[UInt8]] = []
        var start = 0
        feed: for cut in cuts {
            let isGoing = withCopy(part(bytes, start..<cut)) { piece in
                var at = 0
                while true {
                    switch scanner.next(piece, from: at) {
                    case .needMore: return true
                    case .refused(let reason):
                        all.append(Array("refused \(reason)".utf8))
                        return false
                    case .event(let event, let end):
                        check(end > at && end <= piece.count, "an event's end outside its piece")
                        at = end
                        all.append(Array(event.data) + Array("|\(event.name.string)|\(event.kind)".utf8))
                    }
                }
            }
            if !isGoing { return all }
            start = cut
        }
        all.append(Array("\(scanner.isBetweenEvents)".utf8))
        if let last = scanner.finish() { all.append(Array(last.data)) }
        return all
    }
    let whole = events([bytes.count])
    let cut = events(dice.cuts(bytes.count))
    check(whole == cut, "whole \(whole.map { show($0) }), in pieces \(cut.map { show($0) })")
}

private func redact(_ bytes: UnsafeRawBufferPointer) {
    let box = ArenaBox()
    let text = JSONBytes(bytes)
    let clean = Redaction.clean(text, &box.arena)
    check(clean.count <= Redaction.lengthMax(text.count), "\(text.count) bytes became \(clean.count)")
    check(!isInside(text) || isInside(clean), "a text that was one of JSON is none any more: \(show(clean.raw))")
    // A key where a word begins, wherever that is.
    let key = Array("sk-proj-0123456789abcdef".utf8)
    for before in ["", " ", "\\n", "\\\"", "(", "=", "http://api.example.com/?key=", "\\u000a", "Bearer "] {
        let whole = Array(bytes) + Array(" ".utf8) + Array(before.utf8) + key
        whole.withUnsafeBytes { whole in
            guard isInside(JSONBytes(whole)) else { return }
            let clean = Redaction.clean(JSONBytes(whole), &box.arena)
            check(!Array(clean.raw).contains(sequence: Array("0123456789abcdef".utf8)), "a key is left: \(show(clean.raw))")
        }
    }
    // What stood beside a URL may be the beginning of one now, so a second cleaning need not find nothing.
    check(Redaction.clean(clean, &box.arena).count <= Redaction.lengthMax(clean.count), "cleaned twice it outgrew its bound")
}

extension [UInt8] {
    fileprivate func contains(sequence: [UInt8]) -> Bool {
        count >= sequence.count && (0...count - sequence.count).contains { self[$0..<$0 + sequence.count].elementsEqual(sequence) }
    }
}

private func sign(_ bytes: UnsafeRawBufferPointer) {
    let mark = bytes.firstIndex(of: 0x3F) ?? bytes.count
    let path = part(bytes, 0..<mark)
    let query = part(bytes, min(mark + 1, bytes.count)..<bytes.count)
    func raw(_ text: StaticString) -> UnsafeRawBufferPointer { JSONBytes(text).raw }
    let field = SigV4.Field(name: raw("Host"), value: bytes)
    withUnsafePointer(to: field) { fields in
        var request = SigV4.Request(
            method: raw("POST"), path: path, fields: UnsafeBufferPointer(start: fields, count: 1), payloadHash: raw("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
            date: raw("20250102T030405Z"))
        request.query = query
        var signatory = SigV4.Signatory(accessKey: raw("AKIDEXAMPLE"), region: raw("us-east-1"), service: raw("bedrock"))
        signatory.sessionToken = bytes.count % 2 == 0 ? raw("token") : raw("")
        let key = SigningKey(secret: raw("secret"), date: raw("20250102"), region: raw("us-east-1"), service: raw("bedrock"))
        var signer = SigV4()
        out.reset()
        guard signer.sign(request, by: signatory, with: key, into: &out) == .signed else {
            return check(query.filter { $0 == 0x26 }.count >= SigV4.pairsMax, "refused: \(show(bytes))")
        }
        let canonical = Array(signer.canonicalRequest)
        let written = canonical.dropFirst(5).prefix { $0 != 10 }
        check(written.first == 0x2F, "a path without its slash: \(show(Array(written)))")
        check(written.allSatisfy { $0 > 0x20 && $0 < 0x7F }, "a path of other than plain characters: \(show(Array(written)))")
        for segment in written.split(separator: 0x2F) { check(segment != [0x2E] && segment != [0x2E, 0x2E], "dots in \(show(Array(written)))") }
        check(!Array(written).contains(sequence: [0x2F, 0x2F]), "an empty segment in \(show(Array(written)))")
        // Signing is a function.
        once.reset()
        check(signer.sign(request, by: signatory, with: key, into: &once) == .signed && Array(once.bytes) == Array(out.bytes), "signed twice, two signatures")
    }
}

private func readProfile(_ bytes: UnsafeRawBufferPointer) {
    let text = String(decoding: bytes, as: UTF8.self)
    for kind in [AWSProfileFile.Kind.credentials, .config] {
        do throws(CredentialProblem) {
            let profile = try AWSProfileFile.profile("default", in: text, kind)
            if let profile { _ = try profile.credentials(named: "default") }
        } catch {
            check(!error.message.isEmpty, "a problem without a word")
        }
    }
}

private func readCatalogue(_ bytes: UnsafeRawBufferPointer) {
    do throws(CatalogueProblem) {
        let catalogue = try Catalogue.load(bytes, onto: .empty)
        var usage = Usage()
        usage.setInput(sum: JSONNumber.countMax, cacheRead: JSONNumber.countMax, audio: JSONNumber.countMax)
        usage.setOutput(sum: JSONNumber.countMax, reasoning: JSONNumber.countMax)
        for model in catalogue.all {
            check(catalogue.model(provider: model.provider, id: model.id) == model, "\(model.provider)/\(model.id) is not found, or another is")
            for tier in [ServiceTier.standard, .batch, .flex, .other] {
                if let cost = model.prices.cost(of: usage, tier: tier) { check(cost >= 0, "a cost of \(cost)") }
            }
        }
    } catch {
        check(!error.message.isEmpty && error.line >= 0, "a problem without a word")
    }
}

private func readBase64(_ bytes: UnsafeRawBufferPointer) {
    let box = ArenaBox()
    let coded = Base64.encode(bytes, &box.arena)
    check(coded.count == Base64.encodedCount(bytes.count), "\(bytes.count) bytes make \(coded.count)")
    guard let plain = Base64.decode(coded, &box.arena) else { fail("what was encoded is no base64") }
    check(plain.raw.elementsEqual(bytes), "encoded and decoded it is another")
    _ = Base64.decode(JSONBytes(bytes), &box.arena)
    if let (type, data) = DataURL.parse(JSONBytes(bytes)) { check(type.count + data.count < bytes.count, "a data: URL longer than itself") }
    out.reset()
    Base64.writeVector(JSONBytes(bytes), &box.arena, into: &out)
    check(isJSON(out.bytes), "no vector: \(show(out.bytes))")
    out.reset()
    BedrockPath.write(.converse, model: JSONBytes(bytes), into: &out)
    check(out.bytes.filter { $0 == 0x2F }.count == 3 && out.bytes.allSatisfy { $0 > 0x20 && $0 < 0x7F }, "a path of \(show(out.bytes))")
}

@c(LLVMFuzzerTestOneInput)
public func fuzzOne(_ data: UnsafePointer<UInt8>?, _ size: Int) -> CInt {
    guard size > 0 else { return 0 }
    let input = UnsafeRawBufferPointer(start: data, count: size)
    var dice = Dice(input)
    withCopy(part(input, 1..<size)) { bytes in
        switch (input[0] &- 48) % 10 {
        case 0: readTape(bytes)
        case 1: checkCuts(bytes, .lines, &dice)
        case 2: checkCuts(bytes, .frames, &dice)
        case 3: checkCuts(bytes, .array, &dice)
        case 4: redact(bytes)
        case 5: sign(bytes)
        case 6: readProfile(bytes)
        case 7: do throws(CredentialProblem) { _ = try ContainerCredentials.parse(bytes) } catch { check(!error.message.isEmpty, "a problem without a word") }
        case 8: readCatalogue(bytes)
        default: readBase64(bytes)
        }
    }
    return 0
}
