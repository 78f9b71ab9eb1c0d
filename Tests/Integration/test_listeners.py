"""Several listeners in one configuration, unix sockets among them."""
import os
import socket
import stat
import subprocess
import urllib.request

from rig import *
from scripted import *


class UnixClient(Client):
    def __init__(self, path):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(DEADLINE)
        self.sock.connect(str(path))
        self.pending = b""


def listening(gateway, name: str) -> str:
    """The address of a further listener, from its line at start."""
    return gateway.messages.wait(rf"listener {name} is at ([^ \"]+)")[1]


def test_each_listener_is_named_at_start_and_served(start, tmp_path):
    upstream = start(Upstream, answering(lambda request: answer(b"{}")))
    path = tmp_path / "gateway.sock"
    gateway = start(Gateway, {**single(upstream.url), "server": {"workers": 2, "listeners": [
        {"name": "second", "port": 0}, {"name": "local", "address": f"unix:{path}"}]}})
    second, local = listening(gateway, "second"), listening(gateway, "local")
    assert local == f"http://unix:{path}" and int(second.rpartition(":")[2]) != gateway.port
    for _ in range(8):
        with Client(int(second.rpartition(":")[2])) as client:
            assert client.chat().status == 200
        with UnixClient(path) as client:
            assert client.chat().status == 200
    assert gateway.chat().status == 200
    gateway.stop()
    assert not path.exists()


def test_routes_are_for_listeners(start, tmp_path):
    one, two = (start(Upstream, answering(lambda request, name=name: answer(b"{}", headers=[("x-by", name)]))) for name in ("one", "two"))
    path = tmp_path / "gateway.sock"
    gateway = start(Gateway, {
        "server": {"listeners": [{"name": "local", "address": f"unix:{path}"}]},
        "upstreams": {"one": generic(one.url), "two": generic(two.url)},
        "routes": [{"match": {"listener": "local"}, "strategy": {"upstreams": ["two"]}}, {"match": {"listener": "main"}, "strategy": {"upstreams": ["one"]}}]})
    assert gateway.chat().header("x-by") == "one"
    with UnixClient(path) as client:
        assert client.chat().header("x-by") == "two"


def test_a_socket_left_by_a_dead_process_is_replaced_and_a_live_one_refused(start, tmp_path):
    upstream = start(Upstream, answering(lambda request: answer(b"{}")))
    path = tmp_path / "gateway.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    config = {**single(upstream.url), "server": {"listeners": [{"name": "local", "address": f"unix:{path}"}]}}
    gateway = start(Gateway, config)
    with UnixClient(path) as client:
        assert client.chat().status == 200
    second = start(Gateway, config, wait=False)
    second.messages.wait("another process answers there")
    assert second.process.wait(DEADLINE) == 69
    with UnixClient(path) as client:
        assert client.chat().status == 200
    assert stat.S_ISSOCK(os.stat(path).st_mode)


def test_a_killed_process_leaves_a_socket_that_its_successor_replaces(start, tmp_path):
    upstream = start(Upstream, answering(lambda request: answer(b"{}")))
    path = tmp_path / "gateway.sock"
    gateway = start(Gateway, {**single(upstream.url), "server": {"listeners": [{"name": "local", "address": f"unix:{path}"}]}}, supervised=True)
    children = wait_for(lambda: open(f"/proc/{gateway.process.pid}/task/{gateway.process.pid}/children").read().split() or None)
    seen = len(gateway.messages.all)
    os.kill(int(children[0]), signal.SIGKILL)
    gateway.wait_ready(start=seen)
    gateway.messages.wait("listener local is at", start=seen)
    with UnixClient(path) as client:
        assert client.chat().status == 200
