"""Everything at once: providers that fail in every way, keys that cool, breakers that open and close, places that run out, clients that leave, reloads in the middle. When it is
over nothing may be left: every request has exactly one record, no place is taken, nobody waits, and the upstreams serve again."""
import random

import pytest

from resilience import *

PLAYS = [said(429, headers=[("retry-after", "1")]), said(429), said(500), said(503), said(401), said(404, code="model_not_found"), said(400), hang, cut,
         lambda peer, request: (peer.send(STREAM_HEAD + chunk(ROLE + delta(content="x"))), cut(peer, request)),
         lambda request: STREAM_HEAD + chunk(ROLE) + chunk(event({"error": {"message": "no", "type": "server_error", "code": None}})) + LAST_CHUNK,
         b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf", b"what\r\n\r\n"]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_storm_of_every_failure_leaves_nothing_behind(start, seed):
    chance, calm_again = random.Random(seed), threading.Event()

    def play(peer, request):
        chosen = usual if calm_again.is_set() or chance.random() < 0.5 else chance.choice(PLAYS)
        if isinstance(chosen, bytes):
            return chosen
        return chosen(peer, request) if chosen.__code__.co_argcount == 2 else chosen(request)

    providers = {name: start(Provider, play) for name in "abc"}

    def config(strategy):
        return {
            "server": {"workers": 2, "max_connections": 1024},
            "upstreams": {name: generic(one.url, api_keys=keys(f"{name}1", f"{name}2"), first_byte_timeout_seconds=0.15, max_concurrency=6, max_pending=20, adaptive_concurrency={"min": 2},
                                        breaker={"consecutive_failures": 4, "open_seconds": 0.1, "max_open_seconds": 0.3}, cooldown={"base_seconds": 0.05, "max_seconds": 0.3, "auth_probe_seconds": 0.2})
                          for name, one in providers.items()},
            "routes": [route("a", "b", strategy=strategy, retries={"max_attempts": 5, "backoff_ms": 5, "max_backoff_ms": 20, "min_per_second": 1000},
                             fallback={"upstreams": ["c"]}, timeout_seconds=3)]}

    gateway = start(Gateway, config("round_robin"))
    sent, whole = [0] * 12, [0] * 12

    def work(thread):
        own = random.Random(seed * 1000 + thread)
        client = None
        for _ in range(40):
            client = client or gateway.connect()
            stream = own.random() < 0.5
            client.send("POST", "/v1/chat/completions", {"model": "m", "messages": [], "stream": stream},
                        [("x-openclaw-deadline-ms", "400")] if own.random() < 0.2 else [])
            if own.random() < 0.15:
                # Gone after its request was seen, or while it was on its way.
                if own.random() < 0.5:
                    readable_of([client.sock], own.random() * 0.1)
                client.reset()
                client = None
                continue
            sent[thread] += 1
            try:
                got = client.read()
            except Broken:
                client.close()
                client = None
                whole[thread] += 1
                continue
            whole[thread] += 1
            if got.status == 200 and stream:
                ended, told = b"[DONE]" in got.body, any(isinstance(one, dict) and one.get("error") for one in got.events)
                assert ended != told, got.body
            elif got.status == 503 and got.error["code"] == "no_upstream_available":
                assert int(got.header("retry-after")) >= 1
            if got.header("connection") == "close":
                client.close()
                client = None
        if client:
            client.close()
        return True

    storm = threading.Thread(target=lambda: [gateway.reload(config(strategy)) for strategy in ("least_connections", "failover", "weighted_random", "round_robin")], daemon=True)
    storm.start()
    assert all(together(12, work))
    storm.join(DEADLINE)
    assert sent == whole
    for name in ("openclaw_upstream_in_flight", "openclaw_upstream_waiting", "openclaw_streams_active", "openclaw_pending"):
        wait_for(lambda: figure(gateway, name) == 0, what=f"{name} back at 0")
    records = gateway.records()
    assert len(records) == len({record["request_id"] for record in records}) >= sum(whole)
    for record in records:
        attempts = record["attempts"]
        assert len(attempts) <= 5
        # A key is never used again after it was refused, or timed out, by the same request.
        bad = [attempt["key_id"] for attempt in attempts if attempt["class"] in ("auth", "timeout")]
        assert len(bad) == len(set(bad)), attempts
        assert attempts == [] or attempts[0]["why"] in ("first", "probe", "next_candidate", "fallback_model"), attempts
    classes = {attempt["class"] for record in records for attempt in record["attempts"]}
    # Chance picks; that there was a storm is certain.
    assert None in classes and len(classes) >= 5, classes
    calm_again.set()
    wait_for(lambda: all(gateway.chat().status == 200 for _ in range(10)), what="all well again")
