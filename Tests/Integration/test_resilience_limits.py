"""Bounds: the retry budget, deadlines over all attempts, concurrent requests at an upstream and the queue for them, and clients that leave while they wait."""
import collections

import pytest

from resilience import *


# ---- RT-01

def test_RT_01_retries_are_a_share_of_the_requests(start):
    """Everything answers 503: nobody is asked more often than the budget allows, whatever `max_attempts` would."""
    providers = [start(Provider, said(503)) for _ in range(3)]
    gateway = start(Gateway, {"upstreams": {f"u{n}": generic(one.url) for n, one in enumerate(providers)},
                              "routes": [{**route("u0", "u1", "u2", retries={"budget": 0.1, "min_per_second": 0, "backoff_ms": 1}), "id": "all"}]})

    def work(number):
        with gateway.connect() as client:
            return [client.chat().status for _ in range(50)]

    statuses = [status for found in together(8, work) for status in found]
    assert set(statuses) == {503}
    attempts = sum(len(one.requests) for one in providers)
    assert 400 <= attempts <= 440 + 8, attempts
    assert figure(gateway, "openclaw_retries_refused_total", route_id="all") >= 300
    wait_for(lambda: len(gateway.records()) == 400, what="400 records")
    assert max(len(record["attempts"]) for record in gateway.records()) <= 3
    assert sum(len(record["attempts"]) for record in gateway.records()) == attempts


def test_RT_01_the_least_number_of_retries_is_always_there(start):
    bad, good = start(Provider, said(500)), start(Provider)
    gateway = start(Gateway, {"upstreams": {"bad": generic(bad.url), "good": generic(good.url)}, "routes": [route("bad", "good", retries={"budget": 0, "min_per_second": 100})]})
    assert [gateway.chat().status for _ in range(20)] == [200] * 20


# ---- RT-03

@pytest.mark.parametrize("whose", ["route", "client"])
def test_RT_03_the_deadline_is_over_all_attempts(start, whose):
    """Each attempt alone would have time; together they have not."""
    providers = [start(Provider, hang) for _ in range(6)]
    options = {"timeout_seconds": 1.0} if whose == "route" else {}
    gateway = start(Gateway, {"upstreams": {f"u{n}": generic(one.url, first_byte_timeout_seconds=0.4) for n, one in enumerate(providers)},
                              "routes": [route(*(f"u{n}" for n in range(6)), retries={"max_attempts": 6}, **options)]})
    got = gateway.chat([("x-openclaw-deadline-ms", "1000")] if whose == "client" else [])
    record = gateway.record(got.id)
    assert got.status == 504 and record["error_class"] == "timeout"
    assert 2 <= len(record["attempts"]) <= 3 and all(one.requests == [] for one in providers[3:])
    assert sum(attempt["ms"] for attempt in record["attempts"]) <= record["latency_ms"] + len(record["attempts"])
    assert record["latency_ms"] >= 950


@pytest.mark.parametrize("value", ["0", "-1", "1.5", "soon", "", "1 000", "99999999999999999999"])
def test_RT_03_a_deadline_that_is_none_is_a_clear_400(start, value):
    provider = start(Provider)
    gateway = start(Gateway, single(provider.url))
    got = gateway.chat([("x-openclaw-deadline-ms", value)])
    assert (got.status, got.error["code"]) == (400, "bad_deadline") and provider.requests == []


def test_RT_03_a_backoff_that_would_pass_the_deadline_is_not_begun(start):
    bad, good = start(Provider, said(503)), start(Provider)
    gateway = start(Gateway, {"upstreams": {"bad": generic(bad.url), "good": generic(good.url)},
                              "routes": [route("bad", "good", retries={"backoff_ms": 60000, "max_backoff_ms": 60000})]})
    began = time.monotonic()
    statuses = {gateway.chat([("x-openclaw-deadline-ms", "500")]).status for _ in range(4)}
    # Full jitter may draw a wait that is short enough; it never makes a client wait beyond its deadline.
    assert statuses <= {200, 503} and 503 in statuses and time.monotonic() - began < 30


def test_a_deadline_is_passed_on_to_plain_backends_with_what_is_left(start):
    plain = start(Provider, lambda request: answer("ok"))
    gateway = start(Gateway, {"upstreams": {"plain": {"type": "http", "base_url": plain.url}}})
    assert gateway.ask("GET", "/x", None, [("x-openclaw-deadline-ms", "5000")]).body == b"ok"
    assert 0 < int(plain.requests[0].header("x-openclaw-deadline-ms")) <= 5000


# ---- concurrency

def limited(start, play, callers: dict | None = None, workers=1, **options):
    provider = start(Provider, play)
    config = {"server": {"workers": workers, "max_connections": 2048}, "upstreams": {"one": generic(provider.url, **options)}}
    if callers:
        config["security"] = {"keys": [{"id": name, "value": value, "tenant": name} for name, value in callers.items()]}
    return start(Gateway, config), provider


@pytest.mark.parametrize("workers", [1, 2])
def test_no_more_than_max_concurrency_are_under_way_over_all_workers(start, workers):
    gateway, provider = limited(start, lambda peer, request: (time.sleep(0.005), usual(request))[1], workers=workers, max_concurrency=3)

    def work(number):
        with gateway.connect() as client:
            return [client.chat(stream=number % 2 == 0).status for _ in range(10)]

    statuses = [status for found in together(16, work) for status in found]
    assert statuses == [200] * 160 and provider.most <= 3 and len(provider.requests) == 160
    assert figure(gateway, "openclaw_upstream_in_flight", upstream_name="one") == 0
    assert figure(gateway, "openclaw_upstream_waiting", upstream_name="one") == 0


def test_more_than_may_wait_are_told_to_come_again(start):
    gate = threading.Event()
    gateway, provider = limited(start, lambda peer, request: (gate.wait(DEADLINE), usual(request))[1], max_concurrency=1, max_pending=4)
    clients = [gateway.connect() for _ in range(5)]
    for client in clients:
        client.send("POST", "/v1/chat/completions", {"model": "m", "messages": []})
    wait_for(lambda: figure(gateway, "openclaw_upstream_waiting", upstream_name="one") == 4, what="four that wait")
    got = gateway.chat()
    assert got.status == 503 and int(got.header("retry-after")) >= 1 and gateway.record(got.id)["attempts"] == []
    gate.set()
    assert {client.read().status for client in clients} == {200} and len(provider.requests) == 5
    for client in clients:
        client.close()


def test_a_full_queue_goes_to_the_next_candidate(start):
    gate = threading.Event()
    busy, free = start(Provider, lambda peer, request: (gate.wait(DEADLINE), usual(request))[1]), start(Provider)
    gateway = start(Gateway, {"upstreams": {"busy": generic(busy.url, max_concurrency=1, max_pending=0), "free": generic(free.url)}, "routes": [route("busy", "free")]})
    with gateway.connect() as client:
        client.send("POST", "/v1/chat/completions", {"model": "m", "messages": []})
        busy.wait_requests(1)
        got = gateway.chat()
        assert got.header("x-openclaw-upstream") == "free" and story(gateway, got) == [("free", None, "next_candidate")]
        gate.set()
        assert client.read().status == 200


def test_the_queue_is_fair_between_callers(start):
    """Forty requests of one caller wait; the five of another that come later are not behind all of them."""
    gate = threading.Event()
    callers = {"loud": "sk-loud-0123456789", "quiet": "sk-quiet-0123456789"}
    gateway, provider = limited(start, lambda peer, request: (gate.wait(DEADLINE), usual(request))[1], callers, max_concurrency=1)
    clients = []

    def send(caller, count):
        for _ in range(count):
            clients.append(gateway.connect())
            clients[-1].send("POST", "/v1/chat/completions", {"model": "m", "messages": [], "user": caller}, [("authorization", f"Bearer {callers[caller]}")])

    send("loud", 41)
    wait_for(lambda: figure(gateway, "openclaw_upstream_waiting", upstream_name="one") == 40, what="forty that wait")
    send("quiet", 5)
    wait_for(lambda: figure(gateway, "openclaw_upstream_waiting", upstream_name="one") == 45, what="forty-five that wait")
    gate.set()
    assert {client.read().status for client in clients} == {200}
    order = [request.json()["user"] for request in provider.requests]
    assert order[1:11].count("quiet") >= 4, order
    for client in clients:
        client.close()


def test_a_request_that_waits_for_its_place_keeps_its_deadline(start):
    gate = threading.Event()
    gateway, provider = limited(start, lambda peer, request: (gate.wait(DEADLINE), usual(request))[1], max_concurrency=1)
    with gateway.connect() as client:
        client.send("POST", "/v1/chat/completions", {"model": "m", "messages": []})
        provider.wait_requests(1)
        got = gateway.chat([("x-openclaw-deadline-ms", "300")])
        assert got.status in (503, 504) and gateway.record(got.id)["latency_ms"] >= 290
        gate.set()
        assert client.read().status == 200
    assert gateway.chat().status == 200 and len(provider.requests) == 2


def test_adaptive_concurrency_goes_down_with_429_and_up_again(start):
    mode = {"play": said(429)}
    gateway, provider = limited(start, lambda request: mode["play"] if isinstance(mode["play"], bytes) else usual(request), max_concurrency=16, adaptive_concurrency={"min": 2, "decrease": 0.5})
    limit = lambda: figure(gateway, "openclaw_upstream_concurrency_limit", upstream_name="one")
    assert gateway.chat().status == 429
    before = limit()
    assert before < 16
    mode["play"] = None

    def work(number):
        with gateway.connect() as client:
            return [client.chat().status for _ in range(20)]

    wait_for(lambda: [status for found in together(16, work) for status in found] and limit() > before, what="a limit that rises again")


# ---- RT-10

def test_RT_10_a_client_that_leaves_during_a_backoff_ends_it(start):
    bad, good = start(Provider, said(503)), start(Provider)
    gateway = start(Gateway, {"upstreams": {"bad": generic(bad.url), "good": generic(good.url)},
                              "routes": [route("bad", "good", retries={"backoff_ms": 60000, "max_backoff_ms": 600000})]})
    clients = [gateway.connect() for _ in range(10)]
    for client in clients:
        client.send("POST", "/v1/chat/completions", {"model": "m", "messages": []})
    bad.wait_requests(10)
    for client in clients:
        client.reset()
    wait_for(lambda: len(gateway.records()) == 10, what="ten records")
    # One may have drawn a wait of nothing.
    assert sum(record["disconnected"] == "client" for record in gateway.records()) >= 9
    assert figure(gateway, "openclaw_streams_active") == 0
    assert all(attempt["class"] == "overloaded" for record in gateway.records() for attempt in record["attempts"][:1])


def test_RT_10_clients_that_leave_a_queue_take_no_place(start):
    gate = threading.Event()
    gateway, provider = limited(start, lambda peer, request: (gate.wait(DEADLINE), usual(request))[1], max_concurrency=1)
    with gateway.connect() as first:
        first.send("POST", "/v1/chat/completions", {"model": "m", "messages": []})
        provider.wait_requests(1)
        leaving = [gateway.connect() for _ in range(20)]
        for client in leaving:
            client.send("POST", "/v1/chat/completions", {"model": "m", "messages": []})
        wait_for(lambda: figure(gateway, "openclaw_upstream_waiting", upstream_name="one") == 20, what="twenty that wait")
        for client in leaving:
            client.reset()
        wait_for(lambda: figure(gateway, "openclaw_upstream_waiting", upstream_name="one") == 0, what="nobody that waits")
        wait_for(lambda: len(gateway.records()) == 20, what="twenty records")
        assert {(record["disconnected"], record["error_class"], len(record["attempts"])) for record in gateway.records()} == {("client", "client_gone", 0)}
        gate.set()
        assert first.read().status == 200
    assert gateway.chat().status == 200 and len(provider.requests) == 2
    assert figure(gateway, "openclaw_upstream_in_flight", upstream_name="one") == 0


def test_RT_10_a_client_that_leaves_an_attempt_frees_its_place(start):
    gateway, provider = limited(start, hang, max_concurrency=2)
    for round_ in range(4):
        clients = [gateway.connect() for _ in range(2)]
        for client in clients:
            client.send("POST", "/v1/chat/completions", {"model": "m", "messages": [], "stream": round_ % 2 == 0})
        provider.wait_requests(2 * round_ + 2)
        for client in clients:
            client.reset()
    wait_for(lambda: figure(gateway, "openclaw_upstream_in_flight", upstream_name="one") == 0, what="no place taken")
    provider.play = usual
    assert gateway.chat().status == 200
