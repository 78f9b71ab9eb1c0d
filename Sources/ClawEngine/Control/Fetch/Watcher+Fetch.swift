// Fetches over libcurl: one request, one answer, whole or as a stream. Each has an end that is told exactly once, unless it was cancelled. Bounds: the time of
// the whole, the time without a byte, the bytes of the answer.
import CClaw
import Glibc

extension Watcher {
    /// Begins a fetch; its events come from now on, never from within this call. `cancel` ends it without a word.
    func fetch(_ request: FetchRequest, _ on: @escaping (FetchEvent) -> Void) -> PlaceID {
        let fetch = Fetch(request, on)
        let id = fetches.add(fetch, kind: .transfers)
        if let problem = begin(fetch, request, id) {
            after(0) { [unowned self] in end(id, FetchFailure(kind: .unusable, description: problem)) }
            return id
        }
        fetch.heardAt = now
        if request.timeout > 0 {
            fetch.whole = after(request.timeout) { [unowned self] in
                end(id, FetchFailure(kind: .timeout, description: "no answer within \(request.timeout / 1_000_000) ms"))
            }
        }
        if request.silence > 0 { watchSilence(id, fetch, request.silence) }
        return id
    }

    /// Begins a fetch whose answer is wanted whole.
    func collect(_ request: FetchRequest, _ done: @escaping (Result<Fetched, FetchFailure>) -> Void) -> PlaceID {
        var answer = Fetched()
        return fetch(request) { event in
            switch event {
            case .head(let status, let fields):
                answer.status = status
                answer.fields = fields
            case .data(let bytes): answer.body.append(contentsOf: bytes)
            case .ended(let failure): if let failure { done(.failure(failure)) } else { done(.success(answer)) }
            }
        }
    }

    func cancel(_ id: PlaceID?) {
        guard let id, let fetch = fetches.remove(id) else { return }
        drop(fetch)
    }

    private func begin(_ fetch: Fetch, _ request: FetchRequest, _ id: PlaceID) -> String? {
        if let problem = openTransfers() { return problem }
        guard let transfers else { return "libcurl is not there" }
        guard let policy = policy(request.policy) else { return "what TLS needs cannot be used: \(request.policy.caFile ?? request.policy.clientCertificate ?? "")" }
        let fields = request.fields.map { Array($0.utf8) }
        let lines = UnsafeMutableRawBufferPointer.allocate(byteCount: max(1, fields.reduce(0) { $0 + $1.count }), alignment: 1)
        defer { lines.deallocate() }
        var slices: [claw_slice] = []
        var at = 0
        for field in fields {
            UnsafeMutableRawBufferPointer(rebasing: lines[at...]).copyBytes(from: field)
            slices.append(claw_slice(base: lines.baseAddress.unsafelyUnwrapped + at, length: field.count))
            at += field.count
        }
        var body = claw_slice(base: fetch.body.baseAddress, length: request.body.count)
        let result = request.url.withCString { url in
            request.method.withCString { method in
                slices.withUnsafeBufferPointer { slices in
                    var order = claw_transfer_request()
                    order.url = url
                    order.method = method
                    order.headers = slices.baseAddress
                    order.header_count = UInt32(slices.count)
                    order.token = id.value
                    order.policy = policy
                    order.window_bytes = 65536
                    return withUnsafePointer(to: &body) { body in
                        order.body = request.body.isEmpty ? nil : body
                        order.body_count = request.body.isEmpty ? 0 : 1
                        return claw_transfer_start(transfers, &order)
                    }
                }
            }
        }
        guard result >= 0 else { return "the request cannot be made: \(String(cString: strerror(-result)))" }
        fetch.transfer = result
        policies[request.policy]?.fetches += 1
        return nil
    }

    private func policy(_ wanted: FetchPolicy) -> OpaquePointer? {
        if let made = policies[wanted] { return made.pointer }
        if policies.count >= Self.policiesMax {
            for (old, kept) in policies where kept.fetches == 0 {
                claw_transfer_policy_destroy(kept.pointer)
                policies[old] = nil
            }
        }
        func with(_ text: String?, _ body: (UnsafePointer<CChar>?) -> OpaquePointer?) -> OpaquePointer? { text.map { $0.withCString { body($0) } } ?? body(nil) }
        let made = with(wanted.caFile) { caFile in
            with(wanted.clientCertificate) { certificate in
                with(wanted.clientKey) { key in
                    with(wanted.proxy) { proxy in
                        with(wanted.connectTo) { connectTo in
                            var options = claw_transfer_policy_options()
                            options.ca_file = caFile
                            options.client_certificate = certificate
                            options.client_key = key
                            options.proxy = proxy
                            options.connect_to = connectTo
                            options.insecure_skip_verify = wanted.skipsVerification ? 1 : 0
                            options.http_version = wanted.mayUseHTTP2 ? 0 : 1
                            options.connect_timeout_ms = wanted.connectMilliseconds
                            var made: OpaquePointer?
                            return claw_transfer_policy_create(&options, &made) == 0 ? made : nil
                        }
                    }
                }
            }
        }
        if let made { policies[wanted] = KeptPolicy(pointer: made) }
        return made
    }

    private func watchSilence(_ id: PlaceID, _ fetch: Fetch, _ wait: UInt64) {
        fetch.quiet = after(wait) { [unowned self] in
            let quiet = now &- fetch.heardAt
            if quiet < fetch.silence { return watchSilence(id, fetch, fetch.silence - quiet) }
            end(id, FetchFailure(kind: .timeout, description: "nothing came for \(fetch.silence / 1_000_000) ms"))
        }
    }

    /// Lets curl's timers run and takes what came of its transfers.
    func pumpTransfers() {
        guard let transfers else { return }
        if claw_transfers_deadline(transfers, now) == 0 { _ = claw_transfers_tick(transfers) }
        var event = claw_transfer_event()
        var turns = 0
        while turns < Self.eventsMax, claw_transfers_next(transfers, &event) == 1 {
            turns += 1
            defer { if event.kind == CLAW_TRANSFER_DATA { claw_buffer_release(loop, event.buffer) } }
            let id = PlaceID(value: event.token)
            guard let fetch = fetches[id], fetch.transfer == event.id else { continue }
            fetch.heardAt = now
            switch Int(event.kind) {
            case CLAW_TRANSFER_HEAD:
                let text = event.text.map { UnsafeRawBufferPointer(start: $0, count: Int(event.length)) }
                fetch.on(.head(status: Int(event.result), fields: text.map { String(decoding: $0, as: UTF8.self) } ?? ""))
            case CLAW_TRANSFER_DATA:
                fetch.received &+= Int(event.length)
                if fetch.bytesMax > 0, fetch.received > fetch.bytesMax {
                    end(id, FetchFailure(kind: .tooLarge, description: "the answer is larger than \(fetch.bytesMax) bytes"))
                } else {
                    let from = claw_buffer_base(loop).unsafelyUnwrapped + Int(event.buffer) * 16384
                    fetch.on(.data(UnsafeRawBufferPointer(start: from, count: Int(event.length))))
                }
            case CLAW_TRANSFER_ENDED:
                fetch.transfer = -1
                policies[fetch.policy]?.fetches -= 1
                let words = event.text.map { String(cString: $0) } ?? ""
                end(id, event.result == 0 ? nil : Self.failure(event.result, words))
            default: break
            }
        }
        // What is left comes in the next turn of the loop, which must not wait then: there may be nothing else to wake it.
        hasMoreEvents = turns == Self.eventsMax
    }

    private static func failure(_ result: Int32, _ words: String) -> FetchFailure {
        let (kind, text): (FetchFailure.Kind, String) = switch result {
        case Int32(CLAW_TRANSFER_RESOLVE): (.name, "the name could not be resolved")
        case Int32(CLAW_TRANSFER_CONNECT): (.connect, "no connection")
        case Int32(CLAW_TRANSFER_CONNECT_TIMEOUT): (.timeout, "no connection in time")
        case Int32(CLAW_TRANSFER_TLS): (.tls, "TLS")
        case Int32(CLAW_TRANSFER_MALFORMED): (.malformed, "the answer is no HTTP")
        default: (.network, "the connection broke")
        }
        return FetchFailure(kind: kind, description: words.isEmpty ? text : "\(text): \(words)")
    }

    private func end(_ id: PlaceID, _ failure: FetchFailure?) {
        guard let fetch = fetches.remove(id) else { return }
        drop(fetch)
        fetch.on(.ended(failure))
    }

    private func drop(_ fetch: Fetch) {
        cancel(fetch.whole)
        cancel(fetch.quiet)
        guard fetch.transfer >= 0, let transfers else { return }
        _ = claw_transfer_cancel(transfers, fetch.transfer)
        fetch.transfer = -1
        policies[fetch.policy]?.fetches -= 1
    }

    func endFetches() {
        for fetch in fetches.all { drop(fetch) }
        fetches = Places()
    }
}
