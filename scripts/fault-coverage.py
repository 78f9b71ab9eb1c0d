#!/usr/bin/env python3
"""Prints which rows of the fault catalogue have a test.

A test covers a row by carrying its id in its name: `H1_03_oddContentLengthsAreRefused` in Swift (several ids may follow one another:
`H1_01_H1_02_…`), `test_H1_03_odd_content_lengths` in Python. The ids and their one-line titles are in Tests/fault-ids.txt, so this works
from a clone alone. `--missing` lists the rows without a test, `--area H1,SS` narrows, `--require H1,SS` makes a missing row a failure.
"""
import argparse
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
DEFINITION = re.compile(r"\b(?:func|def)\s+`?(?:test_?)?((?:(?:[A-Z][A-Z0-9]_\d\d|INV_\d)_)+)")
IDENTIFIER = re.compile(r"([A-Z][A-Z0-9]|INV)_(\d{1,2})_")


def catalogue():
    rows, area = {}, ""
    for line in (ROOT / "Tests/fault-ids.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("# "):
            area = line[2:]
        elif line and not line.startswith("#"):
            name, title = line.split("\t", 1)
            rows[name] = (area, title)
    return rows


def tests():
    """Fault id → the tests that carry it."""
    found = {}
    files = [path for suffix in ("*.swift", "*.py") for path in (ROOT / "Tests").rglob(suffix)]
    for path in sorted(files):
        if ".venv" in path.parts or ".build" in path.parts:
            continue
        text = path.read_text(encoding="utf-8", errors="replace")
        for match in DEFINITION.finditer(text):
            line = text.count("\n", 0, match.start()) + 1
            for area, number in IDENTIFIER.findall(match.group(1)):
                found.setdefault(f"{area}-{number}", []).append(f"{path.relative_to(ROOT)}:{line}")
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--missing", action="store_true", help="list the rows without a test, by title")
    parser.add_argument("--area", default="", help="comma-separated prefixes to show, e.g. H1,SS")
    parser.add_argument("--require", default="", help="comma-separated prefixes or ids that must all have a test")
    options = parser.parse_args()
    rows, found = catalogue(), tests()
    areas = [prefix for prefix in options.area.split(",") if prefix]

    by_area = {}
    for name, (area, _) in rows.items():
        if not areas or name.split("-")[0] in areas:
            by_area.setdefault(area, []).append(name)
    print("fault catalogue: rows with a test")
    for area, names in by_area.items():
        covered = [name for name in names if name in found]
        print(f"  {area:<42} {len(covered):>3} of {len(names):>3}" + (f"   {' '.join(covered)}" if covered else ""))
    shown = [name for names in by_area.values() for name in names]
    print(f"  {'all':<42} {sum(name in found for name in shown):>3} of {len(shown):>3}")
    if options.missing:
        for name in shown:
            if name not in found:
                print(f"  {name}  {rows[name][1]}")

    failed = False
    for name in sorted(set(found) - set(rows)):
        print(f"fault-coverage: {found[name][0]} names {name}, which Tests/fault-ids.txt does not have", file=sys.stderr)
        failed = True
    for want in filter(None, options.require.split(",")):
        for name in rows:
            if (name == want or name.split("-")[0] == want) and name not in found:
                print(f"fault-coverage: {name} has no test: {rows[name][1]}", file=sys.stderr)
                failed = True
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
