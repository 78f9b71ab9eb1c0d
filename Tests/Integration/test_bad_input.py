"""Nonsense from clients and from upstreams of every type: a clear error in the client's dialect, counted, with its class in the log, and nobody beside it
notices."""
import json
import struct

import pytest

from providers import *
from rig import *
from scripted import *

PATHS = {"chat": "/v1/chat/completions", "completions": "/v1/completions", "responses": "/v1/responses", "messages": "/v1/messages", "gemini": "/v1beta/models/MODEL:generateContent",
         "ollama": "/api/chat", "generate": "/api/generate"}
DEEP = b'{"model":"MODEL","messages":' + b"[" * 200 + b"]" * 200 + b"}"
# Whoever answers them: these are refused before anybody looks where they go.
BODIES = [
    ("nothing", b""), ("an array", b"[]"), ("a number", b"7"), ("no JSON", b"hello"), ("cut", b'{"model":"MODEL","messages":[{"ro'), ("two values", b'{"model":"MODEL"} {}'),
    ("a trailing comma", b'{"model":"MODEL",}'), ("single quotes", b"{'model':'MODEL'}"), ("a comment", b'{"model":"MODEL"/*x*/}'), ("NaN", b'{"model":"MODEL","temperature":NaN}'),
    ("a leading zero", b'{"model":"MODEL","n":01}'), ("a bare control character", b'{"model":"MODEL","x":"a\nb"}'), ("a lone surrogate's half", b'{"model":"MODEL","x":"\\ud83"}'),
    ("invalid UTF-8", b'{"model":"MODEL","x":"\xff\xfe"}'), ("overlong UTF-8", b'{"model":"MODEL","x":"\xc0\xaf"}'), ("a byte order mark", b'\xef\xbb\xbf{"model":"MODEL"}'),
    ("deep nesting", DEEP), ("a model twice", b'{"model":"MODEL","model":"other","messages":[]}'), ("a model that is a number", b'{"model":5,"messages":[]}'),
    ("an escape that is none", b'{"model":"MODEL","x":"\\q"}'), ("a zero byte", b'{"model":"MODEL"}\x00'),
]
# Well-formed and wrong: refused where they would have to be translated.
WRONG = {
    "chat": [{"messages": 5}, {"messages": [5]}, {"messages": [{"role": "user", "content": 5}]}, {"messages": [{"role": "nobody", "content": "x"}]}, {"messages": [{"content": "x"}]}, {},
             {"messages": HELLO, "temperature": "hot"}, {"messages": HELLO, "max_tokens": "many"}, {"messages": HELLO, "tools": {}}, {"messages": HELLO, "tools": [5]}, {"messages": HELLO, "n": 1.5},
             {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, {"messages": HELLO, "stop": [1]}, {"messages": [{"role": "tool", "content": "x"}]}],
    "completions": [{"prompt": {}}, {}, {"prompt": "x", "max_tokens": []}],
    "responses": [{"input": 5}, {"input": [5]}, {"input": [{"role": 5, "content": "x"}]}, {}, {"input": "x", "tools": 5}, {"input": "x", "max_output_tokens": "x"}],
    "messages": [{"messages": 5, "max_tokens": 5}, {"messages": [5], "max_tokens": 5}, {"max_tokens": 5}, {"messages": HELLO, "max_tokens": "x"}, {"messages": HELLO, "max_tokens": 5, "system": 5},
                 {"messages": [{"role": "user", "content": [{"type": "image", "source": 5}]}], "max_tokens": 5}, {"messages": HELLO, "max_tokens": 5, "tools": [{"name": 5}]},
                 {"messages": [{"role": "user", "content": [{"type": "tool_result"}]}], "max_tokens": 5}, {"messages": HELLO, "max_tokens": 5, "thinking": 5}],
    "gemini": [{"contents": 5}, {"contents": [5]}, {}, {"contents": [{"parts": 5}]}, {"contents": [{"parts": [5]}]}, {"contents": [{"parts": [{"text": 5}]}]},
               {"contents": [{"parts": [{"text": "x"}]}], "generationConfig": 5}, {"contents": [{"parts": [{"text": "x"}]}], "tools": 5}, {"contents": [{"parts": [{"inlineData": 5}]}]}],
    "ollama": [{"messages": 5}, {"messages": [5]}, {"messages": [{"role": "user", "content": 5}]}, {"messages": HELLO, "options": 5}, {"messages": HELLO, "options": {"temperature": "x"}},
               {"messages": HELLO, "format": 5}, {"messages": [{"role": "user", "content": "x", "images": 5}]}, {"messages": HELLO, "tools": 5}],
    "generate": [{"prompt": 5}, {"prompt": "x", "images": [5]}, {"prompt": "x", "system": 5}],
}


@pytest.fixture
def usual_gateway(house):
    world = house.world("usual", answering(usual))
    return house.gateway({"server": {"max_body_mb": 1}, "upstreams": {one: {**upstream(one, world.url), "models": [one]} for one in TYPES}}), world


def counted(gateway: Gateway, status: int) -> int:
    with Client(gateway.admin_port) as client:
        text = client.ask("GET", "/metrics", headers=[("host", "127.0.0.1")]).body.decode()
    return sum(int(float(value)) for value in re.findall(rf'^openclaw_requests_total\{{[^}}]*status="{status}"[^}}]*\}} (\S+)$', text, re.M))


@pytest.mark.parametrize("front", FRONTS)
def test_what_is_not_json_is_refused_in_the_clients_dialect(usual_gateway, front):
    gateway, world = usual_gateway
    before, sent = counted(gateway, 400), len(world.requests)
    refused = 0
    with gateway.connect() as neighbour:
        for kind in ("openai", "anthropic", "gemini", "ollama"):
            for what, body in BODIES:
                if front == "gemini" and what in ("a model twice", "a model that is a number"):
                    continue
                got = gateway.ask("POST", PATHS[front].replace("MODEL", kind), body.replace(b"MODEL", kind.encode()))
                assert got.status == 400, (kind, what, got.status, got.body)
                error_of(front, got.json())
                refused += 1
            assert neighbour.chat(model="openai").status == 200
    assert len(world.requests) == sent + 4
    wait_for(lambda: counted(gateway, 400) == before + refused, what=f"{refused} more requests of status 400")


@pytest.mark.parametrize("front, more", [(front, more) for front, all_ in WRONG.items() for more in all_], ids=[f"{front}-{json.dumps(more)[:60]}" for front, all_ in WRONG.items() for more in all_])
def test_wrong_types_are_refused_where_they_would_be_translated(usual_gateway, front, more):
    gateway, world = usual_gateway
    sent = len(world.requests)
    for kind in ("anthropic", "gemini", "bedrock", "cohere", "ollama", "mistral"):
        if TYPES[kind][0] == {"generate": "ollama"}.get(front, front) and kind != "mistral":
            continue
        body = dict(more) if front == "gemini" else {"model": kind, **more}
        got = gateway.ask("POST", PATHS[front].replace("MODEL", kind), body)
        assert got.status == 400, (kind, got.status, got.body)
        message, _ = error_of(front, got.json())
        # It says which field.
        wanted = [*more, *(key for value in more.values() if isinstance(value, dict) for key in value), *(["messages", "prompt", "input", "contents"] if len(more) < 2 else [])]
        assert any(name in message for name in wanted), message
        assert gateway.record(got.id)["error_class"] == "bad_request"
    assert len(world.requests) == sent


@pytest.mark.parametrize("front", FRONTS)
def test_too_large_a_body_is_refused_in_the_clients_dialect(usual_gateway, front):
    gateway, world = usual_gateway
    path, body = ask_of(front, "anthropic")
    sent = len(world.requests)
    got = gateway.ask("POST", path, json.dumps(body).encode() + b" " * (1 << 20))
    assert got.status == 413 and error_of(front, got.json())
    assert len(world.requests) == sent


@pytest.mark.parametrize("front", FRONTS)
def test_unknown_models_and_missing_ones_are_told_in_the_clients_dialect(usual_gateway, front):
    gateway, _ = usual_gateway
    path, body = ask_of(front, "nobody")
    got = gateway.ask("POST", path, body)
    assert got.status == 404 and "nobody" in error_of(front, got.json())[0]
    if front != "gemini":
        del body["model"]
        got = gateway.ask("POST", path, body)
        assert got.status == 400 and "model" in error_of(front, got.json())[0]


# ---- upstreams ----

GARBAGE = [
    ("nothing", b""), ("no JSON", b"<html>busy</html>"), ("cut JSON", b'{"id":"x","choices":[{"mess'), ("an array", b"[]"), ("another shape", b'{"hello":"world"}'), ("null", b"null"),
    ("invalid UTF-8", b'{"id":"\xff"}'), ("deep", b'{"a":' + b"[" * 600 + b"]" * 600 + b"}"), ("wrong types", b'{"choices":5,"content":5,"candidates":5,"output":5,"message":5,"response":5,"usage":5}'),
]
FOREIGN = [(front, kind) for kind in ("anthropic", "gemini", "bedrock", "cohere", "ollama", "mistral") for front in ("chat", "messages", "gemini", "ollama", "responses") if TYPES[kind][0] != front
           or kind == "mistral"]


# What the dialect has for an upstream that answers nonsense.
BROKEN = {"messages": 500}


def of_case(cases):
    return lambda request: cases[int(request.header("x-case"))]


@pytest.mark.parametrize("front, kind", FOREIGN, ids=[f"{front}-{kind}" for front, kind in FOREIGN])
def test_whole_answers_that_are_none(house, front, kind):
    world = house.world("garbage", answering(of_case([answer(body) for _, body in GARBAGE])))
    gateway = house.gateway({"upstreams": {one: {**upstream(one, world.url), "models": [one]} for one in TYPES}})
    for at, (what, body) in enumerate(GARBAGE):
        path, asked = ask_of(front, kind)
        got = gateway.ask("POST", path, asked, [("x-case", str(at))])
        assert got.status == BROKEN.get(front, 502), (what, got.status, got.body)
        error_of(front, got.json())
        record = gateway.record(got.id)
        assert record["error_class"] == "server_error" and record["attempts"][0]["class"] == "server_error", (what, record)


@pytest.mark.parametrize("front, kind", FOREIGN, ids=[f"{front}-{kind}" for front, kind in FOREIGN])
def test_truncated_answers_go_to_the_next_candidate(house, front, kind):
    dialect = TYPES[kind][0]
    whole = answer(json.dumps(PLAIN[dialect]))

    def script(peer: Peer):
        request = peer.request()
        peer.send(whole[:-10])
        peer.close()

    world, good = house.world(f"truncated-{dialect}", script), house.world("usual", answering(usual))
    gateway = house.gateway({"upstreams": {"bad": upstream(kind, world.url), "good": upstream("openai", good.url)}})
    path, asked = ask_of(front, "m")
    got = gateway.ask("POST", path, asked)
    assert got.status == 200 and got.header("x-openclaw-upstream") == "good", got.body
    assert [attempt["class"] for attempt in gateway.record(got.id)["attempts"]] == ["network", "network", None]


def broken(message: bytes, at: int) -> bytes:
    return message[:at] + bytes([message[at] ^ 1]) + message[at + 1:]


def late(dialect: str) -> list[tuple[str, list[bytes]]]:
    """Streams that begin well and go wrong after their first text: what, and what comes instead of the rest."""
    begun = {"chat": 2, "messages": 4, "gemini": 1, "converse": 2, "cohere": 3, "ollama": 1}[dialect]
    start = STREAMS[dialect][:begun]
    if dialect == "converse":
        rest = [("a bad CRC of the message", [broken(STREAMS[dialect][2], -1)]), ("a bad CRC of the head", [broken(STREAMS[dialect][2], 9)]),
                ("an absurd length", [struct.pack(">II", 1 << 30, 0) + b"1234"]), ("an exception", [frame("throttlingException", {"message": "slow down"}, "exception")]),
                ("a cut frame", [STREAMS[dialect][2][:20]]), ("garbage", [b"\x00" * 40]), ("an event that is no JSON", [frame("contentBlockDelta", "x").replace(b'"x"', b'"x!')])]
    elif dialect == "ollama":
        rest = [("an error", [b'{"error":"it broke"}\n']), ("no JSON", [b"<html>\n"]), ("cut JSON", [b'{"model":"m","mess']), ("nothing more", [])]
    else:
        error = {"chat": {"error": {"message": "it broke", "type": "server_error", "code": None, "param": None}}, "messages": {"type": "error", "error": {"type": "overloaded_error", "message": "it broke"}},
                 "gemini": {"error": {"code": 503, "message": "it broke", "status": "UNAVAILABLE"}}, "cohere": {"type": "error", "message": "it broke"}}[dialect]
        rest = [("no JSON", [b"data: <html>\n\n"]), ("cut JSON", [b'data: {"choices":[{"del']), ("nothing more", [])]
        if dialect != "cohere":
            rest.append(("an error", sse(error, names="type" in error)))
    return [(what, start + pieces) for what, pieces in rest]


STREAM_KINDS = ["openai", "anthropic", "gemini", "bedrock", "cohere", "ollama"]
LATE = {kind: late(TYPES[kind][0]) for kind in STREAM_KINDS}


@pytest.mark.parametrize("front", ["chat", "messages", "gemini", "ollama", "responses"])
@pytest.mark.parametrize("kind", STREAM_KINDS)
def test_streams_that_go_wrong_end_with_the_dialects_error(house, kind, front):
    dialect = TYPES[kind][0]
    world = house.world(f"late-{kind}", answering(of_case([streamed(dialect, pieces) for _, pieces in LATE[kind]])))
    usual_world = house.world("usual", answering(usual))
    gateway = house.gateway({"upstreams": {"u": {**upstream(kind, world.url), "models": ["m"]}, "n": {**upstream("openai", usual_world.url), "models": ["n"]}}})
    for at, (what, _) in enumerate(LATE[kind]):
        path, asked = ask_of(front, "m", True)
        got = gateway.ask("POST", path, asked, [("x-case", str(at))])
        assert got.status == 200 and b"hel" in got.body, (what, got.status, got.body)
        message = stream_error_of(front, got.body)
        passes = dialect == front or (dialect, front) == ("chat", "chat")
        # A line that is no JSON is the client's to stumble over where the bytes pass as they are; no end must follow it all the same.
        assert message or (passes and what == "no JSON"), (what, got.body)
        assert not ends_well(front, got.body), (what, got.body)
        record = gateway.record(got.id)
        assert record["error_class"] is not None and record["disconnected"] in ("upstream", None), (what, record)
        if "error" in what.split() or "exception" in what:
            assert ("it broke" in message or "slow down" in message), (what, message)
        assert gateway.chat(model="n", stream=True).text == "hello"


OUT_OF_ORDER = [
    ("anthropic", "a delta without a block", lambda s: [s[0], s[3], *s[5:]]), ("anthropic", "no start", lambda s: s[1:]), ("anthropic", "two starts", lambda s: [s[0], *s]),
    ("anthropic", "a stop before its block", lambda s: [s[0], s[5], *s[1:]]), ("anthropic", "everything backwards", lambda s: s[::-1]), ("anthropic", "a block that begins twice", lambda s: [*s[:2], *s[1:]]),
    ("bedrock", "no start", lambda s: s[1:]), ("bedrock", "usage first", lambda s: [s[-1], *s[:-1]]), ("bedrock", "everything backwards", lambda s: s[::-1]), ("bedrock", "two stops", lambda s: [*s[:5], *s[4:]]),
    ("cohere", "no start", lambda s: s[1:]), ("cohere", "everything backwards", lambda s: s[::-1]), ("gemini", "the finish first", lambda s: s[::-1]), ("ollama", "the end first", lambda s: s[::-1]),
]


@pytest.mark.parametrize("front", ["chat", "messages", "gemini", "ollama", "responses"])
@pytest.mark.parametrize("at", range(len(OUT_OF_ORDER)), ids=[f"{kind}-{what}" for kind, what, _ in OUT_OF_ORDER])
def test_events_out_of_order_make_no_stream_that_a_client_stumbles_over(house, at, front):
    """Whatever is made of it, the client's own rules hold: JSON in every event, one end or one error."""
    worlds = house.world("disorder", answering(lambda request: (lambda kind, make: streamed(TYPES[kind][0], make(STREAMS[TYPES[kind][0]])))(
        OUT_OF_ORDER[int(request.header("x-case"))][0], OUT_OF_ORDER[int(request.header("x-case"))][2])))
    kind = OUT_OF_ORDER[at][0]
    if TYPES[kind][0] == front:
        pytest.skip("passes as it is")
    gateway = house.gateway({"upstreams": {one: {**upstream(one, worlds.url), "models": [one]} for one in TYPES}})
    path, asked = ask_of(front, kind, True)
    got = gateway.ask("POST", path, asked, [("x-case", str(at))])
    if got.status != 200:
        assert got.status == BROKEN.get(front, 502) and error_of(front, got.json())
        return
    if front == "ollama":
        events = [json.loads(line) for line in got.body.decode().splitlines() if line]
    else:
        events = got.events
        assert all(isinstance(event, dict) or event == "[DONE]" for event in events), got.body
    assert events and ends_well(front, got.body) != bool(stream_error_of(front, got.body)), got.body
    if front == "messages" and not stream_error_of(front, got.body):
        names = [event["type"] for event in events if event["type"] != "ping"]
        assert names[0] == "message_start" and names[-1] == "message_stop" and names.count("message_start") == 1 and names.count("message_stop") == 1, names
        assert names.count("content_block_start") == names.count("content_block_stop")


EARLY = [("an error", {"chat": {"error": {"message": "it broke", "type": "server_error", "code": None, "param": None}}, "messages": {"type": "error", "error": {"type": "overloaded_error", "message": "it broke"}},
                      "gemini": {"error": {"code": 503, "message": "it broke", "status": "UNAVAILABLE"}}})]


@pytest.mark.parametrize("front", ["chat", "messages", "gemini", "ollama"])
@pytest.mark.parametrize("kind", ["openai", "anthropic", "gemini", "bedrock", "ollama"])
def test_an_error_before_the_first_text_is_a_real_status(house, kind, front):
    dialect = TYPES[kind][0]
    pieces = {"converse": [STREAMS["converse"][0], frame("modelStreamErrorException", {"message": "it broke"}, "exception")], "ollama": [b'{"error":"it broke"}\n']}.get(dialect) \
        or [*(STREAMS[dialect][:1] if dialect != "gemini" else []), *sse(EARLY[0][1][dialect], names=dialect == "messages")]
    world = house.world(f"early-{kind}", answering(lambda request: streamed(dialect, pieces)))
    gateway = house.gateway({"upstreams": {"u": upstream(kind, world.url)}})
    path, asked = ask_of(front, "m", True)
    got = gateway.ask("POST", path, asked)
    record = gateway.record(got.id)
    if dialect == front:
        # With nobody else to ask the upstream's own words go through.
        assert got.body == b"".join(pieces) and record["error_class"] == ("overloaded" if kind in ("anthropic", "gemini") else "server_error")
        return
    assert got.status >= 400, (got.status, got.body)
    assert "it broke" in error_of(front, got.json())[0]
    assert record["error_class"] in ("server_error", "overloaded") and record["attempts"][0]["class"] in ("server_error", "overloaded"), record


@pytest.mark.parametrize("front", FRONTS)
@pytest.mark.parametrize("kind", ["openai", "anthropic", "gemini", "bedrock", "cohere", "ollama"])
def test_an_error_inside_a_200(house, kind, front):
    bodies = {"chat": {"error": {"message": "it broke", "type": "server_error", "code": None, "param": None}}, "messages": {"type": "error", "error": {"type": "api_error", "message": "it broke"}},
              "gemini": {"error": {"code": 500, "message": "it broke", "status": "INTERNAL"}}, "converse": {"message": "it broke"}, "cohere": {"message": "it broke"}, "ollama": {"error": "it broke"}}
    dialect = TYPES[kind][0]
    world = house.world(f"inband-{kind}", answering(lambda request: answer(json.dumps(bodies[dialect]))))
    gateway = house.gateway({"upstreams": {"u": upstream(kind, world.url)}})
    path, asked = ask_of(front, "m")
    got = gateway.ask("POST", path, asked)
    if dialect == front or front == "generate" and dialect == "ollama" or dialect == "chat" and front in ("completions", "responses"):
        # The provider's own words pass as they are.
        assert "it broke" in got.body.decode()
        return
    assert got.status >= 400 and error_of(front, got.json()), (got.status, got.body)
    assert gateway.record(got.id)["error_class"] == "server_error"
