// Endpoints from a file, which is looked at once a second. One that has changed is read when two looks a tenth of a second apart agree on it, so that a file
// that is being written is not taken half; one that cannot be read or understood changes nothing.
import CClaw
import ClawConfig
import ClawPolicy
import Glibc

final class FileSource: DiscoverySource {
    static let interval: UInt64 = 1_000_000_000
    static let settleTime: UInt64 = 100_000_000

    private let path: String
    private var stamp: FileStamp?
    private var digest: [UInt8] = []
    private var timer: TimerQueue.ID?
    /// What the last look found wrong; told once.
    private var problem: String?

    init(_ path: String, _ discovery: Discovery, _ watcher: Watcher, _ news: @escaping (News) -> Void) {
        self.path = path
        super.init(discovery, watcher, news)
    }

    override func ask() {
        digest = []
        read(FileStamp(path))
        timer = watcher.after(Self.interval) { [unowned self] in look() }
    }

    override func cancel() {
        watcher.cancel(timer)
        timer = nil
    }

    private func look() {
        let now = FileStamp(path)
        guard now != stamp else {
            timer = watcher.after(Self.interval) { [unowned self] in look() }
            return
        }
        timer = watcher.after(Self.settleTime) { [unowned self] in
            let again = FileStamp(path)
            if again == now { read(again) }
            timer = watcher.after(again == now ? Self.interval : Self.settleTime) { [unowned self] in look() }
        }
    }

    private func read(_ stamp: FileStamp) {
        self.stamp = stamp
        switch Self.bytes(of: path) {
        case .failure(let error): tell(error.description)
        case .success(let bytes):
            var fresh = [UInt8](repeating: 0, count: 32)
            bytes.withUnsafeBytes { claw_sha256($0.baseAddress, $0.count, &fresh) }
            if fresh == digest, problem == nil { return unchanged() }
            do throws(DiscoveryProblem) {
                let set = try Self.parse(bytes)
                digest = fresh
                problem = nil
                found(set)
            } catch { tell(error.message) }
        }
    }

    /// The source's own clock goes on, so a failure is told without a pause of its own.
    private func tell(_ why: String) {
        guard problem != why else { return }
        problem = why
        failedButGoesOn("\(path): \(why)")
    }

    /// YAML where it begins like a YAML list or map, else JSON or plain lines.
    static func parse(_ bytes: [UInt8]) throws(DiscoveryProblem) -> EndpointSet {
        var text = bytes
        if isYAML(bytes) {
            let converted: Result<[UInt8], EndpointFileError> = bytes.withUnsafeBytes { raw in
                do throws(EndpointFileError) { return .success(try endpointsJSON(yaml: raw)) } catch { return .failure(error) }
            }
            switch converted {
            case .success(let json): text = json
            case .failure(let error): throw DiscoveryProblem(.malformed, error.description)
            }
        }
        let set: Result<EndpointSet, DiscoveryProblem> = text.withUnsafeBytes { raw in
            do throws(DiscoveryProblem) { return .success(try DiscoveryDocument.list(raw)) } catch { return .failure(error) }
        }
        return try set.get()
    }

    /// The first line that says something begins with "- ", or is "-", "---", "endpoints:" or a map in braces.
    private static func isYAML(_ bytes: [UInt8]) -> Bool {
        for line in bytes.split(separator: 0x0A) {
            let text = line.drop { $0 == 0x20 || $0 == 0x09 || $0 == 0x0D }
            guard let first = text.first, first != 0x23 else { continue }
            return first == 0x2D || first == 0x7B || text.starts(with: Array("endpoints:".utf8))
        }
        return false
    }

    static func bytes(of path: String) -> Result<[UInt8], EndpointReadError> {
        let fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard fd >= 0 else { return .failure(EndpointReadError(description: String(cString: strerror(errno)))) }
        defer { close(fd) }
        var status = stat()
        guard fstat(fd, &status) == 0, status.st_mode & S_IFMT == S_IFREG else { return .failure(EndpointReadError(description: "not a regular file")) }
        guard status.st_size <= DiscoveryDocument.bytesMax else { return .failure(EndpointReadError(description: "file too large: \(status.st_size) bytes, limit \(DiscoveryDocument.bytesMax)")) }
        var bytes: [UInt8] = []
        var piece = [UInt8](repeating: 0, count: 65536)
        while bytes.count <= DiscoveryDocument.bytesMax {
            let count = Glibc.read(fd, &piece, piece.count)
            if count < 0, errno == EINTR { continue }
            if count < 0 { return .failure(EndpointReadError(description: String(cString: strerror(errno)))) }
            if count == 0 { break }
            bytes.append(contentsOf: piece[..<count])
        }
        return .success(bytes)
    }
}

struct EndpointReadError: Error, CustomStringConvertible { var description: String }
