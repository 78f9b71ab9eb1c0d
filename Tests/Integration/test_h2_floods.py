"""Floods of HTTP/2 frames (rows H2-05, H2-06, H2-07): each is ended by GOAWAY(ENHANCE_YOUR_CALM) with its reason in the metrics, at a flat cost. And what honest
clients send in number is not taken for one.
"""
import pytest

from h2attack import *

HEAD = block(*pseudo("/bytes/10"))
CALM = (ENHANCE_YOUR_CALM,)


@pytest.fixture
def usual(door, mock):
    return door(model=mock.url, plain=mock.url)


def attack(door, make, count, codes=CALM, prelude=b"", **options):
    """Pours `count` pieces until the connection ends; checks how."""
    with door.peer(deadline=20, **options) as peer:
        peer.greeted()
        register(peer, prelude)
        peer.send(prelude)
        piece = b"".join(make(number) for number in range(min(count, 1000)))
        for _ in range(max(1, count // 1000)):
            register(peer, piece)
            peer.pour(piece)
            if peer.goaways or peer.end:
                break
        try:
            peer.ending()
        except Late:
            raise AssertionError(f"{count} pieces and the connection stands") from None
        assert peer.goaways or peer.end == "reset", "closed without a word"
        if peer.goaways:
            assert peer.goaways[-1][1] in codes, f"{code_name(peer.goaways[-1][1])}, expected {[code_name(code) for code in codes]}"
        return peer


# H2-05. A block that grows beyond the list's limit may also be a COMPRESSION_ERROR or PROTOCOL_ERROR of its own.
HUFFMAN_HEAVY = continuation(1, b"\0" + string("x-a", True) + string("0" * 25000, True), whole=False)
CONTINUATION_FLOODS = {
    "empty": lambda number: continuation(1, b"", whole=False),
    "a byte each": lambda number: continuation(1, literal("x-a", "b")[number % 7:number % 7 + 1], whole=False),
    "a field each": lambda number: continuation(1, literal(f"x-{number}", "b"), whole=False),
    "Huffman-heavy": lambda number: HUFFMAN_HEAVY,
    "large": lambda number: continuation(1, literal("x-a", "y" * 16000), whole=False),
}


@pytest.mark.parametrize("how", list(CONTINUATION_FLOODS))
def test_H2_05_continuation_floods(usual, mock, how):
    with unharmed(usual, "continuation_flood", "header_list"):
        attack(usual, CONTINUATION_FLOODS[how], 1000 if how in ("Huffman-heavy", "large") else 20000, (ENHANCE_YOUR_CALM, PROTOCOL_ERROR), headers(1, HEAD, whole=False))


def test_H2_05_eight_continuations_are_enough_for_everybody(usual):
    """The limit is the documented one: 8 pass, the ninth does not."""
    with usual.peer() as peer:
        peer.greeted()
        peer.note(1)
        peer.send(headers(1, HEAD, whole=False) + b"".join(continuation(1, literal(f"x-{number}", "b"), number == 7) for number in range(8)))
        assert peer.answer(1).status == 200
        peer.note(3)
        peer.send(headers(3, HEAD, whole=False) + b"".join(continuation(3, literal(f"x-{number}", "b"), False) for number in range(9)))
        peer.ending()
        assert peer.goaways[-1][1] == ENHANCE_YOUR_CALM


def test_H2_05_a_head_of_many_bytes_in_few_frames_passes(usual):
    """Below the limit for heads a request is a request, however it is cut."""
    with usual.peer() as peer:
        peer.greeted()
        peer.note(1)
        big = b"".join(literal(f"x-{number}", "y" * 3000) for number in range(15))
        pieces = [big[at:at + 16000] for at in range(0, len(big), 16000)]
        peer.send(headers(1, HEAD, whole=False) + b"".join(continuation(1, one, at == len(pieces) - 1) for at, one in enumerate(pieces)))
        assert peer.answer(1).status == 200


# H2-06
CONTROL_FLOODS = {
    "SETTINGS": lambda number: settings(),
    "SETTINGS with parameters": lambda number: settings((INITIAL_WINDOW_SIZE, 65535 - number % 2), (HEADER_TABLE_SIZE, number % 4096), (MAX_FRAME_SIZE, 16384)),
    "SETTINGS acknowledgements": lambda number: settings(ack=True),
    "PING": lambda number: ping(),
    "PING acknowledgements": lambda number: ping(ack=True),
    "PRIORITY": lambda number: priority(1 + number % 1000 * 2, 0, number % 256),
    "WINDOW_UPDATE": lambda number: window_update(0, 1),
    "unknown frames": lambda number: frame(0xfa, 0, b"x"),
    "unknown frames on streams": lambda number: frame(0xfa, 1 + number % 100 * 2, b""),
}


@pytest.mark.parametrize("how", list(CONTROL_FLOODS))
def test_H2_06_control_floods(usual, how):
    # A server may also say that an acknowledgement of nothing is none.
    more = ("protocol_error",) if "acknowledgements" in how else ()
    with unharmed(usual, "control_flood", "output_full", *more):
        attack(usual, CONTROL_FLOODS[how], 50000, (*CALM, PROTOCOL_ERROR) if more else CALM)


@pytest.mark.parametrize("how", ["empty DATA", "DATA of padding", "WINDOW_UPDATE", "PRIORITY"])
def test_H2_06_floods_on_an_open_stream(usual, how):
    make = {"empty DATA": lambda number: data(1), "DATA of padding": lambda number: data(1, b"", pad=0), "WINDOW_UPDATE": lambda number: window_update(1, 1), "PRIORITY": lambda number: priority(1)}[how]
    with unharmed(usual, "control_flood"):
        attack(usual, make, 50000, prelude=post(1, "/slow", ("x-mock-delay-ms", "30000")))


@pytest.mark.parametrize("how", ["RST_STREAM", "WINDOW_UPDATE", "PRIORITY"])
def test_H2_06_floods_on_a_stream_that_is_over(usual, how):
    make = {"RST_STREAM": lambda number: rst(1), "WINDOW_UPDATE": lambda number: window_update(1, 1), "PRIORITY": lambda number: priority(1)}[how]
    with unharmed(usual):
        attack(usual, make, 50000, (ENHANCE_YOUR_CALM, STREAM_CLOSED), prelude=post(1, "/bytes/1") + rst(1))


@pytest.mark.parametrize("how", ["PING", "SETTINGS"])
def test_H2_06_a_client_that_does_not_read_what_it_asks_for(usual, how):
    """The answers wait in the gateway: not without bound."""
    make = {"PING": ping(), "SETTINGS": settings()}[how]
    with unharmed(usual, "control_flood", "output_full"):
        with usual.peer(receive_buffer=4096) as peer:
            peer.greeted()
            peer.socket.settimeout(10)
            try:
                for _ in range(100):
                    peer.socket.sendall(make * 1000)
            except (OSError, ssl.SSLError):
                pass
            # Acknowledgements of SETTINGS that the peer was not told of.
            peer.pending_settings.extend([{}] * 100000)
            peer.ending()
            assert peer.end == "reset" or peer.goaways[-1][1] == ENHANCE_YOUR_CALM
            assert len(peer.pongs) <= 25000 and peer.acked <= 25000


def test_H2_06_honest_window_updates_are_no_flood(usual):
    """A client that gives each DATA frame's bytes back at once, on stream and connection, over a long answer of small frames."""
    with usual.peer() as peer:
        stream = peer.open("/bytes/3000000", ("x-mock-split", "500"))
        assert len(peer.answer(stream, 20).body) == 3_000_000
        peer.ping()
        assert not peer.goaways and peer.ask("/bytes/10").status == 200


def test_H2_06_an_honest_client_may_ping_at_times(usual):
    """As gRPC does with each piece it reads, to measure the line."""
    with usual.peer() as peer:
        for _ in range(300):
            peer.ping()
        assert peer.ask("/bytes/10").status == 200 and not peer.goaways


# H2-07

def bomb(peer, stream, references, first):
    """An entry of 3,900 bytes in the table, and a block that names it so many times: a byte becomes 3,900."""
    head = HEAD + (literal("x-bomb", "y" * 3900, 0x40) if first else b"") + indexed(62) * references
    frames, at = headers(stream, head[:16384], whole=len(head) <= 16384), 16384
    while at < len(head):
        frames += continuation(stream, head[at:at + 16384], at + 16384 >= len(head))
        at += 16384
    return frames


def test_H2_07_an_hpack_bomb(usual, mock):
    """64 MB of fields in 16 KB, 50 times over: refused by the size it would have, which is never built."""
    with unharmed(usual, memory=32 << 20):
        with usual.peer(deadline=20) as peer:
            peer.greeted()
            for number in range(50):
                peer.note(1 + 2 * number)
            peer.pour(b"".join(bomb(peer, 1 + 2 * number, 12000, number == 0) for number in range(50)))
            try:
                peer.wait(lambda: peer.goaways or all(one.is_over for one in peer.answers.values()), "a verdict on each")
            except Over:
                pass
            for one in peer.answers.values():
                assert one.status in (0, 431) and one.reset in (None, PROTOCOL_ERROR, ENHANCE_YOUR_CALM, REFUSED_STREAM, INTERNAL_ERROR, CANCEL, NO_ERROR), one
            assert peer.goaways or all(one.is_over for one in peer.answers.values())
            assert not peer.goaways or peer.goaways[-1][1] in (ENHANCE_YOUR_CALM, PROTOCOL_ERROR, COMPRESSION_ERROR)
        assert mock.stats()["by_path"].get("other", 0) == 0


def test_H2_07_a_head_over_the_limit_is_431_or_a_reset(usual, mock):
    """One large head, honestly sent, is not a reason to end the connection; its block counts for the table."""
    with usual.peer() as peer:
        peer.greeted()
        peer.note(1)
        peer.send(bomb(peer, 1, 40, True))
        got = peer.answers[1]
        peer.wait(lambda: got.is_over, "a verdict")
        assert got.status == 431 or got.reset in (PROTOCOL_ERROR, ENHANCE_YOUR_CALM, REFUSED_STREAM), got
        peer.note(3)
        peer.send(headers(3, HEAD + indexed(62)))
        assert peer.answer(3).status == 200


def test_H2_07_too_many_fields_are_431_or_a_reset(usual):
    with usual.peer() as peer:
        peer.greeted()
        peer.note(1)
        peer.send(headers(1, HEAD + b"".join(literal(f"x-{number}", "y") for number in range(300))))
        got = peer.answers[1]
        peer.wait(lambda: got.is_over, "a verdict")
        assert got.status == 431 or got.reset in (PROTOCOL_ERROR, ENHANCE_YOUR_CALM, REFUSED_STREAM), got
        assert peer.ask("/bytes/10").status == 200


def test_H2_07_games_with_the_tables_size(usual):
    """The size up and down in front of each request, with large entries in between: nothing grows."""
    with unharmed(usual):
        with usual.peer() as peer:
            peer.greeted()
            for number in range(200):
                stream = peer.next_stream()
                peer.note(stream)
                peer.send(headers(stream, table_size(0) + table_size(4096) + HEAD + literal(f"x-{number}", "y" * 4000, 0x40)))
                if number % 20 == 19:
                    assert peer.answer(stream).status == 200


def test_H2_07_our_table_stays_small_whatever_the_client_offers(usual):
    """HEADER_TABLE_SIZE is a limit for our encoder, not an order: 4 GB offered are not taken."""
    with unharmed(usual):
        with usual.peer(settings=((HEADER_TABLE_SIZE, 0xffffffff),)) as peer:
            for _ in range(300):
                assert peer.ask("/bytes/10").status == 200
