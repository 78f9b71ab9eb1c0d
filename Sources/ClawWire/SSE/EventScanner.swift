// Finds the events of a text/event-stream (HTML standard §9.2) in bytes as they arrive, in place. It reads along; the bytes themselves
// are relayed by somebody else, unchanged.

/// One event: where its data lies. Data of one `data:` line inside the fed bytes is a span of them; data that spans feeds or lines is in the carry.
public struct SSEEvent {
    public var data: UnsafeRawBufferPointer
    /// The event's name, empty for "message".
    public var name: UnsafeRawBufferPointer
    /// Offset in the fed bytes just behind the event's empty line.
    public var end: Int
    /// The data was longer than the carry's limit and is not given (`data` is empty).
    public var isOversized: Bool
    /// The data, spaces around it ignored, is `[DONE]`.
    public var isDone: Bool
    public init(data: UnsafeRawBufferPointer, name: UnsafeRawBufferPointer, end: Int, isOversized: Bool, isDone: Bool) {
        self.data = data; self.name = name; self.end = end; self.isOversized = isOversized; self.isDone = isDone
    }
}

public enum SSEStep {
    /// All fed bytes are used; no event ends in them any more.
    case needMore
    /// An event with data. Call again with `from: event.end`.
    case event(SSEEvent)
}

/// Scanner state of one stream. Holds no memory while no event is cut by a feed.
public struct EventScanner: ~Copyable {
    public init(carryBytesMax: Int = 65536) {}
    public mutating func next(_ bytes: UnsafeRawBufferPointer, from offset: Int) -> SSEStep { .needMore }
    /// The stream ended. True when an unfinished line or event was thrown away; `isDone` when a last `data: [DONE]` line had no empty line behind it.
    public mutating func finish() -> (lost: Bool, isDone: Bool) { (false, false) }
    /// True exactly when the bytes so far end between events (where a comment may be inserted).
    public var isBetweenEvents: Bool { true }
}
