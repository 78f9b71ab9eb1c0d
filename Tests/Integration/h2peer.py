"""A client's end of an HTTP/2 connection that decides about every byte it sends and holds the server to RFC 9113 in every byte it receives: windows,
states of streams, sizes, order, header lists. What the server does wrong is a `Violation` wherever it comes; what it says is kept in `answers`,
`goaways` and `resets`. Nothing waits without a deadline.
"""
import select
import socket
import ssl
import struct
import time

import hpack

from h2frames import *

DEADLINE = 10.0
CONNECTION_SPECIFIC = {"connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"}


class Violation(AssertionError):
    """The server sent what RFC 9113 or RFC 7541 does not let it send."""


class Late(AssertionError):
    """Something did not come in its time."""


class Over(AssertionError):
    """The connection ended where it must not."""


class Target:
    """A place to connect to. `tls`: a client's context, ALPN set; the name asked for is localhost."""

    def __init__(self, port, tls=None, host="127.0.0.1"):
        self.port, self.tls, self.host = port, tls, host

    @property
    def name(self):
        return "tls" if self.tls else "h2c"

    def connect(self, deadline=DEADLINE, receive_buffer=None):
        sock = socket.socket()
        if receive_buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        sock.settimeout(deadline)
        sock.connect((self.host, self.port))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.tls:
            # An end without close_notify is no end: it counts as a reset.
            sock = self.tls.wrap_socket(sock, server_hostname="localhost", suppress_ragged_eofs=False)
            assert sock.selected_alpn_protocol() == "h2", f"ALPN chose {sock.selected_alpn_protocol()}"
        return sock


class Frame:
    def __init__(self, kind, flags, stream, payload):
        self.kind, self.flags, self.stream, self.payload = kind, flags, stream, payload

    def __repr__(self):
        return f"<{KINDS[self.kind] if self.kind < 10 else hex(self.kind)} flags={self.flags:#x} stream={self.stream} {self.payload[:24]!r}>"


class Answer:
    """What came on a stream so far."""

    def __init__(self, window):
        self.status, self.fields, self.interim, self.trailers = 0, [], [], None
        self.body = bytearray()
        self.ended, self.reset = False, None
        self.window = window

    @property
    def is_over(self):
        return self.ended or self.reset is not None

    def get(self, name):
        return next((value for key, value in self.fields if key == name), None)

    def __repr__(self):
        return f"<answer {self.status} {len(self.body)} bytes{' ended' if self.ended else ''}{'' if self.reset is None else ' reset ' + code_name(self.reset)}>"


class Peer:
    """One connection. `settings` are ours, sent with the preface. `greet=False` sends nothing by itself. `gives`: windows are given back as DATA comes;
    `acks`: SETTINGS and PING are acknowledged."""

    def __init__(self, target, settings=(), greet=True, gives=True, acks=True, deadline=DEADLINE, receive_buffer=None, window=None):
        self.target, self.deadline, self.gives, self.acks = target, deadline, gives, acks
        self.socket = target.connect(deadline, receive_buffer)
        self.rest, self.end = bytearray(), None
        self.theirs, self.settings_seen, self.acked = {MAX_FRAME_SIZE: 16384, INITIAL_WINDOW_SIZE: 65535, HEADER_TABLE_SIZE: 4096}, 0, 0
        self.answers, self.opened, self.pongs, self.goaways = {}, 0, [], []
        self.silent_resets = set()    # streams we reset: what is still under way is not the server's fault
        self.decoder = hpack.Decoder(max_header_list_size=1 << 24)
        self.ours = {INITIAL_WINDOW_SIZE: 65535, MAX_FRAME_SIZE: 16384, HEADER_TABLE_SIZE: 4096}
        self.pending_settings = []    # sent and not yet acknowledged
        self.window = 65535           # what the server may still send, over all streams
        self.send_window, self.stream_windows = 65535, {}    # what we may
        self.block = None             # (stream, flags, bytearray) between HEADERS and END_HEADERS
        self.frames = []
        if greet:
            self.send(PREFACE + self._settings(settings) + (self._give(0, window) if window else b""))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def slam(self):
        """Ends with RST, as a client that crashed does."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        self.socket.close()

    def finish(self):
        """Ends our side only: FIN, over TLS without a word before it (SSLSocket's own shutdown would end both)."""
        try:
            socket.socket.shutdown(self.socket, socket.SHUT_WR)
        except OSError:
            pass

    # ---- sending

    def send(self, raw):
        """All of it; a connection that the server has ended takes nothing more, which is noticed when reading."""
        self.socket.settimeout(self.deadline)
        try:
            self.socket.sendall(raw)
        except (BrokenPipeError, ConnectionResetError, ssl.SSLError):
            pass
        return self

    def pour(self, raw, stops=True):
        """Sends while reading what comes, so that neither side blocks the other. Ends early at the connection's end or, with `stops`, at GOAWAY. Bytes sent."""
        view, sent, end = memoryview(raw), 0, time.monotonic() + self.deadline
        self.socket.setblocking(False)
        while sent < len(raw) and not self.end and not (stops and self.goaways):
            moved = False
            try:
                sent += self.socket.send(view[sent:sent + 65536])
                moved = True
            except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                pass
            except (OSError, ssl.SSLError):
                self.look()
                self.end = self.end or "reset"
                break
            moved |= self.look()
            if not moved:
                left = end - time.monotonic()
                if left <= 0:
                    break
                select.select([self.socket], [self.socket], [], left)
        return sent

    def look(self):
        """Reads what is there without waiting."""
        got = False
        self.socket.setblocking(False)
        while not self.end:
            try:
                piece = self.socket.recv(1 << 16)
            except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                break
            except (OSError, ssl.SSLError):
                self.end = "reset"
                break
            if not piece:
                self.end = "fin"
                break
            self.rest += piece
            got = True
        while self._parse():
            pass
        return got

    def _settings(self, pairs):
        self.pending_settings.append(dict(pairs))
        return settings(*pairs)

    def set(self, *pairs):
        return self.send(self._settings(pairs))

    def _give(self, stream, increment):
        if stream:
            self.answers[stream].window += increment
        else:
            self.window += increment
        return window_update(stream, increment)

    def give(self, stream, increment):
        return self.send(self._give(stream, increment))

    def next_stream(self):
        return self.opened + 1 + self.opened % 2 if self.opened else 1

    def note(self, stream):
        """A stream has been opened by bytes the test made."""
        self.opened = max(self.opened, stream)
        if stream not in self.answers:
            self.answers[stream] = Answer(self.ours[INITIAL_WINDOW_SIZE])

    def open(self, path="/", *more, method="GET", end=True, authority=AUTHORITY):
        """Opens a stream with a request's head; its id."""
        stream = self.next_stream()
        self.note(stream)
        self.send(headers(stream, [*pseudo(path, method, "https" if self.target.tls else "http", authority), *more], end=end))
        return stream

    def reset(self, stream, code=CANCEL):
        self.silent_resets.add(stream)
        return self.send(rst(stream, code))

    def body(self, stream, payload, end=True):
        """Sends a body within the server's windows, waiting for them as needed."""
        until, at, most = time.monotonic() + self.deadline, 0, self.theirs[MAX_FRAME_SIZE]
        while True:
            self.stream_windows.setdefault(stream, self.theirs[INITIAL_WINDOW_SIZE])
            size = min(len(payload) - at, most, self.send_window, self.stream_windows[stream])
            last = at + max(size, 0) == len(payload)
            if size > 0 or last:
                self.send_window -= size
                self.stream_windows[stream] -= size
                self.send(data(stream, payload[at:at + size], end and last))
                at += size
                if last:
                    return self
            else:
                if self.answers[stream].is_over or not self.read(until):
                    return self
        return self

    # ---- receiving

    def read(self, until):
        """The next frame, already taken into account; None at the end of the connection (`end` says how)."""
        while True:
            frame = self._parse()
            if frame:
                return frame
            if self.end:
                return None
            left = until - time.monotonic()
            if left <= 0:
                raise Late(f"nothing more came; so far {self.frames[-6:]}")
            self.socket.settimeout(left)
            try:
                piece = self.socket.recv(1 << 16)
            except (TimeoutError, socket.timeout):
                raise Late(f"nothing more came; so far {self.frames[-6:]}") from None
            except (OSError, ssl.SSLError):
                self.end = "reset"
                continue
            if not piece:
                self.end = "fin"
            self.rest += piece

    def wait(self, question, what, deadline=None):
        """Reads until the question has an answer. Over: the connection ended before."""
        until = time.monotonic() + (deadline or self.deadline)
        while not (found := question()):
            try:
                if self.read(until) is None:
                    raise Over(f"the connection ended ({self.end}, {self.goaways}) before {what}; last {self.frames[-6:]}")
            except Late as late:
                raise Late(f"{what}: {late}") from None
        return found

    def greeted(self):
        """Both sides' SETTINGS are known and acknowledged."""
        self.wait(lambda: self.settings_seen and not self.pending_settings, "SETTINGS and the acknowledgement of ours")
        return self

    def answer(self, stream, deadline=None):
        """The whole answer of a stream; a reset is an error here."""
        got = self.answers[stream]
        self.wait(lambda: got.is_over, f"the answer on stream {stream}", deadline)
        assert got.reset is None, f"stream {stream} was reset with {code_name(got.reset)}: {got}"
        return got

    def head(self, stream, deadline=None):
        got = self.answers[stream]
        self.wait(lambda: got.status or got.is_over, f"an answer's head on stream {stream}", deadline)
        assert got.reset is None, f"stream {stream} was reset with {code_name(got.reset)}"
        return got

    def ask(self, path="/", *more, method="GET", body=None, deadline=None):
        stream = self.open(path, *more, method=method, end=body is None)
        if body is not None:
            self.body(stream, body)
        return self.answer(stream, deadline)

    def ping(self, deadline=None):
        """A round trip: all sent before has been read, and answers to it that the server had ready were sent."""
        for turn in range(2):
            word = struct.pack(">Q", time.monotonic_ns())
            self.send(ping(word))
            self.wait(lambda: word in self.pongs, "the answer to a PING", deadline)
        return self

    def ending(self, deadline=None):
        """Reads to the end of the connection: "fin" or "reset"."""
        until = time.monotonic() + (deadline or self.deadline)
        while self.read(until) is not None:
            pass
        return self.end

    # ---- what the server may send

    def _demand(self, condition, said):
        if not condition:
            raise Violation(f"{said}; frames so far {self.frames[-6:]}")

    def _parse(self):
        if len(self.rest) < 9:
            return None
        length = int.from_bytes(self.rest[:3], "big")
        self._demand(length <= self.ours[MAX_FRAME_SIZE], f"a frame of {length} bytes, we take {self.ours[MAX_FRAME_SIZE]} (§4.2)")
        if len(self.rest) < 9 + length:
            return None
        frame = Frame(self.rest[3], self.rest[4], int.from_bytes(self.rest[5:9], "big") & 0x7fffffff, bytes(self.rest[9:9 + length]))
        del self.rest[:9 + length]
        self._take(frame)
        self.frames.append(frame)
        if len(self.frames) > 200:
            del self.frames[:100]
        return frame

    def _take(self, frame):
        kind, stream, payload, flags = frame.kind, frame.stream, frame.payload, frame.flags
        self._demand(self.settings_seen or kind == SETTINGS and not flags & ACK or kind == GOAWAY, f"{frame} before SETTINGS (§3.4)")
        if self.block:
            self._demand(kind == CONTINUATION and stream == self.block[0], f"{frame} inside a header block (§6.2)")
        if kind in (SETTINGS, PING, GOAWAY):
            self._demand(stream == 0, f"{frame} on a stream")
        elif kind in (DATA, HEADERS, RST_STREAM, CONTINUATION):
            self._demand(stream in self.answers, f"{frame} on a stream we did not open (§5.1.1)")
        if kind == SETTINGS:
            self._take_settings(flags, payload)
        elif kind == PING:
            self._demand(len(payload) == 8, "a PING of another size (§6.7)")
            if flags & ACK:
                self.pongs.append(payload)
            elif self.acks:
                self.send(ping(payload, ack=True))
        elif kind == GOAWAY:
            self._demand(len(payload) >= 8, "a short GOAWAY (§6.8)")
            last, code = struct.unpack(">II", payload[:8])
            self._demand(not self.goaways or last <= self.goaways[-1][0], f"GOAWAY's last stream grew: {self.goaways}, {last} (§6.8)")
            self.goaways.append((last, code, payload[8:]))
        elif kind == WINDOW_UPDATE:
            self._demand(len(payload) == 4 and int.from_bytes(payload, "big") & 0x7fffffff, f"{frame} (§6.9)")
            if stream:
                self._demand(stream in self.answers, f"{frame} on an idle stream (§5.1)")
                self.stream_windows[stream] = self.stream_windows.get(stream, self.theirs[INITIAL_WINDOW_SIZE]) + int.from_bytes(payload, "big")
            else:
                self.send_window += int.from_bytes(payload, "big")
            self._demand(max(self.send_window, self.stream_windows.get(stream, 0)) < 1 << 31, "a window beyond 2^31-1 (§6.9.1)")
        elif kind == RST_STREAM:
            got = self.answers[stream]
            self._demand(len(payload) == 4, "a RST_STREAM of another size (§6.4)")
            self._demand(got.reset is None or stream in self.silent_resets, f"RST_STREAM twice on stream {stream} (§5.1)")
            got.reset = int.from_bytes(payload, "big")
        elif kind in (HEADERS, CONTINUATION):
            self._take_headers(frame)
        elif kind == DATA:
            self._take_data(frame)
        else:
            self._demand(kind > CONTINUATION or kind == PRIORITY, f"a server's {frame} (§8.4)")

    def _take_settings(self, flags, payload):
        if flags & ACK:
            self._demand(not payload and self.pending_settings, "an acknowledgement of SETTINGS we did not send (§6.5)")
            fresh = self.pending_settings.pop(0)
            self.acked += 1
            change = fresh.get(INITIAL_WINDOW_SIZE, self.ours[INITIAL_WINDOW_SIZE]) - self.ours[INITIAL_WINDOW_SIZE]
            for one in self.answers.values():
                one.window += change
            self.ours.update(fresh)
            if HEADER_TABLE_SIZE in fresh:
                self.decoder.max_allowed_table_size = fresh[HEADER_TABLE_SIZE]
            return
        self._demand(len(payload) % 6 == 0, "SETTINGS of an odd size (§6.5)")
        found = dict(struct.unpack(">HI", payload[at:at + 6]) for at in range(0, len(payload), 6))
        self._demand(found.get(ENABLE_PUSH, 0) == 0, "a server's ENABLE_PUSH (§6.5.2)")
        self._demand(found.get(INITIAL_WINDOW_SIZE, 0) < 1 << 31 and 16384 <= found.get(MAX_FRAME_SIZE, 16384) < 1 << 24, f"values of SETTINGS {found} (§6.5.2)")
        change = found.get(INITIAL_WINDOW_SIZE, self.theirs[INITIAL_WINDOW_SIZE]) - self.theirs[INITIAL_WINDOW_SIZE]
        self.stream_windows = {stream: window + change for stream, window in self.stream_windows.items()}
        self.theirs.update(found)
        self.settings_seen += 1
        if self.acks:
            self.send(settings(ack=True))

    def _padding(self, frame):
        if not frame.flags & PADDED:
            return frame.payload
        self._demand(frame.payload and frame.payload[0] < len(frame.payload), f"{frame}: padding (§6.1)")
        return frame.payload[1:len(frame.payload) - frame.payload[0]]

    def _take_headers(self, frame):
        if frame.kind == HEADERS:
            fragment = self._padding(frame)
            self.block = (frame.stream, frame.flags, bytearray(fragment[5:] if frame.flags & WITH_PRIORITY else fragment))
        else:
            self._demand(self.block, f"{frame} without HEADERS (§6.10)")
            self.block[2].extend(frame.payload)
        if not frame.flags & END_HEADERS:
            return
        (stream, flags, fragment), self.block = self.block, None
        try:
            fields = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in self.decoder.decode(bytes(fragment), raw=True)]
        except hpack.HPACKError as error:
            raise Violation(f"a header block that does not decode: {error!r} {bytes(fragment)!r}") from None
        got = self.answers[stream]
        if stream in self.silent_resets:
            return
        self._demand(not got.is_over, f"HEADERS behind the end of stream {stream}: {fields} (§5.1)")
        for name, value in fields:
            self._demand(name == name.lower() and name and name not in CONNECTION_SPECIFIC, f"the field {name!r} (§8.2)")
            self._demand(value == value.strip(" \t") and not set(value) & set("\0\r\n"), f"the value {value!r} of {name} (§8.2.1)")
        names = [name for name, _ in fields]
        if got.status:
            self._demand(flags & END_STREAM and not any(name.startswith(":") for name in names), f"trailers {fields} (§8.1)")
            got.trailers = fields
        else:
            self._demand(names[:1] == [":status"] and not any(name.startswith(":") for name in names[1:]), f"pseudo-fields of an answer: {names} (§8.3.2)")
            status = int(fields[0][1])
            if status < 200:
                self._demand(not flags & END_STREAM and status != 101, f"{status} with END_STREAM, or 101 (§8.1, §8.6)")
                got.interim.append(status)
                return
            got.status, got.fields = status, fields[1:]
        if flags & END_STREAM:
            got.ended = True

    def _take_data(self, frame):
        got, size = self.answers[frame.stream], len(frame.payload)
        self.window -= size
        got.window -= size
        self._demand(self.window >= 0, f"{-self.window} bytes beyond the connection's window (§6.9.1)")
        if frame.stream not in self.silent_resets:
            self._demand(got.window >= 0 or size == 0, f"{-got.window} bytes beyond the window of stream {frame.stream} (§6.9.1)")
            self._demand(not got.is_over and got.status, f"DATA without a head or behind the end of stream {frame.stream} (§5.1)")
        got.body += self._padding(frame)
        if frame.flags & END_STREAM:
            got.ended = True
            said = got.get("content-length")
            self._demand(said is None or int(said) == len(got.body), f"content-length {said} with {len(got.body)} bytes of DATA (§8.1.1)")
        if self.gives and size:
            self.send(self._give(0, size) + (b"" if got.is_over else self._give(frame.stream, size)))
