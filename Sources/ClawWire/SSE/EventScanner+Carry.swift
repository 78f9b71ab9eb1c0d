// What the scanner keeps of an event that a feed cuts, and of the stream's ids.

extension EventScanner {
    /// Adds to the event's data. Over the limit the data is let go, the event is oversized and the stream goes on (SS-10).
    mutating func append(_ bytes: UnsafeBufferPointer<UInt8>) {
        guard !isOversized, let source = bytes.baseAddress, bytes.count > 0 else { return }
        guard bytes.count <= Int(carryMax) - Int(carryCount) else {
            isOversized = true
            releaseCarry()
            return
        }
        let count = Int(carryCount) + bytes.count
        if count > Int(carryCapacity) { growCarry(to: count) }
        guard let carry else { return }
        (carry + Int(carryCount)).update(from: source, count: bytes.count)
        carryCount = UInt32(count)
    }

    private mutating func growCarry(to count: Int) {
        let capacity = min(max(count, Int(carryCapacity) * 2, 512), Int(carryMax))
        let larger = UnsafeMutablePointer<UInt8>.allocate(capacity: capacity)
        if let carry {
            larger.update(from: carry, count: Int(carryCount))
            carry.deallocate()
        }
        carry = larger
        carryCapacity = UInt32(capacity)
    }

    /// Adds to the event's name; one byte over the limit is kept as the sign that it's too long.
    mutating func appendName(_ bytes: UnsafeBufferPointer<UInt8>) {
        guard let source = bytes.baseAddress else { return }
        let room = Self.nameBytesMax + 1 - Int(nameCount)
        let count = min(room, bytes.count)
        guard count > 0 else { return }
        let place = name ?? .allocate(capacity: Self.nameBytesMax + 1)
        name = place
        (place + Int(nameCount)).update(from: source, count: count)
        nameCount += UInt16(count)
    }

    /// Between events nothing is held.
    mutating func release() {
        releaseCarry()
        name?.deallocate()
        name = nil
        nameCount = 0
    }

    private mutating func releaseCarry() {
        carry?.deallocate()
        carry = nil
        carryCount = 0
        carryCapacity = 0
    }
}

/// The stream's ids and reconnection time, for a reader that reconnects. A relay doesn't, so it doesn't keep them.
struct EventMemory {
    /// An id longer than this is ignored.
    static let idBytesMax = 4096

    private(set) var lastID: [UInt8] = []
    private(set) var retry: Int64?
    /// The id of the block under way: it counts only once the block has ended.
    private var blockID: [UInt8] = []
    private var value: [UInt8] = []

    mutating func begin(_ field: EventScanner.Field) { value.removeAll(keepingCapacity: true) }

    mutating func append(_ bytes: UnsafeBufferPointer<UInt8>, to field: EventScanner.Field) {
        // One byte over the limit is kept as the sign that it's too long.
        value.append(contentsOf: bytes.prefix(Self.idBytesMax + 1 - value.count))
    }

    mutating func end(_ field: EventScanner.Field) {
        guard value.count <= Self.idBytesMax else { return }
        if field == .id {
            if !value.contains(0) { blockID = value }
            return
        }
        guard !value.isEmpty, value.allSatisfy({ (0x30...0x39).contains($0) }) else { return }
        retry = value.reduce(0) { total, digit in
            let (tens, tooLarge) = total.multipliedReportingOverflow(by: 10)
            let (sum, stillTooLarge) = tens.addingReportingOverflow(Int64(digit - 0x30))
            return tooLarge || stillTooLarge ? .max : sum
        }
    }

    mutating func commit() { lastID = blockID }
}
