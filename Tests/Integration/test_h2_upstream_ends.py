"""How connections to upstreams of HTTP/2 end and what becomes of the requests on them: limits of streams, GOAWAY, REFUSED_STREAM, resets, death, silence, and answers
that break the rules."""
import json
import os
import signal
import struct
import threading

import pytest

from h2upstream import *
from tlsrig import *

BOTH = pytest.mark.parametrize("clear", [False, True], ids=["tls", "clear"])


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
        assert [attempt["why"] for attempt in gateway.record(got.id)["attempts"]] == ["first", "retry", "next_candidate"]
        got = gateway.chat(stream=True, user=f"late {code}")
        assert got.text == "x" and got.events[-1]["error"]["code"] == "upstream_truncated" and b"[DONE]" not in got.body
        assert gateway.record(got.id)["disconnected"] == "upstream"
    # Each early one is tried again on another connection, and no more than that.
    assert first.connections <= 5


@BOTH
@pytest.mark.parametrize("how", ["close", "reset"])
def test_an_upstream_that_dies_with_twenty_streams(start, speak, how, clear):
    """Ten have shown content: an error event each. Ten have not: they are tried again there, in vain, and go to the next."""
    begun = threading.Event()

    def play(session):
        if session.peer.number > 0:
            session.call()
            return getattr(session.peer, how)()
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
    assert 2 <= first.connections <= 11 and second.connections == 1


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
