import ClawConfig
import Foundation
import Testing

@testable import ClawEngine

/// When changed files are taken up. That a bad pair leaves the old one in force is tested over real sockets in Tests/Integration/test_certificates.py.
@Suite struct CertificateWatchTests {
    final class Files {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("clawwatch-\(UUID().uuidString.prefix(8))")
        let configuration: Configuration
        init() throws {
            try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
            var configuration = Configuration()
            var listener = Listener(name: "main"), tls = ServerTLS()
            tls.pairs = [.init(certificate: folder.appendingPathComponent("certificate").path, key: folder.appendingPathComponent("key").path)]
            tls.clientCA = folder.appendingPathComponent("authorities").path
            listener.tls = tls
            configuration.server.listeners = [listener]
            var upstream = Upstream(name: "a", type: .http)
            upstream.endpoints = [Endpoint(isTLS: true, host: "a", port: 443, basePath: "")]
            upstream.tls.caFile = folder.appendingPathComponent("upstream").path
            configuration.upstreams = [upstream]
            self.configuration = configuration
            for name in ["certificate", "key", "authorities", "upstream"] { try write(name, "one") }
        }
        deinit { try? FileManager.default.removeItem(at: folder) }
        func write(_ name: String, _ text: String) throws { try Data(text.utf8).write(to: folder.appendingPathComponent(name)) }
        var now: CertificateFiles { CertificateFiles(configuration) }
        func path(_ name: String) -> String { folder.appendingPathComponent(name).path }
    }

    @Test(arguments: ["certificate", "key", "authorities", "upstream"]) func everyFileInForceIsWatched(_ name: String) throws {
        let files = try Files(), before = files.now
        #expect(before.stamps.count == 4 && files.now == before && files.now.changes(since: before).isEmpty)
        try files.write(name, "two and longer")
        #expect(files.now.changes(since: before) == [files.path(name)])
        try FileManager.default.removeItem(atPath: files.path(name))
        #expect(files.now.changes(since: before) == [files.path(name)] && files.now.stamps[files.path(name)] == FileStamp("/nonexistent"))
    }

    @Test func anotherFileUnderTheSameNameIsAChange() throws {
        let files = try Files(), before = files.now
        try files.write("new", "one")
        #expect(rename(files.path("new"), files.path("key")) == 0)
        #expect(files.now != before)
        let renamed = files.now
        try FileManager.default.createSymbolicLink(atPath: files.path("link"), withDestinationPath: files.path("certificate"))
        #expect(rename(files.path("link"), files.path("key")) == 0)
        #expect(files.now != renamed, "a link is followed")
    }

    @Test func changeIsTakenUpOnceTwoLooksAgree() throws {
        let files = try Files(), inForce = files.now
        var watch = CertificateWatch()
        #expect(watch.look(files.now, inForce: inForce, now: 1) == nil)
        try files.write("certificate", "two two")
        #expect(watch.look(files.now, inForce: inForce, now: 2) == nil)
        try files.write("key", "two two two")
        #expect(watch.look(files.now, inForce: inForce, now: 3) == nil, "still being written")
        let settled = files.now
        #expect(watch.look(files.now, inForce: inForce, now: 4) == settled)
        #expect(watch.look(files.now, inForce: settled, now: 5) == nil)
    }

    @Test func whatWasRefusedIsNotTriedAgainUntilItChanges() throws {
        let files = try Files(), inForce = files.now
        var watch = CertificateWatch()
        try files.write("key", "garbage garbage")
        #expect(watch.look(files.now, inForce: inForce, now: 1) == nil)
        let bad = watch.look(files.now, inForce: inForce, now: 2)
        watch.refuse(try #require(bad))
        for now in 3..<9 { #expect(watch.look(files.now, inForce: inForce, now: UInt64(now)) == nil) }
        try files.write("key", "three three three")
        #expect(watch.look(files.now, inForce: inForce, now: 10) == nil)
        #expect(watch.look(files.now, inForce: inForce, now: 11) == files.now)
    }

    @Test func looksAreASecondApart() {
        var watch = CertificateWatch()
        let files = CertificateFiles(Configuration())
        _ = watch.look(files, inForce: files, now: 5_000_000_000)
        #expect(!watch.isDue(5_999_999_999) && watch.isDue(6_000_000_000))
    }
}
