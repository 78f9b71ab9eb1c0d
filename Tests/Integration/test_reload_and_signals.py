"""Configuration changes while serving (rows CF-01…CF-10), signals and the end (SD-01…SD-07), and the supervisor (RE-04)."""
import json
import os
import signal
import subprocess
import threading
import time

import pytest

from rig import *
from scripted import *


def openclaw(*arguments, **environment) -> subprocess.CompletedProcess:
    return subprocess.run([BINARY, *map(str, arguments)], capture_output=True, text=True, timeout=DEADLINE, env={**os.environ, **environment})


def good_upstream(start, name="good"):
    return start(Upstream, answering(lambda request: answer(json.dumps({"by": name}), headers=[("x-served-by", name)])))


# ---- what is wrong with a file

BAD = {
    "syntax": ("upstreams: [\n", 2),
    "tab": ("upstreams:\n\tone: 1\n", 2),
    "unknown field": ("upstreams:\n  one:\n    type: generic\n    base_url: http://127.0.0.1:1\n    tiemout_seconds: 5\n", 5),
    "unknown section": ("upstreams: {one: {type: generic, base_url: 'http://127.0.0.1:1'}}\nroute: []\n", 2),
    "duplicate key": ("upstreams:\n  one: {type: generic, base_url: 'http://127.0.0.1:1'}\n  one: {type: generic, base_url: 'http://127.0.0.1:2'}\n", 3),
    "wrong type": ("upstreams:\n  one:\n    type: generic\n    base_url: http://127.0.0.1:1\n    timeout_seconds: soon\n", 5),
    "out of range": ("server:\n  workers: 0\nupstreams: {one: {type: generic, base_url: 'http://127.0.0.1:1'}}\n", 2),
    "missing secret": ("upstreams:\n  one:\n    type: generic\n    base_url: http://127.0.0.1:1\n    api_key: ${NO_SUCH_SECRET_HERE}\n", 5),
    "no such upstream": ("upstreams: {one: {type: generic, base_url: 'http://127.0.0.1:1'}}\nroutes:\n  - strategy: {upstreams: [two]}\n", 3),
    "bad regex": ("upstreams: {one: {type: generic, base_url: 'http://127.0.0.1:1'}}\nroutes:\n  - strategy: {upstreams: [one]}\n    match: {headers: {x: {regex: '('}}}\n", 4),
    "bad url": ("upstreams:\n  one:\n    type: generic\n    base_url: ftp://127.0.0.1:1\n", 4),
    "empty": ("", None),
    "a list": ("- a\n", 1),
    "not utf-8": (b"upstreams: \xff\n", None),
}


@pytest.mark.parametrize("what", BAD)
def test_CF_01_CF_09_a_bad_file_is_refused_with_its_place_by_check_serve_and_reload(start, tmp_path, what):
    text, line = BAD[what]
    data = text if isinstance(text, bytes) else text.encode()
    file = tmp_path / "bad.yaml"
    file.write_bytes(data)
    place = f"bad.yaml:{line}:" if line else "bad.yaml:"
    checked = openclaw("check", "--config", file)
    assert checked.returncode == 78 and place in checked.stderr, checked.stderr
    for flags in (["--unsupervised"], []):
        served = openclaw("serve", *flags, "--config", file)
        assert served.returncode == 78 and place in served.stderr, served.stderr
    upstream = good_upstream(start)
    gateway = start(Gateway, single(upstream.url))
    gateway.file.write_bytes(data)
    gateway.reload(accepted=False)
    assert any(f"{gateway.file.name}:{line or ''}" in message for message in gateway.messages.all)
    assert gateway.chat().json() == {"by": "good"}


def test_CF_09_check_and_serve_agree_on_good_files(start, tmp_path):
    upstream = good_upstream(start)
    gateway = start(Gateway, single(upstream.url))
    checked = openclaw("check", "--config", gateway.file)
    assert checked.returncode == 0 and checked.stdout.startswith("ok:")
    version = gateway.record(gateway.chat().id)["config_version"]
    assert version in checked.stdout


def test_CF_02_a_file_that_vanishes_or_is_half_written_changes_nothing(start, tmp_path):
    upstream = good_upstream(start)
    gateway = start(Gateway, single(upstream.url))
    whole = gateway.file.read_text()
    gateway.file.unlink()
    gateway.reload(accepted=False)
    assert gateway.chat().status == 200
    gateway.file.mkdir()
    gateway.reload(accepted=False)
    assert gateway.chat().status == 200
    gateway.file.rmdir()
    gateway.file.write_text(whole[:whole.index("base_url") + 12])
    gateway.reload(accepted=False)
    assert gateway.chat().status == 200
    other = tmp_path / "other.yaml"
    other.write_text(whole)
    gateway.file.unlink()
    gateway.file.symlink_to(other)
    gateway.reload()
    gateway.file.unlink()
    gateway.file.symlink_to(tmp_path / "nowhere.yaml")
    gateway.reload(accepted=False)
    assert gateway.chat().status == 200


def test_CF_03_reloads_under_load_fail_no_request_and_each_sees_one_generation(start):
    """Each generation sends its own number twice, as model and as header: no request may mix two."""
    upstream = start(Upstream, answering(lambda request: answer(json.dumps({"model": request.json()["model"], "header": request.header("x-generation")}))))

    def generation(number: int) -> dict:
        return {"upstreams": {"one": generic(upstream.url, headers={"X-Generation": f"g{number}"})}, "routes": [{"strategy": {"upstreams": [{"name": "one", "model": f"g{number}"}]}}]}

    gateway = start(Gateway, generation(0))
    ending = threading.Event()
    problems, counts = [], [0] * 4

    def load(number: int):
        try:
            with gateway.connect() as client:
                while not ending.is_set():
                    got = client.chat()
                    said = got.json()
                    if got.status != 200 or said["model"] != said["header"] or said["model"] != got.header("x-openclaw-model"):
                        problems.append((got.status, got.body))
                    counts[number] += 1
        except BaseException as problem:
            problems.append(problem)

    def memory() -> int:
        with open(f"/proc/{gateway.process.pid}/statm") as file:
            return int(file.read().split()[1]) * 4096

    threads = [threading.Thread(target=load, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    sizes = []
    for number in range(1, 41):
        gateway.reload(generation(number))
        assert gateway.chat().json()["model"] == f"g{number}"
        sizes.append(memory())
        time.sleep(0.03)
    ending.set()
    for thread in threads:
        thread.join()
    assert not problems and min(counts) > 10
    assert sizes[-1] - sizes[9] < 8_000_000, "the old configurations are given back"


def test_CF_04_streams_finish_on_the_configuration_they_began_with(start):
    gate = threading.Event()
    events = good_stream(("a", "b"))

    def script(peer):
        peer.request()
        peer.send(STREAM_HEAD + b"".join(map(chunk, events[:2])))
        assert gate.wait(DEADLINE)
        peer.send(b"".join(map(chunk, events[2:])) + LAST_CHUNK)

    old, new = start(Upstream, script), good_upstream(start, "new")
    gateway = start(Gateway, {"upstreams": {"old": generic(old.url)}, "routes": [{"id": "old-route", **route("old")}]})
    with gateway.connect() as client:
        client.send("POST", "/v1/chat/completions", {"model": "m", "stream": True})
        head = client.read_head()
        client.read_until(head, events[1])
        for _ in range(3):
            gateway.reload({"upstreams": {"new": generic(new.url)}})
            assert gateway.chat().json() == {"by": "new"}
        gate.set()
        while client.read_chunk(head):
            pass
    assert head.body == b"".join(events)
    record = gateway.record(head.id)
    assert (record["upstream_name"], record["route_id"]) == ("old", "old-route")


def test_CF_05_a_changed_listener_is_refused_and_the_old_one_kept(start):
    upstream = good_upstream(start)
    gateway = start(Gateway, single(upstream.url))
    for server in ({"listen_port": 1}, {"workers": 2}, {"admin": {"listen_port": 1}}, {"io_backend": "auto"}):
        message = gateway.reload(single(upstream.url) | {"server": server}, accepted=False)
        assert "can only change with a restart" in message
        assert gateway.chat().status == 200


def test_CF_05_a_busy_port_ends_the_start_with_its_reason(start, tmp_path):
    upstream = good_upstream(start)
    holder = socket.create_server(("127.0.0.1", 0))
    port = holder.getsockname()[1]
    for section in ({"listen_port": port}, {"admin": {"listen_port": port}}):
        gateway = Gateway(single(upstream.url) | {"server": section}, tmp_path, wait=False)
        assert gateway.process.wait(DEADLINE) == 69
        gateway.messages.wait(f"port {port} is taken")
    holder.close()


def test_CF_10_secrets_are_masked_wherever_the_configuration_is_shown(start):
    upstream = good_upstream(start)
    secret, header, token = "sk-canary-3fa94c7d", "header-canary-77", "token-canary-12345678"
    gateway = start(Gateway, single(upstream.url, api_key=secret, headers={"X-Own": header}, proxy="http://user:proxy-canary@127.0.0.1:1")
                    | {"server": {"admin": {"token": token}}})
    shown = openclaw("check", "--show", "--config", gateway.file)
    assert shown.returncode == 0 and json.loads(shown.stdout)
    with Client(gateway.admin_port) as client:
        config = client.ask("GET", "/admin/config", None, [("authorization", f"Bearer {token}")])
        assert config.status == 200
    texts = [shown.stdout, shown.stderr, config.body.decode(), *gateway.messages.all, *gateway.log.all]
    for canary in (secret, header, token, "proxy-canary"):
        assert not any(canary in text for text in texts), canary


def test_reload_and_status_over_the_admin_listener(start):
    one, two = good_upstream(start, "one"), good_upstream(start, "two")
    gateway = start(Gateway, single(one.url))
    admin = f"127.0.0.1:{gateway.admin_port}"
    assert openclaw("status", "--admin", admin).returncode == 0
    gateway.write(single(two.url))
    done = openclaw("reload", "--admin", admin)
    assert done.returncode == 0, done
    assert gateway.chat().json() == {"by": "two"}
    gateway.write_text("nonsense: [")
    done = openclaw("reload", "--admin", admin)
    assert done.returncode == 78 and gateway.file.name in done.stdout + done.stderr
    assert gateway.chat().json() == {"by": "two"}
    assert openclaw("reload", "--admin", f"127.0.0.1:{refused_port()}").returncode == 69


def test_a_watched_file_is_read_again_when_it_changes(start):
    one, two = good_upstream(start, "one"), good_upstream(start, "two")
    gateway = start(Gateway, single(one.url) | {"server": {"watch_config": True}})
    assert gateway.chat().json() == {"by": "one"}
    gateway.write(single(two.url) | {"server": {"watch_config": True}})
    wait_for(lambda: gateway.chat().json() == {"by": "two"}, what="the changed file in force")


# ---- the end

def streams(gateway, count: int):
    """Streams under way: clients that have read their first content."""
    clients = []
    for _ in range(count):
        client = gateway.connect()
        client.send("POST", "/v1/chat/completions", {"model": "m", "stream": True})
        clients.append(client)
    heads = [client.read_head() for client in clients]
    for client, head in zip(clients, heads):
        client.read_until(head, b'"content":"Hel"')
    return list(zip(clients, heads))


def held(gate: threading.Event):
    """A stream that pauses after its first content until the gate opens."""
    def script(peer):
        peer.request()
        events = good_stream()
        peer.send(STREAM_HEAD + b"".join(map(chunk, events[:2])))
        gate.wait(DEADLINE)
        peer.send(b"".join(map(chunk, events[2:])) + LAST_CHUNK)
    return script


def test_SD_01_term_lets_streams_finish_and_takes_nobody_new(start):
    gate = threading.Event()
    upstream = start(Upstream, held(gate))
    gateway = start(Gateway, single(upstream.url))
    with gateway.connect() as idle:
        assert idle.ask("GET", "/v1/models").status == 200
        running = streams(gateway, 60)
        gateway.signal(signal.SIGTERM)
        gateway.messages.wait("draining")
        assert idle.is_closed()
    with Client(gateway.admin_port) as admin:
        assert admin.ask("GET", "/ready").status == 503
        assert admin.ask("GET", "/health").status == 200

    def refuses() -> bool:
        try:
            Client(gateway.port).close()
            return False
        except ConnectionRefusedError:
            return True

    wait_for(refuses, what="a closed listener")
    assert gateway.alive()
    gate.set()
    for client, head in running:
        while client.read_chunk(head):
            pass
        assert head.body == b"".join(good_stream()) and client.is_closed()
    assert gateway.process.wait(DEADLINE) == 0
    wait_for(lambda: gateway.log.ended, what="the end of the log")
    assert len([record for record in gateway.records() if record["status"] == 200 and record["stream"]]) == 60


def test_SD_01_streams_that_outlast_the_deadline_end_with_an_error_event(start):
    upstream = start(Upstream, held(threading.Event()))
    waiting = start(Upstream, lambda peer: (peer.request(), peer.wait_gone()))
    gateway = start(Gateway, {"upstreams": {"one": generic(upstream.url), "two": generic(waiting.url)}, "server": {"drain_seconds": 0.3},
                              "routes": [{**route("two"), "match": {"headers": {"x-to": "two"}}}, route("one")]})
    running = streams(gateway, 10)
    with gateway.connect() as early:
        early.send("POST", "/v1/chat/completions", {"model": "m"}, [("x-to", "two")])
        waiting.wait_requests(1)
        gateway.signal(signal.SIGTERM)
        got = early.read()
        assert (got.status, got.error["code"], got.header("connection")) == (503, "gateway_draining", "close")
    for client, head in running:
        while client.read_chunk(head):
            pass
        assert head.events[-1]["error"]["code"] == "gateway_draining" and "[DONE]" not in head.events
    assert gateway.process.wait(DEADLINE) == 0
    wait_for(lambda: gateway.log.ended, what="the end of the log")
    assert len(gateway.records()) == 11


def test_SD_01_an_answer_given_while_draining_closes_its_connection(start):
    gate = threading.Event()

    def slow(request):
        gate.wait(DEADLINE)
        return answer("{}")

    upstream = start(Upstream, answering(slow))
    gateway = start(Gateway, single(upstream.url))
    with gateway.connect() as client:
        client.send("POST", "/v1/chat/completions", {"model": "m"})
        upstream.wait_requests(1)
        gateway.signal(signal.SIGTERM)
        gateway.messages.wait("draining")
        gate.set()
        got = client.read()
        assert (got.status, got.header("connection")) == (200, "close") and client.is_closed()
    assert gateway.process.wait(DEADLINE) == 0


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
def test_SD_02_told_twice_it_ends_at_once_and_accounts_for_all(start, second):
    upstream = start(Upstream, held(threading.Event()))
    gateway = start(Gateway, single(upstream.url))
    running = streams(gateway, 5)
    gateway.signal(signal.SIGTERM)
    gateway.messages.wait("draining")
    gateway.signal(second)
    assert gateway.process.wait(5) == 0
    for client, head in running:
        try:
            while client.read_chunk(head):
                pass
            assert head.events[-1]["error"]["code"] == "gateway_draining"
        except Broken as broken:
            assert b"[DONE]" not in broken.answer.body
    wait_for(lambda: gateway.log.ended, what="the end of the log")
    assert len(gateway.records()) == 5


@pytest.mark.parametrize("supervised", [False, True])
def test_SD_03_term_during_the_start_ends_cleanly(tmp_path, supervised):
    for delay in (0, 0.002, 0.005, 0.01, 0.02, 0.04, 0.08):
        gateway = Gateway(single("http://127.0.0.1:9"), tmp_path, supervised=supervised, wait=False)
        time.sleep(delay)
        gateway.signal(signal.SIGTERM)
        code = gateway.process.wait(DEADLINE)
        # Before the process has said what to do with signals the kernel's default holds.
        assert code in (0, -signal.SIGTERM), (code, delay, gateway.messages.all)


def test_SD_03_term_during_a_reload_ends_cleanly(start):
    upstream = good_upstream(start)
    gateway = start(Gateway, single(upstream.url))
    for _ in range(20):
        gateway.signal(signal.SIGHUP)
    gateway.signal(signal.SIGTERM)
    assert gateway.process.wait(DEADLINE) == 0


def test_SD_04_other_signals_do_no_harm(start):
    upstream = good_upstream(start)
    gateway = start(Gateway, single(upstream.url))
    with gateway.connect() as client:
        for number in (signal.SIGPIPE, signal.SIGCHLD, signal.SIGWINCH, signal.SIGCONT):
            gateway.signal(number)
            assert client.chat().status == 200
        gate = threading.Event()
        slow = start(Upstream, held(gate))
        gateway.reload(single(slow.url))
        running = streams(gateway, 3)
        gateway.signal(signal.SIGSTOP)
        time.sleep(0.5)
        gateway.signal(signal.SIGCONT)
        gate.set()
        for one, head in running:
            while one.read_chunk(head):
                pass
            assert head.body == b"".join(good_stream())
    assert gateway.alive()


# ---- the supervisor

def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return sock.getsockname()[1]


def child_of(gateway) -> int:
    def look():
        with open(f"/proc/{gateway.process.pid}/task/{gateway.process.pid}/children") as file:
            return [int(word) for word in file.read().split()]
    return wait_for(look, what="a gateway process")[0]


def test_RE_04_SD_07_a_killed_gateway_is_started_again_at_once_and_reported(start):
    upstream = good_upstream(start)
    gateway = start(Gateway, single(upstream.url) | {"server": {"listen_port": free_port()}}, supervised=True)
    for turn in range(3):
        assert gateway.chat().status == 200
        child, said = child_of(gateway), len(gateway.messages.all)
        os.kill(child, signal.SIGKILL)
        message = gateway.messages.wait(r"ended with signal 9 after \d+ ms, starting it again in (\d+) ms", start=said)
        # At once after a good life; a process that keeps dying young waits longer each time.
        assert int(message[1]) <= 20 << turn
        gateway.wait_ready(said)
        assert child_of(gateway) != child
    assert gateway.chat().status == 200
    gateway.signal(signal.SIGTERM)
    assert gateway.process.wait(DEADLINE) == 0


def test_RE_04_the_gateway_does_not_outlive_its_supervisor(start):
    upstream = good_upstream(start)
    gateway = start(Gateway, single(upstream.url), supervised=True)
    child = child_of(gateway)
    gateway.process.kill()
    gateway.process.wait()

    def is_gone() -> bool:
        try:
            with open(f"/proc/{child}/stat") as file:
                return file.read().rsplit(")", 1)[1].split()[0] == "Z"
        except FileNotFoundError:
            return True

    wait_for(is_gone, what="the end of the gateway process")
    gateway.process.returncode = 0


def test_SD_07_the_supervisor_passes_signals_on(start):
    one, two = good_upstream(start, "one"), good_upstream(start, "two")
    gateway = start(Gateway, single(one.url), supervised=True)
    gateway.reload(single(two.url))
    assert gateway.chat().json() == {"by": "two"}
    gateway.signal(signal.SIGTERM)
    assert gateway.process.wait(DEADLINE) == 0
