// The request readers, one per dialect, and behind them every request writer. The first byte of an input is the dialect's digit:
//
//   0 chat   1 completions   2 responses   3 messages   4 gemini   5 converse   6 cohere   7 ollama   8 ollamaGenerate
//
// and the rest is a body. Checked: a body is refused with a name and a reason, or every writer refuses it or writes a JSON object; what is written in the
// dialect it came from can be read again. The same for counting and embedding.
import ClawDialect
import ClawWire

// What a message of a failure shows must be alive by then, so none of these is local.
nonisolated(unsafe) private var tape = JSONTape()
nonisolated(unsafe) private var out = JSONWriter()
nonisolated(unsafe) private var second = JSONTape()
nonisolated(unsafe) private let conversation = Conversation()
nonisolated(unsafe) private let embedding = EmbeddingRequest()

private func read(_ front: DialectID, _ drops: Bool, isCount: Bool) -> Bool {
    conversation.reset(source: front)
    conversation.dropsUnsupported = drops
    do throws(Refusal) {
        if isCount {
            try front.pieces.readCount(tape.root, into: conversation)
        } else {
            try front.pieces.readRequest(tape.root, into: conversation)
        }
        return conversation.extras.count <= Conversation.extrasMax
    } catch {
        check(error.reason.utf8CodeUnitCount > 0 && error.field.exists, "a refusal without a word")
        return false
    }
}

private func isReadable(_ bytes: UnsafeRawBufferPointer, _ front: DialectID) -> Refusal? {
    conversation.reset(source: front)
    check(second.read(bytes) == nil, "\(front) wrote no JSON")
    do throws(Refusal) { try front.pieces.readRequest(second.root, into: conversation) } catch { return error }
    return nil
}

@c(LLVMFuzzerTestOneInput)
public func fuzzOne(_ data: UnsafePointer<UInt8>?, _ size: Int) -> CInt {
    guard size > 1 else { return 0 }
    let input = UnsafeRawBufferPointer(start: data, count: size)
    let front = dialect(input)
    var dice = Dice(input)
    let drops = dice.below(2) == 0
    withCopy(part(input, 1..<size)) { body in
        guard tape.read(body) == nil, tape.root.count <= 256, tape.root.duplicateKey == nil else { return }
        for back in DialectID.allCases {
            for isCount in [false, true] {
                // A writer may change the conversation, so it is read anew for each.
                guard read(front, drops, isCount: isCount) else { continue }
                var target = Target(model: JSONBytes("served"), quirks: front == back ? Quirks() : quirks(&dice))
                target.wantsStream = conversation.wantsStream
                target.asksUsage = dice.below(2) == 0
                target.maxOutputTokens = dice.pick([0, 1024, 8192])
                out.reset()
                do throws(Refusal) {
                    if isCount {
                        try back.pieces.writeCount(conversation, to: target, into: &out)
                    } else {
                        try back.pieces.writeRequest(conversation, to: target, into: &out)
                    }
                    check(isObject(out.bytes), "\(front) to \(back), count \(isCount): no JSON object: \(show(out.bytes))")
                    if front == back, !isCount, let refusal = isReadable(out.bytes, front) {
                        fail("\(front): read and written, it is refused: \(refusal.field.string): \(refusal.reason): \(show(out.bytes))")
                    }
                } catch {
                    check(error.reason.utf8CodeUnitCount > 0 && error.field.exists, "a refusal without a word")
                }
            }
            embedding.reset(source: front)
            embedding.dropsUnsupported = drops
            out.reset()
            do throws(Refusal) {
                try front.pieces.readEmbedding(tape.root, into: embedding)
                try back.pieces.writeEmbedding(embedding, to: Target(model: JSONBytes("served"), quirks: quirks(&dice)), into: &out)
                check(isObject(out.bytes), "\(front) to \(back), embedding: no JSON object: \(show(out.bytes))")
            } catch {
                check(error.reason.utf8CodeUnitCount > 0 && error.field.exists, "a refusal without a word")
            }
        }
    }
    return 0
}
