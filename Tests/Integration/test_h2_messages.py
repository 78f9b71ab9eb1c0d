"""RFC 9113 §8, HTTP in HTTP/2: what makes a request malformed resets its stream with PROTOCOL_ERROR and never reaches an upstream, in any form; the
rest arrives there as the request that was meant (rows H2-01, H2-10, H2-11, H2-14).
"""
import pytest

from h2rig import *
from upstreams import headers as fields_of
from wire import until

MALFORMED = Reset(PROTOCOL_ERROR)
# §8.1.1 lets a server answer a malformed request before or in place of the reset.
REFUSED = (MALFORMED, Answered(400))


def fields(*more, **pseudos):
    return headers(1, [*pseudo(**pseudos), *more])


def malformed(name, section, *steps, outcomes=(MALFORMED,)):
    return Case(name, section, list(steps), *outcomes, forwards=0)


def without(*names):
    return [pair for pair in pseudo() if pair[0] not in names]


# §8.2.1; a colon in front makes a pseudo-field and has its own rows.
NAME_BYTES = [*range(0x00, 0x21), *b'"(),/;<=>?@[\\]{}', *range(0x41, 0x5b), 0x3a, 0x7f, 0x80, 0xa0, 0xc3, 0xff]
VALUE_BYTES = [0x00, 0x0a, 0x0d]

SHAPES = table(
    malformed("DATA in place of the first HEADERS' end, then HEADERS without END_STREAM", "8.1", post(1), data(1, b"x"), headers(1, [("x-a", "b")], end=False)),
    malformed("a second head", "8.1", post(1), post(1)),
    malformed("trailers with a pseudo-field", "8.1", post(1), data(1, b"x"), headers(1, [(":method", "GET")])),
    malformed("trailers with :status", "8.1", post(1), data(1, b"x"), headers(1, [(":status", "200")])),
    malformed("trailers with a name in upper case", "8.1", post(1), data(1, b"x"), headers(1, [("X-A", "b")])),
    malformed("trailers with connection", "8.1", post(1), data(1, b"x"), headers(1, [("connection", "close")])),
    malformed("trailers with a line end", "8.1", post(1), data(1, b"x"), headers(1, [("x-a", "b\r\nx-c: d")])),
    Case("DATA behind trailers", "8.1", [post(1), data(1, b"x"), headers(1, [("x-a", "b")]), began(), data(1, b"y", end=True)], Reset(STREAM_CLOSED), Goaway(STREAM_CLOSED), settings=HELD),
    Case("trailers", "8.1", [post(1), data(1, b"x"), headers(1, [("x-a", "b")])], Answered(), forwards=1),
    Case("trailers without a body", "8.1", [post(1), headers(1, [("x-a", "b")])], Answered(), forwards=1),
    Case("no body in an empty DATA", "8.1", [post(1), data(1, b"", end=True)], Answered(), forwards=1),
)
LENGTHS = table(
    malformed("content-length and no body", "8.1.1", fields(("content-length", "1"), method="POST")),
    malformed("content-length and an empty body", "8.1.1", post(1, "/case", ("content-length", "1")), data(1, b"", end=True)),
    malformed("content-length too long", "8.1.1", post(1, "/case", ("content-length", "5")), data(1, b"xxxx", end=True)),
    malformed("content-length too long for several DATA", "8.1.1", post(1, "/case", ("content-length", "9")), data(1, b"xxxx"), data(1, b"xxxx", end=True)),
    malformed("content-length too short", "8.1.1", post(1, "/case", ("content-length", "3")), data(1, b"xxxx", end=True)),
    malformed("content-length too short for several DATA", "8.1.1", post(1, "/case", ("content-length", "5")), data(1, b"xxxx"), data(1, b"xxxx")),
    malformed("content-length too short, END_STREAM apart", "8.1.1", post(1, "/case", ("content-length", "3")), data(1, b"xxxx"), data(1, b"", end=True)),
    malformed("content-length that counts the padding", "8.1.1", post(1, "/case", ("content-length", "8")), data(1, b"xxxx", end=True, pad=3)),
    malformed("content-length too long in front of trailers", "8.1.1", post(1, "/case", ("content-length", "5")), data(1, b"xxxx"), headers(1, [("x-a", "b")])),
    malformed("two content-length", "8.1.1", post(1, "/case", ("content-length", "4"), ("content-length", "5")), data(1, b"xxxx", end=True)),
    # RFC 9110 §8.6 lets a recipient take one for the other.
    Case("two equal content-length", "8.1.1", post(1, "/case", ("content-length", "4"), ("content-length", "4")) + data(1, b"xxxx", end=True), *REFUSED, Answered(200)),
    *[malformed(f"content-length {value!r}", "8.1.1", post(1, "/case", ("content-length", value)), data(1, b"xxxx", end=True), outcomes=REFUSED)
      for value in ("", "-4", "+4", "4,4", "4, 4", "0x4", "4.0", "4e0", "four", "99999999999999999999999", "18446744073709551620", "\xb4")],
    Case("content-length with padding", "8.1.1", [post(1, "/case", ("content-length", "4")), data(1, b"xx", pad=9), data(1, b"xx", pad=0), data(1, b"", end=True)], Answered(), forwards=1),
    Case("content-length 0", "8.1.1", fields(("content-length", "0"), method="POST"), Answered(), forwards=1),
)
FIELDS = table(
    *[malformed(f"0x{byte:02x} in a name", "8.2.1", fields((f"x{chr(byte)}a", "b"))) for byte in NAME_BYTES],
    *[malformed(f"0x{byte:02x} ends a name", "8.2.1", fields((f"xa{chr(byte)}", "b"))) for byte in (0x00, 0x09, 0x0a, 0x0d, 0x20, 0x3a)],
    malformed("a name of one capital", "8.2.1", fields(("X", "b"))),
    malformed("an empty name", "8.2.1", fields(("", "b"))),
    malformed("an empty name without a value", "8.2.1", fields(("", ""))),
    *[malformed(f"0x{byte:02x} {where} a value", "8.2.1", fields(("x-a", value.replace("?", chr(byte))))) for byte in VALUE_BYTES for where, value in (("in", "a?b"), ("begins", "?b"), ("ends", "a?"), ("is", "?"))],
    malformed("CRLF and a field in a value", "8.2.1", fields(("x-a", "b\r\nx-smuggled: 1"))),
    malformed("CRLF CRLF and a request in a value", "8.2.1", fields(("x-a", "b\r\n\r\nGET /case HTTP/1.1\r\nHost: x\r\n\r\n"))),
    *[malformed(f"a value that {how} with {what}", "8.2.1", fields(("x-a", value))) for value, how, what in
      ((" b", "begins", "a space"), ("\tb", "begins", "a tab"), ("b ", "ends", "a space"), ("b\t", "ends", "a tab"), (" ", "is one", "a space"))],
    malformed("a control byte in a value", "8.2.1", fields(("x-a", "a\x01b"))),
    malformed("DEL in a value", "8.2.1", fields(("x-a", "a\x7fb"))),
    *[malformed(f"{name}: {value}", "8.2.2", fields((name, value), method="POST")) for name, value in
      (("connection", "close"), ("connection", "keep-alive"), ("connection", "x-a"), ("connection", ""), ("keep-alive", "timeout=5"), ("proxy-connection", "keep-alive"),
       ("transfer-encoding", "chunked"), ("transfer-encoding", "identity"), ("transfer-encoding", ""), ("upgrade", "h2c"), ("upgrade", "websocket"),
       ("te", "gzip"), ("te", "trailers, deflate"), ("te", "trailers;q=0.5"), ("te", ""))],
    Case("te: trailers", "8.2.2", fields(("te", "trailers")), Answered(), forwards=1),
)
PSEUDO = table(
    malformed("an unknown one", "8.3", headers(1, [(":test", "ok"), *pseudo()])),
    malformed("an empty one", "8.3", headers(1, [(":", "ok"), *pseudo()])),
    malformed("an answer's", "8.3", headers(1, [*pseudo(), (":status", "200")])),
    malformed("an answer's alone", "8.3", headers(1, [(":status", "200")])),
    malformed("in upper case", "8.3", headers(1, [(":METHOD", "GET"), *without(":method")])),
    *[malformed(f"{name} behind a field", "8.3", headers(1, [*without(name), ("x-a", "b"), *[pair for pair in pseudo() if pair[0] == name]])) for name in (":method", ":scheme", ":authority", ":path")],
    malformed(":path behind cookie", "8.3", headers(1, [*without(":path"), ("cookie", "a=b"), (":path", "/case")])),
    *[malformed(f"two {name}", "8.3.1", headers(1, [pair for pair in pseudo() for _ in range(1 + (pair[0] == name))])) for name in (":method", ":scheme", ":authority", ":path")],
    malformed("two :path that differ", "8.3.1", headers(1, [*pseudo(), (":path", "/other")])),
    *[malformed(f"no {name}", "8.3.1", headers(1, without(name))) for name in (":method", ":scheme", ":path")],
    malformed("none", "8.3.1", headers(1, [("x-a", "b")])),
    *[malformed(f"an empty {name}", "8.3.1", headers(1, [(key, "" if key == name else value) for key, value in pseudo()])) for name in (":method", ":scheme", ":path")],
    malformed("an empty :authority", "8.3.1", headers(1, pseudo(authority="")), outcomes=REFUSED),
    malformed("neither :authority nor host", "8.3.1", headers(1, without(":authority")), outcomes=REFUSED),
    *[malformed(f":path {path!r}", "8.3.1", fields(path=path), outcomes=REFUSED) for path in
      ("case", "*", "/case x", "/case#x", "/case\t", "/case\r\nx: y", "/case HTTP/1.1\r\nHost: x\r\n\r\nGET /case", "/case\0", "/case\x7f", "http://gateway.test/case", " /case", "/case ", "?case", "//case/..\n", "/case\xe9")],
    *[malformed(f":method {method!r}", "8.3.1", fields(method=method), outcomes=REFUSED) for method in ("G ET", "GET ", " GET", "GET\r\n", "GET /x HTTP/1.1\r\nHost: y\r\n\r\nGET", "G\0", "GE:T", "G(T", "\xe9")],
    *[malformed(f":scheme {scheme!r}", "8.3.1", fields(scheme=scheme), outcomes=REFUSED) for scheme in ("ht tp", "http\r\n", "http:", "http://x/", "1http", "\0")],
    *[malformed(f":authority {authority!r}", "8.3.1", fields(authority=authority), outcomes=REFUSED) for authority in
      ("user@gateway.test", "user:pass@gateway.test", "gate way", "gateway.test\r\nx: y", "gateway.test/x", "a,b", "gateway.test\0", " gateway.test", "gateway.test ", "gateway.test:99999", "gateway.test:x", "x#y", "x?y")],
    malformed("host that differs", "8.3.1", fields(("host", "other.test")), outcomes=REFUSED),
    malformed("host with another port", "8.3.1", fields(("host", "gateway.test:81")), outcomes=REFUSED),
    malformed("two host", "8.3.1", headers(1, [*without(":authority"), ("host", "gateway.test"), ("host", "gateway.test")]), outcomes=REFUSED),
    malformed("two host that differ", "8.3.1", headers(1, [*without(":authority"), ("host", "gateway.test"), ("host", "x")]), outcomes=REFUSED),
    malformed("an empty host alone", "8.3.1", headers(1, [*without(":authority"), ("host", "")]), outcomes=REFUSED),
    Case("host that is the same", "8.3.1", fields(("host", "gateway.test")), Answered(), forwards=1),
    Case("host in place of :authority", "8.3.1", headers(1, [*without(":authority"), ("host", "gateway.test")]), Answered(), forwards=1),
    Case("in another order", "8.3.1", headers(1, list(reversed(pseudo()))), Answered(), forwards=1),
    Case("OPTIONS *", "8.3.1", fields(method="OPTIONS", path="*"), Answered(200, 204, 400, 404, 405), Reset(PROTOCOL_ERROR)),
    # §8.5, and RFC 8441 where `:protocol` is offered.
    malformed("CONNECT with :path and :scheme", "8.5", fields(method="CONNECT")),
    malformed("CONNECT with :path", "8.5", headers(1, [(":method", "CONNECT"), (":authority", "x:443"), (":path", "/case")])),
    malformed("CONNECT with :scheme", "8.5", headers(1, [(":method", "CONNECT"), (":authority", "x:443"), (":scheme", "https")])),
    malformed("CONNECT without :authority", "8.5", headers(1, [(":method", "CONNECT")])),
    Case("CONNECT", "8.5", headers(1, [(":method", "CONNECT"), (":authority", "gateway.test:443")], end=False), Answered(400, 405, 501), Reset(CONNECT_ERROR, REFUSED_STREAM), forwards=0),
    malformed(":protocol without CONNECT", "8.5", headers(1, [*pseudo(), (":protocol", "websocket")])),
    malformed(":protocol without :path", "8.5", headers(1, [(":method", "CONNECT"), (":authority", "x"), (":protocol", "websocket")], end=False)),
    malformed("two :protocol", "8.5", headers(1, [*pseudo(method="CONNECT"), (":protocol", "websocket"), (":protocol", "websocket")], end=False)),
    Case("an unknown :protocol", "8.5", headers(1, [*pseudo(method="CONNECT"), (":protocol", "gopher")], end=False), Answered(400, 404, 501), Reset(PROTOCOL_ERROR, REFUSED_STREAM, CONNECT_ERROR), forwards=0),
)


@SHAPES
def test_H2_01_H2_14_shapes(recorded_door, recorder, case):
    play(recorded_door, case, recorder)


@LENGTHS
def test_H2_01_H2_10_H2_14_content_length(recorded_door, recorder, case):
    play(recorded_door, case, recorder)


@FIELDS
def test_H2_01_H2_10_H2_11_fields(recorded_door, recorder, case):
    play(recorded_door, case, recorder)


@PSEUDO
def test_H2_01_H2_10_H2_11_pseudo_fields(recorded_door, recorder, case):
    play(recorded_door, case, recorder)


# ---- what arrives

def test_H2_01_a_request_arrives_as_it_was_meant(recorded_door, recorder):
    with recorded_door.peer() as peer:
        got = peer.ask("/a/b?c=d&e=%20f", ("x-custom", "inner  spaces"), ("x-custom", "again"), ("user-agent", "test/1"), ("accept", "a/b, c;q=0.5"), ("x-high", "caf\xe9"), method="PUT", body=b"hello")
        assert (got.status, bytes(got.body), got.get("content-type")) == (200, b"{}", "application/json")
    (head, body), = recorder.wait_requests(1)
    found = fields_of(head)
    assert head.startswith(b"PUT /a/b?c=d&e=%20f HTTP/1.1\r\n") and body == b"hello"
    for pair in (("x-custom", "inner  spaces"), ("x-custom", "again"), ("user-agent", "test/1"), ("accept", "a/b, c;q=0.5"), ("x-high", "caf\xe9")):
        assert pair in found, found
    names = [name for name, _ in found]
    assert names.count("host") == 1 and not any(name.startswith(":") for name in names) and not {"connection", "te", "transfer-encoding"} & set(names) - {"transfer-encoding"}
    if not STAND_IN:
        assert ("content-length", "5") in found
        assert ("x-forwarded-proto", "https" if recorded_door.target.tls else "http") in found and ("x-forwarded-host", AUTHORITY) in found


def test_H2_01_cookie_crumbs_become_one(recorded_door, recorder):
    """§8.2.3"""
    with recorded_door.peer() as peer:
        assert peer.ask("/", ("cookie", "a=b"), ("x-between", "1"), ("cookie", "c=d"), ("cookie", "e=f")).status == 200
    assert [pair for pair in fields_of(recorder.wait_requests(1)[0][0]) if pair[0] == "cookie"] == [("cookie", "a=b; c=d; e=f")]


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
@pytest.mark.parametrize("with_body", [False, True])
def test_H2_01_every_method(recorded_door, recorder, method, with_body):
    with recorded_door.peer() as peer:
        got = peer.ask("/case", method=method, body=b"data" if with_body else None)
        assert (got.status, bytes(got.body)) == (200, b"" if method == "HEAD" else b"{}")
        assert peer.ask("/after").status == 200
    head, body = recorder.wait_requests(2)[0]
    assert head.startswith(method.encode() + b" /case ") and body == (b"data" if with_body else b"")


def test_H2_01_answers_without_a_body_have_no_data(recorded_door, recorder):
    """§8.1, RFC 9110 §6.4.1: HEAD, 204 and 304 end with their head or with an empty DATA."""
    recorder.answer = lambda head, body: {b"/204": b"HTTP/1.1 204 No Content\r\n\r\n", b"/304": b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\nETag: \"x\"\r\n\r\n"}.get(
        head.split(b" ")[1], b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-Here: yes\r\n\r\nhello")
    with recorded_door.peer() as peer:
        for path, status in (("/204", 204), ("/304", 304)):
            for _ in range(3):
                got = peer.ask(path)
                assert (got.status, bytes(got.body)) == (status, b"")
        got = peer.ask("/200", method="HEAD")
        assert (got.status, bytes(got.body), got.get("x-here")) == (200, b"", "yes")
        assert bytes(peer.ask("/200").body) == b"hello"


def test_H2_01_an_answers_fields_are_those_of_http2(recorded_door, recorder):
    """§8.2: lower case, nothing of the HTTP/1.1 connection; the peer looks at each answer for itself as well."""
    recorder.answer = lambda head, body: (b"HTTP/1.1 201 Made\r\nContent-Length: 2\r\nConnection: keep-alive, X-Hop\r\nKeep-Alive: timeout=5\r\nX-Hop: 1\r\nProxy-Connection: x\r\nUpgrade: h2c\r\n"
                                          b"X-UPPER: Yes\r\nX-Two: 1\r\nx-two: 2\r\nX-Spaces:   s   \r\nX-Empty:\r\nX-High: \xe9\r\n\r\n{}")
    with recorded_door.peer() as peer:
        got = peer.ask("/")
        names = [name for name, _ in got.fields]
        assert got.status == 201 and got.get("x-upper") == "Yes" and got.get("x-spaces") == "s" and got.get("x-empty") == "" and got.get("x-high") == "\xe9"
        assert [value for name, value in got.fields if name == "x-two"] in (["1", "2"], ["1, 2"]) and "x-hop" not in names
        assert names.count("content-length") == 1 and (STAND_IN or names.count("x-request-id") == 1)


def test_H2_01_a_chunked_answer_loses_its_chunks(recorded_door, recorder):
    recorder.answer = lambda head, body: b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"
    with recorded_door.peer() as peer:
        got = peer.ask("/")
        assert bytes(got.body) == b"hello world" and got.get("content-length") is None


def test_H2_01_expect_100_continue_is_answered(recorded_door, recorder):
    """§8.1: an interim head has no END_STREAM, and the final one follows."""
    with recorded_door.peer() as peer:
        stream = peer.open("/case", ("expect", "100-continue"), ("content-length", "5"), method="POST", end=False)
        got = peer.answers[stream]
        peer.wait(lambda: got.interim or got.is_over, "the 100")
        assert got.interim == [100] and not got.is_over
        peer.body(stream, b"hello")
        assert peer.answer(stream).status == 200
    assert recorder.wait_requests(1)[0][1] == b"hello"


def test_H2_01_an_answer_in_front_of_the_requests_end(recorded_door, recorder):
    """§8.1: the whole answer may come early; what is left of the request is stopped with NO_ERROR, or read and thrown away. The connection goes on."""
    with recorded_door.peer() as peer:
        stream = peer.open("/case", ("content-length", "100000000000"), method="POST", end=False)
        got = peer.answers[stream]
        peer.send(data(stream, b"x" * 1000))
        peer.wait(lambda: got.is_over, "an early answer")
        assert got.status == 413 and got.ended, got
        peer.send(data(stream, b"x" * 1000))
        assert peer.ask("/after").status == 200
        assert got.reset in (None, NO_ERROR), got
    assert [head for head in recorder.heads() if b"/case" in head] == []


def test_H2_10_H2_14_a_body_that_breaks_off_is_no_request(recorded_door, recorder):
    """What the client resets, or leaves with the connection, does not arrive whole."""
    with recorded_door.peer() as peer:
        stream = peer.open("/case", ("content-length", "10"), method="POST", end=False)
        peer.send(data(stream, b"hello")).reset(stream)
        peer.ping()
        assert peer.ask("/after").status == 200
    peer = recorded_door.peer()
    stream = peer.open("/case", method="POST", end=False)
    peer.send(data(stream, b"hello"))
    peer.ping()
    peer.slam()
    recorded_door.bystander()
    until(lambda: len(recorder.heads()) >= 2, "the others' requests")
    assert [head for head in recorder.heads() if b"/case" in head] == []
