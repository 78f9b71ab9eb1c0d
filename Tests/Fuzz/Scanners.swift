// The small readers around the dialects and the control plane. The first byte of an input is the reader's digit (":" and what follows it in ASCII count on
// from 9), the rest is what it reads:
//
//   0 the tape                  1 lines                     2 Amazon's frames           3 an array's elements      4 redaction
//   5 SigV4's path and query    6 an AWS profile file       7 container credentials     8 a model catalogue        9 base64 and data: URLs
//   : a DNS message or file     ; Kubernetes' slices        < Consul's health, a list   = etcd's ranges and watches
//   > a provider's limits, as lines of fields or in a body  ? a prompt                  @ a request to be explained
//   A how long a client waits
//
// Checked: what a scanner says does not depend on the cuts; the tape has the text's values in their order and finds what is there; nothing longer than its
// bound comes out of the redaction and no key does; the signer's path and query are in its canonical form; sets of endpoints keep
// their bounds and their order; a told wait is none that nobody would wait for; a prompt is what the tape has of it, and right JSON is walked to its end; the others read or say why not.
import ClawDialect
import ClawPolicy
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

private func readNames(_ bytes: UnsafeRawBufferPointer) {
    let id = bytes.count >= 2 ? UInt16(bytes[0]) << 8 | UInt16(bytes[1]) : 0
    for (name, type) in [("api.example.com", .a), ("api.example.com", .aaaa), ("_llm._tcp.example.com", .srv)] as [(String, DNSQuestion.RecordType)] {
        guard let question = DNSQuestion(name, type) else { fail("\(name) is no name") }
        do throws(DNSAnswer.Refusal) {
            let answer = try DNSAnswer.parse(bytes, to: question, id: id)
            check(answer.addresses.count <= DNSAnswer.recordsMax && answer.addresses == Set(answer.addresses).sorted(), "addresses that are no set")
            check(answer.services.reduce(answer.services.count) { $0 + $1.addresses.count } <= DNSAnswer.recordsMax, "more services than the bound")
            check(type == .srv ? answer.addresses.isEmpty : answer.services.isEmpty, "records that were not asked for")
            if let ttl = answer.ttl { check(ttl >= DNSAnswer.ttlMin && ttl <= DNSAnswer.ttlMax, "good for \(ttl) s") }
            for service in answer.services { check(DNSQuestion(service.target, .a)?.nameText == service.target, "a target that cannot be asked for: \(service.target)") }
            for address in answer.addresses { check(DNSAddress(address.text) == address, "\(address.text) is read as another") }
            checkSet(EndpointSet(services: answer.services))
            checkSet(EndpointSet(addresses: answer.addresses, of: name, port: 80))
        } catch {
            if case .malformed(let at) = error { check(at >= 0 && at <= bytes.count, "malformed at \(at) of \(bytes.count)") }
        }
    }
    let file = DNSResolverFile(bytes)
    check(file.servers.count <= DNSResolverFile.serversMax && file.search.count <= DNSResolverFile.searchMax, "beyond the bounds")
    check(file.names(for: "a").count <= 1 + DNSResolverFile.searchMax, "beyond the bounds")
    check(DNSHostsFile.addresses(of: "a", in: bytes).count <= DNSAnswer.recordsMax, "beyond the bounds")
}

private func checkSet(_ set: EndpointSet) {
    check(set.endpoints.count <= EndpointSet.endpointsMax && set.notes.count <= EndpointSet.notesMax, "a set beyond its bounds")
    check(EndpointSet(set.endpoints).endpoints == set.endpoints && set.changes(since: set).isEmpty, "a set that is none")
    for endpoint in set.endpoints {
        check(endpoint.port > 0 && endpoint.weight > 0, "an endpoint without a port or weight")
        let host = endpoint.host.utf8.contains(0x3A) ? "[\(endpoint.host)]" : endpoint.host
        do throws(HTTPURLError) {
            let url = try HTTPURL("http://\(host):\(endpoint.port)\(endpoint.path ?? "")")
            check(url.host == endpoint.host && url.path == endpoint.path ?? "", "\(endpoint) is read as \(url)")
        } catch { fail("\(endpoint) is no URL: \(error.message)") }
    }
}

private func problem(_ body: () throws(DiscoveryProblem) -> Void) {
    do throws(DiscoveryProblem) { try body() } catch {
        check(!error.message.isEmpty && error.message.utf8.count <= DiscoveryProblem.messageBytesMax, "a problem without a word, or with too many")
        check(error.message.utf8.allSatisfy { $0 >= 0x20 && $0 < 0x7F }, "a message that is not printable: \(error.message)")
    }
}

/// The same lines in one piece and in several.
private func checkWatch<State>(
    _ bytes: UnsafeRawBufferPointer, _ dice: inout Dice, _ state: State, _ event: (inout State, UnsafeRawBufferPointer) throws(DiscoveryProblem) -> Void
) -> [State] {
    [[bytes.count], dice.cuts(bytes.count)].map { cuts in
        var state = state
        var stream = DiscoveryStream()
        var start = 0
        for cut in cuts {
            var isOver = false
            withCopy(part(bytes, start..<cut)) { piece in
                problem { () throws(DiscoveryProblem) in
                    isOver = true
                    try stream.feed(piece) { (line) throws(DiscoveryProblem) in try event(&state, line) }
                    isOver = false
                }
            }
            if isOver { break }
            start = cut
        }
        return state
    }
}

private func readKubernetes(_ bytes: UnsafeRawBufferPointer, _ dice: inout Dice) {
    var state = KubernetesState(service: "llm", port: dice.pick([nil, "http", "8000"]))
    problem { () throws(DiscoveryProblem) in _ = try state.list(bytes) }
    checkSet(state.set)
    let both = checkWatch(bytes, &dice, state) { (state, line) throws(DiscoveryProblem) in _ = try state.event(line) }
    checkSet(both[0].set)
    check(both[0].set == both[1].set && both[0].resourceVersion == both[1].resourceVersion, "whole \(both[0].set), in pieces \(both[1].set)")
}

private func readConsul(_ bytes: UnsafeRawBufferPointer) {
    problem { () throws(DiscoveryProblem) in checkSet(try Consul.read(bytes)) }
    problem { () throws(DiscoveryProblem) in checkSet(try DiscoveryDocument.list(bytes)) }
    var index = ConsulIndex()
    _ = index.take(String(decoding: bytes, as: UTF8.self))
}

private func readEtcd(_ bytes: UnsafeRawBufferPointer, _ dice: inout Dice) {
    var state = EtcdState(prefix: "/svc/llm/")
    problem { () throws(DiscoveryProblem) in try state.range(bytes) }
    checkSet(state.set)
    problem { () throws(DiscoveryProblem) in _ = try EtcdState.token(bytes) }
    let both = checkWatch(bytes, &dice, state) { (state, line) throws(DiscoveryProblem) in _ = try state.watch(line) }
    checkSet(both[0].set)
    check(both[0].set == both[1].set && both[0].revision == both[1].revision && both[0].revision >= state.revision, "whole \(both[0].set), in pieces \(both[1].set)")
    check(Array(state.watchRequest.utf8).withUnsafeBytes { isJSON($0) }, "no request: \(state.watchRequest)")
}

/// The input as an answer's field lines, and as a body; its first byte decides what time it is.
private func readSignals(_ bytes: UnsafeRawBufferPointer, _ dice: inout Dice) {
    let wall = dice.pick([0, 1_700_000_000_000_000_000, 784_111_777_000_000_000, .max] as [UInt64])
    var signals = RateSignals(resetsAreMilliseconds: dice.below(2) == 0)
    for line in bytes.split(separator: 10, omittingEmptySubsequences: true) {
        let line = Array(line)
        let colon = line.firstIndex(of: 0x3A) ?? line.count
        withCopy(Array(line[..<colon])) { name in
            withCopy(Array(line[min(colon + 1, line.count)...])) { value in
                let before = signals.hasFigures || signals.told != nil || signals.shouldRetry != nil
                signals.field(name: name, value: value, wall: wall)
                let after = signals.hasFigures || signals.told != nil || signals.shouldRetry != nil
                check(before || !after || RateSignals.concerns(name), "a field that is none of ours says something: \(show(line))")
            }
        }
    }
    signals.hint = RateSignals.hint(inBody: bytes)
    for wait in [signals.told, signals.hint] { if let wait { check(wait > 0 && wait <= RateSignals.waitMax, "a wait of \(wait) ns") } }
    for figure in [signals.requests, signals.tokens] { if let figure { check(figure.remaining != .max && figure.reset <= RateSignals.waitMax, "\(figure)") } }
    // A value by itself, in every field that has one.
    for name in ["retry-after", "Retry-After-Ms", "x-ms-retry-after-ms", "x-ratelimit-reset-requests", "x-ratelimit-remaining-tokens", "anthropic-ratelimit-tokens-reset", "x-ratelimitbysize-limit"] {
        var one = RateSignals()
        Array(name.utf8).withUnsafeBytes { one.field(name: $0, value: bytes, wall: wall) }
        if let told = one.told { check(told > 0 && told <= RateSignals.waitMax, "\(name) tells \(told) ns") }
    }
}

/// All that is heard of a walk, texts joined.
private struct Heard: PromptSink, Equatable {
    var texts: [[UInt8]] = [], isSystem: [Bool] = []
    private var present: [UInt8] = []
    var messages = 0, structures = 0, tokens = 0, images = 0
    mutating func text(_ bytes: UnsafeRawBufferPointer, isSystem: Bool) {
        check(!bytes.isEmpty, "a piece of nothing")
        present.append(contentsOf: bytes)
    }
    mutating func textEnd(isSystem system: Bool) {
        texts.append(present)
        isSystem.append(system)
        present.removeAll()
    }
    mutating func messageEnd(isUser: Bool) { messages += 1 }
    mutating func structure(bytes: Int) {
        check(bytes >= 0, "\(bytes) bytes")
        structures += bytes
    }
    mutating func token() { tokens += 1 }
    mutating func image() { images += 1 }
    mutating func bare() {}
    mutating func toolPrompt() {}
}

nonisolated(unsafe) private let keywords = KeywordMatcher(["invoice", "account number", "Rechnung", "\u{C9}", "a", "aa"].map { Array($0.utf8) })

private func readPrompt(_ bytes: UnsafeRawBufferPointer) {
    var heard = Heard()
    let isWhole = PromptScanner.scan(bytes, into: &heard)
    if tape.read(bytes) == nil {
        check(isWhole, "a right text that is not walked to its end")
        // A prompt that is one string is one text, the same as the tape's.
        let prompt = tape.root["prompt"]
        if tape.root.isObject, tape.root.members.reduce(0, { n, _ in n + 1 }) == 1, prompt.isString {
            let text = [UInt8](unsafeUninitializedCapacity: prompt.raw.count) { memory, count in count = JSONText.unescape(prompt.raw.raw, into: UnsafeMutableRawBufferPointer(memory)) ?? 0 }
            check(!text.isEmpty || prompt.text.isEmpty, "a string that cannot be unescaped")
            check(heard.texts == [text] && heard.isSystem == [false], "the prompt is \(show(text)), heard is \(heard.texts.map { show($0) })")
        }
    }
    var found = [UInt64](repeating: 0, count: keywords?.foundWords ?? 1)
    let (tokens, prefix) = found.withUnsafeMutableBufferPointer { found in
        var reading = PromptReading([.keywords, .language, .tokens, .prefix], matcher: keywords, found: found.baseAddress)
        check(reading.read(bytes) == isWhole, "another end with another reader")
        _ = reading.language.language
        return (reading.tokens.value, reading.prefix.value)
    }
    check(tokens >= 0, "\(tokens) tokens")
    // Less is asked for: what is asked for is the same.
    var less = PromptReading([.tokens])
    less.read(bytes)
    check(less.tokens.value == tokens, "\(less.tokens.value) tokens by themselves, \(tokens) among the rest")
    var other = PromptReading([.prefix])
    other.read(bytes)
    check(other.prefix.value == prefix, "another prefix by itself")
}

private func readDescription(_ bytes: UnsafeRawBufferPointer) {
    do throws(DescribedRequest.Problem) {
        let request = try DescribedRequest(json: Array(bytes))
        check(tape.read(bytes) == nil && tape.root.isObject, "a description that is no object")
        let body = tape.root["body"]
        if body.isPresent, !body.isString { check(request.body.withUnsafeBytes { isJSON($0) }, "a body that was JSON is none: \(show(request.body))") }
        check(request.body.count <= bytes.count && request.headers.count <= bytes.count, "more than was given")
    } catch {
        check(!error.description.isEmpty, "a problem without a word")
    }
}

private func readDeadline(_ bytes: UnsafeRawBufferPointer) {
    let text = String(decoding: bytes, as: UTF8.self)
    let plain = text.utf8.count <= 9 && text.utf8.allSatisfy { $0 >= 48 && $0 <= 57 } ? UInt64(text).flatMap { $0 > 0 ? $0 * 1_000_000 : nil } : nil
    check(ClientDeadline.nanoseconds(bytes) == plain, "\(text) is read as \(String(describing: ClientDeadline.nanoseconds(bytes)))")
}

@c(LLVMFuzzerTestOneInput)
public func fuzzOne(_ data: UnsafePointer<UInt8>?, _ size: Int) -> CInt {
    guard size > 0 else { return 0 }
    let input = UnsafeRawBufferPointer(start: data, count: size)
    var dice = Dice(input)
    withCopy(part(input, 1..<size)) { bytes in
        switch (input[0] &- 48) % 18 {
        case 0: readTape(bytes)
        case 1: checkCuts(bytes, .lines, &dice)
        case 2: checkCuts(bytes, .frames, &dice)
        case 3: checkCuts(bytes, .array, &dice)
        case 4: redact(bytes)
        case 5: sign(bytes)
        case 6: readProfile(bytes)
        case 7: do throws(CredentialProblem) { _ = try ContainerCredentials.parse(bytes) } catch { check(!error.message.isEmpty, "a problem without a word") }
        case 8: readCatalogue(bytes)
        case 9: readBase64(bytes)
        case 10: readNames(bytes)
        case 11: readKubernetes(bytes, &dice)
        case 12: readConsul(bytes)
        case 13: readEtcd(bytes, &dice)
        case 14: readSignals(bytes, &dice)
        case 15: readPrompt(bytes)
        case 16: readDescription(bytes)
        default: readDeadline(bytes)
        }
    }
    return 0
}
