"""The loads: wrk for plain requests, tools/stream_client.py for streams and held connections. Each gives figures of one short round."""
import base64
import json
import pathlib
import random
import re
import select
import subprocess
import sys
import time

from . import machine, process
from .peers import which

TOOLS = pathlib.Path(__file__).resolve().parent.parent / "tools"


class Trouble(Exception):
    """A round that gave no honest figure: errors were answered, or connections broke."""


def chat_body(size, model):
    """A chat request of `size` bytes as clients send it: the model after the messages (the order of the official SDK), prose with the
    escapes prose has, and above 256 KiB an image as base64, which is what makes bodies that large."""
    words = ("the gateway", "a stream", "of tokens", "arrives", "while", "clients\\n", "wait,", "\\\"politely\\\",", "for more;", "each event",
             "has", "a price")
    source = random.Random(size)
    start = '{"messages":[{"role":"system","content":"You are a careful assistant."},{"role":"user","content":'
    end = f'}}],"model":"{model}","temperature":0.2,"max_tokens":256,"stream":false}}'
    if size >= 256 * 1024:
        start += '[{"type":"text","text":"What is in this picture?"},{"type":"image_url","image_url":{"url":"data:image/png;base64,'
        end = '"}}]' + end
        room = size - len(start) - len(end)
        return start + base64.b64encode(source.randbytes(room * 3 // 4 + 3)).decode()[:room] + end
    start, end = start + '"', '"' + end
    text = ""
    while len(start) + len(text) + len(end) < size:
        text += source.choice(words) + " "
    text = text[:size - len(start) - len(end)]
    if text.endswith("\\"):
        text = text[:-1] + "."
    return start + text + end


class Wrk:
    """The load generator everybody knows."""

    def __init__(self):
        done = subprocess.run([which("wrk"), "-v"], capture_output=True, text=True, check=False)
        self.description = " ".join((done.stdout + done.stderr).split()[:2])

    def command(self, url, path, connections, seconds, body):
        return [which("wrk"), "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "30s", "--latency", "-s", str(TOOLS / "chat.lua"),
                url + "/", "--", str(body), path]

    def figures(self, text, child):
        line = next((line for line in text.splitlines() if line.startswith("FIGURES ")), None)
        if line is None:
            raise Trouble(f"wrk gave no figures: {text.strip()[-200:] or child.last_words()}")
        return json.loads(line[8:])


class OurBench:
    """`openclaw bench` in the same place."""
    description = "openclaw bench"

    def __init__(self, binary):
        self.binary = binary

    def command(self, url, path, connections, seconds, body):
        return [self.binary, "bench", url + path, "--connections", str(connections), "--duration", f"{seconds}s", "--timeout", "30s",
                "--body-file", str(body), "--key", "sk-perf", "--json", "-"]

    def figures(self, text, child):
        try:
            found = json.loads(text)
        except ValueError:
            raise Trouble(f"openclaw bench gave no figures: {text.strip()[-200:] or child.last_words()}") from None
        latency, errors = found["latency_ns"] or {}, found["errors"]
        refused = errors.get("status_4xx", 0) + errors.get("status_5xx", 0)
        return {"requests": found["answers"], "seconds": found["seconds"], "status_errors": refused,
                "socket_errors": sum(errors.values()) - refused,
                **{f"{name}_us": latency.get(name, 0) / 1000 for name in ("p50", "p90", "p99", "max")}}


def quieten(target, patience=5.0):
    """Waits until a target has done with what the load before left in flight: under 5 % of a core."""
    until = time.monotonic() + patience
    spent = target.cpu()
    while time.monotonic() < until:
        time.sleep(0.05)
        now = target.cpu()
        if now - spent < 2_500_000:
            return
        spent = now


def plain(target, kind, connections, size, seconds, cores, folder, generator, warm):
    """Closed-loop requests for whole `seconds`, after `warm` seconds that fill the pools (0: none). CPU is read over the whole run, the
    set-up of the client's connections included."""
    body = folder / f"body-{size}-{target.model(kind).replace(':', '-')}.json"
    if not body.exists():
        body.write_text(chat_body(size, target.model(kind)), encoding="utf-8")

    def run(duration):
        command = generator.command(f"{'https' if kind == 'tls' else 'http'}://127.0.0.1:{target.port[kind]}", target.path(kind), connections, duration, body)
        with cores.on(cores.load):
            child = process.Child(command, folder / "generator.log", pipe=True)
        try:
            text, _ = child.process.communicate(timeout=duration + 60)
        finally:
            child.stop()
        return generator.figures(text, child)

    if warm:
        run(warm)
        quieten(target)
    before = target.cpu()
    figures = run(seconds)
    spent = target.cpu() - before
    if figures["requests"] == 0:
        raise Trouble("no request was answered")
    if figures["status_errors"] or figures["socket_errors"]:
        raise Trouble(f"{figures['status_errors']} answers were errors, {figures['socket_errors']} connections broke, "
                      f"of {figures['requests']} requests")
    return {"requests_per_second": figures["requests"] / figures["seconds"], "p50_us": figures["p50_us"], "p99_us": figures["p99_us"],
            "max_us": figures["max_us"], "cpu_us": spent / 1000 / figures["requests"], "requests": figures["requests"]}


def multiplexed(target, connections, streams, size, seconds, cores, folder, warm):
    """Closed-loop requests over HTTP/2 with prior knowledge by h2load: `streams` at one time on each connection. It tells no percentiles."""
    body = folder / f"body-{size}-{target.model('h2').replace(':', '-')}.json"
    if not body.exists():
        body.write_text(chat_body(size, target.model("h2")), encoding="utf-8")

    def run(duration):
        command = [which("h2load"), "-t1", f"-c{connections}", f"-m{streams}", f"-D{duration}", "-d", str(body), "-H", "content-type: application/json",
                   "-H", "authorization: Bearer sk-perf", f"http://127.0.0.1:{target.port['h2']}{target.path('h2')}"]
        with cores.on(cores.load):
            child = process.Child(command, folder / "generator.log", pipe=True)
        try:
            text, _ = child.process.communicate(timeout=duration + 60)
        finally:
            child.stop()
        found = re.search(r"requests: \d+ total, \d+ started, (\d+) done, (\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout", text)
        if not found:
            raise Trouble(f"h2load gave no figures: {text.strip()[-200:] or child.last_words()}")
        done, succeeded, failed, errored, late = map(int, found.groups())
        if not succeeded or failed or errored or late:
            raise Trouble(f"{succeeded} of {done} requests succeeded, {failed} failed, {errored} errored, {late} were late")
        return succeeded

    if warm:
        run(warm)
        quieten(target)
    before = target.cpu()
    succeeded = run(seconds)
    spent = target.cpu() - before
    return {"requests_per_second": succeeded / seconds, "cpu_us": spent / 1000 / succeeded, "requests": succeeded}


def handshakes(target, clients, seconds, cores, folder):
    """New connections over TLS 1.3, each a whole handshake and nothing else, by `clients` of openssl's s_time. The client's share of a handshake is
    about the server's, so where both have a core the rate says as much of the client; the CPU is the server's alone."""
    command = [which("openssl"), "s_time", "-new", "-tls1_3", "-connect", f"127.0.0.1:{target.port['tls']}", "-time", str(seconds)]
    before, begin = target.cpu(), time.monotonic()
    with cores.on(cores.load):
        children = [process.Child(command, folder / "generator.log", pipe=True) for _ in range(clients)]
    count = 0
    try:
        for child in children:
            text, _ = child.process.communicate(timeout=seconds + 60)
            found = re.search(r"(\d+) connections in \d+ real seconds", text)
            if not found or child.process.returncode:
                raise Trouble(f"s_time gave no figures: {text.strip()[-200:] or child.last_words()}")
            count += int(found.group(1))
    finally:
        for child in children:
            child.stop()
    took, spent = time.monotonic() - begin, target.cpu() - before
    if not count:
        raise Trouble("no handshake was made")
    return {"handshakes_per_second": count / took, "cpu_us": spent / 1000 / count, "handshakes": count}


class StreamClient:
    """A running tools/stream_client.py."""

    def __init__(self, what, count, target, kind, cores, folder, patience=30.0):
        with cores.on(cores.load):
            self.child = process.Child(
                [sys.executable, str(TOOLS / "stream_client.py"), what, str(count), "--port", str(target.port[kind]),
                 "--path", target.path(kind), "--model", target.model(kind), "--patience", str(patience)], folder / "client.log", pipe=True)
        self.patience = patience

    def say(self, line):
        self.child.process.stdin.write(line + "\n")
        self.child.process.stdin.flush()

    def hear(self):
        if not select.select([self.child.process.stdout], [], [], self.patience + 15)[0]:
            raise Trouble("the client gave no answer in time")
        line = self.child.process.stdout.readline()
        if not line:
            raise Trouble(f"the client ended: {self.child.last_words()}")
        return json.loads(line)

    def ready(self, least):
        """Waits until the connections are there; as many as `least` have to be."""
        state = self.hear()
        if state["ready"] < least:
            raise Trouble(f"{state['ready']} of {least} connections came to be: {state['error']}")
        return state

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.child.stop(1.0)


def streamed(target, count, seconds, cores, folder, kind="stream"):
    """`count` open streams at the pace the upstream was set to: CPU per event, and the delay of events on their way."""
    with StreamClient("streams", count, target, kind, cores, folder) as client:
        client.ready(count)
        time.sleep(0.5)
        client.say("mark")
        first, before = client.hear(), target.cpu()
        time.sleep(seconds)
        spent = target.cpu() - before
        client.say("mark")
        last = client.hear()
    events = last["events"] - first["events"]
    if last["broken"]:
        raise Trouble(f"{last['broken']} of {count} streams broke: {last['error']}")
    if not events:
        raise Trouble("no event arrived")
    return {"cpu_us": spent / 1000 / events, "events": events, "events_per_second": events / seconds, "stalled": last["stalled"],
            **{f"delay_{name}_us": value for name, value in last["delay_us"].items()}}


def first_byte(target, count, cores, folder):
    """Streamed requests one after another: the time to the first event."""
    with StreamClient("first", count, target, "stream", cores, folder) as client:
        state = client.hear()
    return {"first_p50_us": state["first_us"]["p50"], "first_p99_us": state["first_us"]["p99"], "whole_p50_us": state["whole_us"]["p50"]}


def held(target, what, count, cores, folder, settle=1.0, kind="plain"):
    """Memory per connection: idle keep-alive ones (`hold`) or open streams (`streams`), as growth over the state before."""
    before = machine.memory_kib(target.child.processes())
    with StreamClient(what, count, target, kind, cores, folder, patience=40.0) as client:
        state = client.ready(int(count * 0.99))
        time.sleep(settle)
        after = machine.memory_kib(target.child.processes())
    return {"kib_each": (after[0] - before[0]) / state["ready"], "connections": state["ready"], "rss_kib": after[0]}
