// Chunked bodies. Checked: body, trailers and verdict don't depend on the cuts; the fast way past plain chunks agrees with the reader; any
// body, written in chunks with extensions and trailers, comes out again.
import ClawWire

private struct Reading: Equatable {
    var body: [UInt8] = [], trailers: [UInt8] = []
    var bodyBytes: UInt64 = 0
    /// Offsets count from the body's first byte.
    var outcome = ChunkedReader.Step.needMore
}

private struct Limits { var extensions: Int, trailers: Int }

private func read(_ bytes: UnsafeRawBufferPointer, _ cuts: [Int], _ limits: Limits, keepsTrailers: Bool) -> Reading {
    var reader = ChunkedReader(extensionBytesMax: limits.extensions, trailerBytesMax: limits.trailers, keepTrailers: keepsTrailers)
    var reading = Reading()
    var start = 0
    pieces: for cut in cuts {
        let isOver = withCopy(part(bytes, start..<cut)) { piece -> Bool in
            var at = 0
            while true {
                switch reader.next(piece, from: at) {
                case .needMore: return false
                case .data(let range):
                    check(range.lowerBound >= at && range.upperBound <= piece.count && !range.isEmpty, "data outside the piece: \(range)")
                    reading.body += piece[range]
                    at = range.upperBound
                case .end(let end):
                    check(end >= at && end <= piece.count && reader.isDone, "an end outside the piece")
                    reading.outcome = .end(start + end)
                    return true
                case .refused(var refusal):
                    check(refusal.offset >= at && refusal.offset < piece.count, "a refusal outside the piece")
                    refusal.offset += start
                    reading.outcome = .refused(refusal)
                    return true
                }
            }
        }
        if isOver { break pieces }
        start = cut
    }
    reading.trailers = reader.trailers
    reading.bodyBytes = reader.bodyBytes
    return reading
}

/// Reads with the short cut wherever the reader says that a chunk begins.
private func readFast(_ bytes: UnsafeRawBufferPointer, _ limits: Limits) -> Reading {
    var reader = ChunkedReader(extensionBytesMax: limits.extensions, trailerBytesMax: limits.trailers)
    var reading = Reading()
    var at = 0
    while true {
        while reader.isBetweenChunks, let chunk = ChunkedReader.plainChunk(bytes, at: at) {
            check(chunk.dataStart > at && chunk.dataCount > 0 && chunk.end == chunk.dataStart + chunk.dataCount + 2 && chunk.end <= bytes.count, "a plain chunk outside the bytes")
            reading.body += bytes[chunk.dataStart..<chunk.dataStart + chunk.dataCount]
            at = chunk.end
        }
        switch reader.next(bytes, from: at) {
        case .needMore: return reading
        case .data(let range):
            reading.body += bytes[range]
            at = range.upperBound
        case let step:
            reading.outcome = step
            return reading
        }
    }
}

/// `starts`: the offsets at which a chunk begins.
private func write(_ body: UnsafeRawBufferPointer, _ dice: inout Dice) -> (text: [UInt8], trailers: [UInt8], starts: Set<Int>) {
    var out: [UInt8] = []
    var starts: Set<Int> = []
    var at = 0
    while at < body.count {
        starts.insert(out.count)
        let count = min(body.count - at, 1 + dice.below(dice.pick([3, 40, 5000])))
        out += Array(String(repeating: "0", count: dice.below(3)).utf8) + Array(String(count, radix: 16, uppercase: dice.below(2) == 0).utf8)
        out += Array(dice.pick(["", "", ";a", " ;a=b", ";a=\"b\\\";\"; c"]).utf8) + [13, 10]
        out += body[at..<at + count] + [13, 10]
        at += count
    }
    starts.insert(out.count)
    let trailers = Array(dice.pick(["", "", "a: b\r\n", "x-one:\r\nx-two: 2 \r\n"]).utf8)
    return (out + Array("0\r\n".utf8) + trailers + [13, 10], trailers, starts)
}

@c(LLVMFuzzerTestOneInput)
public func fuzzOne(_ data: UnsafePointer<UInt8>?, _ size: Int) -> CInt {
    let bytes = UnsafeRawBufferPointer(start: data, count: size)
    var dice = Dice(bytes)
    let limits = dice.below(3) == 0 ? Limits(extensions: dice.below(20), trailers: dice.below(40)) : Limits(extensions: 4096, trailers: 16384)
    let whole = read(bytes, [size], limits, keepsTrailers: true)
    let cut = read(bytes, dice.cuts(size), limits, keepsTrailers: true)
    check(cut == whole, "cut: \(cut), whole: \(whole)")
    check(whole.bodyBytes == UInt64(whole.body.count), "\(whole.bodyBytes) counted, \(whole.body.count) seen")
    let fast = readFast(bytes, limits)
    check(fast.body == whole.body && fast.outcome == whole.outcome, "with plain chunks passed at once: \(fast), else \(whole)")
    switch whole.outcome {
    case .refused(let refusal):
        let before = read(part(bytes, 0..<refusal.offset), [refusal.offset], limits, keepsTrailers: false)
        check(before.outcome == .needMore, "refused, but not by its last byte: \(refusal)")
    case .end(let end):
        check(read(part(bytes, 0..<end), [end], limits, keepsTrailers: true) == whole, "whole, but not without the bytes behind it")
        check(read(part(bytes, 0..<end - 1), [end - 1], limits, keepsTrailers: true).outcome == .needMore, "whole before its last byte")
    case .needMore, .data: break
    }

    let (text, trailers, starts) = write(bytes, &dice)
    let back = text.withUnsafeBytes { read($0, dice.cuts(text.count), Limits(extensions: 1 << 20, trailers: 100), keepsTrailers: true) }
    check(back.outcome == .end(text.count) && back.body == Array(bytes) && back.trailers == trailers, "written and read: \(back)")
    var reader = ChunkedReader(extensionBytesMax: 1 << 20)
    text.withUnsafeBytes { text in
        for at in 0..<text.count {
            check(reader.isBetweenChunks == starts.contains(at), "isBetweenChunks is \(reader.isBetweenChunks) at \(at) of \(show(Array(text)))")
            _ = reader.next(part(text, at..<at + 1), from: 0)
        }
    }
    return 0
}
