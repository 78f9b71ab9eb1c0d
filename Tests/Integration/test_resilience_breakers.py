"""Breakers: what opens one, what passes while it is open and half-open, over two workers; and what whole outages look like from outside."""
import pytest

from resilience import *


def behind(start, play, breaker: dict, workers: int = 1, more=(), **options):
    """A gateway with one upstream behind a breaker, and further ones."""
    provider = start(Provider, play)
    others = {name: generic(one.url) for name, one in more}
    gateway = start(Gateway, {"server": {"workers": workers, "max_connections": 2048},
                              "upstreams": {"one": generic(provider.url, breaker=breaker, **options), **others},
                              "routes": [route("one", *others, retries={"backoff_ms": 1})]})
    return gateway, provider


def state(gateway, name: str = "one", traffic: str = "model") -> str:
    return next((one["state"] for one in upstream_state(gateway, name)["breakers"] if one["traffic_class"] == traffic), "closed")


COUNTS = [("500", said(500), True), ("503", said(503), True), ("reset", cut, True), ("silence", hang, True), ("garbage", b"what\r\n\r\n", True),
          ("429", said(429), False), ("401", said(401), False), ("404", said(404, code="model_not_found"), False), ("400", said(400), False),
          ("too long", said(400, code="context_length_exceeded"), False), ("filtered", said(400, code="content_filter"), False)]


@pytest.mark.parametrize("how,play,counts", COUNTS, ids=[how for how, _, _ in COUNTS])
def test_what_counts_against_an_upstream_and_what_does_not(start, how, play, counts):
    """Five failures in a row open it; a key's and a client's failures never do."""
    gateway, provider = behind(start, play, {"consecutive_failures": 5, "open_seconds": 3600, "max_open_seconds": 3600}, first_byte_timeout_seconds=0.1)
    for _ in range(12):
        got = gateway.chat()
    assert state(gateway) == ("open" if counts else "closed")
    seen = len(provider.requests)
    got = gateway.chat()
    if counts:
        assert (got.status, got.error["code"]) == (503, "no_upstream_available") and 3500 < int(got.header("retry-after")) <= 3600
        assert "breaker" in got.error["message"] and gateway.record(got.id)["attempts"] == []
        assert seen == len(provider.requests) and seen <= 6
        assert figure(gateway, "openclaw_breaker_state", upstream_name="one", traffic_class="model") == 2
    else:
        assert len(provider.requests) == seen + 1 == 13


def test_a_client_that_leaves_does_not_count(start):
    gateway, provider = behind(start, hang, {"consecutive_failures": 2, "open_seconds": 3600, "max_open_seconds": 3600})
    for number in range(6):
        client = gateway.connect()
        client.send("POST", "/v1/chat/completions", {"model": "m", "messages": []})
        provider.wait_requests(number + 1)
        client.reset()
    wait_for(lambda: len(gateway.records()) == 6, what="six records")
    assert {record["disconnected"] for record in gateway.records()} == {"client"} and state(gateway) == "closed"


def test_the_share_of_failures_within_the_window_opens_it(start):
    """Every second one fails: never five in a row, and open at `min_samples` all the same."""
    turns = iter(range(10_000))
    gateway, provider = behind(start, lambda request: said(500) if next(turns) % 2 else usual(request), {
        "consecutive_failures": 1000, "min_samples": 20, "failure_ratio": 0.5, "window_seconds": 3600, "open_seconds": 3600, "max_open_seconds": 3600})
    statuses = [gateway.chat().status for _ in range(30)]
    assert statuses[:20] == [200, 500] * 10 and set(statuses[20:]) == {503} and len(provider.requests) == 20


def test_classes_of_traffic_have_breakers_of_their_own(start):
    """Tools that fail do not take the models away."""
    provider = start(Provider, lambda request: said(500) if request.target.startswith("/v1/tool") else usual(request))
    gateway = start(Gateway, {"upstreams": {"one": generic(provider.url, breaker={"consecutive_failures": 3, "open_seconds": 3600, "max_open_seconds": 3600})},
                              "routes": [{**route("one"), "match": {"path": "/v1/tool/*"}, "traffic_class": "tool"}, route("one")]})
    statuses = [gateway.ask("GET", "/v1/tool/x").status for _ in range(6)]
    assert statuses[0] == 500 and statuses[-1] == 503
    assert state(gateway, traffic="tool") == "open" and state(gateway) == "closed"
    assert gateway.chat().status == 200


# ---- half-open

@pytest.mark.parametrize("probes", [1, 2])
def test_RT_04_half_open_lets_exactly_the_probes_through_over_two_workers(start, probes):
    """500 requests at once at a half-open breaker: the probes reach the upstream, the others are told to come again; then it closes."""
    broken, gate = threading.Event(), threading.Event()

    def play(peer, request):
        if not broken.is_set():
            return said(500)
        gate.wait(DEADLINE)
        return usual(request)

    gateway, provider = behind(start, play, {"consecutive_failures": 3, "open_seconds": 0.5, "half_open_probes": probes, "half_open_successes": probes}, workers=2)
    for _ in range(10):
        gateway.chat()
    assert state(gateway) != "closed"
    broken.set()
    before = len(provider.requests)

    def first_probe():
        client = gateway.connect()
        client.send("POST", "/v1/chat/completions", {"model": "m", "messages": []})
        wait_for(lambda: len(provider.requests) > before or client_has_answer(client), what="a probe, or a refusal")
        if len(provider.requests) > before:
            return client
        client.close()

    clients = [wait_for(first_probe, what="the end of its open time"), *(gateway.connect() for _ in range(499))]
    for client in clients[1:]:
        client.send("POST", "/v1/chat/completions", {"model": "m", "messages": []})
    refused = []
    waiting = list(clients)
    end = time.monotonic() + DEADLINE
    while len(refused) < 500 - probes and time.monotonic() < end:
        readable = readable_of([client.sock for client in waiting], 1)
        for client in [client for client in waiting if client.sock in readable]:
            got = client.read()
            assert got.status == 503 and int(got.header("retry-after")) >= 1, (got.status, got.body)
            refused.append(client)
            waiting.remove(client)
    assert len(refused) == 500 - probes and len(provider.requests) - before == probes and provider.most <= max(probes, 1)
    assert state(gateway) == "half_open" and figure(gateway, "openclaw_breaker_state", upstream_name="one") == 1
    gate.set()
    for client in waiting:
        assert client.read().status == 200
    wait_for(lambda: state(gateway) == "closed", what="a closed breaker")
    assert gateway.chat().status == 200
    for client in clients:
        client.close()


def test_RT_05_a_probe_that_hangs_opens_it_again_and_its_place_is_free(start):
    mode = {"play": said(500)}
    gateway, provider = behind(start, lambda peer, request: mode["play"](peer, request) if callable(mode["play"]) else mode["play"], {
        "consecutive_failures": 2, "open_seconds": 0.2, "max_open_seconds": 0.4, "half_open_successes": 1}, first_byte_timeout_seconds=0.3)
    for _ in range(4):
        gateway.chat()
    mode["play"] = hang
    hung = wait_for(lambda: next((got for got in [gateway.chat()] if got.status == 504), None), what="a probe that hangs")
    assert [attempt["class"] for attempt in gateway.record(hung.id)["attempts"]] == ["timeout"]
    assert gateway.chat().status == 503, "it did not open again"
    mode["play"] = lambda peer, request: usual(request)
    wait_for(lambda: gateway.chat().status == 200, what="the next probe")
    assert state(gateway) == "closed"


def test_RT_05_a_probe_whose_client_leaves_gives_its_place_back(start):
    mode = {"play": said(500)}
    gateway, provider = behind(start, lambda peer, request: mode["play"](peer, request) if callable(mode["play"]) else mode["play"], {
        "consecutive_failures": 2, "open_seconds": 0.2, "max_open_seconds": 0.4, "half_open_successes": 1})
    for _ in range(4):
        gateway.chat()
    mode["play"] = hang
    before = len(provider.requests)

    def leave():
        client = gateway.connect()
        client.send("POST", "/v1/chat/completions", {"model": "m", "messages": []})
        wait_for(lambda: len(provider.requests) > before or client_has_answer(client), what="a probe, or a refusal")
        client.reset()
        return len(provider.requests) > before

    wait_for(leave, what="a probe whose client leaves")
    mode["play"] = lambda peer, request: usual(request)
    wait_for(lambda: gateway.chat().status == 200, what="the next probe")


def client_has_answer(client) -> bool:
    return bool(readable_of([client.sock], 0))


def test_RT_06_flapping_makes_it_stay_open_longer_up_to_the_cap(start):
    """Each probe fails: the time it stays open doubles, and never beyond `max_open_seconds`."""
    gateway, provider = behind(start, said(500), {"consecutive_failures": 2, "open_seconds": 1, "max_open_seconds": 4, "half_open_successes": 1})
    told = []
    gateway.chat(), gateway.chat()
    end = time.monotonic() + DEADLINE
    while len(provider.requests) < 5 and time.monotonic() < end:
        got = gateway.chat()
        if got.status == 503:
            told.append((len(provider.requests), int(got.header("retry-after"))))
        time.sleep(0.01)
    longest = {count: max(seconds for at, seconds in told if at == count) for count, _ in told}
    assert longest[2] == 1 and longest[3] == 2 and longest[4] == 4, longest
    gaps = [later.at - earlier.at for earlier, later in zip(provider.requests[1:], provider.requests[2:])]
    assert gaps[0] >= 0.95 and gaps[1] >= 1.9 and gaps[2] >= 3.8, gaps


# ---- outages

def test_UP_14_a_brown_out_of_one_of_three_is_not_seen_by_clients(start):
    """One of three fails altogether: no client sees it, and its load goes to the others, who get at most a fifth more requests than there were."""
    providers = {name: start(Provider) for name in "abc"}
    providers["b"].play = said(500)
    gateway = start(Gateway, {"server": {"workers": 2},
                              "upstreams": {name: generic(one.url, breaker={"open_seconds": 3600, "max_open_seconds": 3600}) for name, one in providers.items()},
                              "routes": [route(*"abc", strategy="round_robin")]})

    def work(number):
        with gateway.connect() as client:
            return [client.chat().status for _ in range(60)]

    statuses = [status for found in together(8, work) for status in found]
    assert statuses == [200] * 480
    assert len(providers["b"].requests) <= 20, "its breaker did not take it out"
    assert sum(len(one.requests) for one in providers.values()) <= 480 * 1.2
    assert state(gateway, "b") == "open" and state(gateway, "a") == state(gateway, "c") == "closed"


def test_UP_15_all_down_fails_fast_and_all_back_recovers_without_a_herd(start):
    """503 with Retry-After while nobody can be asked, nothing reaches the upstreams but probes; when they are back one probe at a time is let through, then all."""
    providers = {name: start(Provider, said(500)) for name in "abc"}
    gateway = start(Gateway, {"server": {"workers": 2}, "upstreams": {name: generic(one.url, breaker={
        "consecutive_failures": 3, "open_seconds": 0.4, "max_open_seconds": 0.8, "half_open_successes": 2}) for name, one in providers.items()},
        "routes": [route(*"abc", strategy="round_robin")]})
    wait_for(lambda: (got := gateway.chat()).status == 503 and got.error["code"] == "no_upstream_available", what="all breakers open")
    before = {name: len(one.requests) for name, one in providers.items()}
    began = time.monotonic()
    refusals = []

    def ask(number):
        while time.monotonic() < began + 2:
            got = gateway.chat()
            refusals.append((got.status, got.header("retry-after")))

    together(8, ask)
    spent = time.monotonic() - began
    probes = sum(len(one.requests) - before[name] for name, one in providers.items())
    # Each breaker lets one request through for each time that it was open.
    assert len(refusals) > 50 and probes <= 3 * (spent / 0.4 + 2), (probes, spent)
    refused = [one for one in refusals if one[0] == 503]
    assert len(refused) >= len(refusals) - probes and all(int(seconds) >= 1 for _, seconds in refused)
    for one in providers.values():
        one.play, one.most = (lambda peer, request: (time.sleep(0.01), usual(request))[1]), 0
    together(16, lambda number: wait_for(lambda: gateway.chat().status == 200, what="a good answer"))
    for name in "abc":
        wait_for(lambda: [gateway.chat().status for _ in range(3)] == [200] * 3 and state(gateway, name) == "closed", what=f"the breaker of {name} closed")
    assert gateway.alive()
