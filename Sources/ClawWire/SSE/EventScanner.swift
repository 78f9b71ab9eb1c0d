import CScan

// Finds the events of a text/event-stream (HTML standard §9.2) in bytes as they arrive, in place. It reads along; the bytes themselves
// are relayed by somebody else, unchanged. What it says doesn't depend on how the stream is cut into feeds.

/// One event: where its data lies. Data of one `data:` line inside the fed bytes is a span of them; data that spans feeds or lines is in the carry.
/// Both pointers are good until the next call of the scanner.
public struct SSEEvent {
    public var data: UnsafeRawBufferPointer
    /// The event's name, empty for "message".
    public var name: UnsafeRawBufferPointer
    /// Offset in the fed bytes just behind the event's empty line.
    public var end: Int
    /// The data was longer than the carry's limit (or the name than 256 bytes) and is not given (`data` is empty).
    public var isOversized: Bool
    /// The data, spaces around it ignored, is `[DONE]`.
    public var isDone: Bool
    public init(data: UnsafeRawBufferPointer, name: UnsafeRawBufferPointer, end: Int, isOversized: Bool, isDone: Bool) {
        self.data = data; self.name = name; self.end = end; self.isOversized = isOversized; self.isDone = isDone
    }
}

public enum SSEStep {
    /// All fed bytes are used; no event ends in them any more.
    case needMore
    /// An event with data. Call again with `from: event.end`.
    case event(SSEEvent)
}

/// Scanner state of one stream. Holds no memory while no event is cut by a feed.
///
/// A line that a feed cuts is never kept as such: its field is told by the bytes of its name as they come (`field`, `matched`), and a value
/// goes piece by piece to where the whole would go: data behind the data so far, a name over the name so far. So nothing is read twice and the
/// carry holds at most `carryBytesMax` bytes of data, however long a line is.
public struct EventScanner: ~Copyable {
    /// A name longer than this makes its event oversized.
    static let nameBytesMax = 256

    /// The field of the line under way. The first six are also what a line that begins can become.
    enum Field: UInt8 { case none, data, event, id, retry, ignored }

    /// Data of the event under way, as far as it isn't in the bytes being fed; and an event's data until the call after it.
    var carry: UnsafeMutablePointer<UInt8>?
    var name: UnsafeMutablePointer<UInt8>?
    /// Present only when ids are tracked.
    var memory: UnsafeMutablePointer<EventMemory>?
    var carryCount: UInt32 = 0
    var carryCapacity: UInt32 = 0
    let carryMax: UInt32
    var nameCount: UInt16 = 0
    /// Bytes of a byte order mark seen at the stream's start; 3 when that question is settled.
    private var markCount: UInt8 = 0
    /// `none` exactly when the bytes so far end at a line's start.
    private var field = Field.none
    /// Bytes of the field's name seen; the name's length when its colon is still to come.
    private var matched: UInt8 = 0
    /// The colon has been seen.
    private var isInValue = false
    /// The colon was the last byte: one space may follow that is not of the value.
    private var isBeforeSpace = false
    /// The last byte ended a line and was CR: an LF now belongs to it.
    private var isAfterCR = false
    /// The event has a data line, ended or not.
    private var hasData = false
    var isOversized = false
    /// The block has a line that is no comment.
    private var isBlockOpen = false

    /// `tracksID`: also keep the last event id and the reconnection time, which costs memory for as long as the stream lives.
    public init(carryBytesMax: Int = 65536, tracksID: Bool = false) {
        carryMax = UInt32(clamping: carryBytesMax)
        if tracksID {
            let memory = UnsafeMutablePointer<EventMemory>.allocate(capacity: 1)
            memory.initialize(to: EventMemory())
            self.memory = memory
        }
    }

    deinit {
        carry?.deallocate()
        name?.deallocate()
        if let memory {
            memory.deinitialize(count: 1)
            memory.deallocate()
        }
    }

    /// The next event that ends in `bytes`, read from `offset` on. A feed is read from offset 0, then from each event's `end`, until `needMore`.
    public mutating func next(_ bytes: UnsafeRawBufferPointer, from offset: Int) -> SSEStep {
        precondition(offset >= 0 && offset <= bytes.count, "offset lies in the fed bytes")
        if !isBlockOpen && (carry != nil || name != nil) { release() }
        guard offset < bytes.count, let base = bytes.baseAddress?.assumingMemoryBound(to: UInt8.self) else { return .needMore }
        var at = base + offset
        let end = base + bytes.count

        if markCount < 3 { skipByteOrderMark(&at, end) }
        if isAfterCR && at < end {
            isAfterCR = false
            if at.pointee == 0x0A { at += 1 }
        }
        // The event's data and name as spans of the fed bytes; those of earlier feeds are in carry and name.
        var data = UnsafeBufferPointer<UInt8>(start: nil, count: 0)
        var type = UnsafeBufferPointer<UInt8>(start: nil, count: 0)
        if field != .none && at < end { resumeLine(&at, end) }

        while at < end {
            let first = at.pointee
            if first == 0x0A || first == 0x0D {
                at = endLine(at, end)
                isBlockOpen = false
                if hasData { return .event(finishEvent(data: data, type: type, end: at - base)) }
                nameCount = 0
                type = UnsafeBufferPointer(start: nil, count: 0)
                memory?.pointee.commit()
                continue
            }
            let length = cscan_line_end(at, end - at)
            let line = at
            let isWhole = length < end - at
            if isWhole { at = endLine(at + length, end) } else { at = end }

            // `data` comes in nearly all lines, so it is asked first.
            if length >= 5, Self.isData(line) {
                let skip = length > 5 && line[5] == 0x20 ? 6 : 5
                isBlockOpen = true
                if isWhole && !hasData {
                    hasData = true
                    data = UnsafeBufferPointer(start: line + skip, count: length - skip)
                    continue
                }
                if data.baseAddress != nil {
                    append(data)
                    data = UnsafeBufferPointer(start: nil, count: 0)
                }
                beginData()
                append(UnsafeBufferPointer(start: line + skip, count: length - skip))
                if !isWhole {
                    field = .data
                    isInValue = true
                    isBeforeSpace = length == 5
                }
                continue
            }
            if first == 0x3A {
                if !isWhole { field = .ignored }
                continue
            }
            isBlockOpen = true
            if isWhole && length >= 6 && Self.isEvent(line) {
                let skip = length > 6 && line[6] == 0x20 ? 7 : 6
                nameCount = 0
                type = UnsafeBufferPointer(start: line + skip, count: length - skip)
                continue
            }
            // Everything else goes the slow way, as if cut before its first byte: what came of this event so far must be in carry and name.
            keep(&data, &type)
            var byte = line
            let stop = line + length
            beginLine(&byte, stop)
            if isWhole { finishLine() }
        }
        keep(&data, &type)
        return .needMore
    }

    /// The stream ended. True when an unfinished line or event was thrown away; `isDone` when a last `data: [DONE]` line had no empty line behind it.
    public mutating func finish() -> (lost: Bool, isDone: Bool) {
        let isCutMark = markCount == 1 || markCount == 2
        let lost = hasData || field != .none || isCutMark
        // A cut data line has put its value in the carry already; one that only shows its name has no value and isn't the marker.
        let endsInData = field == .none || (field == .data && isInValue)
        let isDone = hasData && endsInData && !isOversized && Self.isMarker(UnsafeBufferPointer(start: carry, count: Int(carryCount)))
        hasData = false
        field = .none
        isBlockOpen = false
        release()
        return (lost, isDone)
    }

    /// True exactly when the bytes so far end between events (where a comment may be inserted): at a line's start, in a block that has
    /// nothing but comments. A byte order mark can't come any more once a comment was inserted before the stream's first byte.
    public var isBetweenEvents: Bool { field == .none && !isBlockOpen && markCount != 1 && markCount != 2 }

    /// Bytes of memory held beyond the scanner itself, ids aside.
    public var heldBytes: Int { Int(carryCapacity) + (name == nil ? 0 : Self.nameBytesMax + 1) }

    /// The last event id, empty if none came or ids aren't tracked.
    public var lastEventID: [UInt8] { memory?.pointee.lastID ?? [] }
    /// The reconnection time in force in milliseconds (clamped to 64 bits), nil if none came or ids aren't tracked.
    public var retryMilliseconds: Int64? { memory?.pointee.retry }
}

// MARK: - Events

extension EventScanner {
    private mutating func finishEvent(data: UnsafeBufferPointer<UInt8>, type: UnsafeBufferPointer<UInt8>, end: Int) -> SSEEvent {
        var text = data
        if data.baseAddress == nil { text = UnsafeBufferPointer(start: carry, count: Int(carryCount)) }
        var named = type
        if type.baseAddress == nil { named = UnsafeBufferPointer(start: name, count: Int(nameCount)) }
        let tooLong = isOversized || text.count > Int(carryMax) || named.count > Self.nameBytesMax
        if tooLong {
            text = UnsafeBufferPointer(start: nil, count: 0)
            if named.count > Self.nameBytesMax { named = text }
        }
        hasData = false
        isOversized = false
        nameCount = 0
        carryCount = 0
        memory?.pointee.commit()
        return SSEEvent(
            data: UnsafeRawBufferPointer(text), name: UnsafeRawBufferPointer(named), end: end, isOversized: tooLong,
            isDone: !tooLong && Self.isMarker(text))
    }

    private static func isMarker(_ text: UnsafeBufferPointer<UInt8>) -> Bool {
        guard text.count >= 6, let base = text.baseAddress else { return false }
        var low = 0
        var high = text.count
        while low < high && base[low] == 0x20 { low += 1 }
        // Nearly every event is a JSON object and ends the question here.
        guard low < high, base[low] == 0x5B else { return false }
        while high > low && base[high - 1] == 0x20 { high -= 1 }
        guard high - low == 6 else { return false }
        let at = base + low
        return at[1] == 0x44 && at[2] == 0x4F && at[3] == 0x4E && at[4] == 0x45 && at[5] == 0x5D
    }

    private static func isData(_ line: UnsafePointer<UInt8>) -> Bool {
        line[0] == 0x64 && line[1] == 0x61 && line[2] == 0x74 && line[3] == 0x61 && line[4] == 0x3A
    }

    private static func isEvent(_ line: UnsafePointer<UInt8>) -> Bool {
        line[0] == 0x65 && line[1] == 0x76 && line[2] == 0x65 && line[3] == 0x6E && line[4] == 0x74 && line[5] == 0x3A
    }
}

// MARK: - Lines that are cut, or rare

extension EventScanner {
    /// Steps over the line end at `at`.
    private mutating func endLine(_ at: UnsafePointer<UInt8>, _ end: UnsafePointer<UInt8>) -> UnsafePointer<UInt8> {
        guard at.pointee == 0x0D else { return at + 1 }
        guard at + 1 < end else {
            isAfterCR = true
            return end
        }
        return at[1] == 0x0A ? at + 2 : at + 1
    }

    private mutating func skipByteOrderMark(_ at: inout UnsafePointer<UInt8>, _ end: UnsafePointer<UInt8>) {
        while markCount < 3 && at < end {
            let expected: UInt8 = markCount == 0 ? 0xEF : markCount == 1 ? 0xBB : 0xBF
            guard at.pointee == expected else {
                // What looked like a mark is the start of a line of an unknown field.
                if markCount > 0 {
                    field = .ignored
                    isBlockOpen = true
                }
                markCount = 3
                return
            }
            markCount += 1
            at += 1
        }
    }

    /// Goes on with the line that the last feed cut.
    private mutating func resumeLine(_ at: inout UnsafePointer<UInt8>, _ end: UnsafePointer<UInt8>) {
        let stop = at + cscan_line_end(at, end - at)
        readLine(&at, stop)
        guard stop < end else { return }
        finishLine()
        at = endLine(stop, end)
    }

    /// Reads a line's first bytes.
    private mutating func beginLine(_ at: inout UnsafePointer<UInt8>, _ stop: UnsafePointer<UInt8>) {
        matched = 0
        isInValue = false
        isBeforeSpace = false
        switch at.pointee {
        case 0x64: field = .data
        case 0x65: field = .event
        case 0x69: field = .id
        case 0x72: field = .retry
        default: field = .ignored
        }
        readLine(&at, stop)
    }

    /// Reads on in the line under way, to `stop`: the line's end or the feed's.
    private mutating func readLine(_ at: inout UnsafePointer<UInt8>, _ stop: UnsafePointer<UInt8>) {
        while field != .ignored && !isInValue && at < stop {
            let byte = at.pointee
            let expected = Self.nameByte(of: field, at: matched)
            if expected != 0 ? byte == expected : byte == 0x3A {
                at += 1
                if expected != 0 {
                    matched += 1
                } else {
                    isInValue = true
                    isBeforeSpace = true
                    beginValue()
                }
            } else {
                field = .ignored
            }
        }
        if isInValue && isBeforeSpace && at < stop {
            isBeforeSpace = false
            if at.pointee == 0x20 { at += 1 }
        }
        if at < stop {
            let value = UnsafeBufferPointer(start: at, count: stop - at)
            switch field {
            case .data: append(value)
            case .event: appendName(value)
            case .id, .retry: memory?.pointee.append(value, to: field)
            case .none, .ignored: break
            }
            at = stop
        }
    }

    /// The byte at `index` of a field's name, 0 behind its end.
    private static func nameByte(of field: Field, at index: UInt8) -> UInt8 {
        // Little end first.
        let name: UInt64 = switch field {
        case .data: 0x61_74_61_64
        case .event: 0x74_6E_65_76_65
        case .id: 0x64_69
        case .retry: 0x79_72_74_65_72
        case .none, .ignored: 0
        }
        return UInt8(truncatingIfNeeded: name >> (UInt64(index) * 8))
    }

    private mutating func beginValue() {
        switch field {
        case .data: beginData()
        case .event: nameCount = 0
        case .id, .retry: memory?.pointee.begin(field)
        case .none, .ignored: break
        }
    }

    /// The line's end has come. A line that is a field's name without a colon has an empty value.
    private mutating func finishLine() {
        if !isInValue && field != .ignored {
            if Self.nameByte(of: field, at: matched) == 0 { beginValue() } else { field = .ignored }
        }
        if field == .id || field == .retry { memory?.pointee.end(field) }
        field = .none
        isInValue = false
        isBeforeSpace = false
    }

    /// A further data line: a line feed joins it to those before.
    private mutating func beginData() {
        if hasData {
            var lineFeed: UInt8 = 0x0A
            withUnsafePointer(to: &lineFeed) { append(UnsafeBufferPointer(start: $0, count: 1)) }
        }
        hasData = true
    }

    /// Moves what lies in the fed bytes to where it outlives them.
    private mutating func keep(_ data: inout UnsafeBufferPointer<UInt8>, _ type: inout UnsafeBufferPointer<UInt8>) {
        if data.baseAddress != nil {
            append(data)
            data = UnsafeBufferPointer(start: nil, count: 0)
        }
        if type.baseAddress != nil {
            appendName(type)
            type = UnsafeBufferPointer(start: nil, count: 0)
        }
    }
}
