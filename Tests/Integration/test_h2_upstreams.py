"""Upstreams that speak HTTP/2, over TLS by ALPN and in clear text by configuration: many requests on one connection, its end under way (GOAWAY, REFUSED_STREAM,
resets, death), back-pressure stream by stream, and servers of other people."""
import json
import os
import shutil
import socket
import struct
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor

import hpack
import pytest

from h2upstream import *
from tlsrig import *

BOTH = pytest.mark.parametrize("clear", [False, True], ids=["tls", "clear"])


@pytest.fixture
def speak(start, authority):
    """Starts an upstream whose connections play `play(session)`; gives it back with its part of the configuration."""
    def make(play, settings=(), clear: bool = False, model: bool = True, gives: bool = True, script=None, **options):
        settings_of_tls = None
        if not clear:
            settings_of_tls = authority.context()
            settings_of_tls.set_alpn_protocols(["h2"])
        upstream = start(Upstream, script or speaking(play, settings, gives), context=settings_of_tls)
        upstream.config = {"type": "generic" if model else "http", "base_url": upstream.url + ("/v1" if model else ""), **options}
        if clear:
            upstream.config["protocol"] = "http2"
        else:
            upstream.config["tls"] = {"ca": str(authority.ca)}
        return upstream
    return make


def one(upstream, **sections) -> dict:
    return {"upstreams": {"one": upstream.config}, **sections}


def two(first, second, **sections) -> dict:
    """The second is asked when the first fails."""
    return {"upstreams": {"first": first.config, "second": second.config}, "routes": [route("first", "second")], **sections}


def echo(session: Session, call: Call):
    session.answer(call.stream, call.body or b"{}")


def stream_head(session: Session, call: Call):
    session.head(call.stream, fields=[("content-type", "text/event-stream")])


def good(session: Session, call: Call):
    stream_head(session, call)
    session.data(call.stream, b"".join(good_stream()), end=True)


def many(gateway, count: int, **body) -> list[Client]:
    """So many requests, each on a connection of its own, under way at the same time."""
    clients = [gateway.connect() for _ in range(count)]
    for number, client in enumerate(clients):
        client.send("POST", "/v1/chat/completions", {"model": "m", "user": str(number), **body})
    return clients


def read_all(clients) -> list[Answer]:
    answers = []
    for client in clients:
        with client:
            answers.append(client.read())
    return answers


# ---- plain sailing

@BOTH
def test_fifty_requests_share_one_connection(start, speak, clear):
    def play(session):
        calls = [session.call() for _ in range(50)]
        # All are here before the first is answered, and the last is answered first.
        for call in reversed(calls):
            session.answer(call.stream, call.body)
        session.serve()

    upstream = speak(play, clear=clear)
    gateway = start(Gateway, one(upstream))
    clients = many(gateway, 50, x="y" * 20_000)
    for number, got in enumerate(read_all(clients)):
        assert got.status == 200 and got.json()["user"] == str(number) and len(got.json()["x"]) == 20_000
    assert upstream.connections == 1
    fields = upstream.requests[0].fields
    assert fields[":method"] == "POST" and fields[":path"] == "/v1/chat/completions" and fields[":scheme"] == ("http" if clear else "https")
    assert fields[":authority"].endswith(f":{upstream.port}") and not {"connection", "host", "transfer-encoding", "te"} & set(fields), fields


@BOTH
def test_bodies_beyond_every_window_pass_both_ways(start, speak, clear):
    upstream = speak(answering_calls(echo), clear=clear, settings=[(4, 1000)])
    gateway = start(Gateway, one(upstream))
    body = b'{"model":"m","x":"' + b"z" * 1_000_000 + b'"}'
    with gateway.connect() as client:
        for _ in range(2):
            got = client.ask("POST", "/v1/chat/completions", body)
            assert got.status == 200 and got.body == body
    assert upstream.connections == 1


def test_methods_statuses_and_interim_answers(start, speak):
    def play(session, call):
        if call.path.startswith("/interim"):
            for status in (100, 103):
                session.head(call.stream, status, [("link", "</style.css>; rel=preload")])
        status = int(call.path.rsplit("/", 1)[1])
        if status in (204, 304) or call.fields[":method"] == "HEAD":
            session.head(call.stream, status, [("x-kept", "1")], end=True)
        else:
            session.answer(call.stream, b"abc", status, [("x-kept", "1"), ("set-cookie", "a=b")])

    upstream = speak(answering_calls(play), model=False)
    gateway = start(Gateway, one(upstream))
    with gateway.connect() as client:
        for method, path, status, body in (("GET", "/200", 200, b"abc"), ("HEAD", "/200", 200, b""), ("DELETE", "/204", 204, b""), ("GET", "/304", 304, b""),
                                           ("PUT", "/interim/201", 201, b"abc"), ("OPTIONS", "/interim/404", 404, b"abc"), ("PATCH", "/418", 418, b"abc")):
            got = client.ask(method, path, b"body" if method in ("PUT", "PATCH") else None)
            assert (got.status, got.body, got.header("x-kept")) == (status, body, "1"), (method, path, got.status, got.body)
            call = upstream.requests[-1]
            assert (call.fields[":method"], call.path, call.body) == (method, path, b"body" if method in ("PUT", "PATCH") else b"")
    assert upstream.connections == 1


def test_a_stream_arrives_event_by_event_and_is_counted(start, speak):
    seen = [threading.Event() for _ in range(30)]

    def play(session, call):
        stream_head(session, call)
        session.data(call.stream, ROLE)
        for number, event in enumerate(seen):
            session.data(call.stream, delta(content=f"<{number}>"))
            assert event.wait(DEADLINE)
        session.data(call.stream, delta(finish="stop") + usage_event() + DONE, end=True)

    upstream = speak(answering_calls(play), stream_usage=True)
    gateway = start(Gateway, one(upstream))
    with gateway.connect() as client:
        client.send("POST", "/v1/chat/completions", {"model": "m", "stream": True})
        head = client.read_head()
        for number, event in enumerate(seen):
            client.read_until(head, b"<%d>" % number)
            event.set()
        client.read_until(head, DONE)
        assert client.read_chunk(head) == b"" and b"prompt_tokens" not in head.body
    assert gateway.record(head.id)["tokens"]["output"] == 3


# ---- versions

def protocols():
    """Script of a server that speaks what ALPN chose."""
    def script(peer):
        if peer.sock.selected_alpn_protocol() == "h2":
            answering_calls(lambda session, call: session.answer(call.stream, b"h2"))(Session(peer))
        else:
            answering(lambda request: answer(b"http/1.1"))(peer)
    return script


AGREED = [("auto", ["h2", "http/1.1"], "h2"), ("auto", ["http/1.1"], "http/1.1"), ("auto", [], "http/1.1"), ("http1", ["h2", "http/1.1"], "http/1.1"),
          ("http1", [], "http/1.1"), ("http2", ["h2", "http/1.1"], "h2"), ("http2", ["http/1.1"], None), ("http2", [], None)]


def test_the_version_is_what_was_configured_and_agreed(start, authority):
    upstreams = []
    for _, offered, _ in AGREED:
        settings = authority.context()
        if offered:
            settings.set_alpn_protocols(offered)
        upstreams.append(start(Upstream, protocols(), context=settings))
    gateway = start(Gateway, {
        "upstreams": {f"up{at}": {"type": "http", "base_url": upstream.url, "protocol": AGREED[at][0], "tls": {"ca": str(authority.ca)}} for at, upstream in enumerate(upstreams)},
        "routes": [{"match": {"path": f"/{at}"}, "strategy": {"upstreams": [f"up{at}"]}} for at in range(len(AGREED))]})
    for at, (wanted, offered, said) in enumerate(AGREED):
        for _ in range(2):
            got = gateway.ask("GET", f"/{at}")
            if said:
                assert (got.status, got.body.decode()) == (200, said), (wanted, offered)
            else:
                assert got.status == 502 and got.error["code"] in ("upstream_tls", "upstream_protocol"), (wanted, offered, got.body)
        assert upstreams[at].connections == (1 if said else 2), (wanted, offered)


def test_an_upstream_may_learn_http2_and_forget_it(start, authority):
    """What one handshake agreed on holds for that connection."""
    old, new = authority.context(), authority.context()
    old.set_alpn_protocols(["http/1.1"])
    new.set_alpn_protocols(["h2"])

    def script(peer):
        if peer.sock.selected_alpn_protocol() == "h2":
            session = Session(peer)
            while session.peer.server.context is new:
                call = session.call()
                session.answer(call.stream, b"h2")
            session.go_away(call.stream)
            return
        while True:
            peer.request()
            peer.send(answer(b"http/1.1", headers=[("connection", "close")] if peer.server.context is new else []))
            if peer.server.context is new:
                return

    upstream = start(Upstream, script, context=old)
    gateway = start(Gateway, {"upstreams": {"one": {"type": "http", "base_url": upstream.url, "tls": {"ca": str(authority.ca)}}}})
    with gateway.connect() as client:
        assert [client.ask("GET", "/").body for _ in range(3)] == [b"http/1.1"] * 3 and upstream.connections == 1
        upstream.context = new
        assert client.ask("GET", "/").body == b"http/1.1"
        assert [client.ask("GET", "/").body for _ in range(10)] == [b"h2"] * 10 and upstream.connections == 2
        upstream.context = old
        # The connection that is there may take one more.
        client.ask("GET", "/")
        assert [client.ask("GET", "/").body for _ in range(3)] == [b"http/1.1"] * 3 and upstream.connections == 3


def test_an_upstream_that_speaks_http1_where_http2_was_configured_is_malformed(start):
    upstream = start(Upstream, lambda peer: (peer.receive(), peer.send(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n"), peer.wait_gone()))
    good_one = start(Upstream, canned(completion()))
    gateway = start(Gateway, {"upstreams": {"bad": generic(upstream.url, protocol="http2"), "good": generic(good_one.url)}, "routes": [route("bad", "good")]})
    assert gateway.chat().header("x-openclaw-upstream") == "good"


# ---- limits and ends of connections

@pytest.mark.parametrize("refuses", [False, True], ids=["takes", "refuses"])
def test_no_more_streams_than_the_upstream_allows(start, speak, refuses):
    """A burst over new connections keeps the limit too: nobody is refused who could have waited for the SETTINGS."""
    most = []

    def play(session):
        answered = set()
        while True:
            call = session.call()
            waiting = [one for one in session.calls if one not in answered]
            most.append(len(waiting))
            if refuses and len(waiting) > 5:
                session.reset(call.stream, REFUSED_STREAM)
            else:
                session.answer(call.stream, call.body)
            answered.add(call.stream)

    upstream = speak(play, settings=[(MAX_STREAMS, 5)])
    gateway = start(Gateway, one(upstream))
    for count in (40, 20):
        for number, got in enumerate(read_all(many(gateway, count))):
            assert got.status == 200 and got.json()["user"] == str(number), got.body
    assert max(most) <= 5, most


def test_no_more_connections_than_configured_whoever_waits(start, speak):
    upstream = speak(answering_calls(echo), settings=[(MAX_STREAMS, 2)], max_connections_per_endpoint=2)
    gateway = start(Gateway, one(upstream))
    assert all(got.status == 200 for got in read_all(many(gateway, 40)))
    assert 1 <= upstream.connections <= 2


@BOTH
def test_streams_before_a_goaway_finish_and_those_behind_it_go_elsewhere(start, speak, clear):
    """Of ten requests the first connection takes five; nobody notices."""
    def play(session):
        if session.peer.number > 0:
            return answering_calls(echo)(session)
        calls = [session.call() for _ in range(10)]
        last = calls[4].stream
        session.go_away(last)
        for call in calls[:5]:
            session.answer(call.stream, call.body)
        assert session.peer.wait_gone()

    upstream = speak(play, clear=clear)
    gateway = start(Gateway, one(upstream))
    for number, got in enumerate(read_all(many(gateway, 10))):
        assert got.status == 200 and got.json()["user"] == str(number), got.body
    assert gateway.chat().status == 200 and upstream.connections == 2


def test_a_burst_at_a_server_that_takes_three_requests_a_connection(start, speak):
    def play(session):
        calls = [session.call() for _ in range(1 if session.peer.number == 0 else 3)]
        session.go_away(calls[-1].stream)
        for call in calls:
            session.answer(call.stream, call.body)
        session.serve()

    upstream = speak(play)
    gateway = start(Gateway, one(upstream))
    for number, got in enumerate(read_all(many(gateway, 31))):
        assert got.status == 200 and got.json()["user"] == str(number), got.body
    assert upstream.connections == 11


def test_a_server_that_turns_everybody_away_is_not_asked_for_ever(start, speak):
    def play(session):
        session.call()
        session.go_away(0)
        session.serve()

    upstream = speak(play)
    gateway = start(Gateway, one(upstream))
    assert gateway.chat().status == 503 and upstream.connections == 17


def test_a_goaway_with_nothing_under_way_is_never_seen(start, speak):
    def play(session):
        call = session.call()
        session.answer(call.stream, call.body)
        session.go_away(call.stream)
        session.serve()

    upstream = speak(play)
    gateway = start(Gateway, one(upstream))
    with gateway.connect() as client:
        assert all(client.chat().status == 200 for _ in range(40))
    assert upstream.connections == 40


@pytest.mark.parametrize("first", ["request", "goaway"])
def test_a_goaway_in_the_same_turn_as_a_request(start, speak, first):
    """What has not gone out by then goes to another connection. The gateway is stopped meanwhile, so that it finds both at once."""
    go, gone = threading.Event(), threading.Event()

    def play(session):
        call = session.call()
        session.answer(call.stream, call.body)
        if session.peer.number == 0:
            assert go.wait(DEADLINE)
            session.go_away(call.stream)
            gone.set()
        session.serve()

    upstream = speak(play, model=False)
    gateway = start(Gateway, one(upstream))
    with gateway.connect() as client:
        assert client.ask("POST", "/", b"one").body == b"one"
        gateway.signal(signal.SIGSTOP)
        wait_for(lambda: Path(f"/proc/{gateway.process.pid}/stat").read_text().rsplit(") ", 1)[1][0] in "Tt", what="the gateway to stand still")
        try:
            if first == "request":
                client.send("POST", "/", b"two")
            go.set()
            assert gone.wait(DEADLINE)
            if first == "goaway":
                client.send("POST", "/", b"two")
        finally:
            gateway.signal(signal.SIGCONT)
        assert client.read().body == b"two"
    assert upstream.connections == 2


@pytest.mark.parametrize("model", [True, False], ids=["model", "plain"])
def test_a_refused_stream_goes_to_the_next_candidate(start, speak, model):
    """REFUSED_STREAM says that nothing was done (RFC 9113 §8.7): even a POST that changes things may go elsewhere."""
    first = speak(answering_calls(lambda session, call: session.reset(call.stream, REFUSED_STREAM)), model=model)
    second = speak(answering_calls(echo), model=model)
    gateway = start(Gateway, two(first, second))
    for _ in range(3):
        got = gateway.chat()
        assert (got.status, got.header("x-openclaw-upstream")) == (200, "second")
    # Once more over another connection, which may be another server, before the next candidate.
    assert len(first.requests) == 6 and len(second.requests) == 3
    alone = start(Gateway, one(first))
    got = alone.chat()
    assert got.status in (502, 503) and got.error["type"] == "server_error"


def test_a_reset_before_the_answer_moves_on_and_one_within_it_is_an_error_event(start, speak):
    def play(session, call):
        when, code = json.loads(call.body)["user"].split()
        if when == "late":
            stream_head(session, call)
            session.data(call.stream, ROLE + delta(content="x"))
        session.reset(call.stream, int(code))

    first, second = speak(answering_calls(play)), speak(answering_calls(good))
    gateway = start(Gateway, two(first, second))
    for code in (INTERNAL_ERROR, CANCEL, PROTOCOL_ERROR, ENHANCE_YOUR_CALM):
        got = gateway.chat(stream=True, user=f"early {code}")
        assert got.body == b"".join(good_stream()) and got.header("x-openclaw-upstream") == "second"
        got = gateway.chat(stream=True, user=f"late {code}")
        assert got.text == "x" and got.events[-1]["error"]["code"] == "upstream_truncated" and b"[DONE]" not in got.body
        assert gateway.record(got.id)["disconnected"] == "upstream"
    assert first.connections == 1


@BOTH
@pytest.mark.parametrize("how", ["close", "reset"])
def test_an_upstream_that_dies_with_twenty_streams(start, speak, how, clear):
    """Ten have shown content: an error event each. Ten have not: they go to the next."""
    begun = threading.Event()

    def play(session):
        calls = [session.call() for _ in range(20)]
        for call in calls:
            stream_head(session, call)
            session.data(call.stream, ROLE + (delta(content="x") if int(json.loads(call.body)["user"]) % 2 == 0 else b""))
        assert begun.wait(DEADLINE)
        getattr(session.peer, how)()

    first, second = speak(play, clear=clear), speak(answering_calls(good), clear=clear)
    gateway = start(Gateway, two(first, second))
    clients = many(gateway, 20, stream=True)
    heads = []
    for client in clients[::2]:
        heads.append(client.read_head())
        client.read_until(heads[-1], delta(content="x"))
    begun.set()
    for client, head in zip(clients[::2], heads):
        while client.read_chunk(head):
            pass
        assert head.text == "x" and head.events[-1]["error"]["code"] == "upstream_truncated" and b"[DONE]" not in head.body
    for got in read_all(clients[1::2]):
        assert got.body == b"".join(good_stream()) and got.header("x-openclaw-upstream") == "second"
    for client in clients[::2]:
        client.close()
    assert first.connections == 1 and second.connections == 1


def test_a_stale_connection_is_never_seen(start, speak):
    """The upstream closes an idle connection just when the next request goes out."""
    def play(session):
        call = session.call()
        session.answer(call.stream, call.body)
        while len(session.calls) == 1:
            session.read()

    upstream = speak(play)
    gateway = start(Gateway, one(upstream))
    with gateway.connect() as client:
        assert [client.chat().status for _ in range(8)] == [200] * 8


def test_an_upstream_that_has_fallen_silent_is_left(start, speak):
    def play(session):
        if session.peer.number > 0:
            return answering_calls(echo)(session)
        session.call()
        session.peer.wait_gone()

    upstream = speak(play, first_byte_timeout_seconds=0.6)
    gateway = start(Gateway, one(upstream))
    assert gateway.chat().error["code"] == "upstream_timeout"
    assert gateway.chat().status == 200 and upstream.connections == 2


def test_an_upstream_that_never_sends_its_settings_is_passed_by(start, speak):
    first = speak(None, script=lambda peer: peer.wait_gone(), connect_timeout_seconds=0.4, first_byte_timeout_seconds=0.6)
    second = speak(answering_calls(echo))
    gateway = start(Gateway, two(first, second))
    for got in read_all(many(gateway, 6)):
        assert (got.status, got.header("x-openclaw-upstream")) == (200, "second")
    # One request at a time went there.
    assert sum(bytes(peer.pending).count(PREFACE) for peer in first.peers) == first.connections


BROKEN = {
    "a length that is too long": lambda session, call: (session.head(call.stream, fields=[("content-length", "10")]), session.data(call.stream, b"12345", end=True)),
    "a length that is too short": lambda session, call: (session.head(call.stream, fields=[("content-length", "3")]), session.data(call.stream, b"12345", end=True)),
    "no status": lambda session, call: session.peer.send(frame(HEADERS, session.encoder.encode([("x-a", "b")]), 5, call.stream)),
    "a field of HTTP/1.1": lambda session, call: session.head(call.stream, fields=[("connection", "close")], end=True),
    "a field in capitals": lambda session, call: session.head(call.stream, fields=[("X-Big", "a")], end=True),
    "a line end in a field": lambda session, call: session.head(call.stream, fields=[("x-a", "b\r\nx-evil: 1")], end=True),
    "body before the head": lambda session, call: session.peer.send(frame(DATA, b"x", 1, call.stream)),
    "a block that is no HPACK": lambda session, call: session.peer.send(frame(HEADERS, b"\xff\xff\xff\xff\xff\xff\xff", 5, call.stream)),
    "a frame beyond all bounds": lambda session, call: session.peer.send(b"\xff\xff\xff\x00\x00" + struct.pack(">I", call.stream) + bytes(100_000)),
    "garbage": lambda session, call: session.peer.send(os.urandom(200)),
    "a push": lambda session, call: session.peer.send(frame(5, struct.pack(">I", 2) + session.encoder.encode([(":method", "GET"), (":path", "/")]), 4, call.stream)),
}


def test_broken_answers_never_look_whole(start, speak):
    def play(session, call):
        BROKEN[json.loads(call.body)["user"]](session, call)

    first, second = speak(answering_calls(play)), speak(answering_calls(echo))
    gateway = start(Gateway, two(first, second))
    for what in BROKEN:
        try:
            got = gateway.chat(user=what)
            assert got.status == 200 and got.header("x-openclaw-upstream") == "second", (what, got.body)
        except Broken as broken:
            # The head may have gone out before the body was seen to be wrong: then the connection is cut.
            assert what.startswith("a length"), (what, broken)
    assert gateway.alive()


# ---- clients

def test_a_client_that_leaves_ends_its_stream_alone(start, speak):
    cancelled = []

    def play(session):
        calls = [session.call() for _ in range(2)]
        for call in calls:
            stream_head(session, call)
            session.data(call.stream, ROLE + delta(content="x"))
        while not any(call.reset is not None for call in calls):
            session.read()
        cancelled.extend(call.reset for call in calls)
        stays = next(call for call in calls if call.reset is None)
        session.data(stays.stream, delta(finish="stop") + DONE, end=True)
        session.serve()

    upstream = speak(play)
    gateway = start(Gateway, one(upstream))
    leaves, stays = many(gateway, 2, stream=True)
    heads = [client.read_head() for client in (leaves, stays)]
    for client, head in zip((leaves, stays), heads):
        client.read_until(head, delta(content="x"))
    leaves.reset()
    with stays:
        while stays.read_chunk(heads[1]):
            pass
    assert heads[1].events[-1] == "[DONE]" and sorted(cancelled, key=str) == [CANCEL, None] and upstream.connections == 1


def pumping(sent: list[int], size: int):
    """Plays a server that answers `slow` with so many bytes as its windows allow, counted in `sent[0]`, and everybody else at once."""
    def pump(session, stream):
        while sent[0] < size and session.room(stream) > 0:
            piece = min(session.room(stream), 16384, size - sent[0])
            sent[0] += piece
            session.data(stream, bytes(piece), end=sent[0] == size)

    def play(session):
        slow = None
        while True:
            waiting = [call for call in session.calls.values() if call.is_whole and call.stream not in session.taken]
            if waiting:
                call = session.call()
                if b"slow" in call.body:
                    slow = call.stream
                    session.head(slow, fields=[("content-type", "application/octet-stream")])
                else:
                    session.answer(call.stream, bytes(100_000))
            else:
                session.read()
            if slow:
                pump(session, slow)
    return play


def test_a_client_that_does_not_read_holds_its_own_stream_alone(start, speak):
    """Its upstream may send as far as the windows go; nineteen others on the same connection go on, and memory stays."""
    sent, size = [0], 64 << 20
    upstream = speak(pumping(sent, size))
    gateway = start(Gateway, one(upstream))
    base = memory(gateway)
    with gateway.connect(receive_buffer=16384) as slow:
        slow.send("POST", "/v1/chat/completions", {"model": "m", "user": "slow"})
        slow.read_head()
        for _ in range(3):
            assert all(len(got.body) == 100_000 for got in read_all(many(gateway, 19)))
        # Kernel buffers of the slow client hold some megabytes.
        assert sent[0] < size // 2 and memory(gateway) - base < 16 << 20, (sent, memory(gateway) - base)
        assert upstream.connections == 1
    assert gateway.chat().status == 200


def test_http2_on_both_sides(start, speak, authority):
    """Streams of one client become streams of one connection upstream, and a slow one holds up neither."""
    sent = [0]
    upstream = speak(pumping(sent, 2_000_000))
    gateway = start(Gateway, {**one(upstream), "server": {"tls": authority.tls()}})
    fields = [(":method", "POST"), (":scheme", "https"), (":authority", "a"), (":path", "/v1/chat/completions")]
    encoder, bodies, got = hpack.Encoder(), {}, b""
    with SecureClient(gateway.port, alpn=("h2",)) as client:
        out = PREFACE + frame(SETTINGS, struct.pack(">HI", 4, 1 << 20)) + frame(WINDOW_UPDATE, struct.pack(">I", 100 << 20))
        for stream in range(1, 41, 2):
            out += frame(HEADERS, encoder.encode(fields), 4, stream) + frame(DATA, b'{"model":"m","x":"%s"}' % (b"slow" if stream == 1 else b"quick"), 1, stream)
        client.sock.sendall(out)
        ended = set()

        def take():
            nonlocal got
            data = client.sock.recv(65536)
            assert data, "the connection goes on"
            got += data
            while len(got) >= 9 and len(got) >= 9 + int.from_bytes(got[:3], "big"):
                length, kind, flags, stream = int.from_bytes(got[:3], "big"), got[3], got[4], int.from_bytes(got[5:9], "big")
                if kind == DATA:
                    bodies[stream] = bodies.get(stream, 0) + length
                if kind in (DATA, HEADERS) and flags & 1:
                    ended.add(stream)
                got = got[9 + length:]

        # The first stream's window is used up, and nobody gives it more: the others are whole all the same.
        while len(ended) < 19 or bodies.get(1, 0) < 1 << 20:
            take()
        assert 1 not in ended and bodies[1] == 1 << 20
        client.sock.sendall(frame(WINDOW_UPDATE, struct.pack(">I", 2_000_000), stream=1))
        while 1 not in ended:
            take()
        assert bodies[1] == 2_000_000
    assert upstream.connections == 1


# ---- servers of other people

class Program:
    """A server of somebody else's as a child process; ready when its port answers."""

    def __init__(self, command, port: int):
        self.port = port
        self.process = subprocess.Popen([str(part) for part in command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        def answers():
            assert self.process.poll() is None, f"{command[0]} ended with {self.process.returncode}"
            with socket.socket() as sock:
                return sock.connect_ex(("127.0.0.1", port)) == 0
        wait_for(answers, what=f"{command[0]} on port {port}")

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(DEADLINE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return sock.getsockname()[1]


@pytest.fixture
def files(tmp_path):
    folder = tmp_path / "files"
    folder.mkdir()
    (folder / "small").write_text("small")
    (folder / "large").write_bytes(os.urandom(2 << 20))
    return folder


def all_right(gateway, files, count: int = 50) -> None:
    """Files at the same time, and one after the other."""
    large = (files / "large").read_bytes()

    def get(number):
        got = gateway.ask("GET", "/large" if number % 10 == 0 else "/small")
        assert (got.status, got.body) == (200, large if number % 10 == 0 else b"small"), got.status

    with ThreadPoolExecutor(count) as pool:
        list(pool.map(get, range(count)))
    with gateway.connect() as client:
        assert all(client.ask("GET", "/small").body == b"small" for _ in range(20))
        assert client.ask("GET", "/missing").status == 404


def test_nghttpd(start, authority, files):
    program = shutil.which("nghttpd")
    if not program:
        pytest.skip("no nghttpd (package nghttp2-server)")
    certificate, key = authority.make("localhost")
    port = free_port()
    start(Program, [program, "-a", "127.0.0.1", "-d", files, "-m", "20", port, key, certificate], port)
    gateway = start(Gateway, {"upstreams": {"one": {"type": "http", "base_url": f"https://localhost:{port}", "tls": {"ca": str(authority.ca)}}}})
    all_right(gateway, files)
    # 50 at a time, 20 a connection.
    assert metric(gateway, "openclaw_upstream_connections_total") <= 6


def test_nginx_which_ends_connections_after_ten_requests(start, authority, files, tmp_path):
    program = shutil.which("nginx")
    if not program:
        pytest.skip("no nginx")
    certificate, key = authority.make("localhost")
    port = free_port()
    (tmp_path / "nginx.conf").write_text(f"""
        daemon off; master_process off; pid {tmp_path}/nginx.pid; error_log {tmp_path}/nginx.log;
        events {{ worker_connections 256; }}
        http {{
            access_log off; client_body_temp_path {tmp_path}/body; proxy_temp_path {tmp_path}/proxy; fastcgi_temp_path {tmp_path}/f; uwsgi_temp_path {tmp_path}/u; scgi_temp_path {tmp_path}/s;
            server {{ listen 127.0.0.1:{port} ssl http2; server_name localhost; ssl_certificate {certificate}; ssl_certificate_key {key}; keepalive_requests 10; root {files}; }}
        }}""")
    start(Program, [program, "-c", tmp_path / "nginx.conf", "-p", tmp_path], port)
    gateway = start(Gateway, {"upstreams": {"one": {"type": "http", "base_url": f"https://localhost:{port}", "tls": {"ca": str(authority.ca)}}}})
    all_right(gateway, files)
    all_right(gateway, files, 30)
    assert metric(gateway, "openclaw_upstream_connections_total") >= 10
