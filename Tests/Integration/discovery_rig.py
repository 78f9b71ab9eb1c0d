"""What the discovery tests start: backends that say who they are, etcd and dnsmasq from the distribution, and a server that plays recorded conversations."""
import http.server
import json
import re
import shutil
import signal
import socket
import socketserver
import subprocess
import threading
import urllib.request

import pytest

from rig import *
from scripted import DEADLINE, wait_for


class Named:
    """A plain backend that answers every request with its name, and counts."""

    def __init__(self, name: str, host: str = "127.0.0.1", port: int = 0):
        outer = self
        self.name, self.seen, self.status = name, [], 200

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                outer.seen.append((self.path, self.headers.get("host")))
                length = int(self.headers.get("content-length") or 0)
                if length:
                    self.rfile.read(length)
                body = outer.name.encode()
                self.send_response(outer.status)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_POST = do_GET

            def log_message(self, *_):
                pass

        class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
            daemon_threads = True
            allow_reuse_address = True

            def server_bind(self):
                # Without the look-up of the host's name that HTTPServer does.
                socketserver.TCPServer.server_bind(self)
                self.server_name, self.server_port = self.server_address[:2]

        self.server = Server((host, port), Handler)
        self.host, self.port = host, self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    @property
    def address(self) -> str:
        return f"{self.host}:{self.port}"

    @property
    def url(self) -> str:
        return f"http://{self.address}"

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def named():
    made = []

    def make(name, **options):
        made.append(Named(name, **options))
        return made[-1]

    yield make
    for one in made:
        one.stop()


def discovered(discovery: dict, **more) -> dict:
    """A configuration with one plain upstream whose endpoints are discovered."""
    return {"upstreams": {"found": {"type": "http", "endpoints": {"discovery": discovery}, **more}},
            "routes": [{"id": "all", "match": {"path": "/*"}, **route("found")}]}


def admin(gateway, path: str, method: str = "GET", headers: dict | None = None):
    """Status and JSON of an answer of the admin listener."""
    request = urllib.request.Request(f"http://127.0.0.1:{gateway.admin_port}{path}", method=method, headers=headers or {})
    try:
        with urllib.request.urlopen(request, timeout=DEADLINE) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


def upstream(gateway, name: str = "found") -> dict:
    return next(one for one in admin(gateway, "/admin/upstreams")[1]["upstreams"] if one["name"] == name)


def urls(gateway, name: str = "found") -> list[str]:
    return sorted(endpoint["url"] for endpoint in upstream(gateway, name)["endpoints"])


def wait_urls(gateway, *wanted, name: str = "found", seconds: float = DEADLINE) -> None:
    wait_for(lambda: urls(gateway, name) == sorted(wanted), seconds, f"the endpoints {sorted(wanted)}, there are {urls(gateway, name)}")


def events(gateway, name: str | None = None, since: int = 0) -> list[dict]:
    found = admin(gateway, f"/admin/events?since={since}")[1]["events"]
    return [event for event in found if name is None or event["event"] == name]


def wait_state(gateway, state: str, name: str = "found", seconds: float = DEADLINE) -> dict:
    wait_for(lambda: upstream(gateway, name)["discovery"]["state"] == state, seconds, f"discovery {state}, it is {upstream(gateway, name).get('discovery')}")
    return upstream(gateway, name)["discovery"]


# etcd and dnsmasq


def needs(program: str, package: str) -> str:
    path = shutil.which(program) or shutil.which(program, path="/usr/sbin:/sbin")
    if not path:
        pytest.skip(f"{program} is not installed: scripts/setup.sh tests installs {package}")
    return path


def free_port(kind=socket.SOCK_STREAM) -> int:
    with socket.socket(socket.AF_INET, kind) as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


class Etcd:
    """A single etcd on free ports; what it stores survives `stop` and `start`."""

    def __init__(self, folder):
        self.program, self.folder = needs("etcd", "etcd-server"), folder
        self.port, self.peer_port = free_port(), free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.start()

    def start(self) -> None:
        peer = f"http://127.0.0.1:{self.peer_port}"
        self.process = subprocess.Popen(
            [self.program, "--data-dir", str(self.folder / "etcd"), "--listen-client-urls", self.url, "--advertise-client-urls", self.url,
             "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", f"default={peer}", "--unsafe-no-fsync"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for(self.is_up, 30, "etcd")

    def is_up(self) -> bool:
        assert self.process.poll() is None, f"etcd ended with {self.process.returncode}"
        try:
            return "header" in self.call("/v3/kv/range", {"key": "AA=="}) or True
        except (OSError, urllib.error.URLError):
            return False

    def call(self, path: str, body: dict, token: str | None = None) -> dict:
        request = urllib.request.Request(self.url + path, json.dumps(body).encode(), {"content-type": "application/json", **({"authorization": token} if token else {})})
        try:
            with urllib.request.urlopen(request, timeout=DEADLINE) as answer:
                return json.loads(answer.read())
        except urllib.error.HTTPError as error:
            return json.loads(error.read())

    @staticmethod
    def coded(text: str) -> str:
        import base64
        return base64.b64encode(text.encode()).decode()

    def put(self, key: str, value: str, token: str | None = None) -> int:
        """The store's revision after it."""
        return int(self.call("/v3/kv/put", {"key": self.coded(key), "value": self.coded(value)}, token)["header"]["revision"])

    def delete(self, key: str, token: str | None = None) -> None:
        self.call("/v3/kv/deleterange", {"key": self.coded(key)}, token)

    def compact(self, revision: int) -> None:
        self.call("/v3/kv/compaction", {"revision": str(revision), "physical": True})

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(DEADLINE)


class Dnsmasq:
    """dnsmasq on a port of its own, with exactly the records that `records` says; `change` restarts it with others."""

    def __init__(self, folder, *records, ttl: int = 1):
        self.program, self.folder, self.ttl = needs("dnsmasq", "dnsmasq-base"), folder, ttl
        self.process = None
        for attempt in range(5):
            # It listens on the port for datagrams and for connections; between our look and its own somebody else may take one.
            self.port = free_port(socket.SOCK_DGRAM)
            self.address = f"127.0.0.1:{self.port}"
            try:
                return self.change(*records)
            except AssertionError:
                if attempt == 4 or not any("in use" in line for line in self.log.all):
                    raise

    def change(self, *records) -> None:
        self.stop()
        self.process = subprocess.Popen(
            [self.program, "--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--no-daemon", "--bind-interfaces",
             "--listen-address=127.0.0.1", f"--port={self.port}", f"--local-ttl={self.ttl}", "--local=/test/", "--auth-ttl=1", "--log-queries", "--log-facility=-",
             "--pid-file=", *(f"--{record}" for record in records)],
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        self.log = Lines(self.process.stderr)
        self.log.wait(r"started, version")

    def stop(self) -> None:
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait(DEADLINE)


# Kubernetes and Consul, played


class Played:
    """An HTTP server whose answers a test decides: `answer(request)` gets the handler and writes what it wants."""

    def __init__(self, port: int = 0):
        outer = self
        self.requests: list[tuple[str, dict]] = []
        self.open: set = set()
        self.lock = threading.Condition()

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_one_request(self):
                outer.open.add(self.connection)
                try:
                    super().handle_one_request()
                except OSError:
                    self.close_connection = True

            def do_GET(self):
                with outer.lock:
                    outer.requests.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
                    outer.lock.notify_all()
                outer.answer(self)

            def whole(self, body: str, status: int = 200, fields: dict | None = None):
                data = body.encode()
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(data)))
                for name, value in (fields or {}).items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(data)

            def stream(self):
                self.send_response(200)
                self.send_header("content-type", "application/json")
                self.send_header("transfer-encoding", "chunked")
                self.end_headers()

            def chunk(self, text: str):
                data = text.encode()
                self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))

            def log_message(self, *_):
                pass

        class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
            daemon_threads = True
            allow_reuse_address = True

            def server_bind(self):
                socketserver.TCPServer.server_bind(self)
                self.server_name, self.server_port = self.server_address[:2]

        self.server = Server(("127.0.0.1", port), Handler)
        self.port = self.server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.isRunning = True
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def seen(self, text: str) -> list:
        with self.lock:
            return [request for request in self.requests if text in request[0]]

    def stop(self) -> None:
        """Ends the server and its connections."""
        with self.lock:
            self.isRunning = False
            self.lock.notify_all()
        self.server.shutdown()
        self.server.server_close()
        for connection in list(self.open):
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


class Kubernetes(Played):
    """The API server's EndpointSlices of one service: a list in pages of `page` slices, watches by resourceVersion, 410 for versions before `oldest`."""

    def __init__(self, port: int = 0):
        self.version, self.oldest, self.slices, self.log, self.page, self.token = 100, 0, {}, [], 0, None
        super().__init__(port)

    def slice(self, name: str, *places: str, ready: bool = True) -> dict:
        """Places of one slice have one port."""
        hosts = [place.rpartition(":")[0] for place in places]
        ports = {int(place.rpartition(":")[2]) for place in places}
        assert len(ports) <= 1
        return {"kind": "EndpointSlice", "apiVersion": "discovery.k8s.io/v1",
                "metadata": {"name": name, "namespace": "models", "resourceVersion": str(self.version), "labels": {"kubernetes.io/service-name": "llm"}},
                "addressType": "IPv4", "ports": [{"name": "http", "protocol": "TCP", "port": port} for port in ports],
                "endpoints": [{"addresses": [host], "conditions": {"ready": ready, "serving": ready, "terminating": False}} for host in hosts]}

    def put(self, name: str, *places: str, **options) -> None:
        with self.lock:
            self.version += 1
            kind = "MODIFIED" if name in self.slices else "ADDED"
            self.slices[name] = self.slice(name, *places, **options)
            self.log.append((self.version, kind, self.slices[name]))
            self.lock.notify_all()

    def delete(self, name: str) -> None:
        with self.lock:
            self.version += 1
            gone = self.slices.pop(name)
            gone["metadata"]["resourceVersion"] = str(self.version)
            self.log.append((self.version, "DELETED", gone))
            self.lock.notify_all()

    def forget(self) -> None:
        """What happened so far cannot be watched any more; watches end with 410."""
        with self.lock:
            self.version += 1
            self.oldest = self.version
            self.log = []
            self.lock.notify_all()

    @staticmethod
    def status(code: int, reason: str) -> dict:
        return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": f"{reason} it is", "reason": reason, "code": code}

    def answer(self, handler) -> None:
        import urllib.parse
        path, _, query = handler.path.partition("?")
        asked = dict(urllib.parse.parse_qsl(query))
        if self.token and handler.headers.get("authorization") != f"Bearer {self.token}":
            return handler.whole(json.dumps(self.status(401, "Unauthorized")), 401)
        assert path == "/apis/discovery.k8s.io/v1/namespaces/models/endpointslices" and asked["labelSelector"] == "kubernetes.io/service-name=llm", handler.path
        if asked.get("watch") == "true":
            return self.watch(handler, int(asked["resourceVersion"]))
        with self.lock:
            names = sorted(self.slices)
            start = int(asked.get("continue", 0))
            end = start + (self.page or len(names) or 1)
            meta = {"resourceVersion": str(self.version), **({"continue": str(end)} if end < len(names) else {})}
            items = [{key: value for key, value in self.slices[name].items() if key not in ("kind", "apiVersion")} for name in names[start:end]]
        handler.whole(json.dumps({"kind": "EndpointSliceList", "apiVersion": "discovery.k8s.io/v1", "metadata": meta, "items": items}))

    def watch(self, handler, version: int) -> None:
        if version < self.oldest:
            return handler.whole(json.dumps(self.status(410, "Expired")), 410)
        handler.stream()
        handler.chunk(json.dumps({"type": "BOOKMARK", "object": {"kind": "EndpointSlice", "apiVersion": "discovery.k8s.io/v1", "metadata": {"resourceVersion": str(version)}}}) + "\n")
        while True:
            with self.lock:
                self.lock.wait_for(lambda: not self.isRunning or version < self.oldest or any(entry[0] > version for entry in self.log), 5)
                if not self.isRunning:
                    return
                fresh = [entry for entry in self.log if entry[0] > version]
                expired = version < self.oldest
            if expired:
                handler.chunk(json.dumps({"type": "ERROR", "object": self.status(410, "Expired")}) + "\n")
                handler.chunk("")
                return
            for number, kind, item in fresh:
                text = json.dumps({"type": kind, "object": item}) + "\n"
                # In two pieces, as networks do it.
                handler.chunk(text[:17])
                handler.chunk(text[17:])
                version = number


class Consul(Played):
    """Consul's health endpoint of one service, by blocking queries."""

    def __init__(self, port: int = 0):
        self.index, self.instances, self.refusal = 7, [], None
        super().__init__(port)

    def put(self, *places: str, index: int | None = None) -> None:
        with self.lock:
            self.index = index if index is not None else self.index + 1
            self.instances = [
                {"Node": {"Node": "n", "Address": "10.1.10.12"}, "Checks": [{"Status": "passing"}],
                 "Service": {"ID": place, "Service": "llm", "Address": place.rpartition(":")[0], "Port": int(place.rpartition(":")[2]), "Weights": {"Passing": 3}}}
                for place in places]
            self.lock.notify_all()

    def answer(self, handler) -> None:
        import urllib.parse
        path, _, query = handler.path.partition("?")
        asked = dict(urllib.parse.parse_qsl(query))
        assert path == "/v1/health/service/llm" and asked["passing"] == "true", handler.path
        if self.refusal:
            return handler.whole(*self.refusal)
        with self.lock:
            if "index" in asked:
                waited = int(asked["index"])
                self.lock.wait_for(lambda: not self.isRunning or self.index != waited, 10)
            body, index = json.dumps(self.instances), self.index
        if self.isRunning:
            handler.whole(body, 200, {"X-Consul-Index": str(index)})


class NameServer:
    """A name server over UDP whose answers a test makes: `answer(query)` gives the datagrams to send back, in order."""

    def __init__(self, answer):
        self.answer, self.queries = answer, []
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self.sock.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            try:
                query, peer = self.sock.recvfrom(4096)
            except OSError:
                return
            self.queries.append(query)
            for datagram in self.answer(query):
                self.sock.sendto(datagram, peer)

    @staticmethod
    def question(query: bytes) -> bytes:
        end = query.index(b"\0", 12) + 5
        return query[12:end]

    @classmethod
    def refused(cls, query: bytes, code: int = 2) -> bytes:
        """SERVFAIL, or another code."""
        question = cls.question(query)
        return query[:2] + bytes([0x81, 0x80 | code]) + b"\0\1\0\0\0\0\0\0" + question

    @classmethod
    def addresses(cls, query: bytes, *hosts: str, ttl: int = 1, id: bytes | None = None, name: bytes | None = None) -> bytes:
        question = cls.question(query)
        if name is not None:
            question = name + question[-4:]
        records = b"".join(b"\xc0\x0c\0\1\0\1" + ttl.to_bytes(4, "big") + b"\0\4" + socket.inet_aton(host) for host in hosts)
        return (id or query[:2]) + b"\x81\x80\0\1" + len(hosts).to_bytes(2, "big") + b"\0\0\0\0" + question + records

    def stop(self):
        self.sock.close()
