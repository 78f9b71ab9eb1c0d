"""What the tests of resilience share: providers whose answers a test changes while they serve, and the story of a request as its log line tells it."""
import json
import select
import threading
import time

from rig import *
from scripted import *

# What the tests of other things have switched off (calm.py) is what these are about.
BREAKER = {"enabled": True}
COOLDOWN = {"base_seconds": 60, "max_seconds": 300}
# The admin listener answers nobody who calls it by a foreign name.
LOCAL = [("host", "127.0.0.1")]


def said(status: int, body="", headers=(), **fields) -> bytes:
    """An error as OpenAI words it; `fields` go into `error`."""
    if fields or not body:
        body = json.dumps({"error": {"message": "no", "type": "x", "param": None, "code": None, **fields}})
    return answer(body, status, "No", headers=headers)


def usual(request: Request) -> bytes:
    """A good answer that names the model it was asked for; a stream where one was asked for."""
    value = request.json()
    if value.get("stream"):
        return STREAM_HEAD + b"".join(map(chunk, good_stream([value["model"]]))) + LAST_CHUNK
    return answer(completion(value["model"]))


def hang(peer, request):
    peer.wait_gone()
    raise Gone


def cut(peer, request):
    peer.reset()
    raise Gone


class Provider(Upstream):
    """A provider that does what `play` says at the time: bytes, or a function of the request (and its peer, if it takes two) that returns them. It knows
    which keys were shown to it, when."""

    def __init__(self, play=usual):
        self.play = play
        self.under_way, self.most = 0, 0
        super().__init__(self._serve)

    def _serve(self, peer):
        while True:
            request = peer.request()
            request.at = time.monotonic()
            with self.lock:
                self.under_way += 1
                self.most = max(self.most, self.under_way)
            try:
                play = self.play
                if callable(play):
                    play = play(peer, request) if play.__code__.co_argcount == 2 else play(request)
            finally:
                with self.lock:
                    self.under_way -= 1
            if play is None:
                return
            peer.send(play)

    @property
    def keys(self) -> list[str]:
        return [(request.header("authorization") or "").removeprefix("Bearer ") for request in list(self.requests)]


def keyed(play: dict, rest=usual):
    """A play by key: what each key's requests get."""
    def script(peer, request):
        chosen = play.get((request.header("authorization") or "").removeprefix("Bearer "), rest)
        if not callable(chosen):
            return chosen
        return chosen(peer, request) if chosen.__code__.co_argcount == 2 else chosen(request)
    return script


def keys(*names) -> list[dict]:
    return [{"id": name, "value": name} for name in names]


def story(gateway, answer) -> list[tuple]:
    """What was tried for this request: upstream, class and reason of each attempt, in order."""
    return [(attempt["upstream"], attempt["class"], attempt["why"]) for attempt in gateway.record(answer.id)["attempts"]]


def used_keys(gateway, answer) -> list[str]:
    return [attempt["key_id"] for attempt in gateway.record(answer.id)["attempts"]]


def figure(gateway, name: str, **labels) -> float:
    """A sample of /metrics; 0 where there is none."""
    with Client(gateway.admin_port) as client:
        text = client.ask("GET", "/metrics", None, LOCAL).body.decode()
    total = 0.0
    for line in text.splitlines():
        if line.startswith(name + "{") or line.startswith(name + " "):
            if all(f'{label}="{value}"' in line for label, value in labels.items()):
                total += float(line.rsplit(" ", 1)[1])
    return total


def upstream_state(gateway, name: str) -> dict:
    with Client(gateway.admin_port) as client:
        return next(one for one in client.ask("GET", "/admin/upstreams", None, LOCAL).json()["upstreams"] if one["name"] == name)


def together(count: int, work) -> list:
    """`work(number)` in so many threads at once; what each returned."""
    found, threads = [None] * count, []

    def run(at):
        found[at] = work(at)

    for at in range(count):
        threads.append(threading.Thread(target=run, args=(at,), daemon=True))
        threads[-1].start()
    for thread in threads:
        thread.join(DEADLINE * 2)
        assert not thread.is_alive(), "a request hangs"
    return found


def readable_of(sockets, seconds):
    """Those with something to read; select() knows no descriptor above 1,023."""
    poll = select.poll()
    for sock in sockets:
        poll.register(sock, select.POLLIN)
    ready = {fd for fd, _ in poll.poll(seconds * 1000)}
    return [sock for sock in sockets if sock.fileno() in ready]
