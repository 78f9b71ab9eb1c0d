import CScan

// What the field lines of one head say together about its framing and its connection.

/// Collected line by line while a head is read, for requests and responses alike; part of the parsers' resumable state, so it holds
/// nothing that lives elsewhere. Each `on…` judges one field line and answers with a fault at once where the line can't be right.
struct MessageFacts {
    var contentLength: UInt64 = 0
    var hasContentLength = false
    var isChunked = false
    /// A coding we don't do was named in a right list: 501 at the head's end, unless something worse is found before.
    var hasUnsupportedCoding = false
    var saysClose = false
    var saysKeepAlive = false
    var saysUpgrade = false
    /// Names in Connection other than the three above; the spans are with the head.
    var connectionNameCount = 0
    var connectionNamesProtected = false

    static let connectionNamesMax = 16

    /// Content-Length: 1*DIGIT below 2^63, once.
    @inline(__always)
    mutating func onContentLength(_ bytes: UnsafePointer<UInt8>, _ count: Int) -> MessageFault? {
        if hasContentLength { return .contentLengthConflict }
        if count == 0 { return .contentLength }
        var value: UInt64 = 0
        var overflow = false
        for index in 0..<count {
            let digit = bytes[index] &- 48
            guard digit < 10 else { return .contentLength }
            // One more digit stays below 2^63 as long as the value so far is at most 922337203685477579.
            if value > 922_337_203_685_477_579 { overflow = true } else { value = value &* 10 &+ UInt64(digit) }
        }
        if overflow { return .contentLengthOverflow }
        contentLength = value
        hasContentLength = true
        return isChunked || hasUnsupportedCoding ? .lengthAndEncoding : nil
    }

    /// Transfer-Encoding: exactly `chunked`, once. A list of other codings that ends in chunked, or one unknown coding alone, is a
    /// right message in a coding we don't do; all else leaves the body's end unknown.
    @inline(never)
    mutating func onTransferEncoding(_ bytes: UnsafePointer<UInt8>, _ count: Int, versionMinor: UInt8) -> MessageFault? {
        if versionMinor == 0 { return .transferEncodingInOldVersion }
        if isChunked { return .transferEncodingRepeated }
        if equalsFolded(bytes, count, "chunked") {
            isChunked = true
            return hasContentLength ? .lengthAndEncoding : nil
        }
        var at = 0
        var seen = 0
        while at <= count {
            var end = at
            while end < count && bytes[end] != 0x2C { end += 1 }
            var first = at, last = end
            while first < last && isBlank(bytes[first]) { first += 1 }
            while last > first && isBlank(bytes[last - 1]) { last -= 1 }
            guard first < last, cscan_http_token_end(bytes, first, last) == last else { return .transferEncoding }
            let coding = bytes + first
            if equalsFolded(coding, last - first, "identity") { return .transferEncoding }
            if equalsFolded(coding, last - first, "chunked") {
                guard end == count else { return .transferEncoding }
                isChunked = true
            }
            seen += 1
            at = end + 1
        }
        if seen > 1 && !isChunked { return .transferEncoding }
        hasUnsupportedCoding = true
        return hasContentLength ? .lengthAndEncoding : nil
    }

    /// Connection: close, keep-alive and upgrade are noted, other tokens are put into `names` as offsets from `origin`. What is no
    /// token names no field and is passed over.
    @inline(never)
    mutating func onConnection(
        _ bytes: UnsafePointer<UInt8>, _ from: Int, _ to: Int, _ table: FieldNameTable, _ names: UnsafeMutablePointer<HTTPSpan>
    ) -> MessageFault? {
        var at = from
        while at < to {
            if bytes[at] == 0x2C || isBlank(bytes[at]) { at += 1; continue }
            var end = at
            while end < to && bytes[end] != 0x2C { end += 1 }
            var last = end
            while last > at && isBlank(bytes[last - 1]) { last -= 1 }
            let token = bytes + at, count = last - at
            if cscan_http_token_end(bytes, at, last) == last {
                if equalsFolded(token, count, "close") {
                    saysClose = true
                } else if equalsFolded(token, count, "keep-alive") {
                    saysKeepAlive = true
                } else if equalsFolded(token, count, "upgrade") {
                    saysUpgrade = true
                } else {
                    guard connectionNameCount < Self.connectionNamesMax else { return .connectionOptions }
                    names[connectionNameCount] = HTTPSpan(offset: at, length: count)
                    connectionNameCount += 1
                    if table.find(token, count).isProtected { connectionNamesProtected = true }
                }
            }
            at = end + 1
        }
        return nil
    }

    @inline(__always) func keepsAlive(versionMinor: UInt8) -> Bool {
        !saysClose && (versionMinor > 0 || saysKeepAlive)
    }

    /// Marks the fields that Connection names.
    @inline(never)
    func markNamed(_ bytes: UnsafePointer<UInt8>, _ fields: UnsafeMutablePointer<HTTPField>, _ count: Int, _ names: UnsafeMutablePointer<HTTPSpan>) {
        for index in 0..<connectionNameCount {
            let token = bytes + Int(names[index].offset), length = Int(names[index].length)
            for field in 0..<count where Int(fields[field].nameLength) == length {
                let name = bytes + Int(fields[field].nameOffset)
                var same = true
                for at in 0..<length where !Self.sameTokenByte(name[at], token[at]) { same = false; break }
                if same { fields[field].marks |= HTTPField.namedByConnection }
            }
        }
    }

    private static func sameTokenByte(_ a: UInt8, _ b: UInt8) -> Bool {
        a == b || (a | 0x20 == b | 0x20 && (a | 0x20) &- 97 < 26)
    }
}
