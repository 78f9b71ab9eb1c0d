// What the tests of the admin listener share: a gateway in this process with its admin listener, a raw socket to ask with, and a checker of the
// text formats that knows them only from their specifications.
import CClaw
import ClawConfig
import ClawLoad
import Foundation
import Synchronization
import Testing

@testable import ClawEngine

/// A gateway with an admin listener on free ports. `end()` in every test, or its threads stay.
final class AdminRig: @unchecked Sendable {
    let gateway: Gateway
    let admin: AdminServer
    let mock: MockServer?
    private let messages: MessageBox

    final class MessageBox: Sendable {
        let lines = Mutex<[String]>([])
    }

    var events: [String] { messages.lines.withLock { $0 } }

    /// - Parameters:
    ///   - upstreams: YAML of the `upstreams` map; nil: a mock upstream with the model m.
    ///   - more: further YAML, top level.
    init(token: String? = nil, upstreams: String? = nil, more: String = "", workers: Int = 1, reload: (@Sendable () -> String?)? = nil) throws {
        var entry = upstreams ?? ""
        if upstreams == nil {
            let server = try MockServer(options: MockOptions())
            try server.start()
            mock = server
            entry = "  mock: {type: generic, base_url: \"http://127.0.0.1:\(server.port)/v1\", api_key: sk-canary-upstream-key, models: [m]}"
        } else {
            mock = nil
        }
        let configuration = try Self.configuration(token: token, upstreams: entry, more: more, workers: workers)
        let box = MessageBox()
        messages = box
        gateway = try Gateway(configuration) { level, text in box.lines.withLock { $0.append("\(level.rawValue): \(text)") } }
        try gateway.start()
        admin = AdminServer(gateway: gateway, reload: reload ?? { "nothing to read again" })
        try admin.start()
    }

    static func configuration(token: String? = nil, upstreams: String, more: String = "", workers: Int = 1) throws -> Configuration {
        let text = """
            server:
              listen_port: 0
              workers: \(workers)
              admin: {listen_port: 0\(token.map { ", token: \"\($0)\"" } ?? "")}
            logging: {output: "off"}
            upstreams:
            \(upstreams)
            \(more)
            """
        let load = loadConfiguration(text: text, name: "test", environment: [:])
        return try #require(load.configuration, "\(load.issues)")
    }

    func end() {
        gateway.drain(now: true)
        gateway.join()
        admin.stop()
        mock?.stop()
    }

    /// Workers take a new plan over when they wake; until then requests run on the old one.
    func awaitPlan() throws {
        let deadline = claw_monotonic_ns() + 20_000_000_000
        let newest = gateway.plans.withLock { UInt(bitPattern: $0.owners[$0.owners.count - 1].ref) }
        while !gateway.workers.allSatisfy({ claw_word_load($0.planSeen) == UInt64(newest) }) {
            try #require(claw_monotonic_ns() < deadline, "the workers do not take the plan over")
            sched_yield()
        }
    }

    func peer() -> AdminPeer { AdminPeer(port: admin.port) }

    /// One request on a connection of its own.
    func ask(_ method: String, _ path: String, _ fields: [String] = []) throws -> AdminPeer.Answer {
        let peer = peer()
        peer.send(method, path, fields)
        return try peer.answer(isHead: method == "HEAD")
    }

    /// A chat completion through the gateway; the status.
    func complete(stream: Bool = false) throws -> Int {
        let peer = AdminPeer(port: gateway.port)
        let body = "{\"model\":\"m\",\"stream\":\(stream),\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]}"
        peer.send("POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: \(body.utf8.count)\r\n\r\n\(body)")
        let text = peer.rest()
        return try #require(Int(text.split(separator: " ").dropFirst().first ?? ""), "\(text)")
    }
}

/// A blocking socket; reads give up after 20 s, so that what would hang fails.
final class AdminPeer {
    struct Answer {
        var status: Int
        var fields: [String: String]
        var body: String
    }
    private let fd: Int32
    private var buffer: [UInt8] = []

    init(port: UInt16, receiveBuffer: Int32? = nil) {
        fd = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var patience = timeval(tv_sec: 20, tv_usec: 0)
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, socklen_t(MemoryLayout<timeval>.size))
        if var receiveBuffer { setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receiveBuffer, 4) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.bigEndian
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        let result = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { connect(fd, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) }
        }
        precondition(result == 0, "cannot connect: errno \(errno)")
    }

    private var lastError: Int32 = 0

    deinit { close(fd) }

    func send(_ text: String) {
        var left = Array(text.utf8)[...]
        while !left.isEmpty {
            let count = left.withUnsafeBytes { Glibc.send(fd, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
            if count <= 0 { return }
            left = left.dropFirst(count)
        }
    }

    func send(_ method: String, _ path: String, _ fields: [String] = []) {
        let host = fields.contains { $0.lowercased().hasPrefix("host:") } ? [] : ["host: 127.0.0.1"]
        send("\(method) \(path) HTTP/1.1\r\n" + (host + fields).map { "\($0)\r\n" }.joined() + "\r\n")
    }

    func endSending() { shutdown(fd, Int32(SHUT_WR)) }

    /// False at the end, on a reset, and when nothing came in time.
    private func more() -> Bool {
        var piece = [UInt8](repeating: 0, count: 65536)
        var count = 0
        // A blocking read with a time-out is never restarted by the kernel after a signal (signal(7)).
        repeat { count = recv(fd, &piece, piece.count, 0) } while count < 0 && errno == EINTR
        if count < 0 { lastError = errno }
        if count > 0 { buffer += piece[..<count] }
        return count > 0
    }

    /// All that comes until the other side ends.
    func rest() -> String {
        while more() {}
        defer { buffer = [] }
        return String(decoding: buffer, as: UTF8.self)
    }

    func answer(isHead: Bool = false) throws -> Answer {
        let ending: [UInt8] = [13, 10, 13, 10]
        var end = 0
        while true {
            while end + 4 <= buffer.count, !buffer[end..<end + 4].elementsEqual(ending) { end += 1 }
            if end + 4 <= buffer.count { break }
            try #require(more(), "the connection ended (errno \(lastError)) within the head: \(String(decoding: buffer, as: UTF8.self))")
        }
        let lines = String(decoding: buffer[..<end], as: UTF8.self).components(separatedBy: "\r\n")
        var fields: [String: String] = [:]
        for line in lines.dropFirst() {
            let parts = line.split(separator: ":", maxSplits: 1)
            fields[parts[0].lowercased()] = parts.count > 1 ? parts[1].trimmingCharacters(in: .whitespaces) : ""
        }
        let status = try #require(Int(lines[0].split(separator: " ")[1]))
        let length = isHead || status == 100 ? 0 : try #require(Int(fields["content-length"] ?? ""), "\(lines)")
        while buffer.count < end + 4 + length { try #require(more(), "the connection ended within the body") }
        let body = String(decoding: buffer[(end + 4)..<(end + 4 + length)], as: UTF8.self)
        buffer.removeFirst(end + 4 + length)
        return Answer(status: status, fields: fields, body: body)
    }
}

/// Reads a metrics text strictly: every family begins with HELP and TYPE, stands together and comes once; every sample belongs to the family before
/// it, is there once, and has a name its type allows; histograms are cumulative and end with +Inf, which equals _count.
struct MetricsText {
    var samples: [String: Double] = [:]
    var types: [String: String] = [:]
    var faults: [String] = []

    init(_ text: String, openMetrics: Bool) {
        var family = "", help = ""
        var lines = text.components(separatedBy: "\n")
        if lines.last != "" { faults.append("the last line has no end") }
        lines.removeLast()
        if openMetrics {
            if lines.last != "# EOF" { faults.append("no # EOF") }
            lines.removeLast()
        }
        var histogram: [(labels: String, le: Double, count: Double)] = []
        func endFamily(_ faults: inout [String], _ samples: [String: Double]) {
            for series in Dictionary(grouping: histogram, by: \.labels) {
                let buckets = series.value
                if buckets.map(\.le) != buckets.map(\.le).sorted() { faults.append("\(family): bounds out of order") }
                if buckets.map(\.count) != buckets.map(\.count).sorted() { faults.append("\(family): buckets are not cumulative") }
                if buckets.last?.le != .infinity { faults.append("\(family): no +Inf") }
                let key = series.key.isEmpty ? "" : "{\(series.key)}"
                if samples["\(family)_count\(key)"] != buckets.last?.count { faults.append("\(family)\(key): _count is not +Inf") }
                if samples["\(family)_sum\(key)"] == nil { faults.append("\(family)\(key): no _sum") }
            }
            histogram = []
        }
        for line in lines {
            if line.hasPrefix("# HELP ") {
                endFamily(&faults, samples)
                help = String(line.dropFirst(7).prefix { $0 != " " })
                continue
            }
            if line.hasPrefix("# TYPE ") {
                let words = line.split(separator: " ").map(String.init)
                guard words.count == 4 else { faults.append(line); continue }
                family = words[2]
                if help != family { faults.append("\(family): no HELP before TYPE") }
                if types.updateValue(words[3], forKey: family) != nil { faults.append("\(family): there twice") }
                if !["counter", "gauge", "histogram", "info"].contains(words[3]) { faults.append("\(family): type \(words[3])") }
                if words[3] == "info", !openMetrics { faults.append("\(family): info is not a type of this format") }
                continue
            }
            guard let (name, labels, value) = Self.sample(line) else { faults.append("not a sample: \(line)"); continue }
            let suffixes: [String] = switch (types[family] ?? "", openMetrics) {
            case ("counter", true): ["_total"]
            case ("info", _): ["_info"]
            case ("histogram", _): ["_bucket", "_sum", "_count"]
            default: [""]
            }
            if !suffixes.contains(where: { name == family + $0 }) { faults.append("\(name) does not belong to \(family)") }
            if types[family] == "counter", !name.hasSuffix("_total") { faults.append("\(name): a counter ends with _total") }
            let key = labels.isEmpty ? name : "\(name){\(labels.map { "\($0)=\"\($1)\"" }.joined(separator: ","))}"
            if samples.updateValue(value, forKey: key) != nil { faults.append("\(key): there twice") }
            if Set(labels.map(\.0)).count != labels.count { faults.append("\(key): a label twice") }
            if name.hasSuffix("_bucket"), types[family] == "histogram" {
                guard let le = labels.last, le.0 == "le", let bound = le.1 == "+Inf" ? .infinity : Double(le.1) else { faults.append("\(key): le"); continue }
                if openMetrics, le.1 != "+Inf", !le.1.contains("."), !le.1.contains("e") { faults.append("\(key): le is not a float") }
                histogram.append((labels.dropLast().map { "\($0)=\"\($1)\"" }.joined(separator: ","), bound, value))
            }
        }
        endFamily(&faults, samples)
    }

    /// name{label="value",…} number; values are unescaped.
    private static func sample(_ line: String) -> (String, [(String, String)], Double)? {
        var at = Array(line.unicodeScalars)[...]
        func isName(_ scalar: Unicode.Scalar) -> Bool { scalar.isASCII && (scalar.properties.isAlphabetic || scalar == "_" || ("0"..."9").contains(scalar)) }
        func name() -> String {
            let found = at.prefix(while: isName)
            at = at.dropFirst(found.count)
            return String(String.UnicodeScalarView(found))
        }
        let metric = name()
        guard !metric.isEmpty, !("0"..."9").contains(metric.unicodeScalars.first ?? "0") else { return nil }
        var labels: [(String, String)] = []
        if at.first == "{" {
            repeat {
                at = at.dropFirst()
                let label = name()
                guard !label.isEmpty, at.first == "=", at.dropFirst().first == "\"" else { return nil }
                at = at.dropFirst(2)
                var value = String.UnicodeScalarView()
                while let scalar = at.first, scalar != "\"" {
                    at = at.dropFirst()
                    if scalar == "\\" {
                        guard let escaped = at.first, ["\\", "n", "\""].contains(escaped) else { return nil }
                        at = at.dropFirst()
                        value.append(escaped == "n" ? "\n" : escaped)
                    } else {
                        value.append(scalar)
                    }
                }
                at = at.dropFirst()
                labels.append((label, String(value)))
            } while at.first == ","
            guard at.first == "}" else { return nil }
            at = at.dropFirst()
        }
        guard at.first == " ", let value = Double(String(String.UnicodeScalarView(at.dropFirst()))) else { return nil }
        return (metric, labels, value)
    }
}
