"""Upstreams that speak HTTP/2, over TLS by ALPN and in clear text by configuration: many requests on one connection, the version agreed on, back-pressure stream
by stream, and servers of other people."""
import json
import os
import shutil
import socket
import struct
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor

import hpack
import pytest

from h2upstream import *
from tlsrig import *

BOTH = pytest.mark.parametrize("clear", [False, True], ids=["tls", "clear"])


# ---- plain sailing

@BOTH
def test_fifty_requests_share_one_connection(start, speak, clear):
    def play(session):
        calls = [session.call() for _ in range(50)]
        # All are here before the first is answered, and the last is answered first.
        for call in reversed(calls):
            session.answer(call.stream, call.body)
        session.serve()

    upstream = speak(play, clear=clear)
    gateway = start(Gateway, one(upstream))
    clients = many(gateway, 50, x="y" * 20_000)
    for number, got in enumerate(read_all(clients)):
        assert got.status == 200 and got.json()["user"] == str(number) and len(got.json()["x"]) == 20_000
    assert upstream.connections == 1
    fields = upstream.requests[0].fields
    assert fields[":method"] == "POST" and fields[":path"] == "/v1/chat/completions" and fields[":scheme"] == ("http" if clear else "https")
    assert fields[":authority"].endswith(f":{upstream.port}") and not {"connection", "host", "transfer-encoding", "te"} & set(fields), fields


@BOTH
def test_bodies_beyond_every_window_pass_both_ways(start, speak, clear):
    upstream = speak(answering_calls(echo), clear=clear, settings=[(4, 1000)])
    gateway = start(Gateway, one(upstream))
    body = b'{"model":"m","x":"' + b"z" * 1_000_000 + b'"}'
    with gateway.connect() as client:
        for _ in range(2):
            got = client.ask("POST", "/v1/chat/completions", body)
            assert got.status == 200 and got.body == body
    assert upstream.connections == 1


def test_methods_statuses_and_interim_answers(start, speak):
    def play(session, call):
        if call.path.startswith("/interim"):
            for status in (100, 103):
                session.head(call.stream, status, [("link", "</style.css>; rel=preload")])
        status = int(call.path.rsplit("/", 1)[1])
        if status in (204, 304) or call.fields[":method"] == "HEAD":
            session.head(call.stream, status, [("x-kept", "1")], end=True)
        else:
            session.answer(call.stream, b"abc", status, [("x-kept", "1"), ("set-cookie", "a=b")])

    upstream = speak(answering_calls(play), model=False)
    gateway = start(Gateway, one(upstream))
    with gateway.connect() as client:
        for method, path, status, body in (("GET", "/200", 200, b"abc"), ("HEAD", "/200", 200, b""), ("DELETE", "/204", 204, b""), ("GET", "/304", 304, b""),
                                           ("PUT", "/interim/201", 201, b"abc"), ("OPTIONS", "/interim/404", 404, b"abc"), ("PATCH", "/418", 418, b"abc")):
            got = client.ask(method, path, b"body" if method in ("PUT", "PATCH") else None)
            assert (got.status, got.body, got.header("x-kept")) == (status, body, "1"), (method, path, got.status, got.body)
            call = upstream.requests[-1]
            assert (call.fields[":method"], call.path, call.body) == (method, path, b"body" if method in ("PUT", "PATCH") else b"")
    assert upstream.connections == 1


def test_a_stream_arrives_event_by_event_and_is_counted(start, speak):
    seen = [threading.Event() for _ in range(30)]

    def play(session, call):
        stream_head(session, call)
        session.data(call.stream, ROLE)
        for number, event in enumerate(seen):
            session.data(call.stream, delta(content=f"<{number}>"))
            assert event.wait(DEADLINE)
        session.data(call.stream, delta(finish="stop") + usage_event() + DONE, end=True)

    upstream = speak(answering_calls(play), stream_usage=True)
    gateway = start(Gateway, one(upstream))
    with gateway.connect() as client:
        client.send("POST", "/v1/chat/completions", {"model": "m", "stream": True})
        head = client.read_head()
        for number, event in enumerate(seen):
            client.read_until(head, b"<%d>" % number)
            event.set()
        client.read_until(head, DONE)
        assert client.read_chunk(head) == b"" and b"prompt_tokens" not in head.body
    assert gateway.record(head.id)["tokens"]["output"] == 3


# ---- versions

def protocols():
    """Script of a server that speaks what ALPN chose."""
    def script(peer):
        if peer.sock.selected_alpn_protocol() == "h2":
            answering_calls(lambda session, call: session.answer(call.stream, b"h2"))(Session(peer))
        else:
            answering(lambda request: answer(b"http/1.1"))(peer)
    return script


AGREED = [("auto", ["h2", "http/1.1"], "h2"), ("auto", ["http/1.1"], "http/1.1"), ("auto", [], "http/1.1"), ("http1", ["h2", "http/1.1"], "http/1.1"),
          ("http1", [], "http/1.1"), ("http2", ["h2", "http/1.1"], "h2"), ("http2", ["http/1.1"], None), ("http2", [], None)]


def test_the_version_is_what_was_configured_and_agreed(start, authority):
    upstreams = []
    for _, offered, _ in AGREED:
        settings = authority.context()
        if offered:
            settings.set_alpn_protocols(offered)
        upstreams.append(start(Upstream, protocols(), context=settings))
    gateway = start(Gateway, {
        "upstreams": {f"up{at}": {"type": "http", "base_url": upstream.url, "protocol": AGREED[at][0], "tls": {"ca": str(authority.ca)}} for at, upstream in enumerate(upstreams)},
        "routes": [{"match": {"path": f"/{at}"}, "strategy": {"upstreams": [f"up{at}"]}} for at in range(len(AGREED))]})
    for at, (wanted, offered, said) in enumerate(AGREED):
        for _ in range(2):
            got = gateway.ask("GET", f"/{at}")
            if said:
                assert (got.status, got.body.decode()) == (200, said), (wanted, offered)
            else:
                assert got.status == 502 and got.error["code"] in ("upstream_tls", "upstream_protocol"), (wanted, offered, got.body)
        assert upstreams[at].connections == (1 if said else 2), (wanted, offered)


def test_an_upstream_may_learn_http2_and_forget_it(start, authority):
    """What one handshake agreed on holds for that connection."""
    old, new = authority.context(), authority.context()
    old.set_alpn_protocols(["http/1.1"])
    new.set_alpn_protocols(["h2"])

    def script(peer):
        if peer.sock.selected_alpn_protocol() == "h2":
            session = Session(peer)
            while session.peer.server.context is new:
                call = session.call()
                session.answer(call.stream, b"h2")
            session.go_away(call.stream)
            return
        while True:
            peer.request()
            peer.send(answer(b"http/1.1", headers=[("connection", "close")] if peer.server.context is new else []))
            if peer.server.context is new:
                return

    upstream = start(Upstream, script, context=old)
    gateway = start(Gateway, {"upstreams": {"one": {"type": "http", "base_url": upstream.url, "tls": {"ca": str(authority.ca)}}}})
    with gateway.connect() as client:
        assert [client.ask("GET", "/").body for _ in range(3)] == [b"http/1.1"] * 3 and upstream.connections == 1
        upstream.context = new
        assert client.ask("GET", "/").body == b"http/1.1"
        assert [client.ask("GET", "/").body for _ in range(10)] == [b"h2"] * 10 and upstream.connections == 2
        upstream.context = old
        # The connection that is there may take one more.
        client.ask("GET", "/")
        assert [client.ask("GET", "/").body for _ in range(3)] == [b"http/1.1"] * 3 and upstream.connections == 3


def test_an_upstream_that_speaks_http1_where_http2_was_configured_is_malformed(start):
    upstream = start(Upstream, lambda peer: (peer.receive(), peer.send(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n"), peer.wait_gone()))
    good_one = start(Upstream, canned(completion()))
    gateway = start(Gateway, {"upstreams": {"bad": generic(upstream.url, protocol="http2"), "good": generic(good_one.url)}, "routes": [route("bad", "good")]})
    assert gateway.chat().header("x-openclaw-upstream") == "good"


# ---- clients

def test_a_client_that_leaves_ends_its_stream_alone(start, speak):
    cancelled = []

    def play(session):
        calls = [session.call() for _ in range(2)]
        for call in calls:
            stream_head(session, call)
            session.data(call.stream, ROLE + delta(content="x"))
        while not any(call.reset is not None for call in calls):
            session.read()
        cancelled.extend(call.reset for call in calls)
        stays = next(call for call in calls if call.reset is None)
        session.data(stays.stream, delta(finish="stop") + DONE, end=True)
        session.serve()

    upstream = speak(play)
    gateway = start(Gateway, one(upstream))
    leaves, stays = many(gateway, 2, stream=True)
    heads = [client.read_head() for client in (leaves, stays)]
    for client, head in zip((leaves, stays), heads):
        client.read_until(head, delta(content="x"))
    leaves.reset()
    with stays:
        while stays.read_chunk(heads[1]):
            pass
    assert heads[1].events[-1] == "[DONE]" and sorted(cancelled, key=str) == [CANCEL, None] and upstream.connections == 1


def test_a_client_that_does_not_read_holds_its_own_stream_alone(start, speak):
    """Its upstream may send as far as the windows go; nineteen others on the same connection go on, and memory stays."""
    sent, size = [0], 64 << 20
    upstream = speak(pumping(sent, size))
    gateway = start(Gateway, one(upstream))
    base = memory(gateway)
    with gateway.connect(receive_buffer=16384) as slow:
        slow.send("POST", "/v1/chat/completions", {"model": "m", "user": "slow"})
        slow.read_head()
        for _ in range(3):
            assert all(len(got.body) == 100_000 for got in read_all(many(gateway, 19)))
        # Kernel buffers of the slow client hold some megabytes.
        assert sent[0] < size // 2 and memory(gateway) - base < 16 << 20, (sent, memory(gateway) - base)
        assert upstream.connections == 1
    assert gateway.chat().status == 200


def test_http2_on_both_sides(start, speak, authority):
    """Streams of one client become streams of one connection upstream, and a slow one holds up neither."""
    sent = [0]
    upstream = speak(pumping(sent, 2_000_000))
    gateway = start(Gateway, {**one(upstream), "server": {"tls": authority.tls()}})
    fields = [(":method", "POST"), (":scheme", "https"), (":authority", "a"), (":path", "/v1/chat/completions")]
    encoder, bodies, got = hpack.Encoder(), {}, b""
    with SecureClient(gateway.port, alpn=("h2",)) as client:
        out = PREFACE + frame(SETTINGS, struct.pack(">HI", 4, 1 << 20)) + frame(WINDOW_UPDATE, struct.pack(">I", 100 << 20))
        for stream in range(1, 41, 2):
            out += frame(HEADERS, encoder.encode(fields), 4, stream) + frame(DATA, b'{"model":"m","x":"%s"}' % (b"slow" if stream == 1 else b"quick"), 1, stream)
        client.sock.sendall(out)
        ended = set()

        def take():
            nonlocal got
            data = client.sock.recv(65536)
            assert data, "the connection goes on"
            got += data
            while len(got) >= 9 and len(got) >= 9 + int.from_bytes(got[:3], "big"):
                length, kind, flags, stream = int.from_bytes(got[:3], "big"), got[3], got[4], int.from_bytes(got[5:9], "big")
                if kind == DATA:
                    bodies[stream] = bodies.get(stream, 0) + length
                if kind in (DATA, HEADERS) and flags & 1:
                    ended.add(stream)
                got = got[9 + length:]

        # The first stream's window is used up, and nobody gives it more: the others are whole all the same.
        while len(ended) < 19 or bodies.get(1, 0) < 1 << 20:
            take()
        assert 1 not in ended and bodies[1] == 1 << 20
        client.sock.sendall(frame(WINDOW_UPDATE, struct.pack(">I", 2_000_000), stream=1))
        while 1 not in ended:
            take()
        assert bodies[1] == 2_000_000
    assert upstream.connections == 1


# ---- servers of other people

class Program:
    """A server of somebody else's as a child process; ready when its port answers."""

    def __init__(self, command, port: int):
        self.port = port
        self.process = subprocess.Popen([str(part) for part in command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        def answers():
            assert self.process.poll() is None, f"{command[0]} ended with {self.process.returncode}"
            with socket.socket() as sock:
                return sock.connect_ex(("127.0.0.1", port)) == 0
        wait_for(answers, what=f"{command[0]} on port {port}")

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(DEADLINE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return sock.getsockname()[1]


@pytest.fixture
def files(tmp_path):
    folder = tmp_path / "files"
    folder.mkdir()
    (folder / "small").write_text("small")
    (folder / "large").write_bytes(os.urandom(2 << 20))
    return folder


def all_right(gateway, files, count: int = 50) -> None:
    """Files at the same time, and one after the other."""
    large = (files / "large").read_bytes()

    def get(number):
        got = gateway.ask("GET", "/large" if number % 10 == 0 else "/small")
        assert (got.status, got.body) == (200, large if number % 10 == 0 else b"small"), got.status

    with ThreadPoolExecutor(count) as pool:
        list(pool.map(get, range(count)))
    with gateway.connect() as client:
        assert all(client.ask("GET", "/small").body == b"small" for _ in range(20))
        assert client.ask("GET", "/missing").status == 404


def test_nghttpd(start, authority, files):
    program = shutil.which("nghttpd")
    if not program:
        pytest.skip("no nghttpd (package nghttp2-server)")
    certificate, key = authority.make("localhost")
    port = free_port()
    start(Program, [program, "-a", "127.0.0.1", "-d", files, "-m", "20", port, key, certificate], port)
    gateway = start(Gateway, {"upstreams": {"one": {"type": "http", "base_url": f"https://localhost:{port}", "tls": {"ca": str(authority.ca)}}}})
    all_right(gateway, files)
    # 50 at a time, 20 a connection.
    assert metric(gateway, "openclaw_upstream_connections_total") <= 6


def test_nginx_which_ends_connections_after_ten_requests(start, authority, files, tmp_path):
    program = shutil.which("nginx")
    if not program:
        pytest.skip("no nginx")
    certificate, key = authority.make("localhost")
    port = free_port()
    (tmp_path / "nginx.conf").write_text(f"""
        daemon off; master_process off; pid {tmp_path}/nginx.pid; error_log {tmp_path}/nginx.log;
        events {{ worker_connections 256; }}
        http {{
            access_log off; client_body_temp_path {tmp_path}/body; proxy_temp_path {tmp_path}/proxy; fastcgi_temp_path {tmp_path}/f; uwsgi_temp_path {tmp_path}/u; scgi_temp_path {tmp_path}/s;
            server {{ listen 127.0.0.1:{port} ssl http2; server_name localhost; ssl_certificate {certificate}; ssl_certificate_key {key}; keepalive_requests 10; root {files}; }}
        }}""")
    start(Program, [program, "-c", tmp_path / "nginx.conf", "-p", tmp_path], port)
    gateway = start(Gateway, {"upstreams": {"one": {"type": "http", "base_url": f"https://localhost:{port}", "tls": {"ca": str(authority.ca)}}}})
    all_right(gateway, files)
    all_right(gateway, files, 30)
    assert metric(gateway, "openclaw_upstream_connections_total") >= 10
