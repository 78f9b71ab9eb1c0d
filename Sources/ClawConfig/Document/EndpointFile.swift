// A file of endpoints in YAML, as JSON: what discovery reads is JSON or plain lines, and the one reader of YAML is here.
import ClawWire

public struct EndpointFileError: Error, CustomStringConvertible {
    public let description: String
}

/// A YAML list of endpoints (URLs, or maps with `url` …), or a map whose `endpoints` is one, as a JSON array.
public func endpointsJSON(yaml bytes: UnsafeRawBufferPointer) throws(EndpointFileError) -> [UInt8] {
    let document: (root: DocumentNode?, problems: [DocumentError])
    do throws(DocumentError) { document = try DocumentReader.read(bytes) } catch {
        throw EndpointFileError(description: "line \(error.place.line): \(error.message)")
    }
    if let problem = document.problems.first { throw EndpointFileError(description: "line \(problem.place.line): \(problem.message)") }
    guard let root = document.root else { return Array("[]".utf8) }
    let list = root.member("endpoints") ?? root
    if list.isNull { return Array("[]".utf8) }
    guard list.items != nil else { throw EndpointFileError(description: "line \(list.place.line): expected a list of endpoints, found \(list.kind)") }
    var out = ""
    write(list, &out)
    return Array(out.utf8)
}

private func write(_ node: DocumentNode, _ out: inout String) {
    switch node.value {
    case .scalar(let text, let isPlain):
        if isPlain, !text.isEmpty, text.utf8.count < 10, text.utf8.allSatisfy({ $0 >= 0x30 && $0 <= 0x39 }), text == "0" || text.utf8.first != 0x30 {
            out += text
        } else {
            out += quoted(text)
        }
    case .list(let items):
        out += "["
        for (at, item) in items.enumerated() {
            if at > 0 { out += "," }
            write(item, &out)
        }
        out += "]"
    case .map(let members):
        out += "{"
        for (at, member) in members.enumerated() {
            if at > 0 { out += "," }
            out += quoted(member.key) + ":"
            write(member.value, &out)
        }
        out += "}"
    }
}

private func quoted(_ text: String) -> String {
    var out = "\""
    for scalar in text.unicodeScalars {
        switch scalar {
        case "\"": out += "\\\""
        case "\\": out += "\\\\"
        case _ where scalar.value < 0x20:
            let hex = String(scalar.value, radix: 16)
            out += "\\u" + String(repeating: "0", count: 4 - hex.count) + hex
        default: out.unicodeScalars.append(scalar)
        }
    }
    return out + "\""
}
