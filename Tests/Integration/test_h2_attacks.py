"""Attacks on HTTP/2's streams (rows H2-02, H2-03, H2-04, H2-08, H2-15, H2-17): the connection that attacks ends with the right code, the upstream sees next to
nothing of it, and nobody else notices. And the honest who look like it from afar are never cut off.
"""
import signal

import pytest

from h2attack import *

SLOW = [("x-mock-delay-ms", "30000")]


def asked(mock):
    """Requests other than the neighbour's that the upstream has begun."""
    return mock.stats()["by_path"].get("other", 0)


@pytest.fixture
def usual(door, mock):
    """Limits as they are without a word about them."""
    return door(model=mock.url, plain=mock.url)


def test_H2_02_rapid_reset(usual, mock):
    """CVE-2023-44487."""
    with unharmed(usual, "rapid_reset"):
        with usual.peer(deadline=20) as peer:
            peer.greeted()
            for stream in range(1, 40001, 2):
                peer.note(stream)
                peer.silent_resets.add(stream)
            peer.pour(b"".join(get(stream, "/slow", *SLOW) + rst(stream) for stream in range(1, 40001, 2)))
            peer.ending()
            # What was not read any more when the connection ended may have taken GOAWAY with it (RST of TCP).
            assert peer.end == "reset" or peer.goaways[-1][1] == ENHANCE_YOUR_CALM
            assert not peer.goaways or peer.goaways[-1][0] < 2 * 260
        assert asked(mock) <= 200
        until(lambda: mock.stats()["in_flight"] <= 1, "nothing in flight but the neighbour")


def test_H2_02_resets_that_come_slowly_are_let_be(usual, mock):
    """Fewer than the budget, spread: the connection stays."""
    with usual.peer() as peer:
        for _ in range(120):
            stream = peer.open("/slow", *SLOW)
            peer.reset(stream)
        peer.ping()
        assert peer.ask("/bytes/10").status == 200 and not peer.goaways
    until(lambda: mock.stats()["in_flight"] == 0, "the upstream is told of each")


def provoke(name):
    """What makes the server reset a stream that it has begun to answer (CVE-2025-8671)."""
    return {
        "window update of 0": lambda stream: get(stream, "/slow", *SLOW) + window_update(stream, 0),
        "window beyond 2^31-1": lambda stream: get(stream, "/slow", *SLOW) + window_update(stream, 0x7fffffff),
        "priority of a wrong size": lambda stream: get(stream, "/slow", *SLOW) + frame(PRIORITY, stream, bytes(4)),
        "priority on itself": lambda stream: get(stream, "/slow", *SLOW) + priority(stream, stream),
        "data on half-closed": lambda stream: get(stream, "/slow", *SLOW) + data(stream, b"x"),
        "headers on half-closed": lambda stream: get(stream, "/slow", *SLOW) + headers(stream, [("x-a", "b")]),
        "body longer than said": lambda stream: post(stream, "/slow", ("content-length", "1"), *SLOW) + data(stream, b"xyz"),
        "trailers with a pseudo-field": lambda stream: post(stream, "/slow", *SLOW) + headers(stream, [(":path", "/")]),
        "malformed requests": lambda stream: headers(stream, [*pseudo("/slow"), ("X", "y"), *SLOW]),
        "empty heads": lambda stream: headers(stream, b""),
    }[name]


@pytest.mark.parametrize("how", ["window update of 0", "window beyond 2^31-1", "priority of a wrong size", "priority on itself", "data on half-closed", "headers on half-closed",
                                 "body longer than said", "trailers with a pseudo-field", "malformed requests", "empty heads"])
def test_H2_03_made_you_reset(usual, mock, how):
    """Our own resets count like the client's. Where the first is a connection error already, so much the better."""
    make = provoke(how)
    with unharmed(usual):
        with usual.peer(deadline=20) as peer:
            peer.greeted()
            for stream in range(1, 8001, 2):
                peer.note(stream)
            peer.pour(b"".join(map(make, range(1, 8001, 2))))
            try:
                peer.ping()
            except AssertionError:
                pass
            ours = sum(one.reset is not None for one in peer.answers.values())
            if how == "priority on itself" and not (peer.goaways or peer.end or ours):
                pytest.skip("priorities are left out of account: nothing to provoke")
            peer.ending()
            assert peer.end == "reset" or peer.goaways[-1][1] in (ENHANCE_YOUR_CALM, PROTOCOL_ERROR, FLOW_CONTROL_ERROR, STREAM_CLOSED, FRAME_SIZE_ERROR)
            assert ours <= 260
        assert asked(mock) <= 260
        until(lambda: mock.stats()["in_flight"] <= 1, "what had begun upstream is cancelled")


def test_H2_04_an_agent_that_aborts_after_the_first_token_is_never_cut_off(usual, mock):
    """Hundreds of streams, as fast as they go, most of them left as soon as the answer has begun: such resets are not held against it."""
    stream_of = [("content-type", "application/json"), ("x-mock-rate", "20"), ("x-mock-tokens", "2000")]
    body = b'{"model":"mock-model","stream":true,"messages":[{"role":"user","content":"x"}]}'
    with usual.peer() as peer:
        for turn in range(60):
            batch = []
            for _ in range(10):
                stream = peer.open("/v1/chat/completions", ("content-length", str(len(body))), *stream_of, method="POST", end=False)
                peer.body(stream, body)
                batch.append(stream)
            for stream in batch:
                got = peer.answers[stream]
                peer.wait(lambda: b"content" in got.body or got.is_over, "a first token")
                assert got.status == 200 and got.reset is None, got
                peer.reset(stream, CANCEL)
        peer.ping()
        assert not peer.goaways and peer.ask("/bytes/10").status == 200
    until(lambda: mock.stats()["in_flight"] == 0, "each was cancelled upstream")
    assert mock.stats()["streams"]["aborted"] >= 550


def test_H2_08_a_window_of_zero_with_100_answers_waiting(door, mock):
    """Memory is bounded, the upstream is not read on, and after the time for writing the streams are over on both sides."""
    patient = door(plain=mock.url, server={"write_timeout_seconds": 2, "stream_buffer_kb": 64})
    with unharmed(patient, memory=32 << 20):
        with patient.peer(settings=HELD) as peer:
            peer.greeted()
            streams = [peer.open("/bytes/20000000") for _ in range(100)]
            # On a busy machine the first of them may be over before the last one's head is here.
            peer.wait(lambda: all(peer.answers[stream].status for stream in streams), "a head of each")
            assert all(len(peer.answers[stream].body) == 0 for stream in streams)
            until(lambda: mock.stats()["in_flight"] <= 1, "the upstream's side is over", 20)
            try:
                peer.wait(lambda: all(peer.answers[stream].reset is not None for stream in streams) or peer.goaways, "a reset of each, or the connection's end")
            except Over:
                pass
        assert mock.stats()["bytes_out"] < 100 * 6_000_000


def test_H2_08_a_window_that_moves_a_little_keeps_a_stream(door, mock):
    """The time for writing counts from the last progress, not from the beginning."""
    patient = door(plain=mock.url, server={"write_timeout_seconds": 1.5, "stream_buffer_kb": 64})
    with patient.peer(settings=HELD) as peer:
        peer.greeted()
        stream = peer.open("/bytes/26")
        got = peer.head(stream)
        end = time.monotonic() + 2.2
        for size in range(1, 27):
            peer.give(stream, 1)
            peer.wait(lambda: len(got.body) >= size, "a byte")
            if size < 26:
                select.select([], [], [], max(0.0, (end - time.monotonic()) / (27 - size)))
        assert bytes(peer.answer(stream).body) == b"abcdefghijklmnopqrstuvwxyz"


def test_H2_15_a_client_that_vanishes(door, mock):
    """No FIN, no answer to PING: all of its streams are over, upstream and in the log, once each."""
    asking = door(plain=mock.url, http2={"ping_seconds": 0.3, "max_concurrent_streams": 100})
    gateway = asking.gateway
    lines = len(gateway.log())
    with asking.peer(acks=False) as peer:
        peer.send(settings(ack=True))
        streams = [peer.open("/slow", *SLOW) for _ in range(100)]
        until(lambda: mock.stats()["in_flight"] == 100, "100 requests upstream")
        until(lambda: mock.stats()["in_flight"] == 0, "none", 10)
        until(lambda: len(gateway.log()) - lines >= 100, "100 lines")
        assert peer.ending() and len(streams) == 100
    assert len(gateway.log()) - lines == 100
    assert sum(line["disconnected"] == "client" for line in gateway.log()[lines:]) == 100
    asking.bystander()


def test_H2_15_a_client_that_answers_lives_on(door, mock):
    asking = door(plain=mock.url, http2={"ping_seconds": 0.3, "max_concurrent_streams": 100})
    with asking.peer() as peer:
        stream = peer.open("/slow", ("x-mock-delay-ms", "1000"))
        assert peer.answer(stream).status == 200
        assert not peer.goaways and peer.ask("/bytes/10").status == 200


@pytest.mark.parametrize("how", ["fin", "rst"])
def test_H2_15_a_client_that_leaves_with_100_streams(usual, mock, how):
    with usual.peer() as peer:
        for _ in range(100):
            peer.open("/slow", *SLOW)
        until(lambda: mock.stats()["in_flight"] == 100, "100 requests upstream")
        peer.slam() if how == "rst" else peer.close()
    until(lambda: mock.stats()["in_flight"] == 0, "none", 5)
    usual.bystander()


def test_H2_17_a_drain_lets_streams_finish_and_refuses_later_ones(door, mock):
    """SIGTERM: GOAWAY with NO_ERROR, first with the highest id, then with the last that was taken; what came before ends whole, what comes behind is refused or left
    unanswered for a retry elsewhere, and never reaches the upstream; then the connection and the program end."""
    leaving = door(plain=mock.url, fresh=True)
    gateway = leaving.gateway
    with leaving.peer() as peer:
        peer.greeted()
        streams = [peer.open("/other", ("x-mock-delay-ms", "500")) for _ in range(10)]
        until(lambda: mock.stats()["in_flight"] == 10, "10 requests upstream")
        gateway.process.send_signal(signal.SIGTERM)
        peer.wait(lambda: peer.goaways, "GOAWAY")
        assert all(code == NO_ERROR for _, code, _ in peer.goaways) and peer.goaways[0][0] >= streams[-1]
        # A round trip later it is known which stream is the last.
        try:
            peer.ping()
        except Over:
            pass
        late = peer.open("/late")
        for stream in streams:
            assert peer.answer(stream).status == 200
        peer.ending()
        got, last = peer.answers[late], peer.goaways[-1][0]
        assert got.reset == REFUSED_STREAM or last < late and not got.status or last >= late and got.status == 200, (got, peer.goaways)
        if got.status != 200:
            assert mock.stats()["requests"] == 10
    assert gateway.process.wait(10) == 0


def test_H2_17_a_drain_ends_idle_connections_at_once(door, mock):
    """With a word each, also those that say something just then."""
    leaving = door(plain=mock.url, fresh=True)
    idle = [leaving.peer() for _ in range(40)]
    for peer in idle:
        assert peer.ask("/bytes/10").status == 200
    leaving.gateway.process.send_signal(signal.SIGTERM)
    for turn in range(20):
        for peer in idle:
            peer.send(window_update(0, 1))
    for peer in idle:
        peer.ending()
        assert peer.goaways and peer.goaways[-1][:2] == (1, NO_ERROR), (peer.end, peer.goaways, peer.frames[-5:])
        peer.close()
    assert leaving.gateway.process.wait(10) == 0


def test_H2_18_half_a_preface_does_not_wait_forever(door, mock):
    quick = door(plain=mock.url, server={"header_timeout_seconds": 0.5})
    for piece in (PREFACE[:5], PREFACE[:17], PREFACE, PREFACE + settings()[:5]):
        with quick.peer(greet=False) as peer:
            peer.send(piece)
            try:
                peer.ending(8)
            except Violation:
                pass
            assert peer.end or piece.startswith(PREFACE) and peer.goaways
    quick.bystander()
