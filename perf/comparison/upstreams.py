"""The upstreams every peer is measured against: one for plain and large requests, and the paced one for streams.

Plain and large requests go to `openclaw mock`, or with `--upstream nginx` to an nginx that answers the same bytes, so that nobody has to
trust an upstream of ours.
"""
import http.client
import json
import pathlib
import sys
import time

from . import process
from .peers import CHAT, Absent, which

TOOLS = pathlib.Path(__file__).resolve().parent.parent / "tools"
CONTENT = ("A gateway stands between many clients and many models. It keeps the keys, counts the tokens, and takes the next provider when "
           "one fails. " * 8)[:700]
ANSWER = json.dumps({
    "id": "chatcmpl-perf-0000000000000000000000", "object": "chat.completion", "created": 1700000000, "model": "perf-plain",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": CONTENT}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 120, "completion_tokens": 160, "total_tokens": 280},
}, separators=(",", ":"))


class Upstreams:
    """The running upstreams; `port` is per kind of traffic."""

    def __init__(self, kind, binary, folder, ports, cores):
        folder.mkdir(parents=True, exist_ok=True)
        stream_port = next(ports)
        with cores.on(cores.upstream):
            self.children = [process.Child([sys.executable, str(TOOLS / "paced_upstream.py"), str(stream_port)], folder / "paced.log")]
            plain_port, large_port = next(ports), next(ports)
            if kind == "nginx":
                self.description = "nginx"
                command = self._nginx(folder, plain_port, large_port, next(ports))
            else:
                # 406 bytes of text make an answer of about 970, the size nginx answers with.
                self.description = "openclaw mock"
                large_port = plain_port
                command = [binary, "mock", "--address", "127.0.0.1", "--port", str(plain_port), "--threads", "1", "--backend", "epoll",
                           "--answer-bytes", "406"]
            self.children.append(process.Child(command, folder / "plain.log"))
        self.port = {"plain": plain_port, "large": large_port, "stream": stream_port}
        until = time.monotonic() + 5
        for name in ("plain", "large"):
            while not process.answers(self.port[name], CHAT, "perf-plain"):
                if time.monotonic() > until or self.children[1].ended():
                    raise Absent(f"the upstream ({self.description}) does not answer: {self.children[1].last_words()}")
                time.sleep(0.01)
        self.pace(interval_us=1000, burst=1, count=1)

    @staticmethod
    def _nginx(folder, plain_port, large_port, inner_port):
        # `return` would answer a large body before it was read, so those are read whole first and the answer comes from an inner server.
        config = folder / "nginx.conf"
        answer = f"default_type application/json; return 200 '{ANSWER}';"
        config.write_text(f"""
daemon off; worker_processes 1; worker_rlimit_nofile 20000; error_log {folder}/error.log crit; pid {folder}/nginx.pid;
events {{ worker_connections 19000; }}
http {{
    access_log off; tcp_nodelay on; keepalive_timeout 600s; keepalive_requests 1000000000; server_tokens off;
    client_max_body_size 64m; client_body_buffer_size 8m; client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    upstream inner {{ server 127.0.0.1:{inner_port}; keepalive 256; keepalive_requests 1000000000; }}
    server {{ listen 127.0.0.1:{plain_port} backlog=8192; location / {{ {answer} }} }}
    server {{ listen 127.0.0.1:{inner_port} backlog=8192; location / {{ {answer} }} }}
    server {{
        listen 127.0.0.1:{large_port} backlog=8192;
        location / {{ proxy_pass http://inner; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_pass_request_body off;
            proxy_set_header Content-Length ""; proxy_method GET; }}
    }}
}}
""", encoding="utf-8")
        return [which("nginx"), "-p", str(folder), "-c", str(config), "-e", f"{folder}/error.log"]

    def pace(self, **values):
        """Sets the pace of the streams opened from now on (see tools/paced_upstream.py)."""
        until = time.monotonic() + 5
        while True:
            try:
                connection = http.client.HTTPConnection("127.0.0.1", self.port["stream"], timeout=5)
                connection.request("POST", "/control", json.dumps(values))
                connection.getresponse().read()
                connection.close()
                return
            except OSError:
                if time.monotonic() > until:
                    raise
                time.sleep(0.01)
