"""Fixtures of the integration tests: the real gateway binary in front of real upstreams over real sockets, on both kernel backends.

    OPENCLAW=.build/debug/openclaw Tests/.venv/bin/python -m pytest Tests/Integration

`gateway(...)` starts a gateway with a configuration made of sections and gives it back running; gateways with equal configurations are
shared within a session unless `fresh=True`. `mock` is `openclaw mock`, `recorder` an upstream that keeps the raw bytes it got. Each test that
takes `gateway` runs once per backend. After each test every gateway it used must still be alive.
"""
import fcntl
import json
import os
import pathlib
import re
import resource
import shutil
import signal
import subprocess
import tempfile

import pytest

from calm import calm
from upstreams import Mock, Recorder
from wire import Client, until

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
KEY = "sk-upstream-3f1c9ae7"


def find_shared():
    """Test data that is not part of the repository."""
    given = os.environ.get("OPENCLAW_SHARED")
    path = pathlib.Path(given) if given else ROOT.parent / "shared"
    return path if (path / "suites").is_dir() else None


@pytest.fixture(scope="session")
def suites():
    found = find_shared()
    if not found:
        pytest.skip(f"no test data: neither OPENCLAW_SHARED nor {ROOT.parent / 'shared'} has a folder suites")
    return found / "suites"


@pytest.fixture(scope="session")
def binary():
    path = pathlib.Path(os.environ.get("OPENCLAW", ROOT / ".build/debug/openclaw"))
    if not path.is_file():
        pytest.skip(f"no gateway binary at {path}: swift build --product openclaw, or set OPENCLAW")
    return str(path.resolve())


@pytest.fixture(scope="session", params=["epoll", "io_uring"])
def backend(request):
    return request.param


@pytest.fixture(scope="session")
def shared_mock(binary):
    mock = Mock(binary)
    yield mock
    mock.stop()


@pytest.fixture
def mock(shared_mock):
    shared_mock.reset()
    return shared_mock


@pytest.fixture
def mocks(binary):
    """A factory of mocks with settings of their own, which end with the test."""
    made = []

    def make(**settings):
        made.append(Mock(binary, **settings))
        return made[-1]

    yield make
    for one in made:
        one.stop()


@pytest.fixture(scope="session")
def shared_recorder():
    recorder = Recorder()
    yield recorder
    recorder.stop()


@pytest.fixture
def recorder(shared_recorder):
    shared_recorder.reset()
    return shared_recorder


class Fallback(Exception):
    """The gateway runs on another backend than the one asked for."""


class Gateway:
    """A running `openclaw serve --unsupervised`. `log` lines are its request log, `messages` what it said on standard error."""

    def __init__(self, binary, configuration, backend, limits=None, environment=None, log_path=None, wrapper=()):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="openclaw-test-"))
        self.log_path = pathlib.Path(log_path) if log_path else self.folder / "requests.log"
        if "logging" not in configuration:
            configuration = {**configuration, "logging": {"output": "file", "path": str(self.log_path), "buffer_kb": 4096}}
        self.log_lines, self.log_offset = [], 0
        self.configuration = configuration
        self.config_path = self.folder / "openclaw.yaml"
        self.write(configuration)
        self.error_path = self.folder / "stderr"
        self.out_path = self.folder / "stdout"

        def prepare():
            for kind, value in (limits or {}).items():
                resource.setrlimit(kind, value if isinstance(value, tuple) else (value, value))

        with open(self.error_path, "wb") as error, open(self.out_path, "wb") as out:
            self.process = subprocess.Popen(
                [*wrapper, binary, "serve", "--unsupervised", "--config", str(self.config_path)],
                stdin=subprocess.DEVNULL, stdout=out, stderr=error, preexec_fn=prepare, env={**os.environ, **(environment or {})})
        ready = until(self._ready, "the gateway's ready line", 20)
        self.host, self.port, self.admin_port, self.backend = ready.group(1), int(ready.group(2)), int(ready.group(3)), ready.group(4)
        if backend != "auto" and self.backend != backend:
            self.stop()
            raise Fallback(f"asked for {backend}, the gateway runs on {self.backend}: {self.messages()}")

    def write(self, configuration):
        """Puts a configuration (JSON is YAML too) in place of the file."""
        fresh = self.config_path.with_suffix(".new")
        fresh.write_text(json.dumps(calm(configuration), indent=1))
        fresh.rename(self.config_path)

    def reload(self, configuration):
        self.write(configuration)
        self.process.send_signal(signal.SIGHUP)

    def _ready(self):
        text = self.error_path.read_text(errors="replace")
        found = re.search(r"serving on https?://(.+?):(\d+), admin on http://.+?:(\d+), (\w+),", text)
        assert found or self.process.poll() is None, f"the gateway ended with {self.process.returncode}: {text}"
        return found

    def messages(self):
        return self.error_path.read_text(errors="replace")

    @property
    def is_alive(self):
        return self.process.poll() is None

    def client(self, **options):
        return Client(self.port, **options)

    def ask(self, data, method="POST", deadline=None):
        with self.client() as client:
            return client.ask(data, method, deadline)

    def log(self):
        """Every line of the request log so far, each of which must be one JSON object in UTF-8."""
        with open(self.log_path, "rb") as file:
            file.seek(self.log_offset)
            data = file.read()
        whole = data[:data.rfind(b"\n") + 1]
        self.log_lines += [json.loads(line.decode("utf-8")) for line in whole.split(b"\n")[:-1]]
        self.log_offset += len(whole)
        return self.log_lines[:]

    def logged(self, request_id, deadline=10.0):
        """The log line of this request: waits for it; more than one is an error."""
        found = until(lambda: [line for line in self.log() if line["request_id"] == request_id], f"a log line of {request_id}", deadline)
        assert len(found) == 1, found
        return found[0]

    def status(self):
        """Memory (bytes), threads and descriptors of the process."""
        text = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        value = lambda name: int(re.search(rf"^{name}:\s+(\d+)", text, re.M).group(1))
        return {"rss": value("VmRSS") * 1024, "threads": value("Threads"), "fds": len(os.listdir(f"/proc/{self.process.pid}/fd"))}

    def cpu_seconds(self):
        parts = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(") ", 1)[1].split()
        return (int(parts[11]) + int(parts[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self, deadline=10.0):
        """Ends it; the exit code."""
        if self.is_alive:
            self.process.send_signal(signal.SIGQUIT)
            try:
                self.process.wait(deadline)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(5)
        return self.process.returncode

    def remove(self):
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


def configuration(backend, *, model=None, plain=None, server=None, upstream=None, **sections):
    """A configuration: `model` and `plain` are the URLs of a model's upstream and of a plain API behind /."""
    upstreams, routes = {}, []
    if model:
        upstreams["model"] = {"type": "generic", "base_url": model + "/v1", "api_key": KEY, **(upstream or {})}
        routes.append({"id": "models", "match": {"path": "/v1/*"}, "strategy": {"upstreams": ["model"]}})
    if plain:
        upstreams["plain"] = {"type": "http", "base_url": plain}
        routes.append({"id": "plain", "strategy": {"upstreams": ["plain"]}})
    return {
        "server": {"listen_port": 0, "workers": 1, "io_backend": backend, "admin": {"listen_port": 0}, **(server or {})},
        "upstreams": upstreams, "routes": routes, **sections,
    }


@pytest.fixture(scope="session")
def running():
    """Gateways that live as long as the session, by configuration."""
    found = {}
    yield found
    for one in found.values():
        one.remove()


@pytest.fixture
def gateway(binary, backend, running):
    """Starts gateways: `gateway(model=mock.url, server={…})`. `raw` gives a whole configuration instead of the pieces."""
    used, own = [], []

    def start(*, fresh=False, raw=None, limits=None, environment=None, log_path=None, wrapper=(), **pieces):
        wanted = raw if raw is not None else configuration(backend, **pieces)
        shares = not (fresh or limits or environment or log_path or wrapper)
        key = json.dumps([backend, wanted], sort_keys=True)
        if shares and key in running and running[key].is_alive:
            used.append(running[key])
            return running[key]
        try:
            one = Gateway(binary, wanted, backend, limits, environment, log_path, wrapper)
        except Fallback as fallback:
            pytest.skip(f"no {backend} here: {fallback}")
        used.append(one)
        if shares:
            running[key] = one
        else:
            own.append(one)
        return one

    start.configuration = lambda **pieces: configuration(backend, **pieces)
    yield start
    dead = [(one.process.returncode, one.messages()[-3000:]) for one in used if not one.is_alive and one.process.returncode != 0]
    for one in own:
        one.remove()
    assert not dead, f"a gateway died: {dead}"


@pytest.fixture
def front(gateway, mock):
    """The usual gateway: a model and a plain API, both the mock."""
    return gateway(model=mock.url, plain=mock.url)


@pytest.fixture
def recorded(gateway, recorder):
    """A gateway whose upstreams, model and plain, are the recorder."""
    return gateway(model=recorder.url, plain=recorder.url)


@pytest.fixture
def slow_pipe(tmp_path):
    """A FIFO that somebody holds open and nobody reads."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    holder = os.open(path, os.O_RDWR | os.O_NONBLOCK)
    fcntl.fcntl(holder, 1031, 4096)
    yield path
    os.close(holder)
