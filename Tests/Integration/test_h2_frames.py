"""Every MUST of RFC 9113 §3.4 to §7 that a client can violate, and what it may do that must not be held against it, over clear text and TLS (rows H2-01,
H2-12, H2-13, H2-18). A row says what is sent and what the server may make of it. Where several outcomes are listed the RFC leaves the choice: a
stream error may always be made a connection error (§5.4.1), which is accepted where the peer's state is in doubt, not where a neighbour's stream would pay for it.
"""
import struct

import pytest

from h2rig import *
from wire import Client, request

HEAD = block(*pseudo())
WORD = b"12345678"
CLOSED_ANY = (Goaway(STREAM_CLOSED), Reset(STREAM_CLOSED))


def too_long(make, extra=1):
    """A step: a frame that is longer than the server takes."""
    return lambda peer: make(peer.theirs[MAX_FRAME_SIZE] + extra)


# §3.4

PREFACES = table(
    Case("the preface, then nothing but SETTINGS", "3.4", PREFACE + settings() + get(1), Answered(), greet=False),
    Case("SETTINGS with every parameter", "3.4", PREFACE + settings((1, 8192), (2, 0), (3, 100), (4, 70000), (5, 20000), (6, 65536)) + get(1), Answered(), greet=False, after=False),
    Case("requests before the server's SETTINGS", "3.4", PREFACE + settings() + b"".join(get(stream) for stream in range(1, 21, 2)), Answered(stream=19), greet=False),
    Case("HEADERS in place of SETTINGS", "3.4", PREFACE + get(1), Closed(), greet=False),
    Case("PING in place of SETTINGS", "3.4", PREFACE + ping(), Closed(), greet=False),
    Case("WINDOW_UPDATE in place of SETTINGS", "3.4", PREFACE + window_update(0, 1), Closed(), greet=False),
    Case("an acknowledgement in place of SETTINGS", "3.4", PREFACE + settings(ack=True), Closed(), greet=False),
    Case("an unknown frame in place of SETTINGS", "3.4", PREFACE + frame(0xbe, 0, b"x") + settings(), Closed(), greet=False),
    Case("another second half", "3.4", PREFACE[:16] + b"\r\nXX\r\n\r\n" + settings(), Closed(), greet=False),
    Case("a wrong last byte", "3.4", PREFACE[:-1] + b"\r" + settings(), Closed(), greet=False),
    Case("the preface twice", "3.4", PREFACE + settings() + PREFACE, Closed(), Goaway(FRAME_SIZE_ERROR), greet=False),
    Case("SETTINGS alone", "3.4", settings() + get(1), Closed(), greet=False),
    Case("zeros", "3.4", bytes(64), Closed(), greet=False),
)


@PREFACES
def test_H2_01_H2_18_prefaces(recorded_door, case):
    if not (case.name in ("SETTINGS alone", "zeros", "a wrong last byte", "another second half") and not recorded_door.target.tls):
        play(recorded_door, case)
        return
    # On a port that speaks HTTP/1.1 too, what is no preface is a request that is none: a 400 and the end.
    with recorded_door.peer(greet=False) as peer:
        peer.send(b"".join(case.steps))
        try:
            peer.ending(PATIENCE)
        except Violation:
            pass
        assert peer.end or peer.rest.startswith(b"HTTP/1.1 4") or peer.rest.startswith(b"HTTP/1.1 5")
    recorded_door.bystander()


@pytest.mark.parametrize("cut", [1, 2, 3, 4, 9, 14, 15, 16, 17, 18, 20, 23, 24, 25, 30, 33, 34])
def test_H2_18_a_preface_in_two_pieces(recorded_door, cut):
    whole = PREFACE + settings() + get(1)
    with recorded_door.peer(greet=False) as peer:
        register(peer, whole)
        peer.send(whole[:cut])
        recorded_door.bystander()  # the first piece has been read by now, in all likelihood
        peer.send(whole[cut:])
        assert peer.answer(1).status == 200


def test_H2_18_a_preface_and_a_request_byte_by_byte(recorded_door):
    with recorded_door.peer(greet=False) as peer:
        whole = PREFACE + settings((INITIAL_WINDOW_SIZE, 1000)) + post(1, "/case", ("x-a", "b"), pad=3) + data(1, b"hello", end=True, pad=2)
        register(peer, whole)
        for byte in whole:
            peer.send(bytes([byte]))
        assert peer.answer(1).status == 200


def test_H2_18_http1_over_an_h2_connection_ends_it(recorded_door):
    if not recorded_door.target.tls:
        pytest.skip("in clear text this is an HTTP/1.1 client, and welcome")
    for text in (b"GET / HTTP/1.1\r\nHost: gateway.test\r\n\r\n", b"PRI * HTTP/1.1\r\n\r\nSM\r\n\r\n", b"SSH-2.0-x\r\n" * 4):
        with recorded_door.peer(greet=False) as peer:
            peer.send(text)
            try:
                peer.ending(PATIENCE)
            except Violation:
                pass
            assert peer.end and (not peer.goaways or peer.goaways[0][1] == PROTOCOL_ERROR) and b"200 OK" not in peer.rest
    recorded_door.bystander()


def test_H2_18_http1_and_http2_share_a_clear_port(recorded_door, recorder):
    if recorded_door.target.tls or STAND_IN:
        pytest.skip("clear text only")
    with Client(recorded_door.target.port) as client:
        assert client.ask(request("GET", "/one"), "GET").status == 200
        # The preface behind a request is no way in: it is a request that is none.
        answer = client.send(PREFACE + settings()).response("GET")
        assert answer.status >= 400 and answer.closes
    with Client(recorded_door.target.port) as client:
        answer = client.ask(request("GET", "/two", fields=[("Connection", "Upgrade, HTTP2-Settings"), ("Upgrade", "h2c"), ("HTTP2-Settings", "AAMAAABkAAQAoAAAAAIAAAAA")]), "GET")
        assert answer.status == 200, "the Upgrade to h2c is gone from RFC 9113 (§3.1): it is left out of account"
    recorded_door.bystander()


# §4

FRAMES = table(
    Case("a frame of unknown type", "4.1", frame(0x16, 0, WORD), Alive()),
    Case("a frame of unknown type on a stream", "4.1", get(1) + frame(0xff, 1, WORD, 0xff), Answered()),
    Case("a frame of unknown type on an idle stream", "5.5", frame(0x20, 77, WORD), Alive(), Goaway(PROTOCOL_ERROR)),
    Case("PING with undefined flags", "4.1", ping()[:4] + b"\x16" + ping()[5:], Alive()),
    Case("HEADERS with undefined flags", "4.1", get(1, flags=0xd2), Answered()),
    Case("DATA with undefined flags", "4.1", post(1) + data(1, b"x", end=True, flags=0xf6), Answered()),
    Case("SETTINGS with undefined flags", "4.1", frame(SETTINGS, 0, b"", 0xfe), Alive()),
    Case("RST_STREAM with undefined flags", "4.1", [get(1), answered(), frame(RST_STREAM, 1, bytes(4), 0xff)], Alive()),
    Case("WINDOW_UPDATE with undefined flags", "4.1", frame(WINDOW_UPDATE, 0, b"\0\0\0\1", 0xff), Alive()),
    Case("GOAWAY with undefined flags", "4.1", get(1) + frame(GOAWAY, 0, bytes(8), 0xff), Answered(), Goaway(NO_ERROR), after=False),
    Case("PING with the reserved bit", "4.1", frame(PING, 0x80000000, WORD), Alive()),
    Case("SETTINGS with the reserved bit", "4.1", frame(SETTINGS, 0x80000000), Alive()),
    Case("HEADERS with the reserved bit", "4.1", frame(HEADERS, 0x80000001, HEAD, 5), Answered()),
    Case("DATA with the reserved bit", "4.1", post(1) + frame(DATA, 0x80000001, b"x", 1), Answered()),
    Case("WINDOW_UPDATE with the reserved bit", "6.9", frame(WINDOW_UPDATE, 0, b"\x80\0\0\1"), Alive()),
    Case("GOAWAY with the reserved bit", "6.8", get(1) + frame(GOAWAY, 0, b"\x80" + bytes(7)), Answered(), Goaway(NO_ERROR), after=False),
    Case("DATA of 2^14 bytes", "4.2", post(1) + data(1, bytes(16384), end=True), Answered()),
    Case("DATA that is too long", "4.2", [post(1), too_long(lambda size: data(1, bytes(size), end=True))], Goaway(FRAME_SIZE_ERROR), Reset(FRAME_SIZE_ERROR)),
    Case("HEADERS that are too long", "4.2", too_long(lambda size: headers(1, HEAD + literal("x", "y" * (size - len(HEAD) - 6)))), Goaway(FRAME_SIZE_ERROR)),
    Case("CONTINUATION that is too long", "4.2", [headers(1, HEAD, whole=False), too_long(lambda size: continuation(1, literal("x", "y" * (size - 6))))], Goaway(FRAME_SIZE_ERROR)),
    Case("SETTINGS that are too long", "4.2", too_long(lambda size: frame(SETTINGS, 0, bytes(size // 6 * 6 + 6))), Goaway(FRAME_SIZE_ERROR)),
    Case("an unknown frame that is too long", "4.2", too_long(lambda size: frame(0x33, 0, bytes(size))), Goaway(FRAME_SIZE_ERROR)),
    Case("a length of 2^24-1", "4.2", frame(DATA, 1, b"", length=(1 << 24) - 1), Goaway(FRAME_SIZE_ERROR, PROTOCOL_ERROR)),
    Case("HEADERS too short for its pad length", "4.2", frame(HEADERS, 1, b"", 0x0d), Goaway(FRAME_SIZE_ERROR, PROTOCOL_ERROR)),
    Case("HEADERS too short for its priority", "4.2", frame(HEADERS, 1, bytes(4), 0x25), Goaway(FRAME_SIZE_ERROR, PROTOCOL_ERROR)),
    Case("HEADERS too short for padding and priority", "4.2", frame(HEADERS, 1, bytes(5), 0x2d), Goaway(FRAME_SIZE_ERROR, PROTOCOL_ERROR)),
    Case("DATA too short for its pad length", "4.2", post(1) + frame(DATA, 1, b"", 9), Goaway(FRAME_SIZE_ERROR, PROTOCOL_ERROR), Reset(FRAME_SIZE_ERROR)),
    Case("a header block that does not decode", "4.3", frame(HEADERS, 1, b"\x80", 5), Goaway(COMPRESSION_ERROR)),
    Case("trailers that do not decode", "4.3", post(1) + frame(HEADERS, 1, b"\x80", 5), Goaway(COMPRESSION_ERROR)),
    Case("a header block on a stream we reset that does not decode", "4.3", post(1) + rst(1) + frame(HEADERS, 1, b"\x80", 5), Goaway(COMPRESSION_ERROR, STREAM_CLOSED)),
    Case("an unknown frame inside a header block", "5.5", headers(1, HEAD[:9], whole=False) + frame(0x16, 0, WORD) + continuation(1, HEAD[9:]), Goaway(PROTOCOL_ERROR)),
    Case("PRIORITY inside a header block", "4.3", headers(1, HEAD[:9], whole=False) + priority(1) + continuation(1, HEAD[9:]), Goaway(PROTOCOL_ERROR)),
    Case("PING inside a header block", "4.3", headers(1, HEAD[:9], whole=False) + ping() + continuation(1, HEAD[9:]), Goaway(PROTOCOL_ERROR)),
    Case("SETTINGS inside a header block", "4.3", headers(1, HEAD[:9], whole=False) + settings() + continuation(1, HEAD[9:]), Goaway(PROTOCOL_ERROR)),
    Case("WINDOW_UPDATE inside a header block", "4.3", headers(1, HEAD[:9], whole=False) + window_update(0, 1) + continuation(1, HEAD[9:]), Goaway(PROTOCOL_ERROR)),
    Case("RST_STREAM inside a header block", "4.3", headers(1, HEAD[:9], whole=False) + rst(1) + continuation(1, HEAD[9:]), Goaway(PROTOCOL_ERROR)),
    Case("GOAWAY inside a header block", "4.3", headers(1, HEAD[:9], whole=False) + goaway() + continuation(1, HEAD[9:]), Goaway(PROTOCOL_ERROR)),
    Case("HEADERS of another stream inside a header block", "4.3", headers(1, HEAD[:9], whole=False) + get(3) + continuation(1, HEAD[9:]), Goaway(PROTOCOL_ERROR)),
    Case("HEADERS of the same stream inside a header block", "4.3", headers(1, HEAD[:9], whole=False) + headers(1, HEAD[9:]), Goaway(PROTOCOL_ERROR)),
)

# §5

STREAMS = table(
    Case("idle: DATA", "5.1", data(1, b"x", end=True), Goaway(PROTOCOL_ERROR)),
    Case("idle: RST_STREAM", "5.1", rst(1), Goaway(PROTOCOL_ERROR)),
    Case("idle: WINDOW_UPDATE", "5.1", window_update(1, 100), Goaway(PROTOCOL_ERROR)),
    Case("idle: CONTINUATION", "5.1", continuation(1, HEAD), Goaway(PROTOCOL_ERROR)),
    Case("idle: PRIORITY", "5.1", priority(1) + priority(9, 7) + get(1), Answered()),
    Case("idle beyond one that is open: DATA", "5.1", post(1) + data(3, b"x"), Goaway(PROTOCOL_ERROR)),
    Case("idle on the server's side: DATA", "5.1", data(2, b"x"), Goaway(PROTOCOL_ERROR, STREAM_CLOSED)),
    Case("idle on the server's side: RST_STREAM", "5.1", rst(2), Goaway(PROTOCOL_ERROR)),
    Case("idle on the server's side: WINDOW_UPDATE", "5.1", window_update(2, 1), Goaway(PROTOCOL_ERROR)),
    Case("half-closed: DATA", "5.1", [get(1), began(), data(1, b"x", end=True)], *CLOSED_ANY, settings=HELD),
    Case("half-closed: empty DATA", "5.1", [get(1), began(), data(1, end=True)], *CLOSED_ANY, settings=HELD),
    Case("half-closed: HEADERS", "5.1", [get(1), began(), headers(1, [("x-a", "b")])], *CLOSED_ANY, settings=HELD),
    Case("half-closed: a request's HEADERS", "5.1", [get(1), began(), get(1)], *CLOSED_ANY, settings=HELD),
    Case("half-closed: CONTINUATION", "5.1", [get(1), began(), continuation(1, HEAD)], Goaway(PROTOCOL_ERROR, STREAM_CLOSED), settings=HELD),
    Case("half-closed: WINDOW_UPDATE", "5.1", [get(1), began(), window_update(1, 1000)], Answered(), settings=HELD),
    Case("half-closed: PRIORITY", "5.1", [get(1), began(), priority(1), window_update(1, 1000)], Answered(), settings=HELD),
    Case("half-closed: RST_STREAM", "5.1", [get(1), began(), rst(1)], Alive(), settings=HELD),
    Case("closed: DATA", "5.1", [get(1), answered(), data(1, b"x", end=True)], *CLOSED_ANY),
    Case("closed: empty DATA", "5.1", [get(1), answered(), data(1, end=True)], *CLOSED_ANY),
    Case("closed: HEADERS", "5.1", [get(1), answered(), get(1)], Goaway(STREAM_CLOSED, PROTOCOL_ERROR)),
    Case("closed: CONTINUATION", "5.1", [get(1), answered(), continuation(1, HEAD)], Goaway(PROTOCOL_ERROR, STREAM_CLOSED)),
    Case("closed: WINDOW_UPDATE", "5.1", [get(1), answered(), window_update(1, 100)], Alive()),
    Case("closed: RST_STREAM", "5.1", [get(1), answered(), rst(1)], Alive()),
    Case("closed: PRIORITY", "5.1", [get(1), answered(), priority(1)], Alive()),
    Case("closed by our reset: DATA", "5.1", [post(1), synced, rst(1), data(1, b"x", end=True)], *CLOSED_ANY),
    Case("closed by our reset: HEADERS", "5.1", [post(1), synced, rst(1), headers(1, [("x-a", "b")])], Goaway(STREAM_CLOSED, PROTOCOL_ERROR), Reset(STREAM_CLOSED)),
    Case("closed by our reset: CONTINUATION", "5.1", [post(1), synced, rst(1), continuation(1, HEAD)], Goaway(PROTOCOL_ERROR, STREAM_CLOSED)),
    Case("closed by our reset: PRIORITY", "5.1", [post(1), synced, rst(1), priority(1)], Alive()),
    Case("closed by our reset: another reset", "5.1", [post(1), synced, rst(1), rst(1)], Alive(), Goaway(STREAM_CLOSED)),
    # §5.1: what was under way when the server's own reset came is to be taken and thrown away.
    Case("closed by their reset: DATA", "5.1", [headers(1, [*pseudo(method="POST"), ("X", "y")], end=False), was_reset(), data(1, b"x" * 1000, end=True)], Reset(PROTOCOL_ERROR), forwards=0),
    Case("closed by their reset: trailers", "5.1", [headers(1, [*pseudo(method="POST"), ("X", "y")], end=False), was_reset(), headers(1, [("x-a", "b")])], Reset(PROTOCOL_ERROR)),
    Case("closed by their reset: WINDOW_UPDATE", "5.1", [headers(1, [*pseudo(method="POST"), ("X", "y")], end=False), was_reset(), window_update(1, 5)], Reset(PROTOCOL_ERROR)),
    Case("closed by their reset: RST_STREAM", "5.1", [headers(1, [*pseudo(method="POST"), ("X", "y")], end=False), was_reset(), rst(1)], Reset(PROTOCOL_ERROR)),
    Case("an even stream", "5.1.1", get(2), Goaway(PROTOCOL_ERROR), forwards=0),
    Case("stream 0", "5.1.1", get(0), Goaway(PROTOCOL_ERROR), forwards=0),
    Case("a lower stream than before", "5.1.1", [get(5), answered(5), get(3)], Goaway(PROTOCOL_ERROR), forwards=1),
    Case("a lower stream than one that is open", "5.1.1", [get(5), began(5), get(3)], Goaway(PROTOCOL_ERROR), settings=HELD, forwards=1),
    Case("a lower stream in the same packet", "5.1.1", get(5) + get(3), Goaway(PROTOCOL_ERROR)),
    Case("a lower stream than one that was malformed", "5.1.1", [headers(5, [("x", "y")]), was_reset(5), get(3)], Goaway(PROTOCOL_ERROR), forwards=0),
    Case("a lower stream than one we reset", "5.1.1", post(5) + rst(5) + get(3), Goaway(PROTOCOL_ERROR), forwards=0),
    Case("a lower stream's PRIORITY", "5.1.1", [get(5), answered(5), priority(3)], Alive()),
    Case("a lower stream's DATA", "5.1.1", [get(5), answered(5), data(3, b"x")], *CLOSED_ANY, Reset(STREAM_CLOSED, stream=3)),
    Case("streams with gaps", "5.1.1", get(1) + get(5) + get(7) + get(101) + get(0x7fffffff), Answered(stream=0x7fffffff), after=False),
    Case("a stream behind a higher one's PRIORITY", "5.1.1", priority(7) + get(1), Answered()),
    # RFC 9113 no longer speaks of dependencies (§5.3.2); RFC 7540 made this a stream error.
    Case("PRIORITY on itself", "5.3.1", get(1) + priority(1, 1), Answered(), Reset(PROTOCOL_ERROR), Goaway(PROTOCOL_ERROR)),
    Case("HEADERS that depend on themselves", "5.3.1", get(1, priority=(1, 15)), Answered(), Reset(PROTOCOL_ERROR), Goaway(PROTOCOL_ERROR)),
)

# §6

DATAS = table(
    Case("DATA on stream 0", "6.1", data(0, b"x", end=True), Goaway(PROTOCOL_ERROR)),
    Case("DATA with padding", "6.1", post(1) + data(1, b"x", pad=0) + data(1, b"y", pad=255) + data(1, b"", end=True, pad=9), Answered(), forwards=1),
    Case("DATA of nothing but padding", "6.1", post(1) + frame(DATA, 1, bytes([3, 0, 0, 0]), 9), Answered(), forwards=1),
    Case("DATA with padding as long as the frame", "6.1", post(1) + frame(DATA, 1, bytes([4, 0, 0, 0]), 9), Goaway(PROTOCOL_ERROR), forwards=0),
    Case("DATA with padding longer than the frame", "6.1", post(1) + frame(DATA, 1, b"\x05abcd", 9), Goaway(PROTOCOL_ERROR), forwards=0),
    Case("DATA with padding that is not zero", "6.1", post(1) + frame(DATA, 1, b"\x02xab", 9), Answered(), Goaway(PROTOCOL_ERROR)),
)
HEADS = table(
    Case("HEADERS with padding", "6.2", get(1, pad=0) + get(3, pad=200), Answered(stream=3)),
    Case("HEADERS with priority", "6.2", get(1, priority=(0, 255)) + get(3, priority=(0x80000001, 0)) + get(5, priority=(77, 1), pad=4), Answered(stream=5)),
    Case("HEADERS with padding as long as the rest", "6.2", frame(HEADERS, 1, bytes([len(HEAD) + 1]) + HEAD, 0x0d), Goaway(PROTOCOL_ERROR), forwards=0),
    Case("HEADERS with padding longer than the frame", "6.2", frame(HEADERS, 1, b"\xff" + HEAD, 0x0d), Goaway(PROTOCOL_ERROR), forwards=0),
    Case("HEADERS with padding that eats the priority", "6.2", frame(HEADERS, 1, b"\x04" + bytes(8), 0x2d), Goaway(PROTOCOL_ERROR, FRAME_SIZE_ERROR)),
    Case("HEADERS without a block", "6.2", frame(HEADERS, 1, b"", 5), Reset(PROTOCOL_ERROR)),
    Case("a block in CONTINUATION alone", "6.2", headers(1, b"", whole=False) + continuation(1, HEAD), Answered()),
    Case("PRIORITY on stream 0", "6.3", priority(0, 1), Goaway(PROTOCOL_ERROR)),
    Case("PRIORITY of 4 bytes", "6.3", get(1) + frame(PRIORITY, 1, bytes(4)), Reset(FRAME_SIZE_ERROR), Goaway(FRAME_SIZE_ERROR), settings=HELD),
    Case("PRIORITY of 6 bytes", "6.3", get(1) + frame(PRIORITY, 1, bytes(6)), Reset(FRAME_SIZE_ERROR), Goaway(FRAME_SIZE_ERROR), settings=HELD),
    Case("PRIORITY of no bytes", "6.3", get(1) + frame(PRIORITY, 1), Reset(FRAME_SIZE_ERROR), Goaway(FRAME_SIZE_ERROR), settings=HELD),
    Case("RST_STREAM on stream 0", "6.4", rst(0), Goaway(PROTOCOL_ERROR)),
    Case("RST_STREAM of 3 bytes", "6.4", get(1) + frame(RST_STREAM, 1, bytes(3)), Goaway(FRAME_SIZE_ERROR), settings=HELD),
    Case("RST_STREAM of 5 bytes", "6.4", get(1) + frame(RST_STREAM, 1, bytes(5)), Goaway(FRAME_SIZE_ERROR), settings=HELD),
    Case("RST_STREAM with an unknown code", "7", [get(1), began(), rst(1, 0xff)], Alive(), settings=HELD),
    Case("RST_STREAM with NO_ERROR", "7", [get(1), began(), rst(1, 0)], Alive(), settings=HELD),
)
SETTING = table(
    Case("an acknowledgement with payload", "6.5", frame(SETTINGS, 0, bytes(6), ACK), Goaway(FRAME_SIZE_ERROR)),
    Case("an acknowledgement with a byte", "6.5", frame(SETTINGS, 0, b"\0", ACK), Goaway(FRAME_SIZE_ERROR)),
    Case("on a stream", "6.5", frame(SETTINGS, 1, bytes(6)), Goaway(PROTOCOL_ERROR)),
    Case("empty on a stream that is open", "6.5", get(1) + frame(SETTINGS, 1), Goaway(PROTOCOL_ERROR), settings=HELD),
    Case("an acknowledgement on a stream", "6.5", frame(SETTINGS, 1, b"", ACK), Goaway(PROTOCOL_ERROR)),
    *[Case(f"of {size} bytes", "6.5", frame(SETTINGS, 0, bytes(size)), Goaway(FRAME_SIZE_ERROR)) for size in (1, 3, 5, 7, 11, 13)],
    *[Case(f"ENABLE_PUSH {value}", "6.5.2", settings((ENABLE_PUSH, value)), Goaway(PROTOCOL_ERROR)) for value in (2, 0xffffffff)],
    *[Case(f"ENABLE_PUSH {value}", "6.5.2", settings((ENABLE_PUSH, value)), Alive()) for value in (0, 1)],
    *[Case(f"INITIAL_WINDOW_SIZE {value}", "6.5.2", settings((INITIAL_WINDOW_SIZE, value)), Goaway(FLOW_CONTROL_ERROR)) for value in (1 << 31, 0xffffffff)],
    Case("INITIAL_WINDOW_SIZE 2^31-1", "6.5.2", [settings((INITIAL_WINDOW_SIZE, (1 << 31) - 1)), get(1)], Answered()),
    *[Case(f"MAX_FRAME_SIZE {value}", "6.5.2", settings((MAX_FRAME_SIZE, value)), Goaway(PROTOCOL_ERROR)) for value in (0, 16383, 1 << 24, 0xffffffff)],
    *[Case(f"MAX_FRAME_SIZE {value}", "6.5.2", settings((MAX_FRAME_SIZE, value)), Alive()) for value in (16384, (1 << 24) - 1)],
    Case("MAX_CONCURRENT_STREAMS 0", "6.5.2", [settings((MAX_CONCURRENT_STREAMS, 0)), get(1)], Answered()),
    Case("MAX_HEADER_LIST_SIZE 0", "6.5.2", [settings((MAX_HEADER_LIST_SIZE, 0)), get(1)], Answered(), Reset(INTERNAL_ERROR, PROTOCOL_ERROR, CANCEL)),
    Case("HEADER_TABLE_SIZE 0", "6.5.2", [get(1), answered(), settings((HEADER_TABLE_SIZE, 0)), synced, get(3), answered(3), get(5)], Answered(stream=5)),
    Case("HEADER_TABLE_SIZE up and down", "6.5.2",
         [settings((HEADER_TABLE_SIZE, 65536)), synced, get(1), answered(), settings((HEADER_TABLE_SIZE, 100)), synced, get(3)], Answered(stream=3)),
    Case("HEADER_TABLE_SIZE down and up in one frame", "6.5.2", [get(1), answered(), settings((HEADER_TABLE_SIZE, 0), (HEADER_TABLE_SIZE, 4096)), synced, get(3)], Answered(stream=3)),
    Case("HEADER_TABLE_SIZE 2^32-1", "6.5.2", [settings((HEADER_TABLE_SIZE, 0xffffffff)), synced, get(1)], Answered()),
    Case("unknown parameters", "6.5.2", [settings((0xff, 1), (0, 0xffffffff), (0xffff, 7)), get(1)], Answered()),
    Case("an acknowledgement of nothing", "6.5", settings(ack=True) * 3, Alive(), Goaway(PROTOCOL_ERROR)),
    Case("none at all", "6.5", settings(), Alive()),
    Case("the same parameter twice: the last counts", "6.5.3", [settings((INITIAL_WINDOW_SIZE, 100), (INITIAL_WINDOW_SIZE, 1)), synced, get(1), began(), synced], Alive()),
    Case("PUSH_PROMISE", "8.4", get(1) + frame(PUSH_PROMISE, 1, b"\0\0\0\2" + HEAD, END_HEADERS), Goaway(PROTOCOL_ERROR)),
    Case("PUSH_PROMISE on an idle stream", "8.4", frame(PUSH_PROMISE, 3, b"\0\0\0\2" + HEAD, END_HEADERS), Goaway(PROTOCOL_ERROR)),
    Case("PUSH_PROMISE on stream 0", "8.4", frame(PUSH_PROMISE, 0, b"\0\0\0\2" + HEAD, END_HEADERS), Goaway(PROTOCOL_ERROR)),
    Case("PUSH_PROMISE that is too short", "6.6", frame(PUSH_PROMISE, 1, b"\0\0", END_HEADERS), Goaway(PROTOCOL_ERROR, FRAME_SIZE_ERROR)),
)
PINGS = table(
    *[Case(f"PING of {size} bytes", "6.7", ping(bytes(size)), Goaway(FRAME_SIZE_ERROR)) for size in (0, 6, 7, 9, 16)],
    Case("PING on an idle stream", "6.7", frame(PING, 1, WORD), Goaway(PROTOCOL_ERROR)),
    Case("PING on a stream that is open", "6.7", get(1) + frame(PING, 1, WORD), Goaway(PROTOCOL_ERROR), settings=HELD),
    Case("an answer to no PING", "6.7", ping(WORD, ack=True), Alive()),
    Case("an answer to no PING on a stream", "6.7", frame(PING, 1, WORD, ACK), Goaway(PROTOCOL_ERROR)),
    Case("GOAWAY on a stream", "6.8", goaway(stream=1), Goaway(PROTOCOL_ERROR)),
    Case("GOAWAY that is too short", "6.8", frame(GOAWAY, 0, bytes(7)), Goaway(FRAME_SIZE_ERROR)),
    Case("GOAWAY of no bytes", "6.8", frame(GOAWAY, 0, b""), Goaway(FRAME_SIZE_ERROR)),
    Case("GOAWAY with an unknown code", "7", get(1) + goaway(0, 0xff), Answered(), Goaway(NO_ERROR), after=False),
    Case("GOAWAY while an answer is under way", "6.8", [get(1), began(), goaway(), window_update(1, 1000)], Answered(), Goaway(NO_ERROR), settings=HELD, after=False),
    *[Case(f"WINDOW_UPDATE of {size} bytes", "6.9", frame(WINDOW_UPDATE, 0, bytes(size)), Goaway(FRAME_SIZE_ERROR)) for size in (0, 3, 5, 8)],
    Case("WINDOW_UPDATE of 3 bytes on a stream", "6.9", get(1) + frame(WINDOW_UPDATE, 1, bytes(3)), Goaway(FRAME_SIZE_ERROR), settings=HELD),
    Case("WINDOW_UPDATE of 0", "6.9", window_update(0, 0), Goaway(PROTOCOL_ERROR)),
    Case("WINDOW_UPDATE of 0 with the reserved bit", "6.9", window_update(0, 0x80000000), Goaway(PROTOCOL_ERROR)),
    Case("WINDOW_UPDATE of 0 on a stream", "6.9", get(1) + window_update(1, 0), Reset(PROTOCOL_ERROR), Goaway(PROTOCOL_ERROR), settings=HELD),
    Case("WINDOW_UPDATE beyond 2^31-1", "6.9.1", window_update(0, 0x7fffffff), Goaway(FLOW_CONTROL_ERROR)),
    Case("two WINDOW_UPDATE beyond 2^31-1", "6.9.1", window_update(0, 0x7fffffff - 65535) + window_update(0, 1), Goaway(FLOW_CONTROL_ERROR)),
    Case("WINDOW_UPDATE to 2^31-1", "6.9.1", window_update(0, 0x7fffffff - 65535), Alive()),
    Case("WINDOW_UPDATE beyond 2^31-1 on a stream", "6.9.1", get(1) + window_update(1, 0x7fffffff) + window_update(1, 1), Reset(FLOW_CONTROL_ERROR), Goaway(FLOW_CONTROL_ERROR), settings=HELD),
    Case("INITIAL_WINDOW_SIZE takes a stream beyond 2^31-1", "6.9.2", [post(1), window_update(1, 0x7fffffff), settings((INITIAL_WINDOW_SIZE, 1))], Goaway(FLOW_CONTROL_ERROR), settings=HELD),
)
CONTINUATIONS = table(
    Case("without HEADERS", "6.10", continuation(1, HEAD), Goaway(PROTOCOL_ERROR)),
    Case("behind END_HEADERS", "6.10", get(1, end=False) + continuation(1, HEAD), Goaway(PROTOCOL_ERROR)),
    Case("behind CONTINUATION with END_HEADERS", "6.10", headers(1, HEAD[:9], whole=False, end=False) + continuation(1, HEAD[9:]) + continuation(1, literal("x-a", "b")), Goaway(PROTOCOL_ERROR)),
    Case("behind DATA", "6.10", post(1) + data(1, b"x") + continuation(1, HEAD), Goaway(PROTOCOL_ERROR)),
    Case("on stream 0", "6.10", headers(1, HEAD[:9], whole=False) + continuation(0, HEAD[9:]), Goaway(PROTOCOL_ERROR)),
    Case("on another stream", "6.10", headers(1, HEAD[:9], whole=False) + continuation(3, HEAD[9:]), Goaway(PROTOCOL_ERROR)),
    Case("with DATA in between", "6.10", headers(1, HEAD[:9], whole=False) + data(1, b"x") + continuation(1, HEAD[9:]), Goaway(PROTOCOL_ERROR)),
    Case("with DATA behind several", "6.10", headers(1, HEAD[:9], whole=False) + continuation(1, HEAD[9:20], whole=False) + data(1, b"x"), Goaway(PROTOCOL_ERROR)),
    Case("several, one of them empty", "6.10", headers(1, HEAD[:1], whole=False) + continuation(1, HEAD[1:9], False) + continuation(1, b"", False) + continuation(1, HEAD[9:]), Answered(), forwards=1),
    Case("END_STREAM is on HEADERS", "6.2", headers(1, block(*pseudo(method="POST"))[:9], whole=False, end=False) + continuation(1, block(*pseudo(method="POST"))[9:]) + data(1, b"x", end=True), Answered(), forwards=1),
    Case("trailers in pieces", "6.10", post(1) + data(1, b"x") + headers(1, literal("x-a", "b")[:2], whole=False) + continuation(1, literal("x-a", "b")[2:]), Answered(), forwards=1),
)


@FRAMES
def test_H2_01_frames(recorded_door, recorder, case):
    play(recorded_door, case, recorder)


@STREAMS
def test_H2_01_H2_13_streams(recorded_door, recorder, case):
    play(recorded_door, case, recorder)


@DATAS
def test_H2_01_data(recorded_door, recorder, case):
    play(recorded_door, case, recorder)


@HEADS
def test_H2_01_headers_priority_rst_stream(recorded_door, recorder, case):
    play(recorded_door, case, recorder)


@SETTING
def test_H2_01_settings(recorded_door, recorder, case):
    play(recorded_door, case, recorder)


@PINGS
def test_H2_01_ping_goaway_window_update(recorded_door, recorder, case):
    play(recorded_door, case, recorder)


@CONTINUATIONS
def test_H2_01_H2_05_continuation(recorded_door, recorder, case):
    play(recorded_door, case, recorder)


def test_H2_01_a_block_cut_at_every_place(recorded_door):
    """§4.3: how a block is spread over frames says nothing."""
    whole = block(*pseudo(), ("x-a", "b"), ("cookie", "c=d"))
    with recorded_door.peer() as peer:
        for cut in range(len(whole) + 1):
            stream = peer.next_stream()
            peer.note(stream)
            peer.send(headers(stream, whole[:cut], whole=False) + continuation(stream, whole[cut:]))
            if cut % 20 == 19:
                assert peer.answer(stream).status == 200
        assert peer.answer(stream).status == 200


def test_H2_01_settings_are_acknowledged_each(recorded_door):
    """§6.5.3: one acknowledgement for each, in order, without delay."""
    with recorded_door.peer() as peer:
        peer.greeted()
        for number in range(20):
            peer.set((INITIAL_WINDOW_SIZE, 60000 + number), (0xf00d, number))
        peer.greeted()
        assert peer.acked == 21
        assert peer.ask("/").status == 200


def test_H2_01_pings_are_answered_with_their_payload(recorded_door):
    """§6.7"""
    with recorded_door.peer() as peer:
        words = [struct.pack(">Q", number * 0x0123456789) for number in range(20)]
        peer.send(b"".join(map(ping, words)))
        peer.wait(lambda: len(peer.pongs) == 20, "20 answers")
        assert peer.pongs == words


def test_H2_01_a_connection_error_ends_the_streams_that_are_open(recorded_door):
    """§5.4.1: GOAWAY names the last stream that was taken, then the connection ends, for all of them."""
    with recorded_door.peer(settings=HELD) as peer:
        for _ in range(5):
            stream = peer.open()
            peer.head(stream)
        peer.send(ping(b"short"))
        peer.ending(PATIENCE)
        assert peer.goaways[-1][:2] == (stream, FRAME_SIZE_ERROR)
    recorded_door.bystander()
