// BodyGlance reads the few fields of a request body that the mock answers by (model, stream, token limits, the first tool's name, whether JSON is wanted,
// embeddings input) while the body passes through, whatever its size and dialect: nothing is kept but the values, and nothing has to be contiguous. It is
// not a validator; on bad JSON it finds what it finds. The gateway's strict scanner is ClawWire's FieldScanner.
//
// How it works. Names of members that matter in any dialect are one enum; `path` holds the name at each of the first five depths. A container that no value of
// interest lies in is quiet: within it nothing is compared or kept, so a long conversation costs no more than finding the ends of its strings.

struct BodyGlance {
    /// Names of members that matter, in whatever dialect and spelling.
    private enum Key: UInt8 {
        case other, element
        case model, stream, streamOptions, includeUsage, maxTokens, choices, input, encodingFormat, dimensions
        case tools, function, name, declarations, toolConfig, toolSpec
        case responseFormat, type, text, format, outputConfig, generationConfig, inferenceConfig, options, mimeType, requests
    }
    private enum Place: UInt8 { case between, string, escape, scalar }
    /// Where the string that is being read goes.
    private enum Target: UInt8 { case nowhere, key, value, model, toolName }

    static let modelBytesMax = 128
    private static let captureBytesMax = 32
    /// Nothing that matters lies deeper.
    private static let depthMax: Int32 = 5

    /// The model as written between its quotes (escapes kept, so it goes back into JSON as it is).
    private(set) var model = InlineArray<128, UInt8>(repeating: 0)
    private(set) var modelLength = 0
    /// True exactly when the model stands in the request's path: the body's is of no interest then.
    private(set) var isModelFixed = false
    /// The name of the first tool that is offered, as it is written; "" when none is.
    private(set) var toolName = InlineArray<128, UInt8>(repeating: 0)
    private(set) var toolNameLength = 0
    var isStream = false
    private(set) var includeUsage = false
    private(set) var wantsBase64 = false
    /// The answer's text shall be JSON.
    private(set) var wantsJSON = false
    /// max_tokens, max_completion_tokens, max_output_tokens, maxOutputTokens, num_predict or maxTokens; 0 when absent.
    private(set) var tokensMax: UInt64 = 0
    private(set) var choices: UInt64 = 1
    private(set) var dimensions: UInt64 = 0
    /// Blanks seen in the whole body: the measure of its words.
    private(set) var blanks: UInt64 = 0
    private(set) var inputIsArray = false

    private var place = Place.between
    private var depth: Int32 = 0
    /// The names on the way to where the reading is; [0] is not used.
    private var path = InlineArray<6, Key>(repeating: .other)
    /// Bit d is set exactly when the container at depth d is an object.
    private var objects: UInt8 = 0
    /// Depth of the outermost quiet container that is open.
    private var quietDepth = Int32.max
    /// True exactly when the next string is a member's name.
    private var expectsKey = false
    private var target = Target.nowhere
    private var capture = InlineArray<32, UInt8>(repeating: 0)
    private var captureLength = 0
    private var inputHasValue = false
    private var inputCommas: UInt64 = 0
    private var inputFirst: UInt8 = 0

    /// Number of texts to embed: a string or one array of token ids is one.
    var inputs: UInt64 {
        guard inputIsArray, inputHasValue else { return 1 }
        return inputFirst == 0x22 || inputFirst == 0x5b || inputFirst == 0x7b ? inputCommas + 1 : 1
    }

    var promptTokens: UInt64 { blanks + 1 }

    /// Takes the model from the path; bytes that would not be JSON are left out.
    mutating func fixModel(_ bytes: UnsafeBufferPointer<UInt8>) {
        modelLength = 0
        isModelFixed = true
        for byte in bytes where modelLength < Self.modelBytesMax && byte > 0x20 && byte < 0x7f && byte != 0x22 && byte != 0x5c {
            model[modelLength] = byte
            modelLength += 1
        }
    }

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
                if target != .nowhere { keep(base + at, end - at) }
                at = end
                guard at < count else { return }
                if base[at] == 0x22 {
                    place = .between
                    if target != .nowhere { endCapture() }
                } else {
                    if target != .nowhere { keep(base + at, 1) }
                    place = .escape
                }
                at += 1
            case .escape:
                if target != .nowhere { keep(base + at, 1) }
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

    private var isQuiet: Bool { quietDepth != Int32.max }
    /// The name of the value that is being read.
    private var key: Key { depth >= 1 && depth <= Self.depthMax ? path[Int(depth)] : .other }
    private var isList: Bool { path[1] == .input || path[1] == .requests }

    private mutating func structural(_ byte: UInt8) {
        switch byte {
        case 0x20, 0x0a, 0x0d, 0x09:
            break
        case 0x7b, 0x5b: // { [
            noteInput(byte)
            if !isQuiet && byte == 0x7b && depth == 1 && path[1] == .format { wantsJSON = true } // Ollama: the schema itself
            depth &+= 1
            if !isQuiet && !leadsSomewhere { quietDepth = depth }
            if depth == 2 && byte == 0x5b && isList { inputIsArray = true }
            guard !isQuiet else { return }
            if byte == 0x7b {
                objects |= 1 << UInt8(depth)
                path[Int(depth)] = .other
                expectsKey = true
            } else {
                objects &= ~(1 << UInt8(depth))
                path[Int(depth)] = .element
                expectsKey = false
            }
        case 0x7d, 0x5d:
            if depth == quietDepth { quietDepth = Int32.max }
            depth &-= 1
            expectsKey = false
        case 0x2c:
            if depth == 2 && isList && inputIsArray { inputCommas &+= 1 }
            if !isQuiet && depth >= 1 { expectsKey = objects & 1 << UInt8(depth) != 0 }
        case 0x3a:
            expectsKey = false
        case 0x22:
            noteInput(byte)
            place = .string
            captureLength = 0
            target = stringTarget
            if target == .model { modelLength = 0 }
        default:
            noteInput(byte)
            guard !isQuiet, key != .other, key != .element else { return }
            place = .scalar
            target = .value
            captureLength = 0
            keep1(byte)
        }
    }

    /// May something that matters lie in the container at `depth`, which begins?
    private var leadsSomewhere: Bool {
        switch depth {
        case 1: true
        case 2:
            switch path[1] {
            case .streamOptions, .tools, .toolConfig, .responseFormat, .text, .outputConfig, .generationConfig, .inferenceConfig, .options, .requests: true
            default: false
            }
        case 3:
            switch (path[1], path[2]) {
            case (.tools, .element), (.toolConfig, .tools), (.text, .format), (.outputConfig, .format), (.requests, .element): true
            default: false
            }
        case 4: (path[1] == .tools && (path[3] == .function || path[3] == .declarations)) || (path[1] == .toolConfig && path[3] == .element)
        case 5: path[1] == .tools ? path[4] == .element : path[4] == .toolSpec
        default: false
        }
    }

    /// What the string that begins is for.
    private var stringTarget: Target {
        guard !isQuiet, depth >= 1 else { return .nowhere }
        if expectsKey { return .key }
        switch key {
        case .other, .element: return .nowhere
        case .model: return depth == 1 && !isModelFixed ? .model : .nowhere
        case .name: return isToolName ? .toolName : .nowhere
        default: return .value
        }
    }

    private var isToolName: Bool {
        guard key == .name, toolNameLength == 0 else { return false }
        switch depth {
        case 3: return path[1] == .tools
        case 4: return path[1] == .tools && path[3] == .function
        case 5: return true // only declarations and tool specs lead there
        default: return false
        }
    }

    private mutating func noteInput(_ byte: UInt8) {
        if depth == 2 && isList && inputIsArray && !inputHasValue {
            inputHasValue = true
            inputFirst = byte
        }
    }

    private mutating func keep(_ from: UnsafePointer<UInt8>, _ length: Int) {
        switch target {
        case .nowhere:
            break
        case .model:
            for place in 0 ..< min(length, Self.modelBytesMax - modelLength) {
                model[modelLength] = from[place]
                modelLength += 1
            }
        case .toolName:
            for place in 0 ..< min(length, Self.modelBytesMax - toolNameLength) {
                toolName[toolNameLength] = from[place]
                toolNameLength += 1
            }
        case .key, .value:
            for place in 0 ..< min(length, Self.captureBytesMax - captureLength) { keep1(from[place]) }
        }
    }

    private mutating func keep1(_ byte: UInt8) {
        guard captureLength < Self.captureBytesMax else { return }
        capture[captureLength] = byte
        captureLength += 1
    }

    private mutating func endCapture() {
        let ended = target
        target = .nowhere
        switch ended {
        case .nowhere:
            break
        case .key:
            path[Int(depth)] = keyNamed()
        case .model:
            Self.cutClean(&modelLength, model)
        case .toolName:
            Self.cutClean(&toolNameLength, toolName)
        case .value:
            take()
        }
    }

    /// Cut inside an escape or a character, a long name would not be JSON any more.
    private static func cutClean(_ length: inout Int, _ name: InlineArray<128, UInt8>) {
        guard length == modelBytesMax else { return }
        while length > 0 && (name[length - 1] >= 0x80 || name[length - 1] == 0x5c) { length -= 1 }
    }

    /// A value that may matter is whole in `capture`.
    private mutating func take() {
        switch (depth, key) {
        case (1, .stream): isStream = captured("true")
        case (1, .choices): if let number = capturedNumber() { choices = max(1, min(number, 16)) }
        case (1, .encodingFormat): wantsBase64 = captured("base64")
        case (1, .format): if captured("json") { wantsJSON = true }
        case (1, .maxTokens):
            if let number = capturedNumber() { tokensMax = number }
        case (2, .maxTokens) where path[1] == .generationConfig || path[1] == .inferenceConfig || path[1] == .options:
            if let number = capturedNumber() { tokensMax = number }
        case (1, .dimensions), (3, .dimensions):
            if let number = capturedNumber() { dimensions = min(number, 8192) }
        case (2, .includeUsage) where path[1] == .streamOptions: includeUsage = captured("true")
        case (2, .mimeType) where path[1] == .generationConfig: if captured("application/json") { wantsJSON = true }
        case (2, .type) where path[1] == .responseFormat: takeFormat()
        case (3, .type) where path[1] == .text || path[1] == .outputConfig: takeFormat()
        default: break
        }
    }

    private mutating func takeFormat() {
        if captured("json_schema") || captured("json_object") { wantsJSON = true }
    }

    private func keyNamed() -> Key {
        switch captureLength {
        case 1 where captured("n"): .choices
        case 4 where captured("name"): .name
        case 4 where captured("type"): .type
        case 4 where captured("text"): .text
        case 5 where captured("model"): .model
        case 5 where captured("tools"): .tools
        case 5 where captured("input") || captured("texts"): .input
        case 6 where captured("stream"): .stream
        case 6 where captured("format"): .format
        case 6 where captured("inputs"): .input
        case 7 where captured("options"): .options
        case 8 where captured("requests"): .requests
        case 8 where captured("function"): .function
        case 8 where captured("toolSpec"): .toolSpec
        case 9 where captured("maxTokens"): .maxTokens
        case 10 where captured("max_tokens"): .maxTokens
        case 10 where captured("dimensions"): .dimensions
        case 10 where captured("toolConfig"): .toolConfig
        case 10 where captured("textFormat"): .format
        case 11 where captured("num_predict"): .maxTokens
        case 12 where captured("outputConfig"): .outputConfig
        case 13 where captured("include_usage"): .includeUsage
        case 13 where captured("output_config"): .outputConfig
        case 13 where captured("output_format"): .responseFormat
        case 14 where captured("stream_options"): .streamOptions
        case 15 where captured("encoding_format"): .encodingFormat
        case 15 where captured("response_format"): .responseFormat
        case 15 where captured("maxOutputTokens"): .maxTokens
        case 15 where captured("inferenceConfig"): .inferenceConfig
        case 16 where captured("generationConfig"): .generationConfig
        case 16 where captured("responseMimeType"): .mimeType
        case 16 where captured("output_dimension"): .dimensions
        case 17 where captured("max_output_tokens"): .maxTokens
        case 17 where captured("generation_config"): .generationConfig
        case 18 where captured("response_mime_type"): .mimeType
        case 20 where captured("functionDeclarations"): .declarations
        case 20 where captured("outputDimensionality"): .dimensions
        case 21 where captured("max_completion_tokens"): .maxTokens
        case 21 where captured("function_declarations"): .declarations
        case 21 where captured("output_dimensionality"): .dimensions
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
