// MockTally: what one mock worker counted. Plain words with one writer, read by whoever answers GET /mock/stats, and a bounded ring of
// the last requests as they came (GET /mock/last) under a lock that nobody else holds for more than a copy. Requests to /mock/…
// itself are not counted, so that asking changes nothing but the connection figures.
import CClaw

/// What a request asked for; the label of `by_path`.
enum MockEndpoint: Int, CaseIterable {
    case chat, completions, embeddings, responses, models
    case messages, countTokens
    case geminiGenerate, geminiStream, geminiEmbed, geminiBatchEmbed, geminiCount
    case ollamaChat, ollamaGenerate, ollamaEmbed, ollamaTags
    case converse, converseStream, invoke, bedrockCount
    case cohereChat, cohereEmbed
    case bytes, echo, admin

    var label: StaticString {
        switch self {
        case .chat: "/v1/chat/completions"
        case .completions: "/v1/completions"
        case .embeddings: "/v1/embeddings"
        case .responses: "/v1/responses"
        case .models: "/v1/models"
        case .messages: "/v1/messages"
        case .countTokens: "/v1/messages/count_tokens"
        case .geminiGenerate: ":generateContent"
        case .geminiStream: ":streamGenerateContent"
        case .geminiEmbed: ":embedContent"
        case .geminiBatchEmbed: ":batchEmbedContents"
        case .geminiCount: ":countTokens"
        case .ollamaChat: "/api/chat"
        case .ollamaGenerate: "/api/generate"
        case .ollamaEmbed: "/api/embed"
        case .ollamaTags: "/api/tags"
        case .converse: "/model/converse"
        case .converseStream: "/model/converse-stream"
        case .invoke: "/model/invoke"
        case .bedrockCount: "/model/count-tokens"
        case .cohereChat: "/v2/chat"
        case .cohereEmbed: "/v2/embed"
        case .bytes: "/bytes"
        case .echo: "other"
        case .admin: "/mock"
        }
    }
}

enum MockCount: Int, CaseIterable {
    /// Heads that parsed, /mock/… not among them.
    case requests
    /// Answers given whole.
    case finished
    /// Requests or answers that the client broke off.
    case aborted
    /// Answers that the script broke off.
    case broken
    /// Requests that did not parse.
    case refused
    case streamsStarted, streamsFinished, streamsAborted, streamsBroken
    case bytesIn, bytesOut, tokensSent, eventsSent
    case connectionsAccepted, connectionsOpen, inFlight
}

/// A client that left while its answer was under way.
struct MockDeparture {
    /// Nanoseconds since 1970.
    var at: UInt64 = 0
    var endpoint = MockEndpoint.echo
    var bytesSent: UInt64 = 0
    var tokensSent = 0
}

/// One remembered request.
struct MockRecord {
    static let headBytesMax = 8192
    static let bodyBytesMax = 4096
    /// Nanoseconds since 1970, and the worker's number of the request; 0 while unused.
    var at: UInt64 = 0
    var number: UInt64 = 0
    var headLength = 0
    var headTotal = 0
    var bodyLength = 0
    var bodyTotal: UInt64 = 0
    var isBodyWhole = false
}

final class MockTally: @unchecked Sendable {
    static let ring = 64
    private static let words = MockCount.allCases.count + MockEndpoint.allCases.count + 600
    private let counts: UnsafeMutablePointer<UInt64>
    private let departures = Lock<[MockDeparture]>([])
    private let records: UnsafeMutablePointer<MockRecord>
    private let recordBytes: UnsafeMutablePointer<UInt8>
    private let recordLock = Lock<Void>(())

    init() {
        counts = .allocate(capacity: Self.words)
        counts.initialize(repeating: 0, count: Self.words)
        records = .allocate(capacity: Self.ring)
        records.initialize(repeating: MockRecord(), count: Self.ring)
        recordBytes = .allocate(capacity: Self.ring * (MockRecord.headBytesMax + MockRecord.bodyBytesMax))
    }

    deinit {
        counts.deallocate()
        records.deallocate()
        recordBytes.deallocate()
    }

    // ---- written by the worker ----

    @inline(__always)
    func add(_ count: MockCount, _ n: UInt64 = 1) { claw_counter_add(counts + count.rawValue, n) }

    /// Takes back what was counted before its send turned out to fail; also lowers the gauges.
    @inline(__always)
    func takeBack(_ count: MockCount, _ n: UInt64 = 1) { claw_counter_add(counts + count.rawValue, 0 &- n) }

    func add(path: MockEndpoint) { claw_counter_add(counts + MockCount.allCases.count + path.rawValue, 1) }

    func add(status: Int) {
        guard status > 0, status < 600 else { return }
        claw_counter_add(counts + MockCount.allCases.count + MockEndpoint.allCases.count + status, 1)
    }

    func addDeparture(_ departure: MockDeparture) {
        departures.withLock { list in
            if list.count == Self.ring { list.removeFirst() }
            list.append(departure)
        }
    }

    func record(number: UInt64, at: UInt64, head: UnsafeRawBufferPointer) {
        let slot = Int(number % UInt64(Self.ring))
        let length = min(head.count, MockRecord.headBytesMax)
        recordLock.withLock { _ in
            records[slot] = MockRecord(at: at, number: number, headLength: length, headTotal: head.count)
            if let start = head.baseAddress {
                UnsafeMutableRawPointer(bytes(slot)).copyMemory(from: start, byteCount: length)
            }
        }
    }

    func record(number: UInt64, body: UnsafeRawBufferPointer, isLast: Bool) {
        let slot = Int(number % UInt64(Self.ring))
        recordLock.withLock { _ in
            guard records[slot].number == number else { return }
            let room = MockRecord.bodyBytesMax - records[slot].bodyLength
            let length = min(room, body.count)
            if length > 0, let start = body.baseAddress {
                UnsafeMutableRawPointer(bytes(slot) + MockRecord.headBytesMax + records[slot].bodyLength)
                    .copyMemory(from: start, byteCount: length)
                records[slot].bodyLength += length
            }
            records[slot].bodyTotal &+= UInt64(body.count)
            if isLast { records[slot].isBodyWhole = true }
        }
    }

    private func bytes(_ slot: Int) -> UnsafeMutablePointer<UInt8> {
        recordBytes + slot * (MockRecord.headBytesMax + MockRecord.bodyBytesMax)
    }

    // ---- read by anybody ----

    /// All words: counts, then by path, then by status.
    func snapshot() -> [UInt64] { (0 ..< Self.words).map { claw_word_load_relaxed(counts + $0) } }

    static func sum(_ tallies: [MockTally]) -> [UInt64] {
        var total = [UInt64](repeating: 0, count: words)
        for tally in tallies {
            for (place, value) in tally.snapshot().enumerated() { total[place] &+= value }
        }
        return total
    }

    func lastDepartures() -> [MockDeparture] { departures.withLock { $0 } }

    func forgetDeparturesAndRecords() {
        departures.withLock { $0.removeAll() }
        recordLock.withLock { _ in
            for slot in 0 ..< Self.ring { records[slot] = MockRecord() }
        }
    }

    /// Copies of the remembered requests: head and body bytes.
    func lastRecords() -> [(record: MockRecord, head: [UInt8], body: [UInt8])] {
        recordLock.withLock { _ in
            (0 ..< Self.ring).compactMap { slot in
                let record = records[slot]
                guard record.number > 0 else { return nil }
                let start = bytes(slot)
                return (
                    record,
                    Array(UnsafeBufferPointer(start: start, count: record.headLength)),
                    Array(UnsafeBufferPointer(start: start + MockRecord.headBytesMax, count: record.bodyLength))
                )
            }
        }
    }
}
