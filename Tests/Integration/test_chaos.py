"""Hundreds of requests at a time against a mock that breaks in every way it can, seeded: whatever happens, each answer is whole or says that it
isn't, each request has one record, and nothing is left behind (INV-1, INV-3, INV-6, INV-8)."""
import os
import random
import re
import threading

import pytest

from rig import *
from scripted import *

GARBAGE = ["status-line", "header", "chunk-size", "nul", "two-lengths", "length-and-chunked", "surplus", "short", "flood-1xx", "101", "huge-headers", "many-headers",
           "bare-lf", "no-last-chunk"]


def fault(dice: random.Random) -> list[tuple[str, str]]:
    """Settings of one request: a third goes well."""
    number = dice.randrange(40)
    settings = dice.choice([
        [], [], [], [], [], [],
        [("reset", "head")], [("reset", f"bytes:{dice.randrange(4000)}")], [("reset", f"events:{number}")],
        [("cut-after", str(dice.randrange(4000)))], [("stall", f"{number}:{dice.randrange(1, 60)}")], [("stall", str(number))],
        [("error-after", str(number))], [("no-done", "true")], [("early", "true")], [("garbage", dice.choice(GARBAGE))], [("garbage", dice.choice(GARBAGE))],
        [("status", dice.choice(["400", "429", "500", "503"]))], [("usage", dice.choice(["missing", "twice", "negative", "huge", "string", "after-done"]))],
    ])
    extra = dice.choice([[], [], [("split", str(dice.choice([1, 3, 50, 700])))], [("close", "true")], [("comments", "2")], [("eol", "crlf")],
                         [("framing", dice.choice(["chunked", "until-close"]))]])
    if dice.randrange(4) == 0:
        extra = [*extra, ("rate", "2000")]
    return [*settings, *extra]


def judge(answer, stream: bool, settings) -> None:
    if answer.status != 200:
        assert answer.error["message"], answer.body
        return
    if not stream or not (answer.header("content-type") or "").startswith("text/event-stream"):
        assert answer.json()["choices"][0]["message"]["content"]
        return
    blocks = [line.rstrip(b"\r") for line in answer.body.split(b"\n") if line.startswith(b"data: ")]
    is_done, is_error = b"data: [DONE]" in blocks, b'"error"' in blocks[-1] and b'"choices"' not in blocks[-1]
    told = dict(settings)
    if "no-done" in told:
        assert not is_done and (is_error or b'"finish_reason":"stop"' in answer.body)
    else:
        assert is_done != is_error, (settings, blocks[-2:])
    if "error-after" in told and is_done:
        assert int(told["error-after"]) > 15


def metrics(gateway) -> str:
    with Client(gateway.admin_port) as admin:
        return admin.ask("GET", "/metrics", None, [("host", "127.0.0.1")]).body.decode()


def gauges(gateway) -> dict:
    found = re.findall(r'^(openclaw_pending|openclaw_streams_active|openclaw_connections){listener="data"} (\S+)$', metrics(gateway), re.M)
    assert len(found) == 3, found
    return {name: float(value) for name, value in found}


def buffers(gateway) -> float:
    return float(re.search(r"^openclaw_buffers_in_use (\S+)$", metrics(gateway), re.M)[1])


@pytest.mark.parametrize("workers", [1, 2])
def test_SS_04_UP_06_every_answer_is_whole_or_says_that_it_is_not(start, workers, backend):
    mock = start(Mock, tokens=24)
    gateway = start(Gateway, single(mock.url, idle_stream_timeout_seconds=0.25, first_byte_timeout_seconds=0.5, stream_usage=True)
                    | {"server": {"workers": workers, "write_timeout_seconds": 5}})
    gateway.chat()
    asked, problems = [1], []
    lock = threading.Lock()

    def descriptors() -> int:
        return len(os.listdir(f"/proc/{gateway.process.pid}/fd"))

    before = descriptors()

    def run(seed: int):
        dice = random.Random(seed * 7 + workers * 1000 + BACKENDS.index(backend))
        client = None
        try:
            for _ in range(45):
                settings = fault(dice)
                stream = dice.randrange(3) > 0
                client = client or gateway.connect()
                client.send("POST", "/v1/chat/completions", {"model": "m", "stream": stream, "messages": []}, [(f"x-mock-{name}", value) for name, value in settings])
                with lock:
                    asked[0] += 1
                try:
                    if dice.randrange(8) == 0:
                        # Leaves at some moment of the answer.
                        client.sock.settimeout(dice.random() * 0.01 + 0.001)
                        try:
                            client.read()
                        except (TimeoutError, Broken):
                            pass
                        dice.choice([client.reset, client.close])()
                        client = None
                        continue
                    answer = client.read("POST")
                    judge(answer, stream, settings)
                    if answer.header("connection") == "close" or dict(settings).get("no-done"):
                        raise Broken("closed", answer)
                except Broken as broken:
                    # A stream that was cut closes its connection after the error event; a plain answer is reset.
                    assert broken.how in ("reset", "closed"), (settings, broken)
                    if broken.how == "closed" and broken.answer.status == 200 and not broken.answer.body:
                        raise AssertionError((settings, broken)) from None
                    client.close()
                    client = None
                else:
                    # The gateway may say only by closing that this was the connection's last answer.
                    if b'"error"' in answer.body[-400:]:
                        client.close()
                        client = None
        except BaseException as problem:
            problems.append((seed, settings, stream, repr(problem)))
        finally:
            if client:
                client.close()

    threads = [threading.Thread(target=run, args=(seed,)) for seed in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not problems, problems[:3]
    # One record for each request, no two alike, and nothing left in flight anywhere.
    wait_for(lambda: len(gateway.records()) >= asked[0], what=f"{asked[0]} records")
    ids = [record["request_id"] for record in gateway.records()]
    assert len(ids) == len(set(ids)) == asked[0]
    wait_for(lambda: mock.stats()["in_flight"] == 0, what="nothing in flight at the mock")
    wait_for(lambda: set(gauges(gateway).values()) == {0.0}, what=f"gauges at zero: {gauges(gateway)}")
    # On io_uring a worker lends the kernel some dozens for good.
    assert buffers(gateway) <= 80 * workers, "receive buffers given back"
    # Idle upstream connections may stay, at most one for each client there was.
    wait_for(lambda: descriptors() <= before + 12, what="descriptors given back")
    assert gateway.chat().status == 200
