"""https:// upstreams with an authority made for the test (row TL-10 and the UP rows over TLS), and egress proxies."""
import base64
import json
import ssl
import subprocess
import threading
import time

import pytest

from rig import *
from scripted import *


class Authority:
    """A certificate authority in a folder; `context` makes a server's certificate."""

    def __init__(self, folder):
        self.folder = folder
        self.ca = folder / "ca.pem"
        self.key = folder / "ca.key"
        self._openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", self.key, "-out", self.ca,
                      "-days", "2", "-subj", "/CN=test authority", "-addext", "basicConstraints=critical,CA:TRUE")

    @staticmethod
    def _openssl(*arguments):
        subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)

    def issue(self, name: str, days: int = 2):
        """Certificate and key files for a host name; days < 0: ended already."""
        key, request, certificate = (self.folder / f"{name}{days}.{kind}" for kind in ("key", "csr", "pem"))
        if not certificate.exists():
            extensions = self.folder / f"{name}.ext"
            extensions.write_text(f"subjectAltName=DNS:{name}\n")
            self._openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key, "-out", request, "-subj", f"/CN={name}")
            dates = ["-days", days] if days > 0 else ["-not_before", "20200101000000Z", "-not_after", "20210101000000Z"]
            try:
                self._openssl("x509", "-req", "-in", request, "-CA", self.ca, "-CAkey", self.key, "-CAcreateserial", "-out", certificate, "-extfile", extensions, *dates)
            except subprocess.CalledProcessError:
                # Older openssl: a certificate of no days has ended when it is made.
                self._openssl("x509", "-req", "-in", request, "-CA", self.ca, "-CAkey", self.key, "-CAcreateserial", "-out", certificate, "-extfile", extensions, "-days", "0")
                time.sleep(1.1)
        return certificate, key

    def context(self, name: str = "localhost", days: int = 2) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self.issue(name, days))
        return context


@pytest.fixture(scope="session")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="session")
def stranger(tmp_path_factory):
    """An authority the gateway does not trust."""
    return Authority(tmp_path_factory.mktemp("stranger"))


def trusting(upstream, authority, **options) -> dict:
    return generic(upstream.url, tls={"ca": str(authority.ca)}, **options)


def tls(upstream, authority, **options) -> dict:
    return {"upstreams": {"one": trusting(upstream, authority, **options)}}


# ---- plain sailing

def test_requests_and_answers_pass_byte_for_byte_over_tls(start, authority):
    upstream = start(Upstream, answering(lambda request: answer(request.body, headers=[("x-kept", "1"), ("set-cookie", "a=b")])), context=authority.context())
    gateway = start(Gateway, tls(upstream, authority, api_key="sk-tls", models=[{"id": "real", "alias": "m"}]))
    with gateway.connect() as client:
        for size in (0, 10, 20_000, 1_000_000):
            body = b'{ "model" :"m","n":12345678901234567890123, "x":"%s"}' % (b"y" * size)
            got = client.ask("POST", "/v1/chat/completions?a=b", body, [("authorization", "Bearer mine"), ("x-custom", "c"), ("accept-encoding", "gzip")])
            assert (got.status, got.body) == (200, body.replace(b'"m"', b'"real"'))
            assert got.header("x-kept") == "1" and got.header("set-cookie") is None
            seen = upstream.requests[-1]
            assert seen.body == got.body and seen.target == "/v1/chat/completions?a=b"
            assert seen.headers["authorization"] == ["Bearer sk-tls"] and seen.header("x-custom") == "c"
            assert seen.header("host") == f"localhost:{upstream.port}" and seen.header("content-length") == str(len(got.body))
            assert not {"expect", "accept-encoding", "user-agent", "transfer-encoding"} & set(seen.headers), seen.headers
    assert upstream.connections == 1


def test_usage_and_errors_are_seen_over_tls(start, authority):
    statuses = iter([200, 429, 500])

    def script(request):
        status = next(statuses)
        return answer(completion() if status == 200 else '{"error":{"message":"no"}}', status, "Words", headers=[("retry-after", "7")])

    upstream = start(Upstream, answering(script), context=authority.context())
    gateway = start(Gateway, tls(upstream, authority))
    got = gateway.chat()
    assert gateway.record(got.id)["tokens"]["output"] == 3
    for status in (429, 500):
        got = gateway.chat()
        assert (got.status, got.header("retry-after"), got.error["message"]) == (status, "7", "no")


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE", "PUT", "OPTIONS", "PATCH", "POST"])
def test_every_method_passes_to_a_plain_backend_over_tls(start, authority, method):
    def script(request):
        whole = answer("made", 201, "Made")
        return whole[:whole.index(b"\r\n\r\n") + 4] if request.method == "HEAD" else whole

    upstream = start(Upstream, answering(script), context=authority.context())
    gateway = start(Gateway, {"upstreams": {"plain": {"type": "http", "base_url": upstream.url, "tls": {"ca": str(authority.ca)}}}})
    with gateway.connect() as client:
        # A body of a HEAD has no meaning (RFC 9110 §9.3.2); libcurl sends none.
        for body in (None, b"data") if method != "HEAD" else (None,):
            got = client.ask(method, "/a/b?c=d", body)
            assert (got.status, got.body) == (201, b"" if method == "HEAD" else b"made")
            seen = upstream.requests[-1]
            assert (seen.method, seen.target, seen.body) == (method, "/a/b?c=d", body or b"")
            assert seen.header("x-forwarded-for") == "127.0.0.1"


def test_answers_without_bodies_pass_over_tls(start, authority):
    upstream = start(Upstream, answering(lambda request: b"HTTP/1.1 %s\r\n\r\n" % request.target[1:].encode().replace(b"-", b" ")), context=authority.context())
    gateway = start(Gateway, {"upstreams": {"plain": {"type": "http", "base_url": upstream.url, "tls": {"ca": str(authority.ca)}}}})
    with gateway.connect() as client:
        for status in (204, 304):
            got = client.ask("GET", f"/{status}-None")
            assert (got.status, got.body) == (status, b"")


# ---- streams

def test_a_stream_over_tls_arrives_event_by_event(start, authority):
    gates = [threading.Event() for _ in range(6)]
    events = good_stream(("a", "b", "c"))

    def script(peer):
        peer.request()
        peer.send(STREAM_HEAD)
        for gate, part in zip(gates, events):
            assert gate.wait(DEADLINE)
            peer.send(chunk(part))
        peer.send(LAST_CHUNK)

    upstream = start(Upstream, script, context=authority.context())
    gateway = start(Gateway, tls(upstream, authority))
    with gateway.connect() as client:
        client.send("POST", "/v1/chat/completions", {"model": "m", "stream": True})
        gates[0].set()
        gates[1].set()
        head = client.read_head()
        seen = b"".join(events[:2])
        client.read_until(head, events[1])
        for gate, part in zip(gates[2:], events[2:]):
            assert head.body == seen
            gate.set()
            client.read_until(head, part)
            seen += part
        assert client.read_chunk(head) == b""


def test_the_usage_event_is_hidden_over_tls(start, authority):
    events = good_stream(usage=True)
    upstream = start(Upstream, answering(lambda request: STREAM_HEAD + chunk(b"".join(events)) + LAST_CHUNK), context=authority.context())
    gateway = start(Gateway, tls(upstream, authority, stream_usage=True))
    got = gateway.chat(stream=True)
    assert got.body == b"".join(good_stream())
    assert gateway.record(got.id)["tokens"]["output"] == 3


def test_a_stream_of_megabytes_passes_a_slow_client_over_tls(start, authority):
    body = ROLE + b"".join(delta(content="%06d" % number + "y" * 3000) for number in range(3000)) + delta(finish="stop") + DONE

    def script(peer):
        peer.request()
        peer.send(STREAM_HEAD)
        for at in range(0, len(body), 50_000):
            peer.send(chunk(body[at:at + 50_000]))
        peer.send(LAST_CHUNK)

    upstream = start(Upstream, script, context=authority.context())
    gateway = start(Gateway, tls(upstream, authority))
    with gateway.connect(receive_buffer=16384) as client:
        client.send("POST", "/v1/chat/completions", {"model": "m", "stream": True})
        head = client.read_head()
        parts = []
        while data := client.read_chunk(head):
            parts.append(data)
            head.body = b""
            if len(parts) % 20 == 0:
                time.sleep(0.003)
    assert b"".join(parts) == body


@pytest.mark.parametrize("how", ["reset", "close"])
@pytest.mark.parametrize("sent", [0, 1, 2, 4])
def test_SS_04_a_cut_over_tls_is_an_error_event_or_goes_elsewhere(start, authority, how, sent):
    def script(peer):
        peer.request()
        peer.send(STREAM_HEAD + b"".join(map(chunk, good_stream()[:sent])))
        time.sleep(0.005)
        getattr(peer, how)()

    bad = start(Upstream, script, context=authority.context())
    good = start(Upstream, answering(lambda request: STREAM_HEAD + b"".join(map(chunk, good_stream())) + LAST_CHUNK))
    gateway = start(Gateway, {"upstreams": {"bad": trusting(bad, authority), "good": generic(good.url)}, "routes": [route("bad", "good")]})
    got = gateway.chat(stream=True)
    if sent < 2:
        assert (got.body, got.header("x-openclaw-upstream")) == (b"".join(good_stream()), "good")
    else:
        assert got.body.startswith(b"".join(good_stream()[:sent])) and got.events[-1]["error"]["code"] == "upstream_truncated"
        assert b"[DONE]" not in got.body
        assert gateway.record(got.id)["disconnected"] == "upstream"


def test_SS_06_silence_over_tls_meets_its_deadlines(start, authority):
    def script(peer):
        if b"now" in peer.request().body:
            peer.send(STREAM_HEAD + chunk(ROLE) + chunk(delta(content="x")))
        peer.wait_gone()

    upstream = start(Upstream, script, context=authority.context())
    gateway = start(Gateway, tls(upstream, authority, idle_stream_timeout_seconds=0.3, first_byte_timeout_seconds=0.3))
    assert gateway.chat(stream=True, user="now").events[-1]["error"]["code"] == "upstream_idle_timeout"
    got = gateway.chat(stream=True)
    assert (got.status, got.error["code"]) == (504, "upstream_timeout")


@pytest.mark.parametrize("moment", ["before the head", "after content"])
def test_SS_07_a_client_that_leaves_cancels_its_transfer(start, authority, moment):
    gone = threading.Event()

    def script(peer):
        peer.request()
        if moment == "after content":
            peer.send(STREAM_HEAD + chunk(ROLE) + chunk(delta(content="x")))
        if peer.wait_gone():
            gone.set()

    upstream = start(Upstream, script, context=authority.context())
    gateway = start(Gateway, tls(upstream, authority))
    client = gateway.connect()
    client.send("POST", "/v1/chat/completions", {"model": "m", "stream": True})
    upstream.wait_requests(1)
    if moment == "after content":
        client.read_until(client.read_head(), delta(content="x"))
    client.reset()
    assert gone.wait(5)
    wait_for(lambda: gateway.records(), what="a record")
    assert gateway.records()[0]["disconnected"] == "client"


# ---- trust

def test_TL_10_certificates_nobody_should_trust_are_502_and_nothing_is_sent(start, authority, stranger):
    """A strange authority, another name, an ended certificate: no byte of the request, one more try that is no better, never plain text."""
    cases = {"stranger": stranger.context(), "name": authority.context("elsewhere.test"), "ended": authority.context(days=-1)}
    upstreams = {name: start(Upstream, answering(lambda request: answer(completion())), context=context) for name, context in cases.items()}
    gateway = start(Gateway, {"upstreams": {name: trusting(one, authority, api_key="sk-secret") for name, one in upstreams.items()},
                              "routes": [{**route(name), "match": {"headers": {"x-to": name}}} for name in upstreams]})
    for name, upstream in upstreams.items():
        for stream in (False, True):
            got = gateway.chat([("x-to", name)], stream=stream)
            assert (got.status, got.error["code"]) == (502, "upstream_tls"), name
            assert [attempt["class"] for attempt in gateway.record(got.id)["attempts"]] == ["network"] * 2
        assert upstream.requests == [] and upstream.connections == 4
        assert all(peer.received == b"" for peer in upstream.peers)


def test_TL_10_the_next_upstream_takes_over_and_even_a_post_may_go_there(start, authority, stranger):
    bad = start(Upstream, answering(lambda request: answer("bad")), context=stranger.context())
    good = start(Upstream, answering(lambda request: answer("good")), context=authority.context())
    options = {"type": "http", "tls": {"ca": str(authority.ca)}}
    gateway = start(Gateway, {"upstreams": {"bad": {**options, "base_url": bad.url}, "good": {**options, "base_url": good.url}}, "routes": [route("bad", "good")]})
    assert gateway.ask("POST", "/orders", b"{}").body == b"good"


def test_TL_10_other_trust_is_by_configuration_only(start, authority, stranger):
    odd = start(Upstream, answering(lambda request: answer(completion())), context=authority.context("elsewhere.test"))
    strange = start(Upstream, answering(lambda request: answer(completion())), context=stranger.context())
    gateway = start(Gateway, {"upstreams": {"sni": generic(odd.url, tls={"ca": str(authority.ca), "sni": "elsewhere.test"}),
                                            "skip": generic(strange.url, tls={"insecure_skip_verify": True}), "system": generic(strange.url)},
                              "routes": [{**route(name), "match": {"headers": {"x-to": name}}} for name in ("sni", "skip", "system")]})
    assert gateway.chat([("x-to", "sni")]).status == 200
    assert gateway.chat([("x-to", "skip")]).status == 200
    assert gateway.chat([("x-to", "system")]).error["code"] == "upstream_tls"


def test_TL_10_a_client_certificate_is_shown_where_configured_and_only_there(start, authority):
    context = authority.context()
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(authority.ca)
    upstream = start(Upstream, answering(lambda request: answer(completion())), context=context)
    certificate, key = authority.issue("gateway.test")
    gateway = start(Gateway, {"upstreams": {"with": generic(upstream.url, tls={"ca": str(authority.ca), "client_certificate": str(certificate), "client_key": str(key)}),
                                            "without": trusting(upstream, authority)},
                              "routes": [{**route(name), "match": {"headers": {"x-to": name}}} for name in ("with", "without")]})
    for _ in range(3):
        assert gateway.chat([("x-to", "with")]).status == 200
        # The connection made with the certificate must not serve the other tenant.
        assert gateway.chat([("x-to", "without")]).status == 502


def test_plain_text_where_tls_was_expected_is_502(start, authority):
    upstream = start(Upstream, lambda peer: (peer.receive(), peer.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")))
    gateway = start(Gateway, single(upstream.url.replace("http://127.0.0.1", "https://localhost"), tls={"ca": str(authority.ca)}))
    got = gateway.chat()
    assert (got.status, got.error["code"]) == (502, "upstream_tls")


# ---- faults over TLS

def test_UP_01_UP_02_no_connection_over_tls(start, authority):
    for url, code, status in [(f"https://127.0.0.1:{refused_port()}", "upstream_unreachable", 502),
                              (black_hole().replace("http", "https"), "upstream_connect_timeout", 504),
                              ("https://no-such-host.invalid", "upstream_name_not_resolved", 502)]:
        gateway = start(Gateway, single(url, connect_timeout_seconds=0.5 if status == 504 else 15))
        got = gateway.chat()
        assert (got.status, got.error["code"]) == (status, code)


def test_UP_03_UP_06_broken_answers_over_tls_never_look_whole(start, authority):
    kinds = {
        b"nothing": b"", b"half-head": b"HTTP/1.1 200 OK\r\ncontent-ty", b"short": b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nabc",
        b"no-last-chunk": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + chunk(b"abc"),
        b"bad-chunk": b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\nabc\r\n", b"garbage": b"nonsense\r\n\r\n",
        b"two-lengths": b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nabc",
    }

    def script(peer):
        while True:
            request = peer.request()
            kind = request.header("x-kind")
            if not kind:
                peer.send(answer(completion()))
                continue
            peer.send(kinds[kind.encode()])
            return

    upstream = start(Upstream, script, context=authority.context())
    gateway = start(Gateway, tls(upstream, authority))
    for kind in kinds:
        try:
            got = gateway.chat([("x-kind", kind.decode())])
            assert got.status == 502, (kind, got.status, got.body)
        except Broken as broken:
            assert broken.how == "reset", kind
        assert gateway.chat().status == 200


def test_UP_04_stale_connections_over_tls_are_never_seen(start, authority):
    def script(peer):
        for _ in range(2):
            peer.send(answer(peer.request().body))

    upstream = start(Upstream, script, context=authority.context())
    gateway = start(Gateway, tls(upstream, authority))
    with gateway.connect() as client:
        for number in range(60):
            got = client.chat(n=number)
            assert (got.status, got.json()["n"]) == (200, number)
    assert 30 <= upstream.connections <= 60


def test_UP_10_redirects_over_tls_are_not_followed(start, authority):
    other = start(Upstream, answering(lambda request: answer("stolen")))
    upstream = start(Upstream, answering(lambda request: answer("", 302, "Found", headers=[("location", other.url)])), context=authority.context())
    gateway = start(Gateway, tls(upstream, authority, api_key="sk-secret"))
    got = gateway.chat()
    assert (got.status, got.header("location"), other.requests) == (302, other.url, [])


def test_UP_13_two_keys_to_one_https_host_stay_apart(start, authority):
    upstream = start(Upstream, answering(lambda request: answer(completion(), headers=[("set-cookie", "who=" + request.header("authorization"))])), context=authority.context())
    gateway = start(Gateway, {"upstreams": {name: trusting(upstream, authority, api_key=f"sk-{name}") for name in ("red", "blue")},
                              "routes": [{**route(name), "match": {"headers": {"x-to": name}}} for name in ("red", "blue")]})
    for turn in range(20):
        name = ("red", "blue")[turn % 2]
        gateway.chat([("x-to", name)])
        assert upstream.requests[-1].headers["authorization"] == [f"Bearer sk-{name}"]
        assert upstream.requests[-1].header("cookie") is None


def test_UP_12_an_early_answer_over_tls_is_relayed(start, authority):
    def script(peer):
        peer.head()
        peer.send(answer('{"error":{"message":"too much"}}', 413, "Content Too Large"))
        peer.wait_gone()

    upstream = start(Upstream, script, context=authority.context())
    gateway = start(Gateway, tls(upstream, authority))
    got = gateway.ask("POST", "/v1/chat/completions", b'{"model":"m","x":"' + b"y" * 8_000_000 + b'"}')
    assert (got.status, got.error["message"]) == (413, "too much")


def test_reload_and_drain_with_tls_streams_under_way(start, authority):
    gate = threading.Event()

    def script(peer):
        peer.request()
        events = good_stream()
        peer.send(STREAM_HEAD + b"".join(map(chunk, events[:2])))
        gate.wait(DEADLINE)
        peer.send(b"".join(map(chunk, events[2:])) + LAST_CHUNK)

    upstream = start(Upstream, script, context=authority.context())
    other = start(Upstream, answering(lambda request: answer(completion())))
    gateway = start(Gateway, tls(upstream, authority))
    clients = [gateway.connect() for _ in range(5)]
    for client in clients:
        client.send("POST", "/v1/chat/completions", {"model": "m", "stream": True})
    heads = [client.read_head() for client in clients]
    for _ in range(3):
        gateway.reload(single(other.url))
        assert gateway.chat().status == 200
    gateway.signal(15)
    gateway.messages.wait("draining")
    gate.set()
    for client, head in zip(clients, heads):
        while client.read_chunk(head):
            pass
        assert head.body == b"".join(good_stream())
    assert gateway.process.wait(DEADLINE) == 0


# ---- egress proxies

class Proxy(Upstream):
    """An HTTP proxy: CONNECT tunnels, and requests in absolute form. `seen` holds the heads it got; `refuses` makes it answer 403."""

    def __init__(self, refuses: bool = False):
        self.seen: list[bytes] = []
        self.refuses = refuses
        super().__init__(self._serve)

    def _serve(self, peer: Peer):
        head = peer.head()
        self.seen.append(head)
        if self.refuses:
            peer.send(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n")
            return
        method, target, _ = head.split(b" ", 2)
        if method == b"CONNECT":
            host, port = target.decode().rsplit(":", 1)
            far = socket.create_connection((host, int(port)))
            peer.send(b"HTTP/1.1 200 Connection established\r\n\r\n")
        else:
            host, port = target.split(b"/")[2].decode().rsplit(":", 1)
            far = socket.create_connection((host, int(port)))
            far.sendall(head.replace(target, b"/" + target.split(b"/", 3)[3], 1) + peer.pending)
        threading.Thread(target=self._copy, args=(far, peer.sock), daemon=True).start()
        self._copy(peer.sock, far)

    @staticmethod
    def _copy(source, sink):
        try:
            while data := source.recv(65536):
                sink.sendall(data)
        except OSError:
            pass
        finally:
            for sock in (source, sink):
                try:
                    sock.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass


def test_an_egress_proxy_tunnels_tls_and_learns_nothing(start, authority):
    proxy = start(Proxy)
    upstream = start(Upstream, answering(lambda request: answer(completion())), context=authority.context())
    gateway = start(Gateway, tls(upstream, authority, api_key="sk-secret", proxy=f"http://user:pass@127.0.0.1:{proxy.port}"))
    for _ in range(3):
        assert gateway.chat().status == 200
    assert len(proxy.seen) == 1 and proxy.seen[0].startswith(b"CONNECT localhost:%d HTTP/1.1\r\n" % upstream.port)
    assert b"Proxy-Authorization: Basic " + base64.b64encode(b"user:pass") in proxy.seen[0]
    assert b"sk-secret" not in proxy.seen[0] and b"x-request-id" not in proxy.seen[0].lower()
    assert b"proxy-authorization" not in upstream.requests[0].head.lower()


def test_an_egress_proxy_is_used_for_plain_upstreams_too(start):
    proxy = start(Proxy)
    upstream = start(Upstream, answering(lambda request: answer(request.body)))
    gateway = start(Gateway, single(upstream.url, proxy=f"http://127.0.0.1:{proxy.port}"))
    got = gateway.chat()
    assert got.status == 200 and len(proxy.seen) == 1 and upstream.requests[0].target == "/v1/chat/completions"


def test_an_egress_proxy_that_is_down_or_refuses_is_502_and_never_passed_by(start, authority):
    refusing = start(Proxy, refuses=True)
    upstream = start(Upstream, answering(lambda request: answer(completion())), context=authority.context())
    for port in (refused_port(), refusing.port):
        gateway = start(Gateway, tls(upstream, authority, proxy=f"http://127.0.0.1:{port}"))
        assert gateway.chat().status == 502
    assert upstream.connections == 0
