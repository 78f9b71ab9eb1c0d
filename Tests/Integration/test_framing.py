"""Where a message ends, and what is no message: request heads and bodies that a careless server reads in two ways (faults H1-01 … H1-17)."""
import pytest

from refusals import refusal, refuses
from upstreams import headers
from wire import Client, chat, chunked, request

HEAD = b"POST /x HTTP/1.1\r\nHost: gateway.test\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


def test_H1_01_length_and_coding_together_are_refused(recorded, recorder):
    refuses(recorded, recorder, [
        HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        HEAD + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
        HEAD + b"transfer-encoding: Chunked\r\nX: y\r\ncontent-length: 0\r\n\r\n0\r\n\r\n",
        HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n",
    ])


def test_H1_02_several_content_lengths_are_refused(recorded, recorder):
    refuses(recorded, recorder, [
        HEAD + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
        HEAD + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        HEAD + b"Content-Length: 5, 5\r\n\r\nhello", HEAD + b"Content-Length: 5,5\r\n\r\nhello", HEAD + b"Content-Length: ,5\r\n\r\nhello",
    ])


def test_H1_03_odd_content_lengths_are_refused(recorded, recorder):
    values = [b"+5", b"-1", b"-0", b"0x5", b"5_0", b"5e0", b"", b" ", b"\t", b"5a", b"a5", b"5 5", b"5;", b"\xa05", b"5\xa0", b"\xc2\xa05", b"5.0", b"\xd9\xa5", b"'5'"]
    refuses(recorded, recorder, [HEAD + b"Content-Length: " + value + b"\r\n\r\nhello" for value in values])


def test_H1_04_enormous_content_lengths_are_refused(recorded, recorder):
    values = [2**63 - 1, 2**63, 2**64 - 1, 2**64, 2**64 + 5, 10**39]
    refuses(recorded, recorder, [HEAD + b"Content-Length: %d\r\n\r\nhello" % value for value in values], (400, 413))


def test_H1_05_a_body_beyond_the_limit_is_refused_unread(gateway, recorder):
    small = gateway(plain=recorder.url, server={"max_body_mb": 1})
    refuses(small, recorder, [
        (HEAD + b"Content-Length: 1048577\r\n\r\n", (413,)),
        (HEAD + b"Content-Length: 1048577\r\n\r\n" + b"x" * 1000, (413,)),
        (CHUNKED + chunked([b"x" * 65536] * 16 + [b"y"]), (413,)),
    ])
    assert small.ask(request("POST", "/x", b"x" * 1048576)).status == 200
    assert small.ask(CHUNKED + chunked([b"x" * 65536] * 16)).status == 200
    assert [len(body) for _, body in recorder.requests] == [1048576, 1048576]


def test_H1_06_codings_that_do_not_end_in_one_chunked_are_refused(recorded, recorder):
    values = [b"chunked, gzip", b"chunked, chunked", b"identity", b"xchunked", b",chunked", b"chunked,", b"gzip, chunked", b"gzip", b"chunked;q=1", b"\"chunked\"",
              b"chunked identity", b"chunked\x0b", b"chunk", b"", b"cHuNkEd, cHuNkEd"]
    refuses(recorded, recorder, [HEAD + b"Transfer-Encoding: " + value + b"\r\n\r\n0\r\n\r\n" for value in values]
            + [HEAD + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", HEAD + b"Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"], (400, 501))
    assert recorded.ask(HEAD + b"Transfer-Encoding: ChUnKeD\r\n\r\n0\r\n\r\n").status == 200


@pytest.mark.parametrize("place", ["%sTransfer-Encoding: chunked", "Transfer-Encoding%s: chunked", "Transfer-Encoding: %schunked", "Transfer-Encoding: chunked%s"])
def test_H1_07_no_byte_hides_a_transfer_encoding(recorded, recorder, place):
    before, after = place.encode().split(b"%s")
    cases = []
    for byte in [*range(0x20), *range(0x7f, 0x100)]:
        if byte == 9 and place[0] != "%" and b": " in before:
            continue  # white space around a value is none of it
        cases.append(HEAD + before + bytes([byte]) + after + b"\r\nContent-Length: 6\r\n\r\n0\r\n\r\nX")
    refuses(recorded, recorder, cases, (400, 501))


def test_H1_08_a_transfer_encoding_in_http_1_0_is_refused(recorded, recorder):
    refuses(recorded, recorder, [b"POST /x HTTP/1.0\r\nHost: gateway.test\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"])


def test_H1_09_odd_chunk_sizes_are_refused(recorded, recorder):
    sizes = [b"", b"0x1", b"+1", b"-1", b"1_0", b" 1", b"\t1", b"1 ", b"g", b"1g", b"1" * 17, b"0" * 17, b"ffffffffffffffff", b"10000000000000000", b"8000000000000000", b"\xb5", b"1.0"]
    refuses(recorded, recorder, [CHUNKED + size + b"\r\nx\r\n0\r\n\r\n" for size in sizes], (400, 413))
    refuses(recorded, recorder, [CHUNKED + b"3\r\nabc\r\n" + size + b"\r\nx\r\n0\r\n\r\n" for size in sizes], (400, 413))


def test_H1_10_chunk_data_must_end_with_its_line_end(recorded, recorder):
    refuses(recorded, recorder, [CHUNKED + tail for tail in (
        b"3\r\nabcd\r\n0\r\n\r\n", b"3\r\nabc\n0\r\n\r\n", b"3\r\nabc\rX0\r\n\r\n", b"3\r\nabcXX0\r\n\r\n", b"3\r\nabc\r\r\n0\r\n\r\n", b"3\r\nabc0\r\n\r\n", b"3\rX", b"3\nabc\n0\n\n",
        b"3\r\nabc\r\n0\r\n\n", b"3\r\nabc\r\n0\r\nX\r\n\r\n")])


def test_H1_11_chunk_extensions_are_read_and_dropped(recorded, recorder):
    with Client(recorded.port) as client:
        for extension in (b";a", b";a=b", b";a=\"b c;\\\"\"", b"; a = b", b";a;b;c=d"):
            recorder.reset()
            assert client.ask(CHUNKED + chunked([b"hello", b" world"], extension)).status == 200, extension
            assert recorder.requests[0][1] == b"hello world" and extension not in recorder.bytes()


def test_H1_11_bad_and_endless_chunk_extensions_are_refused(recorded, recorder):
    refuses(recorded, recorder, [CHUNKED + b"3" + extension + b"\r\nabc\r\n0\r\n\r\n" for extension in (
        b";a\nb", b";a\rb", b";a\0b", b";a=\"b", b";a=\"b\0\"", b";a=\x7f", b" a", b";" + b"x" * 1_000_000, b";a=\"" + b"x" * 5000 + b"\"")], (400, 413, 431))
    # Small ones too, if there are enough of them.
    refuses(recorded, recorder, [CHUNKED + b"1;abcdefghij\r\nx\r\n" * 1000 + b"0\r\n\r\n"], (400, 413, 431))


@pytest.mark.parametrize("tail", [b"3\r\nabc\r\n", b"3\r\nabc\r\n0\r\n", b"3\r\nab", b"0", b"", b"3\r\nabc\r\n0\r\nx: y\r\n"])
def test_H1_12_a_body_that_breaks_off_is_no_request(recorded, recorder, tail):
    with Client(recorded.port) as client:
        client.send(HEAD + b"x-request-id: cut-" + recorded.backend.encode() + b"-%d" % len(tail) + b"\r\nTransfer-Encoding: chunked\r\n\r\n" + tail)
        client.finish()
        assert client.everything() == b""
    line = recorded.logged(f"cut-{recorded.backend}-{len(tail)}")
    assert (line["status"], line["disconnected"], line["error_class"]) == (499, "client", "client_gone")
    assert recorder.bytes() == b""


def test_H1_13_trailers_are_dropped(recorded, recorder):
    trailers = b"Host: evil\r\nContent-Length: 3\r\nAuthorization: Bearer evil\r\nX-Trailer: evil\r\n"
    assert recorded.ask(CHUNKED + chunked([b"hello"], trailers=trailers)).status == 200
    assert recorder.requests[0][1] == b"hello" and b"evil" not in recorder.bytes()


def test_H1_13_ten_thousand_trailers_are_refused(recorded, recorder):
    refuses(recorded, recorder, [CHUNKED + chunked([b"hello"], trailers=b"".join(b"t%d: x\r\n" % n for n in range(10_000))),
                                 CHUNKED + chunked([b"hello"], trailers=b"t: " + b"x" * 200_000 + b"\r\n")], (400, 431))
    refuses(recorded, recorder, [CHUNKED + chunked([b"hello"], trailers=bad + b"\r\n") for bad in (b" x: y", b"x : y", b"x: \0", b"no colon")])


def test_H1_14_stray_line_ends_are_refused(recorded, recorder):
    refuses(recorded, recorder, [
        b"GET / HTTP/1.1\nHost: gateway.test\n\n", b"GET / HTTP/1.1\r\nHost: gateway.test\n\r\n", b"GET / HTTP/1.1\r\nHost: gateway.test\r\n\n", b"GET / HTTP/1.1\rHost: gateway.test\r\r",
        b"GET / HTTP/1.1\r\r\nHost: gateway.test\r\n\r\n", b"GET / HTTP/1.1\r\nHost: gateway.test\r\r\n\r\n", b"GET / HTTP/1.1\r\nHost: gateway.test\r\nX: a\rb\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: gateway.test\r\nX: a\nY: b\r\n\r\n", b"\nGET / HTTP/1.1\r\nHost: gateway.test\r\n\r\n", b"\rGET / HTTP/1.1\r\nHost: gateway.test\r\n\r\n"])
    # Whole empty lines before a request are allowed (RFC 9112 §2.2).
    assert recorded.ask(b"\r\n\r\n" + request("GET", "/")).status == 200


def test_H1_15_control_bytes_are_refused_and_never_logged_raw(recorded, recorder):
    controls = [bytes([byte]) for byte in [*range(9), 11, 12, *range(14, 32), 127]]
    refuses(recorded, recorder,
            [b"GE" + byte + b"T / HTTP/1.1\r\nHost: gateway.test\r\n\r\n" for byte in controls]
            + [b"GET /a" + byte + b"b HTTP/1.1\r\nHost: gateway.test\r\n\r\n" for byte in controls]
            + [b"GET / HTTP/1.1\r\nHost: gateway.test\r\nx" + byte + b"y: z\r\n\r\n" for byte in controls]
            + [b"GET / HTTP/1.1\r\nHost: gateway.test\r\nx: y" + byte + b"z\r\n\r\n" for byte in controls])
    assert not any(byte < 32 and byte != 10 or byte == 127 for byte in recorded.log_path.read_bytes())


def test_H1_16_malformed_field_lines_are_refused(recorded, recorder):
    refuses(recorded, recorder, [b"GET / HTTP/1.1\r\n" + fields + b"\r\n\r\n" for fields in (
        b"Host: gateway.test\r\nX: a\r\n b", b"Host: gateway.test\r\nX: a\r\n\tb", b" Host: gateway.test", b"\tX: y\r\nHost: gateway.test", b"Host : gateway.test", b"Host\t: gateway.test",
        b": empty\r\nHost: gateway.test", b"Host: gateway.test\r\nNoColon", b"Host: gateway.test\r\nsplit\r\nname: x", b"Host: gateway.test\r\nX(: y", b"Host: gateway.test\r\nX\xe9: y",
        b"Host: gateway.test\r\nX\"Y: z", b"Host: gateway.test\r\nX/Y: z", b"Host: gateway.test\r\nX{}: z")])


def test_H1_17_bad_hosts_are_refused(recorded, recorder):
    head = b"GET / HTTP/1.1\r\n"
    refuses(recorded, recorder, [head + fields + b"\r\n" for fields in (
        b"", b"Host:\r\n", b"Host: \r\n", b"Host: a\r\nHost: b\r\n", b"Host: a\r\nHost: a\r\n", b"Host: a, b\r\n", b"Host: user@a\r\n", b"Host: a/b\r\n", b"Host: a b\r\n", b"Host: a:b\r\n",
        b"Host: a:99999\r\n", b"Host: [::1\r\n", b"Host: ::1\r\n", b"Host: http://a\r\n", b"Host: a?b\r\n", b"Host: a#b\r\n", b"Host: \xe9\r\n", b"Host: a\\b\r\n", b"Host: a%\r\n")])
    for good in (b"a", b"a:80", b"[::1]:8080", b"127.0.0.1", b"A.example", b"xn--bcher-kva.example"):
        assert recorded.ask(head + b"Host: " + good + b"\r\n\r\n", "GET").status == 200, good
    # HTTP/1.0 had none.
    assert recorded.ask(b"GET / HTTP/1.0\r\n\r\n", "GET").status == 200


def test_H1_18_the_target_decides_over_host(gateway, recorder):
    """Absolute-form: the target's authority is the one that routes, and the upstream is asked with its own name (RFC 9112 §3.2.2)."""
    upstreams = {"plain": {"type": "http", "base_url": recorder.url}}
    routes = [{"id": name, "match": {"host": name + ".test"}, "strategy": {"upstreams": ["plain"]}} for name in ("one", "two")]
    two = gateway(raw={**gateway.configuration(), "upstreams": upstreams, "routes": routes})
    answer = two.ask(request("GET", "http://one.test/path?q", host="two.test"), "GET")
    assert (answer.status, answer.get("x-openclaw-route")) == (200, "one")
    assert recorder.heads()[0].startswith(b"GET /path?q HTTP/1.1\r\n")
    found = dict(headers(recorder.heads()[0]))
    assert found["host"] == f"127.0.0.1:{recorder.port}" and found["x-forwarded-host"] == "one.test"
    assert two.ask(request("GET", "/path", host="two.test:80"), "GET").get("x-openclaw-route") == "two"
    assert two.ask(request("GET", "http://three.test/", host="one.test"), "GET").error(404, "route_not_found")
    refuses(two, recorder.reset() or recorder, [request("GET", target, host="one.test") for target in ("http://user@one.test/", "http://one.test:x/", "ftp://one.test/", "http:///", "one.test:80")])


def test_a_request_whose_head_was_not_read_has_an_id_too(recorded):
    """A head that could not be read has an id made for it."""
    answer = refusal(recorded, b"GET / HTTP/1.1\r\nHost: x\r\nX-Request-Id: mine\r\nBad Field: y\r\n\r\n")
    assert answer.get("x-request-id").startswith("req_")


def test_the_good_ones_among_these_are_good(recorded, recorder):
    """So that the tables above don't pass because everything is refused."""
    with Client(recorded.port) as client:
        assert client.ask(HEAD + b"Content-Length: 5\r\n\r\nhello").status == 200
        assert client.ask(CHUNKED + chunked([b"hello"])).status == 200
        assert client.ask(HEAD + b"Content-Length: 0\r\n\r\n").status == 200
        assert client.ask(HEAD + b"Content-Length: 000005\r\n\r\nhello").status == 200
        assert client.ask(HEAD + b"Transfer-Encoding:\tchunked \r\n\r\n" + b"5\r\nhello\r\n0000\r\n\r\n").status == 200
        assert client.ask(chat()).status == 200
    assert [body for _, body in recorder.requests][:5] == [b"hello", b"hello", b"", b"hello", b"hello"]
