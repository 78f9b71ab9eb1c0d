// Asks name servers: over UDP, over TCP where an answer did not fit, one server after the other, as often as /etc/resolv.conf says or three times. The system's
// resolver is not used because it tells no times to live and no SRV records. The id of each try is random, the port is the kernel's choice, and the socket
// is connected, so that nobody but the server can answer.
import CClaw
import ClawPolicy
import ClawWire
import Glibc

final class NameServers {
    typealias Done = (Result<DNSAnswer, NameFailure>) -> Void

    struct NameFailure: Error, CustomStringConvertible { var description: String }

    private unowned let watcher: Watcher
    let servers: [claw_address]
    private let timeout: UInt64
    private let attempts: Int
    private var queries: [ObjectIdentifier: Query] = [:]

    /// - Parameter server: "address" or "address:port"; nil: those of the system.
    init(_ watcher: Watcher, server: String?, system: DNSResolverFile) {
        self.watcher = watcher
        if let server, let address = Self.address(server) {
            servers = [address]
            timeout = 1_500_000_000
            attempts = 3
        } else {
            let texts = system.servers.isEmpty ? ["127.0.0.1"] : system.servers.map(\.text)
            servers = texts.compactMap { Self.address($0) }
            timeout = UInt64(system.timeoutSeconds) * 1_000_000_000
            attempts = system.attempts
        }
    }

    static func address(_ text: String) -> claw_address? {
        var address = claw_address()
        if claw_address_parse(text, 53, &address) == 0 { return address }
        guard let colon = text.lastIndex(of: ":"), let port = UInt16(text[text.index(after: colon)...]) else { return nil }
        return claw_address_parse(String(text[..<colon]), port, &address) == 0 ? address : nil
    }

    /// Ends all that is under way, without a word.
    func cancel() {
        for query in queries.values { query.close() }
        queries = [:]
    }

    func ask(_ question: DNSQuestion, _ done: @escaping Done) {
        let query = Query(question, watcher, servers, timeout: timeout, triesMax: attempts * servers.count)
        queries[ObjectIdentifier(query)] = query
        query.done = { [unowned self, unowned query] result in
            queries[ObjectIdentifier(query)] = nil
            done(result)
        }
        query.start()
    }

    /// One question on its way through tries.
    private final class Query {
        let question: DNSQuestion
        unowned let watcher: Watcher
        let servers: [claw_address]
        let timeout: UInt64
        let triesMax: Int
        var done: Done?
        private var tries = 0
        private var id: UInt16 = 0
        private var hasOptions = true
        private var socket: PlaceID?
        private var timer: TimerQueue.ID?
        private var isTCP = false
        private var hasSent = false
        private var received: [UInt8] = []

        init(_ question: DNSQuestion, _ watcher: Watcher, _ servers: [claw_address], timeout: UInt64, triesMax: Int) {
            self.question = question
            self.watcher = watcher
            self.servers = servers
            self.timeout = timeout
            self.triesMax = triesMax
        }

        func close() {
            watcher.close(socket)
            watcher.cancel(timer)
            socket = nil
            timer = nil
        }

        private func finish(_ result: Result<DNSAnswer, NameFailure>) {
            close()
            let done = self.done
            self.done = nil
            done?(result)
        }

        /// From the loop's next turn on: whoever asks is told nothing from within its call, and nothing after `close`, servers or none.
        func start() {
            timer = watcher.after(0) { [unowned self] in next("no name server") }
        }

        /// The next try; `why`: what became of the last one.
        func next(_ why: String) {
            close()
            guard tries < triesMax else { return finish(.failure(NameFailure(description: why))) }
            let server = servers[tries % servers.count]
            tries += 1
            begin(server, isTCP: false)
        }

        private func begin(_ server: claw_address, isTCP: Bool) {
            self.isTCP = isTCP
            hasSent = false
            received = []
            id = UInt16(truncatingIfNeeded: watcher.random())
            socket = watcher.connect(server, isStream: isTCP, interest: CLAW_WRITE | CLAW_READ) { [unowned self] in ready($0, server) }
            timer = watcher.after(socket == nil ? 0 : timeout) { [unowned self] in next("no answer from \(Self.text(server)) in time") }
        }

        private func ready(_ readiness: Int32, _ server: claw_address) {
            guard let socket, let fd = watcher.descriptor(socket) else { return }
            if !hasSent {
                let error = watcher.connectionError(socket)
                guard error == 0 else { return next("\(Self.text(server)): \(String(cString: strerror(error)))") }
                var message = question.message(id: id, hasOptions: hasOptions)
                if isTCP { message = [UInt8(message.count >> 8), UInt8(message.count & 255)] + message }
                guard send(fd, message, message.count, Int32(MSG_NOSIGNAL)) == message.count else {
                    if errno == EAGAIN { return }
                    return next("\(Self.text(server)): \(String(cString: strerror(errno)))")
                }
                hasSent = true
                return watcher.watch(socket, CLAW_READ)
            }
            if isTCP { readStream(fd, server) } else { readDatagrams(fd, server) }
        }

        private func readDatagrams(_ fd: Int32, _ server: claw_address) {
            var bytes = [UInt8](repeating: 0, count: 4096)
            for _ in 0..<8 {
                let count = recv(fd, &bytes, bytes.count, 0)
                if count < 0 {
                    if errno == EAGAIN || errno == EINTR { return }
                    return next("\(Self.text(server)): \(String(cString: strerror(errno)))")
                }
                if take(Array(bytes[..<count]), server) { return }
            }
        }

        private func readStream(_ fd: Int32, _ server: claw_address) {
            var bytes = [UInt8](repeating: 0, count: 65536)
            let count = recv(fd, &bytes, bytes.count, 0)
            if count < 0, errno == EAGAIN || errno == EINTR { return }
            guard count > 0 else { return next("\(Self.text(server)): the connection broke") }
            received.append(contentsOf: bytes[..<count])
            guard received.count >= 2 else { return }
            let length = Int(received[0]) << 8 | Int(received[1])
            guard received.count >= 2 + length else { return }
            if !take(Array(received[2..<2 + length]), server) { next("\(Self.text(server)): an answer to something else") }
        }

        /// True when the message was the answer, of whatever kind.
        private func take(_ message: [UInt8], _ server: claw_address) -> Bool {
            // Too short to have an id: whoever sent it, it was no answer.
            guard message.count >= 12 else { return false }
            let outcome: Result<DNSAnswer, DNSAnswer.Refusal> = message.withUnsafeBytes { raw in
                do throws(DNSAnswer.Refusal) { return .success(try DNSAnswer.parse(raw, to: question, id: id)) } catch { return .failure(error) }
            }
            switch outcome {
            case .failure(.otherID), .failure(.otherQuestion), .failure(.notAnAnswer): return false
            case .failure(let refusal): next("\(Self.text(server)): \(refusal)")
            case .success(let answer):
                if answer.isTruncated, !isTCP {
                    close()
                    begin(server, isTCP: true)
                } else if answer.code == 1, hasOptions {
                    hasOptions = false
                    close()
                    begin(server, isTCP: isTCP)
                } else if answer.isUsable {
                    finish(.success(answer))
                } else {
                    next("\(Self.text(server)): \(Self.words(answer.code))")
                }
            }
            return true
        }

        private static func words(_ code: UInt16) -> String {
            switch code {
            case 1: "format error"
            case 2: "server failure"
            case 4: "not implemented"
            case 5: "refused"
            default: "error \(code)"
            }
        }

        private static func text(_ address: claw_address) -> String {
            var address = address
            let port = claw_address_port(&address)
            return withUnsafeTemporaryAllocation(of: CChar.self, capacity: 128) { room in
                guard claw_address_text(&address, room.baseAddress.unsafelyUnwrapped, 128) > 0 else { return "name server" }
                return "\(String(cString: room.baseAddress.unsafelyUnwrapped)):\(port)"
            }
        }
    }
}
