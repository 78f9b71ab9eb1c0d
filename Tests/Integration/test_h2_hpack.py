"""RFC 7541: what an encoder must not send is COMPRESSION_ERROR for the whole connection (RFC 9113 §4.3), whatever it may send is read to the byte
(rows H2-01, H2-07). The numbers of sections in this file are those of RFC 7541.
"""
import json
import tarfile

import pytest

from h2rig import *
from upstreams import headers as fields_of

HEAD = block(*pseudo())
BAD = Goaway(COMPRESSION_ERROR)


def with_block(tail):
    return headers(1, HEAD + tail)


# In Huffman code "0" is 00000, "a" 00011, "&" 11111000, EOS thirty ones.
WRONG = table(
    Case("an index of 0", "6.1", with_block(indexed(0)), BAD, forwards=0),
    Case("an index behind an empty table", "2.3.3", with_block(indexed(62)), BAD, forwards=0),
    Case("an index far behind the tables", "2.3.3", with_block(indexed(0x7fffffff)), BAD),
    Case("a name's index behind the tables", "2.3.3", with_block(named(62, "v")), BAD),
    Case("a name's index behind the tables, never indexed", "2.3.3", with_block(named(70, "v", 0x10)), BAD),
    Case("a name's index behind the tables, with indexing", "2.3.3", with_block(named(1000, "v", 0x40)), BAD),
    Case("an index behind a table of one", "2.3.3", with_block(literal("x-a", "b", 0x40) + indexed(63)), BAD),
    Case("an index of what a size of 0 removed", "4.3", with_block(literal("x-a", "b", 0x40)) + headers(3, table_size(0) + HEAD + indexed(62)), BAD, forwards=1),
    Case("an index of what was pushed out", "4.4", with_block(literal("x-a", "y" * 3000, 0x40) + literal("x-b", "z" * 3000, 0x40) + indexed(63)), BAD),
    Case("an index of an entry that was too large", "4.4", with_block(literal("x-a", "y" * 5000, 0x40) + indexed(62)), BAD),
    Case("an index that never ends", "5.1", with_block(b"\xff" + b"\xff" * 10), BAD),
    Case("an index beyond 32 bits", "5.1", with_block(b"\xff\xff\xff\xff\xff\x7f"), BAD),
    Case("an index beyond 64 bits", "5.1", with_block(b"\xff" + b"\xff" * 9 + b"\x7f"), BAD),
    Case("an index that comes round to 2", "5.1", with_block(b"\xff" + integer((1 << 32) + 2 - 127 + 127, 7, 0x80)[1:]), BAD),
    Case("a name's length beyond 32 bits", "5.1", with_block(b"\x00\x7f\xff\xff\xff\xff\x7fabc"), BAD),
    Case("a value's length beyond 64 bits", "5.1", with_block(b"\x00\x01a\x7f" + b"\xff" * 9 + b"\x7fabc"), BAD),
    Case("a table size beyond 32 bits", "5.1", headers(1, b"\x3f\xff\xff\xff\xff\x7f" + HEAD), BAD),
    Case("an index cut off", "5.1", with_block(b"\xff"), BAD),
    Case("a literal cut off in front of its name", "5.2", with_block(b"\x00"), BAD),
    Case("a name cut off", "5.2", with_block(b"\x00\x05abc"), BAD),
    Case("a literal without a value", "5.2", with_block(b"\x00\x01a"), BAD),
    Case("a value cut off", "5.2", with_block(b"\x00\x01a\x05abc"), BAD),
    Case("a length cut off", "5.2", with_block(b"\x00\x7f\x80"), BAD),
    Case("a Huffman code cut off", "5.2", with_block(b"\x00\x01a\x85\x00\x00"), BAD),
    Case("Huffman padding of 8 bits", "5.2", with_block(b"\x00\x01a" + raw_huffman(b"\xf8\xff")), BAD),
    Case("Huffman padding of 11 bits", "5.2", with_block(b"\x00\x01a" + raw_huffman(b"\x07\xff")), BAD),
    Case("Huffman padding of a byte alone", "5.2", with_block(b"\x00\x01a" + raw_huffman(b"\xff")), BAD),
    Case("Huffman padding of zeros", "5.2", with_block(b"\x00\x01a" + raw_huffman(b"\x18")), BAD),
    Case("Huffman padding that is not all ones", "5.2", with_block(b"\x00\x01a" + raw_huffman(b"\x06")), BAD),
    Case("Huffman EOS", "5.2", with_block(b"\x00\x01a" + raw_huffman(b"\xff\xff\xff\xff")), BAD),
    Case("Huffman EOS in the middle", "5.2", with_block(b"\x00\x01a" + raw_huffman(b"\x07\xff\xff\xff\xe0\x7f")), BAD),
    Case("Huffman EOS in a name", "5.2", with_block(b"\x00" + raw_huffman(b"\xff\xff\xff\xfc") + b"\x01a"), BAD),
    Case("a size above the settings", "6.3", headers(1, table_size(4097) + HEAD), BAD),
    Case("a size far above the settings", "6.3", headers(1, table_size(0x7fffffff) + HEAD), BAD),
    Case("a size at the end of a block", "4.2", with_block(table_size(100)), BAD),
    Case("a size in the middle of a block", "4.2", headers(1, HEAD[:len(literal(*pseudo()[0]))] + table_size(0) + HEAD[len(literal(*pseudo()[0])):]), BAD),
    Case("a wrong index in trailers", "6.1", post(1) + data(1, b"x") + headers(1, indexed(0)), BAD, forwards=0),
    Case("a wrong index in a block of pieces", "6.1", headers(1, HEAD, whole=False) + continuation(1, indexed(0)[:1]), BAD, forwards=0),
    # §5.1 lets a decoder refuse an integer that is longer than it has to be; §4.2 says that two sizes are all an encoder ever needs.
    Case("an index with more bytes than it needs", "5.1", with_block(b"\xff\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x00"), BAD),
    Case("a short index with a byte too many", "5.1", headers(1, HEAD + b"\x00\x7f\x80\x00" + b"n" * 127 + b"\x01a"), Answered(), BAD),
    Case("three sizes", "4.2", headers(1, table_size(0) + table_size(100) + table_size(4096) + HEAD), Answered(), BAD),
)
RIGHT = table(
    Case("a size of 0 in front", "6.3", headers(1, table_size(0) + HEAD), Answered(), forwards=1),
    Case("two sizes in front", "4.2", headers(1, table_size(0) + table_size(4096) + HEAD), Answered(), forwards=1),
    Case("a size in front of trailers", "6.3", post(1) + data(1, b"x") + headers(1, table_size(10) + literal("x-a", "b")), Answered(), forwards=1),
    Case("an entry larger than the table empties it", "4.4", with_block(literal("x-a", "b", 0x40) + literal("x-b", "y" * 5000, 0x40)), Answered(), forwards=1),
    Case("no Huffman padding", "5.2", with_block(b"\x00\x03x-a" + raw_huffman(b"\x00\x00\x00\x00\x00")), Answered(), forwards=1),
    Case("a Huffman string of no bytes", "5.2", with_block(b"\x00\x03x-a\x80"), Answered(), forwards=1),
)


@WRONG
def test_H2_01_H2_07_what_no_encoder_may_send(recorded_door, recorder, case):
    play(recorded_door, case, recorder)


@RIGHT
def test_H2_01_what_an_encoder_may_send(recorded_door, recorder, case):
    play(recorded_door, case, recorder)


def ask_block(peer, fragment):
    stream = peer.next_stream()
    peer.note(stream)
    peer.send(headers(stream, fragment))
    assert peer.answer(stream).status == 200


@pytest.mark.parametrize("huffman", [False, True], ids=["plain", "huffman"])
def test_H2_01_every_representation_is_read_to_the_byte(recorded_door, recorder, huffman):
    """§6: what the upstream gets is what was encoded, by every form a field can have; and what was indexed is there the next time."""
    values = ["", "b", "x" * 126, "x" * 127, "x" * 128, "x" * 300, "!#$%&'()*+,-./0189:;<=>?@AZ[]^_`az{|}~", "caf\xe9", "\x80\xff", "a  b\tc"]
    with recorded_door.peer() as peer:
        for kind in (0x00, 0x10, 0x40):
            for at, value in enumerate(values):
                name = f"x-field-{at}"
                ask_block(peer, HEAD + literal(name, value, kind, huffman) + named(58, f"agent {at}", kind, huffman))
                found = fields_of(recorder.wait_requests(1)[0][0])
                assert (name, value) in found and ("user-agent", f"agent {at}") in found, (kind, found)
                recorder.reset()
        # The last two that were indexed, newest first: 62 is the agent, 63 the field.
        ask_block(peer, HEAD + indexed(62) + indexed(63) + named(63, "again"))
        found = fields_of(recorder.wait_requests(1)[0][0])
        assert ("user-agent", "agent 9") in found and ("x-field-9", values[9]) in found and ("x-field-9", "again") in found


def test_H2_01_the_static_table(recorded_door, recorder):
    """Appendix A: every entry by its index (those that are a request's to use)."""
    with recorded_door.peer() as peer:
        ask_block(peer, indexed(2) + indexed(6) + indexed(4) + named(1, "gateway.test"))
        ask_block(peer, indexed(2) + indexed(7) + indexed(5) + named(1, "gateway.test"))
        seen = recorder.wait_requests(2)
        assert seen[0][0].startswith(b"GET / ") and seen[1][0].startswith(b"GET /index.html ")
        recorder.reset()
        allowed = [index for index in range(15, 62) if hpack.table.HeaderTable.STATIC_TABLE[index - 1][0].decode() not in
                   {"host", "content-length", "expect", "transfer-encoding", "connection", "authorization", "proxy-authorization", "cookie", "via", "range", "if-range", "proxy-authenticate"}]
        ask_block(peer, HEAD + b"".join(named(index, f"v{index}") for index in allowed) + indexed(16))
        found = fields_of(recorder.wait_requests(1)[0][0])
        for index in allowed:
            name = hpack.table.HeaderTable.STATIC_TABLE[index - 1][0].decode()
            assert any(key == name and f"v{index}" in value for key, value in found), (index, name, found)


def test_H2_01_the_table_outlives_requests_that_fail(recorded_door, recorder):
    """RFC 9113 §4.3: a block counts for the table even when its request is refused, or its stream is over."""
    with recorded_door.peer() as peer:
        bad = peer.next_stream()
        peer.note(bad)
        peer.send(headers(bad, block(*pseudo(method="POST"), ("X", "y")) + literal("x-kept", "one", 0x40), end=False))
        was_reset(bad)(peer)
        # Trailers that were on their way when the reset came.
        peer.send(headers(bad, literal("x-late", "two", 0x40)))
        ask_block(peer, HEAD + indexed(62) + indexed(63))
        found = fields_of(recorder.wait_requests(1)[0][0])
        assert ("x-kept", "one") in found and ("x-late", "two") in found


def test_H2_01_entries_are_evicted_in_order(recorded_door, recorder):
    """§4.4: a table kept full for long; a reference to an entry whose insertion pushes it out is good."""
    encoder = hpack.Encoder()
    with recorded_door.peer() as peer:
        for number in range(40):
            fields = [*pseudo(), *((f"x-{number % 7}-{at}", "v" * (17 * number % 97) + str(number)) for at in range(20))]
            ask_block(peer, encoder.encode(fields))
            found = fields_of(recorder.wait_requests(1)[0][0])
            recorder.reset()
            for pair in fields[4:]:
                assert pair in found
        ask_block(peer, table_size(0) + table_size(100) + HEAD + literal("x-name", "y" * 50, 0x40) + named(62, "z" * 55, 0x40) + indexed(62))
        found = fields_of(recorder.wait_requests(1)[0][0])
        assert [value for name, value in found if name == "x-name"] in (["y" * 50, "z" * 55, "z" * 55], ["y" * 50 + ", " + "z" * 55 + ", " + "z" * 55])


@pytest.mark.parametrize("folder", ["nghttp2", "nghttp2-change-table-size", "go-hpack", "haskell-http2-linear-huffman", "node-http2-hpack", "python-hpack", "swift-nio-hpack-huffman", "nghttp2-16384-4096"])
def test_H2_01_stories_of_other_encoders(recorded_door, recorder, suites, folder):
    """Header blocks as other encoders made them: each is read as what was meant. A story whose table grows beyond what the gateway offers is left out at that place."""
    path = suites / "h2-streams/hpack-stories.tar.gz"
    if not path.is_file():
        pytest.skip(f"no test data: {path} is missing")
    with tarfile.open(path) as archive:
        names = [name for name in archive.getnames() if name.startswith(folder + "/") and name.endswith(("story_00.json", "story_03.json"))]
        if not names:
            pytest.skip(f"no stories of {folder}")
        stories = [json.load(archive.extractfile(name)) for name in sorted(names)]
    for story in stories:
        with recorded_door.peer() as peer:
            peer.greeted()
            for case in story["cases"][:30]:
                if (case.get("header_table_size") or 0) > peer.theirs[HEADER_TABLE_SIZE]:
                    break
                if "wire" not in case:
                    continue
                meant = [pair for one in case["headers"] for pair in one.items()]
                stream = peer.next_stream()
                peer.note(stream)
                recorder.reset()
                peer.send(headers(stream, bytes.fromhex(case["wire"])))
                got = peer.answers[stream]
                peer.wait(lambda: got.is_over or peer.goaways, "an answer")
                assert not peer.goaways, peer.goaways
                if got.reset is not None or got.status != 200:
                    continue  # a request the gateway does not take; its block counts for the table all the same
                found = dict(fields_of(recorder.wait_requests(1)[0][0]))
                for name in ("user-agent", "accept", "accept-language", "referer"):
                    if dict(meant).get(name):
                        assert found[name] == dict(meant)[name]
        recorded_door.bystander()
