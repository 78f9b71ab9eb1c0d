// A surface is what a client sees of the gateway at one path: an endpoint of some provider's API, or none of them. It says in which dialect the client
// speaks and what it asks for; which upstream answers, and in which dialect that one is spoken to, is decided later.
import ClawDialect
import ClawWire
import Glibc

extension Exchange {
    enum Surface: UInt8 {
        case plain
        // OpenAI
        case chat, completions, embeddings, responses, otherModel, models
        // Anthropic
        case messages, countTokens
        // Gemini; the model is in the path
        case geminiGenerate, geminiStream, geminiEmbed, geminiEmbedBatch, geminiCount, geminiModels
        // Ollama
        case ollamaChat, ollamaGenerate, ollamaEmbed, ollamaTags
        // Cohere
        case cohereChat, cohereEmbed

        /// The dialect of the client, where it is one that can be translated.
        var dialect: DialectID? {
            switch self {
            case .plain, .otherModel, .models, .geminiModels, .ollamaTags: nil
            case .chat, .embeddings: .chat
            case .completions: .completions
            case .responses: .responses
            case .messages, .countTokens: .messages
            case .geminiGenerate, .geminiStream, .geminiEmbed, .geminiEmbedBatch, .geminiCount: .gemini
            case .ollamaChat, .ollamaEmbed: .ollama
            case .ollamaGenerate: .ollamaGenerate
            case .cohereChat, .cohereEmbed: .cohere
            }
        }

        /// Whose errors the client understands.
        var errorDialect: DialectID {
            switch self {
            case .responses: .responses
            case .messages, .countTokens: .messages
            case .geminiGenerate, .geminiStream, .geminiEmbed, .geminiEmbedBatch, .geminiCount, .geminiModels: .gemini
            case .ollamaChat, .ollamaGenerate, .ollamaEmbed, .ollamaTags: .ollama
            case .cohereChat, .cohereEmbed: .cohere
            default: .chat
            }
        }

        var operation: Operation {
            switch self {
            case .embeddings, .geminiEmbed, .geminiEmbedBatch, .ollamaEmbed, .cohereEmbed: .embed
            case .countTokens, .geminiCount: .count
            default: .generate
            }
        }

        /// A list that the gateway answers itself.
        var isListing: Bool { self == .models || self == .geminiModels || self == .ollamaTags }
        /// A POST here is about a model, and its body is JSON.
        var isModel: Bool { self != .plain && !isListing }
        /// One of those that plain APIs may have at the same path.
        var isForeign: Bool { rawValue >= Surface.messages.rawValue }
        var hasModelInPath: Bool { rawValue >= Surface.geminiGenerate.rawValue && rawValue <= Surface.geminiCount.rawValue }
        var isOllama: Bool { self == .ollamaChat || self == .ollamaGenerate }
    }
}

extension Worker {
    /// Which endpoint the path names. For Gemini's, where the model is in the path, it is noted as the requested one.
    func surface(of exchange: UnsafeMutablePointer<Exchange>) -> Exchange.Surface {
        let path = exchange.pointee.path
        guard path.count > 4, let start = path.baseAddress?.assumingMemoryBound(to: UInt8.self), start[0] == 47 else { return .plain }
        func names(_ text: StaticString) -> Bool { path.count == text.utf8CodeUnitCount && memcmp(start, text.utf8Start, path.count) == 0 }
        func begins(_ text: StaticString) -> Bool { path.count >= text.utf8CodeUnitCount && memcmp(start, text.utf8Start, text.utf8CodeUnitCount) == 0 }
        if start[1] == 97 {
            if names("/api/chat") { return .ollamaChat }
            if names("/api/generate") { return .ollamaGenerate }
            if names("/api/embed") || names("/api/embeddings") { return .ollamaEmbed }
            if names("/api/tags") { return .ollamaTags }
            return .plain
        }
        if start[1] == 118, start[2] == 50 {
            if names("/v2/chat") { return .cohereChat }
            if names("/v2/embed") { return .cohereEmbed }
            return .plain
        }
        guard start[1] == 118, start[2] == 49 else { return .plain }
        if start[3] != 47 {
            guard begins("/v1beta") || begins("/v1alpha") else { return .plain }
            return gemini(exchange, start, path.count)
        }
        switch start[4] {
        case 99:
            if names("/v1/chat/completions") { return .chat }
            if names("/v1/completions") { return .completions }
        case 101: if names("/v1/embeddings") { return .embeddings }
        case 114: if names("/v1/responses") { return .responses }
        case 109:
            if names("/v1/messages") { return .messages }
            if names("/v1/messages/count_tokens") { return .countTokens }
            if names("/v1/moderations") { return .otherModel }
            if exchange.pointee.method == .post, begins("/v1/models/") { return gemini(exchange, start, path.count) }
            if names("/v1/models") || begins("/v1/models/") { return .models }
        default: break
        }
        return .plain
    }

    /// `/v1beta/models/MODEL:METHOD`.
    private func gemini(_ exchange: UnsafeMutablePointer<Exchange>, _ start: UnsafePointer<UInt8>, _ count: Int) -> Exchange.Surface {
        var at = 3
        while at < count, start[at] != 47 { at += 1 }
        let models: StaticString = "/models"
        guard count - at >= 7, memcmp(start + at, models.utf8Start, 7) == 0 else { return .plain }
        at += 7
        if exchange.pointee.method != .post { return at == count || start[at] == 47 ? .geminiModels : .plain }
        guard at + 1 < count, start[at] == 47 else { return .plain }
        var colon = count - 1
        while colon > at, start[colon] != 58 { colon -= 1 }
        guard colon > at + 1 else { return .plain }
        let method = UnsafeRawBufferPointer(start: start + colon + 1, count: count - colon - 1)
        func names(_ text: StaticString) -> Bool { method.count == text.utf8CodeUnitCount && memcmp(method.baseAddress.unsafelyUnwrapped, text.utf8Start, method.count) == 0 }
        let surface: Exchange.Surface
        if names("generateContent") { surface = .geminiGenerate }
        else if names("streamGenerateContent") { surface = .geminiStream }
        else if names("embedContent") { surface = .geminiEmbed }
        else if names("batchEmbedContents") { surface = .geminiEmbedBatch }
        else if names("countTokens") { surface = .geminiCount }
        else { return .plain }
        exchange.pointee.requestedModel = UnsafeRawBufferPointer(start: start + at + 1, count: colon - at - 1)
        if exchange.pointee.requestedModel.contains(37) { unescapeModel(exchange, at: at + 1) }
        return surface
    }

    /// A model's name as it is, of one with escapes in the path (`nova-lite-v1%3A0`); it stands behind a copy of the path. What a JSON string could not
    /// hold as it is stays escaped.
    private func unescapeModel(_ exchange: UnsafeMutablePointer<Exchange>, at start: Int) {
        let (path, model) = (exchange.pointee.path, exchange.pointee.requestedModel)
        let memory = UnsafeMutablePointer<UInt8>.allocate(capacity: path.count + model.count)
        UnsafeMutableRawPointer(memory).copyMemory(from: path.baseAddress.unsafelyUnwrapped, byteCount: path.count)
        var writer = TextWriter(memory + path.count)
        var at = start
        while at < start + model.count {
            if memory[at] == 37, at + 2 < start + model.count, let high = Self.hexDigit(memory[at + 1]), let low = Self.hexDigit(memory[at + 2]) {
                let byte = high << 4 | low
                if byte > 32, byte < 127, byte != 34, byte != 92 {
                    writer.put(byte: byte)
                    at += 3
                    continue
                }
            }
            writer.put(byte: memory[at])
            at += 1
        }
        exchange.pointee.pathMemory?.deallocate()
        exchange.pointee.pathMemory = memory
        exchange.pointee.path = UnsafeRawBufferPointer(start: memory, count: path.count)
        exchange.pointee.requestedModel = UnsafeRawBufferPointer(start: memory + path.count, count: writer.count)
    }

    static func hexDigit(_ byte: UInt8) -> UInt8? {
        switch byte {
        case 48...57: byte - 48
        case 65...70: byte - 55
        case 97...102: byte - 87
        default: nil
        }
    }

    /// The body's own `model`, if any, is not the one that counts.
    func restoreModelFromPath(_ exchange: UnsafeMutablePointer<Exchange>) {
        guard exchange.pointee.modelSpan.kind == .string else { return }
        exchange.pointee.modelSpan = JSONSpan()
        _ = surface(of: exchange)
    }
}
