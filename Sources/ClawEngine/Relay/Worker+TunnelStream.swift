// A tunnel whose client's side is a stream of HTTP/2 (extended CONNECT, RFC 8441). The session writes such a request as the upgrade it stands for, so
// everything up to the switch is the same; the 101 becomes a 200. The stream's window is the back-pressure: it is given back as bytes leave for
// the upstream.
import CClaw
import ClawWire
import Glibc

extension Worker {
    /// DATA of a stream that asked for a tunnel.
    func takeTunnelData(_ index: UInt32, _ bytes: UnsafePointer<UInt8>, _ count: Int) {
        let exchange = exchanges.base + Int(index)
        switch exchange.pointee.state {
        case .tunnelling: tunnelFromClient(index, bytes, count, in: noIndex)
        case .attempting:
            // Ahead of the answer: kept, within the stream's window.
            guard copySpan(bytes, count, to: &exchange.pointee.upload) else { return answerError(index, .buffersExhausted, detail: "") }
        case .free, .receiving, .relaying, .draining:
            guard let session = connections.base[Int(exchange.pointee.connection)].session else { return }
            claw_h2_consume(session, exchange.pointee.stream, count)
        }
    }

    func tunnelStreamEnded(_ index: UInt32) {
        exchanges.base[Int(index)].clientEnded = true
        tunnelClientEnded(index, error: 0)
    }

    /// What came ahead of the answer.
    func takeEarlyData(_ index: UInt32) {
        let exchange = exchanges.base + Int(index)
        while !exchange.pointee.upload.isEmpty, exchange.pointee.state == .tunnelling {
            let segment = exchange.pointee.upload.dropFirst()
            tunnelFromClient(index, segment.base, Int(segment.length), in: segment.buffer)
            buffers.release(segment.buffer)
        }
        if exchange.pointee.clientEnded { tunnelClientEnded(index, error: 0) }
    }

    /// Of all that came, only what is still queued for the upstream counts against the window.
    func giveTunnelWindowBack(_ exchange: UnsafeMutablePointer<Exchange>, _ tunnel: UnsafeMutablePointer<Tunnel>, queued: Int) {
        guard tunnel.pointee.owed > queued, let session = connections.base[Int(exchange.pointee.connection)].session else { return }
        claw_h2_consume(session, exchange.pointee.stream, tunnel.pointee.owed - queued)
        tunnel.pointee.owed = queued
        markDirty(exchange.pointee.connection)
    }

    /// RFC 8441 §5: a WebSocket over HTTP/2 has no key, over HTTP/1.1 it needs one (RFC 6455 §4.1): 16 bytes in base64.
    func writeWebSocketKey(_ writer: inout TextWriter) {
        let alphabet: StaticString = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
        writer.put("sec-websocket-key: ")
        for _ in 0..<21 { writer.put(byte: alphabet.utf8Start[Int(nextRandom() & 63)]) }
        // The last of the 22 digits has two bits of the sixteenth byte, and four zeros.
        writer.put(byte: alphabet.utf8Start[Int(nextRandom() & 3) << 4])
        writer.put("==\r\n")
    }
}
