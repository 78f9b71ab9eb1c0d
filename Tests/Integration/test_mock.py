"""`openclaw mock` as a program: what it replays, and how it says that it cannot."""
import json
import subprocess

import pytest

from rig import BINARY, Client, Mock


def recording(**response) -> dict:
    return {"format": "openclaw-recording/1", "id": "one/plain", "request": {"method": "POST", "path": "/v1/messages", "body": {"encoding": "none"}},
            "response": {"status": 200, "headers": [["content-type", "application/json"]], "body": {"encoding": "utf8", "text": '{"recorded":1}'}, **response}}


def refused(*flags) -> subprocess.CompletedProcess:
    return subprocess.run([BINARY, "mock", "--port", "0", *map(str, flags)], capture_output=True, text=True, timeout=30)


def test_a_folder_is_replayed(tmp_path):
    (tmp_path / "one.json").write_text(json.dumps(recording()))
    with Mock("--replay", tmp_path) as mock, Client(mock.port) as client:
        assert client.ask("POST", "/v1/messages", {"model": "m"}).json() == {"recorded": 1}
        assert client.ask("POST", "/v2/chat", {"model": "m"}, [("x-mock-recording", "one/plain")]).json() == {"recorded": 1}
        assert "finish_reason" in client.ask("POST", "/v2/chat", {"model": "m"}).json()
        assert client.ask("GET", "/mock/recordings").json() == {"recordings": ["one/plain"]}
    with Mock("--replay", tmp_path, "--recording", "one/plain") as mock, Client(mock.port) as client:
        assert client.ask("POST", "/v2/chat", {"model": "m"}).json() == {"recorded": 1}


@pytest.mark.parametrize("flags, code, words", [
    (["--replay", "/no/such/folder"], 66, "--replay /no/such/folder: cannot be read as a folder: No such file or directory"),
    (["--replay", "{empty}"], 66, "no file *.json of the format openclaw-recording/1"),
    (["--replay", "{bad}"], 65, "one.json: response.status: expected 200…599"),
    (["--replay", "{good}", "--recording", "none"], 64, "--recording none: no such recording"),
    (["--recording", "none"], 64, "--replay, which is missing"),
    (["--tool-calls", "many"], 64, "--tool-calls many: no such value"),
])
def test_what_cannot_be_replayed_is_said(tmp_path, flags, code, words):
    for name, content in {"empty": None, "bad": recording(status=1), "good": recording()}.items():
        (tmp_path / name).mkdir()
        if content:
            (tmp_path / name / "one.json").write_text(json.dumps(content))
    ended = refused(*(flag.format(**{name: tmp_path / name for name in ("empty", "bad", "good")}) for flag in flags))
    assert ended.returncode == code
    assert words in ended.stderr
