"""What the HTTP/2 tests start and how they judge: a gateway behind clear text with prior knowledge (h2c) or TLS with ALPN, tables of cases, and the
outcomes RFC 9113 lets a server choose from. A case passes when what the server made of it is one of its outcomes, the connection is as usable (or as
closed) as the outcome says, and another client on another connection is served as before.

`OPENCLAW_H2_STAND_IN=nghttpx` plays the tables at that proxy instead of the gateway: for judging the tests, not for passing them.
"""
import os
import re
import socket
import ssl
import struct
import subprocess

import pytest

from h2peer import *
from test_tls_upstreams import Authority
from wire import until

PATIENCE = 5.0
STAND_IN = os.environ.get("OPENCLAW_H2_STAND_IN")


# ---- outcomes

class Outcome:
    stream = None


class Goaway(Outcome):
    """GOAWAY with one of these codes, then the end of the connection."""

    def __init__(self, *codes):
        self.codes = codes

    def __repr__(self):
        return f"GOAWAY({'|'.join(map(code_name, self.codes))})"


class Reset(Outcome):
    """RST_STREAM with one of these codes; the connection goes on."""

    def __init__(self, *codes, stream=1):
        self.codes, self.stream = codes, stream

    def __repr__(self):
        return f"RST_STREAM({'|'.join(map(code_name, self.codes))}) on {self.stream}"


class Answered(Outcome):
    """A whole answer; the connection goes on."""

    def __init__(self, *statuses, stream=1):
        self.statuses, self.stream = statuses or (200,), stream

    def __repr__(self):
        return f"{'|'.join(map(str, self.statuses))} on {self.stream}"


class Alive(Outcome):
    """Nothing of it: the connection goes on."""

    def __repr__(self):
        return "nothing"


class Closed(Outcome):
    """The end of the connection, with or without GOAWAY(PROTOCOL_ERROR) (§3.4 lets a server leave it out)."""

    def __repr__(self):
        return "the connection's end"


class Case:
    """`steps` are bytes to send or functions of the peer; `settings` ours. `forwards`: how many requests for /case may reach the upstream, None: not looked at."""

    def __init__(self, name, section, steps, *outcomes, settings=(), forwards=None, after=True, greet=True):
        self.name, self.section, self.outcomes = name, section, outcomes
        self.steps = steps if isinstance(steps, (list, tuple)) else [steps]
        self.settings, self.forwards, self.after, self.greet = settings, forwards, after, greet

    @property
    def id(self):
        return f"{self.section} {self.name}"


def table(*cases):
    """For parametrize; names must differ."""
    names = [case.id for case in cases]
    assert len(set(names)) == len(names), [name for name in names if names.count(name) > 1]
    return pytest.mark.parametrize("case", cases, ids=names)


def answered(stream=1):
    """A step: the whole answer is here."""
    return lambda peer: peer.answer(stream)


def began(stream=1):
    """A step: the answer's head is here."""
    return lambda peer: peer.head(stream)


def synced(peer):
    """A step: all before has been read by the server."""
    peer.ping()


def was_reset(stream=1):
    """A step: the server has reset the stream."""
    return lambda peer: peer.wait(lambda: peer.answers[stream].reset is not None, f"a reset of stream {stream}", PATIENCE)


# Answers wait for a window: streams stay half-closed (remote) for as long as a test wants.
HELD = ((INITIAL_WINDOW_SIZE, 0),)


def register(peer, raw):
    """Tells the peer what these bytes do: streams opened and reset, settings, windows."""
    at = len(PREFACE) if raw.startswith(PREFACE) else 0
    while at + 9 <= len(raw):
        size, kind, flags, stream = int.from_bytes(raw[at:at + 3], "big"), raw[at + 3], raw[at + 4], int.from_bytes(raw[at + 5:at + 9], "big") & 0x7fffffff
        payload = raw[at + 9:at + 9 + size]
        if kind == HEADERS and stream % 2:
            peer.note(stream)
        elif kind == RST_STREAM and stream in peer.answers:
            peer.silent_resets.add(stream)
        elif kind == SETTINGS and not flags & ACK and size % 6 == 0:
            peer.pending_settings.append(dict(struct.unpack(">HI", payload[one:one + 6]) for one in range(0, size, 6)))
        elif kind == WINDOW_UPDATE and size == 4 and (stream == 0 or stream in peer.answers):
            increment = int.from_bytes(payload, "big") & 0x7fffffff
            if stream:
                peer.answers[stream].window += increment
            else:
                peer.window += increment
        at += 9 + size


def observe(peer, outcomes):
    """What the server made of it, as one of the outcome's words with its number."""
    streams = [one.stream for one in outcomes if one.stream]
    alive = any(isinstance(one, Alive) for one in outcomes)
    answers = {one.stream for one in outcomes if isinstance(one, Answered)}
    over = lambda stream: stream in peer.answers and (peer.answers[stream].reset is not None or peer.answers[stream].ended and stream in answers)
    settled = lambda: peer.end or peer.goaways or any(map(over, streams))
    try:
        if alive:
            peer.ping(PATIENCE)
        else:
            peer.wait(settled, "a verdict", PATIENCE)
    except Over:
        pass
    except Late:
        if not peer.goaways:
            return ("silence", None, None)
    if peer.goaways:
        try:
            return ("goaway", peer.goaways[-1][1], peer.ending(PATIENCE))
        except Late:
            return ("goaway without an end", peer.goaways[-1][1], None)
    if peer.end:
        return ("end", peer.end, None)
    for stream in streams:
        got = peer.answers.get(stream)
        if got and got.reset is not None:
            return ("reset", got.reset, stream)
        if got and got.ended and stream in answers:
            return ("answer", got.status, stream)
    return ("alive", None, None)


def fits(outcome, seen):
    word, number, where = seen
    if isinstance(outcome, Goaway):
        return word == "goaway" and number in outcome.codes
    if isinstance(outcome, Reset):
        return word == "reset" and number in outcome.codes and where == outcome.stream
    if isinstance(outcome, Answered):
        return word == "answer" and number in outcome.statuses and where == outcome.stream
    if isinstance(outcome, Closed):
        return word == "end" or word == "goaway" and number == PROTOCOL_ERROR
    return word == "alive" or word == "answer"


def play(door, case, recorder=None):
    if recorder:
        recorder.reset()
    with door.peer(settings=case.settings, greet=case.greet) as peer:
        if case.greet:
            peer.greeted()
        for step in case.steps:
            if callable(step):
                step = step(peer)
            if isinstance(step, bytes):
                register(peer, step)
                peer.send(step)
        seen = observe(peer, case.outcomes)
        word, number, where = seen
        shown = f"{word} {code_name(number) if word in ('goaway', 'reset', 'goaway without an end') else number} {where or ''}"
        assert any(fits(outcome, seen) for outcome in case.outcomes), \
            f"RFC 9113 {case.section}, {case.name}: expected {' or '.join(map(repr, case.outcomes))}, seen: {shown}; {peer.goaways} {peer.answers}"
        if word in ("reset", "answer", "alive") and case.after:
            stream = peer.open("/after")
            if peer.ours[INITIAL_WINDOW_SIZE] < 1000:
                peer.give(stream, 1 << 20)
            assert peer.answer(stream, PATIENCE).status == 200
    door.bystander()
    if recorder and case.forwards is not None:
        found = [head for head in recorder.heads() if b"/case" in head.split(b"\r\n")[0]]
        assert len(found) == case.forwards, found
    return seen


# ---- what the tests connect to

class Door:
    """A gateway and the way to it."""

    def __init__(self, gateway, target):
        self.gateway, self.target = gateway, target
        self.other = None

    def peer(self, **options):
        return Peer(self.target, **options)

    def bystander(self):
        """Another client, on a connection that lives across tests."""
        if self.other is None or self.other.end or self.other.goaways:
            self.other = self.peer()
        assert self.other.ask("/bytes/1", deadline=PATIENCE).status == 200

    def metric(self, name, **labels):
        """A counter's sum over the series that have these labels."""
        text = self.metrics()
        total = 0.0
        for line in text.splitlines():
            if match := re.fullmatch(rf"{name}(?:\{{(.*)\}})? (\S+)", line):
                found = dict(re.findall(r'(\w+)="([^"]*)"', match.group(1) or ""))
                if all(found.get(key) == value for key, value in labels.items()):
                    total += float(match.group(2))
        return total

    def metrics(self):
        from wire import ask, request
        return ask(self.gateway.admin_port, request("GET", "/metrics", host="127.0.0.1"), "GET").body.decode()

    def refused(self, reason):
        return self.metric("openclaw_refused_total", reason=reason)


@pytest.fixture(scope="session")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("h2-authority"))


@pytest.fixture(scope="session")
def trust(authority):
    """A client's TLS context that speaks h2 only."""
    context = ssl.create_default_context(cafile=str(authority.ca))
    context.set_alpn_protocols(["h2"])
    return context


@pytest.fixture(params=["h2c", "tls"])
def transport(request):
    return request.param


@pytest.fixture(scope="session")
def doors():
    return {}


class StandIn:
    """nghttpx in front of the upstream, clear and TLS."""

    def __init__(self, upstream, certificate, key):
        first = 20000 + os.getpid() % 1000 * 10 + StandIn.made * 2  # below the ports that connections get
        StandIn.made += 1
        self.ports = [first, first + 1]
        self.process = subprocess.Popen(
            ["nghttpx", "--conf=/dev/null", f"-f127.0.0.1,{self.ports[0]};no-tls", f"-f127.0.0.1,{self.ports[1]}", f"-b127.0.0.1,{upstream}", "--errorlog-file=/dev/null", "-LFATAL", str(key), str(certificate)],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until(self._listens, "nghttpx listens")

    def _listens(self):
        try:
            socket.create_connection(("127.0.0.1", self.ports[1])).close()
            return True
        except OSError:
            return False

    made, is_alive = 0, True

    def stop(self):
        self.process.terminate()
        self.process.wait(5)


@pytest.fixture(scope="session")
def stand_ins(authority):
    made = {}
    yield made
    for one in made.values():
        one.stop()


@pytest.fixture
def stand_in(transport, authority, trust, doors, stand_ins):
    def make(plain=None, http2=None, server=None, model=None, **_):
        if http2 or server:
            pytest.skip(f"{STAND_IN} has other settings")
        upstream = int((plain or model).rsplit(":", 1)[1])
        if upstream not in stand_ins:
            stand_ins[upstream] = StandIn(upstream, *authority.issue("localhost"))
        one = stand_ins[upstream]
        if (upstream, transport) not in doors:
            doors[upstream, transport] = Door(one, Target(one.ports[transport == "tls"], trust if transport == "tls" else None))
        return doors[upstream, transport]

    return make


@pytest.fixture
def gateway_door(gateway, transport, authority, trust, doors):
    def make(http2=None, server=None, raw=None, **pieces):
        server = dict(raw["server"] if raw else server or {})
        if http2:
            server["http2"] = http2
        if transport == "tls":
            certificate, key = authority.issue("localhost")
            server["tls"] = {"certificate": str(certificate), "key": str(key)}
        one = gateway(raw={**raw, "server": server}, **pieces) if raw else gateway(server=server, **pieces)
        if one.port not in doors or doors[one.port].gateway is not one:
            doors[one.port] = Door(one, Target(one.port, trust if transport == "tls" else None))
        return doors[one.port]

    return make


if STAND_IN:
    @pytest.fixture
    def door(stand_in):
        return stand_in
else:
    @pytest.fixture
    def door(gateway_door):
        """Makes a way in: `door(plain=recorder.url, http2={…}, server={…})`; further words as for `gateway`."""
        return gateway_door


@pytest.fixture
def recorded_door(door, recorder):
    """The usual way in, to the recorder."""
    return door(plain=recorder.url)


@pytest.fixture
def mocked_door(door, mock):
    return door(model=mock.url, plain=mock.url)
