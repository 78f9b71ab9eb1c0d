// Who a request is, for logs and upstreams: its id, its trace, its path in normal form, and whether it has been here before.
import CClaw
import CScan
import ClawWire
import Glibc

extension Worker {
    /// Takes the client's x-request-id if it is well formed ([A-Za-z0-9._:-], at most 64 bytes), else makes one; continues a valid traceparent
    /// (W3C Trace Context §3.2), else begins a trace.
    func identify(_ exchange: UnsafeMutablePointer<Exchange>) {
        let head = requestHead
        let base = exchange.pointee.headBase
        let given = head.first(.xRequestId)
        if given >= 0 {
            let field = head.fields[given]
            let length = Int(field.valueLength)
            let value = base + Int(field.valueOffset)
            if length > 0, length <= 64, Self.isPlainWord(value, length) {
                withUnsafeMutableBytes(of: &exchange.pointee.requestID) { $0.baseAddress.unsafelyUnwrapped.copyMemory(from: value, byteCount: length) }
                exchange.pointee.requestIDLength = UInt8(length)
            }
        }
        if exchange.pointee.requestIDLength == 0 { makeRequestID(exchange) }
        let parent = head.first(.traceparent)
        if parent >= 0, readTrace(exchange, base + Int(head.fields[parent].valueOffset), Int(head.fields[parent].valueLength)) { return }
        beginTrace(exchange)
    }

    /// An id and a trace for a request whose head could not be read: its answer and its log line must find each other too.
    func identifyUnread(_ index: UInt32) {
        makeRequestID(exchanges.base + Int(index))
        beginTrace(exchanges.base + Int(index))
    }

    private func makeRequestID(_ exchange: UnsafeMutablePointer<Exchange>) {
        withUnsafeMutableBytes(of: &exchange.pointee.requestID) { raw in
            var writer = TextWriter(raw.baseAddress.unsafelyUnwrapped.assumingMemoryBound(to: UInt8.self))
            writer.put("req_")
            writer.put(hex: nextRandom(), digits: 16)
            writer.put(hex: nextRandom(), digits: 8)
        }
        exchange.pointee.requestIDLength = 28
    }

    private func beginTrace(_ exchange: UnsafeMutablePointer<Exchange>) {
        exchange.pointee.traceHigh = nextRandom()
        exchange.pointee.traceLow = nextRandom() | 1
    }

    @inline(__always)
    private static func isPlainWord(_ bytes: UnsafePointer<UInt8>, _ count: Int) -> Bool {
        for at in 0..<count {
            switch bytes[at] {
            case 48...57, 65...90, 97...122, 45, 46, 95, 58: continue
            default: return false
            }
        }
        return true
    }

    /// "00-<32 hex>-<16 hex>-<2 hex>", lower case, ids not all zero.
    private func readTrace(_ exchange: UnsafeMutablePointer<Exchange>, _ text: UnsafePointer<UInt8>, _ length: Int) -> Bool {
        guard length == 55, text[0] == 48, text[1] == 48, text[2] == 45, text[35] == 45, text[52] == 45,
            let high = Self.hex(text + 3, 16), let low = Self.hex(text + 19, 16), let span = Self.hex(text + 36, 16), let flags = Self.hex(text + 53, 2),
            high | low != 0, span != 0
        else { return false }
        exchange.pointee.traceHigh = high
        exchange.pointee.traceLow = low
        exchange.pointee.traceFlags = UInt8(flags)
        return true
    }

    private static func hex(_ text: UnsafePointer<UInt8>, _ digits: Int) -> UInt64? {
        var value: UInt64 = 0
        for at in 0..<digits {
            let c = text[at]
            switch c {
            case 48...57: value = value << 4 | UInt64(c - 48)
            case 97...102: value = value << 4 | UInt64(c - 87)
            default: return nil
            }
        }
        return value
    }

    /// True when a Via field names this very process: the request has come back to where it was sent from.
    func isLoop(_ exchange: UnsafeMutablePointer<Exchange>) -> Bool {
        let head = requestHead
        var own: InlineArray<25, UInt8> = .init(repeating: 0)
        return withUnsafeMutableBytes(of: &own) { raw in
            let name = raw.baseAddress.unsafelyUnwrapped.assumingMemoryBound(to: UInt8.self)
            var writer = TextWriter(name)
            writer.put("openclaw-")
            writer.put(hex: instance, digits: 16)
            for at in 0..<head.fieldCount where head.fields[at].name == .via {
                let value = exchange.pointee.headBase + Int(head.fields[at].valueOffset)
                let length = Int(head.fields[at].valueLength)
                if cscan_find(value, length, name, 25) < length { return true }
            }
            return false
        }
    }

    /// Brings the path into its one normal form; false when it has none.
    func takePath(_ exchange: UnsafeMutablePointer<Exchange>) -> Bool {
        let head = requestHead
        let base = UnsafeRawPointer(exchange.pointee.headBase)
        exchange.pointee.hasQuery = head.hasQuery
        exchange.pointee.query = UnsafeRawBufferPointer(start: base + head.queryOffset, count: head.queryLength)
        if head.isAsterisk {
            exchange.pointee.path = UnsafeRawBufferPointer(start: base + head.targetOffset, count: 1)
            return true
        }
        if head.pathLength == 0 {
            let slash: StaticString = "/"
            exchange.pointee.path = UnsafeRawBufferPointer(start: slash.utf8Start, count: 1)
            return true
        }
        let path = UnsafeRawBufferPointer(start: base + head.pathOffset, count: head.pathLength)
        switch normalisePath(path, into: UnsafeMutableRawBufferPointer(start: scratch, count: Self.scratchBytes)) {
        case .normal:
            exchange.pointee.path = path
        case .rewritten(let count):
            let memory = UnsafeMutablePointer<UInt8>.allocate(capacity: max(count, 1))
            memory.update(from: scratch, count: count)
            exchange.pointee.pathMemory = memory
            exchange.pointee.path = UnsafeRawBufferPointer(start: memory, count: count)
        case .refused:
            exchange.pointee.path = path
            return false
        }
        return true
    }
}
