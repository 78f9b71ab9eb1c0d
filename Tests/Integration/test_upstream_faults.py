"""Upstreams that refuse, break off, talk garbage, never end or answer too early (rows UP-01…UP-15): what the client gets, and that no
connection that went wrong is used again."""
import random
import threading
import time

import pytest

from rig import *
from scripted import *


def never_clean(ask) -> int:
    """Asks for something that breaks: a 502 or a reset, never an end that looks whole. Returns the status, 0 for a reset."""
    try:
        answer = ask()
    except Broken as broken:
        assert broken.how == "reset", broken
        return 0
    assert answer.status == 502, (answer.status, answer.body)
    return 502


# ---- connecting

def test_UP_01_refused_connection_is_502(start):
    gateway = start(Gateway, single(f"http://127.0.0.1:{refused_port()}"))
    answer = gateway.chat()
    assert (answer.status, answer.error["code"]) == (502, "upstream_unreachable")
    assert gateway.record(answer.id)["attempts"][0]["class"] == "network"


def test_UP_01_unroutable_address_is_502(start):
    gateway = start(Gateway, single("http://255.255.255.255:9"))
    answer = gateway.chat()
    assert (answer.status, answer.error["code"]) == (502, "upstream_unreachable")


def test_UP_01_black_hole_is_504_within_the_connect_deadline(start):
    gateway = start(Gateway, single(black_hole(), connect_timeout_seconds=0.3))
    begin = time.monotonic()
    answer = gateway.chat()
    assert (answer.status, answer.error["code"]) == (504, "upstream_connect_timeout")
    assert 0.3 <= time.monotonic() - begin < 5


def test_UP_01_the_next_upstream_takes_over(start):
    mock = start(Mock)
    gateway = start(Gateway, {
        "upstreams": {
            "refusing": generic(f"http://127.0.0.1:{refused_port()}"),
            "hanging": generic(black_hole(), connect_timeout_seconds=0.2),
            "good": generic(mock.url),
        },
        "routes": [route("refusing", "hanging", "good", retries={"max_attempts": 4})],
    })
    for stream in (False, True):
        answer = gateway.chat(stream=stream)
        assert (answer.status, answer.header("x-openclaw-upstream"), answer.header("x-openclaw-attempts")) == (200, "good", "4")
        # What could not be reached is tried once more, what hangs never.
        assert [(attempt["class"], attempt["why"]) for attempt in gateway.record(answer.id)["attempts"]] == [
            ("network", "first"), ("network", "retry"), ("timeout", "next_candidate"), (None, "next_candidate")]


def test_UP_02_unknown_name_is_502_and_blocks_nobody(start):
    mock = start(Mock)
    gateway = start(Gateway, {
        "upstreams": {"nowhere": generic("http://no-such-host.invalid:9", connect_timeout_seconds=15), "good": generic(mock.url, models=["good"])},
        "routes": [{**route("nowhere"), "match": {"json_body": {"model": "bad"}}}, route("good")],
    })
    with gateway.connect() as waiting:
        waiting.send("POST", "/v1/chat/completions", {"model": "bad", "messages": []})
        for _ in range(20):
            assert gateway.chat(model="good").status == 200
        answer = waiting.read()
    assert (answer.status, answer.error["code"]) == (502, "upstream_name_not_resolved")


def test_UP_02_a_name_is_resolved(start):
    mock = start(Mock)
    gateway = start(Gateway, single(mock.url.replace("127.0.0.1", "localhost")))
    for _ in range(3):
        assert gateway.chat().status == 200
    assert mock.stats()["connections"]["accepted"] <= 2


# ---- ends before the answer

def close_at_once(peer):
    peer.close()


def reset_after_request(peer):
    peer.request()
    peer.reset()


def close_after_request(peer):
    peer.request()


def half_a_head(peer):
    peer.request()
    peer.send(b"HTTP/1.1 200 OK\r\ncontent-type: appl")


EARLY_ENDS = [close_at_once, reset_after_request, close_after_request, half_a_head]


@pytest.mark.parametrize("script", EARLY_ENDS)
def test_UP_03_end_before_the_answer_is_502_or_goes_elsewhere(start, script):
    bad, good = start(Upstream, script), start(Mock)
    gateway = start(Gateway, {
        "upstreams": {"bad": generic(bad.url), "good": generic(good.url)},
        "routes": [{**route("bad"), "match": {"headers": {"x-only": "bad"}}}, route("bad", "good")],
    })
    answer = gateway.chat([("x-only", "bad")])
    assert (answer.status, answer.error["code"]) == (502, "upstream_connection_lost")
    assert gateway.record(answer.id)["error_class"] == "network"
    for stream in (False, True):
        answer = gateway.chat(stream=stream)
        assert (answer.status, answer.header("x-openclaw-upstream")) == (200, "good")


@pytest.mark.parametrize("script", [reset_after_request, close_after_request, half_a_head])
def test_UP_03_a_post_to_a_plain_backend_is_not_sent_twice(start, script):
    bad, good = start(Upstream, script), start(Upstream, answering(lambda request: answer("fine")))
    gateway = start(Gateway, {
        "upstreams": {"bad": {"type": "http", "base_url": bad.url}, "good": {"type": "http", "base_url": good.url}},
        "routes": [route("bad", "good")],
    })
    got = gateway.ask("POST", "/orders", b"{}")
    assert (got.status, got.error["code"], len(good.requests)) == (502, "upstream_connection_lost", 0)
    assert len(bad.requests) == 1
    for method in ("GET", "PUT", "DELETE", "HEAD", "OPTIONS"):
        got = gateway.ask(method, "/orders")
        assert (got.status, got.header("x-openclaw-upstream")) == (200, "good"), method


def test_UP_03_a_post_that_was_never_sent_goes_elsewhere(start):
    good = start(Upstream, answering(lambda request: answer("fine")))
    gateway = start(Gateway, {
        "upstreams": {"refusing": {"type": "http", "base_url": f"http://127.0.0.1:{refused_port()}"}, "good": {"type": "http", "base_url": good.url}},
        "routes": [route("refusing", "good")],
    })
    assert gateway.ask("POST", "/orders", b"{}").body == b"fine"


# ---- pooled connections

def test_UP_04_stale_pooled_connections_are_never_seen_by_clients(start):
    """The upstream closes each connection some time between at once and a little later, so that closing and reuse race."""
    dice = random.Random(7)

    def script(peer):
        request = peer.request()
        peer.send(answer(request.body))
        time.sleep(dice.choice([0, 0, 0.0002, 0.0005, 0.001, 0.002]))

    upstream = start(Upstream, script)
    gateway = start(Gateway, single(upstream.url))
    with gateway.connect() as client:
        for number in range(400):
            got = client.chat(n=number)
            assert (got.status, got.json()["n"], got.header("x-openclaw-attempts")) == (200, number, "1"), number


def test_UP_04_a_stale_connection_is_retried_once_for_models_and_never_for_posts(start):
    def script(peer):
        """Answers the first request of a connection and ends on the second without a word."""
        peer.send(answer(peer.request().body))
        peer.request()

    upstream = start(Upstream, script)
    gateway = start(Gateway, {
        "upstreams": {"model": generic(upstream.url), "plain": {"type": "http", "base_url": upstream.url}},
        "routes": [{**route("model"), "match": {"path": "/v1/*"}}, route("plain")],
    })
    for number in range(40):
        got = gateway.chat(n=number)
        assert (got.status, got.json()["n"], got.header("x-openclaw-attempts")) == (200, number, "1")
        assert len(gateway.record(got.id)["attempts"]) == 1
    upstream.requests.clear()
    # Requests that may be repeated are; a POST that may have been taken is not.
    assert [gateway.ask("GET", "/x").status for _ in range(6)] == [200] * 6
    upstream.requests.clear()
    statuses = [gateway.ask("POST", "/orders", b"%d" % number).status for number in range(10)]
    bodies = [request.body for request in upstream.requests]
    assert len(bodies) == len(set(bodies)) == 10
    assert set(statuses) == {200, 502}


# ---- garbage

GARBAGE = {
    "status-line": b"HTP/1.1 OK\r\n\r\n",
    "no-version": b"200 OK\r\n\r\n",
    "http-9": b"HTTP/9.9 200 OK\r\n\r\n",
    "status-of-two-digits": b"HTTP/1.1 20 OK\r\ncontent-length: 0\r\n\r\n",
    "status-of-four-digits": b"HTTP/1.1 2000 OK\r\ncontent-length: 0\r\n\r\n",
    "status-zero": b"HTTP/1.1 000 OK\r\ncontent-length: 0\r\n\r\n",
    "nul-in-value": b"HTTP/1.1 200 OK\r\nx: a\x00b\r\ncontent-length: 0\r\n\r\n",
    "cr-in-value": b"HTTP/1.1 200 OK\r\nx: a\rb\r\ncontent-length: 0\r\n\r\n",
    "bare-lf": b"HTTP/1.1 200 OK\ncontent-length: 0\n\n",
    "no-colon": b"HTTP/1.1 200 OK\r\nnonsense\r\ncontent-length: 0\r\n\r\n",
    "space-before-colon": b"HTTP/1.1 200 OK\r\ncontent-length : 0\r\n\r\n",
    "two-lengths": b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nabc",
    "length-list": b"HTTP/1.1 200 OK\r\ncontent-length: 2, 3\r\n\r\nabc",
    "length-negative": b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
    "length-hex": b"HTTP/1.1 200 OK\r\ncontent-length: 0x3\r\n\r\nabc",
    "length-huge": b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999999999999\r\n\r\nabc",
    "length-and-chunked": b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "unknown-coding": b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "chunked-twice": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
    "random": bytes(random.Random(3).randbytes(500)),
    "tls-alert": b"\x15\x03\x03\x00\x02\x02\x28",
    "100-kb-header": b"HTTP/1.1 200 OK\r\nx: " + b"a" * 102400 + b"\r\ncontent-length: 0\r\n\r\n",
    "10000-headers": b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 10000 + b"content-length: 0\r\n\r\n",
    "switching": b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
}


def test_UP_05_UP_07_garbage_is_502_and_its_connection_is_not_used_again(start):
    def script(peer):
        while True:
            request = peer.request()
            kind = request.header("x-kind")
            peer.send(GARBAGE[kind] if kind else answer(completion()))
            if kind and not request.header("x-stay"):
                return

    upstream = start(Upstream, script)
    gateway = start(Gateway, single(upstream.url))
    with gateway.connect() as client:
        for kind, data in GARBAGE.items():
            for extra in ([], [("x-stay", "1")]):
                got = client.chat([("x-kind", kind), *extra])
                # Garbage that ends before it is wrong counts as broken off.
                assert got.status == 502 and got.error["code"] in ("upstream_malformed_answer", "upstream_connection_lost"), (kind, got.status, got.body)
                assert "text/" not in str(got.headers) and data[:40] not in got.body
                bad = upstream.requests[-1].connection
                got = client.chat()
                assert (got.status, got.body) == (200, completion()), kind
                assert upstream.requests[-1].connection != bad, kind


BAD_CHUNKS = [b"zz\r\nabc\r\n", b"+3\r\nabc\r\n", b"0x3\r\nabc\r\n", b"3\r\nabcd\r\n0\r\n\r\n", b"3 \nabc\r\n0\r\n\r\n", b"fffffffffffffffff\r\nabc\r\n", b"-1\r\n\r\n", b"3\nabc\n0\n\n"]


@pytest.mark.parametrize("pause", [0, 0.01])
def test_UP_05_bad_chunks_never_look_like_a_good_end(start, pause):
    def script(peer):
        while True:
            request = peer.request()
            if request.header("x-bad") is None:
                peer.send(answer(completion()))
                continue
            peer.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncontent-type: application/json\r\n\r\n" + (chunk(b"{}") if pause else b""))
            time.sleep(pause)
            peer.send(BAD_CHUNKS[int(request.header("x-bad"))])
            peer.wait_gone()
            return

    upstream = start(Upstream, script)
    gateway = start(Gateway, single(upstream.url))
    for number in range(len(BAD_CHUNKS)):
        never_clean(lambda: gateway.chat([("x-bad", str(number))]))
        assert gateway.chat().status == 200


@pytest.mark.parametrize("framing", ["length", "chunked"])
@pytest.mark.parametrize("how", ["close", "reset"])
def test_UP_06_a_body_cut_short_never_ends_cleanly(start, framing, how):
    def script(peer):
        request = peer.request()
        cut = int(request.header("x-cut"))
        if framing == "length":
            peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n" + b"a" * cut)
        else:
            peer.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + (chunk(b"a" * cut) if cut else b""))
        if request.header("x-later"):
            time.sleep(0.01)
        getattr(peer, how)()

    upstream = start(Upstream, script)
    gateway = start(Gateway, {"upstreams": {"plain": {"type": "http", "base_url": upstream.url}}})
    for cut in (0, 1, 50, 99):
        for later in ([], [("x-later", "1")]):
            never_clean(lambda: gateway.ask("GET", "/", headers=[("x-cut", str(cut)), *later]))


def test_UP_06_bytes_behind_the_body_end_the_connection(start):
    def script(peer):
        while True:
            request = peer.request()
            extra = {"length": b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nstolen"}.get(request.header("x-extra") or "", b"")
            peer.send(answer(b'{"n":%d}' % len(request.body)) + extra)

    upstream = start(Upstream, script)
    gateway = start(Gateway, single(upstream.url))
    for _ in range(20):
        got = gateway.chat([("x-extra", "length")])
        assert got.status == 200 and got.body.startswith(b'{"n":')
        bad = upstream.requests[-1].connection
        got = gateway.chat()
        assert got.status == 200 and b"stolen" not in got.body
        assert upstream.requests[-1].connection != bad


# ---- interim answers, answers without a body

@pytest.mark.parametrize("split", [False, True])
def test_UP_07_some_interim_answers_are_passed_over_and_cost_nothing(start, split):
    """More requests than there are receive buffers: a buffer lost with each would be noticed."""
    def script(peer):
        while True:
            peer.request()
            peer.send(b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n")
            if split:
                time.sleep(0.0005)
            peer.send(answer(completion()))

    upstream = start(Upstream, script)
    gateway = start(Gateway, single(upstream.url) | {"server": {"max_connections": 16}})
    with gateway.connect() as client:
        for number in range(1500 if split else 50):
            got = client.chat()
            assert (got.status, got.body, got.interim) == (200, completion(), []), number


def test_UP_07_a_flood_of_interim_answers_is_502(start):
    mock = start(Mock)
    gateway = start(Gateway, single(mock.url))
    assert gateway.chat([("x-mock-garbage", "flood-1xx")]).status == 502
    assert gateway.chat().status == 200


@pytest.mark.parametrize("status", [204, 304])
def test_UP_07_a_body_where_none_may_be_is_not_forwarded(start, status):
    def script(peer):
        while True:
            request = peer.request()
            if request.header("x-odd"):
                peer.send(b"HTTP/1.1 %d Odd\r\ncontent-length: 5\r\netag: \"a\"\r\n\r\nhello" % status)
            else:
                peer.send(answer("fine"))

    upstream = start(Upstream, script)
    gateway = start(Gateway, {"upstreams": {"plain": {"type": "http", "base_url": upstream.url}}})
    with gateway.connect() as client:
        for _ in range(5):
            got = client.ask("GET", "/", headers=[("x-odd", "1")])
            assert (got.status, got.body) == (status, b"")
            assert client.ask("GET", "/").body == b"fine"


def test_UP_07_answers_without_bodies_keep_their_connections(start):
    def script(peer):
        while True:
            request = peer.request()
            kind = request.target.strip("/")
            peer.send({"204": b"HTTP/1.1 204 No Content\r\n\r\n", "304": b"HTTP/1.1 304 Not Modified\r\netag: \"a\"\r\n\r\n",
                       "head": b"HTTP/1.1 200 OK\r\ncontent-length: 12345\r\n\r\n", "empty": b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"}[kind])

    upstream = start(Upstream, script)
    gateway = start(Gateway, {"upstreams": {"plain": {"type": "http", "base_url": upstream.url}}})
    with gateway.connect() as client:
        for _ in range(3):
            assert client.ask("GET", "/204").status == 204
            assert client.ask("GET", "/304").status == 304
            assert client.ask("GET", "/empty").header("content-length") == "0"
            assert client.ask("HEAD", "/head").header("content-length") == "12345"
    assert upstream.connections == 1


# ---- answers without end

def test_UP_08_an_infinite_body_meets_the_total_deadline(start):
    def script(peer):
        peer.request()
        peer.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        while True:
            peer.send(chunk(b"x" * 4000))
            time.sleep(0.002)

    upstream = start(Upstream, script)
    gateway = start(Gateway, single(upstream.url, timeout_seconds=0.5))
    begin = time.monotonic()
    with pytest.raises(Broken) as broken:
        gateway.chat()
    assert broken.value.how == "reset" and 0.4 < time.monotonic() - begin < 5


def test_UP_08_endless_headers_are_502(start):
    def script(peer):
        peer.request()
        peer.send(b"HTTP/1.1 200 OK\r\n")
        while True:
            peer.send(b"x-endless: " + b"y" * 1000 + b"\r\n")

    gateway = start(Gateway, single(start(Upstream, script).url))
    got = gateway.chat()
    assert (got.status, got.error["code"]) == (502, "upstream_malformed_answer")


def test_UP_08_a_dripping_head_meets_the_first_byte_deadline(start):
    def script(peer):
        peer.request()
        for byte in b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 1000:
            peer.send(bytes([byte]))
            time.sleep(0.02)

    gateway = start(Gateway, single(start(Upstream, script).url, first_byte_timeout_seconds=0.3))
    begin = time.monotonic()
    got = gateway.chat()
    assert (got.status, got.error["code"]) == (504, "upstream_timeout") and time.monotonic() - begin < 5


def test_UP_08_a_dripping_stream_meets_the_total_deadline(start):
    def script(peer):
        peer.request()
        peer.send(STREAM_HEAD)
        while True:
            peer.send(chunk(delta(content="x")))
            time.sleep(0.02)

    gateway = start(Gateway, single(start(Upstream, script).url, timeout_seconds=0.4, idle_stream_timeout_seconds=5))
    got = gateway.chat(stream=True)
    assert got.status == 200 and got.events[-1]["error"]["code"] == "upstream_timeout" and "[DONE]" not in got.events


# ---- encodings, redirects, pacing

def test_UP_09_encoded_answers_pass_untouched(start):
    import gzip
    packed = gzip.compress(b"0" * 1_000_000)
    upstream = start(Upstream, answering(lambda request: answer(packed, headers=[("content-encoding", "gzip")])))
    gateway = start(Gateway, single(upstream.url))
    got = gateway.chat([("accept-encoding", "gzip, br")])
    assert (got.body, got.header("content-encoding")) == (packed, "gzip")
    # A model's answer is read along: it is asked for as it is.
    assert upstream.requests[0].header("accept-encoding") is None


@pytest.mark.parametrize("target", ["http://other.test/steal", "file:///etc/passwd", "http://169.254.169.254/latest/"])
def test_UP_10_redirects_are_returned_and_not_followed(start, target):
    upstream = start(Upstream, answering(lambda request: answer("", 307, "Temporary Redirect", headers=[("location", target)])))
    gateway = start(Gateway, single(upstream.url, api_key="sk-secret"))
    got = gateway.chat()
    assert (got.status, got.header("location"), len(upstream.requests)) == (307, target, 1)


@pytest.mark.parametrize("value", ["3", "Wed, 21 Oct 2026 07:28:00 GMT", "-5", "1000000000", "soon", "1.5"])
@pytest.mark.parametrize("status", [429, 503])
def test_UP_11_retry_after_reaches_the_client(start, status, value):
    upstream = start(Upstream, answering(lambda request: answer('{"error":{"message":"later"}}', status, "Later", headers=[("retry-after", value)])))
    gateway = start(Gateway, single(upstream.url))
    got = gateway.chat()
    assert (got.status, got.header("retry-after"), got.error["message"]) == (status, value, "later")
    assert gateway.record(got.id)["error_class"] == {429: "rate_limited", 503: "overloaded"}[status]


@pytest.mark.parametrize("closes", [True, False])
def test_UP_12_an_early_answer_is_relayed_and_the_upload_stops(start, closes):
    def script(peer):
        peer.head()
        peer.pending = b""
        peer.send(answer('{"error":{"message":"too much"}}', 413, "Content Too Large"))
        # What the gateway still sends is counted; it must stop, and end the connection.
        try:
            if closes:
                peer.half_close()
            peer.wait_gone()
        finally:
            peer.server.taken = len(peer.pending)

    upstream = start(Upstream, script)
    gateway = start(Gateway, single(upstream.url))
    body = b'{"model":"m","messages":[],"x":"' + b"y" * 16_000_000 + b'"}'
    for _ in range(3):
        got = gateway.ask("POST", "/v1/chat/completions", body)
        assert (got.status, got.error["message"]) == (413, "too much")
        wait_for(lambda: hasattr(upstream, "taken"), what="the end of the upload")
        assert upstream.taken < len(body) - 1_000_000
        del upstream.taken


def test_UP_13_keys_cookies_and_client_credentials_stay_apart(start):
    upstream = start(Upstream, answering(lambda request: answer(completion(), headers=[("set-cookie", "session=" + (request.header("authorization") or ""))])))
    gateway = start(Gateway, {
        "upstreams": {"red": generic(upstream.url, api_key="sk-red"), "blue": generic(upstream.url, api_key="sk-blue"), "bare": generic(upstream.url),
                      "azure": generic(upstream.url, api_key="sk-x", headers={"X-Tenant": "blue"})},
        "routes": [{**route(name), "match": {"headers": {"x-to": name}}} for name in ("red", "blue", "bare", "azure")],
    })
    mine = [("authorization", "Bearer sk-client"), ("cookie", "a=b"), ("x-tenant", "mallory")]
    for turn in range(30):
        name = ("red", "blue", "bare", "azure")[turn % 4]
        got = gateway.chat([("x-to", name), *mine])
        assert got.status == 200 and got.header("set-cookie") is None
        seen = upstream.requests[-1]
        wanted = {"red": ["Bearer sk-red"], "blue": ["Bearer sk-blue"], "bare": None, "azure": ["Bearer sk-x"]}[name]
        assert seen.headers.get("authorization") == wanted
        assert seen.headers.get("cookie") is None
        assert seen.headers.get("x-tenant") == (["blue"] if name == "azure" else ["mallory"])
    text = "\n".join(gateway.log.all + gateway.messages.all)
    assert "sk-" not in text


def test_UP_15_all_upstreams_down_fails_fast_and_recovers_at_once(start):
    port = refused_port()
    gateway = start(Gateway, single(f"http://127.0.0.1:{port}"))
    begin = time.monotonic()
    for _ in range(50):
        assert gateway.chat().status == 502
    assert time.monotonic() - begin < 5
    holder = held_socket(port)
    holder.listen(16)

    def serve():
        sock, _ = holder.accept()
        peer = Peer(sock, type("Server", (), {"lock": threading.Lock(), "requests": []})(), 0)
        peer.request()
        peer.send(answer(completion()))
        sock.close()

    threading.Thread(target=serve, daemon=True).start()
    assert gateway.chat().status == 200
