"""Event streams through the gateway (rows SS-03…SS-14): the commit barrier, honest ends, silence, sizes, usage, pings."""
import json
import re
import threading
import time

import pytest

from rig import *
from scripted import *


def streaming(*parts, then=None, head=STREAM_HEAD):
    """Script of a server that answers every request with these parts of a stream, each written by itself; `then(peer)` ends it,
    without it the stream ends well and the connection stays."""
    def script(peer):
        while True:
            peer.request()
            peer.send(head)
            for part in parts:
                peer.send(chunk(part))
                time.sleep(0.0005)
            if then:
                return then(peer)
            peer.send(LAST_CHUNK)
    return script


def two(first, second, **options) -> dict:
    """A configuration that falls over from the first to the second."""
    return {"upstreams": {"first": generic(first.url, **options), "second": generic(second.url)}, "routes": [route("first", "second")]}


def error_of(answer) -> dict:
    """The error the stream ended with; it may not look like a good end. (An event before it may be torn.)"""
    assert b"[DONE]" not in answer.body and answer.body.endswith(b"\n\n"), answer.body
    return json.loads(answer.body.split(b"\n\n")[-2].removeprefix(b"data: "))["error"]


ENDS = {"reset": lambda peer: peer.reset(), "close": lambda peer: peer.close(), "clean": lambda peer: peer.send(LAST_CHUNK)}


# ---- plain sailing

def test_a_stream_arrives_event_by_event_and_byte_for_byte(start):
    gates = [threading.Event() for _ in range(6)]
    events = good_stream(("a", "b", "c"))

    def script(peer):
        peer.request()
        peer.send(STREAM_HEAD)
        for gate, part in zip(gates, events):
            assert gate.wait(DEADLINE)
            peer.send(chunk(part))
        peer.send(LAST_CHUNK)

    gateway = start(Gateway, single(start(Upstream, script).url))
    with gateway.connect() as client:
        client.send("POST", "/v1/chat/completions", {"model": "m", "stream": True, "messages": []})
        gates[0].set()
        gates[1].set()
        answer = client.read_head()
        seen = b"".join(events[:2])
        client.read_until(answer, events[1])
        for gate, part in zip(gates[2:], events[2:]):
            # Nothing of the next event may be there before the upstream has sent it.
            assert answer.body == seen
            gate.set()
            client.read_until(answer, part)
            seen += part
        assert client.read_chunk(answer) == b""
    assert answer.body == b"".join(events)


@pytest.mark.parametrize("eol", ["lf", "crlf", "cr"])
@pytest.mark.parametrize("split", [1, 7, 100, 0])
def test_SS_01_SS_02_streams_pass_unchanged_however_they_are_cut(start, eol, split):
    mock = start(Mock, tokens=12)
    gateway = start(Gateway, single(mock.url))
    settings = [("x-mock-eol", eol), ("x-mock-comments", "3")] + ([("x-mock-split", str(split))] if split else [])
    with Client(mock.port) as direct:
        mock.reset()
        wanted = direct.chat(settings, stream=True).body
        mock.reset()
    got = gateway.chat(settings, stream=True)
    # The mock numbers and dates its answers.
    numbers = rb'"(id|created)":("[^"]*"|\d+)'
    assert re.sub(numbers, b"", got.body) == re.sub(numbers, b"", wanted)
    record = gateway.record(got.id)
    assert record["finish_reason"] == "stop" and record["disconnected"] is None and record["error_class"] is None


# ---- commit barrier

@pytest.mark.parametrize("how", ENDS)
@pytest.mark.parametrize("sent", [0, 1])
def test_SS_03_an_end_before_the_first_content_goes_elsewhere(start, how, sent):
    """Nothing, or the role delta only, and then the end, twice: the client sees the second upstream alone."""
    first = start(Upstream, streaming(*[ROLE][:sent], then=ENDS[how]))
    second = start(Upstream, streaming(*good_stream()))
    gateway = start(Gateway, two(first, second))
    got = gateway.chat(stream=True)
    assert got.body == b"".join(good_stream())
    assert (got.header("x-openclaw-upstream"), got.header("x-openclaw-attempts")) == ("second", "3")
    record = gateway.record(got.id)
    assert [attempt["class"] for attempt in record["attempts"]] == ["network", "network", None]
    assert record["disconnected"] is None and record["error_class"] is None


IN_BAND = [
    event({"error": {"message": "overloaded", "type": "server_error", "code": None}}),
    b"event: error\ndata: {\"message\":\"overloaded\"}\n\n",
    event({"type": "error", "error": {"type": "overloaded_error", "message": "overloaded"}}),
]
IN_BAND_CLASSES = ["server_error", "server_error", "overloaded"]


@pytest.mark.parametrize("error,known", zip(IN_BAND, IN_BAND_CLASSES))
def test_SS_03_SS_12_an_error_event_before_the_first_content_goes_elsewhere(start, error, known):
    first = start(Upstream, streaming(ROLE, error, DONE))
    second = start(Upstream, streaming(*good_stream()))
    gateway = start(Gateway, two(first, second))
    for _ in range(3):
        got = gateway.chat(stream=True)
        assert got.body == b"".join(good_stream())
    assert [attempt["class"] for attempt in gateway.record(got.id)["attempts"]] == [known, None]


@pytest.mark.parametrize("error,known", zip(IN_BAND, IN_BAND_CLASSES))
def test_SS_12_an_error_event_with_nobody_left_is_told_and_recorded(start, error, known):
    gateway = start(Gateway, single(start(Upstream, streaming(ROLE, error)).url))
    got = gateway.chat(stream=True)
    assert error in got.body and b"[DONE]" not in got.body
    record = gateway.record(got.id)
    assert record["error_class"] == known and [attempt["class"] for attempt in record["attempts"]] == [known]


def test_SS_12_an_error_event_after_content_is_told_without_done(start):
    second = start(Upstream, streaming(*good_stream()))
    gateway = start(Gateway, two(start(Upstream, streaming(ROLE, delta(content="x"), IN_BAND[0])), second))
    got = gateway.chat(stream=True)
    assert got.text == "x" and error_of(got)["message"] == "overloaded"
    assert len(second.requests) == 0
    assert gateway.record(got.id)["error_class"] == "server_error"


def test_SS_03_responses_events_before_content_go_elsewhere_too(start):
    created = b'event: response.created\ndata: {"type":"response.created","response":{"id":"r","status":"in_progress"}}\n\n'
    failed = b'event: response.failed\ndata: {"type":"response.failed","response":{"status":"failed","error":{"code":"server_error","message":"no"}}}\n\n'
    text = b'event: response.output_text.delta\ndata: {"type":"response.output_text.delta","delta":"hi"}\n\n'
    completed = b'event: response.completed\ndata: {"type":"response.completed","response":{"status":"completed","usage":{"input_tokens":5,"output_tokens":2}}}\n\n'
    first, second = start(Upstream, streaming(created, failed)), start(Upstream, streaming(created, text, completed))
    gateway = start(Gateway, two(first, second))
    got = gateway.ask("POST", "/v1/responses", {"model": "m", "input": "hi", "stream": True})
    assert got.body == created + text + completed
    record = gateway.record(got.id)
    assert (record["tokens"]["input"], record["tokens"]["output"], record["finish_reason"]) == (5, 2, "completed")
    # Cut after content: the error is one of this dialect.
    third = start(Upstream, streaming(created, text, then=ENDS["reset"]))
    gateway.reload(single(third.url))
    got = gateway.ask("POST", "/v1/responses", {"model": "m", "input": "hi", "stream": True})
    assert got.events[-1]["type"] == "error" and got.events[-1]["code"] == "upstream_truncated"
    assert b"event: error\n" in got.body


def test_a_preamble_longer_than_the_buffer_commits(start):
    """The barrier is bounded: past `stream_buffer_kb` of nothing but preamble the stream goes out."""
    many = [delta(role="assistant", content="") for _ in range(400)]
    gate = threading.Event()

    def script(peer):
        peer.request()
        peer.send(STREAM_HEAD)
        for part in many:
            peer.send(chunk(part))
        gate.wait(DEADLINE)
        peer.send(chunk(delta(content="x", finish="stop")) + chunk(DONE) + LAST_CHUNK)

    gateway = start(Gateway, single(start(Upstream, script).url) | {"server": {"stream_buffer_kb": 16}})
    with gateway.connect() as client:
        client.send("POST", "/v1/chat/completions", {"model": "m", "stream": True, "messages": []})
        answer = client.read_head()
        gate.set()
        client.read_until(answer, b"[DONE]")
    assert len(answer.events) == 402


# ---- ends after the commit

@pytest.mark.parametrize("how", ["reset", "close", "clean"])
def test_SS_04_SS_05_an_end_after_any_event_is_an_error_event_without_done(start, how):
    """Cut after every number of events from the first content on; a clean end without [DONE] is no good end either, unless the
    finish reason was there already."""
    events = good_stream(("a", "b", "c"), usage=True)
    cut_at = {}

    def script(peer):
        peer.request()
        peer.send(STREAM_HEAD + b"".join(chunk(part) for part in events[:cut_at["events"]]))
        time.sleep(0.001)
        ENDS[how](peer)

    upstream = start(Upstream, script)
    gateway = start(Gateway, single(upstream.url))
    for number in range(2, len(events)):
        cut_at["events"] = number
        got = gateway.chat(stream=True)
        record = gateway.record(got.id)
        assert got.status == 200 and record["disconnected"] == "upstream", number
        assert got.body.startswith(b"".join(events[:number]))
        if how == "clean" and number >= 5:
            assert got.body == b"".join(events[:number]) and record["finish_reason"] == "stop"
        else:
            assert error_of(got)["code"] == "upstream_truncated", number
            assert record["error_class"] == "network", number
        if number == 6:
            # What was said of usage until then counts.
            assert (record["tokens"]["input"], record["tokens"]["output"]) == (7, 3)


@pytest.mark.parametrize("how", ["reset", "close", "stall"])
def test_SS_04_what_happens_behind_done_is_no_error(start, how):
    """The stream was whole; that its framing was not, or that the upstream then hangs, changes nothing."""
    ends = {**ENDS, "stall": lambda peer: peer.wait_gone()}

    def script(peer):
        peer.request()
        peer.send(STREAM_HEAD + b"".join(map(chunk, good_stream())))
        time.sleep(0.005)
        ends[how](peer)

    gateway = start(Gateway, single(start(Upstream, script).url, idle_stream_timeout_seconds=0.2))
    with gateway.connect() as client:
        for _ in range(3):
            got = client.chat(stream=True)
            assert got.body == b"".join(good_stream())
            record = gateway.record(got.id)
            assert record["error_class"] is None and record["disconnected"] is None


@pytest.mark.parametrize("at", [1, 5, 6, 7, 40])
def test_SS_04_an_end_inside_an_event_closes_the_event_first(start, at):
    """The error is an event of its own even when the cut went through the middle of one."""
    torn = delta(content="torn" * 20)
    gateway = start(Gateway, single(start(Upstream, streaming(ROLE, delta(content="x"), torn[:at], then=ENDS["close"])).url))
    got = gateway.chat(stream=True)
    last = [block for block in got.body.split(b"\n\n") if block.startswith(b"data: ")][-1]
    assert json.loads(last[6:])["error"]["code"] == "upstream_truncated"
    assert got.body.endswith(b"}}\n\n")


@pytest.mark.parametrize("framing", ["content-length", "until-close"])
def test_SS_04_other_framings_end_honestly_too(start, framing):
    def script(peer):
        peer.request()
        body = ROLE + delta(content="x")
        peer.send(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n" + (b"content-length: 9999\r\n" if framing == "content-length" else b"") + b"\r\n" + body)

    gateway = start(Gateway, single(start(Upstream, script).url))
    got = gateway.chat(stream=True)
    assert got.text == "x" and error_of(got)["code"] == "upstream_truncated"


def test_SS_05_a_plain_backends_stream_needs_no_done(start):
    """Event streams of other APIs end as they like."""
    upstream = start(Upstream, streaming(b"event: tick\ndata: 1\n\n", b": nothing\n\n", b"data: 2\n\n"))
    gateway = start(Gateway, {"upstreams": {"plain": {"type": "http", "base_url": upstream.url}}})
    got = gateway.ask("GET", "/ticks")
    assert got.body == b"event: tick\ndata: 1\n\n: nothing\n\ndata: 2\n\n"
    assert gateway.record(got.id)["disconnected"] is None


# ---- silence

def test_SS_06_silence_before_content_goes_elsewhere(start):
    first = start(Upstream, streaming(ROLE, then=lambda peer: peer.wait_gone()))
    second = start(Upstream, streaming(*good_stream()))
    gateway = start(Gateway, two(first, second, idle_stream_timeout_seconds=0.2))
    got = gateway.chat(stream=True)
    assert got.body == b"".join(good_stream())
    assert [attempt["class"] for attempt in gateway.record(got.id)["attempts"]] == ["timeout", None]


def test_SS_06_silence_after_content_is_an_error_event(start):
    gone = threading.Event()

    def stall(peer):
        if peer.wait_gone():
            gone.set()

    gateway = start(Gateway, single(start(Upstream, streaming(ROLE, delta(content="x"), then=stall)).url, idle_stream_timeout_seconds=0.3))
    begin = time.monotonic()
    got = gateway.chat(stream=True)
    assert got.text == "x" and error_of(got)["code"] == "upstream_idle_timeout"
    assert 0.3 <= time.monotonic() - begin < 5
    assert gone.wait(DEADLINE), "the upstream connection is ended"
    assert gateway.record(got.id)["error_class"] == "timeout"


def test_SS_06_a_first_byte_that_never_comes_goes_elsewhere(start):
    first = start(Upstream, lambda peer: (peer.request(), peer.wait_gone()))
    second = start(Upstream, streaming(*good_stream()))
    gateway = start(Gateway, two(first, second, first_byte_timeout_seconds=0.2))
    assert gateway.chat(stream=True).body == b"".join(good_stream())
    gateway.reload(single(first.url, first_byte_timeout_seconds=0.2))
    got = gateway.chat(stream=True)
    assert (got.status, got.error["code"]) == (504, "upstream_timeout")


def test_SS_06_pings_keep_a_thinking_stream_awake_between_events_only(start):
    def script(peer):
        peer.request()
        peer.send(STREAM_HEAD + chunk(ROLE) + chunk(delta(content="x")))
        time.sleep(0.5)
        torn = delta(content="torn")
        peer.send(chunk(torn[:10]))
        time.sleep(0.4)
        peer.send(chunk(torn[10:]))
        time.sleep(0.3)
        peer.send(chunk(delta(finish="stop")) + chunk(DONE) + LAST_CHUNK)

    gateway = start(Gateway, single(start(Upstream, script).url) | {"server": {"sse_ping_seconds": 0.1}})
    got = gateway.chat(stream=True)
    assert got.body.count(b": ping\n\n") >= 3
    assert got.body.replace(b": ping\n\n", b"") == ROLE + delta(content="x") + delta(content="torn") + delta(finish="stop") + DONE
    assert got.text == "xtorn"


def test_RT_03_no_sum_of_attempts_exceeds_the_total_deadline(start):
    silent = [start(Upstream, lambda peer: (peer.request(), peer.wait_gone())) for _ in range(3)]
    gateway = start(Gateway, {
        "upstreams": {f"u{n}": generic(one.url, first_byte_timeout_seconds=0.4) for n, one in enumerate(silent)},
        "routes": [route("u0", "u1", "u2", timeout_seconds=0.6)],
    })
    begin = time.monotonic()
    got = gateway.chat()
    assert (got.status, got.error["code"]) == (504, "upstream_timeout")
    # Three attempts of 0.4 s would be 1.2 s; the third is never begun.
    assert 0.55 <= time.monotonic() - begin < 5
    assert [len(one.requests) for one in silent] == [1, 1, 0]


def test_RT_03_a_slow_reader_does_not_stretch_the_total_deadline(start):
    """The client reads nothing: its transfer ends at the deadline all the same, and what it reads later ends honestly."""
    ended = threading.Event()

    def script(peer):
        peer.request()
        try:
            peer.send(STREAM_HEAD + chunk(ROLE))
            while True:
                peer.send(chunk(delta(content="y" * 8000)))
        finally:
            ended.set()

    gateway = start(Gateway, single(start(Upstream, script).url, timeout_seconds=0.6))
    with gateway.connect(receive_buffer=8192) as client:
        client.send("POST", "/v1/chat/completions", {"model": "m", "stream": True})
        assert ended.wait(8), "the upstream connection is ended"
        head = client.read_head()
        last = b""
        while data := client.read_chunk(head):
            last, head.body = data, b""
        assert json.loads(last.split(b"\n\n")[-2].removeprefix(b"data: "))["error"]["code"] == "upstream_timeout"
    assert gateway.record(head.id)["error_class"] == "timeout"


# ---- slow clients, sizes

def test_SS_09_a_slow_client_slows_its_own_upstream_only(start):
    """The upstream can write no more than what the sockets and `stream_buffer_kb` hold; other streams go on; nothing is lost."""
    # More than the kernel lets the four socket buffers on the way grow to (tcp_rmem allows 32 MB).
    total = 64_000_000
    piece = delta(content="y" * 3900)
    written = {"bytes": 0}

    def script(peer):
        peer.request()
        peer.send(STREAM_HEAD + chunk(ROLE))
        while written["bytes"] < total:
            peer.send(chunk(piece))
            written["bytes"] += len(piece)
        peer.send(chunk(delta(finish="stop")) + chunk(DONE) + LAST_CHUNK)

    upstream, mock = start(Upstream, script), start(Mock)
    gateway = start(Gateway, {"upstreams": {"big": generic(upstream.url, models=["big"], timeout_seconds=120), "good": generic(mock.url)},
                              "routes": [{**route("big"), "match": {"json_body": {"model": "big"}}}, route("good")]})

    def memory() -> int:
        with open(f"/proc/{gateway.process.pid}/statm") as file:
            return int(file.read().split()[1]) * 4096

    for _ in range(20):
        assert gateway.chat(stream=True).text
    before = memory()
    with gateway.connect(receive_buffer=8192) as client:
        client.send("POST", "/v1/chat/completions", {"model": "big", "stream": True, "messages": []})
        last = -1
        while last != written["bytes"]:
            last = written["bytes"]
            for _ in range(20):
                assert gateway.chat(stream=True).text
            time.sleep(0.2)
        assert memory() - before < 8_000_000, "what the client does not take stays in the sockets"
        assert written["bytes"] < total - 20_000_000, f"the upstream was paused after {written} of {total}"
        answer = client.read_head()
        size = 0
        while data := client.read_chunk(answer):
            size += len(data)
            last = data if len(data) > 20 else last + data if isinstance(last, bytes) else data
            answer.body = answer.body[-64:]
    assert size == len(ROLE) + (total + len(piece) - 1) // len(piece) * len(piece) + len(delta(finish="stop")) + len(DONE)


def test_SS_10_an_event_of_ten_megabytes_passes(start):
    big = delta(content="z" * 10_000_000)
    body = ROLE + big + delta(content="end", finish="stop") + usage_event() + DONE

    def script(peer):
        while True:
            peer.request()
            peer.send(STREAM_HEAD)
            for at in range(0, len(body), 60000):
                peer.send(chunk(body[at:at + 60000]))
            peer.send(LAST_CHUNK)

    gateway = start(Gateway, single(start(Upstream, script).url))
    got = gateway.chat(stream=True)
    assert got.body == body
    assert gateway.record(got.id)["tokens"]["output"] == 3


def test_SS_10_a_hundred_thousand_tiny_events_pass(start):
    tiny = event({"choices": [{"delta": {"content": "."}}]})
    body = ROLE + tiny * 100_000 + delta(finish="stop") + DONE

    def script(peer):
        peer.request()
        peer.send(STREAM_HEAD)
        for at in range(0, len(body), 8000):
            peer.send(chunk(body[at:at + 8000]))
        peer.send(LAST_CHUNK)

    gateway = start(Gateway, single(start(Upstream, script).url))
    assert gateway.chat(stream=True).body == body


# ---- usage

USAGE = [
    # what the upstream says, what is recorded as (input, output)
    ([{"prompt_tokens": 7, "completion_tokens": 3}], (7, 3)),
    ([], (None, None)),
    ([{"prompt_tokens": 7, "completion_tokens": 3}, {"prompt_tokens": 8, "completion_tokens": 4}], (8, 4)),
    ([{"prompt_tokens": -7, "completion_tokens": 3}], (0, 3)),
    ([{"prompt_tokens": 7.9, "completion_tokens": 3}], (7, 3)),
    ([{"prompt_tokens": "7", "completion_tokens": 3}], (None, 3)),
    ([{"prompt_tokens": None, "completion_tokens": 3}], (None, 3)),
    ([{"prompt_tokens": [7], "completion_tokens": {"a": 1}}], (None, None)),
]


@pytest.mark.parametrize("said, recorded", USAGE)
def test_SS_11_usage_of_any_shape_is_recorded_or_passed_over(start, said, recorded):
    events = [ROLE, delta(content="x"), delta(finish="stop"), *(usage_event(**one) for one in said), DONE]
    gateway = start(Gateway, single(start(Upstream, streaming(*events)).url))
    got = gateway.chat(stream=True)
    assert got.body == b"".join(events)
    tokens = gateway.record(got.id)["tokens"]
    assert (tokens["input"], tokens["output"]) == recorded


def test_SS_11_usage_that_is_no_number_never_harms(start):
    """Huge, exponent, absent, early, late: the stream passes, the record stays a count or null."""
    values = [b"9223372036854775808", b"1e400", b"-1e400", b"99999999999999999999999999", b"0.0000000001", b"-0", b"9007199254740993"]
    for value in values:
        odd = b'data: {"choices":[],"usage":{"prompt_tokens":' + value + b',"completion_tokens":2}}\n\n'
        for events in ([odd, ROLE, delta(content="x"), delta(finish="stop"), DONE], [ROLE, delta(content="x"), delta(finish="stop"), DONE, odd]):
            with Upstream(streaming(*events)) as upstream:
                gateway = start(Gateway, single(upstream.url)) if value is values[0] and events[0] is odd else gateway
                gateway.reload(single(upstream.url))
                got = gateway.chat(stream=True)
                assert got.body == b"".join(events)
                tokens = gateway.record(got.id)["tokens"]
                assert tokens["input"] is None or isinstance(tokens["input"], int) and 0 <= tokens["input"] < 2 ** 63


# ---- content types that lie

def test_SS_13_json_that_calls_itself_a_stream_is_502_or_goes_elsewhere(start):
    liar = start(Upstream, answering(lambda request: answer(completion(), content_type="text/event-stream")))
    good = start(Upstream, streaming(*good_stream()))
    gateway = start(Gateway, two(liar, good))
    assert gateway.chat(stream=True).body == b"".join(good_stream())
    gateway.reload(single(liar.url))
    got = gateway.chat(stream=True)
    assert (got.status, got.error["code"]) == (502, "upstream_truncated")


def test_SS_13_a_stream_that_calls_itself_json_is_relayed(start):
    body = b"".join(good_stream())
    gateway = start(Gateway, single(start(Upstream, answering(lambda request: answer(body))).url))
    got = gateway.chat(stream=True)
    assert (got.status, got.body, got.header("content-type")) == (200, body, "application/json")


def test_SS_13_an_encoded_stream_is_relayed_untouched(start):
    import gzip
    packed = gzip.compress(b"".join(good_stream()))
    upstream = start(Upstream, answering(lambda request: answer(packed, content_type="text/event-stream", headers=[("content-encoding", "gzip")])))
    gateway = start(Gateway, single(upstream.url))
    got = gateway.chat(stream=True)
    assert (got.body, got.header("content-encoding")) == (packed, "gzip")


def test_SS_13_a_length_too_short_for_the_stream_drops_the_connection(start):
    body = b"".join(good_stream())
    upstream = start(Upstream, answering(lambda request: b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: %d\r\n\r\n%s" % (len(body) - 40, body)))
    gateway = start(Gateway, single(upstream.url))
    got = gateway.chat(stream=True)
    assert error_of(got)["code"] == "upstream_truncated"
    connections = upstream.connections
    gateway.chat(stream=True)
    assert upstream.connections == connections + 1


def test_trailers_of_a_stream_stay_behind(start):
    def script(peer):
        while True:
            peer.request()
            peer.send(STREAM_HEAD + b"".join(map(chunk, good_stream())) + b"0\r\nx-secret: 1\r\nset-cookie: a=b\r\n\r\n")

    upstream = start(Upstream, script)
    gateway = start(Gateway, single(upstream.url))
    with gateway.connect() as client:
        for _ in range(3):
            assert client.chat(stream=True).body == b"".join(good_stream())
    assert upstream.connections == 1
