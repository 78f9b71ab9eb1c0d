"""Requests over TLS towards clients: bodies of every size, back-pressure, ends clean and unclean, streams beside handshakes, a drain, and the wrong
protocol on a port (rows TL-09 and TL-11, and what INV-7 says of streams)."""
import hashlib
import itertools
import os
import socket
import ssl
import subprocess
import threading

import hpack
import pytest

from tlsrig import *

VERSIONS = pytest.mark.parametrize("version", ["1.2", "1.3"])


def frame(kind: int, payload: bytes = b"", flags: int = 0, stream: int = 0) -> bytes:
    return struct.pack(">I", len(payload))[1:] + bytes((kind, flags)) + struct.pack(">I", stream) + payload


# ---- the wrong protocol

def test_plain_http_on_the_tls_port_is_told_so(start, authority):
    upstream = start(Upstream, canned())
    gateway = start(Gateway, secured(upstream.url, authority.tls()))
    for number, method in enumerate(("GET", "POST", "HEAD", "OPTIONS", "PATCH", "PRI")):
        with gateway.connect() as client:
            if method == "PRI":
                client.sock.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4))
            else:
                client.send(method, "/v1/chat/completions", b"x" * 100 if method in ("POST", "PATCH") else None)
            got = client.read()
            assert got.status == 400 and got.header("connection") == "close"
            assert got.error["code"] == "plain_http_on_tls_port" and "https://" in got.error["message"]
            assert client.is_closed()
        wait_refused(gateway, "plain_on_tls", number + 1)
    assert upstream.connections == 0


def test_plain_http_byte_by_byte_and_large_on_the_tls_port(start, authority):
    gateway = start(Gateway, secured("http://127.0.0.1:9", authority.tls()))
    with gateway.connect() as client:
        for byte in b"POST / HTTP/1.1\r\nhost: a\r\n\r\n"[:12]:
            try:
                client.sock.sendall(bytes([byte]))
            except ConnectionError:
                break
        assert client.read().error["code"] == "plain_http_on_tls_port"
    said = subprocess.run(["curl", "-s", "-d", "@-", f"http://127.0.0.1:{gateway.port}/v1/chat/completions"], input=b"y" * 30_000, capture_output=True, timeout=DEADLINE)
    assert b"plain_http_on_tls_port" in said.stdout, said
    wait_refused(gateway, "plain_on_tls", 2)


def test_tls_on_the_plain_port_is_refused_and_counted(start):
    upstream = start(Upstream, canned())
    gateway = start(Gateway, single(upstream.url))
    for number, version in enumerate(("1.2", "1.3")):
        with pytest.raises((ssl.SSLError, ConnectionError)):
            SecureClient(gateway.port, version=version)
        wait_refused(gateway, "framing", number + 1)
    assert upstream.connections == 0 and gateway.chat().status == 200


# ---- requests

def test_requests_keep_the_connection_and_may_be_pipelined(start, authority):
    upstream = start(Upstream, answering(lambda request: answer(request.body)))
    gateway = start(Gateway, secured(upstream.url, authority.tls()))
    for version in ("1.2", "1.3"):
        with SecureClient(gateway.port, version=version) as client:
            for number in range(20):
                got = client.chat(user=str(number))
                assert got.status == 200 and got.json()["user"] == str(number)
            for number in range(30):
                client.send("POST", "/v1/chat/completions", {"model": "m", "user": f"p{number}"})
            assert [client.read().json()["user"] for _ in range(30)] == [f"p{number}" for number in range(30)]
        # Many requests in one write: records of 16 KiB with heads and bodies cut anywhere.
        request = b"POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\ncontent-length: 1025\r\n\r\n" + b'{"model":"m","x":"' + b"z" * 1005 + b'"}'
        with SecureClient(gateway.port, version=version) as client:
            client.sock.sendall(request * 60)
            assert all(client.read().body == request[-1025:] for _ in range(60))


def test_large_bodies_pass_both_ways(start, authority):
    upstream = start(Upstream, answering(lambda request: answer(request.body * 4)))
    gateway = start(Gateway, secured(upstream.url, authority.tls()))
    body = b'{"model":"m","x":"' + os.urandom(2 << 20).hex().encode() + b'"}'
    for version in ("1.2", "1.3"):
        with SecureClient(gateway.port, version=version) as client:
            for size in (16383, 16384, 16385, len(body)):
                sent = body[:size - 2] + b'"}' if size < len(body) else body
                got = client.ask("POST", "/v1/chat/completions", sent)
                assert got.status == 200 and got.body == sent * 4, size
            # The same without a length, in pieces.
            client.send("POST", "/v1/chat/completions", headers=[("transfer-encoding", "chunked"), ("content-type", "application/json")])
            for at in range(0, len(body), 70_000):
                client.sock.sendall(chunk(body[at:at + 70_000]))
            client.sock.sendall(LAST_CHUNK)
            assert client.read().body == body * 4


def test_small_records_and_segments_make_the_same_request(start, authority):
    """Records of one byte each, and segments of one: slow, and nothing else."""
    upstream = start(Upstream, answering(lambda request: answer(request.body)))
    gateway = start(Gateway, secured(upstream.url, authority.tls()))
    with SecureClient(gateway.port) as client:
        request = b'POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\ncontent-length: 21\r\n\r\n{"model":"m","x":"yz"}'[:-1]
        request = request.replace(b'"yz"', b'"y"') + b"}"
        for byte in request:
            client.sock.sendall(bytes([byte]))
        assert client.read().body == request[-21:]
        client.sock.shape = lambda data: [data[at:at + 1] for at in range(len(data))]
        client.sock.sendall(request)
        assert client.read().body == request[-21:]


@VERSIONS
def test_a_reader_who_stops_holds_the_upstream_and_no_memory(start, authority, version):
    size, sent = 48 << 20, [0]

    def script(peer):
        peer.request()
        peer.send(b"HTTP/1.1 200 OK\r\ncontent-type: application/octet-stream\r\ncontent-length: %d\r\n\r\n" % size)
        piece = bytes(range(256)) * 256
        while sent[0] < size:
            peer.send(piece)
            sent[0] += len(piece)
        peer.wait_gone()

    upstream = start(Upstream, script)
    gateway = start(Gateway, secured(upstream.url, authority.tls(), workers=1))
    base = memory(gateway)
    with SecureClient(gateway.port, version=version, receive_buffer=65536) as client:
        client.send("POST", "/v1/chat/completions", {"model": "m"})
        head = client.read_head()
        seen = [0, time.monotonic()]

        def stalled():
            if sent[0] != seen[0]:
                seen[:] = sent[0], time.monotonic()
            return time.monotonic() - seen[1] > 0.2

        wait_for(stalled, what="the upstream to be held")
        assert sent[0] < size // 2 and memory(gateway) - base < 8 << 20
        # The connection beside it is served.
        with SecureClient(gateway.port) as other:
            assert other.ask("GET", "/v1/models").status == 200
        got, sum_ = len(client.pending), hashlib.sha256(client.pending)
        while got < size:
            data = client.sock.recv(262144)
            assert data
            sum_.update(data)
            got += len(data)
        assert head.status == 200 and sum_.digest() == hashlib.sha256(bytes(range(256)) * (size // 256)).digest()


# ---- ends

CUTS = {
    "in the head": (b"POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\nx-", 0),
    "in a body of known length": (b'POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\ncontent-length: 100\r\n\r\n{"model":"m"}', 1),
    "in a chunk": (b'POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n50\r\n{"model":"m"}', 1),
    "between chunks": (b'POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nd\r\n{"model":"m"}\r\n', 1),
    "before the last line": (b'POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nd\r\n{"model":"m"}\r\n0\r\n', 1),
}


def test_TL_09_a_request_that_is_cut_is_never_a_whole_one(start, authority):
    upstream = start(Upstream, canned())
    gateway = start(Gateway, secured(upstream.url, authority.tls()))
    count = 0
    for how, (where, (data, logged)) in itertools.product(("fin", "fin in a record", "reset", "close_notify"), CUTS.items()):
        client = SecureClient(gateway.port)
        client.sock.sendall(data)
        if how == "fin":
            client.sock.fin()
        elif how == "fin in a record":
            client.tls.write(b"and more of it" * 10)
            client.sock.raw.sendall(client.sock.outgoing.read()[:40])
            client.sock.fin()
        elif how == "close_notify":
            client.sock.goodbye()
            client.sock.fin()
        else:
            client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.close()
        if how != "reset":
            with pytest.raises((Broken, Cut)):
                got = client.read_head()
                raise AssertionError(f"an answer to a request cut {where} by {how}: {got.status}")
        wait_for(lambda: metric(gateway, "openclaw_connections", listener="data") == 0, what="the connection's end")
        count += logged
        wait_for(lambda: len(gateway.records()) >= count, what="a record")
        client.close()
    assert [(record["status"], record["disconnected"]) for record in gateway.records()] == [(499, "client")] * count, gateway.records()
    assert upstream.connections == 0


@VERSIONS
def test_a_client_that_has_said_goodbye_still_gets_its_answer(start, authority, version):
    """close_notify ends one direction only (RFC 8446 §6.1); an end without it is somebody who is gone."""
    gate = threading.Event()

    def script(peer):
        peer.request()
        assert gate.wait(DEADLINE)
        peer.send(answer(completion()))

    upstream = start(Upstream, script)
    gateway = start(Gateway, secured(upstream.url, authority.tls()))
    with SecureClient(gateway.port, version=version) as client:
        client.send("POST", "/v1/chat/completions", {"model": "m"})
        upstream.wait_requests(1)
        client.sock.goodbye()
        gate.set()
        got = client.read()
        assert (got.status, got.body) == (200, completion())
        assert client.is_closed()


def test_TL_09_a_client_that_is_cut_while_it_waits_is_gone(start, authority):
    gone = threading.Event()

    def script(peer):
        peer.request()
        if peer.wait_gone():
            gone.set()

    upstream = start(Upstream, script)
    gateway = start(Gateway, secured(upstream.url, authority.tls()))
    with SecureClient(gateway.port) as client:
        client.send("POST", "/v1/chat/completions", {"model": "m", "stream": True})
        upstream.wait_requests(1)
        client.sock.fin()
        assert gone.wait(DEADLINE)
    wait_for(lambda: gateway.records(), what="a record")
    assert gateway.records()[0]["disconnected"] == "client"


def test_connections_end_with_close_notify(start, authority):
    upstream = start(Upstream, canned())
    config = secured(upstream.url, authority.tls(), idle_timeout_seconds=0.2, max_requests_per_connection=2)
    gateway = start(Gateway, config)
    for version in ("1.2", "1.3"):
        with SecureClient(gateway.port, version=version) as client:  # idle
            assert client.chat().status == 200 and client.is_closed()
        with SecureClient(gateway.port, version=version) as client:  # asked for
            assert client.chat(headers=[("connection", "close")]).header("connection") == "close" and client.is_closed()
        with SecureClient(gateway.port, version=version) as client:  # enough
            assert [client.chat().status for _ in range(2)] == [200, 200] and client.is_closed()
        with SecureClient(gateway.port, version=version) as client:  # a refusal
            client.sock.sendall(b"GET / HTTP/9.9\r\n\r\n")
            assert client.read().status in (400, 505) and client.is_closed()
        with SecureClient(gateway.port, version=version) as client:  # goodbye is answered
            assert client.chat().status == 200
            client.sock.goodbye()
            assert client.is_closed()


# ---- streams and drains

def test_events_arrive_one_by_one(start, authority):
    """The upstream goes on only when the client has what came before: nothing waits for more."""
    seen = [threading.Event() for _ in range(40)]

    def script(peer):
        peer.request()
        peer.send(STREAM_HEAD + chunk(ROLE))
        for number, event in enumerate(seen):
            peer.send(chunk(delta(content=f"<{number}>")))
            assert event.wait(DEADLINE)
        peer.send(chunk(delta(finish="stop") + DONE) + LAST_CHUNK)

    upstream = start(Upstream, script)
    gateway = start(Gateway, secured(upstream.url, authority.tls()))
    with SecureClient(gateway.port) as client:
        client.send("POST", "/v1/chat/completions", {"model": "m", "stream": True})
        head = client.read_head()
        for number, event in enumerate(seen):
            client.read_until(head, b"<%d>" % number)
            event.set()
        client.read_until(head, DONE)
        assert client.read_chunk(head) == b"" and head.text == "".join(f"<{number}>" for number in range(40))


def test_TL_11_streams_go_on_beside_handshakes(start, authority):
    """As many handshakes as one process makes for a second, while a stream's events are handed over one by one."""
    over, sent = threading.Event(), threading.Semaphore(0)

    def script(peer):
        peer.request()
        peer.send(STREAM_HEAD + chunk(ROLE))
        while not over.is_set():
            peer.send(chunk(delta(content="x")))
            assert sent.acquire(timeout=DEADLINE)
        peer.send(chunk(delta(finish="stop") + DONE) + LAST_CHUNK)

    upstream = start(Upstream, script)
    gateway = start(Gateway, secured(upstream.url, authority.tls()))
    storm = None
    with SecureClient(gateway.port) as client:
        client.send("POST", "/v1/chat/completions", {"model": "m", "stream": True})
        head = client.read_head()
        storm = subprocess.Popen(["openssl", "s_time", "-connect", f"127.0.0.1:{gateway.port}", "-new", "-time", "1"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        gaps, last = [], time.monotonic()
        try:
            while data := client.read_chunk(head):
                head.body = b""
                now = time.monotonic()
                gaps.append(now - last)
                last = now
                if storm.poll() is not None:
                    over.set()
                sent.release()
        finally:
            storm.kill()
    said = storm.stdout.read().decode()
    storm.stdout.close()
    storm.wait(DEADLINE)
    made = metric(gateway, "openclaw_tls_handshakes_total", resumed="false")
    assert made > 20, (made, said)
    assert len(gaps) > 20 and max(gaps) < 2, (len(gaps), max(gaps))
    assert data == b""


@VERSIONS
def test_a_drain_ends_streams_whole_and_connections_with_close_notify(start, authority, version):
    gate = threading.Event()

    def script(peer):
        peer.request()
        events = good_stream()
        peer.send(STREAM_HEAD + b"".join(map(chunk, events[:2])))
        assert gate.wait(DEADLINE)
        peer.send(b"".join(map(chunk, events[2:])) + LAST_CHUNK)

    upstream = start(Upstream, script)
    gateway = start(Gateway, secured(upstream.url, authority.tls(), handshake_timeout_seconds=60))
    busy, idle, new = (SecureClient(gateway.port, version=version) for _ in range(3))
    busy.send("POST", "/v1/chat/completions", {"model": "m", "stream": True})
    head = busy.read_head()
    assert idle.ask("GET", "/v1/models").status == 200
    # A handshake that nobody goes on with has no part in the drain's length.
    shaking = socket.create_connection(("127.0.0.1", gateway.port), DEADLINE)
    shaking.sendall(records(hello())[:20])
    wait_for(lambda: metric(gateway, "openclaw_connections", listener="data") == 4)
    gateway.signal(15)
    gateway.messages.wait("draining")
    assert idle.is_closed() and new.is_closed()
    try:
        assert shaking.recv(100) == b""
    except ConnectionResetError:
        pass
    gate.set()
    while busy.read_chunk(head):
        pass
    assert head.body == b"".join(good_stream())
    assert busy.is_closed()
    for one in (busy, idle, new, shaking):
        one.close()
    assert gateway.process.wait(DEADLINE) == 0


def test_a_drain_tells_h2_clients_and_ends_with_close_notify(start, authority):
    gate = threading.Event()

    def script(peer):
        peer.request()
        assert gate.wait(DEADLINE)
        peer.send(answer(completion()))

    upstream = start(Upstream, script)
    gateway = start(Gateway, secured(upstream.url, authority.tls()))
    with SecureClient(gateway.port, alpn=("h2",)) as client:
        body = b'{"model":"m"}'
        fields = hpack.Encoder().encode([(":method", "POST"), (":scheme", "https"), (":authority", "a"), (":path", "/v1/chat/completions"), ("content-length", str(len(body)))])
        client.sock.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4) + frame(1, fields, flags=4, stream=1) + frame(0, body, flags=1, stream=1))
        upstream.wait_requests(1)
        gateway.signal(15)
        got, kinds, answered = b"", [], b""
        while data := client.sock.recv(65536):
            got += data
            while len(got) >= 9 and len(got) >= 9 + int.from_bytes(got[:3], "big"):
                length, kind = int.from_bytes(got[:3], "big"), got[3]
                kinds.append(kind)
                answered += got[9:9 + length] if kind == 0 else b""
                got = got[9 + length:]
                if kind == 7:
                    gate.set()
        assert got == b"" and 7 in kinds and answered == completion(), kinds
    assert gateway.process.wait(DEADLINE) == 0


def test_curl_checks_the_certificate_and_gets_files_over_both_versions(start, authority, tmp_path):
    """Clients that share no code with our tests: names are checked, both versions of HTTP are spoken, files arrive as they are."""
    data = os.urandom(3 << 20)
    upstream = start(Upstream, canned(data))
    gateway = start(Gateway, {"server": {"tls": authority.tls()}, "upstreams": {"plain": {"type": "http", "base_url": upstream.url}}})
    for version, said in (("--http1.1", "1.1"), ("--http2", "2")):
        got = subprocess.run(["curl", "-s", "--cacert", authority.ca, version, "-o", tmp_path / "file", "-w", "%{http_version} %{http_code} %{ssl_verify_result}",
                              f"https://localhost:{gateway.port}/file"], capture_output=True, text=True, timeout=DEADLINE)
        assert got.stdout == f"{said} 200 0" and (tmp_path / "file").read_bytes() == data, got
