"""WebSockets where TLS or HTTP/2 lies between: extended CONNECT (RFC 8441) from clients of HTTP/2, wss:// in front and behind."""
import os
import select
import socket
import ssl
import struct
import threading
import time

import h2.config
import h2.connection
import h2.events
import pytest

from test_tls_upstreams import Authority
from test_websocket import Server, accept, dial, echo, frame, identity, read_frame, reader, scripted, served  # noqa: F401
from wire import until


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"))


class Session:
    """A client of HTTP/2 in clear text (prior knowledge) on PyPI `h2`, which knows extended CONNECT."""

    def __init__(self, gateway, window=65535):
        self.sock = socket.create_connection(("127.0.0.1", gateway.port), 10)
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True, header_encoding="utf-8"))
        self.h2.initiate_connection()
        self.heads, self.data, self.ended, self.reset = {}, {}, set(), {}
        self.reads = True
        self.flush()

    def flush(self):
        self.sock.sendall(self.h2.data_to_send())

    def pump(self, seconds):
        if not select.select([self.sock], [], [], seconds)[0]:
            return
        for event in self.h2.receive_data(self.sock.recv(65536)):
            if isinstance(event, h2.events.ResponseReceived):
                self.heads[event.stream_id] = dict(event.headers)
            elif isinstance(event, h2.events.DataReceived):
                self.data.setdefault(event.stream_id, bytearray()).extend(event.data)
                if self.reads and event.flow_controlled_length:
                    self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            elif isinstance(event, h2.events.StreamEnded):
                self.ended.add(event.stream_id)
            elif isinstance(event, h2.events.StreamReset):
                self.reset[event.stream_id] = event.error_code
        self.flush()

    def until(self, question, what, deadline=10):
        end = time.monotonic() + deadline
        while not (answer := question()):
            assert time.monotonic() < end, f"{what}: not within {deadline} s"
            self.pump(0.05)
        return answer

    def connect(self, path="/", protocol="websocket", fields=()):
        self.until(lambda: self.h2.remote_settings.enable_connect_protocol == 1, "SETTINGS_ENABLE_CONNECT_PROTOCOL")
        stream = self.h2.get_next_available_stream_id()
        self.h2.send_headers(stream, [(":method", "CONNECT"), (":protocol", protocol), (":scheme", "http"), (":path", path), (":authority", "gateway"),
                                      ("sec-websocket-version", "13"), *fields])
        self.flush()
        return stream

    def head(self, stream):
        return self.until(lambda: self.heads.get(stream), "the answer's head")

    def send(self, stream, data, end=False):
        at = 0
        while at < len(data) or (end and at == len(data)):
            size = min(len(data) - at, self.h2.local_flow_control_window(stream), self.h2.max_outbound_frame_size)
            if size == 0 and at < len(data):
                self.pump(0.05)
                continue
            last = end and at + size == len(data)
            self.h2.send_data(stream, data[at:at + size], end_stream=last)
            self.flush()
            at += size
            if last:
                return

    def frame(self, stream):
        """The next frame of a stream; None at its end."""
        store = self.data.setdefault(stream, bytearray())

        def read(count):
            self.until(lambda: len(store) >= count or stream in self.ended or stream in self.reset, f"{count} bytes")
            out = bytes(store[:count])
            del store[:count]
            return out

        return read_frame(read)

    def close(self):
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


MASK = b"\x01\x02\x03\x04"


def test_a_stream_is_a_websocket_like_any_other(gateway, served):
    server = served(echo, compression=None)
    front = gateway(plain=server.url)
    with Session(front) as session:
        stream = session.connect("/chat?x=1", fields=[("x-kept", "1"), ("origin", "http://a")])
        head = session.head(stream)
        assert head[":status"] == "200" and head["x-openclaw-upstream"] == "plain"
        assert not {"upgrade", "connection", "sec-websocket-accept", "transfer-encoding"} & set(head)
        for payload in (b"hello", b"", os.urandom(60_000)):
            session.send(stream, frame(2, payload, mask=MASK))
            assert session.frame(stream) == (2, payload, False)
        session.send(stream, frame(8, struct.pack(">H", 4001) + b"enough", mask=MASK))
        assert session.frame(stream) == (8, struct.pack(">H", 4001) + b"enough", False)
        session.until(lambda: stream in session.ended, "the stream's end")
        request = server.requests[-1]
        assert request.path == "/chat?x=1" and request.headers["x-kept"] == "1" and len(request.headers["sec-websocket-key"]) == 24
        line = front.logged(head["x-request-id"])
        assert line["status"] == 200 and line["tunnel"]["close_code"] == 4001 and line["tunnel"]["closed_by"] == "client" and line["tunnel"]["ended_by"] == "peers"
        assert line["tunnel"]["messages_from_client"] == 3 and line["tunnel"]["messages_from_upstream"] == 3
        # The connection goes on.
        other = session.connect("/again")
        assert session.head(other)[":status"] == "200"
    assert server.ends[0] == (4001, "enough")


def test_ten_megabytes_come_back_over_a_stream(gateway, served):
    front = gateway(plain=served(echo, compression=None).url)
    payload = os.urandom(1 << 20) * 10
    with Session(front) as session:
        stream = session.connect()
        session.head(stream)
        # Echoed frame by frame, so that neither side waits for the other's window.
        for at in range(0, len(payload), 1 << 20):
            session.send(stream, frame(2, payload[at:at + (1 << 20)], mask=MASK))
            assert session.frame(stream) == (2, payload[at:at + (1 << 20)], False)


def test_data_ahead_of_the_answer_is_not_lost(gateway, scripted):
    got = []

    def script(peer):
        head = peer.head()
        peer.pending = head + peer.pending
        accept(peer, extra=frame(1, b"early from upstream"))
        got.append(read_frame(reader(peer.sock, peer.pending)))
        peer.wait_gone()

    with Session(gateway(plain=scripted(script).url)) as session:
        stream = session.connect()
        session.send(stream, frame(1, b"early from client", mask=MASK))
        assert session.frame(stream) == (1, b"early from upstream", False)
        until(lambda: got, "what came early")
    assert got == [(1, b"early from client", True)]


@pytest.mark.parametrize("protocol,status", [("foo", "501"), ("h2c", "501")])
def test_a_protocol_that_is_not_allowed_is_a_501(gateway, served, protocol, status):
    server = served(echo)
    with Session(gateway(plain=server.url)) as session:
        stream = session.connect(protocol=protocol)
        assert session.head(stream)[":status"] == status
        session.until(lambda: stream in session.ended, "the answer's end")
        assert b"protocol_not_allowed" in session.data[stream]
    assert not server.requests


def test_the_gateways_own_answers_do_not_open_a_tunnel(gateway, served):
    with Session(gateway(model=served(echo).url)) as session:
        stream = session.connect("/v1/models")
        assert session.head(stream)[":status"] != "200" or "x-openclaw-upstream" in session.head(stream)


@pytest.mark.parametrize("answer,status", [
    (b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno", "403"), (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", "502")])
def test_a_refused_handshake_on_a_stream_is_an_answer_and_never_a_2xx(gateway, scripted, answer, status):
    def script(peer):
        peer.head()
        peer.send(answer)
        peer.wait_gone()

    with Session(gateway(plain=scripted(script).url)) as session:
        stream = session.connect()
        assert session.head(stream)[":status"] == status
        session.until(lambda: stream in session.ended or stream in session.reset, "the stream's end")


def test_an_upstream_that_is_killed_is_a_1011_on_the_stream(gateway, scripted):
    def script(peer):
        accept(peer)
        peer.receive()
        peer.reset()

    with Session(gateway(plain=scripted(script).url)) as session:
        stream = session.connect()
        session.head(stream)
        session.send(stream, frame(1, b"now", mask=MASK))
        opcode, payload, _ = session.frame(stream)
        assert (opcode, payload[:2]) == (8, struct.pack(">H", 1011))
        session.until(lambda: stream in session.ended, "the stream's end")


@pytest.mark.parametrize("how", ["stream", "connection"])
def test_a_client_that_resets_is_told_to_the_upstream(gateway, scripted, how):
    told = []

    def script(peer):
        accept(peer)
        read = reader(peer.sock, peer.pending)
        told.append(read_frame(read)[1])
        opcode, payload, masked = read_frame(read)
        told.append((opcode, payload[:2], masked))

    front = gateway(plain=scripted(script).url)
    with Session(front) as session:
        stream = session.connect()
        head = session.head(stream)
        session.send(stream, frame(1, b"here", mask=MASK))
        until(lambda: told, "the first frame")
        if how == "stream":
            session.h2.reset_stream(stream, 8)
            session.flush()
        else:
            session.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            session.close()
        until(lambda: len(told) == 2, "the upstream is told")
    assert told[1] == (8, struct.pack(">H", 1001), True)
    assert front.logged(head["x-request-id"])["disconnected"] == "client"


def test_H2_16_a_stream_that_is_not_read_holds_up_nobody_else(gateway, scripted, served):
    """Neither way: the upstream of one stream floods it and reads nothing, another stream echoes on."""
    def flood(peer):
        accept(peer)
        peer.sock.settimeout(0.5)
        one, total = frame(2, bytes(60_000)), 0
        try:
            while total < 100 << 20:
                peer.sock.sendall(one)
                total += len(one)
        except TimeoutError:
            held.append(total)
        over.wait(30)

    held, over = [], threading.Event()
    config = gateway.configuration(plain=served(echo, compression=None).url)
    config["upstreams"]["flood"] = {"type": "http", "base_url": scripted(flood).url}
    config["routes"].insert(0, {"id": "flood", "match": {"path": "/flood"}, "strategy": {"upstreams": ["flood"]}})
    front = gateway(raw=config)
    with Session(front) as session:
        session.reads = False
        session.h2.increment_flow_control_window(1 << 24)
        session.flush()
        stuck = session.connect("/flood")
        session.head(stuck)
        until(lambda: (session.pump(0.05), held)[1], "the flood is held up", 20)
        assert held[0] < 30 << 20
        before = front.status()["rss"]
        # The other way: more than the window is never taken.
        blocked = 0
        while (size := min(session.h2.local_flow_control_window(stuck), 16000)) > 0 and blocked < 64 << 20:
            session.h2.send_data(stuck, frame(2, bytes(size - 8), mask=MASK)[:size])
            session.flush()
            session.pump(0)
            blocked += size
        assert front.status()["rss"] - before < 8 << 20
        free = session.connect("/free")
        session.head(free)
        for number in range(20):
            session.send(free, frame(1, b"%d" % number, mask=MASK))
            assert session.frame(free) == (1, b"%d" % number, False)
    over.set()


def tls(gateway, **pieces):
    return {**gateway.configuration(), **pieces}


@pytest.mark.parametrize("protocol", ["auto", "http1"])
def test_a_wss_upstream_gets_a_connection_of_http_1_1(gateway, authority, protocol):
    context = authority.context()
    context.set_alpn_protocols(["h2", "http/1.1"])
    server = Server(echo, ssl=context)
    try:
        front = gateway(raw=tls(gateway, upstreams={"far": {"type": "http", "base_url": f"wss://localhost:{server.port}", "protocol": protocol,
                                                            "tls": {"ca": str(authority.ca)}}},
                                routes=[{"id": "all", "strategy": {"upstreams": ["far"]}}]))
        with dial(front) as client:
            for message in ("hello", os.urandom(200_000)):
                client.send(message)
                assert client.recv(10) == message
            client.close(4000, "enough")
        until(lambda: server.ends, "the upstream's end")
        assert server.ends == [(4000, "enough")]
    finally:
        server.stop()


def test_wss_in_front(gateway, authority, served):
    certificate, key = authority.issue("localhost")
    config = gateway.configuration(plain=served(echo).url)
    config["server"]["tls"] = {"certificate": str(certificate), "key": str(key)}
    front = gateway(raw=config)
    trust = ssl.create_default_context(cafile=str(authority.ca))
    from websockets.sync.client import connect
    with connect(f"wss://localhost:{front.port}/", ssl=trust, proxy=None, sock=socket.create_connection(("127.0.0.1", front.port)), max_size=None) as client:
        for message in ("hello", os.urandom(3 << 20)):
            client.send(message)
            assert client.recv(10) == message
        client.close(4000, "enough")
        line = front.logged(identity(client))
    assert line["tunnel"]["close_code"] == 4000
