// The mock's embeddings, in every dialect that has them. Components are eighths in −1…1 drawn from the seed, so their decimal form is short and exact, and the
// same text of the same seed has the same vector in each dialect.

extension MockWorker {
    func writeEmbeddings(_ connection: UnsafeMutablePointer<MockConnection>) {
        switch connection.pointee.endpoint {
        case .embeddings: writeOpenAIEmbeddings(connection)
        case .geminiEmbed:
            body.append("{\n  \"embedding\": {\n    \"values\": ")
            writeVector(connection, 0)
            body.append("\n  }\n}\n")
        case .geminiBatchEmbed:
            body.append("{\n  \"embeddings\": [\n    {\n      \"values\": ")
            writeVectors(connection, between: "\n    },\n    {\n      \"values\": ")
            body.append("\n    }\n  ]\n}\n")
        case .ollamaEmbed:
            body.append("{\"model\":\"")
            writeModel(connection, into: &body)
            body.append("\",\"embeddings\":[")
            writeVectors(connection, between: ",")
            body.append("],\"total_duration\":14143917,\"load_duration\":1019500,\"prompt_eval_count\":")
            body.append(decimal: connection.pointee.glance.promptTokens)
            body.append("}")
        case .invoke where isCohereModel(connection):
            body.append("{\"embeddings\":[")
            writeVectors(connection, between: ",")
            body.append("],\"id\":\"")
            writeUUID(connection, into: &body)
            body.append("\",\"response_type\":\"embeddings_floats\"}")
        case .cohereEmbed:
            body.append("{\"id\":\"")
            writeUUID(connection, into: &body)
            body.append("\",\"embeddings\":{\"float\":[")
            writeVectors(connection, between: ",")
            body.append("]},\"meta\":{\"api_version\":{\"version\":\"2\"},\"billed_units\":{\"input_tokens\":")
            body.append(decimal: connection.pointee.glance.promptTokens)
            body.append("}},\"response_type\":\"embeddings_by_type\"}")
        default: // Titan on Bedrock
            body.append("{\"embedding\":")
            writeVector(connection, 0)
            body.append(",\"inputTextTokenCount\":")
            body.append(decimal: connection.pointee.glance.promptTokens)
            body.append("}")
        }
    }

    private func isCohereModel(_ connection: UnsafeMutablePointer<MockConnection>) -> Bool {
        let length = connection.pointee.glance.modelLength
        let word: StaticString = "cohere."
        guard length >= 7 else { return false }
        return (0 ... length - 7).contains { start in
            (0 ..< 7).allSatisfy { connection.pointee.glance.model[start + $0] == word.utf8Start[$0] }
        }
    }

    private func writeOpenAIEmbeddings(_ connection: UnsafeMutablePointer<MockConnection>) {
        body.append("{\"object\":\"list\",\"data\":[")
        for input in 0 ..< inputs(connection) {
            body.append(input == 0 ? "{\"object\":\"embedding\",\"index\":" : ",{\"object\":\"embedding\",\"index\":")
            body.append(decimal: UInt64(input))
            body.append(",\"embedding\":")
            if connection.pointee.glance.wantsBase64 {
                let seed = splitMix(connection.pointee.script.seed &+ UInt64(input))
                var floats = [Float]()
                for place in 0 ..< dimensions(connection) { floats.append(Float(Self.eighths(seed, place)) / 8) }
                body.append("\"")
                floats.withUnsafeBytes { body.append(base64: $0) }
                body.append("\"")
            } else {
                writeVector(connection, input)
            }
            body.append("}")
        }
        body.append("],\"model\":\"")
        writeModel(connection, into: &body)
        body.append("\",\"usage\":{\"prompt_tokens\":")
        body.append(decimal: connection.pointee.glance.promptTokens)
        body.append(",\"total_tokens\":")
        body.append(decimal: connection.pointee.glance.promptTokens)
        body.append("}}")
    }

    private func inputs(_ connection: UnsafeMutablePointer<MockConnection>) -> Int { Int(min(connection.pointee.glance.inputs, 2048)) }

    private func dimensions(_ connection: UnsafeMutablePointer<MockConnection>) -> Int {
        let asked = Int(connection.pointee.glance.dimensions)
        return asked > 0 ? asked : 16
    }

    private func writeVectors(_ connection: UnsafeMutablePointer<MockConnection>, between: StaticString) {
        for input in 0 ..< inputs(connection) {
            if input > 0 { body.append(between) }
            writeVector(connection, input)
        }
    }

    private func writeVector(_ connection: UnsafeMutablePointer<MockConnection>, _ input: Int) {
        let seed = splitMix(connection.pointee.script.seed &+ UInt64(input))
        body.append("[")
        for place in 0 ..< dimensions(connection) {
            if place > 0 { body.append(",") }
            let value = Self.eighths(seed, place)
            if value < 0 { body.append("-") }
            body.append(decimal: UInt64(abs(value) / 8))
            body.append(".")
            let fraction = abs(value) % 8 * 125
            body.append(decimal: UInt64(fraction / 100))
            body.append(decimal: UInt64(fraction / 10 % 10))
            body.append(decimal: UInt64(fraction % 10))
        }
        body.append("]")
    }

    private static func eighths(_ seed: UInt64, _ place: Int) -> Int {
        Int(splitMix(seed ^ UInt64(place)) % 17) - 8
    }
}
