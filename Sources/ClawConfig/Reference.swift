// The configuration reference, generated from the option tables so that it always says what the loader does.

/// All options as Markdown: `openclaw check --reference`, and the file in docs.
public func configurationReference() -> String {
    let rows = FileTable.make().rows(Configuration())
    var output = """
    # Configuration reference

    Generated from the option tables; do not edit. One YAML (or JSON) file. Unknown keys, duplicate keys and wrong types are errors.
    `${NAME}`, `${NAME:-default}` and `${file:/path}` are replaced inside values, `$${` is a literal `${`. Truth values are `true` and
    `false`, numbers plain decimal. `[]` stands for each item of a list, `NAME` for a name of your choice.

    """
    // A section is a key of the file with all that lies below it.
    var section: String?
    for row in rows where !row.isLater {
        let name = row.key.prefix { $0 != "." && $0 != "[" }
        if section != String(name) {
            section = String(name)
            output += "\n## \(name)\n\n"
            if row.key == name {
                output += "\(row.doc)\(row.defaultText == "required" ? " Required." : "")\n\n"
                output += "| key | value | default | meaning |\n|---|---|---|---|\n"
                continue
            }
            output += "| key | value | default | meaning |\n|---|---|---|---|\n"
        }
        output += "| `\(row.key)` | \(cell(row.type)) | \(row.defaultText == "required" ? "required" : row.defaultText.isEmpty ? "" : cell(row.defaultText)) | \(cell(row.doc)) |\n"
    }
    output += "\n## Not available in this version\n\nThese keys are known and refused, because an option that does nothing must not pass in silence.\n\n"
    for row in rows where row.isLater { output += "- `\(row.key)`: \(row.doc)\n" }
    return output
}

private func cell(_ text: String) -> String {
    text.replacing("|", with: "\\|").replacing("\"", with: "")
}
