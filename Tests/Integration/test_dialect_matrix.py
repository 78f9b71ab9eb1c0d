"""Any client's API in front of any upstream type, plain, streamed, with tools, structured output, pictures, reasoning and errors: each cell judged at both ends
(dialect_matrix.py), and the table of docs/dialects.md against what was found."""
import pytest

from conftest import ROOT
from dialect_backs import BACKS
from dialect_fronts import FRONTS
from dialect_matrix import CASES, COLUMNS, Matrix, configuration, published, table

FOUND = {}


@pytest.fixture
def matrix(gateway, backend, mock):
    one = Matrix(gateway(raw=configuration(mock.url, backend)).port, mock.port)
    cells = FOUND.setdefault(backend, {"cells": {}, "fields": {}})

    def run(front):
        """The cells of one front, found once."""
        if not any(key[0] == front.name for key in cells["cells"]):
            cells["cells"] |= one.run([front])
        return {key: cell for key, cell in cells["cells"].items() if key[0] == front.name}

    def fields():
        cells["fields"] = cells["fields"] or one.fields()
        return cells["fields"]

    run.fields, run.all = fields, cells
    return run


def wrong(cells):
    return "\n\n".join(f"{' · '.join(key)}: {cell.detail}" for key, cell in cells.items() if cell.verdict == "fails")


@pytest.mark.parametrize("front", FRONTS, ids=lambda front: front.name)
def test_a_client_reaches_every_upstream_in_every_way_or_is_told_why_not(matrix, front):
    cells = matrix(front)
    assert not wrong(cells), wrong(cells)
    assert {key[1] for key in cells} == {back.name for back in BACKS} and {key[2] for key in cells} >= {case.name for case in CASES}


def test_what_a_request_can_say_arrives_or_is_left_out_or_refused_by_name(matrix):
    assert not wrong(matrix.fields()), wrong(matrix.fields())


def test_the_published_tables_are_what_was_found(matrix):
    cells = {key: cell for front in FRONTS for key, cell in matrix(front).items()}
    document = (ROOT / "docs/dialects.md").read_text(encoding="utf-8")
    assert published(document) == table(cells, matrix.fields()), "python Tests/Integration/dialect_matrix.py --write docs/dialects.md"


def test_every_case_is_in_a_column_of_the_table():
    named = {name.removesuffix(", answered") for _, names in COLUMNS for name in names}
    assert named == {case.name for case in CASES}


@pytest.mark.parametrize("path, body", [
    (":batchEmbedContents", {"requests": [{"model": "models/on-gemini", "content": {"parts": [{"text": "a"}]}}, {"model": "models/on-gemini", "content": {"parts": [{"text": "b"}]}}]}),
    (":countTokens", {"generateContentRequest": {"model": "models/on-gemini", "systemInstruction": {"parts": [{"text": "s"}]}, "contents": [{"role": "user", "parts": [{"text": "a"}]}]}}),
    (":countTokens", {"contents": [{"role": "user", "parts": [{"text": "a"}]}]}),
])
def test_gemini_gets_no_alias_inside_a_body_either(gateway, backend, mock, path, body):
    one = Matrix(gateway(raw=configuration(mock.url, backend)).port, mock.port)
    status, _, answer = one.gateway.ask("POST", "/v1beta/models/on-gemini" + path, body)
    arrived = one.last()
    assert status == 200, answer
    assert arrived["path"] == "/v1beta/models/gemini-2.5-flash" + path and "on-gemini" not in arrived["body"]
    assert arrived["body"].count("models/gemini-2.5-flash") == str(body).count("models/on-gemini")
