"""Translated requests over every transport, and every way they may end: cut upstreams, clients that leave, a drain, a reload, signed requests. Nothing is
left of any of them, and each has one answer and one account."""
import hashlib
import hmac
import json
import random
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote

import pytest

from h2peer import Peer as Http2Client
from h2peer import Target
from h2upstream import *
from test_dialect_streams import BACKS, FRONTS, MESSAGE, PAIRS, SECRET, Anthropic, chunk, compact, foreign, gauge, head, nothing_is_left, whole
from test_dialect_streams import one as one_of
from test_tls_upstreams import Proxy
from tlsrig import *


# ---- anywhere

@pytest.mark.parametrize("front,kind", [("chat", "anthropic"), ("messages", "gemini"), ("gemini", "generic"), ("ollama", "generic"), ("messages", "anthropic"), ("ollama", "ollama")])
def test_upstreams_cut_anywhere_and_clients_that_leave_anywhere_leave_nothing(start, front, kind):
    back, chance = BACKS[kind], random.Random(7)
    text = back.begin + b"".join(back.content("word ") for _ in range(12)) + back.end
    answers = [head(200, back.stream_type, "transfer-encoding: chunked") + b"\r\n" + b"".join(chunk(text[at:at + 90]) for at in range(0, len(text), 90)) + b"0\r\n\r\n",
               whole(back.answer), whole(compact({"error": {"message": "no", "type": "x"}}), 400)]

    def script(peer):
        while True:
            peer.request()
            bytes_, cut, ending = plan.pop()
            peer.send(bytes_[:cut])
            if ending == "whole":
                peer.send(bytes_[cut:])
            elif ending == "reset":
                return peer.reset()
            elif ending == "close":
                return
            else:
                peer.wait_gone()
                return
    plan = []
    upstreams = [start(Upstream, script) for _ in range(2)]
    gateway = start(Gateway, {"upstreams": {name: foreign(kind, upstream.url, idle_stream_timeout_seconds=0.3, first_byte_timeout_seconds=0.3)
                                            for name, upstream in zip("ab", upstreams)}, "routes": [route("a", "b")]})
    path, body, error, end = FRONTS[front]
    body = compact(body)
    count = 0
    for round_ in range(60):
        whole_ = answers[round_ % len(answers)]
        ending = ("whole", "reset", "close", "stall")[chance.randrange(4 if round_ % 5 == 0 else 3)]
        # Each cut for the second attempt and the second candidate, too, and for kept connections that turn out dead.
        plan[:] = [(whole_, chance.randrange(len(whole_)), ending) for _ in range(6)]
        leaves = chance.random() < 0.3
        client = gateway.connect()
        try:
            client.send("POST", path, body)
            count += 1
            if leaves:
                client.sock.recv(chance.randrange(1, 400))
                client.reset()
                continue
            answer = client.read()
            good = answer.status == 200 and end.replace(b" ", b"") in answer.body.replace(b" ", b"") and error not in answer.body
            # What looks whole was whole.
            if answer.status == 200 and answer.header("content-type") != "application/json":
                assert good != (error in answer.body), answer.body
        except Broken as broken:
            assert broken.how == "reset" or (kind, front) != ("x", "x"), broken
        finally:
            client.close()
    wait_for(lambda: len(gateway.records()) == count, what=f"{count} records, one for each request")
    attempts = sum(len(record["attempts"]) for record in gateway.records())
    assert gauge(gateway, "openclaw_requests_total") == count
    assert gauge(gateway, "openclaw_upstream_requests_total") == attempts
    nothing_is_left(gateway)


# ---- other transports

def test_an_http2_client_gets_translated_answers_streams_and_errors(start):
    current = []

    def script(peer):
        while True:
            peer.request()
            peer.send(current[0])
    upstream = start(Upstream, script)
    gateway = start(Gateway, one_of("anthropic", upstream))
    big = "z" * (3 << 20)
    answer = {**Anthropic.answer, "content": [{"type": "text", "text": big}]}
    stream = Anthropic.begin + Anthropic.content(big) + Anthropic.end
    cases = [
        ("messages", 200, head(200, "text/event-stream", "transfer-encoding: chunked") + b"\r\n" + chunk(stream) + b"0\r\n\r\n"),
        ("chat", 200, head(200, "text/event-stream", "transfer-encoding: chunked") + b"\r\n" + chunk(stream) + b"0\r\n\r\n"),
        ("chat", 200, whole(answer)),
        ("gemini", 200, whole(answer)),
        ("chat", 429, whole({"type": "error", "error": {"type": "rate_limit_error", "message": "slow down"}}, 429)),
        # Gemini has no 401 for a key.
        ("gemini", 400, whole(b"", 401)),
    ]
    with Http2Client(Target(gateway.port)) as client:
        for front, status, text in cases:
            current[:] = [text]
            path, body, _, end = FRONTS[front]
            id_ = client.open(path, ("content-type", "application/json"), method="POST", end=False)
            got = client.body(id_, compact(body)).answer(id_)
            assert got.status == status, (front, got)
            assert (big.encode() in got.body and end in got.body) if status == 200 else got.body, (front, got)
            assert gateway.record(got.get("x-request-id"))["status"] == status
    with Http2Client(Target(gateway.port)) as client:
        id_ = client.open("/v1/messages/count_tokens", method="POST", end=False)
        current[:] = [whole({"input_tokens": 9})]
        assert client.body(id_, compact({"model": "m", "messages": MESSAGE})).answer(id_).status == 200
    nothing_is_left(gateway)


@pytest.mark.parametrize("clear", [False, True], ids=["tls", "clear"])
def test_an_http2_upstream_is_translated_and_fails_over_in_its_dialect(start, speak, clear):
    def play(session):
        while True:
            call = session.call()
            session.head(call.stream, fields=[("content-type", "text/event-stream")])
            if b'"fail ' in call.body:
                session.data(call.stream, Anthropic.begin + Anthropic.error("overloaded"), end=True)
            else:
                # No END_STREAM behind the last event.
                session.data(call.stream, Anthropic.begin + Anthropic.content("hello") + Anthropic.end)
    first = speak(play, clear=clear)
    second = start(Upstream, lambda peer: (peer.request(), peer.send(head(200, "application/x-ndjson", "transfer-encoding: chunked") + b"\r\n"
                                                                       + chunk(BACKS["ollama"].content("second") + BACKS["ollama"].end) + b"0\r\n\r\n"), peer.wait_gone()))
    config = {**first.config, "type": "anthropic", "base_url": first.url, "api_key": SECRET, "idle_stream_timeout_seconds": 300, "models": ["m"]}
    gateway = start(Gateway, {"upstreams": {"first": config, "second": foreign("ollama", second.url)}, "routes": [route("first", "second")]})
    good = gateway.chat(stream=True)
    assert good.status == 200 and good.text == "hello" and b"[DONE]" in good.body
    assert first.requests[0].path == "/v1/messages" and dict(first.requests[0].fields)["x-api-key"] == SECRET
    other = gateway.chat(stream=True, messages=[{"role": "user", "content": "fail " + "x" * 200_000}])
    assert other.text == "second" and second.requests[0].target == "/api/chat" and len(second.requests[0].body) > 200_000
    nothing_is_left(gateway)


@pytest.mark.parametrize("kind", list(BACKS))
def test_translated_requests_go_through_an_egress_proxy(start, kind):
    back = BACKS[kind]
    proxy = start(Proxy)

    def script(peer):
        request = peer.request()
        if b'"stream":true' in request.body or "stream" in request.target:
            peer.send(head(200, back.stream_type, "connection: close") + b"\r\n" + back.begin + back.content("hello") + back.end)
        else:
            peer.send(whole(back.answer, 200, "application/json", "connection: close"))
    upstream = start(Upstream, script)
    gateway = start(Gateway, one_of(kind, upstream, proxy=f"http://127.0.0.1:{proxy.port}"))
    front = "messages" if kind in ("ollama", "generic") else "chat"
    path, body, error, end = FRONTS[front]
    for stream in (True, False):
        answer = gateway.ask("POST", path, {**body, "stream": stream})
        assert answer.status == 200 and b"hello" in answer.body and error not in answer.body, answer.body
    assert len(proxy.seen) == 2 and upstream.requests[0].target == back.path
    nothing_is_left(gateway)


# ---- drain and reload

@pytest.mark.parametrize("front,kind", [("chat", "anthropic"), ("gemini", "generic"), ("ollama", "anthropic")])
def test_a_drain_lets_a_translated_stream_end_and_tells_one_that_does_not(start, front, kind):
    back = BACKS[kind]
    for ends in (True, False):
        going = threading.Event()

        def script(peer):
            peer.request()
            peer.send(head(200, back.stream_type, "transfer-encoding: chunked") + b"\r\n" + chunk(back.begin + back.content("hello")))
            going.wait(DEADLINE)
            if ends:
                peer.send(chunk(back.end) + b"0\r\n\r\n")
            peer.wait_gone()
        upstream = start(Upstream, script)
        gateway = start(Gateway, one_of(kind, upstream, server={"drain_seconds": 20 if ends else 0.5}))
        path, body, error, end = FRONTS[front]
        with gateway.connect() as client:
            client.send("POST", path, body)
            answer = client.read_head()
            client.read_until(answer, b"hello")
            gateway.signal(signal.SIGTERM)
            gateway.messages.wait("drain")
            going.set()
            while client.read_chunk(answer):
                pass
        rest = answer.body.split(b"hello", 1)[1]
        assert (end in rest and error not in rest) if ends else (error in rest and end not in rest), rest


def test_a_reload_in_the_middle_of_a_translated_stream_does_not_touch_it(start):
    going = threading.Event()

    def script(peer):
        peer.request()
        peer.send(head(200, "text/event-stream", "transfer-encoding: chunked") + b"\r\n" + chunk(Anthropic.begin + Anthropic.content("hello")))
        going.wait(DEADLINE)
        peer.send(chunk(Anthropic.content(" there") + Anthropic.end) + b"0\r\n\r\n")
    upstream = start(Upstream, script)
    other = start(Upstream, lambda peer: (peer.request(), peer.send(whole(BACKS["ollama"].answer))))
    gateway = start(Gateway, one_of("anthropic", upstream))
    with gateway.connect() as client:
        client.send("POST", *FRONTS["chat"][:2])
        answer = client.read_head()
        client.read_until(answer, b"hello")
        for _ in range(3):
            gateway.reload(one_of("ollama", other))
        assert gateway.chat().json()["choices"][0]["message"]["content"] == "hello"
        going.set()
        while client.read_chunk(answer):
            pass
    assert answer.text == "hello there"
    nothing_is_left(gateway)


# ---- signed requests

def sign(request, host: str, region: str, secret: str) -> str:
    """Signature Version 4 of a request as it came, by the text of AWS's documentation."""
    authorization = request.header("authorization")
    names = re.search("SignedHeaders=([^,]+)", authorization)[1]
    path, _, query = request.target.partition("?")
    fields = "".join(f"{name}:{host if name == 'host' else request.header(name)}\n" for name in names.split(";"))
    text = "\n".join([request.method, quote(path, safe="/-_.~"), "&".join(sorted(query.split("&"))), fields, names, hashlib.sha256(request.body).hexdigest()])
    date = request.header("x-amz-date")
    scope = f"{date[:8]}/{region}/bedrock/aws4_request"
    key = ("AWS4" + secret).encode()
    for part in scope.split("/"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return hmac.new(key, f"AWS4-HMAC-SHA256\n{date}\n{scope}\n{hashlib.sha256(text.encode()).hexdigest()}".encode(), hashlib.sha256).hexdigest()


CONVERSE = {"output": {"message": {"role": "assistant", "content": [{"text": "hello"}]}}, "stopReason": "end_turn",
            "usage": {"inputTokens": 1, "outputTokens": 1, "totalTokens": 2}}


def bedrock(url: str, region="us-east-1", secret="secret-of-one", **aws):
    return {"type": "bedrock", "base_url": url, "region": region, "aws": {"access_key_id": "AKIDEXAMPLEXYZ", "secret_access_key": secret, **aws} if secret else {}}


def answering_converse(start):
    def script(peer):
        while True:
            peer.request()
            peer.send(whole(CONVERSE))
    return start(Upstream, script)


def test_requests_to_bedrock_are_signed_whatever_the_models_name_and_the_method(start):
    upstream = answering_converse(start)
    gateway = start(Gateway, {"upstreams": {"one": bedrock(upstream.url, session_token="T" * 2500)}})
    host = f"127.0.0.1:{upstream.port}"
    for model in ("anthropic.claude-3-5-sonnet-20241022-v2:0", "arn:aws:bedrock:us-east-1:123:inference-profile/us.x:0", "a b"):
        assert gateway.chat(model=model).status == 200
    # What no dialect is in goes through, signed too.
    assert gateway.ask("GET", "/v1/files?b=2&a=1").status == 200
    for request in upstream.requests:
        assert f"Signature={sign(request, host, 'us-east-1', 'secret-of-one')}" in request.header("authorization"), request.head
        assert len(request.header("x-amz-security-token")) == 2500
    assert upstream.requests[0].target == "/model/anthropic.claude-3-5-sonnet-20241022-v2%3A0/converse"


def test_signing_keys_are_not_mixed_up_over_reloads(start):
    upstream = answering_converse(start)
    host = f"127.0.0.1:{upstream.port}"

    def config(**upstreams):
        return {"upstreams": upstreams, "routes": [{**route(name), "match": {"headers": {"x-to": name}}} for name in upstreams]}
    first = bedrock(upstream.url)
    gateway = start(Gateway, config(a=first))
    moved = bedrock(upstream.url, "eu-west-1")
    for upstreams in ({"a": first}, {"a": moved}, {"a": moved, "b": bedrock(upstream.url, "us-west-2", "secret-of-two")},
                      {"a": bedrock(upstream.url, "eu-west-1", "secret-of-three"), "c": bedrock(upstream.url, "us-east-1", "secret-of-four")}):
        gateway.reload(config(**upstreams))
        for name, settings in list(upstreams.items()) * 2:
            assert gateway.chat([("x-to", name)], model="m").header("x-openclaw-upstream") == name
            request = upstream.requests[-1]
            wanted = sign(request, host, settings["region"], settings["aws"]["secret_access_key"])
            assert f"Signature={wanted}" in request.header("authorization"), (name, upstreams)


def test_credentials_of_a_container_are_there_soon_after_the_start(start):
    upstream = answering_converse(start)
    asked = start(Upstream, lambda peer: (peer.request(), peer.send(whole(
        {"AccessKeyId": "AKIDCONTAINERXX", "SecretAccessKey": "secret-of-container", "Token": "tok", "Expiration": "2099-01-01T00:00:00Z"}))))
    begin = time.monotonic()
    gateway = start(Gateway, {"upstreams": {"one": bedrock(upstream.url, secret=None)}},
                    environment={"AWS_CONTAINER_CREDENTIALS_FULL_URI": asked.url + "/creds", "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent", "AWS_CONFIG_FILE": "/nonexistent"})
    wait_for(lambda: asked.requests, what="the credential endpoint asked")
    assert time.monotonic() - begin < 10
    wait_for(lambda: gateway.chat(model="m").status == 200, what="a signed request")
    assert f"Signature={sign(upstream.requests[-1], f'127.0.0.1:{upstream.port}', 'us-east-1', 'secret-of-container')}" in upstream.requests[-1].header("authorization")


def test_missing_credentials_are_told_once_and_are_a_503(start):
    upstream = answering_converse(start)
    gateway = start(Gateway, {"upstreams": {"one": bedrock(upstream.url, secret=None)}},
                    environment={"AWS_SHARED_CREDENTIALS_FILE": "/nonexistent", "AWS_CONFIG_FILE": "/nonexistent", "AWS_EC2_METADATA_DISABLED": "true"})
    gateway.messages.wait("upstreams.one.aws: no AWS credentials")
    answer = gateway.chat(model="m")
    assert (answer.status, answer.error["code"]) == (503, "upstream_credentials_missing") and not upstream.requests
