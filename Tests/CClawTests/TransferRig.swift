import CClaw
import Foundation

/// The server of TransferTests: `Tests/Fixtures/transfer_server.py` as a child process that ends with this one,
/// its ports, certificates and log. Started once for all tests; `nil` where python3 or openssl are missing.
final class TransferServer: Sendable {
    struct Ports: Decodable, Sendable {
        var tls, plain, expired, mutual, proxy, mute, banner, refusing, h2: Int
    }

    static let toolsMissing = "python3 and openssl are needed on the PATH: transfer tests skipped"
    static let nghttpdMissing = "nghttpd (Debian nghttp2-server) is not installed: HTTP/2 transfer tests skipped"
    static let shared: TransferServer? = TransferServer()

    let ports: Ports
    let directory: String
    /// Kept open: the server ends when it closes.
    private let leash: Pipe

    private init?() {
        guard TransferServer.has("python3"), TransferServer.has("openssl") else { return nil }
        let script = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .appendingPathComponent("Fixtures/transfer_server.py").path
        directory = NSTemporaryDirectory() + "claw-transfer-\(UUID().uuidString)"
        leash = Pipe()
        do {
            try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
            let process = Process()
            process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
            process.arguments = ["python3", script, directory]
            process.standardInput = leash
            let output = Pipe()
            process.standardOutput = output
            try process.run()
            var line = Data()
            while line.last != UInt8(ascii: "\n") {
                let more = output.fileHandleForReading.availableData
                if more.isEmpty { return nil }
                line += more
            }
            ports = try JSONDecoder().decode(Ports.self, from: line)
        } catch {
            return nil
        }
    }

    private static func has(_ tool: String) -> Bool {
        (ProcessInfo.processInfo.environment["PATH"] ?? "").split(separator: ":")
            .contains { FileManager.default.isExecutableFile(atPath: "\($0)/\(tool)") }
    }

    func file(_ name: String) -> String { directory + "/" + name }
    func log(_ name: String = "log") -> [String] {
        ((try? String(contentsOfFile: file(name), encoding: .utf8)) ?? "").split(separator: "\n").map(String.init)
    }
}

/// One loop with one set of transfers, driven as a worker drives it. Collects what comes of each transfer.
final class TransferRig {
    struct Answer {
        var status: Int32 = 0
        var version: UInt32 = 0
        var head = ""
        var body: [UInt8] = []
        var pieces = 0
        var result: Int32?
        var words = ""
        var text: String { String(decoding: body, as: UTF8.self) }
    }

    static let watchToken: UInt64 = 77
    let loop: OpaquePointer
    let transfers: OpaquePointer
    var answers: [UInt64: Answer] = [:]
    /// While false, DATA buffers are counted but not given back.
    var givesBack = true
    var kept: [UInt32] = []
    private var bodies: [UnsafeMutableRawPointer] = []
    private let bufferBytes: Int

    init(perHost: UInt32 = 0, bufferBytes: UInt32 = 16384, bufferCount: UInt32 = 64, backend: Int = CLAW_BACKEND_EPOLL) throws {
        var options = claw_loop_options(backend: UInt32(backend), buffer_bytes: bufferBytes,
                                        buffer_count: bufferCount, reserved: 0)
        var made: OpaquePointer?
        guard claw_loop_create(&options, &made, nil) == 0, let loop = made else { throw POSIXError(.ENOMEM) }
        var set: OpaquePointer?
        let failed = claw_transfers_create(loop, TransferRig.watchToken, perHost, &set)
        guard failed == 0, let transfers = set else {
            claw_loop_destroy(loop)
            throw POSIXError(POSIXErrorCode(rawValue: -failed) ?? .EIO)
        }
        self.loop = loop
        self.transfers = transfers
        self.bufferBytes = Int(bufferBytes)
    }

    deinit {
        claw_transfers_destroy(transfers)
        claw_loop_destroy(loop)
        for body in bodies { body.deallocate() }
    }

    @discardableResult
    func start(_ url: String, method: String = "GET", headers: [String] = [], body: [[UInt8]] = [], token: UInt64,
               policy: OpaquePointer? = nil, window: UInt32 = 65536) -> Int32 {
        answers[token] = Answer()
        func keep(_ bytes: [UInt8]) -> claw_slice {
            let memory = UnsafeMutableRawPointer.allocate(byteCount: max(bytes.count, 1), alignment: 1)
            bytes.withUnsafeBytes { memory.copyMemory(from: $0.baseAddress ?? UnsafeRawPointer(memory), byteCount: bytes.count) }
            bodies.append(memory)
            return claw_slice(base: memory, length: bytes.count)
        }
        let lines = headers.map { keep(Array($0.utf8)) }
        let slices = body.map(keep)
        return url.withCString { url in
            method.withCString { method in
                lines.withUnsafeBufferPointer { lines in
                    slices.withUnsafeBufferPointer { slices in
                        var request = claw_transfer_request(
                            url: url, method: method, headers: lines.baseAddress, header_count: UInt32(lines.count),
                            body_count: UInt32(slices.count), body: slices.baseAddress, token: token, policy: policy,
                            window_bytes: window, reserved: 0)
                        return claw_transfer_start(transfers, &request)
                    }
                }
            }
        }
    }

    /// One turn: wait, feed libcurl, take what came.
    func turn(atMost: Int64 = 50_000_000) {
        var events = [claw_event](repeating: claw_event(), count: 64)
        let deadline = claw_transfers_deadline(transfers, claw_monotonic_ns())
        let wait = deadline < 0 ? atMost : min(deadline, atMost)
        let count = claw_loop_wait(loop, &events, 64, wait)
        for event in events.prefix(Int(max(count, 0))) where event.token == TransferRig.watchToken {
            _ = claw_transfers_ready(transfers, event.fd, event.result)
        }
        _ = claw_transfers_tick(transfers)
        take()
    }

    func take() {
        var event = claw_transfer_event()
        while claw_transfers_next(transfers, &event) == 1 { note(event) }
    }

    private func note(_ event: claw_transfer_event) {
        // In place: a copy of the answer would make each append copy the body.
        switch event.kind {
        case Int32(CLAW_TRANSFER_HEAD):
            answers[event.token]?.status = event.result
            answers[event.token]?.version = event.http_version
            answers[event.token]?.head = String(decoding: UnsafeRawBufferPointer(start: event.text, count: Int(event.length)), as: UTF8.self)
        case Int32(CLAW_TRANSFER_DATA):
            let base = claw_buffer_base(loop)! + Int(event.buffer) * bufferBytes
            answers[event.token]?.body += UnsafeBufferPointer(start: base, count: Int(event.length))
            answers[event.token]?.pieces += 1
            if givesBack { claw_buffer_release(loop, event.buffer) } else { kept.append(event.buffer) }
        default:
            precondition(answers[event.token]?.result == nil, "a second end")
            answers[event.token]?.result = event.result
            answers[event.token]?.words = String(cString: event.text)
        }
    }

    /// Turns until the condition holds, 15 s at most.
    @discardableResult
    func run(until done: () -> Bool) -> Bool {
        let end = claw_monotonic_ns() + 15_000_000_000
        while !done() {
            if claw_monotonic_ns() > end { return false }
            turn()
        }
        return true
    }

    /// Turns for a while, for what must not happen.
    func run(milliseconds: UInt64) {
        let end = claw_monotonic_ns() + milliseconds * 1_000_000
        while claw_monotonic_ns() < end { turn(atMost: 5_000_000) }
    }

    func isEnded(_ token: UInt64) -> Bool { answers[token]?.result != nil }

    /// A whole exchange.
    func fetch(_ url: String, method: String = "GET", headers: [String] = [], body: [[UInt8]] = [],
               policy: OpaquePointer? = nil, token: UInt64 = 1) -> Answer {
        let id = start(url, method: method, headers: headers, body: body, token: token, policy: policy)
        precondition(id >= 0, "start: \(id)")
        run { isEnded(token) }
        return answers[token] ?? Answer()
    }
}

/// A policy that lives as long as this does.
final class TransferPolicy {
    let pointer: OpaquePointer

    init(ca: String? = nil, certificate: String? = nil, key: String? = nil, proxy: String? = nil, connectTo: String? = nil,
         insecure: Bool = false, http1: Bool = false, connectTimeout: UInt32 = 5000) {
        var texts: [UnsafeMutablePointer<CChar>] = []
        func c(_ text: String?) -> UnsafePointer<CChar>? {
            guard let text, let copy = strdup(text) else { return nil }
            texts.append(copy)
            return UnsafePointer(copy)
        }
        var options = claw_transfer_policy_options(
            ca_file: c(ca), client_certificate: c(certificate), client_key: c(key), proxy: c(proxy), connect_to: c(connectTo),
            insecure_skip_verify: insecure ? 1 : 0, http_version: http1 ? 1 : 0, connect_timeout_ms: connectTimeout, reserved: 0)
        var made: OpaquePointer?
        precondition(claw_transfer_policy_create(&options, &made) == 0, "a policy could be made")
        pointer = made!
        for text in texts { free(text) } // the policy has copies
    }

    deinit { claw_transfer_policy_destroy(pointer) }
}
