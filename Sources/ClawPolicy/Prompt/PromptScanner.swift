// One pass over the JSON body of a request, in any dialect that clients speak, which finds the text of the prompt and hands it on in pieces: no tree, no
// allocation, no recursion. What is text is told by keys alone, so the dialect needs not be known:
//
//   OpenAI        messages[].content (string or parts[].text), prompt, input, instructions; Responses: input[].content[].text, input[].output
//   Anthropic     system (string or blocks), messages[].content (blocks, tool results in them)
//   Gemini        contents[].parts[].text, systemInstruction / system_instruction, content and requests[] of embeddings
//   Ollama        prompt, messages, system, input          Cohere   messages, message, preamble, texts, inputs
//   Bedrock       messages[].content[].text, system[].text
//
// Images, files and audio are no text; tools, calls and answer formats are counted but not read. The body is expected to be valid; where it is not, the walk ends there, and
// whatever the bytes are, nothing outside of them is read. Deeper than `depthMax` the walk ends too.

public enum PromptScanner {
    public static let depthMax = 128

    /// Returns whether the walk came to the end of the value.
    @discardableResult
    public static func scan<Sink: PromptSink>(_ body: UnsafeRawBufferPointer, into sink: inout Sink) -> Bool {
        guard let base = body.baseAddress, body.count > 0 else { return false }
        return withUnsafeTemporaryAllocation(of: UInt8.self, capacity: depthMax + Walk.scratchBytes) { room in
            guard let room = room.baseAddress else { return false }
            var walk = Walk(bytes: base.assumingMemoryBound(to: UInt8.self), end: body.count, stack: room, scratch: room + depthMax)
            return walk.run(into: &sink)
        }
    }

    /// What a value stands for. Containers on the stack have the same, with the highest bit for objects.
    enum Mode {
        static let skip: UInt8 = 0, root: UInt8 = 1
        /// Messages, or what may stand in their place; one of them.
        static let messages: UInt8 = 2, message: UInt8 = 3
        static let text: UInt8 = 4, system: UInt8 = 5
        static let structure: UInt8 = 6, role: UInt8 = 7, image: UInt8 = 8
        /// Messages where the provider puts nothing around a message.
        static let bare: UInt8 = 9
        static let object: UInt8 = 0x80
    }

    struct Walk {
        static let scratchBytes = 256

        let bytes: UnsafePointer<UInt8>
        let end: Int
        let stack: UnsafeMutablePointer<UInt8>
        let scratch: UnsafeMutablePointer<UInt8>
        var at = 0
        var depth = 0
        /// Of the message under way: no role yet counts as the user's.
        var isUser = true

        init(bytes: UnsafePointer<UInt8>, end: Int, stack: UnsafeMutablePointer<UInt8>, scratch: UnsafeMutablePointer<UInt8>) {
            self.bytes = bytes
            self.end = end
            self.stack = stack
            self.scratch = scratch
        }

        mutating func run<Sink: PromptSink>(into sink: inout Sink) -> Bool {
            var mode = Mode.root
            while true {
                // A value.
                guard skipSpace() else { return false }
                let byte = bytes[at]
                if byte == 0x7B || byte == 0x5B {
                    guard depth < PromptScanner.depthMax else { return false }
                    let isObject = byte == 0x7B
                    at += 1
                    if mode == Mode.image {
                        sink.image()
                        mode = Mode.skip
                    } else if mode == Mode.role {
                        mode = Mode.skip
                    } else if isObject, mode == Mode.messages || mode == Mode.message {
                        mode = Mode.message
                        isUser = true
                    }
                    stack[depth] = mode | (isObject ? Mode.object : 0)
                    depth += 1
                    guard skipSpace() else { return false }
                    if bytes[at] == (isObject ? 0x7D : 0x5D) {
                        // Falls to the closing below.
                    } else if isObject {
                        guard let next = key(mode, &sink) else { return false }
                        mode = next
                        continue
                    } else {
                        mode = element(mode)
                        continue
                    }
                } else if byte == 0x22 {
                    at += 1
                    guard string(mode, &sink) else { return false }
                } else {
                    let start = at
                    while at < end, bytes[at] > 0x20, bytes[at] != 0x2C, bytes[at] != 0x7D, bytes[at] != 0x5D { at += 1 }
                    guard at > start else { return false }
                    if byte == 0x2D || (byte >= 0x30 && byte <= 0x39) {
                        if mode == Mode.text || mode == Mode.messages || mode == Mode.message { sink.token() }
                    }
                    if mode == Mode.structure { sink.structure(bytes: at - start) }
                }
                // What follows a value.
                while true {
                    guard depth > 0 else { return true }
                    guard skipSpace() else { return false }
                    let top = stack[depth - 1]
                    let isObject = top & Mode.object != 0
                    let byte = bytes[at]
                    at += 1
                    if byte == 0x2C {
                        if isObject {
                            guard skipSpace(), let next = key(top & ~Mode.object, &sink) else { return false }
                            mode = next
                        } else {
                            mode = element(top)
                        }
                        break
                    }
                    guard byte == (isObject ? 0x7D : 0x5D) else { return false }
                    depth -= 1
                    if top == Mode.message | Mode.object { sink.messageEnd(isUser: isUser) }
                }
            }
        }

        /// False at the end.
        @inline(__always)
        private mutating func skipSpace() -> Bool {
            while at < end, bytes[at] == 0x20 || bytes[at] == 0x0A || bytes[at] == 0x0D || bytes[at] == 0x09 { at += 1 }
            return at < end
        }

        @inline(__always)
        private func element(_ array: UInt8) -> UInt8 { array == Mode.messages ? Mode.message : array }

        /// Reads a key and its colon; the mode of its value.
        @inline(__always)
        private mutating func key<Sink: PromptSink>(_ object: UInt8, _ sink: inout Sink) -> UInt8? {
            guard bytes[at] == 0x22 else { return nil }
            let start = at + 1
            guard let stop = quote(from: start) else { return nil }
            at = stop + 1
            guard skipSpace(), bytes[at] == 0x3A else { return nil }
            at += 1
            switch object {
            case Mode.skip: return Mode.skip
            case Mode.structure:
                sink.structure(bytes: stop - start)
                if (stop - start == 12 && isKey(start, "input_schema")) || (stop - start == 11 && isKey(start, "inputSchema")) { sink.toolPrompt() }
                return Mode.structure
            case Mode.root:
                // An embedding's input has the name of a conversation's, but not its frame.
                if (stop - start == 10 && isKey(start, "dimensions")) || (stop - start == 15 && isKey(start, "encoding_format")) { sink.bare() }
                let mode = rootMode(start, stop - start)
                if mode == Mode.bare {
                    sink.bare()
                    return Mode.messages
                }
                return mode
            case Mode.message: return messageMode(start, stop - start)
            case Mode.text, Mode.system: return textMode(start, stop - start, object)
            default: return Mode.skip
            }
        }

        @inline(__always)
        private func isKey(_ start: Int, _ text: StaticString) -> Bool {
            let wanted = text.utf8Start
            for step in 0..<text.utf8CodeUnitCount where bytes[start + step] != wanted[step] { return false }
            return true
        }

        private func rootMode(_ start: Int, _ length: Int) -> UInt8 {
            switch length {
            case 4: if isKey(start, "text") { return Mode.structure }
            case 5:
                if isKey(start, "input") { return Mode.messages }
                if isKey(start, "texts") { return Mode.bare }
                if isKey(start, "tools") { return Mode.structure }
            case 6:
                if isKey(start, "prompt") || isKey(start, "inputs") { return Mode.bare }
                if isKey(start, "system") { return Mode.system }
                if isKey(start, "format") { return Mode.structure }
            case 7:
                if isKey(start, "message") { return Mode.messages }
                if isKey(start, "content") { return Mode.bare }
            case 8:
                if isKey(start, "messages") { return Mode.messages }
                if isKey(start, "contents") { return Mode.bare }
                if isKey(start, "requests") { return Mode.root }
                if isKey(start, "preamble") { return Mode.system }
            case 9: if isKey(start, "functions") { return Mode.structure }
            case 10: if isKey(start, "toolConfig") { return Mode.structure }
            case 12:
                if isKey(start, "instructions") { return Mode.system }
                if isKey(start, "chat_history") { return Mode.messages }
            case 13: if isKey(start, "output_config") || isKey(start, "output_format") { return Mode.structure }
            case 15: if isKey(start, "response_format") { return Mode.structure }
            case 17: if isKey(start, "systemInstruction") { return Mode.system }
            case 18: if isKey(start, "system_instruction") { return Mode.system }
            default: break
            }
            return Mode.skip
        }

        private func messageMode(_ start: Int, _ length: Int) -> UInt8 {
            switch length {
            case 4:
                if isKey(start, "role") { return Mode.role }
                if isKey(start, "text") { return Mode.text }
            case 5: if isKey(start, "parts") { return Mode.text }
            case 6:
                if isKey(start, "output") { return Mode.text }
                if isKey(start, "images") { return Mode.image }
            case 7: if isKey(start, "content") || isKey(start, "message") { return Mode.text }
            case 9: if isKey(start, "arguments") { return Mode.structure }
            case 10: if isKey(start, "tool_calls") { return Mode.structure }
            case 13: if isKey(start, "function_call") { return Mode.structure }
            default: break
            }
            return imageMode(start, length)
        }

        private func textMode(_ start: Int, _ length: Int, _ place: UInt8) -> UInt8 {
            switch length {
            case 4:
                if isKey(start, "text") { return place }
                if isKey(start, "json") { return Mode.structure }
            case 5:
                if isKey(start, "parts") { return place }
                if isKey(start, "input") { return Mode.structure }
            case 6: if isKey(start, "output") { return place }
            case 7:
                if isKey(start, "content") { return place }
                if isKey(start, "toolUse") { return Mode.structure }
            case 10: if isKey(start, "toolResult") { return place }
            case 12: if isKey(start, "functionCall") { return Mode.structure }
            case 13: if isKey(start, "function_call") { return Mode.structure }
            case 16: if isKey(start, "functionResponse") { return Mode.structure }
            case 17: if isKey(start, "function_response") { return Mode.structure }
            default: break
            }
            return imageMode(start, length)
        }

        @inline(__always)
        private func imageMode(_ start: Int, _ length: Int) -> UInt8 {
            switch length {
            case 5: isKey(start, "image") ? Mode.image : Mode.skip
            case 6: isKey(start, "source") ? Mode.image : Mode.skip
            case 9: isKey(start, "image_url") ? Mode.image : Mode.skip
            case 10: isKey(start, "inlineData") ? Mode.image : Mode.skip
            case 11: isKey(start, "inline_data") ? Mode.image : Mode.skip
            default: Mode.skip
            }
        }

        /// The string that begins at `at`; leaves `at` behind its quote.
        @inline(__always)
        private mutating func string<Sink: PromptSink>(_ mode: UInt8, _ sink: inout Sink) -> Bool {
            switch mode {
            case Mode.text, Mode.system, Mode.message, Mode.messages:
                let isWhole = text(isSystem: mode == Mode.system, &sink)
                sink.textEnd(isSystem: mode == Mode.system)
                // A bare string in a list of messages, or instead of it, is the user's.
                if mode == Mode.message || mode == Mode.messages { sink.messageEnd(isUser: true) }
                return isWhole
            default:
                let start = at
                guard let stop = quote(from: start) else { return false }
                at = stop + 1
                if mode == Mode.structure {
                    sink.structure(bytes: stop - start)
                } else if mode == Mode.image {
                    sink.image()
                } else if mode == Mode.role {
                    isUser = stop - start == 4 && (isKey(start, "user") || isKey(start, "USER") || isKey(start, "User"))
                }
                return true
            }
        }

        /// The closing quote of a string whose body begins at `start`.
        @inline(__always)
        private func quote(from start: Int) -> Int? {
            var place = start
            while true {
                place = special(from: place)
                guard place < end else { return nil }
                if bytes[place] == 0x22 { return place }
                place += 2
                guard place < end else { return nil }
            }
        }

        /// The first quote or backslash, eight bytes at a time; `end` if there is none.
        @inline(__always)
        private func special(from start: Int) -> Int {
            let ones: UInt64 = 0x0101_0101_0101_0101
            let highs: UInt64 = 0x8080_8080_8080_8080
            var place = start
            while place + 8 <= end {
                let word = UInt64(littleEndian: UnsafeRawPointer(bytes + place).loadUnaligned(as: UInt64.self))
                let quotes = word ^ (ones &* 0x22)
                let slashes = word ^ (ones &* 0x5C)
                // A byte that is zero borrows into its highest bit; the lowest such bit is always a true one.
                let hits = ((quotes &- ones) & ~quotes | (slashes &- ones) & ~slashes) & highs
                if hits != 0 { return place + hits.trailingZeroBitCount / 8 }
                place += 8
            }
            while place < end, bytes[place] != 0x22, bytes[place] != 0x5C { place += 1 }
            return place
        }

        /// The body of a text: plain runs as they lie, escapes through the scratch, as many as there are in a row.
        private mutating func text<Sink: PromptSink>(isSystem: Bool, _ sink: inout Sink) -> Bool {
            while true {
                let stop = special(from: at)
                if stop > at { sink.text(UnsafeRawBufferPointer(start: bytes + at, count: stop - at), isSystem: isSystem) }
                at = stop
                guard at < end else { return false }
                if bytes[at] == 0x22 {
                    at += 1
                    return true
                }
                var held = 0
                var isRight = true
                // An escape gives four bytes at most.
                while at < end, bytes[at] == 0x5C, held <= Self.scratchBytes - 4 {
                    guard escape(&held) else {
                        isRight = false
                        break
                    }
                }
                if held > 0 { sink.text(UnsafeRawBufferPointer(start: scratch, count: held), isSystem: isSystem) }
                guard isRight else { return false }
            }
        }

        /// One escape, at its backslash, into the scratch.
        @inline(__always)
        private mutating func escape(_ held: inout Int) -> Bool {
            guard at + 1 < end else { return false }
            let letter = bytes[at + 1]
            if letter == 0x75 {
                guard var scalar = hexadecimal(at + 2) else { return false }
                at += 6
                if scalar >= 0xD800, scalar < 0xE000 {
                    // A pair is one character; half of one is none (U+FFFD).
                    if scalar < 0xDC00, at + 1 < end, bytes[at] == 0x5C, bytes[at + 1] == 0x75, let low = hexadecimal(at + 2), low >= 0xDC00, low < 0xE000 {
                        scalar = 0x10000 + (scalar - 0xD800) << 10 + (low - 0xDC00)
                        at += 6
                    } else {
                        scalar = 0xFFFD
                    }
                }
                encode(scalar, &held)
                return true
            }
            let byte: UInt8
            switch letter {
            case 0x6E: byte = 0x0A
            case 0x74: byte = 0x09
            case 0x72: byte = 0x0D
            case 0x62: byte = 0x08
            case 0x66: byte = 0x0C
            case 0x22, 0x5C, 0x2F: byte = letter
            default: return false
            }
            scratch[held] = byte
            held += 1
            at += 2
            return true
        }

        @inline(__always)
        private func hexadecimal(_ start: Int) -> UInt32? {
            guard start + 4 <= end else { return nil }
            var value: UInt32 = 0
            for place in start..<start + 4 {
                let byte = bytes[place]
                let digit: UInt8
                switch byte {
                case 0x30...0x39: digit = byte - 0x30
                case 0x41...0x46: digit = byte - 0x37
                case 0x61...0x66: digit = byte - 0x57
                default: return nil
                }
                value = value << 4 | UInt32(digit)
            }
            return value
        }

        @inline(__always)
        private func encode(_ scalar: UInt32, _ held: inout Int) {
            @inline(__always) func put(_ value: UInt32) {
                scratch[held] = UInt8(truncatingIfNeeded: value)
                held += 1
            }
            if scalar < 0x80 {
                put(scalar)
            } else if scalar < 0x800 {
                put(0xC0 | scalar >> 6)
                put(0x80 | scalar & 63)
            } else if scalar < 0x10000 {
                put(0xE0 | scalar >> 12)
                put(0x80 | scalar >> 6 & 63)
                put(0x80 | scalar & 63)
            } else {
                put(0xF0 | scalar >> 18)
                put(0x80 | scalar >> 12 & 63)
                put(0x80 | scalar >> 6 & 63)
                put(0x80 | scalar & 63)
            }
        }
    }
}
