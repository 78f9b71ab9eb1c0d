// HTTP/2 connections, what a client sends (a preface and SETTINGS are put before bytes that have none). Checked: what is told and what is refused don't
// depend on the cuts; a head that is told is one HTTP/1.1 head from its first byte to its last, or is refused as such; events come in an order that
// makes sense; with answers, resets and trailers given at random, pieces never name more payload than was offered, a stream ends once, and a
// connection that is over stays so. The same bytes, after a server's SETTINGS, are an answer for a client.
import CClaw
import ClawWire
import Glibc

private struct Event: Equatable {
    var kind = 0, stream: UInt32 = 0, user: UInt64 = 0, bytes: [UInt8] = [], error: UInt32 = 0, flags: UInt32 = 0

    init(_ event: claw_h2_event) {
        (kind, stream, user) = (Int(event.kind), event.stream, event.user)
        (error, flags) = (event.error, event.flags)
        if event.length > 0 { bytes = Array(UnsafeBufferPointer(start: event.bytes, count: event.length)) }
    }
}

private func make(client: Bool, _ limits: Int) -> OpaquePointer {
    var options = claw_h2_options()
    options.is_client = client ? 1 : 0
    if limits > 0 {
        (options.streams_max, options.head_bytes_max, options.head_fields_max) = (3, 500, 8)
        (options.stream_window, options.connection_window) = (70_000, 80_000)
        (options.resets_max, options.control_max, options.output_bytes_max, options.connect_protocol) = (5, 20, 4096, 1)
    }
    var session: OpaquePointer?
    check(claw_h2_create(&options, &session) == 0, "no session")
    return session!
}

/// One event after the other, checked against those before it.
private struct Story {
    var phase: [UInt32: Int] = [:]  // 1: head told, 2: trailers or end told, 3: reset told

    mutating func take(_ event: Event, client: Bool) {
        let before = phase[event.stream] ?? 0
        switch event.kind {
        case CLAW_H2_HEAD:
            check(before == 0, "a second head")
            phase[event.stream] = 1
        case CLAW_H2_INTERIM: check(client && before == 0, "an interim head behind the head")
        case CLAW_H2_DATA: check(before == 1 && !event.bytes.isEmpty, "payload out of place")
        case CLAW_H2_TRAILERS:
            check(before == 1, "trailers out of place")
            phase[event.stream] = 2
        case CLAW_H2_END:
            check(before == 1 || before == 2, "an end out of place")
            phase[event.stream] = 4
        case CLAW_H2_RESET:
            check(before != 3 && (client || before != 0), "a reset out of place")
            phase[event.stream] = 3
        case CLAW_H2_GOAWAY, CLAW_H2_PONG: break
        default: fail("an event of kind \(event.kind)")
        }
    }
}

nonisolated(unsafe) private var touched: UInt64 = 0
nonisolated(unsafe) private let head = RequestHead()

private func checkHead(_ event: Event) {
    event.bytes.withUnsafeBytes { bytes in
        var parser = RequestParser()
        switch parser.parse(bytes, limits: HeadLimits(), into: head) {
        case .complete(let end):
            check(end == bytes.count, "another request behind the head: \(show(event.bytes))")
            check(head.framing != .chunked, "a transfer coding")
        case .refused: break
        case .needMore: fail("a head that does not end: \(show(event.bytes))")
        }
    }
}

/// Feeds and pulls, nothing else.
private func watch(_ bytes: [UInt8], _ cuts: [Int], client: Bool, _ limits: Int) -> Outcome {
    let session = make(client: client, limits)
    defer { claw_h2_destroy(session) }
    if client { ask(session) }
    var all: [Event] = [], story = Story(), status: Int32 = 0, from = 0
    for cut in cuts where status == 0 {
        withCopy(Array(bytes[from..<cut])) { piece in
            status = claw_h2_feed(session, piece.baseAddress?.assumingMemoryBound(to: UInt8.self), piece.count)
            var event = claw_h2_event()
            while claw_h2_next(session, &event) != 0 {
                let one = Event(event)
                story.take(one, client: client)
                if !client && one.kind == CLAW_H2_HEAD { checkHead(one) }
                if one.kind == CLAW_H2_DATA, let last = all.last, last.kind == one.kind, last.stream == one.stream { all[all.count - 1].bytes += one.bytes } else { all.append(one) }
            }
        }
        from = cut
    }
    check((status < 0) == (claw_h2_blame(session) != nil), "blame and status disagree")
    let blame = claw_h2_blame(session).map { String(cString: $0) }, code = claw_h2_blame_code(session)
    var out: [UInt8] = [], pieces = [claw_h2_piece](repeating: claw_h2_piece(), count: 8)
    while case let count = Int(claw_h2_produce(session, 1 << 16, &pieces, 8)), count > 0 {
        for piece in pieces[..<count] where piece.bytes != nil { out += Array(UnsafeBufferPointer(start: piece.bytes, count: Int(piece.length))) }
    }
    // Payload before a reset of ours depends on the cuts: what is too much is refused with all that came with it.
    let broken = Set(all.filter { $0.kind == CLAW_H2_RESET && $0.flags & UInt32(CLAW_H2_OURS) != 0 }.map(\.stream))
    all.removeAll { $0.kind == CLAW_H2_DATA && broken.contains($0.stream) }
    return Outcome(told: all, status: status, blame: blame, code: code, endings: endings(out))
}

private struct Outcome: Equatable {
    var told: [Event], status: Int32, blame: String?, code: UInt32, endings: [[UInt8]]
}

/// The RST_STREAM and GOAWAY frames among what is sent; WINDOW_UPDATE comes as the cuts have it.
private func endings(_ bytes: [UInt8]) -> [[UInt8]] {
    var at = bytes.starts(with: Array("PRI".utf8)) ? 24 : 0, all: [[UInt8]] = []
    while at < bytes.count {
        check(at + 9 <= bytes.count, "half a frame is sent")
        let end = at + 9 + Int(bytes[at]) << 16 + Int(bytes[at + 1]) << 8 + Int(bytes[at + 2])
        check(end <= bytes.count, "half a frame is sent")
        if bytes[at + 3] == 3 || bytes[at + 3] == 7 { all.append(Array(bytes[at..<end])) }
        at = end
    }
    return all
}

private func ask(_ session: OpaquePointer) {
    for _ in 0..<3 {
        let text = "GET / HTTP/1.1\r\nHost: h\r\n\r\n"
        _ = claw_h2_ask(session, text, text.utf8.count, "https", 1, 1)
    }
    var pieces = [claw_h2_piece](repeating: claw_h2_piece(), count: 8)
    while claw_h2_produce(session, 1 << 16, &pieces, 8) > 0 {}
}

/// Feeds, and does something with what came.
private func act(_ bytes: [UInt8], _ dice: inout Dice, client: Bool, _ limits: Int) {
    let session = make(client: client, limits), other = make(client: false, 0)
    defer {
        claw_h2_destroy(session)
        claw_h2_destroy(other)
    }
    if client { ask(session) }
    var offered: [UInt32: Int] = [:], ended: Set<UInt32> = [], from = 0, now: UInt64 = 1_000_000_000
    var pieces = [claw_h2_piece](repeating: claw_h2_piece(), count: 16)
    func produce() {
        let capacity = 2 + dice.below(14), count = Int(claw_h2_produce(session, 1 + dice.below(40_000), &pieces, Int32(capacity)))
        check(count <= capacity, "more pieces than asked for")
        for piece in pieces[..<count] {
            if let bytes = piece.bytes {
                for i in 0..<Int(piece.length) { touched &+= UInt64(bytes[i]) }
                continue
            }
            check(Int(piece.length) <= offered[piece.stream] ?? 0, "\(piece.length) bytes of stream \(piece.stream), offered \(offered[piece.stream] ?? 0)")
            check(!ended.contains(piece.stream), "a piece behind the stream's last")
            offered[piece.stream, default: 0] -= Int(piece.length)
            if piece.ends != 0 { ended.insert(piece.stream) }
        }
    }
    for cut in dice.cuts(bytes.count) {
        now += UInt64(dice.below(100_000_000))
        claw_h2_clock(session, now)
        withCopy(Array(bytes[from..<cut])) { piece in
            let wasOver = claw_h2_blame(session) != nil
            let status = claw_h2_feed(session, piece.baseAddress?.assumingMemoryBound(to: UInt8.self), piece.count)
            check(!wasOver || status < 0, "a connection came back")
            var event = claw_h2_event(), left = dice.below(20) == 0 ? dice.below(3) : Int.max
            while left > 0, claw_h2_next(session, &event) != 0 {
                left -= 1
                let id = event.stream
                switch dice.below(12) {
                case 0: claw_h2_user(session, id, UInt64(dice.below(2)))
                case 1: _ = claw_h2_reset(session, id, UInt32(dice.below(14)), Int32(dice.below(2)))
                case 2, 3, 4:
                    let end = Int32(dice.below(2))
                    _ = claw_h2_answer(session, id, dice.pick([200, 204, 103, 500]), "X-A: b\r\n", 8, end)
                case 5, 6, 7:
                    let n = dice.below(30_000)
                    if claw_h2_offer(session, id, n, Int32(dice.below(2))) == 0 { offered[id] = n }
                case 8: _ = claw_h2_enough(session, id)
                case 9: _ = claw_h2_trailers(session, id, "t: 1\r\n", 6)
                case 10: claw_h2_consume(session, id, dice.below(20_000))
                default: if event.kind == CLAW_H2_DATA { claw_h2_consume(session, id, event.length) }
                }
            }
            if dice.below(8) == 0 { _ = claw_h2_feed(other, piece.baseAddress?.assumingMemoryBound(to: UInt8.self), 0) }
        }
        if dice.below(2) == 0 { produce() }
        if dice.below(30) == 0 { _ = claw_h2_goaway(session, 0, Int32(dice.below(2))) }
        if dice.below(30) == 0 { _ = claw_h2_ping(session) }
        from = cut
    }
    for _ in 0..<20 { produce() }
    _ = (claw_h2_streams(session), claw_h2_is_over(session), claw_h2_wants_write(session))
}

@c(LLVMFuzzerTestOneInput)
public func fuzzOne(_ data: UnsafePointer<UInt8>?, _ size: Int) -> CInt {
    let all = UnsafeRawBufferPointer(start: data, count: size)
    var dice = Dice(all)
    let limits = dice.below(2), settings: [UInt8] = [0, 0, 0, 4, 0, 0, 0, 0, 0], ack: [UInt8] = [0, 0, 0, 4, 1, 0, 0, 0, 0]
    let preface = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8)
    let input = Array(all)
    for client in [false, true] {
        let bytes = client ? settings + input : input.starts(with: preface.prefix(3)) ? input : preface + settings + ack + input
        let whole = watch(bytes, [bytes.count], client: client, limits), cut = watch(bytes, dice.cuts(bytes.count), client: client, limits)
        check(whole == cut, "in one piece \(whole), cut \(cut)")
        act(bytes, &dice, client: client, limits)
    }
    return 0
}
