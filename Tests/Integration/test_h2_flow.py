"""Flow control and concurrency of HTTP/2 (RFC 9113 §5.1.2, §5.2, §6.9): the gateway keeps within our windows, whatever we do to them, and holds us to its own; a
stream that does not move costs its neighbours nothing (rows H2-01, H2-09, H2-16)."""
import json
import time

from h2rig import *
from wire import until

BIG = "/bytes/300000"


def test_H2_01_the_first_window_is_kept(mocked_door):
    """§6.9.2: 65,535 bytes and not one more until we say so, then to the byte as far as we say."""
    with mocked_door.peer(gives=False) as peer:
        stream = peer.open(BIG)
        got = peer.answers[stream]
        peer.wait(lambda: len(got.body) == 65535, "a window's bytes")
        peer.ping()
        assert len(got.body) == 65535 and not got.is_over
        peer.give(stream, 100000)
        peer.ping()
        assert len(got.body) == 65535, "the connection's window is used up"
        peer.give(0, 10)
        peer.wait(lambda: len(got.body) == 65545, "10 bytes more")
        peer.give(0, 1 << 20)
        peer.wait(lambda: len(got.body) == 165535, "to the end of the stream's window")
        peer.ping()
        assert len(got.body) == 165535
        peer.give(stream, 1 << 20)
        assert len(peer.answer(stream).body) == 300000


def test_H2_01_a_window_of_one_byte(recorded_door):
    """§6.9.1"""
    with recorded_door.peer(settings=((INITIAL_WINDOW_SIZE, 1),), gives=False) as peer:
        peer.greeted()
        stream = peer.open()
        got = peer.answers[stream]
        peer.wait(lambda: len(got.body) == 1, "a byte")
        peer.ping()
        assert bytes(got.body) == b"{" and not got.is_over
        peer.give(stream, 1)
        assert bytes(peer.answer(stream).body) == b"{}"


def test_H2_01_a_window_made_negative_by_settings(mocked_door):
    """§6.9.2: what was sent counts; nothing may come until the window is positive again."""
    with mocked_door.peer(settings=((INITIAL_WINDOW_SIZE, 50000),), gives=False, window=1 << 20) as peer:
        peer.greeted()
        stream = peer.open(BIG)
        got = peer.answers[stream]
        peer.wait(lambda: len(got.body) == 50000, "the first window")
        peer.set((INITIAL_WINDOW_SIZE, 10000))
        peer.greeted()
        assert got.window == -40000
        peer.give(stream, 40000)
        peer.ping()
        assert len(got.body) == 50000 and got.window == 0
        peer.give(stream, 7)
        peer.wait(lambda: len(got.body) == 50007, "7 bytes")
        peer.set((INITIAL_WINDOW_SIZE, 10100))
        peer.wait(lambda: len(got.body) == 50107, "100 bytes by SETTINGS")
        # A new stream begins with the new size.
        other = peer.open(BIG)
        peer.wait(lambda: len(peer.answers[other].body) == 10100, "the new stream's window")
        peer.ping()
        assert len(peer.answers[other].body) == 10100 and len(got.body) == 50107
        peer.set((INITIAL_WINDOW_SIZE, 1 << 20))
        assert len(peer.answer(stream).body) == 300000 and len(peer.answer(other).body) == 300000


def test_H2_01_our_frame_size_is_kept(mocked_door):
    """§4.2, §6.5.2: the peer checks each frame against what it said."""
    for size in (16384, 16385, 1 << 20):
        with mocked_door.peer(settings=((MAX_FRAME_SIZE, size), (INITIAL_WINDOW_SIZE, 1 << 20)), window=1 << 20) as peer:
            assert len(peer.ask(BIG).body) == 300000


def test_H2_01_windows_are_given_back(recorded_door, recorder):
    """§5.2.2: a body of many windows passes, and after it the connection's window is what it was: padding and thrown-away bytes included."""
    with recorded_door.peer() as peer:
        peer.greeted()
        for size in (0, 1, 65535, 65536, 3_000_000):
            assert peer.ask("/case", method="POST", body=b"x" * size).status == 200
        assert sum(len(body) for _, body in recorder.wait_requests(5)) == 3_131_072
        # 1.2 MB that are padding but for a byte in each frame, and streams that are over before they end.
        stream = peer.open("/case", method="POST", end=False)
        for _ in range(20):
            for number in range(240):
                peer.wait(lambda: peer.send_window >= 250 and peer.stream_windows.setdefault(stream, peer.theirs[INITIAL_WINDOW_SIZE]) >= 250, "windows for padding")
                peer.send_window -= 250
                peer.stream_windows[stream] -= 250
                peer.send(data(stream, b"y", pad=248))
        peer.body(stream, b"")
        assert peer.answer(stream).status == 200
        for _ in range(20):
            stream = peer.open("/case", method="POST", end=False)
            peer.reset(stream)
        assert peer.ask("/case", method="POST", body=b"x" * 1_000_000).status == 200


def flood(peer, stream, total):
    """DATA without a look at windows."""
    peer.pour(b"".join(data(stream, b"x" * 16384) for _ in range(total // 16384)))


def test_H2_01_data_beyond_the_window_is_an_error(recorded_door):
    """§6.9.1. Where the gateway takes the bytes as they come it gives the window back as fast, and then there is nothing to violate: so either it finds the
    violation, or all of it was read, and the memory is bounded in both cases."""
    gateway = recorded_door.gateway
    before = None if STAND_IN else gateway.status()["rss"]
    with recorded_door.peer() as peer:
        peer.greeted()
        stream = peer.open("/case", ("content-length", str(16384 * 2000)), method="POST", end=False)
        flood(peer, stream, 16384 * 2000)
        peer.send(data(stream, b"", end=True))
        got = peer.answers[stream]
        try:
            peer.wait(lambda: peer.goaways or got.is_over, "a verdict")
        except Over:
            pass
        assert peer.goaways and peer.goaways[0][1] == FLOW_CONTROL_ERROR or got.reset == FLOW_CONTROL_ERROR or got.status in (200, 413), (peer.goaways, got)
    if before:
        assert gateway.status()["rss"] - before < 100 << 20
    recorded_door.bystander()


def test_H2_01_data_beyond_the_window_of_a_stream_that_waits(door, mock):
    """The same where nothing is given back: a request beyond the memory for bodies waits, its window stays as it is."""
    tight = door(plain=mock.url, http2={"stream_window_kb": 16, "connection_window_kb": 64})
    with tight.peer() as peer:
        peer.greeted()
        assert peer.theirs[INITIAL_WINDOW_SIZE] == 16384
        stream = peer.open("/case", method="POST", end=False)
        # One packet: the second frame is there before anything can be given back.
        peer.send(data(stream, b"x" * 16384) + data(stream, b"y" * 16384) + data(stream, b"z" * 16384) + data(stream, b"z" * 16384) + data(stream, b"z" * 16384, end=True))
        got = peer.answers[stream]
        try:
            peer.wait(lambda: peer.goaways or got.is_over, "a verdict")
        except Over:
            pass
        assert peer.goaways and peer.goaways[0][1] == FLOW_CONTROL_ERROR or got.reset == FLOW_CONTROL_ERROR or got.status == 200, (peer.goaways, got)
    tight.bystander()


def test_H2_09_streams_beyond_the_limit_are_refused(door, mock):
    """§5.1.2: REFUSED_STREAM, which says that nothing was done; the others go on, and a place that is free again is used."""
    few = door(plain=mock.url, http2={"max_concurrent_streams": 10})
    with few.peer(settings=HELD) as peer:
        peer.greeted()
        assert peer.theirs[MAX_CONCURRENT_STREAMS] == 10
        held = [peer.open("/bytes/10") for _ in range(10)]
        for stream in held:
            peer.head(stream)
        before = mock.stats()["requests"]
        for _ in range(20):
            stream = peer.open("/bytes/10")
            got = peer.answers[stream]
            peer.wait(lambda: got.is_over, "a refusal")
            assert got.reset == REFUSED_STREAM
        assert mock.stats()["requests"] == before
        for stream in held:
            peer.give(stream, 100)
            assert len(peer.answer(stream).body) == 10
            fresh = peer.open("/bytes/10")
            peer.give(fresh, 100)
            assert len(peer.answer(fresh).body) == 10
    few.bystander()


def test_H2_09_streams_far_beyond_the_limit_end_the_connection(door, mock):
    """Each refusal is a reset of ours that the client provoked: they count (row H2-03)."""
    few = door(plain=mock.url, http2={"max_concurrent_streams": 10, "max_resets": 100, "resets_per_second": 10})
    with few.peer(settings=HELD) as peer:
        peer.greeted()
        for stream in range(1, 10001, 2):
            peer.note(stream)
        peer.pour(b"".join(get(stream, "/bytes/10") for stream in range(1, 10001, 2)))
        peer.ending()
        assert peer.goaways[-1][1] == ENHANCE_YOUR_CALM and sum(one.reset is not None for one in peer.answers.values()) <= 130
    assert mock.stats()["requests"] <= 11
    until(lambda: mock.stats()["in_flight"] == 0, "nothing in flight")
    few.bystander()


def test_H2_16_a_stream_that_is_not_read_does_not_stall_99_others(mocked_door, mock):
    """The issue's "slow stream": one of 100 is never read; the other 99 come whole, as fast as without it, and memory stays where it was."""
    gateway, size = mocked_door.gateway, 150_000

    def run(peer, slow):
        began = time.monotonic()
        streams = [peer.open(f"/bytes/{size}") for _ in range(100 if slow else 99)]
        while not all(peer.answers[stream].is_over for stream in streams[slow:]):
            frame = peer.read(time.monotonic() + 20)
            assert frame, peer.goaways
            if frame.kind == DATA and frame.payload:
                # The slow stream's bytes are within the first window; the connection's is given back for them too.
                peer.give(0, len(frame.payload))
                if frame.stream in streams[slow:] and not peer.answers[frame.stream].is_over:
                    peer.give(frame.stream, len(frame.payload))
        assert all(len(peer.answers[stream].body) == size for stream in streams[slow:])
        if slow:
            assert len(peer.answers[streams[0]].body) == 65535 and not peer.answers[streams[0]].is_over
        return time.monotonic() - began

    with mocked_door.peer(gives=False) as peer:
        peer.greeted()
        alone = run(peer, 0)
    before = 0 if STAND_IN else gateway.status()["rss"]
    with mocked_door.peer(gives=False) as peer:
        peer.greeted()
        together = run(peer, 1)
        if before:
            assert gateway.status()["rss"] - before < 16 << 20
        # No verdict on absolute times: a stall would show as many times this.
        assert together < 3 * alone + 1, (alone, together)
        # And the slow one is whole once it is read.
        stream = 1
        peer.give(0, size)
        peer.give(stream, size)
        assert len(peer.answer(stream).body) == size


def test_H2_16_a_request_that_is_slow_to_come_does_not_stall_99_others(mocked_door):
    """The other way: an upload that stands still, with its window used up, while others pass."""
    with mocked_door.peer() as peer:
        peer.greeted()
        slow = peer.open("/slow", ("content-length", "300000"), method="POST", end=False)
        peer.send(data(slow, b"x" * 16384))
        peer.send_window -= 16384
        for _ in range(50):
            assert peer.ask("/fast", method="POST", body=b"y" * 20000).status == 200
        peer.stream_windows[slow] = peer.theirs[INITIAL_WINDOW_SIZE] - 16384
        peer.body(slow, b"x" * (300000 - 16384))
        assert json.loads(peer.answer(slow).body)["body_length"] == 300000
