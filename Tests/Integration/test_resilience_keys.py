"""Keys: how long one cools down and what for, which other one takes over, what comes of refused ones, and what a client is told when all of them cool."""
import datetime
import email.utils

import pytest

from resilience import *


def pool(start, play, names=("k1", "k2"), cooldown=None, **options):
    provider = start(Provider, play)
    gateway = start(Gateway, {
        "upstreams": {"one": generic(provider.url, api_keys=keys(*names), cooldown={**COOLDOWN, **(cooldown or {})}, breaker=BREAKER, **options)},
        "routes": [route("one", retries={"backoff_ms": 1})]})
    return gateway, provider


def cooling(gateway, key: str, name: str = "one"):
    """Seconds for which a key still cools, as the admin listener says; 0: it does not."""
    found = next(one for one in upstream_state(gateway, name)["keys"] if one["id"] == key)
    return max([entry["seconds"] for entry in found.get("cooling", [])], default=0)


# ---- how long (UP-11)

def in_a_date(seconds: int) -> str:
    return email.utils.format_datetime(datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=seconds), usegmt=True)


def rfc3339(seconds: int) -> str:
    return (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


# what the 429 says → from, to: seconds that its key is left alone. `base_seconds` is 60 (±20 %), `max_seconds` 300.
GUESSED = (48, 72)
TOLD = {
    "seconds": ([("retry-after", "120")], GUESSED and (100, 120)),
    "a fraction": ([("retry-after", "120.5")], (100, 121)),
    "a date": ([("retry-after", lambda: in_a_date(120))], (90, 121)),
    "a date that is past": ([("retry-after", lambda: in_a_date(-120))], GUESSED),
    "milliseconds": ([("retry-after-ms", "120000")], (100, 120)),
    "milliseconds beside seconds": ([("retry-after", "7"), ("retry-after-ms", "120000")], (100, 120)),
    "nothing": ([], GUESSED),
    "negative": ([("retry-after", "-5")], GUESSED),
    "zero": ([("retry-after", "0")], GUESSED),
    "10^9": ([("retry-after", "1000000000")], GUESSED),
    "10^30": ([("retry-after", "1" + "0" * 30)], GUESSED),
    "above the cap": ([("retry-after", "3600")], (280, 300)),
    "junk": ([("retry-after", "soon")], GUESSED),
    "empty": ([("retry-after", "")], GUESSED),
    "OpenAI's reset": ([("x-ratelimit-remaining-requests", "0"), ("x-ratelimit-reset-requests", "2m0s"), ("x-ratelimit-limit-requests", "60")], (100, 120)),
    "a reset of what is not used up": ([("x-ratelimit-remaining-requests", "5"), ("x-ratelimit-reset-requests", "2m0s"), ("x-ratelimit-limit-requests", "60")], GUESSED),
    "Anthropic's reset": ([("anthropic-ratelimit-requests-remaining", "0"), ("anthropic-ratelimit-requests-limit", "50"),
                           ("anthropic-ratelimit-requests-reset", lambda: rfc3339(120))], (90, 121)),
}
HINTS = {
    "OpenAI's words": ({"error": {"message": "Rate limit reached. Please try again in 2m0s.", "type": "requests", "code": "rate_limit_exceeded"}}, (100, 120)),
    "Google's RetryInfo": ({"error": {"code": 429, "message": "no", "status": "RESOURCE_EXHAUSTED",
                                      "details": [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "120s"}]}}, (100, 120)),
}


@pytest.mark.parametrize("case", list(TOLD) + list(HINTS))
def test_UP_11_a_limited_key_cools_as_long_as_it_was_told_up_to_the_cap(start, case):
    fields, (least, most) = TOLD[case] if case in TOLD else ([], HINTS[case][1])
    fields = [(name, value() if callable(value) else value) for name, value in fields]
    body = json.dumps(HINTS[case][0]) if case in HINTS else ""
    limited = said(429, body, headers=fields)
    gateway, provider = pool(start, keyed({"k1": limited, "k2": usual}))
    for _ in range(40):
        if "k1" in provider.keys:
            break
        got = gateway.chat()
        assert got.status == 200
    assert provider.keys.count("k1") == 1
    assert least <= cooling(gateway, "k1") <= most + 1, (case, upstream_state(gateway, "one")["keys"])
    # As long as it cools nobody uses it, and the other one serves all.
    for _ in range(10):
        got = gateway.chat()
        assert got.status == 200 and used_keys(gateway, got) == ["k2"]
    assert provider.keys.count("k1") == 1 and cooling(gateway, "k2") == 0


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("value", ["7", "Wed, 21 Oct 2099 07:28:00 GMT", "-5", "1000000000", "soon"])
def test_UP_11_what_the_provider_says_of_its_wait_reaches_the_client(start, status, value):
    """With nobody else to ask its answer is the client's, as it came; none of it harms."""
    gateway, provider = pool(start, said(status, headers=[("retry-after", value)]), names=("k1",))
    got = gateway.chat()
    assert got.status == status and got.header("retry-after") == value and got.body == provider.play.split(b"\r\n\r\n", 1)[1]
    assert gateway.alive()


def test_the_spare_key_answers_and_the_breaker_does_not_hear_of_it(start):
    gateway, provider = pool(start, keyed({"k1": said(429)}), names=("k1", "k2", "k3"))
    served = [gateway.chat() for _ in range(30)]
    assert {got.status for got in served} == {200}
    assert provider.keys.count("k1") <= 1
    moved = [got for got in served if len(gateway.record(got.id)["attempts"]) > 1]
    for got in moved:
        assert story(gateway, got) == [("one", "rate_limited", "first"), ("one", None, "spare_key")]
    assert figure(gateway, "openclaw_breaker_state", upstream_name="one") == 0
    assert figure(gateway, "openclaw_key_cooldowns_total", key_id="k1") == provider.keys.count("k1")


def test_cool_downs_are_of_a_key_and_a_model(start):
    """What is over its limit for one model serves another."""
    gateway, provider = pool(start, lambda request: said(429, headers=[("retry-after", "100")]) if request.json()["model"] == "m" else usual(request), names=("k1",))
    assert gateway.chat().status == 429
    assert gateway.chat(model="other").status == 200
    assert gateway.chat().status == 429 and len(provider.requests) == 2


# ---- all of them cool

def test_when_every_key_cools_the_client_is_told_when_one_is_usable(start):
    gateway, provider = pool(start, lambda request: said(429, headers=[("retry-after", "100" if provider.keys[-1] == "k1" else "200")]))
    got = gateway.chat()
    assert got.status == 429 and set(used_keys(gateway, got)) == {"k1", "k2"}
    for _ in range(5):
        got = gateway.chat()
        assert (got.status, got.error["code"]) == (429, "no_upstream_available")
        assert 80 <= int(got.header("retry-after")) <= 100, "not the soonest of the two"
        record = gateway.record(got.id)
        assert record["attempts"] == [] and record["error_class"] == "rate_limited"
    assert len(provider.requests) == 2


def test_a_short_cool_down_is_waited_for_within_the_deadline(start):
    """`a` is told to wait 1 s; who has more time than that gets its answer, who has not is told at once."""
    plays = [said(429, headers=[("retry-after", "1")])]
    gateway, provider = pool(start, lambda request: plays.pop() if plays else usual(request), names=("k1",))
    assert gateway.chat().status == 429
    hurried = gateway.chat([("x-openclaw-deadline-ms", "100")])
    assert hurried.status == 429 and hurried.header("retry-after") in ("1", "2")
    got = gateway.chat()
    assert got.status == 200 and len(provider.requests) == 2
    assert provider.requests[1].at - provider.requests[0].at >= 0.9


def test_RT_11_many_that_wait_for_one_key_come_back_jittered_and_each_once(start):
    plays = [said(429, headers=[("retry-after", "1")])]
    gateway, provider = pool(start, lambda request: plays.pop() if plays else usual(request), names=("k1",))
    assert gateway.chat().status == 429
    answers = together(60, lambda number: gateway.chat())
    assert {got.status for got in answers} == {200}
    assert len(provider.requests) == 61
    after = sorted(request.at - provider.requests[0].at for request in provider.requests[1:])
    assert after[0] >= 0.9 and after[-1] - after[0] > 0.02, "all at once"


def test_the_last_key_is_probed_at_a_pace_when_nobody_said_how_long(start):
    """A guessed cool-down of a minute: one request in `probe_interval_seconds` goes through all the same, marked, and its success ends it."""
    state = {"limited": True}
    gateway, provider = pool(start, lambda request: said(429) if state["limited"] else usual(request), names=("k1",), cooldown={"probe_interval_seconds": 0.3})
    gateway.chat()
    began = time.monotonic()
    seen = []
    while len(seen) < 3:
        got = gateway.chat()
        tried = story(gateway, got)
        assert tried in ([], [("one", "rate_limited", "probe")]), tried
        seen += [got] if tried else []
        assert time.monotonic() - began < DEADLINE
    assert len(provider.requests) == 4
    gaps = [later.at - earlier.at for earlier, later in zip(provider.requests[1:], provider.requests[2:])]
    assert min(gaps) >= 0.28, gaps
    state["limited"] = False
    wait_for(lambda: gateway.chat().status == 200, what="a probe that goes well")
    assert gateway.chat().status == 200 and cooling(gateway, "k1") == 0


def test_failures_while_a_key_cools_do_not_extend_it(start):
    """Requests that were under way when the key was told off fail too; the cool-down stays what it was."""
    gate = threading.Event()
    first = threading.Event()

    def play(peer, request):
        if not first.is_set():
            first.set()
            return said(429, headers=[("retry-after", "100")])
        gate.wait(DEADLINE)
        return said(429, headers=[("retry-after", "290")])

    gateway, provider = pool(start, keyed({"k1": play}), names=("k1",))
    first.set()
    clients = [gateway.connect() for _ in range(5)]
    for client in clients:
        client.send("POST", "/v1/chat/completions", {"model": "m", "messages": []})
    provider.wait_requests(5)
    first.clear()
    assert gateway.chat().status == 429
    assert 90 < cooling(gateway, "k1") <= 101
    gate.set()
    for client in clients:
        assert client.read().status == 429
        client.close()
    assert 80 < cooling(gateway, "k1") <= 101


# ---- refused keys

@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_key_is_out_for_every_model_until_it_is_tried_again(start, status):
    state = {"refused": True}
    gateway, provider = pool(start, keyed({"k1": lambda request: said(status) if state["refused"] else usual(request)}), cooldown={"auth_probe_seconds": 1.0})
    for _ in range(40):
        if "k1" in provider.keys:
            break
        assert gateway.chat().status == 200
    refusals = provider.keys.count("k1")
    assert refusals == 1
    moved = wait_for(lambda: [one for one in gateway.records() if len(one["attempts"]) > 1], what="the record of who met the bad key")[0]
    assert [(attempt["class"], attempt["why"]) for attempt in moved["attempts"]] == [("auth", "first"), (None, "spare_key")]
    # Of another model as well: it is the key that is bad.
    assert all(used_keys(gateway, gateway.chat(model=f"m{n}")) == ["k2"] for n in range(10) if cooling(gateway, "k1") > 0.3)
    assert figure(gateway, "openclaw_key_failures_total", key_id="k1") == 1
    state["refused"] = False
    wait_for(lambda: gateway.chat().status == 200 and provider.keys.count("k1") > refusals, what="the key is tried again")
    wait_for(lambda: all(gateway.chat().status == 200 for _ in range(5)) and provider.keys.count("k1") > refusals + 2, what="the key serves again")


def test_a_changed_key_is_a_new_one(start):
    """What was held against the old value is not held against the new."""
    provider = start(Provider, keyed({"bad": said(401)}))

    def config(value):
        return {"upstreams": {"one": generic(provider.url, api_keys=[{"id": "k", "value": value}], cooldown={**COOLDOWN, "probe_interval_seconds": 3600})}}

    gateway = start(Gateway, config("bad"))
    assert gateway.chat().status == 401
    # It is the last one there is: it is tried once more, at the pace of probes.
    assert story(gateway, gateway.chat()) == [("one", "auth", "probe")]
    got = gateway.chat()
    assert (got.status, got.error["code"]) == (503, "no_upstream_available") and len(provider.requests) == 2
    gateway.reload(config("good"))
    assert gateway.chat().status == 200
    gateway.reload(config("bad"))
    assert gateway.chat().status == 503, "a refused key came back by a reload"


def test_keys_are_used_for_their_models_only(start):
    provider = start(Provider)
    gateway = start(Gateway, {"upstreams": {"one": generic(provider.url, models=["m", "n", "o"], api_keys=[
        {"id": "km", "value": "km", "models": ["m"]}, {"id": "kn", "value": "kn", "models": ["n"]}])}})
    for model, key in (("m", "km"), ("n", "kn")):
        assert {used_keys(gateway, gateway.chat(model=model))[0] for _ in range(6)} == {key}
    got = gateway.chat(model="o")
    assert got.status == 503 and got.error["code"] == "no_upstream_available" and len(provider.requests) == 12


# ---- quotas that are learned

def test_a_key_that_is_nearly_used_up_is_avoided_before_it_fails(start):
    def play(request):
        left = "1" if request.header("authorization") == "Bearer k1" else "900"
        return answer(completion(), headers=[("x-ratelimit-limit-requests", "1000"), ("x-ratelimit-remaining-requests", left), ("x-ratelimit-reset-requests", "10m")])

    gateway, provider = pool(start, play)
    for _ in range(40):
        if "k1" in provider.keys:
            break
        gateway.chat()
    for _ in range(20):
        assert used_keys(gateway, gateway.chat()) == ["k2"]
    assert provider.keys.count("k1") == 1


# ---- the storm

def test_a_429_storm_on_one_of_two_keys_touches_it_rarely_and_opens_no_breaker(start):
    """≤ 2 % of the requests ever reach the key that is over its limit, over two workers."""
    provider = start(Provider, keyed({"k1": said(429, headers=[("retry-after", "30")])}))
    gateway = start(Gateway, {"server": {"workers": 2}, "upstreams": {"one": generic(provider.url, api_keys=keys("k1", "k2"), cooldown=COOLDOWN, breaker=BREAKER)}})

    def work(number):
        with gateway.connect() as client:
            return [client.chat().status for _ in range(50)]

    statuses = [status for found in together(8, work) for status in found]
    assert statuses == [200] * 400
    assert provider.keys.count("k1") <= 8, "more than were under way at once"
    assert figure(gateway, "openclaw_breaker_state", upstream_name="one") == 0


def test_prompt_affinity_keeps_a_conversation_at_its_key(start):
    provider = start(Provider)
    gateway = start(Gateway, {"upstreams": {"one": generic(provider.url, api_keys=keys("k1", "k2", "k3"))}, "routes": [{**route("one"), "affinity": "prompt_prefix"}]})
    seen = {}
    for talk in range(12):
        beginning = {"role": "system", "content": f"You are number {talk}. " + "Be kind and brief. " * 80}
        for turn in range(4):
            got = gateway.chat(messages=[beginning, *({"role": "user", "content": f"turn {n}"} for n in range(turn + 1))])
            seen.setdefault(talk, set()).add(used_keys(gateway, got)[0])
    assert all(len(used) == 1 for used in seen.values()), seen
    assert len({next(iter(used)) for used in seen.values()}) > 1, "all conversations at one key"
