// Answers of the gateway itself: errors in the client's dialect, lists of models, and whatever was written anew. They enter the relay's end like any other
// answer, so they are counted, logged and sent by the same code.
import CClaw
import ClawConfig
import ClawDialect
import ClawWire
import Glibc

extension Worker {
    func answerError(_ index: UInt32, _ kind: FailureKind, detail: StaticString, param: StaticString = "") {
        answerError(index, kind, message: UnsafeRawBufferPointer(start: detail.utf8Start, count: detail.utf8CodeUnitCount), param: param)
    }

    /// One error in OpenAI's shape, with the failure's status and code; ends the exchange. After the commit it becomes the stream's last event.
    /// `field`: what `param` is, where it is not known beforehand.
    func answerError(_ index: UInt32, _ kind: FailureKind, message: UnsafeRawBufferPointer, param: StaticString = "", field: JSONBytes = JSONBytes()) {
        let exchange = exchanges.base + Int(index)
        if exchange.pointee.isDetached { return detachedFailed(index, kind) }
        exchange.pointee.failure = kind
        if exchange.pointee.isCommitted { return truncate(index, kind) }
        dropUpstream(index)
        while !exchange.pointee.output.isEmpty { buffers.release(exchange.pointee.output.dropFirst().buffer) }
        dropAnswerLines(exchange)
        let connection = connections.base + Int(exchange.pointee.connection)
        if !exchange.pointee.bodyIsComplete, exchange.pointee.stream == 0 {
            connection.pointee.closesAfter = true
            receive(exchange.pointee.connection, CLAW_RECEIVE_BUFFERED)
        }
        let row = kind.row
        exchange.pointee.status = row.status
        exchange.pointee.isHeld = false
        exchange.pointee.isStream = false
        exchange.pointee.isRewritten = false
        exchange.pointee.isCollecting = false
        dropSavedFields(exchange)
        var words = TextWriter(scratch + Self.scratchBytes - 2048)
        describe(exchange, kind, message, &words)
        let retryAfter = retryAfter(exchange, kind)
        if exchange.pointee.surface.errorDialect != .chat, exchange.pointee.surface.errorDialect != .responses {
            return answerForeignError(index, row, UnsafeRawBufferPointer(start: words.start, count: words.count), param: field.exists ? field : JSONBytes(param), retryAfter)
        }
        let body = UnsafeMutablePointer<UInt8>.allocate(capacity: 4096)
        defer { body.deallocate() }
        var text = TextWriter(body)
        text.put("{\"error\":{\"message\":")
        text.put(json: UnsafeRawBufferPointer(start: words.start, count: words.count), limit: 480)
        text.put(",\"type\":\"")
        text.put(row.type)
        if field.count > 0 {
            text.put("\",\"param\":")
            text.put(json: field.raw, limit: 200)
            text.put(",\"code\":\"")
        } else if param.utf8CodeUnitCount > 0 {
            text.put("\",\"param\":\"")
            text.put(param)
            text.put("\",\"code\":\"")
        } else {
            text.put("\",\"param\":null,\"code\":\"")
        }
        text.put(row.code)
        text.put("\",\"request_id\":\"")
        withUnsafeBytes(of: exchange.pointee.requestID) {
            text.put($0.baseAddress.unsafelyUnwrapped.assumingMemoryBound(to: UInt8.self), Int(exchange.pointee.requestIDLength))
        }
        text.put("\"}}\n")
        answerOwn(index, status: row.status, body: Bytes(base: UnsafePointer(body), count: text.count), retryAfter: retryAfter)
    }

    /// Whole seconds until it is worth asking again; 0: not said.
    private func retryAfter(_ exchange: UnsafeMutablePointer<Exchange>, _ kind: FailureKind) -> UInt64 {
        switch kind {
        case .upstreamsExhausted, .upstreamsCooling, .upstreamPending:
            let until = exchange.pointee.refusedUntil
            return until == .max || until <= now ? 1 : (until - now + 999_999_999) / 1_000_000_000
        default: return kind.row.status == 503 ? 1 : 0
        }
    }

    /// The same in the words of a client that does not speak OpenAI's.
    private func answerForeignError(_ index: UInt32, _ row: FailureKind.Row, _ words: UnsafeRawBufferPointer, param: JSONBytes, _ retryAfter: UInt64) {
        let exchange = exchanges.base + Int(index)
        let dialect = exchange.pointee.surface.errorDialect
        var error = ProviderError(status: Int(row.status), problem: row.problem)
        translator.box.arena.reset()
        error.message = translator.box.arena.escaped(UnsafeRawBufferPointer(rebasing: words.prefix(480)))
        error.code = JSONBytes(row.code)
        error.param = param
        // No dialect's own words, so that each writes what it has for the class.
        error.source = dialect == .chat ? .responses : .chat
        translator.out.reset()
        let status = withRequestID(exchange) { dialect.pieces.writeError(error, requestID: $0, into: &translator.out) }
        let written = translator.out.bytes
        exchange.pointee.status = UInt16(clamping: status)
        answerOwn(
            index, status: exchange.pointee.status,
            body: Bytes(base: written.baseAddress.map { $0.assumingMemoryBound(to: UInt8.self) } ?? Bytes.empty.base, count: written.count), retryAfter: retryAfter)
    }

    /// What happened, the value allowed and where to change it.
    private func describe(_ exchange: UnsafeMutablePointer<Exchange>, _ kind: FailureKind, _ message: UnsafeRawBufferPointer, _ text: inout TextWriter) {
        let plan = exchange.pointee.plan
        switch kind {
        case .badRequest: text.put("malformed request")
        case .badHost: text.put("bad host")
        case .headTooLarge:
            text.put("request head too large: limit ")
            text.put(number: UInt64(plan.pointee.headLimits.headBytesMax))
            text.put(" bytes (server.max_header_kb) and ")
            text.put(number: UInt64(plan.pointee.headLimits.fieldsMax))
            text.put(" fields (server.max_header_fields)")
        case .targetTooLong:
            text.put("request target too long: limit ")
            text.put(number: UInt64(plan.pointee.headLimits.targetBytesMax))
            text.put(" bytes (server.max_target_kb)")
        case .bodyTooLarge:
            text.put("request body too large")
            if exchange.pointee.bodyExpected > 0 {
                text.put(": ")
                text.put(number: UInt64(exchange.pointee.bodyExpected))
                text.put(" bytes")
            }
            text.put(", limit ")
            text.put(number: UInt64(plan.pointee.bodyBytesMax))
            text.put(" (server.max_body_mb)")
        case .headerTimeout: text.put("the request head did not arrive in time (server.header_timeout_seconds)")
        case .bodyTimeout: text.put("the request body did not arrive in time (server.body_timeout_seconds)")
        case .methodNotAllowed: text.put("this method is never served")
        case .methodUnknown: text.put("unknown method")
        case .expectationFailed: text.put("only Expect: 100-continue is understood")
        case .versionNotSupported: text.put("only HTTP/1.0 and HTTP/1.1 are served here")
        case .codingUnknown: text.put("only the chunked transfer coding is understood")
        case .loopDetected: text.put("request loop")
        case .badJSON: break
        case .modelRequired: text.put("you must provide a model parameter")
        case .modelNotFound:
            text.put("the model `")
            text.put(exchange.pointee.requestedModel.count <= 200 ? exchange.pointee.requestedModel : UnsafeRawBufferPointer(rebasing: exchange.pointee.requestedModel[..<200]))
            text.put("` is not served by any upstream of this route (upstreams.*.models)")
        case .notFound:
            text.put("no route matches ")
            text.put(exchange.pointee.path.count <= 200 ? exchange.pointee.path : UnsafeRawBufferPointer(rebasing: exchange.pointee.path[..<200]))
            text.put(" (routes)")
        case .bodyMemoryExhausted: text.put("request bodies in flight use all memory set aside for them")
        case .upstreamsExhausted, .upstreamsCooling: text.put("no upstream of this route can take the request")
        case .badDeadline: text.put("x-openclaw-deadline-ms is not a whole number of milliseconds above 0")
        case .upstreamConnect: text.put("the upstream could not be reached")
        case .upstreamDNS: text.put("the upstream's name could not be resolved")
        case .upstreamTLS: text.put("TLS to the upstream failed; nothing of the request was sent")
        case .upstreamProtocol: text.put("gRPC needs HTTP/2 and this upstream speaks HTTP/1.1 (upstreams.*.protocol: http2)")
        case .upstreamReset: text.put("the upstream closed the connection before it answered")
        case .upstreamMalformed:
            text.put(exchange.pointee.translation == nil ? "the upstream's answer was not valid HTTP" : "the upstream's answer was not valid HTTP, or not one of its API's")
        case .upstreamTruncated: text.put("the upstream's answer broke off")
        case .upstreamStatus, .upstreamInBand: text.put("the upstream reported an error")
        case .connectTimeout: text.put("connecting to the upstream took too long (upstreams.*.connect_timeout_seconds)")
        case .firstByteTimeout: text.put("the upstream did not begin to answer in time (upstreams.*.first_byte_timeout_seconds)")
        case .idleTimeout: text.put("the upstream went silent in the middle of its answer (upstreams.*.idle_stream_timeout_seconds)")
        case .totalTimeout: text.put("the request took too long in all (timeout_seconds)")
        case .clientGone, .clientWriteTimeout: text.put("client gone")
        case .draining: text.put("the gateway is shutting down")
        case .upstreamPending: text.put("too many requests wait for this upstream (upstreams.*.max_pending)")
        case .invalidKey, .contextTooLong: break
        case .unsupported: text.put("the request cannot be translated for this upstream (upstreams.*.drop_unsupported leaves such fields out)")
        case .noCredentials: text.put("there are no AWS credentials for this upstream (upstreams.*.aws; the messages on standard error say why)")
        case .answerTooLarge:
            text.put("the upstream's answer is too large to be translated: limit ")
            text.put(number: UInt64(plan.pointee.answerBytesMax))
            text.put(" bytes (server.max_answer_mb)")
        case .upgradeNotAllowed: text.put("no tunnel for this protocol here (routes[].upgrade)")
        case .upstreamCannotSwitch: text.put("this upstream did not switch protocols, or cannot (it goes through upstreams.*.proxy, or is spoken to in HTTP/2 without TLS)")
        case .buffersExhausted: text.put("all buffers are in use")
        }
        if message.count > 0 {
            if text.count > 0 { text.put(": ") }
            text.put(message.count <= 400 ? message : UnsafeRawBufferPointer(rebasing: message[..<400]))
        }
        if exchange.pointee.attemptCount > 0, kind.row.origin == .upstream {
            text.put(" (upstream ")
            let name = plan.pointee.upstreams[Int(exchange.pointee.attempts[exchange.pointee.attemptCount - 1].upstream)].pointee.name
            text.put(name.base, min(name.count, 100))
            text.put(", attempts ")
            text.put(number: UInt64(exchange.pointee.attemptCount))
            text.put(")")
        }
    }

    func answerModels(_ index: UInt32) {
        let exchange = exchanges.base + Int(index)
        let plan = exchange.pointee.plan
        let path = exchange.pointee.path
        exchange.pointee.status = 200
        if exchange.pointee.surface == .ollamaTags { return answerOwn(index, status: 200, body: plan.pointee.tagsBody, retryAfter: 0) }
        if exchange.pointee.surface == .geminiModels { return answerGeminiModels(index) }
        if has(exchange, "anthropic-version") { return answerAnthropicModels(index) }
        if has(exchange, "x-goog-api-key") || has(exchange, "x-goog-api-client") { return answerGeminiModels(index) }
        if path.count == 10 { return answerOwn(index, status: 200, body: plan.pointee.modelsBody, retryAfter: 0) }
        let name = UnsafeRawBufferPointer(rebasing: path[11...])
        for at in 0..<plan.pointee.models.count where plan.pointee.models[at].pointee.name.equals(name) {
            return answerOwn(index, status: 200, body: plan.pointee.modelBodies[at].pointee, retryAfter: 0)
        }
        exchange.pointee.requestedModel = name
        answerError(index, .modelNotFound, detail: "", param: "model")
    }

    /// Does this client speak the dialect whose clients send this field? Anthropic's list of models, and the first version of Gemini's, have OpenAI's path.
    private func has(_ exchange: UnsafeMutablePointer<Exchange>, _ name: StaticString) -> Bool {
        for at in 0..<requestHead.fieldCount where Int(requestHead.fields[at].nameLength) == name.utf8CodeUnitCount {
            if Self.sameName(exchange.pointee.headBase + Int(requestHead.fields[at].nameOffset), name.utf8Start, name.utf8CodeUnitCount) { return true }
        }
        return false
    }

    private func answerAnthropicModels(_ index: UInt32) {
        let exchange = exchanges.base + Int(index)
        let plan = exchange.pointee.plan
        let path = exchange.pointee.path
        // From here on the client is one of Anthropic's, in its errors too.
        exchange.pointee.surface = .messages
        if path.count == 10 { return answerOwn(index, status: 200, body: plan.pointee.anthropicModelsBody, retryAfter: 0) }
        answerOneModel(index, UnsafeRawBufferPointer(rebasing: path[11...]), plan.pointee.anthropicModelBodies)
    }

    private func answerGeminiModels(_ index: UInt32) {
        let exchange = exchanges.base + Int(index)
        let plan = exchange.pointee.plan
        let path = exchange.pointee.path
        guard let last = path.lastIndex(of: 47), last + 1 < path.count, !path.dropFirst(last + 1).elementsEqual("models".utf8) else {
            return answerOwn(index, status: 200, body: plan.pointee.geminiModelsBody, retryAfter: 0)
        }
        answerOneModel(index, UnsafeRawBufferPointer(rebasing: path[(last + 1)...]), plan.pointee.geminiModelBodies)
    }

    private func answerOneModel(_ index: UInt32, _ name: UnsafeRawBufferPointer, _ bodies: List<Bytes>) {
        let exchange = exchanges.base + Int(index)
        let plan = exchange.pointee.plan
        for at in 0..<plan.pointee.models.count where plan.pointee.models[at].pointee.name.equals(name) {
            return answerOwn(index, status: 200, body: bodies[at].pointee, retryAfter: 0)
        }
        exchange.pointee.requestedModel = name
        answerError(index, .modelNotFound, detail: "", param: "model")
    }

    /// A complete answer of the gateway; `body` is copied. Field lines that were saved of an upstream's error go with it.
    func answerOwn(_ index: UInt32, status: UInt16, body: Bytes, retryAfter: UInt64, type: StaticString = "application/json", lines: Bytes = .empty) {
        let exchange = exchanges.base + Int(index)
        if exchange.pointee.partner != noIndex, !answersFirst(index, status) { return }
        let connection = connections.base + Int(exchange.pointee.connection)
        exchange.pointee.status = status
        // A large body has a block of its own, which the memory of all bodies bounds. Where there is no room for that, the answer keeps it itself.
        let raw = UnsafeRawBufferPointer(start: body.base, count: exchange.pointee.method == .head ? 0 : body.count)
        let bound = 2048 + lines.count + exchange.pointee.savedFieldsLength + exchange.pointee.droppedLength
        let block = raw.count > Self.bufferedWrittenMax && bound <= buffers.size ? writtenBlock(exchange, raw, isChunk: false) : nil
        guard let start = answerRoom(exchange, block != nil ? bound : bound + raw.count) else {
            // The attempt has its account already.
            exchange.pointee.state = .draining
            return clientGone(index)
        }
        var writer = TextWriter(start)
        let isStream = exchange.pointee.stream != 0
        if !isStream {
            writer.put("HTTP/1.1 ")
            writer.put(number: UInt64(status))
            writer.put(byte: 32)
            writer.put(Self.reason(status))
            writer.put("\r\n")
        }
        if let saved = exchange.pointee.savedFields {
            writer.put(saved, exchange.pointee.savedFieldsLength)
        } else {
            writer.put("date: ")
            writer.put(date(), 29)
            writer.put("\r\ncontent-type: ")
            writer.put(type)
            writer.put("\r\ncache-control: no-store\r\n")
        }
        writer.put(lines)
        if retryAfter > 0, exchange.pointee.savedFields == nil {
            writer.put("retry-after: ")
            writer.put(number: retryAfter)
            writer.put("\r\n")
        }
        if exchange.pointee.failure == .invalidKey, status == 401 { writer.put("www-authenticate: Bearer realm=\"openclaw\"\r\n") }
        if status == 405 { writer.put("allow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS\r\n") }
        writeOwnFields(exchange, &writer)
        writer.put("content-length: ")
        writer.put(number: UInt64(body.count))
        writer.put("\r\n")
        let lines = writer.count
        if !isStream {
            writeConnection(exchange, connection, &writer)
            writer.put("\r\n")
        }
        if block == nil { writer.put(raw) }
        commitAnswerText(exchange, writer)
        if isStream {
            // The lines are the session's, what follows them is payload.
            exchange.pointee.answerLines = Segment(base: UnsafePointer(start), length: UInt32(lines), buffer: exchange.pointee.output[0].buffer)
            if lines == Int(exchange.pointee.output[0].length) {
                _ = exchange.pointee.output.dropFirst()
            } else {
                buffers.retain(exchange.pointee.answerLines.buffer)
                exchange.pointee.output.advanceFirst(lines)
            }
        }
        if let block { exchange.pointee.output.append(block) }
        exchange.pointee.state = .draining
        exchange.pointee.phase = .none
        exchange.pointee.totalDeadline = 0
        push(index)
    }

    static func reason(_ status: UInt16) -> StaticString {
        switch status {
        case 200: "OK"
        case 400: "Bad Request"
        case 401: "Unauthorized"
        case 402: "Payment Required"
        case 403: "Forbidden"
        case 409: "Conflict"
        case 422: "Unprocessable Content"
        case 429: "Too Many Requests"
        case 500: "Internal Server Error"
        case 529: "Overloaded"
        case 404: "Not Found"
        case 405: "Method Not Allowed"
        case 408: "Request Timeout"
        case 413: "Content Too Large"
        case 414: "URI Too Long"
        case 417: "Expectation Failed"
        case 431: "Request Header Fields Too Large"
        case 501: "Not Implemented"
        case 502: "Bad Gateway"
        case 503: "Service Unavailable"
        case 504: "Gateway Timeout"
        case 505: "HTTP Version Not Supported"
        case 508: "Loop Detected"
        default: "Error"
        }
    }
}
