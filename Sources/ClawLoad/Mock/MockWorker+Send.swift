// Output of the mock: takes what was rendered into `out`, sends it in one call where it can, keeps the rest with the connection, and
// plays the faults that are counted in bytes (split writes, a hold in the middle, a cut or a reset after n bytes). Every answer ends
// here, in `end`.
import CClaw

extension MockWorker {
    /// Sends `out` and empties it. `ending` says what happens when the socket has taken everything.
    func flush(_ connection: UnsafeMutablePointer<MockConnection>, _ ending: MockEnding) {
        let count = out.count
        out.count = 0
        connection.pointee.ending = ending
        if connection.pointee.pendingCount > 0 || connection.pointee.holdAt >= 0 || connection.pointee.script.shapesOutput {
            connection.pointee.appendPending(out.base, count)
            pump(connection)
            return
        }
        guard count > 0 else {
            if ending != .none { end(connection, ending) }
            return
        }
        // Counted before the bytes leave, so that a client that has them finds them counted.
        if ending == .finished { countFinished(connection) }
        var slice = claw_slice(base: out.base, length: count)
        let sent = claw_send(loop, connection.pointee.fd, &slice, 1)
        if sent == count {
            connection.pointee.sentBytes &+= UInt64(count)
            tally.add(.bytesOut, UInt64(count))
            if ending != .none { end(connection, ending, isCounted: true) }
            return
        }
        if ending == .finished { takeBackFinished(connection) }
        if sent < 0 && sent != Self.wouldBlock {
            leave(connection)
            close(connection)
            return
        }
        let taken = max(0, Int(sent))
        connection.pointee.sentBytes &+= UInt64(taken)
        tally.add(.bytesOut, UInt64(taken))
        connection.pointee.appendPending(out.base + taken, count - taken)
    }

    /// Sends what is pending as far as the socket and the script let it.
    func pump(_ connection: UnsafeMutablePointer<MockConnection>) {
        guard connection.pointee.phase == .answering, !connection.pointee.isHolding else { return }
        let breaksAt = connection.pointee.script.breaksAfterBytes
        while connection.pointee.pendingCount > 0, let pending = connection.pointee.pending {
            var length = connection.pointee.pendingCount
            let before = Int(connection.pointee.sentBytes)
            if connection.pointee.script.splitBytes > 0 { length = min(length, connection.pointee.script.splitBytes) }
            if connection.pointee.holdAt >= 0 { length = min(length, connection.pointee.holdAt - before) }
            if breaksAt >= 0 { length = min(length, breaksAt - before) }
            var sent: Int64 = 0
            let isWhole = length == connection.pointee.pendingCount && connection.pointee.ending == .finished
            if length > 0 {
                if isWhole { countFinished(connection) }
                var slice = claw_slice(base: pending + connection.pointee.pendingStart, length: length)
                sent = claw_send(loop, connection.pointee.fd, &slice, 1)
                if isWhole && sent < length { takeBackFinished(connection) }
                if sent == Self.wouldBlock { return }
                if sent < 0 {
                    leave(connection)
                    close(connection)
                    return
                }
            }
            connection.pointee.sentBytes &+= UInt64(sent)
            tally.add(.bytesOut, UInt64(sent))
            connection.pointee.pendingStart += Int(sent)
            connection.pointee.pendingCount -= Int(sent)
            if isWhole && connection.pointee.pendingCount == 0 {
                connection.pointee.dropPending()
                end(connection, .finished, isCounted: true)
                return
            }
            if breaksAt >= 0 && Int(connection.pointee.sentBytes) >= breaksAt {
                connection.pointee.dropPending()
                end(connection, connection.pointee.script.resetAfterBytes >= 0 ? .reset : .cut)
                return
            }
            if connection.pointee.holdAt >= 0 && Int(connection.pointee.sentBytes) >= connection.pointee.holdAt {
                connection.pointee.isHolding = true
                let pause = connection.pointee.script.stallNanoseconds
                if pause > 0 { arm(connection, at: now &+ pause) }
                return
            }
            if Int(sent) < length { return } // WRITABLE follows
            if connection.pointee.script.splitBytes > 0 && connection.pointee.pendingCount > 0 {
                arm(connection, at: now &+ max(1, connection.pointee.script.splitNanoseconds))
                return
            }
        }
        connection.pointee.dropPending()
        if connection.pointee.ending != .none {
            end(connection, connection.pointee.ending)
        } else if connection.pointee.stream.isActive {
            continueStream(connection)
        }
    }

    /// Everything of the answer was taken by the socket, or the script breaks it off here.
    private func end(_ connection: UnsafeMutablePointer<MockConnection>, _ ending: MockEnding, isCounted: Bool = false) {
        connection.pointee.ending = .none
        switch ending {
        case .none:
            return
        case .finished:
            if !isCounted { countFinished(connection) }
            connection.pointee.stream.isActive = false
            connection.pointee.dropPrefix()
            connection.pointee.dropEcho()
            if connection.pointee.keepsAlive {
                connection.pointee.phase = .head
            } else {
                linger(connection)
            }
        case .cut, .reset:
            if connection.pointee.endpoint != .admin {
                tally.add(.broken)
                tally.add(.bytesIn, connection.pointee.requestBytes)
                if connection.pointee.stream.isActive && connection.pointee.endpoint != .bytes { tally.add(.streamsBroken) }
                tally.takeBack(.inFlight)
            }
            if ending == .reset { close(connection, reset: true) } else { linger(connection) }
        }
    }

    /// Ends our side and waits for the client to do the same, so that bytes it still sends do not turn our end into a reset.
    func linger(_ connection: UnsafeMutablePointer<MockConnection>) {
        connection.pointee.dropPending()
        connection.pointee.dropStash()
        connection.pointee.phase = .lingering
        _ = claw_shutdown_send(loop, connection.pointee.fd)
        setReceiving(connection, UInt32(CLAW_RECEIVE_BUFFERED))
        arm(connection, at: now &+ Self.lingerNanoseconds)
    }

    private func countFinished(_ connection: UnsafeMutablePointer<MockConnection>) {
        guard connection.pointee.endpoint != .admin else { return }
        tally.add(.finished)
        tally.add(.bytesIn, connection.pointee.requestBytes)
        if connection.pointee.stream.isActive && connection.pointee.endpoint != .bytes { tally.add(.streamsFinished) }
        tally.takeBack(.inFlight)
    }

    private func takeBackFinished(_ connection: UnsafeMutablePointer<MockConnection>) {
        guard connection.pointee.endpoint != .admin else { return }
        tally.takeBack(.finished)
        tally.takeBack(.bytesIn, connection.pointee.requestBytes)
        if connection.pointee.stream.isActive && connection.pointee.endpoint != .bytes { tally.takeBack(.streamsFinished) }
        tally.add(.inFlight)
    }
}
