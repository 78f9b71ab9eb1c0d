"""The test data of /shared/suites, played at the gateway as a whole: what must pass passes once, what must be refused is refused with the right
status and `Connection: close`, and the upstream behind sees none of it.
"""
import base64
import json
import random
import tarfile

import pytest

from wire import Broken, Client, Late, request, until

PATIENCE = 5.0


def load(path):
    if not path.is_file():
        pytest.skip(f"no test data: {path} is missing")
    return json.loads(path.read_text())["cases"]


def play(gateway, recorder, data, strict, piece):
    """Sends the bytes and compares all that comes back and all that came through with the suite's verdict. Says what was wrong."""
    recorder.reset()
    messages, passed = strict["messages"], 0
    with Client(gateway.port, deadline=PATIENCE) as client:
        if piece:
            client.send_dripping(data, piece)
        else:
            client.send(data)
        closed = False
        for at, message in enumerate(messages):
            if message["then"] != "close" and at == len(messages) - 1 and strict["verdict"] == "accept":
                client.finish()
                closed = True
            answer = client.response(message["method"])
            wanted = message["answer"]
            if wanted == "route":
                if answer.status != 200:
                    return f"message {at} should have been routed: {answer}"
                passed += 1
            elif str(answer.status) != str(wanted):
                return f"message {at} should have got {wanted}: {answer}"
            closing = message["then"] == "close" or wanted in ("405", "501") and answer.closes
            if answer.closes and not closing and not (closed and at == len(messages) - 1):
                return f"message {at} closed the connection: {answer}"
            if message["then"] == "close" and not answer.closes:
                return f"message {at} should have closed the connection: {answer}"
            if closing:
                if client.ending() != "fin" or client.rest:
                    return f"after a last message: {client.end} {client.rest!r}"
                return through(recorder, messages[:at + 1], passed)
        if strict["verdict"] == "reject":
            answer = client.response()
            answer.error()
            if answer.status not in strict["status"]:
                return f"refused with {answer.status}, right are {strict['status']}: {answer}"
            if not answer.closes:
                return f"refused without Connection: close: {answer}"
        elif strict["verdict"] == "incomplete":
            client.finish()
        elif not messages:
            client.finish()
        if client.ending() != "fin" or client.rest:
            return f"at the end: {client.end} {client.rest!r}"
    return through(recorder, messages, passed)


def through(recorder, messages, passed):
    """What the upstream saw is what was routed: no more, no less, and read the same way."""
    seen = recorder.requests[:]
    routed = [message for message in messages if message["answer"] == "route"][:passed]
    if len(seen) != len(routed):
        return f"{len(routed)} were routed, the upstream saw {len(seen)}: {seen}"
    for (head, body), message in zip(seen, routed):
        if head.split(b" ", 1)[0].decode() != message["method"]:
            return f"method {message['method']} became {head!r}"
        wanted = base64.b64decode(message["body"]) if message.get("body") else b""
        if body != wanted:
            return f"body {wanted!r} became {body!r}"
    whole = recorder.bytes()
    if sum(len(head) + 4 + len(body) for head, body in seen) != len(whole):
        return f"bytes beyond the requests at the upstream: {whole!r}"
    return None


def run(gateway, recorder, cases, piece):
    """Plays (name, bytes, verdict) each; fails with all that were wrong."""
    wrong = []
    for name, data, strict in cases:
        try:
            said = play(gateway, recorder, data, strict, piece)
        except (Broken, Late, AssertionError, ValueError) as error:
            said = f"{type(error).__name__}: {error}"
        if said:
            wrong.append(f"{name}: {said} ({strict.get('reason')})")
            if len(wrong) == 20:
                break
    assert not wrong, f"{len(wrong)} cases:\n" + "\n".join(wrong)


@pytest.mark.parametrize("piece", [0, 1, 7], ids=["whole", "bytewise", "sevens"])
def test_H1_01_H1_02_H1_03_H1_04_H1_06_H1_08_H1_14_H1_15_H1_16_H1_17_H1_20_H1_21_H1_24_H1_30_every_request_of_the_llhttp_suite(
        recorded, recorder, suites, piece):
    # The preface of HTTP/2 is what it says here; test_limits has it on a listener that speaks HTTP/1.1 only.
    cases = [case for case in load(suites / "http1-llhttp/requests.json") if not base64.b64decode(case["bytes"]).startswith(b"PRI ")]
    run(recorded, recorder, [(case["id"], base64.b64decode(case.get("bytes_with_host") or case["bytes"]), case["strict"]) for case in cases], piece)


@pytest.mark.parametrize("form", ["cl_te", "te_cl"])
@pytest.mark.parametrize("piece", [0, 1], ids=["whole", "bytewise"])
def test_H1_01_H1_06_H1_07_every_transfer_encoding_mutation(recorded, recorder, suites, form, piece):
    cases = load(suites / "http1-smuggling/default.json")
    run(recorded, recorder, [(case["name"], base64.b64decode(case[form]["bytes"]), case[form]["strict"]) for case in cases], piece)


def test_INV_8_the_fuzz_corpus_of_requests_crashes_nothing(recorded, recorder, suites):
    """No verdicts: each seed on a connection of its own, some cut at random, then the gateway has to be as healthy as before."""
    path = suites / "http1-corpus/http1-corpus.tar.gz"
    if not path.is_file():
        pytest.skip(f"no test data: {path} is missing")
    dice = random.Random(7)
    with tarfile.open(path) as archive:
        seeds = [archive.extractfile(member).read() for member in archive if member.isfile()]
    for start in range(0, len(seeds), 64):
        clients = []
        for seed in seeds[start:start + 64]:
            client = Client(recorded.port)
            clients.append(client)
            cut = dice.randrange(len(seed) + 1)
            try:
                client.send(seed[:cut])
                client.send(seed[cut:])
                client.finish()
            except OSError:
                pass
        for client in clients:
            client.ending(PATIENCE)
            client.close()
        assert recorded.is_alive
    assert recorded.ask(request("GET", "/after")).status == 200
    until(lambda: recorded.status()["fds"] < 100, "descriptors back to normal")
    recorded.log()


def test_H1_36_every_text_of_the_json_suite(recorded, recorder, suites):
    """As bodies of a chat completion on one connection: what is no JSON is `invalid_json`, what is some is refused for another reason."""
    folder = suites / "json/cases"
    if not folder.is_dir():
        pytest.skip(f"no test data: {folder} is missing")
    wrong = []
    with Client(recorded.port) as client:
        for path in sorted(folder.iterdir()):
            text = path.read_bytes()
            answer = client.ask(request(body=text, fields=[("Content-Type", "application/json")]))
            code = answer.error()["code"]
            if path.name.startswith("n_"):
                good = answer.status == 400 and code == "invalid_json" and "JSON object" not in answer.error()["message"]
            elif text.lstrip(b" \t\r\n")[:1] == b"{":
                good = answer.status == 400 and code == "missing_required_parameter"
            else:
                good = answer.status == 400 and "JSON object" in answer.error()["message"]
            if not good:
                wrong.append(f"{path.name}: {answer.status} {answer.body!r}")
            assert not answer.closes, path.name
    assert not wrong, "\n".join(wrong)
    assert not recorder.requests


def test_H1_36_good_json_reaches_the_upstream_as_it_was(recorded, recorder, suites):
    folder = suites / "json/cases"
    if not folder.is_dir():
        pytest.skip(f"no test data: {folder} is missing")
    with Client(recorded.port) as client:
        for path in sorted(folder.glob("y_*")):
            text = b'{"model":"mock-model","x":' + path.read_bytes() + b"}"
            recorder.reset()
            assert client.ask(request(body=text)).status == 200, path.name
            assert [body for _, body in recorder.requests] == [text], path.name
