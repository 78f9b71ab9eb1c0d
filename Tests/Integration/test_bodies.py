"""What of a request reaches the upstream: the very bytes, but for the model and the usage option; and the usage event that only the gateway
asked for."""
import itertools
import json
import random
import time

import pytest

from rig import *
from scripted import *

ODD = (b'\r\n {"n" : 12345678901234567890123456789 ,\t"model"%s:  %s , "temperature":1.0e-0,"z":1,"a":2,\n'
       b'  "messages" :[ {"role":"user","content":"\\u00e9\xc3\xa9 \\ud83d\\ude00 \\/ model: \\"gpt\\""} ] , "model_2":"model","seed":-0.0 , "": null }  \r\n')


def recording(start, *names, **options):
    upstream = start(Upstream, answering(lambda request: answer(completion())))
    return upstream, start(Gateway, {"upstreams": {name: generic(upstream.url, **one) for name, one in (options or {"one": {}}).items()},
                                     **({"routes": list(names)} if names else {})})


# ---- splices

@pytest.mark.parametrize("body", [
    ODD % (b" ", b'"m"'),
    ODD % (b"\n", b'"\\u006d"'),
    b'{"model":"m"}',
    b'{"messages":[{"content":"' + b"x" * 100_000 + b'"}],"model":"m"}',
    b'{"model":"m","messages":[],"metadata":{"model":"inner","list":[{"model":"deeper"}]}}',
])
def test_a_body_passes_byte_for_byte_when_nothing_is_to_change(start, body):
    upstream, gateway = recording(start)
    assert gateway.ask("POST", "/v1/chat/completions", body).status == 200
    assert upstream.requests[0].body == body


@pytest.mark.parametrize("asked, sent", [(b'"m"', b'"other/model-1:latest"'), (b'"\\u006d"', b'"other/model-1:latest"')])
@pytest.mark.parametrize("means", ["model_map", "target", "alias"])
def test_only_the_model_is_spliced(start, asked, sent, means):
    other = "other/model-1:latest"
    upstream = start(Upstream, answering(lambda request: answer(completion())))
    one = generic(upstream.url, **({"models": [{"id": other, "alias": "m"}]} if means == "alias" else {}))
    if means == "target":
        routes = [{"strategy": {"upstreams": [{"name": "one", "model": other}]}}]
    else:
        routes = [route("one", **({"model_map": {"m": other}} if means == "model_map" else {}))]
    gateway = start(Gateway, {"upstreams": {"one": one}, "routes": routes})
    for template in (ODD, ODD.replace(b'"model"', b'"mod\\u0065l"')):
        for chunked in (False, True):
            body = template % (b" ", asked)
            if chunked:
                with gateway.connect() as client:
                    client.sock.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n"
                                        + b"".join(chunk(body[at:at + 7]) for at in range(0, len(body), 7)) + LAST_CHUNK)
                    got = client.read("POST")
            else:
                got = gateway.ask("POST", "/v1/chat/completions", body)
            assert got.status == 200 and got.header("x-openclaw-model") == other
            assert upstream.requests[-1].body == template % (b" ", sent)
            assert upstream.requests[-1].header("content-length") == str(len(template % (b" ", sent)))
    record = gateway.record(got.id)
    assert record["model_id"] == other


def test_a_missing_model_is_put_in_by_the_target(start):
    upstream = start(Upstream, answering(lambda request: answer(completion())))
    gateway = start(Gateway, {"upstreams": {"one": generic(upstream.url)}, "routes": [{"strategy": {"upstreams": [{"name": "one", "model": "x"}]}}]})
    for body in (b' { "messages" : [] } ', b"{}", b"{\n}", b'{"a":{}}'):
        assert gateway.ask("POST", "/v1/chat/completions", body).status == 200
        sent = upstream.requests[-1].body
        assert json.loads(sent) == {"model": "x", **json.loads(body)}
        assert sent.replace(b'"model":"x",', b"").replace(b'"model":"x"', b"") == body


def test_each_attempt_of_a_failover_gets_its_own_model(start):
    bad = start(Upstream, answering(lambda request: answer("{}", 500, "No")))
    good = start(Upstream, answering(lambda request: answer(completion())))
    gateway = start(Gateway, {
        "upstreams": {"bad": generic(bad.url, models=[{"id": "bad-id", "alias": "m"}]), "good": generic(good.url, models=[{"id": "a-much-longer-good-id", "alias": "m"}])},
        "routes": [route("bad", "good")],
    })
    assert gateway.ask("POST", "/v1/chat/completions", ODD % (b"", b'"m"')).header("x-openclaw-model") == "a-much-longer-good-id"
    assert bad.requests[0].body == ODD % (b"", b'"bad-id"')
    assert good.requests[0].body == ODD % (b"", b'"a-much-longer-good-id"')


def test_unknown_models_and_missing_ones_are_told(start):
    upstream, gateway = recording(start, one={"models": ["a", "b"]})
    got = gateway.chat(model="c")
    assert (got.status, got.error["code"], got.error["param"]) == (404, "model_not_found", "model")
    got = gateway.ask("POST", "/v1/chat/completions", b'{"messages":[]}')
    assert (got.status, got.error["code"]) == (400, "missing_required_parameter")
    assert upstream.requests == []


# ---- stream_options

STREAM_OPTIONS = [
    # stream_options as asked for, as sent
    (b"", b',"stream_options":{"include_usage":true}'),
    (b',"stream_options":null', b',"stream_options":{"include_usage":true}'),
    (b',"stream_options":{}', b',"stream_options":{"include_usage":true}'),
    (b',"stream_options":{ }', b',"stream_options":{"include_usage":true }'),
    (b',"stream_options": {"include_usage" : false}', b',"stream_options": {"include_usage" : true}'),
    (b',"stream_options":{"x":1}', b',"stream_options":{"include_usage":true,"x":1}'),
    (b',"stream_options":{"include_usage":null,"x":1}', b',"stream_options":{"include_usage":true,"x":1}'),
]


@pytest.mark.parametrize("asked, sent", STREAM_OPTIONS)
def test_usage_is_asked_for_and_hidden_where_the_upstream_says_so(start, asked, sent):
    stream = STREAM_HEAD + b"".join(map(chunk, good_stream(usage=True))) + LAST_CHUNK
    upstream = start(Upstream, answering(lambda request: stream))
    gateway = start(Gateway, single(upstream.url, stream_usage=True, models=[{"id": "longer-name", "alias": "m"}]))
    got = gateway.ask("POST", "/v1/chat/completions", b'{"model":"m","stream":true%s,"n":1}' % asked)
    assert got.body == b"".join(good_stream())
    body = upstream.requests[0].body
    assert json.loads(body) == json.loads(b'{"model":"longer-name","stream":true%s,"n":1}' % sent)
    if asked:
        assert body == b'{"model":"longer-name","stream":true%s,"n":1}' % sent
    record = gateway.record(got.id)
    assert (record["tokens"]["input"], record["tokens"]["output"]) == (7, 3)


def test_usage_is_left_alone_where_it_is_none_of_ours(start):
    stream = STREAM_HEAD + b"".join(map(chunk, good_stream(usage=True))) + LAST_CHUNK
    upstream = start(Upstream, answering(lambda request: stream if b'"stream":true' in request.body else answer(completion())))
    gateway = start(Gateway, {"upstreams": {"one": generic(upstream.url, stream_usage=True), "off": generic(upstream.url)},
                              "routes": [{**route("off"), "match": {"headers": {"x-to": "off"}}}, route("one")]})
    for path, headers, body in [
        ("/v1/chat/completions", [], b'{"model":"m","stream":true,"stream_options":{"include_usage":true}}'),
        ("/v1/chat/completions", [], b'{"model":"m","stream":false}'),
        ("/v1/chat/completions", [], b'{"model":"m"}'),
        ("/v1/responses", [], b'{"model":"m","stream":true}'),
        ("/v1/chat/completions", [("x-to", "off")], b'{"model":"m","stream":true}'),
    ]:
        got = gateway.ask("POST", path, body, headers)
        assert upstream.requests[-1].body == body
        assert got.body == (b"".join(good_stream(usage=True)) if b'"stream":true' in body else completion())


def cuts(total: int, want: int):
    step = max(1, total // want)
    return list(range(1, total, step))


@pytest.mark.parametrize("framing", ["chunk-per-event", "one-chunk", "until-close", "bytes", "pairs"])
def test_the_hidden_usage_event_is_hidden_however_it_is_cut(start, framing):
    """Cut at every byte from the finish event on, in chunks of every shape; the usage must be recorded and no byte of it seen."""
    events = good_stream(usage=True)
    body, clean = b"".join(events), b"".join(good_stream())
    tail = len(body) - len(b"".join(events[3:]))
    where = {"cut": 0}

    def script(peer):
        while True:
            peer.request()
            cut = where["cut"]
            if framing == "until-close":
                peer.send_split(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n" + body[:cut])
                peer.send(body[cut:])
                return
            if framing == "chunk-per-event":
                data = STREAM_HEAD + b"".join(map(chunk, events)) + LAST_CHUNK
                cut = int(cut / len(body) * len(data))
                peer.send_split(data, cut)
            elif framing == "one-chunk":
                data = STREAM_HEAD + chunk(body) + LAST_CHUNK
                peer.send_split(data, len(data) - len(body) + cut - 8)
            elif framing == "pairs":
                peer.send(STREAM_HEAD + chunk(body[:cut]) + chunk(body[cut:]) + LAST_CHUNK)
            else:
                peer.send(STREAM_HEAD + b"".join(chunk(body[at:at + 1]) for at in range(cut)) + chunk(body[cut:]) + LAST_CHUNK)

    gateway = start(Gateway, single(start(Upstream, script).url, stream_usage=True))
    places = range(tail, len(body)) if framing == "pairs" else [tail + at for at in cuts(len(body) - tail, 40)]
    with gateway.connect() as client:
        for place in places:
            where["cut"] = place
            got = client.chat(stream=True)
            assert got.body == clean, place
    record = gateway.record(got.id)
    assert (record["tokens"]["input"], record["tokens"]["output"]) == (7, 3)


@pytest.mark.parametrize("eol", [b"\r\n", b"\r"])
def test_the_hidden_usage_event_is_hidden_with_other_line_ends(start, eol):
    events = [part.replace(b"\n", eol) for part in good_stream(usage=True)]
    clean = b"".join(part.replace(b"\n", eol) for part in good_stream())
    stream = {"bytes": b""}
    gateway = start(Gateway, single(start(Upstream, answering(lambda request: stream["bytes"])).url, stream_usage=True))
    for stream["bytes"] in (STREAM_HEAD + b"".join(map(chunk, events)) + LAST_CHUNK, STREAM_HEAD + chunk(b"".join(events)) + LAST_CHUNK):
        got = gateway.chat(stream=True)
        assert got.body == clean
        assert gateway.record(got.id)["tokens"]["output"] == 3


def test_a_stream_cut_while_usage_is_held_back_ends_honestly(start):
    """The upstream breaks off inside the event that might be hidden: what was held back comes, then the error."""
    events = good_stream(usage=True)
    head = b"".join(events[:4])

    def script(peer):
        peer.request()
        peer.send(STREAM_HEAD + chunk(head) + chunk(events[4][:30]))
        time.sleep(0.005)

    gateway = start(Gateway, single(start(Upstream, script).url, stream_usage=True))
    got = gateway.chat(stream=True)
    last = [block for block in got.body.split(b"\n\n") if block.startswith(b"data: ")][-1]
    assert got.body.startswith(head) and json.loads(last[6:])["error"]["code"] == "upstream_truncated"


# ---- plain answers

@pytest.mark.parametrize("framing", ["content-length", "chunked", "chunks", "until-close", "split"])
def test_usage_of_plain_answers_is_recorded_in_every_framing(start, framing):
    body = json.dumps({"choices": [{"message": {"content": "x" * 5000}, "finish_reason": "stop"}],
                       "usage": {"prompt_tokens": 11, "completion_tokens": 5, "prompt_tokens_details": {"cached_tokens": 4}, "completion_tokens_details": {"reasoning_tokens": 2}}}).encode()
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"

    def script(peer):
        while True:
            peer.request()
            if framing == "content-length":
                peer.send(answer(body))
            elif framing == "split":
                peer.send_split(answer(body), 50, 3000, 5100)
            elif framing == "chunked":
                peer.send(head + b"transfer-encoding: chunked\r\n\r\n" + chunk(body) + LAST_CHUNK)
            elif framing == "chunks":
                peer.send(head + b"transfer-encoding: chunked\r\n\r\n" + b"".join(chunk(body[at:at + 100]) for at in range(0, len(body), 100)) + LAST_CHUNK)
            else:
                peer.send(head + b"\r\n" + body)
                return

    gateway = start(Gateway, single(start(Upstream, script).url))
    got = gateway.chat()
    assert got.body == body
    tokens = gateway.record(got.id)["tokens"]
    assert (tokens["input"], tokens["output"], tokens["cached"], tokens["reasoning"]) == (11, 5, 4, 2)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422, 429, 500, 503])
def test_error_answers_of_the_upstream_pass_as_they_are(start, status):
    body = json.dumps({"error": {"message": "words", "type": "t", "param": None, "code": "c"}}).encode()
    gateway = start(Gateway, single(start(Upstream, answering(lambda request: answer(body, status, "Odd Words"))).url))
    for stream in (False, True):
        got = gateway.chat(stream=stream)
        assert (got.status, got.body) == (status, body)


def test_bodies_of_every_size_pass_both_ways(start):
    upstream = start(Upstream, answering(lambda request: answer(request.body, content_type="application/octet-stream")))
    gateway = start(Gateway, {"upstreams": {"plain": {"type": "http", "base_url": upstream.url}}})
    with gateway.connect() as client:
        for size in [0, 1, 100, 8191, 8192, 8193, 16384, 65535, 65536, 65537, 300_000, 5_000_000]:
            body = random_bytes(size)
            got = client.ask("POST", "/", body)
            assert got.body == body, size
    assert upstream.connections == 1


def random_bytes(size: int) -> bytes:
    return random.Random(size).randbytes(size)
