"""WebSockets through the gateway (RFC 9110 §7.8, RFC 6455): the client and most servers are PyPI `websockets`; where the bytes matter, the upstream is
a script over a raw socket and frames are made here."""
import base64
import contextlib
import hashlib
import os
import signal
import socket
import struct
import threading
import time

import pytest
from websockets.exceptions import ConnectionClosed, ConnectionClosedError, ConnectionClosedOK, InvalidStatus
from websockets.sync.client import connect
from websockets.sync.server import serve

from conftest import KEY
from scripted import Gone, Upstream
from wire import until

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class Server:
    """`websockets` as an upstream. `handle` serves each connection; paths /refuse/NNN are answered with that status."""

    def __init__(self, handle, **options):
        self.requests = []
        self.ends = []

        def look(connection, request):
            self.requests.append(request)
            if request.path.startswith("/refuse/"):
                response = connection.respond(int(request.path[8:11]), "not here\n")
                if request.path[8:11] == "426":
                    response.headers["Sec-WebSocket-Version"] = "13"
                return response
            return None

        def run(connection):
            try:
                handle(connection)
            except ConnectionClosed as end:
                self.ends.append((end.rcvd.code if end.rcvd else None, end.rcvd.reason if end.rcvd else None))

        self.server = serve(run, "127.0.0.1", 0, process_request=look, max_size=None, **{"ping_interval": None, "close_timeout": 5, **options})
        self.port = self.server.socket.getsockname()[1]
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def stop(self):
        self.server.shutdown()
        self.thread.join(10)


def echo(connection):
    while True:
        connection.send(connection.recv())


@pytest.fixture(scope="module")
def echoing():
    known = ["chat.v2", "realtime"]
    server = Server(echo, subprotocols=known, select_subprotocol=lambda connection, offered: next((one for one in offered if one in known), None))
    yield server
    server.stop()


@pytest.fixture
def served():
    """A factory of servers that end with the test."""
    made = []

    def make(handle, **options):
        made.append(Server(handle, **options))
        return made[-1]

    yield make
    for server in made:
        server.stop()


@contextlib.contextmanager
def dial(gateway, path="/", **options):
    options = {"proxy": None, "max_size": None, "ping_interval": None, "close_timeout": 5, **options}
    with connect(f"ws://127.0.0.1:{gateway.port}{path}", **options) as client:
        yield client


def identity(client):
    return client.response.headers["x-request-id"]


# MARK: raw frames


def frame(opcode, payload=b"", final=True, mask=None):
    out = bytes([opcode | (0x80 if final else 0)])
    bit = 0x80 if mask else 0
    if len(payload) < 126:
        out += bytes([len(payload) | bit])
    elif len(payload) < 65536:
        out += struct.pack(">BH", 126 | bit, len(payload))
    else:
        out += struct.pack(">BQ", 127 | bit, len(payload))
    if not mask:
        return out + payload
    return out + mask + bytes(byte ^ mask[at & 3] for at, byte in enumerate(payload))


def read_frame(read):
    """(opcode, payload, masked) from `read(count)`; None at the end of the stream."""
    head = read(2)
    if not head:
        return None
    length = head[1] & 0x7F
    if length == 126:
        length = struct.unpack(">H", read(2))[0]
    elif length == 127:
        length = struct.unpack(">Q", read(8))[0]
    mask = read(4) if head[1] & 0x80 else None
    payload = read(length)
    if mask:
        payload = bytes(byte ^ mask[at & 3] for at, byte in enumerate(payload))
    return head[0] & 0x0F, payload, mask is not None


def reader(sock, pending=b""):
    """A function that reads exactly so many bytes; b"" at the end before the first."""
    store = bytearray(pending)

    def read(count):
        while len(store) < count:
            data = sock.recv(65536)
            if not data:
                assert not store, f"the stream ended within {bytes(store)!r}"
                return b""
            store.extend(data)
        out = bytes(store[:count])
        del store[:count]
        return out

    return read


def accept(peer, extra=b"", fields=b""):
    """Answers the handshake of a scripted upstream's peer; the request's head."""
    head = peer.head()
    key = next((line.split(b":", 1)[1].strip() for line in head.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key:")), b"")
    digest = base64.b64encode(hashlib.sha1(key + GUID).digest())
    peer.send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\nConnection: keep-alive, Upgrade\r\nSec-WebSocket-Accept: " + digest + b"\r\n" + fields + b"\r\n" + extra)
    return head


HANDSHAKE = (b"GET /raw HTTP/1.1\r\nHost: gateway\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n"
             b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")


class Raw:
    """A client of raw bytes whose handshake is done."""

    def __init__(self, gateway, behind=b"", handshake=HANDSHAKE):
        self.sock = socket.create_connection(("127.0.0.1", gateway.port), 10)
        self.sock.settimeout(10)
        self.sock.sendall(handshake + behind)
        data = b""
        while b"\r\n\r\n" not in data:
            more = self.sock.recv(4096)
            assert more, f"no whole head: {data!r}"
            data += more
        self.head, _, self.rest = data.partition(b"\r\n\r\n")
        self.status = int(self.head.split(b" ")[1])
        self.fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in self.head.decode().split("\r\n")[1:])}
        self.read = reader(self.sock, self.rest)

    def frame(self):
        return read_frame(self.read)

    def send(self, opcode, payload=b"", final=True):
        self.sock.sendall(frame(opcode, payload, final, b"\x12\x34\x56\x78"))

    def reset(self):
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()


@pytest.fixture
def scripted():
    """A factory of raw upstreams that end with the test; what went wrong in their scripts fails it."""
    made = []

    def make(script):
        made.append(Upstream(script))
        return made[-1]

    yield make
    for server in made:
        server.stop()
        assert not server.problems, server.problems


# MARK: frames pass


def test_text_binary_fragments_and_large_messages_come_back(gateway, echoing):
    with dial(gateway(plain=echoing.url), compression=None) as client:
        assert client.response.status_code == 101
        assert client.response.headers["x-openclaw-upstream"] == "plain"
        for message in ("hello", "h\u00e9llo \U0001f600", b"", b"\x00\xff" * 300, b"x" * 70_000):
            client.send(message)
            assert client.recv(10) == message
        client.send(["a", "bc", "", "def"])
        assert client.recv(10) == "abcdef"


@pytest.mark.parametrize("compression", [None, "deflate"])
def test_ten_megabytes_come_back_whole(gateway, echoing, compression):
    message = os.urandom(1 << 20) * 10
    front = gateway(plain=echoing.url)
    with dial(front, compression=compression) as client:
        client.send(message)
        assert client.recv(40) == message
        request_id = identity(client)
    line = front.logged(request_id)
    if compression is None:
        assert line["tunnel"]["bytes_from_client"] > len(message) and line["tunnel"]["bytes_from_upstream"] > len(message)


def test_pings_of_both_sides_are_answered_by_the_other(gateway, served):
    heard = []

    def handle(connection):
        heard.append(connection.ping(b"from upstream").wait(10))
        echo(connection)

    with dial(gateway(plain=served(handle).url)) as client:
        assert client.ping(b"from client").wait(10)
        client.send("x")
        assert client.recv(10) == "x"
    assert heard == [True]


def test_the_subprotocol_and_unknown_fields_are_negotiated_end_to_end(gateway, echoing):
    front = gateway(plain=echoing.url)
    with dial(front, subprotocols=["chat.v1", "chat.v2"], additional_headers={"X-Kept": "1", "Authorization": "Bearer mine"}) as client:
        assert client.subprotocol == "chat.v2"
    fields = echoing.requests[-1].headers
    assert fields["sec-websocket-protocol"] == "chat.v1, chat.v2"
    assert fields["x-kept"] == "1" and fields["authorization"] == "Bearer mine" and fields["x-forwarded-for"] == "127.0.0.1"
    assert fields["host"] == f"127.0.0.1:{echoing.port}"


def test_bytes_right_behind_either_handshake_are_not_lost(gateway, scripted):
    got = []

    def script(peer):
        accept(peer, extra=frame(1, b"early from upstream"))
        got.append(read_frame(reader(peer.sock, peer.pending)))
        peer.send(frame(1, b"later"))
        peer.wait_gone()

    with Raw(gateway(plain=scripted(script).url), behind=frame(1, b"early from client", mask=b"abcd")) as client:
        assert client.status == 101
        assert client.fields["upgrade"] == "websocket" and client.fields["connection"] == "upgrade"
        assert client.fields["sec-websocket-accept"] == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        assert client.frame() == (1, b"early from upstream", False)
        assert client.frame() == (1, b"later", False)
    assert got == [(1, b"early from client", True)]


def test_two_hundred_tunnels_at_once(gateway, echoing):
    front = gateway(plain=echoing.url, fresh=True)
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(dial(front, compression=None)) for _ in range(200)]
        for number, client in enumerate(clients):
            client.send(f"hello {number}")
        for number, client in enumerate(clients):
            assert client.recv(10) == f"hello {number}"
        ids = [identity(client) for client in clients]
    for request_id in ids:
        assert front.logged(request_id)["tunnel"]["close_code"] == 1000
    assert front.is_alive


# MARK: closing


@pytest.mark.parametrize("code,reason", [(1000, "done"), (4000, "of our own"), (1013, "later"), (1000, "")])
def test_C_29_the_clients_close_reaches_the_upstream_with_code_and_reason(gateway, served, code, reason):
    server = served(echo)
    front = gateway(plain=server.url)
    with dial(front) as client:
        client.close(code, reason)
        assert client.close_code == code
        request_id = identity(client)
    until(lambda: server.ends, "the upstream's end")
    assert server.ends == [(code, reason)]
    line = front.logged(request_id)
    assert line["status"] == 101 and line["error_class"] is None and line["disconnected"] is None
    assert (line["tunnel"]["close_code"], line["tunnel"]["closed_by"], line["tunnel"]["ended_by"]) == (code, "client", "peers")


@pytest.mark.parametrize("code,reason", [(1000, "session over"), (4000, "token expired"), (1011, "inside")])
def test_C_29_the_upstreams_close_reaches_the_client_with_code_and_reason(gateway, served, code, reason):
    front = gateway(plain=served(lambda connection: connection.close(code, reason)).url)
    with dial(front) as client:
        with pytest.raises(ConnectionClosed) as end:
            client.recv(10)
        request_id = identity(client)
    assert (end.value.rcvd.code, end.value.rcvd.reason) == (code, reason)
    line = front.logged(request_id)
    assert (line["tunnel"]["close_code"], line["tunnel"]["closed_by"], line["tunnel"]["ended_by"]) == (code, "upstream", "peers")


def test_an_upstream_that_is_killed_is_told_as_1011(gateway, scripted):
    def script(peer):
        accept(peer, extra=frame(1, b"one"))
        peer.receive()
        peer.reset()

    front = gateway(plain=scripted(script).url)
    with dial(front, "/killed") as client:
        assert client.recv(10) == "one"
        client.send("now")
        with pytest.raises(ConnectionClosedError) as end:
            client.recv(10)
        assert end.value.rcvd.code == 1011
        line = front.logged(identity(client))
    assert line["disconnected"] == "upstream" and line["error_class"] == "network" and line["tunnel"]["ended_by"] == "upstream"


def test_an_upstream_that_dies_within_a_frame_leaves_the_client_an_end_and_no_close_frame(gateway, scripted):
    def script(peer):
        accept(peer, extra=frame(2, b"x" * 1000)[:500])
        peer.half_close()
        peer.wait_gone()

    with Raw(gateway(plain=scripted(script).url)) as client:
        assert len(client.read(500)) == 500
        assert client.read(1) == b""


def test_a_client_that_is_killed_is_told_to_the_upstream_in_time(gateway, scripted):
    told = []

    def script(peer):
        accept(peer)
        read = reader(peer.sock, peer.pending)
        assert read_frame(read) == (1, b"here", True)
        began = time.monotonic()
        opcode, payload, masked = read_frame(read)
        told.append((opcode, payload[:2], masked, read_frame(read), time.monotonic() - began))

    front = gateway(plain=scripted(script).url)
    client = Raw(front)
    client.send(1, b"here")
    client.reset()
    until(lambda: told, "the upstream is told")
    opcode, code, masked, rest, seconds = told[0]
    assert (opcode, code, masked, rest) == (8, struct.pack(">H", 1001), True, None)
    assert seconds < 5
    line = front.logged(client.fields["x-request-id"])
    assert line["disconnected"] == "client" and line["error_class"] == "client_gone" and line["status"] == 101
    assert line["tunnel"]["ended_by"] == "client"


def test_a_drain_closes_both_sides_with_1001(gateway, scripted, served):
    ends = []

    def script(peer):
        accept(peer)
        read = reader(peer.sock, peer.pending)
        opcode, payload, masked = read_frame(read)
        ends.append((opcode, payload[:2], masked))
        peer.send(frame(8, payload[:2]))
        ends.append(read_frame(read))

    front = gateway(plain=scripted(script).url, fresh=True, server={"drain_seconds": 20})
    with dial(front) as client:
        front.process.send_signal(signal.SIGTERM)
        with pytest.raises(ConnectionClosedOK) as end:
            client.recv(10)
        assert end.value.rcvd.code == 1001
    assert front.process.wait(10) == 0
    assert ends == [(8, struct.pack(">H", 1001), True), None]
    line = front.log()[-1]
    assert (line["tunnel"]["close_code"], line["tunnel"]["closed_by"], line["tunnel"]["ended_by"]) == (1001, "gateway", "drain")


def test_a_drain_waits_for_the_frame_under_way(gateway, scripted):
    whole, ends = frame(2, b"y" * 5000), []

    def script(peer):
        accept(peer, extra=whole[:100])
        # The other way stands between two frames: it is told at once.
        ends.append(read_frame(reader(peer.sock, peer.pending))[1][:2])
        peer.send(whole[100:] + frame(1, b"never passed on"))
        peer.send(frame(8, struct.pack(">H", 1001)))
        peer.wait_gone()

    front = gateway(plain=scripted(script).url, fresh=True, server={"drain_seconds": 20})
    with Raw(front) as client:
        start = client.read(100)
        front.process.send_signal(signal.SIGTERM)
        assert start + client.read(len(whole) - 100) == whole
        opcode, payload, _ = client.frame()
        assert (opcode, payload[:2]) == (8, struct.pack(">H", 1001))
        client.send(8, payload[:2])
        assert client.frame() is None
    assert front.process.wait(10) == 0
    assert ends == [struct.pack(">H", 1001)]


def test_idle_tunnels_are_closed_with_1001_and_busy_ones_are_not(gateway, served):
    server = served(echo)
    front = gateway(plain=server.url, server={"tunnel_idle_seconds": 0.5})
    with dial(front) as busy, dial(front) as idle:
        with pytest.raises(ConnectionClosedOK) as end:
            while True:
                busy.send("x")
                assert busy.recv(5) == "x"
                with contextlib.suppress(TimeoutError):
                    idle.recv(0.1)
        assert end.value.rcvd.code == 1001
        busy.send("still here")
        assert busy.recv(5) == "still here"
        request_id = identity(idle)
    until(lambda: (1001, "the gateway closes") in server.ends, "the upstream is told")
    line = front.logged(request_id)
    assert (line["tunnel"]["ended_by"], line["tunnel"]["closed_by"], line["error_class"]) == ("idle", "gateway", None)


def test_deadlines_of_requests_do_not_hold_for_a_tunnel(gateway, served):
    front = gateway(plain=served(echo).url, server={"timeout_seconds": 0.3, "header_timeout_seconds": 0.3, "idle_timeout_seconds": 0.3, "write_timeout_seconds": 0.3})
    with dial(front) as client:
        with pytest.raises(TimeoutError):
            client.recv(1)
        client.send("x")
        assert client.recv(5) == "x"


# MARK: back-pressure


@pytest.mark.parametrize("reads", ["client", "upstream"])
def test_a_side_that_does_not_read_holds_up_the_other_and_no_memory_grows(gateway, scripted, reads):
    """One side sends until it is held up, the other reads only then; every byte comes through."""
    one = frame(2, os.urandom(60_000), mask=b"abcd" if reads == "upstream" else None)
    sent, held, ends = [0], threading.Event(), []

    def pump(sock):
        sock.setblocking(False)
        at, moved = 0, time.monotonic()
        while time.monotonic() - moved < 0.7:
            try:
                count = sock.send(one[at:])
                at, moved = (at + count) % len(one), time.monotonic()
                sent[0] += count
            except BlockingIOError:
                time.sleep(0.005)
        held.set()
        sock.settimeout(30)
        rest = one[at:] + frame(8, b"\x03\xe8", mask=b"abcd" if reads == "upstream" else None)
        sock.sendall(rest)
        sent[0] += len(rest)
        ends.append("sent")

    def drain(sock, total):
        sock.settimeout(30)
        while not ends or total < sent[0]:
            data = sock.recv(1 << 20)
            assert data, f"an end after {total} of {sent[0]} bytes"
            total += len(data)
        ends.append(total)

    def script(peer):
        accept(peer)
        if reads == "client":
            pump(peer.sock)
        else:
            assert held.wait(30)
            drain(peer.sock, len(peer.pending))
        peer.wait_gone()

    front = gateway(plain=scripted(script).url)
    with Raw(front) as client:
        before = front.status()["rss"]
        mover = threading.Thread(target=pump, args=(client.sock,), daemon=True)
        if reads == "upstream":
            mover.start()
        assert held.wait(30)
        assert sent[0] < 30 << 20 and front.status()["rss"] - before < 8 << 20
        if reads == "client":
            drain(client.sock, len(client.rest))
        until(lambda: len(ends) == 2, "all of it came through", 30)
        assert ends == ["sent", sent[0]]


# MARK: the handshake


@pytest.mark.parametrize("status", [403, 426, 503])
def test_a_refused_handshake_is_an_ordinary_answer_and_the_connection_goes_on(gateway, echoing, status):
    front = gateway(plain=echoing.url)
    with pytest.raises(InvalidStatus) as refused:
        with dial(front, f"/refuse/{status}"):
            pass
    assert refused.value.response.status_code == status and refused.value.response.body == b"not here\n"
    line = front.logged(refused.value.response.headers["x-request-id"])
    assert line["status"] == status and "tunnel" not in line


def test_a_refused_handshake_leaves_the_connection_for_further_requests(gateway, scripted):
    def script(peer):
        for _ in range(2):
            peer.head()
            peer.send(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno")

    front = gateway(plain=scripted(script).url)
    with front.client() as client:
        for _ in range(2):
            client.send(HANDSHAKE)
            answer = client.response("GET")
            assert answer.status == 403 and answer.body == b"no" and not answer.closes


def models(gateway, *urls, **route):
    upstreams = {f"u{at}": {"type": "generic", "base_url": url + "/v1", "api_key": KEY, "models": [{"id": "vendor/big model".replace(" ", "+"), "alias": "big"}]} for at, url in enumerate(urls)}
    routes = [{"id": "models", "match": {"path": "/v1/*"}, "strategy": {"upstreams": list(upstreams)}, **route}]
    return gateway(raw={**gateway.configuration(), "upstreams": upstreams, "routes": routes})


def test_a_models_key_is_put_in_and_none_of_the_clients_leaks(gateway, echoing):
    front = models(gateway, echoing.url)
    with dial(front, "/v1/realtime?x=1&model=big&y=2", subprotocols=["realtime", "openai-insecure-api-key.sk-mine", "openai-beta.realtime-v1"],
              additional_headers={"Authorization": "Bearer sk-mine", "Api-Key": "sk-mine", "X-Api-Key": "sk-mine", "Cookie": "k=sk-mine"}) as client:
        assert client.subprotocol == "realtime"
        assert client.response.headers["x-openclaw-model"] == "vendor/big+model"
        client.send("x")
        assert client.recv(10) == "x"
        line_id = identity(client)
    request = echoing.requests[-1]
    assert request.path == "/v1/realtime?x=1&model=vendor%2Fbig%2Bmodel&y=2"
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert request.headers["sec-websocket-protocol"] == "realtime, openai-beta.realtime-v1"
    assert "sk-mine" not in str(request.headers) and "cookie" not in request.headers and "x-api-key" not in request.headers
    line = front.logged(line_id)
    assert line["model_requested"] == "big" and line["model_id"] == "vendor/big+model" and line["attempts"][0]["status"] == 101


@pytest.mark.parametrize("query,status,code", [
    ("model=unknown", 404, "model_not_found"), ("model=big&model=other", 400, "bad_request"), ("mod%65l=big&model=big", 400, "bad_request"),
    ("model=a%0ab", 400, "bad_request"), ("model=" + "m" * 300, 400, "bad_request")])
def test_a_model_that_cannot_be_routed_is_refused_before_anything_is_asked(gateway, echoing, query, status, code):
    front = models(gateway, echoing.url)
    before = len(echoing.requests)
    with pytest.raises(InvalidStatus) as refused:
        with dial(front, "/v1/realtime?" + query):
            pass
    assert refused.value.response.status_code == status and code.encode() in refused.value.response.body
    assert len(echoing.requests) == before


@pytest.mark.parametrize("first", ["refused", "503", "closes", "garbage", "wrong 101"])
def test_the_next_candidate_is_tried_until_the_switch(gateway, scripted, echoing, first):
    def script(peer):
        peer.head()
        if first == "503":
            peer.send(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n")
            peer.wait_gone()
        elif first == "garbage":
            peer.send(b"\x81\x05hello\r\n\r\n")
        elif first == "wrong 101":
            peer.send(b"HTTP/1.1 101 Switching Protocols\r\nupgrade: h2c\r\nconnection: upgrade\r\n\r\n")
            peer.wait_gone()

    upstream = scripted(script)
    if first == "refused":
        upstream.stop()
    front = models(gateway, upstream.url, echoing.url)
    with dial(front, "/v1/realtime?model=big") as client:
        assert client.response.headers["x-openclaw-upstream"] == "u1" and client.response.headers["x-openclaw-attempts"] == ("3" if first in ("refused", "closes") else "2")
        client.send("x")
        assert client.recv(10) == "x"


def test_an_https_upstream_without_a_client_of_ours_says_so(gateway):
    front = gateway(raw={
        **gateway.configuration(),
        "upstreams": {"far": {"type": "http", "base_url": "http://127.0.0.1:1", "proxy": "http://127.0.0.1:1"}},
        "routes": [{"id": "all", "strategy": {"upstreams": ["far"]}}]})
    with pytest.raises(InvalidStatus) as refused:
        with dial(front):
            pass
    assert refused.value.response.status_code == 502 and b"upstream_cannot_switch" in refused.value.response.body


def test_ws_urls_are_http_urls(gateway, echoing):
    with dial(gateway(plain=echoing.url.replace("http://", "ws://"))) as client:
        client.send("x")
        assert client.recv(10) == "x"


def test_another_protocol_is_a_tunnel_where_the_route_allows_it(gateway, scripted):
    seen = []

    def script(peer):
        seen.append(peer.head())
        peer.send(b"HTTP/1.1 101 Switching Protocols\r\nupgrade: tcp\r\nconnection: upgrade\r\n\r\nwelcome ")
        while b"bye" not in peer.pending:
            peer.receive()
        # The client has ended its side; ours goes on.
        with contextlib.suppress(Gone):
            while True:
                peer.receive()
        peer.send(b"and farewell")

    route = {"id": "all", "strategy": {"upstreams": ["docker"]}, "upgrade": ["websocket", "tcp"]}
    front = gateway(raw={**gateway.configuration(), "upstreams": {"docker": {"type": "http", "base_url": scripted(script).url}}, "routes": [route]})
    handshake = b"POST /attach HTTP/1.1\r\nHost: d\r\nConnection: Upgrade\r\nUpgrade: h2c, TCP/1.0\r\nContent-Length: 0\r\n\r\n"
    with Raw(front, handshake=handshake) as client:
        assert client.status == 101 and client.fields["upgrade"] == "tcp"
        assert client.read(8) == b"welcome "
        client.sock.sendall(b"hi and bye")
        client.sock.shutdown(socket.SHUT_WR)
        assert client.read(12) == b"and farewell"
        assert client.read(1) == b""
    assert b"\r\nupgrade: tcp\r\n" in seen[0] and b"h2c" not in seen[0]
    line = front.logged(client.fields["x-request-id"])
    assert line["tunnel"]["protocol"] == "tcp" and line["tunnel"]["close_code"] is None and line["tunnel"]["messages_from_client"] is None
    assert line["tunnel"]["bytes_from_client"] == 10 and line["tunnel"]["bytes_from_upstream"] == 20


def test_the_metrics_know_tunnels(gateway, echoing):
    front = gateway(plain=echoing.url, fresh=True)

    def metric(name):
        import urllib.request
        text = urllib.request.urlopen(f"http://127.0.0.1:{front.admin_port}/metrics", timeout=10).read().decode()
        return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith(name))

    with dial(front, compression=None) as client:
        client.send("hello")
        assert client.recv(10) == "hello"
        assert metric("openclaw_tunnels_open") == 1 and metric("openclaw_tunnels_total") == 1
        assert metric('openclaw_tunnel_bytes_total{upstream_name="plain",from="client"}') == 11
        assert metric('openclaw_tunnel_messages_total{upstream_name="plain",from="upstream"}') == 1
    until(lambda: metric("openclaw_tunnels_open") == 0, "the tunnel is closed")
