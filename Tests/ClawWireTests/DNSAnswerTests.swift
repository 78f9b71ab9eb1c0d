import ClawWire
import Testing

/// A message put together field by field, as RFC 1035 §4 draws it.
struct DNSMessage {
    var bytes: [UInt8]

    init(id: UInt16 = 0x1234, flags: UInt16 = 0x8180, counts: [UInt16] = [1, 0, 0, 0]) {
        bytes = []
        put(id)
        put(flags)
        for count in counts { put(count) }
    }

    mutating func put(_ value: UInt16) { bytes += [UInt8(value >> 8), UInt8(value & 255)] }
    mutating func put(_ value: UInt32) { put(UInt16(value >> 16)); put(UInt16(value & 0xFFFF)) }
    mutating func question(_ name: String, _ type: UInt16) { bytes += Self.name(name); put(type); put(UInt16(1)) }
    /// - Parameter owner: as it stands in the message, so that it can be a pointer.
    mutating func record(_ owner: [UInt8], _ type: UInt16, _ ttl: UInt32, _ data: [UInt8], class place: UInt16 = 1) {
        bytes += owner
        put(type)
        put(place)
        put(ttl)
        put(UInt16(data.count))
        bytes += data
    }

    static func name(_ text: String) -> [UInt8] {
        text.split(separator: ".").flatMap { [UInt8($0.utf8.count)] + Array($0.utf8) } + [0]
    }
    static let asked: [UInt8] = [0xC0, 12]
    mutating func options() { record([0], 41, 0, [], class: 1232) }
    static func service(_ priority: UInt16, _ weight: UInt16, _ port: UInt16, _ target: [UInt8]) -> [UInt8] {
        [priority, weight, port].flatMap { [UInt8($0 >> 8), UInt8($0 & 255)] } + target
    }
    static func soa(minimum: UInt32) -> [UInt8] {
        var message = DNSMessage(counts: [])
        message.bytes = name("ns.example.com") + name("admin.example.com")
        for field: UInt32 in [2024, 7200, 900, 1_209_600, minimum] { message.put(field) }
        return message.bytes
    }
}

private func read(_ bytes: [UInt8], _ name: String, _ type: DNSQuestion.RecordType, id: UInt16 = 0x1234) throws -> DNSAnswer {
    let question = try #require(DNSQuestion(name, type))
    // A copy that ends where its memory ends.
    let held = UnsafeMutableRawBufferPointer.allocate(byteCount: max(1, bytes.count), alignment: 1)
    defer { held.deallocate() }
    held.copyBytes(from: bytes)
    return try DNSAnswer.parse(UnsafeRawBufferPointer(rebasing: held[..<bytes.count]), to: question, id: id)
}

private func refusal(_ bytes: [UInt8], _ name: String, _ type: DNSQuestion.RecordType, id: UInt16 = 0x1234) -> DNSAnswer.Refusal? {
    do {
        _ = try read(bytes, name, type, id: id)
        return nil
    } catch { return error as? DNSAnswer.Refusal }
}

private func unhex(_ text: String) -> [UInt8] {
    let digits = text.utf8.map { $0 < 0x3A ? $0 - 0x30 : $0 - 0x57 }
    return stride(from: 0, to: digits.count, by: 2).map { digits[$0] << 4 | digits[$0 + 1] }
}

/// The messages of this file that are answers, with what they answer.
private let vectors: [(name: String, type: DNSQuestion.RecordType, bytes: [UInt8])] = {
    var two = DNSMessage(counts: [1, 2, 0, 1])
    two.question("api.example.com", 1)
    two.record(DNSMessage.asked, 1, 300, [192, 0, 2, 9])
    two.record(DNSMessage.asked, 1, 60, [192, 0, 2, 1])
    two.options()
    var six = DNSMessage(counts: [1, 1, 0, 0])
    six.question("api.example.com", 28)
    six.record(DNSMessage.asked, 28, 300, [0x20, 1, 0x0D, 0xB8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1])
    var alias = DNSMessage(counts: [1, 3, 0, 0])
    alias.question("www.example.com", 1)
    // www → a.b.example.com → b.example.com, written with pointers into each other.
    alias.record(DNSMessage.asked, 5, 30, [1, 97, 1, 98, 0xC0, 16])
    let second = UInt8(alias.bytes.count - 6)
    alias.record([0xC0, second], 5, 20, [0xC0, second + 2])
    alias.record([0xC0, second + 2], 1, 90, [198, 51, 100, 7])
    var service = DNSMessage(counts: [1, 3, 0, 3])
    service.question("_llm._tcp.example.com", 33)
    service.record(DNSMessage.asked, 33, 120, DNSMessage.service(10, 60, 8000, DNSMessage.name("one.example.com")))
    service.record(DNSMessage.asked, 33, 120, DNSMessage.service(10, 0, 8001, DNSMessage.name("two.example.com")))
    service.record(DNSMessage.asked, 33, 120, DNSMessage.service(20, 0, 8002, DNSMessage.name("three.example.com")))
    service.record(DNSMessage.name("ONE.example.com"), 1, 40, [10, 0, 0, 2])
    service.record(DNSMessage.name("one.example.com"), 1, 50, [10, 0, 0, 1])
    service.record(DNSMessage.name("two.example.com"), 28, 50, [0xFD] + Array(repeating: 0, count: 14) + [2])
    var none = DNSMessage(flags: 0x8183, counts: [1, 0, 1, 0])
    none.question("gone.example.com", 1)
    none.record(DNSMessage.name("example.com"), 6, 3600, DNSMessage.soa(minimum: 45))
    return [
        ("api.example.com", .a, two.bytes), ("api.example.com", .aaaa, six.bytes), ("www.example.com", .a, alias.bytes),
        ("_llm._tcp.example.com", .srv, service.bytes), ("gone.example.com", .a, none.bytes),
    ]
}()

/// Answers of dnsmasq 2.90 (Debian) for a zone of its own, queries with EDNS; the last refuses with an extended error (RFC 8914) in its options.
private let recordedText = """
    far.llm.test a 12348580000100030000000103666172036c6c6d04746573740000010001c00c000500010000001e000e03777777036c6c6d047465737400c02a000500010000001e000e036f6e65036c6c6d047465737400c044000100010000002800040a00000100002904d0000000000000
    one.llm.test aaaa 123485800001000100000001036f6e65036c6c6d047465737400001c0001c00c001c0001000000280010fd00000000000000000000000000000100002904d0000000000000
    many.llm.test a 123485800001000200000001046d616e79036c6c6d04746573740000010001c00c000100010000001e00040a000101c00c000100010000001e00040a00010200002904d0000000000000
    _llm._tcp.llm.test srv 123485800001000200000004045f6c6c6d045f746370036c6c6d04746573740000210001c00c002100010000001e0014001400001f410374776f036c6c6d047465737400c00c002100010000001e0014000a003c1f40036f6e65036c6c6d047465737400c056000100010000002800040a000001c056001c0001000000280010fd000000000000000000000000000001c036000100010000001e00040a00000200002904d0000000000000
    gone.llm.test a 12348183000100000000000104676f6e65036c6c6d0474657374000001000100002904d0000000000000
    two.llm.test aaaa 1234818000010000000000010374776f036c6c6d047465737400001c000100002904d0000000000000
    example.com a 123481850001000000000001076578616d706c6503636f6d000001000100002904d0000000000006000f0002000e
    """
private let recorded: [(name: String, type: DNSQuestion.RecordType, bytes: [UInt8])] = recordedText.split(separator: "\n").map { line in
    let words = line.split(separator: " ").map(String.init)
    return (words[0], words[1] == "srv" ? .srv : words[1] == "aaaa" ? .aaaa : .a, unhex(words[2]))
}

@Suite struct DNSAnswerTests {
    @Test func aQueryIsTheBytesOfTheRFCs() throws {
        let question = try #require(DNSQuestion("Api.Example.com.", .srv))
        #expect(question.nameText == "api.example.com")
        #expect(question.message(id: 0xABCD) == [
            0xAB, 0xCD, 0x01, 0x00, 0, 1, 0, 0, 0, 0, 0, 1,
            3, 0x61, 0x70, 0x69, 7, 0x65, 0x78, 0x61, 0x6D, 0x70, 0x6C, 0x65, 3, 0x63, 0x6F, 0x6D, 0, 0, 33, 0, 1,
            0, 0, 41, 0x04, 0xD0, 0, 0, 0, 0, 0, 0,
        ])
        let bare = question.message(id: 1, hasOptions: false)
        #expect(bare.count == question.message(id: 1).count - 11 && bare[11] == 0)
    }

    @Test(arguments: ["", ".", "a..b", ".a", "a b", "ä.de", String(repeating: "a", count: 64), Array(repeating: "abcdefghi", count: 26).joined(separator: "."), "a/b"])
    func whatIsNoNameIsNotAsked(name: String) { #expect(DNSQuestion(name, .a) == nil) }

    @Test func namesOfTheGreatestLengthAreAsked() {
        #expect(DNSQuestion(String(repeating: "a", count: 63), .a) != nil)
        let name = Array(repeating: "abcdefghi", count: 25).joined(separator: ".") + ".ab"
        #expect(name.utf8.count == 252 && DNSQuestion(name, .a) != nil && DNSQuestion(name + "c", .a) != nil && DNSQuestion(name + "cd", .a) == nil)
    }

    @Test func addressesAreSortedAndTheLeastTimeCounts() throws {
        let answer = try read(vectors[0].bytes, "API.example.com", .a)
        #expect(answer.addresses.map(\.text) == ["192.0.2.1", "192.0.2.9"] && answer.ttl == 60 && answer.code == 0 && answer.canonicalName == nil)
        let six = try read(vectors[1].bytes, "api.example.com", .aaaa)
        #expect(six.addresses == [DNSAddress("2001:db8::1")] && six.addresses.first?.text == "2001:db8::1" && six.ttl == 300)
    }

    @Test func aliasesAreFollowedThroughPointers() throws {
        let answer = try read(vectors[2].bytes, "www.example.com", .a)
        #expect(answer.canonicalName == "b.example.com" && answer.addresses.map(\.text) == ["198.51.100.7"] && answer.ttl == 20)
    }

    @Test func servicesHaveTheirAddressesFromTheAdditionalSection() throws {
        let answer = try read(vectors[3].bytes, "_llm._tcp.example.com", .srv)
        #expect(answer.services == [
            .init(priority: 10, weight: 60, port: 8000, target: "one.example.com", addresses: [.v4(0x0A00_0001), .v4(0x0A00_0002)]),
            .init(priority: 10, weight: 0, port: 8001, target: "two.example.com", addresses: [.v6(high: 0xFD00_0000_0000_0000, low: 2)]),
            .init(priority: 20, weight: 0, port: 8002, target: "three.example.com"),
        ])
        #expect(answer.ttl == 40 && answer.addresses.isEmpty)
    }

    @Test func aNameThatIsNotThereIsGoodForTheZonesMinimum() throws {
        let answer = try read(vectors[4].bytes, "gone.example.com", .a)
        #expect(answer.code == 3 && answer.isNegative && answer.ttl == 45)
        // Of another zone, or no word of it at all.
        var other = DNSMessage(counts: [1, 0, 1, 0])
        other.question("gone.example.com", 1)
        other.record(DNSMessage.name("example.org"), 6, 3600, DNSMessage.soa(minimum: 45))
        #expect(try read(other.bytes, "gone.example.com", .a).ttl == nil)
        var silent = DNSMessage(flags: 0x8182)
        silent.question("gone.example.com", 1)
        let failed = try read(silent.bytes, "gone.example.com", .a)
        #expect(failed.code == 2 && !failed.isNegative && !failed.isUsable && failed.ttl == nil)
    }

    @Test(arguments: [(0, 1), (1, 1), (86_400, 86_400), (86_401, 86_400), (0x7FFF_FFFF, 86_400), (0x8000_0000, 1), (0xFFFF_FFFF, 1)] as [(UInt32, UInt32)])
    func timesHaveBounds(told: UInt32, taken: UInt32) throws {
        var message = DNSMessage(counts: [1, 1, 0, 0])
        message.question("a.b", 1)
        message.record(DNSMessage.asked, 1, told, [1, 2, 3, 4])
        #expect(try read(message.bytes, "a.b", .a).ttl == taken)
    }

    @Test func whatDoesNotFitIsSaidAndNotRead() throws {
        var message = DNSMessage(flags: 0x8380, counts: [1, 9, 0, 0])
        message.question("a.b", 1)
        message.bytes += [1, 2, 3]
        let answer = try read(message.bytes, "a.b", .a)
        #expect(answer.isTruncated && answer.addresses.isEmpty && !answer.isUsable && !answer.isNegative)
    }

    @Test func anAnswerToAnotherQuestionIsNone() {
        let bytes = vectors[0].bytes
        #expect(refusal(bytes, "api.example.com", .a, id: 0x1235) == .otherID)
        #expect(refusal(bytes, "api.example.org", .a) == .otherQuestion)
        #expect(refusal(bytes, "api.example.com", .aaaa) == .otherQuestion)
        var query = bytes
        query[2] &= 0x7F
        #expect(refusal(query, "api.example.com", .a) == .notAnAnswer)
        var notify = bytes
        notify[2] |= 0x20
        #expect(refusal(notify, "api.example.com", .a) == .notAnAnswer)
        #expect(refusal(DNSMessage(counts: [0, 0, 0, 0]).bytes, "api.example.com", .a) == .otherQuestion)
        #expect(refusal(DNSMessage(counts: [2, 0, 0, 0]).bytes, "api.example.com", .a) == .otherQuestion)
    }

    @Test func aServerOlderThanEDNSIsUnderstood() throws {
        #expect(try read(DNSMessage(flags: 0x8181, counts: [0, 0, 0, 0]).bytes, "a.b", .a).code == 1)
        // BADVERS has its upper bits in the options (RFC 6891 §6.1.3).
        var message = DNSMessage(counts: [1, 0, 0, 1])
        message.question("a.b", 1)
        message.record([0], 41, 0x0100_0000, [], class: 512)
        #expect(try read(message.bytes, "a.b", .a).code == 16)
    }

    @Test func recordsOfOthersAreNotTaken() throws {
        var message = DNSMessage(counts: [1, 4, 0, 1])
        message.question("a.b", 1)
        message.record(DNSMessage.name("evil.b"), 1, 60, [6, 6, 6, 6])
        message.record(DNSMessage.asked, 1, 60, [7, 7, 7, 7], class: 3)
        message.record(DNSMessage.asked, 16, 5, [1, 65])
        message.record(DNSMessage.asked, 1, 60, [1, 1, 1, 1])
        message.record(DNSMessage.asked, 1, 5, [8, 8, 8, 8])
        let answer = try read(message.bytes, "a.b", .a)
        #expect(answer.addresses.map(\.text) == ["1.1.1.1"] && answer.ttl == 60)
    }

    @Test func pointersThatDoNotGoBackAreRefused() {
        func withOwner(_ owner: [UInt8]) -> DNSAnswer.Refusal? {
            var message = DNSMessage(counts: [1, 1, 0, 0])
            message.question("a.b", 1)
            message.record(owner, 1, 60, [1, 1, 1, 1])
            return refusal(message.bytes, "a.b", .a)
        }
        let start = 12 + 5 + 4
        #expect(withOwner(DNSMessage.asked) == nil)
        for owner: [UInt8] in [[0xC0, UInt8(start)], [0xC0, UInt8(start + 2)], [1, 97, 0xC0, UInt8(start)], [0xFF, 0xFF], [0xC0, 0], [0xC0, 11], [0x40, 0], [0x80, 0]] {
            #expect(withOwner(owner) == .malformed(at: start), "\(owner)")
        }
    }

    @Test func aNameMadeLongByPointersIsRefused() {
        // Each record's owner is a label and a pointer to the owner before: the fourth is over 255 bytes.
        var message = DNSMessage(counts: [1, 5, 0, 0])
        message.question("a.b", 1)
        var last = 12
        var starts: [Int] = []
        for _ in 0..<5 {
            let start = message.bytes.count
            starts.append(start)
            message.record([63] + Array(repeating: 97, count: 63) + [0xC0 | UInt8(last >> 8), UInt8(last & 255)], 1, 60, [1, 1, 1, 1])
            last = start
        }
        #expect(refusal(message.bytes, "a.b", .a) == .malformed(at: starts[3]))
    }

    @Test(arguments: [1, 15, 16, 17, 40])
    func aliasesHaveABound(count: Int) throws {
        var message = DNSMessage(counts: [1, UInt16(count) + 1, 0, 0])
        message.question("n0.b", 1)
        for index in 0..<count { message.record(DNSMessage.name("n\(index).b"), 5, 60, DNSMessage.name("n\(index + 1).b")) }
        message.record(DNSMessage.name("n\(count).b"), 1, 60, [1, 1, 1, 1])
        if count > DNSAnswer.aliasesMax {
            #expect(refusal(message.bytes, "n0.b", .a) == .aliases)
        } else {
            #expect(try read(message.bytes, "n0.b", .a).addresses.count == 1)
        }
    }

    @Test func aliasesInACircleAreRefusedAndALooseEndIsANo() throws {
        var message = DNSMessage(counts: [1, 2, 0, 0])
        message.question("a.b", 1)
        message.record(DNSMessage.name("a.b"), 5, 60, DNSMessage.name("c.b"))
        message.record(DNSMessage.name("c.b"), 5, 60, DNSMessage.name("a.b"))
        #expect(refusal(message.bytes, "a.b", .a) == .aliases)
        var loose = DNSMessage(counts: [1, 1, 0, 0])
        loose.question("a.b", 1)
        loose.record(DNSMessage.name("a.b"), 5, 60, DNSMessage.name("c.b"))
        let answer = try read(loose.bytes, "a.b", .a)
        #expect(answer.isNegative && answer.ttl == nil && answer.canonicalName == "c.b")
    }

    @Test(arguments: [(1, 3), (1, 5), (1, 0), (28, 15), (33, 6), (33, 0), (5, 0), (6, 20)])
    func dataOfTheWrongLengthAreRefused(type: UInt16, length: Int) {
        var message = DNSMessage(counts: [1, 1, 0, 0])
        message.question("a.b", 1)
        message.record(DNSMessage.asked, type, 60, Array(repeating: 0, count: length))
        #expect(refusal(message.bytes, "a.b", .a) == .malformed(at: 21))
    }

    @Test func optionsStandOnceAndInTheirPlace() {
        var twice = DNSMessage(counts: [1, 0, 0, 2])
        twice.question("a.b", 1)
        twice.options()
        twice.options()
        #expect(refusal(twice.bytes, "a.b", .a) == .malformed(at: 32))
        var early = DNSMessage(counts: [1, 1, 0, 0])
        early.question("a.b", 1)
        early.options()
        #expect(refusal(early.bytes, "a.b", .a) == .malformed(at: 21))
    }

    @Test func moreRecordsThanTheBoundAreLeftOut() throws {
        var message = DNSMessage(counts: [1, 300, 0, 0])
        message.question("a.b", 1)
        for index in 0..<300 { message.record(DNSMessage.asked, 1, 60, [10, 0, UInt8(index >> 8), UInt8(index & 255)]) }
        let answer = try read(message.bytes, "a.b", .a)
        #expect(answer.addresses.count == DNSAnswer.recordsMax && answer.leftOut == 44)
        // Many services with one host of many addresses: no more than the bound in all.
        var crowd = DNSMessage(counts: [1, 200, 0, 100])
        crowd.question("a.b", 33)
        for index in 0..<200 { crowd.record(DNSMessage.asked, 33, 60, DNSMessage.service(1, 1, UInt16(index + 1), DNSMessage.name("h.b"))) }
        for index in 0..<100 { crowd.record(DNSMessage.name("h.b"), 1, 60, [10, 0, 0, UInt8(index)]) }
        let services = try read(crowd.bytes, "a.b", .srv)
        #expect(services.services.count + services.services.reduce(0) { $0 + $1.addresses.count } <= DNSAnswer.recordsMax)
        #expect(services.services.first?.addresses.count == 100)
    }

    @Test func aServiceThatSaysThereIsNoneIsNone() throws {
        var message = DNSMessage(counts: [1, 1, 0, 0])
        message.question("a.b", 33)
        message.record(DNSMessage.asked, 33, 77, DNSMessage.service(0, 0, 0, [0]))
        let none = try read(message.bytes, "a.b", .srv)
        #expect(none.isNegative && none.ttl == 77 && none.leftOut == 0)
        var odd = DNSMessage(counts: [1, 1, 0, 0])
        odd.question("a.b", 33)
        odd.record(DNSMessage.asked, 33, 77, DNSMessage.service(0, 0, 1, [2, 0x20, 0x0A, 0]))
        let left = try read(odd.bytes, "a.b", .srv)
        #expect(left.services.isEmpty && left.leftOut == 1)
    }

    @Test func whatDnsmasqSaysIsRead() throws {
        func said(_ at: Int) throws -> DNSAnswer { try read(recorded[at].bytes, recorded[at].name, recorded[at].type) }
        let far = try said(0)
        #expect(far.addresses.map(\.text) == ["10.0.0.1"] && far.canonicalName == "one.llm.test" && far.ttl == 30)
        #expect(try said(1).addresses.map(\.text) == ["fd00::1"] && said(1).ttl == 40)
        #expect(try said(2).addresses.map(\.text) == ["10.0.1.1", "10.0.1.2"])
        #expect(try said(3).services == [
            .init(priority: 20, weight: 0, port: 8001, target: "two.llm.test", addresses: [.v4(0x0A00_0002)]),
            .init(priority: 10, weight: 60, port: 8000, target: "one.llm.test", addresses: [.v4(0x0A00_0001), .v6(high: 0xFD00_0000_0000_0000, low: 1)]),
        ])
        // It answers for itself and sends no SOA: nobody says how long a "no" is good.
        #expect(try said(4).code == 3 && said(4).isNegative && said(4).ttl == nil)
        #expect(try said(5).code == 0 && said(5).isNegative)
        #expect(try said(6).code == 5 && !said(6).isUsable)
    }

    @Test func everyTruncationIsRefused() {
        for vector in vectors + recorded {
            #expect(refusal(vector.bytes, vector.name, vector.type) == nil)
            for length in 0..<vector.bytes.count {
                guard case .malformed? = refusal(Array(vector.bytes[..<length]), vector.name, vector.type) else {
                    Issue.record("\(vector.name) cut at \(length) is not refused")
                    continue
                }
            }
        }
    }

    @Test func noBytesTrap() {
        var random = SplitMix(0xD45)
        for round in 0..<6000 {
            let vector = vectors[round % vectors.count]
            var bytes = vector.bytes
            if round % 4 == 0 {
                bytes = Array(vector.bytes[..<12]) + (0..<Int.random(in: 0..<200, using: &random)).map { _ in UInt8.random(in: 0...255, using: &random) }
            } else {
                for _ in 0..<Int.random(in: 1...8, using: &random) {
                    bytes[Int.random(in: 2..<bytes.count, using: &random)] = [0, 0xC0, 0xFF, 12, UInt8.random(in: 0...255, using: &random)][Int.random(in: 0..<5, using: &random)]
                }
            }
            if let answer = try? read(bytes, vector.name, vector.type) {
                #expect(answer.addresses.count <= DNSAnswer.recordsMax && answer.services.count <= DNSAnswer.recordsMax)
                if let ttl = answer.ttl { #expect(ttl >= 1 && ttl <= 86_400) }
            }
        }
    }
}
