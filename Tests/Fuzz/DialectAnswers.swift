// The answer readers, one per dialect, and behind them every answer writer and, for an answer that is to be a stream, every stream writer. The first byte
// of an input is the dialect's digit:
//
//   0 chat   1 completions   2 responses   3 messages   4 gemini   5 converse   6 cohere   7 ollama   8 ollamaGenerate
//
// and the rest is a body. Checked: what the writers write is a JSON object, or a stream of them. The same for embeddings and token counts.
import ClawDialect
import ClawWire

// What a message of a failure shows must be alive by then, so none of these is local.
nonisolated(unsafe) private var tape = JSONTape()
nonisolated(unsafe) private var out = JSONWriter()
nonisolated(unsafe) private let answer = Answer()
nonisolated(unsafe) private let vectors = EmbeddingAnswer()
nonisolated(unsafe) private let list = EventList()

@c(LLVMFuzzerTestOneInput)
public func fuzzOne(_ data: UnsafePointer<UInt8>?, _ size: Int) -> CInt {
    guard size > 1 else { return 0 }
    let input = UnsafeRawBufferPointer(start: data, count: size)
    let back = dialect(input)
    var dice = Dice(input)
    withCopy(part(input, 1..<size)) { body in
        guard tape.read(body) == nil else { return }
        for front in DialectID.allCases {
            let context = context(&dice)
            answer.reset(source: back)
            if back.pieces.readAnswer(tape.root, into: answer) {
                checkUsage(answer.usage)
                out.reset()
                front.pieces.writeAnswer(answer, context, into: &out)
                check(isObject(out.bytes), "\(back) to \(front): no JSON object: \(show(out.bytes))")
                out.reset()
                let writer = front.pieces.streamWriter(context)
                list.reset()
                list.addAll(of: answer)
                for event in list.events { writer.write(event, list, into: &out) }
                checkStream(out.bytes, of: front, asArray: context.asArray, isWhole: true)
            } else if let error = answer.error {
                checkError(error)
            }
            vectors.reset()
            var embeddingContext = context
            embeddingContext.asBase64 = dice.below(2) == 0
            embeddingContext.isSingle = dice.below(2) == 0
            if back.pieces.readEmbeddingAnswer(tape.root, into: vectors) {
                checkUsage(vectors.usage)
                out.reset()
                front.pieces.writeEmbeddingAnswer(vectors, embeddingContext, into: &out)
                check(out.count == 0 || isObject(out.bytes), "\(back) to \(front), vectors: no JSON object: \(show(out.bytes))")
            }
        }
        if let tokens = back.pieces.readCountAnswer(tape.root) { check(tokens >= 0, "\(back): \(tokens) tokens") }
    }
    return 0
}
