import CClaw
import Glibc
import Testing

/// An HTTP/2 frame, to be sent raw or as read back.
struct Frame: Equatable, CustomStringConvertible {
    enum Kind: UInt8 {
        case data, headers, priority, reset, settings, push, ping, goaway, windowUpdate, continuation, priorityUpdate = 0x10, unknown = 0xBB
    }

    var kind: Kind
    var flags: UInt8 = 0
    var stream: UInt32 = 0
    var payload: [UInt8] = []

    static let end: UInt8 = 1, ack: UInt8 = 1, endHeaders: UInt8 = 4, padded: UInt8 = 8, hasPriority: UInt8 = 32

    var bytes: [UInt8] {
        let n = payload.count
        return [UInt8(n >> 16 & 255), UInt8(n >> 8 & 255), UInt8(n & 255), kind.rawValue, flags] + word(stream) + payload
    }

    /// The code of a RST_STREAM or GOAWAY.
    var code: UInt32? {
        switch kind {
        case .reset: return number(payload, 0)
        case .goaway: return number(payload, 4)
        default: return nil
        }
    }

    var ends: Bool { flags & Frame.end != 0 }
    var description: String { "\(kind)(\(flags)) on \(stream), \(payload.count) bytes\(code.map { ", code \($0)" } ?? "")" }
}

func word(_ n: UInt32) -> [UInt8] { [UInt8(n >> 24), UInt8(n >> 16 & 255), UInt8(n >> 8 & 255), UInt8(n & 255)] }
func number(_ bytes: [UInt8], _ at: Int) -> UInt32 { bytes[at..<at + 4].reduce(0) { $0 << 8 | UInt32($1) } }

let preface = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8)
typealias Fields = [(String, String)]

/// HPACK without indexing and Huffman: every octet as it is.
func hpack(_ fields: Fields) -> [UInt8] {
    fields.flatMap { name, value in [UInt8(0)] + hpackString(Array(name.utf8)) + hpackString(Array(value.utf8)) }
}

func hpackString(_ bytes: [UInt8]) -> [UInt8] {
    guard bytes.count >= 127 else { return [UInt8(bytes.count)] + bytes }
    var out: [UInt8] = [127], left = bytes.count - 127
    while left >= 128 {
        out.append(UInt8(left & 127 | 128))
        left >>= 7
    }
    return out + [UInt8(left)] + bytes
}

func headers(_ stream: UInt32, _ fields: Fields, end: Bool = true) -> Frame {
    Frame(kind: .headers, flags: Frame.endHeaders | (end ? Frame.end : 0), stream: stream, payload: hpack(fields))
}

func data(_ stream: UInt32, _ text: String, end: Bool = false) -> Frame { Frame(kind: .data, flags: end ? Frame.end : 0, stream: stream, payload: Array(text.utf8)) }
func reset(_ stream: UInt32, _ code: UInt32 = 8) -> Frame { Frame(kind: .reset, stream: stream, payload: word(code)) }
func windowUpdate(_ stream: UInt32, _ by: UInt32) -> Frame { Frame(kind: .windowUpdate, stream: stream, payload: word(by)) }
func settings(_ entries: [(UInt16, UInt32)] = []) -> Frame {
    Frame(kind: .settings, payload: entries.flatMap { [UInt8($0 >> 8), UInt8($0 & 255)] + word($1) })
}

let get: Fields = [(":method", "GET"), (":scheme", "https"), (":authority", "example.com"), (":path", "/v1/models")]
let post: Fields = [(":method", "POST"), (":scheme", "https"), (":authority", "example.com"), (":path", "/v1/chat")]

enum Code {
    static let none: UInt32 = 0, protocolError: UInt32 = 1, internalError: UInt32 = 2, flowControl: UInt32 = 3, streamClosed: UInt32 = 5, frameSize: UInt32 = 6,
        refused: UInt32 = 7, cancel: UInt32 = 8, compression: UInt32 = 9, calm: UInt32 = 11
}

/// An event with its bytes taken along.
struct Told: Equatable, CustomStringConvertible {
    var kind: Int, stream: UInt32, user: UInt64, text: String, error: UInt32, flags: UInt32
    var description: String { "event \(kind) on \(stream) of \(user), error \(error), flags \(flags): \(text.debugDescription)" }
}

/// One session, fed and pulled by a test.
final class Session {
    let raw: OpaquePointer
    private(set) var status: Int32 = 0
    private(set) var failed = false
    /// Payload of pieces is this octet.
    static let filler = UInt8(ascii: "x")
    private(set) var endings: [UInt32] = []

    init(client: Bool = false, _ change: (inout claw_h2_options) -> Void = { _ in }) {
        var options = claw_h2_options()
        options.is_client = client ? 1 : 0
        change(&options)
        var made: OpaquePointer?
        precondition(claw_h2_create(&options, &made) == 0)
        raw = made!
    }

    deinit { claw_h2_destroy(raw) }

    /// A server that has seen a client's preface and SETTINGS, its own first frames taken.
    static func server(_ change: (inout claw_h2_options) -> Void = { _ in }) -> Session {
        let server = Session(client: false, change)
        _ = server.feed(preface + settings().bytes + Frame(kind: .settings, flags: Frame.ack).bytes, produceFirst: true)
        _ = server.produce()
        return server
    }

    @discardableResult func feed(_ bytes: [UInt8], step: Int = .max, produceFirst: Bool = false) -> [Told] {
        if produceFirst { _ = produce() }
        var all: [Told] = [], at = 0
        repeat {
            let next = step == .max ? bytes.count : min(bytes.count, at + step)
            // Memory of its own, so that a sanitizer sees a read behind it.
            let memory = UnsafeMutablePointer<UInt8>.allocate(capacity: max(next - at, 1))
            for i in at..<next { memory[i - at] = bytes[i] }
            status = claw_h2_feed(raw, memory, next - at)
            if status < 0 { failed = true }
            all += pull()
            memory.deallocate()
            at = next
        } while at < bytes.count
        return all
    }

    @discardableResult func feed(_ frames: Frame..., step: Int = .max) -> [Told] { feed(frames.flatMap(\.bytes), step: step) }
    @discardableResult func feed(_ frames: [Frame]) -> [Told] { feed(frames.flatMap(\.bytes)) }

    func pull() -> [Told] {
        var all: [Told] = [], event = claw_h2_event()
        while claw_h2_next(raw, &event) != 0 {
            let text = event.length == 0 ? "" : String(decoding: UnsafeBufferPointer(start: event.bytes, count: event.length), as: UTF8.self)
            all.append(Told(kind: Int(event.kind), stream: event.stream, user: event.user, text: text, error: event.error, flags: event.flags))
        }
        return all
    }

    /// What is to be sent, as bytes; payload is filler.
    func output(budget: Int = 1 << 20, capacity: Int = 64, calls: Int = .max) -> [UInt8] {
        var out: [UInt8] = [], pieces = [claw_h2_piece](repeating: claw_h2_piece(), count: capacity), left = calls
        while left > 0 {
            let count = Int(claw_h2_produce(raw, budget, &pieces, Int32(capacity)))
            if count == 0 { break }
            for piece in pieces[..<count] {
                #expect(piece.reserved == 0)
                if let bytes = piece.bytes { out += Array(UnsafeBufferPointer(start: bytes, count: Int(piece.length))) }
                else { out += [UInt8](repeating: Session.filler, count: Int(piece.length)) }
                if piece.ends != 0 { endings.append(piece.stream) }
            }
            left -= 1
        }
        return out
    }

    func produce(budget: Int = 1 << 20, capacity: Int = 64, calls: Int = .max) -> [Frame] { Session.frames(output(budget: budget, capacity: capacity, calls: calls)) }

    static func frames(_ bytes: [UInt8]) -> [Frame] {
        var at = bytes.starts(with: preface) ? preface.count : 0, all: [Frame] = []
        while at + 9 <= bytes.count {
            let n = Int(bytes[at]) << 16 | Int(bytes[at + 1]) << 8 | Int(bytes[at + 2])
            guard at + 9 + n <= bytes.count else { break }
            all.append(Frame(kind: Frame.Kind(rawValue: bytes[at + 3]) ?? .unknown, flags: bytes[at + 4], stream: number(bytes, at + 5) & 0x7FFF_FFFF, payload: Array(bytes[at + 9..<at + 9 + n])))
            at += 9 + n
        }
        #expect(at == bytes.count)
        return all
    }

    @discardableResult func answer(_ stream: UInt32, _ status: UInt32 = 200, _ lines: String = "", end: Bool = true) -> Int32 {
        claw_h2_answer(raw, stream, status, lines, lines.utf8.count, end ? 1 : 0)
    }

    @discardableResult func ask(_ head: String, user: UInt64 = 1, end: Bool = true) -> Int32 { claw_h2_ask(raw, head, head.utf8.count, "https", user, end ? 1 : 0) }

    var blame: String? { claw_h2_blame(raw).map { String(cString: $0) } }
    var isOver: Bool { claw_h2_is_over(raw) != 0 }
}

/// Client and server in one memory.
struct Pair {
    let client = Session(client: true), server = Session()

    init() {
        for _ in 0..<2 {
            toServer()
            toClient()
        }
    }

    @discardableResult func toServer(step: Int = .max) -> [Told] { server.feed(client.output(), step: step) }
    @discardableResult func toClient(step: Int = .max) -> [Told] { client.feed(server.output(), step: step) }
}
