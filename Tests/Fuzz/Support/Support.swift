// What all fuzz targets share: choices derived from the input, pieces of it in memory of their own, and the end of a run that found
// something. A target gets the fuzzer's bytes unchanged, so that a seed is simply a text of its format; where to cut it is drawn from a
// hash of it.
import Glibc

/// Ends the run; the fuzzer keeps the input.
func fail(_ what: String) -> Never {
    let line = Array("fuzz: \(what)\n".utf8)
    _ = line.withUnsafeBytes { write(2, $0.baseAddress, $0.count) }
    abort()
}

@inline(__always)
func check(_ holds: Bool, _ what: @autoclosure () -> String) {
    if !holds { fail(what()) }
}

func show(_ bytes: [UInt8]) -> String { String(decoding: bytes.prefix(400), as: UTF8.self).debugDescription }

/// Choices that are the same each time the same input is tried (xorshift over an FNV-1a hash).
struct Dice {
    private var state: UInt64

    init(_ bytes: UnsafeRawBufferPointer) {
        state = 0xCBF2_9CE4_8422_2325
        for byte in bytes { state = (state ^ UInt64(byte)) &* 0x100_0000_01B3 }
        state |= 1
    }

    mutating func next() -> UInt64 {
        state ^= state << 13
        state ^= state >> 7
        state ^= state << 17
        return state >> 11
    }

    /// 0 ..< bound.
    mutating func below(_ bound: Int) -> Int { bound <= 1 ? 0 : Int(next() % UInt64(bound)) }

    mutating func pick<Element>(_ choices: [Element]) -> Element { choices[below(choices.count)] }

    /// Rising offsets that end with `count`: every offset, a few, or small steps.
    mutating func cuts(_ count: Int) -> [Int] {
        if count == 0 { return [0] }
        switch below(3) {
        case 0 where count <= 512: return Array(1...count)
        case 1: return Array(Set((0..<1 + below(6)).map { _ in below(count) } + [count])).sorted()
        default:
            let step = 1 + below(40)
            return Array(stride(from: 1 + below(step), to: count, by: step)) + [count]
        }
    }
}

/// Calls `body` with a copy of the bytes that ends where its memory ends, so that a read behind it is seen.
func withCopy<Result>(_ bytes: UnsafeRawBufferPointer, _ body: (UnsafeRawBufferPointer) -> Result) -> Result {
    guard let source = bytes.baseAddress, bytes.count > 0, let memory = malloc(bytes.count) else { return body(UnsafeRawBufferPointer(start: nil, count: 0)) }
    defer { free(memory) }
    memcpy(memory, source, bytes.count)
    return body(UnsafeRawBufferPointer(start: memory, count: bytes.count))
}

func withCopy<Result>(_ bytes: [UInt8], _ body: (UnsafeRawBufferPointer) -> Result) -> Result {
    bytes.withUnsafeBytes { withCopy($0, body) }
}

func part(_ bytes: UnsafeRawBufferPointer, _ range: Range<Int>) -> UnsafeRawBufferPointer { UnsafeRawBufferPointer(rebasing: bytes[range]) }
