// How a worker ends: it stops accepting, lets idle connections go, tells every answer's reader that this connection closes, and waits. What is
// still running at the deadline gets a typed end.
import CClaw
import ClawWire

extension Worker {
    /// Starts listening on a descriptor made for this worker.
    func listen(_ fd: Int32, at index: Int = 0) -> Int32 {
        let result = claw_accept_start(loop, fd, SlotToken(.listener, generation: 0, index: UInt32(index)).value)
        if result < 0 { return result }
        listeners.append(fd)
        isAccepting = true
        return result
    }

    /// One turn while draining. False when nothing is left.
    func drain() -> Bool {
        if isAccepting {
            isAccepting = false
            for listener in listeners {
                _ = claw_accept_stop(loop, listener)
                _ = claw_os_close(listener)
            }
            for at in 0..<connections.touched {
                switch connections.base[at].state {
                case .reading where connections.base[at].heldLength == 0: close(UInt32(at), reset: false)
                // Nobody has asked for anything there yet, and a handshake may take longer than the drain.
                case .introducing, .securing: close(UInt32(at), reset: false)
                default: break
                }
            }
            for at in 0..<connections.touched where connections.base[at].state == .multiplexing { drainSession(UInt32(at)) }
            sealTunnels()
            endShadows()
            flushEverything()
            for at in 0..<links.touched where links.base[at].state == .idle { closeLink(UInt32(at), reset: false) }
        }
        let deadline = claw_word_load(shared.drainDeadline)
        let isOver = phase == 2 || now >= deadline
        if isOver {
            for at in 0..<exchanges.touched {
                switch exchanges.base[at].state {
                case .receiving, .attempting:
                    exchanges.base[at].bodyIsComplete = true
                    answerError(UInt32(at), .draining, detail: "")
                case .relaying:
                    if exchanges.base[at].isCommitted { truncate(UInt32(at), .draining) } else { answerError(UInt32(at), .draining, detail: "") }
                case .tunnelling: endTunnel(UInt32(at), .drain)
                case .draining, .free: break
                }
                settle()
            }
            flushEverything()
            if phase == 2 || now >= deadline &+ 1_000_000_000 {
                // The client had its second to take the last bytes.
                for at in 0..<exchanges.touched where exchanges.base[at].state != .free {
                    clientGone(UInt32(at))
                    settle()
                }
                return false
            }
        }
        return exchanges.inUse > 0 || connections.inUse > 0
    }
}
