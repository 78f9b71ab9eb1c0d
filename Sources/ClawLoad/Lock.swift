// Lock: a value that several threads of the load tools share, off the request path. Held for a copy, never over a call that waits.
import CClaw

final class Lock<Value>: @unchecked Sendable {
    private let lock: OpaquePointer
    private var value: Value

    init(_ value: Value) {
        var made: OpaquePointer?
        let result = claw_lock_create(&made)
        guard let made else { preconditionFailure("a lock could be made: errno \(-result)") }
        lock = made
        self.value = value
    }

    deinit { claw_lock_destroy(lock) }

    @inline(__always)
    func withLock<Result>(_ body: (inout Value) -> Result) -> Result {
        claw_lock_take(lock)
        defer { claw_lock_release(lock) }
        return body(&value)
    }
}
