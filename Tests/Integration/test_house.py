"""The documents against the tree: what ARCHITECTURE.md says of imports and files, what README.md, CONTRIBUTING.md and docs/ promise. No gateway is started;
the tests that ask the program something are left out where it is not built."""
import json
import os
import pathlib
import re
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
DOCUMENTS = ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "docs/configuration.md", "docs/dialects.md", "docs/errors.md", "docs/metrics.md", "docs/routing.md", "perf/README.md"]
ENGINE = ROOT / "Sources/ClawEngine"


def text(name):
    return (ROOT / name).read_text(encoding="utf-8")


def names(cell):
    return {word.strip() for word in cell.split(",") if word.strip()}


def import_table():
    """module → (ours, others)"""
    block = re.search(r"<!-- imports:.*?-->(.*?)<!-- /imports -->", text("ARCHITECTURE.md"), re.S)
    assert block, "ARCHITECTURE.md has no import table between its marks"
    table = {}
    for line in block.group(1).strip().splitlines()[2:]:
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        table[cells[0]] = (names(cells[1]), names(cells[2]))
    return table


def swift_imports(folder):
    found = {}
    for path in sorted(folder.rglob("*.swift")):
        for line in path.read_text(encoding="utf-8").splitlines():
            match = re.match(r"\s*(?:@\w+(?:\([^)]*\))?\s+)*(?:(?:public|package|internal|private|fileprivate)\s+)?import\s+(?:(?:struct|class|enum|func|protocol|var|let|typealias)\s+)?(\w+)", line)
            if match:
                found.setdefault(match.group(1), []).append(str(path.relative_to(ROOT)))
    return found


def test_every_module_is_in_the_import_table():
    assert sorted(import_table()) == sorted(path.name for path in (ROOT / "Sources").iterdir() if path.is_dir())


@pytest.mark.parametrize("module", sorted(import_table()))
def test_a_module_imports_what_the_table_allows(module):
    ours, others = import_table()[module]
    wrong = {name: files for name, files in swift_imports(ROOT / "Sources" / module).items() if name not in ours | others}
    assert not wrong, f"{module} imports what ARCHITECTURE.md does not allow: {wrong}"


@pytest.mark.parametrize("module", sorted(import_table()))
def test_the_table_allows_nothing_that_is_not_used(module):
    if not list((ROOT / "Sources" / module).rglob("*.swift")):
        pytest.skip("C")
    ours, others = import_table()[module]
    unused = (ours | others) - set(swift_imports(ROOT / "Sources" / module))
    assert not unused, f"ARCHITECTURE.md lets {module} import what it does not: {sorted(unused)}"


def test_the_import_table_has_no_cycle():
    table = import_table()

    def below(module, way):
        assert module not in way, f"a cycle: {way + [module]}"
        for next_module in table[module][0]:
            below(next_module, way + [module])

    for module in table:
        below(module, [])


def test_the_package_depends_as_the_table_says():
    package = text("Package.swift")
    for module, (ours, _) in import_table().items():
        target = re.search(r'\.(?:executableT|t)arget\(\s*name: "%s"(.*?)\n(?=        \.(?:target|executableTarget|testTarget)|    \])' % module, package, re.S)
        assert target, f"Package.swift has no target {module}"
        given = set(re.findall(r'"(C?Claw\w*|CScan)"', target.group(1))) - {module}
        assert given == ours, f"Package.swift gives {module} {sorted(given)}, ARCHITECTURE.md {sorted(ours)}"


def test_c_modules_include_only_their_own_headers():
    for module in ("CScan", "CClaw"):
        own = {path.name for path in (ROOT / "Sources" / module).rglob("*.h")}
        for path in (ROOT / "Sources" / module).rglob("*.[ch]"):
            for name in re.findall(r'#include "([^"]+)"', path.read_text()):
                assert pathlib.Path(name).name in own, f"{path.relative_to(ROOT)} includes {name}"


def test_libraries_are_seen_in_one_place_each():
    for header, place in (("liburing.h", "CClaw"), ("curl/curl.h", "CClaw")):
        users = [path for path in (ROOT / "Sources").rglob("*.[ch]") if f"#include <{header}>" in path.read_text()]
        assert users and all(path.parent.name == place for path in users), f"{header}: {users}"


def test_scanning_kernels_know_no_system():
    allowed = {"stdint.h", "stddef.h", "stdbool.h", "string.h", "stdatomic.h", "emmintrin.h", "immintrin.h", "tmmintrin.h", "arm_neon.h"}
    for path in (ROOT / "Sources/CScan").rglob("*.[ch]"):
        assert set(re.findall(r"#include <([^>]+)>", path.read_text())) <= allowed, path


@pytest.mark.parametrize("name", DOCUMENTS)
def test_files_that_a_document_links_exist(name):
    folder = (ROOT / name).parent
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text(name)):
        if "://" in target:
            continue
        if target == "perf/results/latest.svg":
            continue  # made by the first whole `make perf`
        assert (folder / target).exists(), f"{name} links {target}"


@pytest.mark.parametrize("name", ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"])
def test_make_targets_that_a_document_names_exist(name):
    targets = set(re.findall(r"^([a-z-]+):", text("Makefile"), re.M))
    named = set(re.findall(r"(?:^|[`\s])make ([a-z][a-z-]+)", "\n".join(re.findall(r"```.*?```|`[^`\n]+`", text(name), re.S)), re.M))
    assert named <= targets, f"{name} names make {sorted(named - targets)}"


def test_functions_that_the_life_of_a_request_names_exist():
    table = re.search(r"## The life of a request(.*?)\n## ", text("ARCHITECTURE.md"), re.S).group(1)
    sources = "\n".join(path.read_text() for path in ENGINE.rglob("*.swift"))
    for function in re.findall(r"`(?:Worker\.)?([a-z]\w+)`", "\n".join(line for line in table.splitlines() if line.startswith("|"))):
        if function in ("model", "stream_options", "max_connections"):
            continue
        assert re.search(rf"\bfunc {function}\b", sources), f"ARCHITECTURE.md names {function}"


def test_every_failure_is_in_the_error_document():
    documented = set(re.findall(r"^\| (\d{3}) \| `([a-z_]+)`", text("docs/errors.md"), re.M))
    rows = set(re.findall(r'Row\(status: (\d+), code: "([a-z_]+)"', (ENGINE / "Pipeline/Failure.swift").read_text()))
    assert rows, "Failure.swift has no rows"
    assert rows <= documented, f"docs/errors.md lacks {sorted(rows - documented)}"


def test_every_refusal_reason_is_in_the_error_document():
    source = text("Sources/ClawWire/HTTP1/Message.swift")
    by_status = dict(re.findall(r'case \.(\w+): "([a-z_0-9]+)"', source))
    elsewhere = {name for cases in re.findall(r"case ((?:\.\w+(?:, )?)+): (?:414|431|417|501|505)", source) for name in re.findall(r"\.(\w+)", cases)}
    answers = {"statusLine", "statusCode", "switchingProtocols"}
    for case, reason in by_status.items():
        if case not in elsewhere | answers:
            assert f"`{reason}`" in text("docs/errors.md"), f"docs/errors.md lacks the reason {reason}"


def metric_families():
    found = set()
    for name in ("Observe/SeriesSum.swift", "Observe/Gateway+Metrics.swift"):
        found |= set(re.findall(r'"((?:openclaw|process)_[a-z_]+)"', (ENGINE / name).read_text()))
    return found


def test_every_metric_is_in_the_metrics_document():
    documented = set(re.findall(r"`((?:openclaw|process)_[a-z_]+)`", text("docs/metrics.md")))
    plain = {re.sub(r"_(total|info)$", "", name) for name in documented}
    assert metric_families() <= plain, f"docs/metrics.md lacks {sorted(metric_families() - plain)}"


def test_the_metrics_document_names_no_metric_that_is_not_there():
    tables = "\n".join(line for line in text("docs/metrics.md").splitlines() if line.startswith("| `"))
    for name in re.findall(r"`((?:openclaw|process)_[a-z_]+)`", tables):
        assert re.sub(r"_(total|info)$", "", name) in metric_families(), name


def test_every_field_of_the_log_line_is_in_the_metrics_document():
    written = set(re.findall(r'\\"([a-z_]+)\\":', (ENGINE / "Observe/Worker+Account.swift").read_text()))
    missing = {name for name in written if not re.search(rf"\b{name}\b", text("docs/metrics.md"))}
    assert not missing, f"docs/metrics.md lacks {sorted(missing)}"


# MARK: what the program says


def ask(binary, *arguments, **environment):
    return subprocess.run([binary, *arguments], capture_output=True, text=True, timeout=30, env={**os.environ, **environment})


def test_the_configuration_reference_is_current(binary):
    said = ask(binary, "check", "--reference")
    assert said.returncode == 0
    assert said.stdout == text("docs/configuration.md"), "docs/configuration.md is not what the program says: make reference"


def yaml_blocks():
    for name in DOCUMENTS:
        for index, block in enumerate(re.findall(r"```yaml\n(.*?)```", text(name), re.S)):
            yield pytest.param(block, id=f"{name}-{index + 1}")


@pytest.mark.parametrize("block", yaml_blocks())
def test_configurations_in_documents_are_valid(binary, tmp_path, block):
    path = tmp_path / "openclaw.yaml"
    # Certificates of an example are made here, under names of this folder.
    chain, key = tmp_path / "chain.pem", tmp_path / "key.pem"
    if "certificate" in block:
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key, "-out", chain, "-days", "9", "-subj", "/CN=localhost"],
                       check=True, capture_output=True)
        block = re.sub(r"(certificate|client_ca): [\w/.-]+\.pem", rf"\1: {chain}", re.sub(r"\bkey: [\w/.-]+\.(?:pem|key)", f"key: {key}", block))
    path.write_text(block)
    keys = {name: "sk-example" for name in re.findall(r"\$\{(\w+)\}", block)}
    said = ask(binary, "check", str(path), **keys)
    assert said.returncode == 0, said.stderr


def test_json_in_documents_is_json():
    for name in DOCUMENTS:
        for block in re.findall(r"```json\n(.*?)```", text(name), re.S):
            for line in block.strip().splitlines():
                json.loads(line)


def test_commands_that_documents_name_exist(binary):
    known = set(re.findall(r"^  ([a-z]+)  ", ask(binary, "--help").stdout, re.M))
    for name in ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"):
        code = "\n".join(re.findall(r"```(?:sh|console)\n.*?```|`[^`\n]+`", text(name), re.S))
        named = set(re.findall(r"(?:^|[`$/]) ?openclaw ([a-z]+)", code, re.M))
        assert named <= known, f"{name} names openclaw {sorted(named - known)}"
