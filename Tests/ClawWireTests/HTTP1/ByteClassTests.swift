import CScan
import Testing
@testable import ClawWire

/// The class table against the words of the grammars it stands for, and the vector scans against the table.
struct ByteClassTests {
    @Test func everyByteHasTheClassesItsGrammarsGiveIt() {
        let alphanumeric = Set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789".utf8)
        let unreserved = alphanumeric.union("-._~".utf8)
        let delimiters = Set("!$&'()*+,;=".utf8)
        let visible = Set<UInt8>(0x21...0x7E)
        let obsolete = Set<UInt8>(0x80...0xFF)
        let value = visible.union(obsolete).union([9, 32])
        let classes: [(Int, Set<UInt8>)] = [
            (cscan_http_token, alphanumeric.union("!#$%&'*+-.^_`|~".utf8)),
            (cscan_http_value, value),
            (cscan_http_target, unreserved.union(delimiters).union(":@/".utf8)),
            (cscan_http_host, unreserved.union(delimiters).subtracting(",".utf8)),
            (cscan_http_hex, Set("0123456789abcdefABCDEF".utf8)),
            (cscan_http_quoted, value.subtracting([0x22, 0x5C])),
            (cscan_http_unreserved, unreserved),
            (cscan_http_plain, alphanumeric.union("-_".utf8)),
        ]
        for byte in UInt8.min ... .max {
            for (bits, members) in classes {
                #expect(isOfClass(byte, bits) == members.contains(byte), "byte \(byte), class \(bits)")
            }
        }
    }

    /// Every byte at every place of a run longer than two vectors, in memory that ends with the run.
    @Test func scansStopAtTheFirstByteOutsideTheirClass() {
        for length in [1, 7, 15, 16, 17, 31, 33, 48] {
            let memory = UnsafeMutablePointer<UInt8>.allocate(capacity: length)
            defer { memory.deallocate() }
            for byte in UInt8.min ... .max {
                for place in 0..<length {
                    memory.initialize(repeating: 0x61, count: length)
                    memory[place] = byte
                    let ends = [
                        (cscan_http_value_end(memory, 0, length), cscan_http_value),
                        (cscan_http_token_end(memory, 0, length), cscan_http_token),
                        (cscan_http_target_end(memory, 0, length), cscan_http_target),
                    ]
                    for (end, bits) in ends where end != (isOfClass(byte, bits) ? length : place) {
                        Issue.record("byte \(byte) at \(place) of \(length): class \(bits) ends at \(end)")
                    }
                    let holds = byte != 0x61 && cscan_http_contains(memory, 0, length, length, byte) != 0
                    if holds != (byte != 0x61) { Issue.record("byte \(byte) at \(place) of \(length) is not found") }
                    if place > 0 && byte != 0x61 && cscan_http_contains(memory, 0, place, length, byte) != 0 {
                        Issue.record("byte \(byte) behind the end is found")
                    }
                }
            }
        }
    }
}
