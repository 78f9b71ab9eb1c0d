"""Translated requests against upstreams that answer oddly, late, in pieces or not at all: one answer, one account, an honest end in the client's own
dialect, and no key of anybody's where it does not belong."""
import json
import re
import threading

import pytest

from rig import *
from scripted import *

MESSAGE = [{"role": "user", "content": "hi"}]
SECRET = "upstream-secret-7c1f"


def head(status=200, kind="application/json", *lines):
    return "\r\n".join([f"HTTP/1.1 {status} X", f"content-type: {kind}", *lines]).encode() + b"\r\n"


def whole(body, status=200, kind="application/json", *lines):
    body = body if isinstance(body, bytes) else json.dumps(body).encode()
    return head(status, kind, *lines, f"content-length: {len(body)}") + b"\r\n" + body


def compact(value) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def sse(*events) -> bytes:
    return b"".join((f"event: {e['type']}\n" if "type" in e else "").encode() + b"data: " + json.dumps(e).encode() + b"\n\n" for e in events)


# What each upstream type says: content-type of its stream, the events before the first content, a piece of content, its end, an error; and a whole answer.
def anthropic_start():
    return {"type": "message_start", "message": {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": [], "stop_reason": None,
                                                 "usage": {"input_tokens": 5, "output_tokens": 1}}}


class Anthropic:
    type, stream_type, path = "anthropic", "text/event-stream", "/v1/messages"
    begin = sse(anthropic_start(), {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}})
    end = sse({"type": "content_block_stop", "index": 0}, {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 3}}, {"type": "message_stop"})
    answer = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": [{"type": "text", "text": "hello"}], "stop_reason": "end_turn",
              "usage": {"input_tokens": 5, "output_tokens": 3}}

    @staticmethod
    def content(text):
        return sse({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}})

    @staticmethod
    def error(text):
        return sse({"type": "error", "error": {"type": "overloaded_error", "message": text}})


class Gemini:
    type, stream_type, path = "gemini", "text/event-stream", "/v1beta/models/m:streamGenerateContent?alt=sse"
    begin = b""
    end = sse({"candidates": [{"content": {"role": "model", "parts": [{"text": ""}]}, "finishReason": "STOP", "index": 0}],
               "usageMetadata": {"promptTokenCount": 5, "candidatesTokenCount": 3, "totalTokenCount": 8}})
    answer = {"candidates": [{"content": {"role": "model", "parts": [{"text": "hello"}]}, "finishReason": "STOP", "index": 0}],
              "usageMetadata": {"promptTokenCount": 5, "candidatesTokenCount": 3, "totalTokenCount": 8}}

    @staticmethod
    def content(text):
        return sse({"candidates": [{"content": {"role": "model", "parts": [{"text": text}]}, "index": 0}]})

    @staticmethod
    def error(text):
        return sse({"error": {"code": 503, "message": text, "status": "UNAVAILABLE"}})


class Ollama:
    type, stream_type, path = "ollama", "application/x-ndjson", "/api/chat"
    begin = b""
    end = compact({"model": "m", "created_at": "2024-01-01T00:00:00Z", "message": {"role": "assistant", "content": ""}, "done": True, "done_reason": "stop",
                      "prompt_eval_count": 5, "eval_count": 3}) + b"\n"
    answer = {"model": "m", "created_at": "2024-01-01T00:00:00Z", "message": {"role": "assistant", "content": "hello"}, "done": True, "done_reason": "stop",
              "prompt_eval_count": 5, "eval_count": 3}

    @staticmethod
    def content(text):
        return compact({"model": "m", "created_at": "2024-01-01T00:00:00Z", "message": {"role": "assistant", "content": text}, "done": False}) + b"\n"

    @staticmethod
    def error(text):
        return json.dumps({"error": text}).encode() + b"\n"


class Chat:
    type, stream_type, path = "generic", "text/event-stream", "/v1/chat/completions"
    begin = sse({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [{"index": 0, "delta": {"role": "assistant"}, "finish_reason": None}]})
    end = sse({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}) + b"data: [DONE]\n\n"
    answer = {"id": "c", "object": "chat.completion", "created": 1, "model": "m",
              "choices": [{"index": 0, "message": {"role": "assistant", "content": "hello"}, "finish_reason": "stop"}],
              "usage": {"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8}}

    @staticmethod
    def content(text):
        return sse({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None}]})

    @staticmethod
    def error(text):
        return sse({"error": {"message": text, "type": "server_error", "code": "x"}})


BACKS = {back.type: back for back in (Anthropic, Gemini, Ollama, Chat)}
# Client dialects: path, body and what an error in a stream, and its good end, look like.
FRONTS = {
    "chat": ("/v1/chat/completions", {"model": "m", "messages": MESSAGE, "stream": True}, b'data: {"error":', b"data: [DONE]"),
    "responses": ("/v1/responses", {"model": "m", "input": "hi", "stream": True}, b"event: error", b"response.completed"),
    "messages": ("/v1/messages", {"model": "m", "max_tokens": 50, "messages": MESSAGE, "stream": True}, b"event: error", b"message_stop"),
    "gemini": ("/v1beta/models/m:streamGenerateContent?alt=sse", {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]}, b'"error":', b"finishReason"),
    "ollama": ("/api/chat", {"model": "m", "messages": MESSAGE}, b'"error":', b'"done":true'),
}
PAIRS = [("chat", "anthropic"), ("chat", "gemini"), ("chat", "ollama"), ("messages", "generic"), ("gemini", "generic"), ("ollama", "generic"), ("responses", "anthropic"),
         ("messages", "gemini"), ("gemini", "anthropic"), ("ollama", "anthropic")]
# Both sides speak the same: the bytes pass as they are, and are read along.
NATIVE = [("messages", "anthropic"), ("gemini", "gemini"), ("ollama", "ollama"), ("chat", "generic")]


def foreign(kind, url, **options):
    base = {"generic": "/v1", "anthropic": "", "gemini": "", "ollama": ""}[kind]
    return {"type": kind, "base_url": url + base, "api_key": SECRET, "models": ["m"], **options}


def one(kind, upstream, server=None, **options):
    return {"server": server or {}, "upstreams": {"one": foreign(kind, upstream.url, **options)}}


def scripted(start, answer):
    """An upstream that reads each request and lets `answer(peer, request)` do the rest."""
    def script(peer):
        while True:
            request = peer.request()
            if answer(peer, request) == "end":
                return
    return start(Upstream, script)


def gauge(gateway, name: str) -> int:
    with Client(gateway.admin_port) as client:
        answer = client.ask("GET", "/metrics", None, [("host", "127.0.0.1")])
    assert answer.status == 200, answer.body
    return sum(int(float(line.split()[-1])) for line in answer.body.decode().splitlines() if re.match(name + r"[ {]", line))


def nothing_is_left(gateway):
    for name in ("openclaw_mem_budget_used_bytes", "openclaw_streams_active"):
        wait_for(lambda: gauge(gateway, name) == 0, what=f"{name} to be 0")


# ---- the end of a stream

# Gemini's stream has no last event: what it says after its finish reason is known only when it ends.
@pytest.mark.parametrize("front,kind", [pair for pair in PAIRS if pair[1] != "gemini"])
def test_a_stream_is_whole_at_its_dialects_end_though_the_upstream_stays_open(start, front, kind):
    back, over = BACKS[kind], threading.Event()

    def answer(peer, request):
        peer.send(head(200, back.stream_type, "transfer-encoding: chunked") + b"\r\n" + chunk(back.begin + back.content("hello") + back.end))
        over.wait(DEADLINE)
        return "end"
    upstream = scripted(start, answer)
    gateway = start(Gateway, one(kind, upstream, idle_stream_timeout_seconds=300))
    path, body, _, end = FRONTS[front]
    answer = gateway.ask("POST", path, body, timeout=10)
    over.set()
    assert answer.status == 200 and b"hello" in answer.body and end in answer.body, answer.body
    record = gateway.record(answer.id)
    assert (record["status"], record["attempts"][0]["class"], record["error_code"] if "error_code" in record else None) == (200, None, None)
    nothing_is_left(gateway)


@pytest.mark.parametrize("front,kind", PAIRS + NATIVE)
def test_a_stream_that_breaks_off_ends_with_an_error_of_the_clients_dialect(start, front, kind):
    back = BACKS[kind]
    ends = {"reset": lambda peer: peer.reset(), "stall": lambda peer: peer.wait_gone(), "clean": lambda peer: peer.send(b"0\r\n\r\n"),
            "error": lambda peer: peer.send(chunk(back.error(f"overloaded, key {SECRET}")) + b"0\r\n\r\n")}
    way = []

    def answer(peer, request):
        peer.send(head(200, back.stream_type, "transfer-encoding: chunked") + b"\r\n" + chunk(back.begin + back.content("hello")))
        reached.wait(DEADLINE)
        ends[way[0]](peer)
        return "end"
    upstream = scripted(start, answer)
    gateway = start(Gateway, one(kind, upstream, idle_stream_timeout_seconds=0.5))
    path, body, error, end = FRONTS[front]
    for name in ends:
        way[:], reached = [name], threading.Event()
        with gateway.connect() as client:
            client.send("POST", path, body)
            answer_ = client.read_head()
            client.read_until(answer_, b"hello")
            reached.set()
            while client.read_chunk(answer_):
                pass
        assert answer_.body.count(error) == 1 and end not in answer_.body.split(b"hello", 1)[1], (name, answer_.body)
        assert SECRET.encode() not in answer_.body, (name, answer_.body)
        assert gateway.record(answer_.id)["attempts"][0]["class"] is not None
    nothing_is_left(gateway)


@pytest.mark.parametrize("front,kind", PAIRS)
def test_an_error_before_the_first_content_goes_to_the_next_candidate_in_its_dialect(start, front, kind):
    back = BACKS[kind]

    def failing(peer, request):
        peer.send(head(200, back.stream_type, "transfer-encoding: chunked") + b"\r\n" + chunk(back.begin + back.error("overloaded")) + b"0\r\n\r\n")
    first = scripted(start, failing)
    others = {}
    for name in ("anthropic", "gemini", "ollama", "generic"):
        # The scripted generic upstream speaks chat completions only.
        if name == kind or (front, name) == ("responses", "generic"):
            continue
        other = BACKS[name]
        others[name] = scripted(start, lambda peer, request, other=other: peer.send(
            head(200, other.stream_type, "transfer-encoding: chunked") + b"\r\n" + chunk(other.begin + other.content("second") + other.end) + b"0\r\n\r\n"))
    gateway = start(Gateway, {"upstreams": {"first": foreign(kind, first.url), **{name: foreign(name, other.url) for name, other in others.items()}},
                              "routes": [{**route("first", name), "match": {"headers": {"x-second": name}}} for name in others]})
    path, body, error, end = FRONTS[front]
    for name, other in others.items():
        answer = gateway.ask("POST", path, body, [("x-second", name)])
        assert answer.status == 200 and b"second" in answer.body and end in answer.body and error not in answer.body, (name, answer.body)
        assert (answer.header("x-openclaw-upstream"), answer.header("x-openclaw-attempts")) == (name, "2")
        assert other.requests[-1].target == BACKS[name].path, other.requests[-1].target
        assert [attempt["class"] is None for attempt in gateway.record(answer.id)["attempts"]] == [False, True]
    # Nobody else: the error is the answer, with its status.
    alone = start(Gateway, one(kind, first))
    answer = alone.ask("POST", path, body)
    assert answer.status >= 500 and b"overloaded" in answer.body, (answer.status, answer.body)
    nothing_is_left(gateway)


# ---- large and slow

@pytest.mark.parametrize("front,kind", [("chat", "anthropic"), ("ollama", "generic"), ("gemini", "anthropic"), ("messages", "gemini")])
def test_an_event_of_five_megabytes_goes_through(start, front, kind):
    back, text = BACKS[kind], "x" * (5 << 20)
    data = back.begin + back.content(text) + back.end

    def answer(peer, request):
        peer.send(head(200, back.stream_type, "transfer-encoding: chunked") + b"\r\n" + chunk(data) + b"0\r\n\r\n")
    gateway = start(Gateway, one(kind, scripted(start, answer), server={"max_connections": 64}))
    path, body, error, end = FRONTS[front]
    answer_ = gateway.ask("POST", path, body)
    assert answer_.status == 200 and text.encode() in answer_.body and end in answer_.body, answer_.body[-400:]
    nothing_is_left(gateway)


def test_a_slow_client_pauses_its_translated_upstream(start):
    sent = []

    def answer(peer, request):
        peer.send(head(200, Anthropic.stream_type, "transfer-encoding: chunked") + b"\r\n" + chunk(Anthropic.begin))
        piece = chunk(Anthropic.content("y" * 1000) * 16)
        try:
            for _ in range(4000):
                peer.send(piece)
                sent.append(len(piece))
            peer.send(chunk(Anthropic.end) + b"0\r\n\r\n")
        except Gone:
            pass
        return "end"
    upstream = scripted(start, answer)
    gateway = start(Gateway, one("anthropic", upstream, server={"stream_buffer_kb": 64}))
    with gateway.connect(receive_buffer=8192) as client:
        client.send("POST", *FRONTS["chat"][:2])
        answer_ = client.read_head()
        last = -1
        while last != sum(sent):
            last = sum(sent)
            time.sleep(0.5)
        assert sum(sent) < 24 << 20, "the upstream was not paused"
        client.reset()
    nothing_is_left(gateway)
    assert gateway.alive()


@pytest.mark.parametrize("front,kind", PAIRS + NATIVE)
def test_a_quiet_stream_is_kept_awake_without_harm_and_a_half_closed_client_that_is_gone_is_noticed(start, front, kind):
    back, reached, left = BACKS[kind], threading.Event(), threading.Event()

    def answer(peer, request):
        peer.send(head(200, back.stream_type, "transfer-encoding: chunked") + b"\r\n" + chunk(back.begin + back.content("hello")))
        reached.wait(DEADLINE)
        if len(upstream.requests) == 1:
            peer.send(chunk(back.end) + b"0\r\n\r\n")
        elif peer.wait_gone():
            left.set()
            return "end"
    upstream = scripted(start, answer)
    gateway = start(Gateway, one(kind, upstream, server={"sse_ping_seconds": 0.05}, idle_stream_timeout_seconds=300))
    path, body, error, end = FRONTS[front]
    with gateway.connect() as client:
        client.send("POST", path, body)
        answer_ = client.read_head()
        client.read_until(answer_, b"hello")
        if front != "ollama":
            client.read_chunk(answer_)
        reached.set()
        while client.read_chunk(answer_):
            pass
    assert end in answer_.body and error not in answer_.body, answer_.body
    if front == "ollama":
        assert all(json.loads(line) for line in answer_.body.splitlines() if line)
    client = gateway.connect()
    client.send("POST", path, body)
    client.read_until(client.read_head(), b"hello")
    client.sock.shutdown(socket.SHUT_WR)
    client.reset()
    assert left.wait(DEADLINE), "the upstream is still being read"
    nothing_is_left(gateway)


# ---- candidates

def test_what_was_left_out_for_one_candidate_is_not_said_of_the_next(start):
    bad, good = scripted(start, lambda peer, request: peer.send(whole(b"{}", 500))), scripted(start, lambda peer, request: peer.send(whole(Chat.answer)))
    gateway = start(Gateway, {"upstreams": {"a": foreign("anthropic", bad.url, drop_unsupported=True), "b": foreign("generic", good.url)}, "routes": [route("a", "b")]})
    answer = gateway.chat(logit_bias={"5": 3})
    assert (answer.status, answer.header("x-openclaw-upstream"), answer.header("x-openclaw-dropped")) == (200, "b", None)
    assert "dropped" not in gateway.record(answer.id) and good.requests[0].json()["logit_bias"] == {"5": 3}


def test_a_candidate_that_cannot_express_the_request_counts_as_no_attempt(start):
    first, second = scripted(start, lambda peer, request: peer.send(whole(b"{}", 500))), scripted(start, lambda peer, request: peer.send(whole(Chat.answer)))
    for names, status, attempts, said in (("ab", 200, "1", None), ("a", 400, "0", "logit_bias"), ("ca", 500, "1", None)):
        gateway = start(Gateway, {"upstreams": {"a": foreign("anthropic", first.url), "b": foreign("generic", second.url), "c": foreign("generic", first.url, models=["m"])},
                                  "routes": [{**route(*names), "retries": {"max_attempts": 2}}]})
        answer = gateway.chat(logit_bias={"5": 3})
        assert (answer.status, answer.header("x-openclaw-attempts")) == (status, attempts), (names, answer.body)
        assert status == 200 or answer.error["param"] == said
        assert len(gateway.record(answer.id)["attempts"]) == int(attempts)
        assert not [request for request in first.requests if request.target == "/v1/messages"]
        nothing_is_left(gateway)


# ---- the gateway's plain side

def test_a_plain_api_at_the_same_paths_gets_every_byte(start):
    plain = scripted(start, lambda peer, request: peer.send(whole(b"ok", 200, "text/plain") if request.method != "HEAD" else head(200, "text/plain", "content-length: 2") + b"\r\n"))
    gateway = start(Gateway, {"upstreams": {"plain": {"type": "http", "base_url": plain.url}}})
    for path in ("/api/chat", "/api/generate", "/v1/messages", "/v1/messages/count_tokens?x=1", "/v1beta/models/x:generateContent?alt=sse&key=abc", "/api/tags", "/v1beta/models"):
        for method, body in (("POST", b"\x00\xff no JSON"), ("GET", None), ("HEAD", None)):
            answer = gateway.ask(method, path, body, [("x-api-key", "mine"), ("accept-encoding", "gzip")])
            request = plain.requests[-1]
            assert (request.method, request.target, request.body) == (method, path, body or b"")
            assert request.header("x-api-key") == "mine" and request.header("accept-encoding") == "gzip"
            assert answer.status == 200 and answer.header("x-openclaw-model") is None
            assert gateway.record(answer.id)["model_requested"] is None


# ---- plain answers that are none

ODD = {
    "an empty body": whole(b""),
    "204": b"HTTP/1.1 204 X\r\n\r\n",
    "a redirect": whole(b"", 302, "text/html", "location: http://10.1.2.3/internal"),
    "half an answer": whole(b'{"id":"x","content":[{"type":"te'),
    "another type": whole(b"<html>hi</html>", 200, "text/html"),
    "gzip": whole(b"\x1f\x8b\x08\x00\x00\x00", 200, "application/json", "content-encoding: gzip"),
    "no JSON object": whole(b"[1,2]"),
}


@pytest.mark.parametrize("stream", [False, True])
def test_a_plain_answer_that_is_none_is_a_502(start, stream):
    current = []

    def answer(peer, request):
        peer.send(current[0])
    upstream = scripted(start, answer)
    gateway = start(Gateway, one("anthropic", upstream))
    for name, text in ODD.items():
        current[:] = [text]
        answer_ = gateway.chat(stream=stream)
        assert answer_.status == 502 and answer_.error["message"], (name, answer_.status, answer_.body)
        assert b"10.1.2.3" not in answer_.body and answer_.header("location") is None
        assert (answer_.header("x-openclaw-upstream"), answer_.header("x-openclaw-attempts")) == ("one", "1"), name
        record = gateway.record(answer_.id)
        assert record["status"] == 502 and len(record["attempts"]) == 1, name
    nothing_is_left(gateway)


@pytest.mark.parametrize("front,kind", PAIRS)
def test_a_whole_answer_to_a_request_for_a_stream_becomes_a_stream(start, front, kind):
    back = BACKS[kind]
    upstream = scripted(start, lambda peer, request: peer.send(whole(back.answer)))
    gateway = start(Gateway, one(kind, upstream))
    path, body, error, end = FRONTS[front]
    answer = gateway.ask("POST", path, body)
    assert answer.status == 200 and b"hello" in answer.body and end in answer.body and error not in answer.body, answer.body
    nothing_is_left(gateway)


# ---- errors

ERRORS = {
    "no body": (401, b"", "text/plain"),
    "text": (400, b"bad \xff\xfe thing", "text/plain"),
    "another shape": (422, b'{"detail":[{"msg":"no"}]}', "application/json"),
    "its key": (401, json.dumps({"error": {"message": f"Incorrect API key provided: {SECRET}.", "type": "invalid_request_error", "code": "invalid_api_key", "param": None}}).encode(), "application/json"),
    "too much": (400, b'{"error":{"message":"' + b"x" * (2 << 20) + b'"}}', "application/json"),
    "html": (503, b"<html><h1>503</h1></html>", "text/html"),
}


@pytest.mark.parametrize("kind", ["anthropic", "generic"])
@pytest.mark.parametrize("front", list(FRONTS))
def test_an_upstreams_error_reaches_each_client_as_json_without_the_gateways_key(start, front, kind):
    current = []
    upstream = scripted(start, lambda peer, request: peer.send(whole(current[0][1], current[0][0], current[0][2])))
    gateway = start(Gateway, one(kind, upstream, server={"max_answer_mb": 1}))
    path, body, _, _ = FRONTS[front]
    for name, given in ERRORS.items():
        current[:] = [given]
        answer = gateway.ask("POST", path, body)
        assert answer.status >= 400 and SECRET.encode() not in answer.body, (name, answer.body)
        if answer.header("content-type").startswith("application/json"):
            assert answer.json(), name
        else:
            assert answer.body == given[1], (name, answer.body)
        assert gateway.record(answer.id)["status"] == answer.status, name
        assert (answer.header("x-openclaw-upstream"), answer.header("x-openclaw-attempts")) == ("one", "1"), name
    nothing_is_left(gateway)


# ---- credentials

@pytest.mark.parametrize("kind", list(BACKS))
@pytest.mark.parametrize("front", list(FRONTS))
def test_no_key_of_the_clients_goes_upstream(start, front, kind):
    back = BACKS[kind]
    upstream = scripted(start, lambda peer, request: peer.send(whole(back.answer)))
    gateway = start(Gateway, one(kind, upstream))
    path, body, _, _ = FRONTS[front]
    mine = "client-secret-91aa"
    path += ("&" if "?" in path else "?") + f"key={mine}"
    for name in ("authorization", "x-api-key", "api-key", "x-goog-api-key"):
        gateway.ask("POST", path, body, [(name, f"Bearer {mine}" if name == "authorization" else mine)])
        request = upstream.requests[-1]
        assert mine.encode() not in request.head and mine.encode() not in request.body, request.head
        assert SECRET.encode() in request.head
