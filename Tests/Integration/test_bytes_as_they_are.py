"""Client and upstream speak the same dialect: what the one sends is what the other gets, byte for byte, both ways."""
import json

import pytest

from providers import *
from rig import *
from scripted import *

# front, upstream type and options, the client's path, the path at the upstream
PAIRS = [
    ("chat", "openai", {}, "/v1/chat/completions", "/v1/chat/completions"),
    ("chat", "generic", {"quirks": "vllm"}, "/v1/chat/completions", "/v1/chat/completions"),
    ("chat", "azure", {"base": ""}, "/v1/chat/completions", "/openai/deployments/real-model/chat/completions?api-version=2024-10-21"),
    ("completions", "openai", {}, "/v1/completions", "/v1/completions"),
    ("responses", "openai", {}, "/v1/responses", "/v1/responses"),
    ("responses", "azure", {}, "/v1/responses", "/openai/v1/responses"),
    ("embeddings", "openai", {}, "/v1/embeddings", "/v1/embeddings"),
    ("messages", "anthropic", {}, "/v1/messages", "/v1/messages"),
    ("count", "anthropic", {}, "/v1/messages/count_tokens", "/v1/messages/count_tokens"),
    ("gemini", "gemini", {}, "/v1beta/models/nick:generateContent", "/v1beta/models/real-model:generateContent"),
    ("ollama", "ollama", {}, "/api/chat", "/api/chat"),
    ("generate", "ollama", {}, "/api/generate", "/api/generate"),
    ("embed", "ollama", {}, "/api/embed", "/api/embed"),
]
IDS = [f"{front}-{kind}" + "-".join(options) for front, kind, options, *_ in PAIRS]

ODD = (b'\t{ "zeta" : 12345678901234567890123 ,\r\n  "twice":1,"twice" : [ 2 ] ,"unknown":{"b":1.50e+1,"a":[ ],"":null},\n%s"deep":[[[[{"x":"\\ud83d\\ude00 \\/ \\u00e9 \xc3\xa9"}]]]]'
       b',"float":0.1000000000000000055511151231257827,"model_" : "model", "nested":{"model":"nick","stream":1}\r\n} \n')
INSIDE = {
    "chat": b'"messages" :[ {"content":"hi","role":"user" , "x-own":-0.0}],"model" : "nick" , ',
    "completions": b'"model":"nick","prompt":[1,2 , 3], "best_of" :1,',
    "responses": b'"input":[{"type":"later_invention","id":98765432109876543210}],"model":  "nick",',
    "embeddings": b'"input":[[1,2],[3]],"model":"nick",',
    "messages": b'"messages":[{"content":[{"type":"future_block","data":1}],"role":"user"}],"max_tokens":5,"model":"nick",',
    "count": b'"messages":[],"model":"nick",',
    "gemini": b'"contents":[{"parts":[{"futurePart":{"a":1}}]}],"safety_settings":[],"model":"nick",',
    "ollama": b'"messages":[],"model":"nick","stream" : false,"options":{"num_ctx":9007199254740993},',
    "generate": b'"prompt":"","model":"nick","stream":false,"context":[1,2],',
    "embed": b'"input":"hi","model":"nick","truncate":true,',
}


def as_sent(front: str, body: bytes) -> bytes:
    """The body with its own `model`, and no other one, replaced; Gemini's has the model in the path."""
    if front == "gemini":
        return body
    at = body.index(b'"nick"')
    return body[:at] + b'"real-model"' + body[at + 6:]


class Said(list):
    """What the upstream says next."""

    def __init__(self):
        super().__init__([b""])

    def stop(self):
        pass


@pytest.fixture
def pair(house):
    """A gateway before an upstream that answers what the test says, and the test's hold on it."""
    said = house.worlds.setdefault("said", Said())
    world = house.world("pair", answering(lambda request: said[0]))

    def get(kind, options, **models):
        own = {**upstream(kind, world.url, **options), "models": [{"id": "real-model", "alias": "nick"}, "same"]}
        return house.gateway({"upstreams": {"one": own}}), world, said

    return get


@pytest.mark.parametrize("front, kind, options, path, target", PAIRS, ids=IDS)
def test_a_request_arrives_as_it_was_sent_but_for_its_model(pair, front, kind, options, path, target):
    gateway, world, said = pair(kind, options)
    said[0] = answer(json.dumps(PLAIN.get(front, PLAIN["chat"])))
    body = ODD % INSIDE[front]
    got = gateway.ask("POST", path, body)
    assert got.status == 200, got.body
    assert world.requests[-1].target == target and world.requests[-1].body == as_sent(front, body)
    # A model that needs no other name leaves nothing to change.
    body = body.replace(b'"nick"', b'"same"')
    got = gateway.ask("POST", path.replace("nick", "same"), body)
    assert got.status == 200 and world.requests[-1].target == target.replace("real-model", "same") and world.requests[-1].body == body


@pytest.mark.parametrize("front, kind, options, path, target", PAIRS, ids=IDS)
def test_an_answer_comes_back_as_it_was(pair, front, kind, options, path, target):
    gateway, world, said = pair(kind, options)
    plain = json.dumps(PLAIN.get(front, {"input_tokens": 42} if front == "count" else {"embeddings": [[1]], "prompt_eval_count": 7}), indent=3)
    body = b" \r\n" + plain[:-1].encode() + b',"big":12345678901234567890123,"twice":1,"twice":2,"e":"\\u00e9\\/\xc3\xa9"\t}\n\n'
    said[0] = answer(body, content_type="application/json; charset=UTF-8", headers=[("x-provider-own", "kept")])
    got = gateway.ask("POST", path, ODD % INSIDE[front])
    assert got.status == 200 and got.body == body
    assert got.header("content-type") == "application/json; charset=UTF-8" and got.header("x-provider-own") == "kept"
    if front in FRONTS:
        tokens = gateway.record(got.id)["tokens"]
        assert (tokens["input"], tokens["output"], tokens["estimated"]) == (7, 3, False)


def crlf(pieces) -> bytes:
    return b"".join(pieces).replace(b"\n", b"\r\n")


def odd_stream(front: str) -> bytes:
    """A stream with all that its framing allows and few send."""
    pieces = STREAMS[front]
    if front in ("ollama", "generate"):
        return b"\n".join([b" \t" + piece.rstrip(b"\n") + b"  \r" for piece in pieces]) + b"\n\n" + b"\n"
    extra = b": a comment\r\n\r\nid: 7\r\nretry: 10\r\n\r\n:\r\n"
    if front == "messages":
        extra += b'event: future_event\r\ndata: {"type":"future_event","big":12345678901234567890123}\r\n\r\n'
    return b": first\r\n\r\n" + crlf(pieces[:1]) + extra + crlf(pieces[1:]) + b": after\r\n\r\n"


STREAMED = [row for row in PAIRS if row[0] in FRONTS]


@pytest.mark.parametrize("size", [1 << 20, 11])
@pytest.mark.parametrize("front, kind, options, path, target", STREAMED, ids=[f"{front}-{kind}" for front, kind, *_ in STREAMED])
def test_a_stream_comes_back_as_it_was_however_it_was_cut(pair, front, kind, options, path, target, size):
    gateway, world, said = pair(kind, options)
    whole = odd_stream(front)
    said[0] = streamed(front, [whole[at:at + size] for at in range(0, len(whole), size)], content_type=STREAM_TYPES.get(front, "text/event-stream; charset=utf-8"))
    body = INSIDE[front].replace(b'"stream" : false', b'"stream":true').replace(b'"stream":false', b'"stream":true')
    if front != "gemini" and b'"stream"' not in body:
        body += b'"stream" :true,'
    if front in ("chat", "completions"):
        body += b'"stream_options": {  "include_usage" :true, "own":1 },'
    body = ODD % body
    path = path.replace(":generateContent", ":streamGenerateContent?alt=sse")
    got = gateway.ask("POST", path, body)
    assert got.status == 200 and world.requests[-1].body == as_sent(front, body)
    assert got.body == whole
    assert got.header("content-type") == STREAM_TYPES.get(front, "text/event-stream; charset=utf-8")
    record = gateway.record(got.id)
    assert record["stream"] is True and record["disconnected"] is None and record["error_class"] is None, record
    if front != "completions":
        assert (record["tokens"]["input"], record["tokens"]["output"], record["tokens"]["estimated"]) == (7, 3, False), record


@pytest.mark.parametrize("size", [1 << 20, 5])
def test_geminis_array_comes_back_as_it_was(pair, size):
    gateway, world, said = pair("gemini", {})
    values = [piece[6:].strip() for piece in STREAMS["gemini"]]
    whole = b"[" + b"\r\n,\r\n ".join(values) + b"\n]\r\n"
    said[0] = streamed("gemini", [whole[at:at + size] for at in range(0, len(whole), size)], content_type="application/json; charset=UTF-8")
    got = gateway.ask("POST", "/v1beta/models/nick:streamGenerateContent", ODD % INSIDE["gemini"])
    assert got.status == 200 and got.body == whole
    record = gateway.record(got.id)
    assert (record["tokens"]["input"], record["tokens"]["output"]) == (7, 3) and record["error_class"] is None, record
