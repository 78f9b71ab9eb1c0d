import Testing
@testable import ClawWire

/// Frames as text builders for the tests below.
private enum Frame {
    static func bytes(_ opcode: UInt8, _ payload: [UInt8], isFinal: Bool = true, mask: [UInt8]? = nil, longLength: Bool = false) -> [UInt8] {
        var out: [UInt8] = [opcode | (isFinal ? 0x80 : 0)]
        let maskBit: UInt8 = mask == nil ? 0 : 0x80
        if payload.count < 126, !longLength {
            out.append(UInt8(payload.count) | maskBit)
        } else if payload.count < 65536, !longLength {
            out += [126 | maskBit, UInt8(payload.count >> 8), UInt8(payload.count & 255)]
        } else {
            out.append(127 | maskBit)
            out += (0..<8).map { UInt8(truncatingIfNeeded: UInt64(payload.count) >> UInt64(56 - $0 * 8)) }
        }
        guard let mask else { return out + payload }
        return out + mask + payload.enumerated().map { $1 ^ mask[$0 & 3] }
    }

    static func close(_ code: UInt16, _ reason: String = "", mask: [UInt8]? = nil) -> [UInt8] {
        bytes(8, [UInt8(code >> 8), UInt8(code & 255)] + Array(reason.utf8), mask: mask)
    }
}

private extension FrameTracker {
    mutating func follow(_ bytes: some Collection<UInt8>, stops: Bool = false) -> Int {
        Array(bytes).withUnsafeBufferPointer { buffer in
            buffer.baseAddress.map { follow($0, buffer.count, stopsBetweenFrames: stops) } ?? 0
        }
    }
}

struct FrameTrackerTests {
    private let mask: [UInt8] = [0x37, 0xfa, 0x21, 0x3d]

    /// Every length form, masked and not, fragments, control frames between fragments, and a close.
    private func conversation(masked: Bool) -> (bytes: [UInt8], ends: Set<Int>) {
        let mask = masked ? self.mask : nil
        let frames = [
            Frame.bytes(1, Array("hello".utf8), mask: mask), Frame.bytes(2, [], mask: mask), Frame.bytes(2, [UInt8](repeating: 0x88, count: 125), mask: mask),
            Frame.bytes(1, [UInt8](repeating: 7, count: 126), isFinal: false, mask: mask), Frame.bytes(9, Array("ping".utf8), mask: mask),
            Frame.bytes(0, [UInt8](repeating: 9, count: 300), isFinal: false, mask: mask), Frame.bytes(10, [], mask: mask),
            Frame.bytes(0, [1, 2, 3], mask: mask, longLength: true), Frame.bytes(2, [UInt8](repeating: 1, count: 700), mask: mask, longLength: true),
            Frame.close(4000, "enough", mask: mask),
        ]
        var bytes: [UInt8] = []
        var ends: Set<Int> = [0]
        for frame in frames {
            bytes += frame
            ends.insert(bytes.count)
        }
        return (bytes, ends)
    }

    @Test(arguments: [false, true]) func anyCutTellsTheSame(masked: Bool) {
        let (bytes, ends) = conversation(masked: masked)
        for cut in 0...bytes.count {
            var tracker = FrameTracker()
            #expect(tracker.follow(bytes[..<cut]) == cut)
            #expect(tracker.isBetweenFrames == ends.contains(cut), "cut at \(cut)")
            #expect(tracker.sawClose == (cut == bytes.count))
            #expect(tracker.follow(bytes[cut...]) == bytes.count - cut)
            #expect(tracker.isBetweenFrames && tracker.sawClose && tracker.closeCode == 4000 && tracker.messages == 5, "cut at \(cut)")
        }
    }

    @Test(arguments: [false, true]) func byteByByteTellsTheSame(masked: Bool) {
        let (bytes, ends) = conversation(masked: masked)
        var tracker = FrameTracker()
        for (at, byte) in bytes.enumerated() {
            _ = tracker.follow([byte])
            #expect(tracker.isBetweenFrames == ends.contains(at + 1), "after byte \(at)")
        }
        #expect(tracker.closeCode == 4000 && tracker.messages == 5)
    }

    @Test func itStopsAtTheFirstPlaceBetweenFramesWhenAsked() {
        let (bytes, ends) = conversation(masked: true)
        for cut in 0..<bytes.count {
            var tracker = FrameTracker()
            _ = tracker.follow(bytes[..<cut])
            let next = ends.filter { $0 >= cut }.min() ?? 0
            #expect(tracker.follow(bytes[cut...], stops: true) == next - cut, "cut at \(cut)")
            #expect(tracker.isBetweenFrames)
        }
    }

    @Test func closeCodesAreReadMaskedOrNot() {
        for (bytes, code) in [
            (Frame.close(1000), UInt16(1000)), (Frame.close(1000, mask: mask), 1000), (Frame.close(4999, "why", mask: mask), 4999), (Frame.bytes(8, []), 1005),
            (Frame.bytes(8, [], mask: mask), 1005), (Frame.bytes(8, [3]), 1005),
        ] {
            var tracker = FrameTracker()
            _ = tracker.follow(bytes)
            #expect(tracker.sawClose && tracker.closeCode == code)
            _ = tracker.follow(Frame.close(1011))
            #expect(tracker.closeCode == code, "the first close frame counts")
        }
    }

    @Test func aLengthBeyondTheProtocolEndsTheTracking() {
        var tracker = FrameTracker()
        let bytes: [UInt8] = [0x82, 127, 0x80, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3]
        #expect(tracker.follow(bytes) == bytes.count)
        #expect(tracker.isLost && !tracker.isBetweenFrames)
        #expect(tracker.follow([0x81, 0]) == 2)
        #expect(!tracker.isBetweenFrames && tracker.messages == 0)
    }

    @Test func aLargestLengthIsCountedDownWithoutOverflow() {
        var tracker = FrameTracker()
        _ = tracker.follow([0x82, 127, 0x7F, 255, 255, 255, 255, 255, 255, 255])
        #expect(!tracker.isLost && !tracker.isBetweenFrames)
        #expect(tracker.follow([UInt8](repeating: 0x88, count: 4096)) == 4096)
        #expect(!tracker.sawClose)
    }

    @Test func closeFramesOfOursAreReadAsWhatTheyAre() {
        var memory = [UInt8](repeating: 0xEE, count: CloseFrame.bytesMax)
        for mask in [nil, UInt32(0), 0xDEAD_BEEF, .max] {
            let count = memory.withUnsafeMutableBufferPointer { CloseFrame.write(code: 1001, reason: "the gateway is going away", mask: mask, into: $0.baseAddress!) }
            var tracker = FrameTracker()
            #expect(tracker.follow(memory[..<count]) == count)
            #expect(tracker.isBetweenFrames && tracker.closeCode == 1001)
            let key = mask.map { mask in (0..<4).map { UInt8(truncatingIfNeeded: mask >> UInt32(24 - $0 * 8)) } }
            #expect(Array(memory[..<count]) == Frame.close(1001, "the gateway is going away", mask: key))
        }
    }
}
