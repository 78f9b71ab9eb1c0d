// Event streams. Checked: events, what is held and what is said at the end don't depend on the cuts, and they are those that a plain reading of
// the HTML standard's rules (§9.2.6) gives.
import ClawWire

private struct Event: Equatable {
    var data: [UInt8] = [], name: [UInt8] = []
    /// Offset behind the event's empty line, the line feed of a CRLF included if it is there.
    var end = 0
    var isOversized = false, isDone = false
}

private struct Reading: Equatable {
    var events: [Event] = []
    var isLost = false, isDone = false
    var lastID: [UInt8] = []
    var retry: Int64?
}

private func read(_ bytes: UnsafeRawBufferPointer, _ cuts: [Int], carryMax: Int) -> Reading {
    var scanner = EventScanner(carryBytesMax: carryMax, tracksID: true)
    var reading = Reading()
    var start = 0
    for cut in cuts {
        let piece = part(bytes, start..<cut)
        withCopy(piece) { piece in
            var at = 0
            scan: while true {
                switch scanner.next(piece, from: at) {
                case .needMore: break scan
                case .event(let event):
                    check(event.end > at && event.end <= piece.count, "an event's end outside the piece")
                    check(event.data.count <= carryMax && (!event.isOversized || event.data.count == 0), "data over the limit")
                    var end = start + event.end
                    if bytes[end - 1] == 13 && end < bytes.count && bytes[end] == 10 { end += 1 }
                    reading.events.append(
                        Event(data: Array(event.data), name: Array(event.name), end: end, isOversized: event.isOversized, isDone: event.isDone))
                    at = event.end
                }
            }
        }
        check(scanner.heldBytes <= carryMax + 257, "\(scanner.heldBytes) bytes held, limit \(carryMax)")
        if scanner.isBetweenEvents {
            // What the last call gave is good until the next call, so one call more.
            _ = scanner.next(piece, from: piece.count)
            check(scanner.heldBytes == 0, "memory held between events")
        }
        start = cut
    }
    (reading.isLost, reading.isDone) = scanner.finish()
    reading.lastID = scanner.lastEventID
    reading.retry = scanner.retryMilliseconds
    check(scanner.heldBytes == 0, "memory held after the end")
    return reading
}

private func isMarker(_ data: [UInt8]) -> Bool {
    var text = data[...]
    while text.first == 0x20 { text.removeFirst() }
    while text.last == 0x20 { text.removeLast() }
    return text.elementsEqual("[DONE]".utf8)
}

/// The standard's rules, line by line, with the two limits on top.
private func readPlainly(_ bytes: UnsafeRawBufferPointer, carryMax: Int) -> Reading {
    var reading = Reading()
    let all = Array(bytes)
    var at = all.starts(with: [0xEF, 0xBB, 0xBF]) ? 3 : 0
    var data: [UInt8]?, name: [UInt8] = [], id: [UInt8] = []
    var isOversized = false
    while at < all.count {
        var end = at
        while end < all.count && all[end] != 10 && all[end] != 13 { end += 1 }
        let line = Array(all[at..<end])
        let isWhole = end < all.count
        if isWhole {
            let isPair = all[end] == 13 && end + 1 < all.count && all[end + 1] == 10
            at = end + (isPair ? 2 : 1)
        } else {
            at = all.count
        }
        if line.isEmpty {
            if let text = data {
                let isLong = isOversized || text.count > carryMax || name.count > 256
                reading.events.append(
                    Event(data: isLong ? [] : text, name: name.count > 256 ? [] : name, end: at, isOversized: isLong, isDone: !isLong && isMarker(text)))
            }
            reading.lastID = id
            (data, name, isOversized) = (nil, [], false)
            continue
        }
        let colon = line.firstIndex(of: 0x3A)
        let field = String(decoding: line[..<(colon ?? line.count)], as: UTF8.self)
        var value = Array(line[(colon.map { $0 + 1 } ?? line.count)...])
        if value.first == 0x20 { value.removeFirst() }
        if !isWhole {
            // Only for the marker at a stream's end: the line counts if its value has begun.
            if field == "data", colon != nil {
                data = (data.map { $0 + [10] } ?? []) + value
                if (data?.count ?? 0) > carryMax { isOversized = true }
                reading.isDone = !isOversized && isMarker(data ?? [])
            }
            reading.isLost = true
            data = nil
            continue
        }
        switch field {
        case "data":
            data = (data.map { $0 + [10] } ?? []) + value
            if (data?.count ?? 0) > carryMax { isOversized = true }
        case "event": name = value
        case "id": if !value.contains(0) && value.count <= 4096 { id = value }
        case "retry":
            if !value.isEmpty && value.count <= 4096 && value.allSatisfy({ $0 >= 0x30 && $0 <= 0x39 }) {
                reading.retry = Int64(String(decoding: value, as: UTF8.self)) ?? .max
            }
        default: break
        }
    }
    if let data {
        reading.isLost = true
        reading.isDone = !isOversized && isMarker(data)
    }
    return reading
}

@c(LLVMFuzzerTestOneInput)
public func fuzzOne(_ data: UnsafePointer<UInt8>?, _ size: Int) -> CInt {
    let bytes = UnsafeRawBufferPointer(start: data, count: size)
    var dice = Dice(bytes)
    let carryMax = dice.pick([65536, 65536, 20, 6, 0])
    let whole = read(bytes, [size], carryMax: carryMax)
    let cut = read(bytes, dice.cuts(size), carryMax: carryMax)
    check(cut == whole, "limit \(carryMax), cut: \(cut), whole: \(whole)")
    let plain = readPlainly(bytes, carryMax: carryMax)
    check(plain == whole, "limit \(carryMax), by the rules: \(plain), scanned: \(whole)")
    return 0
}
