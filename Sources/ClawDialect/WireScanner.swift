// Tells the events of a stream apart, whatever its framing: one type for the four scanners of ClawWire.
import ClawWire

public enum WireStep {
    case needMore
    case event(WireEvent, end: Int)
    /// Its bytes are no such stream, or one event is larger than the scanner takes.
    case refused(StaticString)
}

public struct WireScanner: ~Copyable {
    /// An event may be as long as a picture in base64.
    public static let eventBytesMax = 8 << 20
    public let framing: Framing
    // Exactly the one that `framing` names is there.
    private var events: EventScanner?
    private var lines: LineScanner?
    private var frames: FrameScanner?
    private var elements: ArrayScanner?

    public init(_ framing: Framing) {
        self.framing = framing
        events = framing == .sse ? EventScanner(carryBytesMax: Self.eventBytesMax) : nil
        lines = framing == .lines ? LineScanner(lineBytesMax: Self.eventBytesMax) : nil
        frames = framing == .frames ? FrameScanner(frameBytesMax: Self.eventBytesMax) : nil
        elements = framing == .array ? ArrayScanner(elementBytesMax: Self.eventBytesMax) : nil
    }

    /// The next event of `bytes`, from `offset` on. Its texts are valid until the next call.
    public mutating func next(_ bytes: UnsafeRawBufferPointer, from offset: Int) -> WireStep {
        switch framing {
        case .sse:
            guard case .event(let event)? = events?.next(bytes, from: offset) else { return .needMore }
            if event.isOversized { return .refused("an event of the stream is larger than 8 MiB") }
            return .event(WireEvent(event.data, name: JSONBytes(event.name), kind: event.isDone ? .done : .event), end: event.end)
        case .lines:
            switch lines?.next(bytes, from: offset) {
            case .line(let data, let end): return .event(WireEvent(data), end: end)
            case .tooLong: return .refused("a line of the stream is longer than 8 MiB")
            case .needMore, nil: return .needMore
            }
        case .frames:
            switch frames?.next(bytes, from: offset) {
            case .frame(let frame, let end):
                var event = WireEvent(frame.payload, name: JSONBytes(frame.eventType))
                if !JSONBytes(frame.messageType).equals("event") {
                    event.kind = .exception
                    if frame.payload.count == 0 { event.data = frame.errorMessage }
                }
                return .event(event, end: end)
            case .refused(let reason): return .refused(reason)
            case .needMore, nil: return .needMore
            }
        case .array:
            var at = offset
            while true {
                switch elements?.next(bytes, from: at) {
                case .element(let data, let end): return .event(WireEvent(data), end: end)
                case .refused(let reason): return .refused(reason)
                case .needMore, nil: return .needMore
                // What stands behind the end is looked at too.
                case .end(let end): at = end
                }
            }
        }
    }

    /// The bytes have ended. What a last line without its end held, if that is an event; for SSE only `[DONE]` counts without its empty line.
    public mutating func finish() -> WireEvent? {
        switch framing {
        case .sse:
            guard let end = events?.finish(), end.isDone else { return nil }
            return WireEvent(UnsafeRawBufferPointer(start: nil, count: 0), kind: .done)
        case .lines: return lines?.finish().map { WireEvent($0) }
        case .frames, .array: return nil
        }
    }

    /// True where nothing of an event is waiting for the rest of it.
    public var isBetweenEvents: Bool {
        mutating get {
            switch framing {
            case .sse: events?.isBetweenEvents ?? true
            case .lines: lines?.isBetweenLines ?? true
            case .frames: frames?.isBetweenFrames ?? true
            case .array: elements?.isBetweenElements ?? true
            }
        }
    }
}
