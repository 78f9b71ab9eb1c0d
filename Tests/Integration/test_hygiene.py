"""What of a client's head goes upstream, and what of an upstream's comes back: nothing that is between two neighbours, nothing that is the
gateway's to say, no credentials that are not the upstream's own (faults AU-08, H1-24, H1-27 … H1-29, OB-03, INV-5).
"""
import re
import socket

import pytest

from conftest import KEY
from upstreams import headers
from wire import chat, chunked, request

SECRET = "sk-client-canary-77"


def upstream_head(recorder):
    """The one head that came, checked to be strict HTTP/1.1."""
    assert len(recorder.requests) == 1, recorder.requests
    head = recorder.heads()[0]
    lines = head.split(b"\r\n")
    assert re.fullmatch(rb"[A-Z]+ /[!-~]* HTTP/1\.1", lines[0]), lines[0]
    for line in lines[1:]:
        assert re.fullmatch(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+: [^\0-\x1f\x7f]*", line), line
    names = [name for name, _ in headers(head)]
    for once in ("host", "content-length", "transfer-encoding", "authorization", "x-request-id", "traceparent", "via"):
        assert names.count(once) <= 1, (once, names)
    assert not ("content-length" in names and "transfer-encoding" in names)
    return head, headers(head)


def test_AU_08_a_clients_credentials_never_reach_a_model(recorded, recorder):
    for fields in ([("Authorization", f"Bearer {SECRET}")], [("x-api-key", SECRET)], [("api-key", SECRET)], [("x-goog-api-key", SECRET)], [("Proxy-Authorization", f"Basic {SECRET}")],
                   [("Cookie", f"session={SECRET}")], [("authorization", f"bearer {SECRET}"), ("X-API-KEY", SECRET)]):
        recorder.reset()
        assert recorded.ask(chat(fields=fields)).status == 200
        head, found = upstream_head(recorder)
        assert SECRET.encode() not in recorder.bytes(), fields
        assert [value for name, value in found if name == "authorization"] == [f"Bearer {KEY}"]
    assert SECRET not in recorded.log_path.read_text() and SECRET not in recorded.messages()
    assert KEY not in recorded.log_path.read_text() and KEY not in recorded.messages()


def test_AU_08_a_plain_api_without_a_key_gets_the_clients(recorded, recorder):
    """An API behind the gateway that checks its own callers."""
    assert recorded.ask(request("GET", "/api", fields=[("Authorization", "Bearer theirs"), ("Cookie", "a=b")]), "GET").status == 200
    found = dict(upstream_head(recorder)[1])
    assert found["authorization"] == "Bearer theirs" and found["cookie"] == "a=b"
    assert recorded.log_path.read_text().count("theirs") == 0


def test_H1_27_hop_by_hop_fields_stay_between_neighbours(recorded, recorder):
    hop = [("Connection", "keep-alive, X-Private, x-other"), ("Keep-Alive", "timeout=5"), ("Proxy-Connection", "keep-alive"), ("TE", "trailers"), ("Trailer", "X-T"), ("X-Private", "1"),
           ("x-other", "2"), ("Proxy-Authenticate", "Basic"), ("X-Kept", "3")]
    assert recorded.ask(request("GET", "/x", fields=hop), "GET").status == 200
    found = upstream_head(recorder)[1]
    names = {name for name, _ in found}
    assert not names & {"connection", "keep-alive", "proxy-connection", "te", "trailer", "x-private", "x-other", "proxy-authenticate"}, names
    assert ("x-kept", "3") in found


@pytest.mark.parametrize("names", ["authorization", "x-api-key", "host", "content-length", "Authorization, close", "transfer-encoding", "close, HOST", "cookie"])
def test_H1_27_connection_cannot_take_protected_fields_away(recorded, recorder, names):
    with recorded.client() as client:
        answer = client.ask(chat(fields=[("Connection", names), ("Authorization", "Bearer x")]))
        if answer.status == 400:
            answer.error()
            assert answer.closes and client.ending() == "fin" and recorder.bytes() == b""
        else:
            found = dict(upstream_head(recorder)[1])
            assert answer.status == 200 and found["authorization"] == f"Bearer {KEY}" and "host" in found and "content-length" in found


@pytest.mark.parametrize("model", [True, False])
def test_H1_29_internal_and_forwarding_fields_of_clients_are_dropped(recorded, recorder, model):
    forged = [("X-Forwarded-For", "6.6.6.6"), ("X-Forwarded-Host", "evil"), ("X-Forwarded-Proto", "https"), ("X-Forwarded-Port", "666"), ("Forwarded", "for=6.6.6.6"), ("X-Real-IP", "6.6.6.6"),
              ("X-OpenClaw-Tenant", "evil"), ("x-openclaw-upstream", "evil"), ("X-Openclaw-Anything", "evil"), ("X_Api_Key", "evil"), ("X_Forwarded_For", "evil"), ("Content_Length", "666"),
              ("Under_Score", "evil")]
    data = chat(fields=forged) if model else request("GET", "/x", fields=forged)
    assert recorded.ask(data, "POST" if model else "GET").status == 200
    head, found = upstream_head(recorder)
    # Ids and ports are random digits and no field of the client's: they may hold any three.
    head = b"\r\n".join(line for line in head.split(b"\r\n") if not line.startswith((b"traceparent:", b"x-request-id:", b"via:", b"host:")))
    assert b"evil" not in head and b"6.6.6.6" not in head and b"666" not in head
    names = {name for name, _ in found}
    assert not any("_" in name for name in names)
    if model:
        assert not names & {"x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "forwarded", "x-real-ip"}
    else:
        assert ("x-forwarded-for", "127.0.0.1") in found and ("x-forwarded-proto", "http") in found and ("x-forwarded-host", "gateway.test") in found


def test_H1_29_duplicate_credentials_are_refused(recorded, recorder):
    for name in ("Authorization", "x-api-key", "api-key"):
        with recorded.client() as client:
            answer = client.ask(chat(fields=[(name, "Bearer a"), (name, "Bearer b")]))
            answer.error(400, "bad_request")
            assert answer.closes and client.ending() == "fin"
    assert recorder.bytes() == b""


def test_what_is_the_clients_to_say_arrives(recorded, recorder):
    fields = [("User-Agent", "test/1"), ("Accept", "a/b, c;q=0.5"), ("Accept-Language", "de"), ("X-Custom", " inner  spaces "), ("x-custom", "again"), ("X-High", "caf\xe9"), ("Range", "bytes=0-"),
              ("If-None-Match", '"x"'), ("baggage", "k=v")]
    assert recorded.ask(request("GET", "/x?a=b&c=%20d&e", fields=fields), "GET").status == 200
    head, found = upstream_head(recorder)
    assert head.startswith(b"GET /x?a=b&c=%20d&e HTTP/1.1\r\n")
    for name, value in fields:
        assert (name.lower(), value.strip()) in found, (name, found)
    assert ("host", f"127.0.0.1:{recorder.port}") in found


def test_an_upstreams_hop_by_hop_fields_do_not_come_back(recorded, recorder):
    recorder.answer = lambda head, body: (
        b"HTTP/1.1 200 Fine\r\nContent-Type: application/json\r\nContent-Length: 2\r\nConnection: keep-alive, x-private\r\nKeep-Alive: timeout=5\r\nX-Private: 1\r\nProxy-Connection: x\r\n"
        b"X-Request-Id: theirs\r\nX-OpenClaw-Upstream: forged\r\nX-Openclaw-Other: forged\r\nAlt-Svc: h3=\":443\"\r\nX-Kept: 2\r\nTrailer: x\r\nUpgrade: h2c\r\n\r\n{}")
    answer = recorded.ask(request("GET", "/x"), "GET")
    names = {name for name, _ in answer.fields}
    assert answer.status == 200 and answer.get("x-kept") == "2"
    assert not names & {"keep-alive", "x-private", "proxy-connection", "x-openclaw-other", "alt-svc", "trailer", "upgrade", "connection"}, names
    assert answer.all("x-openclaw-upstream") == ["plain"] and len(answer.all("x-request-id")) == 1 and answer.get("x-request-id") != "theirs"


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as one:
        return one.getsockname()[1]


@pytest.mark.parametrize("kind", ["model", "plain"])
def test_a_gateway_in_front_of_itself_notices(gateway, kind):
    port = free_port()
    loop = gateway(fresh=True, server={"listen_port": port}, **{kind: f"http://127.0.0.1:{port}"})
    answer = loop.ask(chat() if kind == "model" else request("GET", "/x"), "POST" if kind == "model" else "GET")
    assert answer.status == 508 and answer.json()["error"]["code"] == "loop_detected"
    assert len(loop.log()) <= 4


def test_somebody_elses_via_is_no_loop(recorded, recorder):
    assert recorded.ask(request("GET", "/x", fields=[("Via", "1.1 openclaw-0123456789abcdef, 1.0 fred")]), "GET").status == 200


@pytest.mark.parametrize("path,wanted", [
    ("/a/./b", "/a/b"), ("/a/../b", "/b"), ("/%61/b", "/a/b"), ("/a/%2e%2e/b", "/b"), ("/a/%2E/b", "/a/b"), ("/a%2db", "/a-b"), ("/%7euser", "/~user"), ("/a;x/b", "/a;x/b"), ("/a%20b", "/a%20b"),
    ("/a%252fb", "/a%252fb"), ("/a/b/..", "/a/"), ("/a%c3%a9", "/a%C3%A9"),
    ("/..", None), ("/a/../../b", None), ("/%2e%2e/etc", None), ("/a%2fb", None), ("/a%5cb", None), ("/a%00b", None), ("/a%0d%0ab", None), ("/a//b", None), ("//a", None), ("/a%zz", None), ("/a%", None),
    ("/a\\b", None), ("/a/..;/b", None), ("/a/.%2e/../../b", None), ("/\xe9", None), ("/a\xc0\xaf", None)])
def test_H1_28_paths_are_matched_and_forwarded_in_one_form(gateway, recorder, path, wanted):
    routes = [{"id": "inside", "match": {"path": "/a/*"}, "strategy": {"upstreams": ["plain"]}}, {"id": "outside", "strategy": {"upstreams": ["plain"]}}]
    both = gateway(raw={**gateway.configuration(plain=recorder.url), "routes": routes})
    answer = both.ask(request("GET", path), "GET")
    if wanted is None:
        answer.error(400)
        assert recorder.bytes() == b""
    else:
        assert answer.status == 200, answer
        forwarded = upstream_head(recorder)[0].split(b" ")[1].decode()
        assert forwarded == wanted
        assert answer.get("x-openclaw-route") == ("inside" if forwarded.startswith("/a/") else "outside")


def test_INV_5_a_chunked_request_goes_on_with_one_framing(recorded, recorder):
    assert recorded.ask(b"PUT /x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked([b"a", b"bc"], b";x=y", b"t: u\r\n")).status == 200
    assert recorder.requests[0][1] == b"abc"
    upstream_head(recorder)
