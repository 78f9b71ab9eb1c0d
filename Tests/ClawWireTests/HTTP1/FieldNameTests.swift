import Testing
@testable import ClawWire

struct FieldNameTests {
    private func find(_ bytes: [UInt8]) -> FieldName { bytes.withUnsafeBytes { FieldName.find($0) } }

    @Test func everyNameIsFoundInAnyCase() {
        for name in FieldName.allCases where name != .other && name != .xOpenclaw {
            let spelling = name.spelling.description
            #expect(find(Array(spelling.utf8)) == name)
            #expect(find(Array(spelling.uppercased().utf8)) == name)
            #expect(find(Array(spelling.utf8).enumerated().map { $0 % 2 == 0 ? $1 : Array(spelling.uppercased().utf8)[$0] }) == name)
        }
    }

    /// Only letters fold: 0x0D and "-" differ in one bit, as "@" and "`" do.
    @Test func aNameWithOneOtherByteIsNotFound() {
        for name in FieldName.allCases where name != .other && name != .xOpenclaw {
            let spelling = Array(name.spelling.description.utf8)
            for place in spelling.indices {
                for byte in UInt8.min ... .max {
                    var changed = spelling
                    changed[place] = byte
                    let isSame = byte == spelling[place] || (byte | 0x20 == spelling[place] && spelling[place] >= 97 && spelling[place] <= 122)
                    let found = find(changed)
                    if (found == name) != isSame { Issue.record("\(name) with \(byte) at \(place): \(found)") }
                }
            }
            #expect(find(spelling + [0x61]) != name)
            #expect(find(Array(spelling.dropLast())) != name)
        }
    }

    @Test func ourOwnNamesAreKnownByTheirPrefix() {
        #expect(find(Array("X-OpenClaw-Route".utf8)) == .xOpenclaw)
        #expect(find(Array("x-openclaw-a-name-longer-than-any-known-one".utf8)) == .xOpenclaw)
        #expect(find(Array("x-openclaw-".utf8)) == .other)
        #expect(find(Array("x-openclawd-a".utf8)) == .other)
        #expect(find([]) == .other)
        #expect(find([0x78]) == .other)
    }
}
