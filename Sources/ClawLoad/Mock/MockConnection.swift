// MockConnection: everything about one client connection of the mock, in memory that stays where it is (workers hand pointers about and
// reuse the place under a new generation). It has one timer at a time, one answer at a time, and holds heap memory only while it has to:
// a cut head, output the socket did not take, the prefix of a stream's events.
import CClaw
import ClawWire

/// What the connection is doing.
enum MockPhase: UInt8 {
    case head
    case body
    /// The request is whole (or answered early) and its answer waits for its time.
    case waiting
    case answering
    /// Our side is ended; what the client still sends is dropped until it ends too or the time is up.
    case lingering
    case closed
}

/// What happens when all output has been taken by the socket.
enum MockEnding: UInt8 {
    /// More output will follow.
    case none
    /// The answer is whole.
    case finished
    /// The script breaks off: close, or reset.
    case cut, reset
}

/// The place in a stream of events.
struct MockStream {
    var isActive = false
    var step = 0
    var events = 0
    /// When the next step may be written.
    var due: UInt64 = 0
    /// Last token whose pace was added to `due`.
    var pacedToken = 0
    var stallDone = false
    var content = MockContent()
    var shape = StreamShape()
    var form = StreamForm.events
    var lineEnd = LineEnd.lf
    var choices = 1
    /// Tokens of the thinking and of the text that are told of so far, for usage that runs along.
    var thoughtTold = 0
    var textTold = 0
    var bytesLeft: UInt64 = 0
    /// True exactly when a timer fired while output was still waiting for the socket.
    var wantsAdvance = false
}

/// What the echo endpoint gathers while the body passes.
struct MockEcho {
    /// The JSON so far: method, path, query, headers.
    var json: OutputBytes
    var digest = SHA256()
    var length: UInt64 = 0
}

struct MockConnection {
    let index: UInt32
    var generation: UInt32 = 0
    var fd: Int32 = -1
    var phase = MockPhase.closed

    // Input
    var parser = RequestParser()
    var chunked = ChunkedReader()
    var isChunked = false
    var bodyRemaining: UInt64 = 0
    /// A head that is not whole yet, or requests that came while one was being answered.
    var stash: UnsafeMutablePointer<UInt8>?
    var stashCount = 0
    var stashCapacity = 0
    var receiveMode = UInt32(0)

    // The request
    var endpoint = MockEndpoint.echo
    var dialect = MockDialect.openai
    /// Gemini's alt=sse.
    var asksForEvents = false
    var isHead = false
    var isPost = false
    var isOldVersion = false
    var keepsAlive = true
    /// Its number in the worker, from 1.
    var number: UInt64 = 0
    var argument: UInt64 = 0
    var glance = BodyGlance()
    var echo: UnsafeMutablePointer<MockEcho>?
    var requestBytes: UInt64 = 0
    var script = MockScript()
    /// The recorded answer to give, by its number; see `MockWorker.chooseRecording`.
    var recording = MockRecordings.none
    /// The recordings of this method and path, while the request's body is not read yet.
    var recordingGroup = MockRecordings.none

    // The answer
    var status = 0
    var isChunkedAnswer = false
    var tokensSent = 0
    var sentBytes: UInt64 = 0
    /// Output stops for a while at this byte of the answer; < 0: nowhere.
    var holdAt = -1
    /// True exactly while output waits at that byte.
    var isHolding = false
    var ending = MockEnding.none
    var pending: UnsafeMutablePointer<UInt8>?
    var pendingStart = 0
    var pendingCount = 0
    var pendingCapacity = 0
    /// What all events of a stream have in common, rendered once.
    var prefix: UnsafeMutablePointer<UInt8>?
    var prefixCount = 0
    var stream = MockStream()

    // The timer
    var timerNumber: UInt32 = 0
    var isTimerArmed = false

    init(index: UInt32) { self.index = index }

    var token: UInt64 { UInt64(generation) << 32 | UInt64(index) }

    mutating func appendStash(_ from: UnsafePointer<UInt8>, _ count: Int) {
        if stashCapacity - stashCount < count {
            let wanted = max(stashCount + count, stashCapacity * 2, 1024)
            let larger = UnsafeMutablePointer<UInt8>.allocate(capacity: wanted)
            if let stash {
                larger.update(from: stash, count: stashCount)
                stash.deallocate()
            }
            stash = larger
            stashCapacity = wanted
        }
        stash?.advanced(by: stashCount).update(from: from, count: count)
        stashCount += count
    }

    mutating func appendPending(_ from: UnsafePointer<UInt8>, _ count: Int) {
        guard count > 0 else { return }
        if pendingStart + pendingCount + count > pendingCapacity {
            let wanted = max(pendingCount + count, pendingCapacity)
            let larger = UnsafeMutablePointer<UInt8>.allocate(capacity: wanted)
            if let pending {
                larger.update(from: pending + pendingStart, count: pendingCount)
                pending.deallocate()
            }
            pending = larger
            pendingStart = 0
            pendingCapacity = wanted
        }
        pending?.advanced(by: pendingStart + pendingCount).update(from: from, count: count)
        pendingCount += count
    }

    mutating func dropPending() {
        pending?.deallocate()
        pending = nil
        pendingStart = 0
        pendingCount = 0
        pendingCapacity = 0
    }

    mutating func dropStash() {
        stash?.deallocate()
        stash = nil
        stashCount = 0
        stashCapacity = 0
    }

    mutating func dropEcho() {
        guard let echo else { return }
        echo.pointee.json.deallocate()
        echo.deallocate()
        self.echo = nil
    }

    mutating func dropPrefix() {
        prefix?.deallocate()
        prefix = nil
        prefixCount = 0
    }
}
