import Glibc
// Text of the plan as plain memory: written once when the plan is compiled, read by every worker, freed with the plan.

struct Bytes: @unchecked Sendable {
    var base: UnsafePointer<UInt8>
    var count: Int
    static var empty: Bytes { Bytes("") }

    init(base: UnsafePointer<UInt8>, count: Int) {
        self.base = base
        self.count = count
    }

    /// A constant of the program.
    @inline(__always)
    init(_ text: StaticString) { self.init(base: text.utf8Start, count: text.utf8CodeUnitCount) }

    @inline(__always)
    func equals(_ other: UnsafePointer<UInt8>, _ length: Int) -> Bool {
        length == count && memcmp(base, other, length) == 0
    }
    var string: String { String(decoding: UnsafeBufferPointer(start: base, count: count), as: UTF8.self) }
    var raw: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: base, count: count) }
}

/// Owns what the plan points to: texts and arrays, and settings that C made. Compiling may stop half-way; what was made until then goes with this.
final class PlanMemory {
    private var blocks: [UnsafeMutableRawPointer] = []
    private var foreign: [(pointer: OpaquePointer, release: @convention(c) (OpaquePointer?) -> Void)] = []

    /// What is done when the plan goes.
    var endings: [() -> Void] = []

    func own(_ pointer: OpaquePointer, _ release: @escaping @convention(c) (OpaquePointer?) -> Void) { foreign.append((pointer, release)) }

    func text(_ string: String) -> Bytes { bytes(Array(string.utf8)) }

    func bytes(_ source: [UInt8]) -> Bytes {
        let memory = UnsafeMutableRawPointer.allocate(byteCount: max(source.count + 1, 8), alignment: 8)
        source.withUnsafeBytes { if let from = $0.baseAddress { memory.copyMemory(from: from, byteCount: source.count) } }
        // A NUL behind the text makes it usable where C wants a string.
        memory.storeBytes(of: 0, toByteOffset: source.count, as: UInt8.self)
        blocks.append(memory)
        return Bytes(base: UnsafePointer(memory.assumingMemoryBound(to: UInt8.self)), count: source.count)
    }

    func array<Element>(_ elements: [Element]) -> List<Element> {
        let memory = UnsafeMutablePointer<Element>.allocate(capacity: max(elements.count, 1))
        elements.withUnsafeBufferPointer { if let from = $0.baseAddress { memory.initialize(from: from, count: elements.count) } }
        blocks.append(UnsafeMutableRawPointer(memory))
        return List(base: memory, count: elements.count)
    }

    func zeroed(words: Int) -> UnsafeMutablePointer<Int64> {
        let memory = UnsafeMutablePointer<Int64>.allocate(capacity: max(words, 1))
        memory.initialize(repeating: 0, count: max(words, 1))
        blocks.append(UnsafeMutableRawPointer(memory))
        return memory
    }

    deinit {
        for ending in endings { ending() }
        for one in foreign { one.release(one.pointer) }
        for block in blocks { block.deallocate() }
    }
}

/// A fixed array of plain values in plan memory.
struct List<Element> {
    var base: UnsafeMutablePointer<Element>
    var count: Int
    @inline(__always)
    subscript(_ index: Int) -> UnsafeMutablePointer<Element> { base + index }
}

/// memcmp over memory that may be empty and then has no address.
@inline(__always)
func sameBytes(_ a: UnsafeRawPointer?, _ b: UnsafeRawPointer?, _ count: Int) -> Bool {
    guard count > 0, let a, let b else { return count == 0 }
    return memcmp(a, b, count) == 0
}
