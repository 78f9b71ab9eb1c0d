// Memory for request bodies that do not fit behind their head in a loop buffer: blocks of the body's own size. Some blocks are kept
// warm, because fresh pages cost more than the copy into them. All workers count what they hold in one word, which the budget
// (`server.max_body_memory_mb`) bounds.
import CClaw

struct BodyStore: ~Copyable {
    private struct Block {
        var base: UnsafeMutablePointer<UInt8>
        var capacity: Int
    }
    private static let keptMax = 64
    private static let keptBytesMax = 12 << 20
    private let shared: UnsafeMutablePointer<UInt64>
    private var kept: [Block] = []
    private var keptBytes = 0

    init(shared: UnsafeMutablePointer<UInt64>) {
        self.shared = shared
        kept.reserveCapacity(Self.keptMax)
    }

    deinit { for block in kept { block.base.deallocate() } }

    /// A block of at least `bytes`; nil when the budget does not allow it. The block's capacity is returned and is what the budget counts.
    mutating func take(_ bytes: Int, budget: Int) -> (base: UnsafeMutablePointer<UInt8>, capacity: Int)? {
        let wanted = max(32768, (bytes + 4095) & ~4095)
        var best = -1
        for at in kept.indices where kept[at].capacity >= wanted && kept[at].capacity <= wanted * 2 {
            // Of equal ones the last given back: it is the warmest.
            if best < 0 || kept[at].capacity <= kept[best].capacity { best = at }
        }
        let capacity = best >= 0 ? kept[best].capacity : wanted
        if claw_word_add(shared, UInt64(capacity)) + UInt64(capacity) > UInt64(budget) {
            _ = claw_word_add(shared, 0 &- UInt64(capacity))
            return nil
        }
        if best >= 0 {
            let block = kept.remove(at: best)
            keptBytes -= block.capacity
            return (block.base, block.capacity)
        }
        return (.allocate(capacity: capacity), capacity)
    }

    mutating func give(_ base: UnsafeMutablePointer<UInt8>, capacity: Int) {
        _ = claw_word_add(shared, 0 &- UInt64(capacity))
        while !kept.isEmpty, kept.count >= Self.keptMax || keptBytes + capacity > Self.keptBytesMax {
            let oldest = kept.removeFirst()
            keptBytes -= oldest.capacity
            oldest.base.deallocate()
        }
        if capacity > Self.keptBytesMax {
            base.deallocate()
            return
        }
        kept.append(Block(base: base, capacity: capacity))
        keptBytes += capacity
    }
}
