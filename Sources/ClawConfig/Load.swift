// Reading a configuration: file → text → document → tables → checks → Configuration. Whatever is wrong comes out as a list of issues,
// all of them at once; a Configuration comes out only when none is an error. `openclaw check`, the start of `openclaw serve` and a reload
// all call this and nothing else, so their verdicts cannot differ.

import ClawWire

/// Reads and checks a file. `environment` answers `${NAME}`.
public func loadConfiguration(path: String, environment: [String: String]) -> ConfigurationLoad {
    let bytes: [UInt8]
    do throws(FileProblem) { bytes = try readFile(path, bytesMax: DocumentReader.Limit.fileBytesMax) } catch {
        return ConfigurationLoad(configuration: nil, issues: [.init(file: path, line: 0, column: 0, key: "", message: error.message)])
    }
    var load = bytes.withUnsafeBytes { loadConfiguration(bytes: $0, name: path, environment: environment) }
    load.configuration?.path = path
    load.configuration?.gitCommit = GitCommit.of(folderOf: path)
    return load
}

/// The same for a text that has no file (tests, `make run`'s built-in configuration).
public func loadConfiguration(text: String, name: String, environment: [String: String]) -> ConfigurationLoad {
    var copy = text
    return copy.withUTF8 { loadConfiguration(bytes: UnsafeRawBufferPointer($0), name: name, environment: environment) }
}

func loadConfiguration(bytes: UnsafeRawBufferPointer, name: String, environment: [String: String]) -> ConfigurationLoad {
    let loading = Loading(file: name, environment: environment)
    var configuration = Configuration()
    let table = FileTable.make()
    do throws(DocumentError) {
        let (root, problems) = try DocumentReader.read(bytes)
        for problem in problems { loading.error(problem.place, "", problem.message) }
        if let root, !root.isNull {
            table.read(root, into: &configuration, at: "", loading)
            if root.members != nil { FileTable.check(&configuration, root, loading) }
        } else {
            loading.error(Place(), "", "empty; the smallest useful file has one entry under upstreams")
        }
    } catch {
        loading.error(error.place, "", error.message)
    }
    var issues = loading.issues
    issues.sort { ($0.line, $0.column) < ($1.line, $1.column) }
    guard !loading.hasErrors else { return ConfigurationLoad(configuration: nil, issues: issues) }
    finish(&configuration, table, loading)
    return ConfigurationLoad(configuration: configuration, issues: issues)
}

/// The version and the masked form.
private func finish(_ configuration: inout Configuration, _ table: Table<Configuration>, _ loading: Loading) {
    guard case .object(var members) = table.write(configuration) else { return }
    // Keys of an object are sorted, but the order of upstreams is the order of fail-over, so it is part of the version.
    var hashed = members
    hashed["upstream_order"] = .array(configuration.upstreams.map { .text($0.name) })
    // So is that of profiles, by which larger windows are looked for.
    if let routing = configuration.modelRouting { hashed["profile_order"] = .array(routing.profiles.map { .text($0.name) }) }
    // What a file beside this one says of models is too, though not its text.
    if let digest = configuration.catalogue.digest { hashed["catalogue_digest"] = .text(digest) }
    configuration.version = SHA256.hex(of: Array(Canonical.object(hashed).json(.digested).utf8))
    members["sources"] = .object(loading.sources.mapValues { .text($0) })
    configuration.maskedJSON = Canonical.object(members).json(.masked)
}
