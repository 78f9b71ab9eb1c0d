"""Scripted upstreams: servers of raw bytes that do exactly what a test says, and record exactly what reached them.

A script is a function that is called with each new connection (`Peer`) and ends when it is done with it; `requests` and `raw` hold what was
received. `answering` makes the script of an ordinary server from a function that turns each request into an answer's bytes.
"""
import json
import socket
import ssl
import struct
import threading
import time

DEADLINE = 20.0


class Request:
    """One request as it came: `head` and `body` are the very bytes, `headers` maps lower-case names to lists of values."""

    def __init__(self, head: bytes, body: bytes, connection: int):
        self.head, self.body, self.connection = head, body, connection
        lines = head.decode("latin-1").split("\r\n")
        self.method, self.target, self.version = lines[0].split(" ", 2)
        self.headers: dict[str, list[str]] = {}
        for line in lines[1:]:
            if line:
                name, _, value = line.partition(":")
                self.headers.setdefault(name.lower(), []).append(value.strip())

    def header(self, name: str) -> str | None:
        values = self.headers.get(name.lower())
        return values[0] if values else None

    def json(self):
        return json.loads(self.body)


class Gone(Exception):
    """The other side ended the connection."""


class Peer:
    """One connection at a scripted upstream."""

    def __init__(self, sock: socket.socket, server: "Upstream", number: int):
        self.sock, self.server, self.number = sock, server, number
        self.pending = b""
        self.received = b""

    def receive(self) -> bytes:
        try:
            data = self.sock.recv(65536)
        except (ConnectionError, ssl.SSLError, OSError):
            raise Gone from None
        if not data:
            raise Gone
        self.received += data
        self.pending += data
        return data

    def head(self) -> bytes:
        """The next request head, up to and with its empty line."""
        while b"\r\n\r\n" not in self.pending:
            self.receive()
        head, _, self.pending = self.pending.partition(b"\r\n\r\n")
        return head + b"\r\n\r\n"

    def request(self) -> Request:
        """The next request, whole. Recorded at the server."""
        head = self.head()
        request = Request(head[:-2], b"", self.number)
        if request.header("transfer-encoding"):
            raise AssertionError("the gateway sends bodies of known length: " + repr(head))
        length = int(request.header("content-length") or 0)
        while len(self.pending) < length:
            self.receive()
        request.body, self.pending = self.pending[:length], self.pending[length:]
        with self.server.lock:
            self.server.requests.append(request)
        return request

    def send(self, data: bytes) -> None:
        try:
            self.sock.sendall(data)
        except (ConnectionError, ssl.SSLError, OSError):
            raise Gone from None

    def send_split(self, data: bytes, *cuts: int) -> None:
        """Sends in pieces, each in a segment of its own, with a moment between so that each is read by itself."""
        start = 0
        for cut in [*cuts, len(data)]:
            self.send(data[start:cut])
            start = cut
            time.sleep(0.004)

    def close(self) -> None:
        self.sock.close()

    def reset(self) -> None:
        """Ends with RST."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def half_close(self) -> None:
        try:
            self.sock.shutdown(socket.SHUT_WR)
        except OSError:
            raise Gone from None

    def wait_gone(self, seconds: float = DEADLINE) -> bool:
        """True once the gateway has ended this connection; what it sends before is kept in `pending`."""
        self.sock.settimeout(seconds)
        try:
            while True:
                data = self.sock.recv(65536)
                if not data:
                    return True
                self.pending += data
        except TimeoutError:
            return False
        except OSError:
            return True


class Upstream:
    """A server on 127.0.0.1 that plays `script` on every connection, each in a thread of its own."""

    def __init__(self, script, context: ssl.SSLContext | None = None, backlog: int = 1024, host: str = "127.0.0.1"):
        self.script, self.context = script, context
        self.lock = threading.Lock()
        self.requests: list[Request] = []
        self.peers: list[Peer] = []
        self.problems: list[BaseException] = []
        self.handshake_failures = 0
        self.listener = socket.create_server((host, 0), backlog=backlog)
        self.host, self.port = host, self.listener.getsockname()[1]
        self.stopping = False
        self.thread = threading.Thread(target=self._accept, daemon=True)
        self.thread.start()

    @property
    def url(self) -> str:
        return f"http{'s' if self.context else ''}://{'localhost' if self.context else self.host}:{self.port}"

    @property
    def connections(self) -> int:
        return len(self.peers)

    def _accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self._play, args=(sock,), daemon=True).start()

    def _play(self, sock: socket.socket):
        sock.settimeout(DEADLINE)
        with self.lock:
            peer = Peer(sock, self, len(self.peers))
            self.peers.append(peer)
        try:
            if self.context:
                peer.sock = self.context.wrap_socket(sock, server_side=True)
        except (OSError, ssl.SSLError):
            with self.lock:
                self.handshake_failures += 1
            sock.close()
            return
        try:
            self.script(peer)
        except Gone:
            pass
        except BaseException as problem:  # shown by the test that looks
            self.problems.append(problem)
        finally:
            try:
                peer.sock.close()
            except OSError:
                pass

    def wait_requests(self, count: int, seconds: float = DEADLINE) -> None:
        wait_for(lambda: len(self.requests) >= count, seconds, f"{count} requests at the upstream")

    def stop(self):
        self.listener.close()
        for peer in list(self.peers):
            try:
                peer.sock.close()
            except OSError:
                pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


def wait_for(condition, seconds: float = DEADLINE, what: str = "condition"):
    """Polls until `condition()` is true and returns its value."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(0.002)


def answering(answer):
    """Script of an ordinary keep-alive server; `answer(request)` gives each answer's bytes, None closes."""

    def script(peer: Peer):
        while True:
            data = answer(peer.request())
            if data is None:
                return
            peer.send(data)

    return script


def answer(body: bytes | str = b"{}", status: int = 200, reason: str = "OK", content_type: str = "application/json", headers=()) -> bytes:
    """An answer of known length."""
    body = body.encode() if isinstance(body, str) else body
    lines = [f"HTTP/1.1 {status} {reason}", f"content-type: {content_type}", f"content-length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def completion(text: str = "hello", **usage) -> bytes:
    usage = usage or {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
    return json.dumps({
        "id": "c1", "object": "chat.completion", "created": 1, "model": "m",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}], "usage": usage,
    }).encode()


STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
LAST_CHUNK = b"0\r\n\r\n"
DONE = b"data: [DONE]\n\n"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def event(value) -> bytes:
    return b"data: " + (value if isinstance(value, bytes) else json.dumps(value, separators=(",", ":")).encode()) + b"\n\n"


def delta(finish=None, **fields) -> bytes:
    """One chat.completion.chunk as an event."""
    return event({"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m",
                  "choices": [{"index": 0, "delta": fields, "finish_reason": finish}]})


def usage_event(**usage) -> bytes:
    usage = usage or {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
    return event({"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [], "usage": usage})


ROLE = delta(role="assistant", content="")


def good_stream(words=("Hel", "lo"), usage=False) -> list[bytes]:
    """The events of a whole answer."""
    return [ROLE, *(delta(content=word) for word in words), delta(finish="stop"), *([usage_event()] if usage else []), DONE]
