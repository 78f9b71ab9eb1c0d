// Which files a plan was made of, and whether they have changed since: certificates are renewed by other programs, which nobody tells us.
import ClawConfig
import Glibc

/// What tells that a file was changed: where its name leads, its size and its times. The time of the last change of its status is among them,
/// because copying tools can set the other one back.
public struct FileStamp: Equatable, Sendable {
    private var device: UInt = 0, inode: UInt = 0
    private var size = 0
    private var written = (seconds: 0, nanoseconds: 0), changed = (seconds: 0, nanoseconds: 0)

    /// All zero where there is no file.
    public init(_ path: String) {
        var status = stat()
        guard stat(path, &status) == 0 else { return }
        device = UInt(status.st_dev)
        inode = UInt(status.st_ino)
        size = Int(status.st_size)
        written = (status.st_mtim.tv_sec, status.st_mtim.tv_nsec)
        changed = (status.st_ctim.tv_sec, status.st_ctim.tv_nsec)
    }

    public static func == (one: FileStamp, other: FileStamp) -> Bool {
        one.device == other.device && one.inode == other.inode && one.size == other.size && one.written == other.written && one.changed == other.changed
    }
}

/// The certificates, keys and authorities of a configuration as they were at one time. Taken before they are read, so that a file that changes meanwhile
/// is seen as changed afterwards.
struct CertificateFiles: Equatable {
    private(set) var stamps: [String: FileStamp] = [:]

    init(_ configuration: Configuration) {
        func add(_ path: String?) {
            guard let path, stamps[path] == nil else { return }
            stamps[path] = FileStamp(path)
        }
        for tls in configuration.server.places.compactMap(\.tls) {
            for pair in tls.pairs {
                add(pair.certificate)
                add(pair.key)
            }
            add(tls.clientCA)
        }
        for upstream in configuration.upstreams where upstream.discovery != nil || upstream.endpoints.contains(where: \.isTLS) {
            add(upstream.tls.caFile)
            add(upstream.tls.clientCertificate)
            add(upstream.tls.clientKey)
        }
    }

    /// Paths that are not as they were, sorted.
    func changes(since older: CertificateFiles) -> [String] { stamps.filter { older.stamps[$0.key] != $0.value }.keys.sorted() }
}

/// What the looks at the files of the plan in force have shown so far.
struct CertificateWatch {
    static let interval: UInt64 = 1_000_000_000
    private var lookedAt: UInt64 = 0
    /// Seen changed at the last look; taken up when the next one finds the same, since programs write a certificate and its key one after the other.
    private var seen: CertificateFiles?
    /// What was refused is not tried again.
    private var refused: CertificateFiles?

    /// The files to compile a plan from now, if so.
    mutating func look(_ files: CertificateFiles, inForce: CertificateFiles, now: UInt64) -> CertificateFiles? {
        lookedAt = now
        guard files != inForce, files != refused else {
            seen = nil
            return nil
        }
        guard files == seen else {
            seen = files
            return nil
        }
        seen = nil
        return files
    }

    func isDue(_ now: UInt64) -> Bool { now &- lookedAt >= Self.interval }

    mutating func refuse(_ files: CertificateFiles) { refused = files }
}
