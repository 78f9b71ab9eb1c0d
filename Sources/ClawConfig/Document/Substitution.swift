// ${NAME}, ${NAME:-default}, ${file:/path} and the escape $${ inside scalar values. It happens after YAML was parsed, so a value from the
// environment is always the text of one scalar and can never become a key, a list or a second option. Keys are never replaced.

import Glibc

enum Substitution {
    /// A secret file holds a key or a certificate's password, not a document.
    static let fileBytesMax = 64 << 10

    struct Result {
        var text: String
        /// What was put in, e.g. "${PORT}", for messages that must not repeat the value and for the list of sources.
        var names: [String]
    }
    struct Refusal: Error { var message: String }

    /// `text` with every reference replaced.
    static func apply(to text: String, environment: [String: String]) throws(Refusal) -> Result {
        guard text.utf8.contains(UInt8(ascii: "$")) else { return Result(text: text, names: []) }
        var output = "", names: [String] = []
        var rest = Substring(text)
        while let dollar = rest.firstIndex(of: "$") {
            output += rest[..<dollar]
            rest = rest[dollar...]
            if rest.hasPrefix("$${") {
                output += "${"
                rest = rest.dropFirst(3)
            } else if rest.hasPrefix("${") {
                guard let close = rest.firstIndex(of: "}") else { throw Refusal(message: "`${` without `}`; write `$${` for a literal `${`") }
                let reference = rest[rest.index(rest.startIndex, offsetBy: 2)..<close]
                output += try resolve(reference, environment, &names)
                rest = rest[rest.index(after: close)...]
            } else {
                output.append("$")
                rest = rest.dropFirst()
            }
        }
        output += rest
        return Result(text: output, names: names)
    }

    private static func resolve(_ reference: Substring, _ environment: [String: String], _ names: inout [String]) throws(Refusal) -> String {
        if reference.hasPrefix("file:") {
            names.append("${\(reference)}")
            return try contents(of: String(reference.dropFirst(5)))
        }
        var name = reference, fallback: Substring?
        if let colon = reference.firstIndex(of: ":") {
            guard reference[colon...].hasPrefix(":-") else {
                throw Refusal(message: expected)
            }
            name = reference[..<colon]
            fallback = reference[colon...].dropFirst(2)
        }
        // What was written is not repeated: a secret put between the braces by mistake must not come out in a message.
        guard isName(name), fallback?.contains("${") != true else {
            throw Refusal(message: expected)
        }
        names.append("${\(name)}")
        if let value = environment[String(name)], !(value.isEmpty && fallback != nil) { return value }
        guard let fallback else { throw Refusal(message: "environment variable \(name) is not set; set it or write ${\(name):-default}") }
        return String(fallback)
    }

    private static let expected = "expected ${NAME}, ${NAME:-default} or ${file:/path} (not nested); write `$${` for a literal `${`"

    private static func isName(_ name: Substring) -> Bool {
        guard let first = name.utf8.first, !(0x30...0x39).contains(first) else { return false }
        return name.utf8.allSatisfy { (0x30...0x39).contains($0) || (0x41...0x5A).contains($0) || (0x61...0x7A).contains($0) || $0 == 0x5F }
    }

    /// The file's text without one newline at its end (editors and `echo` add it).
    private static func contents(of path: String) throws(Refusal) -> String {
        guard path.hasPrefix("/") else { throw Refusal(message: "expected an absolute path in ${file:…}, found `\(path)`") }
        var bytes: [UInt8]
        do throws(FileProblem) { bytes = try readFile(path, bytesMax: fileBytesMax) } catch { throw Refusal(message: "\(path): \(error.message)") }
        if bytes.last == 0x0A { bytes.removeLast() }
        if bytes.last == 0x0D { bytes.removeLast() }
        guard let text = String(validating: bytes, as: UTF8.self) else { throw Refusal(message: "\(path): not UTF-8") }
        return text
    }
}

struct FileProblem: Error { var message: String }

/// A whole regular file. Opened without blocking, so that a FIFO in its place cannot hang the gateway.
func readFile(_ path: String, bytesMax: Int) throws(FileProblem) -> [UInt8] {
    guard !path.utf8.contains(0) else { throw FileProblem(message: "a path cannot hold a zero byte") }
    let fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
    guard fd >= 0 else { throw FileProblem(message: "cannot open: \(errorText(errno))") }
    defer { close(fd) }
    var status = stat()
    guard fstat(fd, &status) == 0 else { throw FileProblem(message: "cannot read: \(errorText(errno))") }
    guard status.st_mode & S_IFMT == S_IFREG else {
        throw FileProblem(message: status.st_mode & S_IFMT == S_IFDIR ? "is a folder" : "is not a regular file")
    }
    guard status.st_size <= bytesMax else { throw FileProblem(message: "file too large: \(status.st_size) bytes, limit \(bytesMax)") }
    var bytes: [UInt8] = []
    let step = 64 << 10
    while bytes.count <= bytesMax {
        var problem: Int32 = 0
        let before = bytes.count
        bytes.append(contentsOf: [UInt8](unsafeUninitializedCapacity: step) { buffer, count in
            let got = read(fd, buffer.baseAddress, step)
            problem = got < 0 ? errno : 0
            count = max(0, got)
        })
        if problem == EINTR { continue }
        guard problem == 0 else { throw FileProblem(message: "cannot read: \(errorText(problem))") }
        if bytes.count == before { return bytes }
    }
    throw FileProblem(message: "file too large: over \(bytesMax) bytes")
}

private func errorText(_ code: Int32) -> String { String(cString: strerror(code)) }
