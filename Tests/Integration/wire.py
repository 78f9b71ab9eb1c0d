"""A client's end of a socket, for tests that decide about every byte: send anything, read answers by the letter of RFC 9112, and know whether
the peer said goodbye (FIN) or slammed the door (RST). Nothing here waits without a deadline, and nothing sleeps: each read waits in the kernel
for what is left of its time.
"""
import json
import selectors
import socket
import time

DEADLINE = 15.0


class Late(AssertionError):
    """Something did not happen in its time."""


class Broken(AssertionError):
    """What came is not HTTP/1.1, or ended where it must not."""


def until(question, what, deadline=DEADLINE, pace=0.01):
    """Asks until the answer is true, and returns it."""
    end = time.monotonic() + deadline
    while True:
        answer = question()
        if answer:
            return answer
        if time.monotonic() > end:
            raise Late(f"{what}: not within {deadline} s")
        time.sleep(pace)


class Response:
    def __init__(self, status, reason, version, fields, interim):
        self.status, self.reason, self.version, self.fields, self.interim = status, reason, version, fields, interim
        self.body = b""
        self.trailers = []
        self.framing = "none"

    def all(self, name):
        return [value for key, value in self.fields if key == name]

    def get(self, name, default=None):
        values = self.all(name)
        return values[0] if values else default

    @property
    def closes(self):
        return "close" in [word.strip() for value in self.all("connection") for word in value.lower().split(",")]

    def json(self):
        return json.loads(self.body)

    @property
    def events(self):
        """The data of a stream's events, comments left out."""
        return [part[6:] for part in self.body.decode().split("\n\n") if part.startswith("data: ")]

    def error(self, status=None, code=None):
        """Checks OpenAI's error shape, and returns the error."""
        assert status is None or self.status == status, f"expected {status}, got {self.status} {self.body[:300]!r}"
        assert self.get("content-type") == "application/json", self.fields
        error = self.json()["error"]
        assert {"message", "type", "param", "code"} <= set(error), error
        assert isinstance(error["message"], str) and error["message"] and isinstance(error["type"], str) and isinstance(error["code"], str), error
        assert error["param"] is None or isinstance(error["param"], str), error
        assert code is None or error["code"] == code, error
        return error

    def __repr__(self):
        return f"<{self.status} {self.fields} {len(self.body)} bytes {self.body[:200]!r}>"


class Client:
    """One connection. `receive_buffer` makes a client that takes little at a time."""

    def __init__(self, port, host="127.0.0.1", receive_buffer=None, deadline=DEADLINE):
        self.deadline = deadline
        self.rest = b""
        self.end = None
        self.received = 0
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(deadline)
        self.socket.connect((host, port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.socket.close()

    def reset(self):
        """Ends with RST, as a client that crashed does."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        self.socket.close()

    def finish(self):
        """Ends our side only."""
        self.socket.shutdown(socket.SHUT_WR)

    def send(self, data):
        self.socket.settimeout(self.deadline)
        self.socket.sendall(data)
        return self

    def send_dripping(self, data, size=1):
        """As many packets as there are pieces. A refusal may come before the last: then the rest stays unsent."""
        for at in range(0, len(data), size):
            try:
                self.socket.sendall(data[at:at + size])
            except (BrokenPipeError, ConnectionResetError):
                break
        return self

    def offer(self, data, seconds):
        """Sends what the peer takes within this time; the count of bytes taken."""
        end, sent = time.monotonic() + seconds, 0
        self.socket.setblocking(False)
        selector = selectors.DefaultSelector()
        selector.register(self.socket, selectors.EVENT_WRITE)
        try:
            while sent < len(data) and (left := end - time.monotonic()) > 0:
                if selector.select(left):
                    try:
                        sent += self.socket.send(data[sent:sent + 262144])
                    except BlockingIOError:
                        pass
                    except (BrokenPipeError, ConnectionResetError):
                        break
        finally:
            selector.close()
            self.socket.setblocking(True)
        return sent

    # ---- reading ----

    def fill(self, end):
        """Reads once. False at the end of the connection; then `self.end` says how it ended."""
        if self.end:
            return False
        left = end - time.monotonic()
        if left <= 0:
            raise Late(f"nothing more came; so far {self.rest[:300]!r}")
        self.socket.settimeout(left)
        try:
            data = self.socket.recv(1 << 18)
        except socket.timeout:
            raise Late(f"nothing more came; so far {self.rest[:300]!r}") from None
        except (ConnectionResetError, ConnectionAbortedError):
            self.end = "reset"
            return False
        if not data:
            self.end = "fin"
            return False
        self.received += len(data)
        self.rest += data
        return True

    def more(self, end, what):
        if not self.fill(end):
            raise Broken(f"{self.end} inside {what}: {self.rest[:300]!r}")

    def line(self, end, what):
        while b"\r\n" not in self.rest:
            self.more(end, what)
        line, self.rest = self.rest.split(b"\r\n", 1)
        if b"\n" in line or b"\r" in line:
            raise Broken(f"stray line end in {what}: {line!r}")
        return line

    def take(self, count, end, what):
        pieces = []
        while count > len(self.rest):
            pieces.append(self.rest)
            count -= len(self.rest)
            self.rest = b""
            self.more(end, what)
        pieces.append(self.rest[:count])
        self.rest = self.rest[count:]
        return b"".join(pieces)

    def fields(self, end, what):
        found = []
        while line := self.line(end, what):
            name, colon, value = line.partition(b":")
            if not colon or not name or name.strip() != name:
                raise Broken(f"{what}: {line!r}")
            found.append((name.decode("ascii").lower(), value.strip().decode("latin-1")))
        return found

    def head(self, deadline=None):
        """The next answer's head; interim answers are kept in `interim`."""
        end = time.monotonic() + (deadline or self.deadline)
        interim = []
        while True:
            version, _, rest = self.line(end, "status line").partition(b" ")
            status, _, reason = rest.partition(b" ")
            if not version.startswith(b"HTTP/1.") or len(status) != 3 or not status.isdigit():
                raise Broken(f"status line {version!r} {rest!r}")
            response = Response(int(status), reason.decode("latin-1"), version.decode(), self.fields(end, "field"), interim)
            if response.status >= 200 or response.status == 101:
                return response
            interim.append(response.status)

    def response(self, method="POST", deadline=None):
        """The next answer, whole."""
        end = time.monotonic() + (deadline or self.deadline)
        response = self.head(deadline)
        lengths, codings = response.all("content-length"), response.all("transfer-encoding")
        if (lengths and codings) or len(lengths) > 1 or len(codings) > 1:
            raise Broken(f"two framings: {response.fields}")
        if method == "HEAD" or response.status in (204, 304):
            return response
        if codings:
            if codings[0].lower() != "chunked":
                raise Broken(f"coding {codings[0]}")
            response.framing = "chunked"
            pieces = []
            while True:
                size = int(self.line(end, "chunk size").split(b";")[0], 16)
                if size == 0:
                    break
                pieces.append(self.take(size, end, "chunk"))
                if self.take(2, end, "chunk end") != b"\r\n":
                    raise Broken("chunk without its line end")
            response.body = b"".join(pieces)
            response.trailers = self.fields(end, "trailer")
        elif lengths:
            response.framing = "length"
            response.body = self.take(int(lengths[0]), end, "body")
        else:
            response.framing = "close"
            while self.fill(end):
                pass
            if self.end == "reset":
                raise Broken("reset inside a body")
            response.body, self.rest = self.rest, b""
        return response

    def ending(self, deadline=None):
        """Waits for the connection's end: "fin" or "reset". Bytes before it stay in `rest`."""
        end = time.monotonic() + (deadline or self.deadline)
        while self.fill(end):
            pass
        return self.end

    def everything(self, deadline=None):
        """All bytes until the connection's end."""
        self.ending(deadline)
        data, self.rest = self.rest, b""
        return data

    def wait_for(self, mark, deadline=None):
        """Reads until the mark is there; all bytes so far."""
        end = time.monotonic() + (deadline or self.deadline)
        while mark not in self.rest:
            self.more(end, f"what comes before {mark!r}")
        return self.rest

    def silent(self, seconds):
        """True when nothing comes, not even an end, for this long."""
        try:
            self.fill(time.monotonic() + seconds)
            return False
        except Late:
            return True

    # ---- asking ----

    def ask(self, data, method="POST", deadline=None):
        return self.send(data).response(method, deadline)


def request(method="POST", target="/v1/chat/completions", body=b"", fields=(), host="gateway.test", version="HTTP/1.1", length=True):
    """The bytes of a request. `body` may be bytes or something for JSON."""
    if not isinstance(body, bytes):
        body = json.dumps(body).encode()
    lines = [f"{method} {target} {version}"]
    if host is not None:
        lines.append(f"Host: {host}")
    lines += [f"{name}: {value}" for name, value in fields]
    if length and (body or method in ("POST", "PUT", "PATCH")):
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


def chat(body=None, fields=(), **more):
    """A chat completion's request bytes; `more` goes into its JSON."""
    content = {"model": "mock-model", "messages": [{"role": "user", "content": "Say something."}], **more}
    return request(body=content if body is None else body, fields=[("Content-Type", "application/json"), *fields])


def chunked(pieces, extension=b"", trailers=b""):
    return b"".join(b"%x%s\r\n%s\r\n" % (len(piece), extension, piece) for piece in pieces) + b"0\r\n" + trailers + b"\r\n"


def ask(port, data, method="POST", deadline=None):
    """One request on a connection of its own."""
    with Client(port) as client:
        return client.ask(data, method, deadline)
