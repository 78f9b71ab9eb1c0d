import ClawWire
import Foundation
import Testing

@Suite(.enabled(if: WireSuites.isPresent, WireSuites.absence))
struct JSONSuiteTests {
    static let cases: [(name: String, text: [UInt8])] = {
        guard let folder = WireSuites.folder?.appendingPathComponent("json/cases"),
            let names = try? FileManager.default.contentsOfDirectory(atPath: folder.path)
        else { return [] }
        return names.sorted().compactMap { name in
            (try? Data(contentsOf: folder.appendingPathComponent(name))).map { (name, Array($0)) }
        }
    }()
    static let paths = JSONPaths(["a", "a.b", "0", "1.a", "asd", "foo\u{0}bar"], unique: [])

    @Test func suiteIsWhole() {
        #expect(Self.cases.count { $0.name.hasPrefix("y_") } == 95)
        #expect(Self.cases.count { $0.name.hasPrefix("n_") } == 188)
    }

    @Test func H1_36_goodTextsAreAcceptedAndBadOnesRefused() {
        for (name, text) in Self.cases {
            let (outcome, _) = Scan.whole(text, paths: Self.paths)
            if name.hasPrefix("y_") { #expect(outcome.progress == .complete, "\(name)") }
            if name.hasPrefix("n_") {
                guard case .refused = outcome.progress else {
                    Issue.record("\(name): \(outcome.progress)")
                    continue
                }
            }
        }
    }

    @Test func H1_36_byteByByteGivesTheSameAsWhole() {
        for (name, text) in Self.cases {
            let (whole, _) = Scan.whole(text, paths: Self.paths)
            // The deep ones end at the 129th bracket however they come.
            let (pieces, _) = Scan.cut(text, at: 0...min(text.count, 4096), paths: Self.paths)
            #expect(pieces == whole, "\(name)")
        }
    }

    @Test func H1_36_everyCutGivesTheSameAsWhole() {
        for (name, text) in Self.cases {
            let (whole, _) = Scan.whole(text, paths: Self.paths)
            for cut in 0...min(text.count, 1024) {
                let (pieces, _) = Scan.cut(text, at: [cut], paths: Self.paths)
                #expect(pieces == whole, "\(name) cut at \(cut)")
            }
        }
    }
}
