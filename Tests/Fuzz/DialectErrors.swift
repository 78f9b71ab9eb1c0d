// The error readers, one per dialect, and behind them every error writer. The first byte of an input is the dialect's digit:
//
//   0 chat   1 completions   2 responses   3 messages   4 gemini   5 converse   6 cohere   7 ollama   8 ollamaGenerate
//
// and the rest is an error's body, JSON or not. Checked: every writer writes a JSON object and gives a status of an error; the same as the last event of a
// stream; and the message, cleaned, is text still.
import ClawDialect
import ClawWire

// What a message of a failure shows must be alive by then, so none of these is local.
nonisolated(unsafe) private var tape = JSONTape()
nonisolated(unsafe) private var out = JSONWriter()
nonisolated(unsafe) private let box = ArenaBox()
private let kinds = ["", "ThrottlingException", "ValidationException:http://internal.amazon.com/coral/", "ModelNotReadyException", "x"]

@c(LLVMFuzzerTestOneInput)
public func fuzzOne(_ data: UnsafePointer<UInt8>?, _ size: Int) -> CInt {
    guard size > 0 else { return 0 }
    let input = UnsafeRawBufferPointer(start: data, count: size)
    let back = dialect(input)
    var dice = Dice(input)
    withCopy(part(input, 1..<size)) { body in
        let value = tape.read(body) == nil ? tape.root : JSONValue()
        let status = dice.pick([400, 401, 402, 403, 404, 408, 409, 413, 422, 429, 498, 500, 502, 503, 504, 529, 599])
        box.arena.reset()
        let kind = Array(dice.pick(kinds).utf8)
        kind.withUnsafeBytes { kind in
            var error = back.pieces.readError(status: status, value, text: body, kind: JSONBytes(kind), box)
            checkError(error)
            error.message = Redaction.clean(error.message, &box.arena)
            checkError(error)
            for front in DialectID.allCases {
                out.reset()
                let written = front.pieces.writeError(error, requestID: JSONBytes("req-1"), into: &out)
                check((400...599).contains(written), "\(back) to \(front): status \(written)")
                // Gemini itself puts an error into an array where a stream was asked for.
                check(isObject(out.bytes) || (front == back && isJSON(out.bytes)), "\(back) to \(front): no JSON object: \(show(out.bytes))")
                out.reset()
                let context = context(&dice)
                front.pieces.streamWriter(context).write(error: error, into: &out)
                checkStream(out.bytes, of: front, asArray: context.asArray, isWhole: true)
            }
        }
    }
    return 0
}
