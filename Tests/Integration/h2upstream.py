"""A scripted upstream that speaks HTTP/2: frames made by hand, fields by hpack, flow control as the peer's windows ask. A script plays one connection."""
import ssl
import struct
import threading

import hpack
import pytest

from rig import *
from scripted import *
from tlsrig import authority  # a fixture that `speak` needs

DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 0, 1, 3, 4, 6, 7, 8, 9
NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR, REFUSED_STREAM, CANCEL, ENHANCE_YOUR_CALM = 0, 1, 2, 7, 8, 11
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
MAX_STREAMS = 3


def frame(kind: int, payload: bytes = b"", flags: int = 0, stream: int = 0) -> bytes:
    return struct.pack(">I", len(payload))[1:] + bytes((kind, flags)) + struct.pack(">I", stream) + payload


class Call:
    """A request, whole: its stream, fields (pseudo-fields too) and body."""

    def __init__(self, stream: int, fields):
        self.stream, self.fields, self.body, self.is_whole, self.reset = stream, dict(fields), b"", False, None

    @property
    def path(self) -> str:
        return self.fields[":path"]


class Session:
    """The server's side of one connection. Reading happens in `read`, which also answers SETTINGS and PING and gives windows back."""

    def __init__(self, peer: Peer, settings=(), gives: bool = True):
        self.peer, self.gives = peer, gives
        self.encoder, self.decoder = hpack.Encoder(), hpack.Decoder()
        self.calls: dict[int, Call] = {}
        self.taken: set[int] = set()
        self.window, self.windows, self.first_window = 65535, {}, 65535
        self.frame_max = 16384
        self.goaway = None
        peer.send(frame(SETTINGS, b"".join(struct.pack(">HI", *pair) for pair in settings)))
        while len(peer.pending) < len(PREFACE):
            peer.receive()
        assert peer.pending.startswith(PREFACE), peer.pending[:40]
        peer.pending = peer.pending[len(PREFACE):]

    def read(self) -> None:
        """The next frame."""
        peer = self.peer
        while len(peer.pending) < 9 or len(peer.pending) < 9 + int.from_bytes(peer.pending[:3], "big"):
            peer.receive()
        length, kind, flags = int.from_bytes(peer.pending[:3], "big"), peer.pending[3], peer.pending[4]
        stream, payload = int.from_bytes(peer.pending[5:9], "big"), peer.pending[9:9 + length]
        peer.pending = peer.pending[9 + length:]
        if kind == SETTINGS and not flags & 1:
            for at in range(0, length, 6):
                name, value = struct.unpack(">HI", payload[at:at + 6])
                if name == 4:
                    for one in self.windows:
                        self.windows[one] += value - self.first_window
                    self.first_window = value
                elif name == 5:
                    self.frame_max = min(value, 16384)
            peer.send(frame(SETTINGS, flags=1))
        elif kind == PING and not flags & 1:
            peer.send(frame(PING, payload, flags=1))
        elif kind == WINDOW_UPDATE:
            grown = int.from_bytes(payload, "big")
            if stream:
                self.windows[stream] = self.windows.get(stream, self.first_window) + grown
            else:
                self.window += grown
        elif kind == GOAWAY:
            self.goaway = struct.unpack(">II", payload[:8])
        elif kind == RST_STREAM and stream in self.calls:
            self.calls[stream].reset = int.from_bytes(payload, "big")
        elif kind == HEADERS:
            assert not flags & 0x28, "the gateway pads nothing and asks for no priority"
            while not flags & 4:
                length = int.from_bytes(peer.pending[:3], "big") if len(peer.pending) >= 9 else 1 << 30
                if len(peer.pending) < 9 + length:
                    peer.receive()
                    continue
                assert peer.pending[3] == CONTINUATION
                flags |= peer.pending[4] & 4
                payload, peer.pending = payload + peer.pending[9:9 + length], peer.pending[9 + length:]
            self.calls[stream] = Call(stream, self.decoder.decode(payload))
            self.windows.setdefault(stream, self.first_window)
            self.calls[stream].is_whole = bool(flags & 1)
        elif kind == DATA:
            self.calls[stream].body += payload
            self.calls[stream].is_whole = bool(flags & 1)
            if self.gives and length:
                peer.send(frame(WINDOW_UPDATE, struct.pack(">I", length)) + (frame(WINDOW_UPDATE, struct.pack(">I", length), stream=stream) if not flags & 1 else b""))

    def call(self) -> Call:
        """The next request, whole."""
        while True:
            for stream, call in self.calls.items():
                if call.is_whole and stream not in self.taken:
                    self.taken.add(stream)
                    with self.peer.server.lock:
                        self.peer.server.requests.append(call)
                    return call
            self.read()

    def head(self, stream: int, status: int = 200, fields=(), end: bool = False) -> None:
        block = self.encoder.encode([(":status", str(status)), *fields])
        self.peer.send(frame(HEADERS, block, 4 | end, stream))

    def room(self, stream: int) -> int:
        return min(self.window, self.windows[stream])

    def data(self, stream: int, body: bytes, end: bool = False) -> None:
        """As the windows allow: waits for them."""
        if end and not body:
            self.peer.send(frame(DATA, b"", 1, stream))
        while body:
            while self.room(stream) <= 0:
                self.read()
            piece = body[:min(self.room(stream), self.frame_max)]
            body = body[len(piece):]
            self.window -= len(piece)
            self.windows[stream] -= len(piece)
            self.peer.send(frame(DATA, piece, int(end and not body), stream))

    def answer(self, stream: int, body: bytes = b"{}", status: int = 200, fields=(("content-type", "application/json"),)) -> None:
        self.head(stream, status, [*fields, ("content-length", str(len(body)))], end=not body)
        if body:
            self.data(stream, body, end=True)

    def reset(self, stream: int, code: int) -> None:
        self.peer.send(frame(RST_STREAM, struct.pack(">I", code), stream=stream))

    def go_away(self, last: int, code: int = NO_ERROR) -> None:
        self.peer.send(frame(GOAWAY, struct.pack(">II", last, code)))

    def serve(self) -> None:
        """Until the connection's end."""
        while True:
            self.read()


def speaking(play, settings=(), gives: bool = True):
    """Script of a connection that is HTTP/2; `play(session)`."""
    def script(peer: Peer):
        if isinstance(peer.sock, ssl.SSLSocket):
            assert peer.sock.selected_alpn_protocol() == "h2", peer.sock.selected_alpn_protocol()
        play(Session(peer, settings, gives))
    return script


def answering_calls(answer):
    """Plays an ordinary server: `answer(session, call)` for each request in the order they are whole."""
    def play(session: Session):
        while True:
            answer(session, session.call())
    return play


def pumping(sent: list[int], size: int):
    """Plays a server that answers `slow` with so many bytes as its windows allow, counted in `sent[0]`, and everybody else at once."""
    def pump(session, stream):
        while sent[0] < size and session.room(stream) > 0:
            piece = min(session.room(stream), 16384, size - sent[0])
            sent[0] += piece
            session.data(stream, bytes(piece), end=sent[0] == size)

    def play(session):
        slow = None
        while True:
            waiting = [call for call in session.calls.values() if call.is_whole and call.stream not in session.taken]
            if waiting:
                call = session.call()
                if b"slow" in call.body:
                    slow = call.stream
                    session.head(slow, fields=[("content-type", "application/octet-stream")])
                else:
                    session.answer(call.stream, bytes(100_000))
            else:
                session.read()
            if slow:
                pump(session, slow)
    return play


# ---- what tests start

@pytest.fixture
def speak(start, authority):
    """Starts an upstream whose connections play `play(session)`; gives it back with its part of the configuration."""
    def make(play, settings=(), clear: bool = False, model: bool = True, gives: bool = True, script=None, **options):
        settings_of_tls = None
        if not clear:
            settings_of_tls = authority.context()
            settings_of_tls.set_alpn_protocols(["h2"])
        upstream = start(Upstream, script or speaking(play, settings, gives), context=settings_of_tls)
        upstream.config = {"type": "generic" if model else "http", "base_url": upstream.url + ("/v1" if model else ""), **options}
        if clear:
            upstream.config["protocol"] = "http2"
        else:
            upstream.config["tls"] = {"ca": str(authority.ca)}
        return upstream
    return make


def one(upstream, **sections) -> dict:
    return {"upstreams": {"one": upstream.config}, **sections}


def two(first, second, **sections) -> dict:
    """The second is asked when the first fails."""
    return {"upstreams": {"first": first.config, "second": second.config}, "routes": [route("first", "second")], **sections}


def echo(session: Session, call: Call):
    session.answer(call.stream, call.body or b"{}")


def stream_head(session: Session, call: Call):
    session.head(call.stream, fields=[("content-type", "text/event-stream")])


def good(session: Session, call: Call):
    stream_head(session, call)
    session.data(call.stream, b"".join(good_stream()), end=True)


def many(gateway, count: int, **body) -> list[Client]:
    """So many requests, each on a connection of its own, under way at the same time."""
    clients = [gateway.connect() for _ in range(count)]
    for number, client in enumerate(clients):
        client.send("POST", "/v1/chat/completions", {"model": "m", "user": str(number), **body})
    return clients


def read_all(clients) -> list[Answer]:
    answers = []
    for client in clients:
        with client:
            answers.append(client.read())
    return answers
