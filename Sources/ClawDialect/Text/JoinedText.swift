// Texts that came in pieces (a detail for each token, a part for each chunk) as one.
import ClawWire

extension ArenaBox {
    /// The pieces are gone through twice and copied once, however many there are: added up one by one they would cost their square. Absent where there are none.
    func joined(_ pieces: some Sequence<JSONBytes>) -> JSONBytes {
        var length = 0
        var count = 0
        var only = JSONBytes()
        for piece in pieces where piece.exists {
            length += piece.count
            count += 1
            only = piece
        }
        if count < 2 { return only }
        let place = arena.take(max(1, length))
        var at = 0
        for piece in pieces where piece.exists {
            if let base = piece.base { (place + at).update(from: base, count: piece.count) }
            at += piece.count
        }
        return JSONBytes(place, length)
    }
}
