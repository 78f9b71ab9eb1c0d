// BodyGlance reads the few fields of a request body that the mock answers by (model, stream, token limits, embeddings input)
// while the body passes through, whatever its size: nothing is kept but the values, and nothing has to be contiguous. It
// is not a validator; on bad JSON it finds what it finds. The gateway's strict scanner is ClawWire's FieldScanner.

struct BodyGlance {
    private enum Key: UInt8 {
        case other, model, stream, streamOptions, includeUsage, maxTokens, choices, input, encodingFormat, dimensions
    }
    private enum Place: UInt8 { case between, string, escape, scalar }

    static let modelBytesMax = 128
    private static let captureBytesMax = 32

    /// The model as written between its quotes (escapes kept, so it goes back into JSON as it is).
    var model = InlineArray<128, UInt8>(repeating: 0)
    var modelLength = 0
    var isStream = false
    var includeUsage = false
    var wantsBase64 = false
    /// max_tokens, max_completion_tokens or max_output_tokens; 0 when absent.
    var tokensMax: UInt64 = 0
    var choices: UInt64 = 1
    var dimensions: UInt64 = 0
    /// Blanks seen in the whole body: the measure of its words.
    var blanks: UInt64 = 0
    var inputIsArray = false

    private var place = Place.between
    private var depth: Int32 = 0
    /// True exactly when the next string at this depth (1 or 2) is a member's name.
    private var expectsKey = false
    private var depth2IsObject = false
    private var capturing = false
    private var capturesKey = false
    private var key = Key.other      // of the member at depth 1
    private var innerKey = Key.other // of the member at depth 2, inside stream_options
    private var capture = InlineArray<32, UInt8>(repeating: 0)
    private var captureLength = 0
    private var inputHasValue = false
    private var inputCommas: UInt64 = 0
    private var inputFirst: UInt8 = 0

    /// Number of texts to embed: a string or one array of token ids is one.
    var inputs: UInt64 {
        guard inputIsArray, inputHasValue else { return 1 }
        return inputFirst == 0x22 || inputFirst == 0x5b ? inputCommas + 1 : 1
    }

    var promptTokens: UInt64 { blanks + 1 }

    mutating func feed(_ bytes: UnsafeRawBufferPointer) {
        guard let raw = bytes.baseAddress else { return }
        let base = raw.assumingMemoryBound(to: UInt8.self)
        let count = bytes.count
        blanks &+= Self.countBlanks(base, count)
        var at = 0
        while at < count {
            switch place {
            case .string:
                let end = Self.stringStop(base, at, count)
                if capturing { keep(base + at, end - at) }
                at = end
                guard at < count else { return }
                if base[at] == 0x22 {
                    place = .between
                    if capturing { endCapture() }
                } else {
                    if capturing { keep(base + at, 1) }
                    place = .escape
                }
                at += 1
            case .escape:
                if capturing { keep(base + at, 1) }
                place = .string
                at += 1
            case .scalar:
                switch base[at] {
                case 0x2c, 0x5d, 0x7d, 0x20, 0x0a, 0x0d, 0x09:
                    place = .between
                    endCapture()
                default:
                    keep(base + at, 1)
                    at += 1
                }
            case .between:
                structural(base[at])
                at += 1
            }
        }
    }

    private var isInteresting: Bool { depth == 1 || (depth == 2 && key == .streamOptions && depth2IsObject) }

    private mutating func structural(_ byte: UInt8) {
        switch byte {
        case 0x20, 0x0a, 0x0d, 0x09:
            break
        case 0x7b, 0x5b: // { [
            noteInput(byte)
            depth &+= 1
            expectsKey = byte == 0x7b
            if depth == 2 {
                depth2IsObject = byte == 0x7b
                if key == .input && byte == 0x5b { inputIsArray = true }
            }
        case 0x7d, 0x5d:
            depth &-= 1
            expectsKey = false
        case 0x2c:
            if depth == 1 {
                expectsKey = true
            } else if depth == 2 {
                expectsKey = depth2IsObject
                if key == .input && inputIsArray { inputCommas &+= 1 }
            }
        case 0x3a:
            expectsKey = false
        case 0x22:
            noteInput(byte)
            place = .string
            capturing = isInteresting
            capturesKey = expectsKey
            captureLength = 0
            if capturing && !capturesKey && depth == 1 && key == .model { modelLength = 0 }
        default:
            noteInput(byte)
            guard isInteresting else { return }
            place = .scalar
            capturing = true
            capturesKey = false
            captureLength = 0
            keep1(byte)
        }
    }

    private mutating func noteInput(_ byte: UInt8) {
        if depth == 2 && key == .input && inputIsArray && !inputHasValue {
            inputHasValue = true
            inputFirst = byte
        }
    }

    private mutating func keep(_ from: UnsafePointer<UInt8>, _ length: Int) {
        if depth == 1 && key == .model && !capturesKey {
            for place in 0 ..< length where modelLength < Self.modelBytesMax {
                model[modelLength] = from[place]
                modelLength += 1
            }
            return
        }
        for place in 0 ..< length where captureLength < Self.captureBytesMax { keep1(from[place]) }
    }

    private mutating func keep1(_ byte: UInt8) {
        guard captureLength < Self.captureBytesMax else { return }
        capture[captureLength] = byte
        captureLength += 1
    }

    private mutating func endCapture() {
        capturing = false
        if capturesKey {
            if depth == 1 {
                key = keyNamed()
            } else {
                innerKey = captured("include_usage") ? .includeUsage : .other
            }
            return
        }
        if depth == 2 {
            if innerKey == .includeUsage { includeUsage = captured("true") }
            return
        }
        switch key {
        case .stream: isStream = captured("true")
        case .maxTokens: if let number = capturedNumber() { tokensMax = number }
        case .choices: if let number = capturedNumber() { choices = max(1, min(number, 16)) }
        case .dimensions: if let number = capturedNumber() { dimensions = min(number, 8192) }
        case .encodingFormat: wantsBase64 = captured("base64")
        case .model: // cut inside an escape or a character, a long name would not be JSON any more
            if modelLength == Self.modelBytesMax {
                while modelLength > 0 && (model[modelLength - 1] >= 0x80 || model[modelLength - 1] == 0x5c) { modelLength -= 1 }
            }
        default: break
        }
    }

    private func keyNamed() -> Key {
        switch captureLength {
        case 1 where captured("n"): .choices
        case 5 where captured("model"): .model
        case 5 where captured("input"): .input
        case 6 where captured("stream"): .stream
        case 10 where captured("max_tokens"): .maxTokens
        case 10 where captured("dimensions"): .dimensions
        case 14 where captured("stream_options"): .streamOptions
        case 15 where captured("encoding_format"): .encodingFormat
        case 17 where captured("max_output_tokens"): .maxTokens
        case 21 where captured("max_completion_tokens"): .maxTokens
        default: .other
        }
    }

    private func captured(_ text: StaticString) -> Bool {
        guard captureLength == text.utf8CodeUnitCount else { return false }
        for place in 0 ..< captureLength where capture[place] != text.utf8Start[place] { return false }
        return true
    }

    private func capturedNumber() -> UInt64? {
        guard captureLength > 0, captureLength <= 18 else { return nil }
        var value: UInt64 = 0
        for place in 0 ..< captureLength {
            let digit = capture[place] &- 0x30
            guard digit < 10 else { return nil }
            value = value * 10 + UInt64(digit)
        }
        return value
    }

    /// Offset of the first quote or backslash from `at` on, or `count`. Eight bytes a step: a byte of x ^ pattern is zero
    /// exactly where the pattern is, and the lowest flag of (y - 1s) & ~y & 0x80s is exact.
    @inline(__always)
    private static func stringStop(_ base: UnsafePointer<UInt8>, _ from: Int, _ count: Int) -> Int {
        var at = from
        let ones: UInt64 = 0x0101_0101_0101_0101, tops: UInt64 = 0x8080_8080_8080_8080
        while at &+ 8 <= count {
            let word = UInt64(littleEndian: UnsafeRawPointer(base + at).loadUnaligned(as: UInt64.self))
            let quote = word ^ 0x2222_2222_2222_2222, slash = word ^ 0x5c5c_5c5c_5c5c_5c5c
            let hit = ((quote &- ones) & ~quote | (slash &- ones) & ~slash) & tops
            if hit != 0 { return at &+ hit.trailingZeroBitCount / 8 }
            at &+= 8
        }
        while at < count && base[at] != 0x22 && base[at] != 0x5c { at &+= 1 }
        return at
    }

    private static func countBlanks(_ base: UnsafePointer<UInt8>, _ count: Int) -> UInt64 {
        var at = 0
        var total: UInt64 = 0
        let lows: UInt64 = 0x7f7f_7f7f_7f7f_7f7f
        while at &+ 8 <= count {
            let word = UnsafeRawPointer(base + at).loadUnaligned(as: UInt64.self) ^ 0x2020_2020_2020_2020
            // High bit of each byte clear exactly where the byte is zero (Hacker's Delight, 6-1).
            let flags = ((word & lows) &+ lows) | word | lows
            total &+= UInt64((~flags).nonzeroBitCount)
            at &+= 8
        }
        while at < count {
            if base[at] == 0x20 { total &+= 1 }
            at &+= 1
        }
        return total
    }
}
