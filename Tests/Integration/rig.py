"""What the upstream-side tests start and talk through: the real gateway, the mock upstream, and a client of raw sockets that reads strictly."""
import json
import os
import re
import signal
import socket
import struct
import subprocess
import threading
import time
from pathlib import Path

import pytest
import yaml

from calm import calm

from scripted import DEADLINE, wait_for

ROOT = Path(__file__).resolve().parents[2]
BINARY = os.environ.get("OPENCLAW", str(ROOT / ".build" / "debug" / "openclaw"))
BACKENDS = ["epoll", "io_uring"]


class Lines:
    """The lines of a pipe, read as they come by a thread of its own."""

    def __init__(self, pipe):
        self.all: list[str] = []
        self.ended = False
        self.thread = threading.Thread(target=self._read, args=(pipe,), daemon=True)
        self.thread.start()

    def _read(self, pipe):
        for line in pipe:
            self.all.append(line.decode("utf-8", "replace").rstrip("\n"))
        self.ended = True

    def wait(self, pattern: str, seconds: float = DEADLINE, start: int = 0) -> re.Match:
        """The first line from `start` on in which the pattern is found."""
        def look():
            ended = self.ended
            for line in self.all[start:]:
                if match := re.search(pattern, line):
                    return match
            assert not ended, f"no line matches {pattern!r}, and there will be none: {self.all[-8:]}"
        return wait_for(look, seconds, f"a line matching {pattern!r} in {self.all[-8:]}")


class Gateway:
    """`openclaw serve` with a configuration given as a Python value; sections `server`, `routes` … are filled up with test settings."""

    def __init__(self, config: dict, folder: Path, backend: str = "epoll", supervised: bool = False, wait: bool = True, environment: dict | None = None):
        self.folder, self.backend = Path(folder), backend
        self.file = self.folder / f"gateway-{time.monotonic_ns()}.yaml"
        self.write(config)
        command = [BINARY, "serve", "--config", str(self.file)] + ([] if supervised else ["--unsupervised"])
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, "SWIFT_BACKTRACE": "enable=no", **(environment or {})})
        self.log, self.messages = Lines(self.process.stdout), Lines(self.process.stderr)
        self.port = self.admin_port = 0
        if wait:
            self.wait_ready()

    def complete(self, config: dict) -> dict:
        config = dict(config)
        server = {"listen_port": 0, "workers": 1, "io_backend": self.backend, "max_connections": 1024, **config.get("server", {})}
        server["admin"] = {"listen_port": 0, **server.get("admin", {})}
        config["server"] = server
        return config

    def write(self, config: dict) -> None:
        """Writes the file anew, whole at once."""
        self.write_text(yaml.safe_dump(calm(self.complete(config)), sort_keys=False))

    def write_text(self, text: str) -> None:
        temporary = self.file.with_suffix(".new")
        temporary.write_text(text)
        temporary.replace(self.file)

    def wait_ready(self, start: int = 0) -> None:
        ready = self.messages.wait(r"serving on https?://([^ ]+):(\d+), admin on http://[^ ]+:(\d+), (\w+)", start=start)
        self.port, self.admin_port = int(ready[2]), int(ready[3])
        assert ready[4] == self.backend, f"wanted {self.backend}, serves with {ready[4]}"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def reload(self, config: dict | None = None, accepted: bool = True) -> str:
        """SIGHUP after an optional change of the file; returns what was said about it."""
        if config is not None:
            self.write(config)
        start = len(self.messages.all)
        self.signal(signal.SIGHUP)
        return self.messages.wait(r"is in force" if accepted else r"reload refused", start=start).string

    def records(self) -> list[dict]:
        return [json.loads(line) for line in list(self.log.all) if line.startswith("{")]

    def record(self, request_id: str, seconds: float = DEADLINE) -> dict:
        """The request's one log line."""
        def look():
            found = [record for record in self.records() if record["request_id"] == request_id]
            assert len(found) < 2, f"two records of one request: {found}"
            return found[0] if found else None
        return wait_for(look, seconds, f"the record of {request_id}")

    def connect(self, **options) -> "Client":
        return Client(self.port, **options)

    def ask(self, method: str = "GET", path: str = "/", body: bytes | dict | None = None, headers=(), **options) -> "Answer":
        """One request on a connection of its own."""
        with self.connect(**options) as client:
            return client.ask(method, path, body, headers)

    def chat(self, headers=(), client: "Client | None" = None, **body) -> "Answer":
        body = {"model": "m", "messages": [{"role": "user", "content": "hi"}], **body}
        return (client or self).ask("POST", "/v1/chat/completions", body, headers)

    def alive(self) -> bool:
        return self.process.poll() is None

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGQUIT)
            try:
                self.process.wait(DEADLINE)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
                raise AssertionError("the gateway did not end on SIGQUIT") from None
        code = self.process.returncode
        assert code >= 0, f"the gateway died of signal {-code}: {self.messages.all[-5:]}"

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        self.stop()


class Mock:
    """`openclaw mock` with settings for all requests; flags such as "--replay", folder stand before them."""

    def __init__(self, *flags, **settings):
        command = [BINARY, "mock", "--port", "0", *map(str, flags)]
        for name, value in settings.items():
            command += ["--set", f"{name.replace('_', '-')}={value}"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE)
        self.port = int(re.search(rb":(\d+)\s*$", self.process.stdout.readline())[1])
        self.url = f"http://127.0.0.1:{self.port}"

    def stats(self) -> dict:
        with Client(self.port) as client:
            return json.loads(client.ask("GET", "/mock/stats").body)

    def last(self, count: int = 1) -> list:
        with Client(self.port) as client:
            return json.loads(client.ask("GET", f"/mock/last?n={count}").body)

    def reset(self) -> None:
        with Client(self.port) as client:
            client.ask("POST", "/mock/reset", b"")

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(DEADLINE)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


class Broken(Exception):
    """The answer ended other than it should: what came of it is in `body`; `how` says whether by FIN or RST."""

    def __init__(self, how: str, answer: "Answer"):
        super().__init__(f"{how} after {answer.status} and {len(answer.body)} body bytes")
        self.how, self.answer = how, answer


class Answer:
    def __init__(self):
        self.status, self.reason = 0, ""
        self.headers: dict[str, list[str]] = {}
        self.interim: list[int] = []
        self.body = b""

    def header(self, name: str) -> str | None:
        values = self.headers.get(name.lower())
        return values[0] if values else None

    def json(self):
        return json.loads(self.body)

    @property
    def error(self) -> dict:
        return self.json()["error"]

    @property
    def id(self) -> str:
        return self.header("x-request-id")

    @property
    def events(self) -> list:
        """Data of the stream's events; JSON is parsed. Comments are left out."""
        found = []
        for block in self.body.replace(b"\r\n", b"\n").split(b"\n\n"):
            data = [line[5:].removeprefix(b" ") for line in block.split(b"\n") if line.startswith(b"data:")]
            if data:
                text = b"\n".join(data)
                found.append(json.loads(text) if text.startswith(b"{") else text.decode())
        return found

    @property
    def text(self) -> str:
        """The completion's text, from the stream's deltas."""
        return "".join(event["choices"][0]["delta"].get("content") or "" for event in self.events
                       if isinstance(event, dict) and event.get("choices"))


class Client:
    """A client connection that checks the framing of what it reads byte for byte."""

    def __init__(self, port: int, timeout: float = DEADLINE, receive_buffer: int = 0):
        self.sock = socket.socket()
        if receive_buffer:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.sock.settimeout(timeout)
        self.sock.connect(("127.0.0.1", port))
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.pending = b""

    def send(self, method: str, path: str, body: bytes | dict | None = None, headers=()) -> None:
        lines = [f"{method} {path} HTTP/1.1"]
        names = {name.lower() for name, _ in headers}
        if "host" not in names:
            lines.append("host: gateway.test")
        if isinstance(body, dict):
            body = json.dumps(body).encode()
        if body is not None:
            if "content-type" not in names:
                lines.append("content-type: application/json")
            lines.append(f"content-length: {len(body)}")
        lines += [f"{name}: {value}" for name, value in headers]
        self.sock.sendall("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + (body or b""))

    def ask(self, method: str, path: str, body: bytes | dict | None = None, headers=()) -> Answer:
        try:
            self.send(method, path, body, headers)
        except BrokenPipeError:
            pass  # Answered before the body was sent whole; without an answer the next line fails.
        return self.read(method)

    def chat(self, headers=(), **body) -> Answer:
        return self.ask("POST", "/v1/chat/completions", {"model": "m", "messages": [{"role": "user", "content": "hi"}], **body}, headers)

    def _more(self, answer: Answer) -> None:
        try:
            data = self.sock.recv(262144)
        except ConnectionResetError:
            raise Broken("reset", answer) from None
        if not data:
            raise Broken("closed", answer)
        self.pending += data

    def _line(self, answer: Answer) -> bytes:
        while b"\r\n" not in self.pending:
            self._more(answer)
        line, _, self.pending = self.pending.partition(b"\r\n")
        assert b"\n" not in line and b"\r" not in line, line
        return line

    def read_head(self) -> Answer:
        answer = Answer()
        while True:
            answer.headers = {}
            version, status, _, = (self._line(answer) + b"  ").split(b" ", 2)
            assert version == b"HTTP/1.1", version
            answer.status = int(status)
            while line := self._line(answer):
                name, colon, value = line.partition(b":")
                assert colon and name and name == name.strip(), line
                answer.headers.setdefault(name.decode().lower(), []).append(value.strip().decode("latin-1"))
            if answer.status >= 200:
                break
            answer.interim.append(answer.status)
        assert len(answer.headers.get("content-length", [])) <= 1
        assert not ("content-length" in answer.headers and "transfer-encoding" in answer.headers)
        return answer

    def read_chunk(self, answer: Answer) -> bytes:
        """The next chunk; empty for the last, with its end."""
        size = self._line(answer)
        assert re.fullmatch(rb"[0-9a-fA-F]+", size), size
        length = int(size, 16)
        while len(self.pending) < length + 2:
            self._more(answer)
        data, end, self.pending = self.pending[:length], self.pending[length:length + 2], self.pending[length + 2:]
        assert end == b"\r\n", end
        answer.body += data
        return data

    def read(self, method: str = "GET") -> Answer:
        answer = self.read_head()
        if method == "HEAD" or answer.status in (204, 304):
            return answer
        if answer.header("transfer-encoding") == "chunked":
            while self.read_chunk(answer):
                pass
        elif answer.header("content-length") is not None:
            length = int(answer.header("content-length"))
            while len(self.pending) < length:
                answer.body = self.pending
                self._more(answer)
            answer.body, self.pending = self.pending[:length], self.pending[length:]
        else:
            assert answer.header("connection") == "close"
            while True:
                try:
                    self._more(answer)
                except Broken as broken:
                    if broken.how == "reset":
                        raise
                    answer.body, self.pending = self.pending, b""
                    return answer
        return answer

    def read_until(self, answer: Answer, text: bytes) -> None:
        """Chunks of a stream until its body holds the text."""
        while text not in answer.body:
            assert self.read_chunk(answer), answer.body

    def is_closed(self, seconds: float = DEADLINE) -> bool:
        """Does the gateway end the connection, with nothing more to read?"""
        self.sock.settimeout(seconds)
        try:
            return self.pending == b"" and self.sock.recv(1) == b""
        except ConnectionError:
            return True
        except TimeoutError:
            return False

    def close(self) -> None:
        self.sock.close()

    def reset(self) -> None:
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def generic(url: str, path: str = "/v1", **options) -> dict:
    """An upstream that speaks OpenAI's API."""
    return {"type": "generic", "base_url": url + path, **options}


def route(*names, strategy: str = "failover", **options) -> dict:
    return {"strategy": {"type": strategy, "upstreams": list(names)}, **options}


def single(url: str, **options) -> dict:
    """A configuration with one model upstream."""
    return {"upstreams": {"one": generic(url, **options)}}


def refused_port() -> int:
    """A port nobody listens on: bound by us without listening, so that it stays so."""
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    _held.append(sock)
    return sock.getsockname()[1]


_held: list[socket.socket] = []


def held_socket(port: int) -> socket.socket:
    """The socket that holds a port of `refused_port`, to begin listening on it."""
    return next(sock for sock in _held if sock.getsockname()[1] == port)


def black_hole() -> str:
    """The URL of a listener whose accept queue is full: connecting to it hangs, as if packets were dropped."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(0)
    _held.append(listener)
    for _ in range(3):
        filler = socket.socket()
        filler.setblocking(False)
        filler.connect_ex(listener.getsockname())
        _held.append(filler)
    return f"http://127.0.0.1:{listener.getsockname()[1]}"


@pytest.fixture(params=BACKENDS)
def backend(request) -> str:
    """Each test runs once per kernel interface."""
    return request.param


@pytest.fixture
def start(tmp_path, backend):
    """Starts gateways, mocks and scripted upstreams that end with the test; each gateway must have lived until then."""
    started = []

    def make(thing, *arguments, **options):
        made = thing(*arguments, tmp_path, backend, **options) if thing is Gateway else thing(*arguments, **options)
        started.append(made)
        return made

    yield make
    problems = []
    for made in reversed(started):
        try:
            made.stop()
        except AssertionError as problem:
            problems.append(problem)
        problems += getattr(made, "problems", [])
    assert not problems, problems
