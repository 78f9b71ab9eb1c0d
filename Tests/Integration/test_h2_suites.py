"""The HTTP/2 data of /shared/suites: single wrong frames of http2-frame-test-case, and the client streams that h2spec once sent, each of which must be answered by
the letter of RFC 9113, never by silence (rows H2-12, H2-18, INV-8)."""
import json
import random

import pytest

from h2rig import *
from h2streams import EXPECTED

FOLDERS = ["data", "headers", "priority", "rst_stream", "settings", "push_promise", "ping", "goaway", "window_update", "continuation"]


@pytest.fixture(scope="session")
def folder(suites):
    path = suites / "h2-streams"
    if not path.is_dir():
        pytest.skip(f"no test data: {path} is missing")
    return path


def test_H2_12_every_wrong_frame(recorded_door, recorder, folder):
    """22 of them, each where it could have been right: its stream is open, if it names one."""
    cases = [(path.name, json.loads(path.read_text())) for path in sorted((folder / "frames/error").glob("*.json"))]
    assert len(cases) == 22
    wrong = []
    for name, case in cases:
        raw = bytes.fromhex(case["wire"])
        stream = int.from_bytes(raw[5:9], "big") & 0x7fffffff
        # PUSH_PROMISE from a client is PROTOCOL_ERROR whatever is in it (§8.4), an idle stream too where nothing else is wrong with the frame (§5.1).
        allowed = {*case["error"], *([PROTOCOL_ERROR] if raw[3] == PUSH_PROMISE else [])}
        with recorded_door.peer() as peer:
            peer.greeted()
            if stream % 2 and raw[3] != HEADERS:
                register(peer, post(stream))
                peer.send(post(stream))
            peer.send(raw)
            seen = observe(peer, [Goaway(*allowed), Reset(*allowed, stream=stream or 1)])
        if seen[0] not in ("goaway", "reset") or seen[1] not in allowed:
            wrong.append(f"{name}: {seen}, right are {sorted(map(code_name, allowed))}; {describe(raw)}")
        recorded_door.bystander()
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("piece", [0, 1], ids=["whole", "bytewise"])
def test_H2_12_H2_18_every_client_stream(recorded_door, recorder, folder, piece):
    """133 connections: open, send the file, half-close, read to the end, which comes at once; and judge what came by the table of h2streams.py."""
    wrong, seen_files = [], set()
    for path in sorted((folder / "client-streams").iterdir()):
        raw = path.read_bytes()
        key = path.name[:8]
        seen_files.add(key)
        expected = EXPECTED[key]
        if piece and len(raw) > 200:
            continue
        with recorded_door.peer(greet=False, acks=False) as peer:
            register(peer, raw)
            for stream in range(1, 2000, 2):
                if len(raw) > 2000:
                    peer.note(stream)
            if piece:
                for at in range(len(raw)):
                    peer.send(raw[at:at + 1])
            else:
                peer.send(raw)
            said = judge(peer, expected)
        if said:
            wrong.append(f"{key}: {said}; {peer.goaways} {peer.answers if len(peer.answers) < 5 else ''} {describe(raw[24:])}")
    assert seen_files == set(EXPECTED), seen_files ^ set(EXPECTED)
    assert not wrong, f"{len(wrong)}:\n" + "\n".join(wrong)
    recorded_door.bystander()


def judge(peer, expected):
    """`expected` is a list of words: `goaway CODE|CODE`, `reset N CODE`, `answer N`, `closed`; any of them is right."""
    verdict = None

    def settled():
        for word in expected:
            kind, *rest = word.split()
            if kind == "goaway" and peer.goaways and code_name(peer.goaways[-1][1]) in rest[0].split("|"):
                return True
            if kind == "reset" and int(rest[0]) in peer.answers and peer.answers[int(rest[0])].reset is not None and code_name(peer.answers[int(rest[0])].reset) in rest[1].split("|"):
                return True
            if kind == "answer" and int(rest[0]) in peer.answers and peer.answers[int(rest[0])].ended and peer.answers[int(rest[0])].status == 200:
                return True
            if kind == "alive" and peer.settings_seen and not peer.pending_settings:
                return True
        return False

    try:
        peer.wait(settled, f"one of {expected}", PATIENCE)
    except Over:
        if "closed" not in expected:
            verdict = f"the connection ended ({peer.end}), expected one of {expected}"
    except Violation:
        # On a port that speaks HTTP/1.1 too, what is no preface gets an answer of that kind.
        return None if "closed" in expected and peer.rest.startswith((b"HTTP/1.1 4", b"HTTP/1.1 5")) else "no frames came"
    except Late:
        verdict = f"silence, expected one of {expected}"
    if not verdict:
        peer.finish()
        try:
            peer.ending(PATIENCE)
        except Late:
            return "still open after the half-close"
        except OSError:
            pass
        if expected == ["alive"] and any(code != NO_ERROR for _, code, _ in peer.goaways):
            return f"{peer.goaways}, expected {expected}"
    return verdict


def test_INV_8_damaged_client_streams_crash_nothing(recorded_door, folder):
    """No verdicts: each stream with a few bytes changed, cut, doubled or mixed with another; the connection ends, what the gateway says is HTTP/2 by the letter, and
    after them all it is as healthy as before."""
    dice = random.Random(f"{recorded_door.target.name}")
    streams = [path.read_bytes() for path in sorted((folder / "client-streams").iterdir())]
    for number in range(150):
        raw = bytearray(dice.choice(streams))
        for _ in range(dice.randrange(1, 5)):
            at, how = dice.randrange(24 if dice.random() < 0.95 else 0, max(25, len(raw))), dice.randrange(5)
            if how == 0 and at < len(raw):
                raw[at] ^= 1 << dice.randrange(8)
            elif how == 1 and at < len(raw):
                raw[at] = dice.randrange(256)
            elif how == 2:
                del raw[at:at + dice.randrange(1, 20)]
            elif how == 3:
                raw[at:at] = raw[at:at + dice.randrange(1, 40)]
            else:
                raw[at:at] = dice.choice(streams)[24:24 + dice.randrange(1, 200)]
        with recorded_door.peer(greet=False, acks=False) as peer:
            # The peer can't know what it has opened or asked for: it takes any stream, and keeps to sizes and order.
            for stream in range(1, 400, 2):
                peer.note(stream)
                peer.silent_resets.add(stream)
            peer.pending_settings.extend([{}] * 50)
            peer.send(bytes(raw))
            peer.finish()
            try:
                peer.ending(PATIENCE)
            except Violation:
                # Streams beyond those noted, or HTTP/1.1's answer to a preface that is none.
                pass
    recorded_door.bystander()
    assert STAND_IN or recorded_door.gateway.is_alive
    until(lambda: STAND_IN or recorded_door.gateway.status()["fds"] < 100, "descriptors back to normal")
