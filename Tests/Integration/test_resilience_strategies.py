"""Strategies by what reaches the upstreams over real sockets and two workers: exact shares, what sticks and what moves when an upstream goes, who is asked when others
are busy, slow or dear; and what a route can match on besides (test_routing.py has paths and bodies)."""
import collections

import pytest

from resilience import *


def shares(providers) -> dict:
    return {name: len(one.requests) for name, one in providers.items()}


def world(start, names, strategy: dict, workers: int = 1, upstreams=None, plays=None, **options):
    providers = {name: start(Provider, (plays or {}).get(name, usual)) for name in names}
    config = lambda chosen=names: {
        "server": {"workers": workers},
        "upstreams": {name: generic(providers[name].url, **(upstreams or {}).get(name, {})) for name in chosen},
        "routes": [{"strategy": {**strategy, "upstreams": [entry for entry in strategy["upstreams"] if (entry if isinstance(entry, str) else entry["name"]) in chosen]}, **options}]}
    return start(Gateway, config()), providers, config


def many_chats(gateway, count: int, body=lambda number: {}, headers=lambda number: [], threads: int = 8) -> list:
    def work(thread):
        with gateway.connect() as client:
            return [(number, client.chat(headers(number), **body(number))) for number in range(thread, count, threads)]

    return [found for part in together(threads, work) for found in part]


# ---- canary

@pytest.mark.parametrize("by", [None, "user"])
def test_a_canary_has_exactly_its_share_over_two_workers(start, by):
    strategy = {"type": "canary", "upstreams": [{"name": "stable"}, {"name": "fresh", "percentage": 10}], **({"by": by} if by else {})}
    gateway, providers, _ = world(start, ["stable", "fresh"], strategy, workers=2)
    many_chats(gateway, 1000, lambda number: {"user": f"user {number}"})
    assert abs(shares(providers)["fresh"] - 100) <= 10, shares(providers)


def test_a_canary_sticks_to_whom_it_had(start):
    gateway, providers, _ = world(start, ["stable", "fresh"], {"type": "canary", "by": "user", "upstreams": [{"name": "stable"}, {"name": "fresh", "percentage": 30}]}, workers=2)
    seen = collections.defaultdict(set)
    for _ in range(4):
        for number, got in many_chats(gateway, 60, lambda number: {"user": f"user {number}"}):
            seen[number].add(got.header("x-openclaw-upstream"))
    assert all(len(names) == 1 for names in seen.values())
    assert {name for names in seen.values() for name in names} == {"stable", "fresh"}


def test_a_canary_that_fails_is_answered_by_the_others(start):
    gateway, providers, _ = world(start, ["stable", "fresh"], {"type": "canary", "upstreams": [{"name": "stable"}, {"name": "fresh", "percentage": 50}]}, plays={"fresh": said(500)})
    assert {got.status for _, got in many_chats(gateway, 40)} == {200}
    assert shares(providers)["stable"] == 40 and shares(providers)["fresh"] == 20


# ---- consistent hash

@pytest.mark.parametrize("by,say", [("user", lambda n: ({"user": f"user {n}"}, [])), ({"header": "x-session"}, lambda n: ({}, [("x-session", f"s{n}")]))], ids=["user", "header"])
def test_consistent_hash_moves_only_what_it_must_when_an_upstream_goes_and_comes_back(start, by, say):
    names = ["a", "b", "c", "d"]
    gateway, providers, config = world(start, names, {"type": "consistent_hash", "by": by, "load_factor": 0, "upstreams": names}, workers=2)

    def places():
        return {number: got.header("x-openclaw-upstream") for number, got in many_chats(gateway, 200, lambda n: say(n)[0], lambda n: say(n)[1])}

    before = places()
    assert places() == before, "the same one went elsewhere"
    counts = collections.Counter(before.values())
    assert all(20 <= counts[name] <= 90 for name in names), counts
    gateway.reload(config(["a", "b", "d"]))
    without = places()
    assert all(without[number] == before[number] for number in before if before[number] != "c"), "others than those of the lost one moved"
    assert {without[number] for number in before if before[number] == "c"} == {"a", "b", "d"}, "the lost one's did not spread"
    gateway.reload(config())
    assert places() == before


def test_consistent_hash_passes_by_who_has_more_than_its_share(start):
    """One user's requests hang at its upstream: the next of the same user go elsewhere while that is beyond the load factor."""
    gate = threading.Event()
    names = ["a", "b", "c"]
    gateway, providers, _ = world(start, names, {"type": "consistent_hash", "by": "user", "load_factor": 1.25, "upstreams": names},
                                  plays={name: lambda peer, request: (gate.wait(DEADLINE), usual(request))[1] for name in names})
    clients = [gateway.connect() for _ in range(12)]
    for at, client in enumerate(clients):
        client.send("POST", "/v1/chat/completions", {"model": "m", "messages": [], "user": "the same"})
        wait_for(lambda: sum(shares(providers).values()) == at + 1, what=f"{at + 1} requests")
    assert max(shares(providers).values()) <= 6, shares(providers)
    gate.set()
    assert {client.read().status for client in clients} == {200}
    for client in clients:
        client.close()


# ---- least connections, latency, cost

def test_least_connections_asks_who_has_least_to_do(start):
    gate = threading.Event()
    gateway, providers, _ = world(start, ["busy", "free"], {"type": "least_connections", "upstreams": ["busy", "free"]},
                                  plays={"busy": lambda peer, request: (gate.wait(DEADLINE), usual(request))[1]}, workers=2)
    held = []
    while not providers["busy"].requests:
        held.append(gateway.connect())
        held[-1].send("POST", "/v1/chat/completions", {"model": "m", "messages": []})
        wait_for(lambda: sum(shares(providers).values()) == len(held), what="the request at an upstream")
    for _ in range(10):
        assert gateway.chat().header("x-openclaw-upstream") == "free"
    gate.set()
    assert {client.read().status for client in held} == {200}
    for client in held:
        client.close()


def test_least_connections_spreads_what_is_under_way(start):
    gate = threading.Event()
    names = ["a", "b", "c"]
    gateway, providers, _ = world(start, names, {"type": "least_connections", "upstreams": names}, plays={name: lambda peer, request: (gate.wait(DEADLINE), usual(request))[1] for name in names})
    clients = [gateway.connect() for _ in range(9)]
    for at, client in enumerate(clients):
        client.send("POST", "/v1/chat/completions", {"model": "m", "messages": []})
        wait_for(lambda: sum(shares(providers).values()) == at + 1, what=f"{at + 1} requests")
    assert shares(providers) == {"a": 3, "b": 3, "c": 3}
    gate.set()
    assert {client.read().status for client in clients} == {200}
    for client in clients:
        client.close()


def test_lowest_latency_finds_the_fast_one_and_notices_when_it_is_not_any_more(start):
    slow = lambda peer, request: (time.sleep(0.08), usual(request))[1]
    gateway, providers, _ = world(start, ["a", "b"], {"type": "lowest_latency", "exploration": 0.1, "upstreams": ["a", "b"]}, plays={"a": slow})
    many_chats(gateway, 20, threads=1)
    before = shares(providers)
    many_chats(gateway, 60, threads=1)
    assert shares(providers)["b"] - before["b"] >= 40, (before, shares(providers))
    providers["a"].play, providers["b"].play = usual, slow
    wait_for(lambda: [got.header("x-openclaw-upstream") for _, got in many_chats(gateway, 10, threads=1)].count("a") >= 8, what="the other one is faster now")


def test_lowest_cost_asks_who_is_cheapest_for_this_request(start):
    """Dear input and cheap output against the reverse: a long prompt goes to the one, a long answer to the other."""
    gateway, providers, _ = world(start, ["reads", "writes"], {"type": "lowest_cost", "upstreams": ["reads", "writes"]}, upstreams={
        "reads": {"cost_per_million_input_tokens": 1, "cost_per_million_output_tokens": 100},
        "writes": {"cost_per_million_input_tokens": 10, "cost_per_million_output_tokens": 20}})
    long = [{"role": "user", "content": "word " * 4000}]
    assert gateway.chat(messages=long, max_tokens=1).header("x-openclaw-upstream") == "reads"
    assert gateway.chat(max_tokens=4000).header("x-openclaw-upstream") == "writes"
    assert gateway.chat(messages=long, max_completion_tokens=1).header("x-openclaw-upstream") == "reads"


def test_lowest_cost_passes_by_who_is_slower_than_allowed(start):
    slow = lambda peer, request: (time.sleep(0.1), usual(request))[1]
    gateway, providers, _ = world(start, ["cheap", "dear"], {"type": "lowest_cost", "upstreams": [{"name": "cheap", "max_latency_ms": 20}, {"name": "dear"}]}, plays={"cheap": slow}, upstreams={
        "cheap": {"cost_per_million_input_tokens": 1, "cost_per_million_output_tokens": 1}, "dear": {"cost_per_million_input_tokens": 9, "cost_per_million_output_tokens": 9}})
    wait_for(lambda: gateway.chat().header("x-openclaw-upstream") == "dear", what="the slow one is passed by")
    assert [gateway.chat().header("x-openclaw-upstream") for _ in range(5)].count("dear") >= 4


# ---- what routes match on

KOREAN = "오늘 서울의 날씨가 어떤지 자세히 알려 주시고 내일 비가 올지도 말씀해 주세요."
ENGLISH = "Please tell me in detail what the weather is like in London today, and whether it is going to rain tomorrow."
GERMAN = "Bitte sag mir genau, wie das Wetter heute in Berlin ist und ob es morgen regnen wird, damit ich weiß, was ich anziehen soll."

PROMPTS = {
    "any": ({"contains_any": ["weather", "날씨"]}, [ENGLISH, KOREAN, "WEATHER", "wEaThEr"], ["Wetter", "wea ther", ""]),
    "all": ({"contains_all": ["weather", "rain"]}, [ENGLISH], ["weather", "rain"]),
    "korean": ({"language": "ko"}, [KOREAN], [ENGLISH, GERMAN]),
    "european": ({"language": ["en", "de"]}, [ENGLISH, GERMAN], [KOREAN]),
    "long": ({"max_tokens_estimate": {"gt": 500}}, ["word " * 2000], ["word"]),
    "short": ({"max_tokens_estimate": {"lte": 500}}, ["word", ENGLISH], ["word " * 2000]),
    "both": ({"language": "ko", "contains_any": ["날씨"]}, [KOREAN], [ENGLISH, "weather", "안녕하세요, 저는 오늘 아주 행복합니다. 감사합니다."]),
}


@pytest.mark.parametrize("case", list(PROMPTS))
def test_routes_match_on_the_prompt_in_any_dialect_however_it_is_written(start, case):
    """As UTF-8 and as \\u escapes, in OpenAI's form and in the others', as text and as parts."""
    condition, good, bad = PROMPTS[case]
    provider = start(Provider)
    gateway = start(Gateway, {"upstreams": {"one": generic(provider.url)}, "routes": [{"id": "hit", "match": {"prompt": condition}, **route("one")}, {"id": "miss", **route("one")}]})
    forms = {
        "/v1/chat/completions": lambda text: {"model": "m", "messages": [{"role": "user", "content": text}]},
        "/v1/chat/completions?parts": lambda text: {"model": "m", "messages": [{"role": "user", "content": [{"type": "text", "text": text}]}]},
        "/v1/completions": lambda text: {"model": "m", "prompt": text},
        "/v1/responses": lambda text: {"model": "m", "input": text},
        "/v1/messages": lambda text: {"model": "m", "max_tokens": 5, "messages": [{"role": "user", "content": text}]},
        "/v1beta/models/m:generateContent": lambda text: {"contents": [{"role": "user", "parts": [{"text": text}]}]},
        "/api/chat": lambda text: {"model": "m", "stream": False, "messages": [{"role": "user", "content": text}]},
    }
    with gateway.connect() as client:
        for wanted, texts in (("hit", good), ("miss", bad)):
            for text in texts:
                for path, form in forms.items():
                    for escaped in (False, True):
                        got = client.ask("POST", path, json.dumps(form(text), ensure_ascii=escaped).encode())
                        assert got.header("x-openclaw-route") == wanted, (case, path, escaped, text[:40], got.status)


def test_routes_match_on_the_callers_key(start):
    provider = start(Provider)
    callers = [{"id": "k1", "value": "sk-one-0123456789", "tenant": "acme", "tags": ["premium", "beta"]}, {"id": "k2", "value": "sk-two-0123456789", "tenant": "acme", "tags": ["premium"]},
               {"id": "k3", "value": "sk-three-0123456789"}]
    matches = {"tags": {"tags": ["premium", "beta"]}, "id": {"id": ["k2"]}, "tenant": {"tenant": "acme"}}
    gateway = start(Gateway, {"upstreams": {"one": generic(provider.url)}, "security": {"keys": callers},
                              "routes": [*({"id": name, "match": {"key": match, "headers": {"x-case": name}}, **route("one")} for name, match in matches.items()), {"id": "rest", **route("one")}]})
    wanted = {"tags": {"k1"}, "id": {"k2"}, "tenant": {"k1", "k2"}}
    for case, ids in wanted.items():
        for caller in callers:
            got = gateway.chat([("authorization", f"Bearer {caller['value']}"), ("x-case", case)])
            assert got.header("x-openclaw-route") == (case if caller["id"] in ids else "rest"), (case, caller["id"])


# ---- model_routing

def profiles(start, default="small", **more):
    providers = {name: start(Provider) for name in ("near", "far")}
    gateway = start(Gateway, {
        "upstreams": {"near": generic(providers["near"].url, models=["tiny", "shared"], tier="edge"), "far": generic(providers["far"].url, models=["huge", "shared"])},
        "model_routing": {"profiles": {
            "small": {"max_context_tokens": 1000, "models": ["tiny"], "prefer_providers": ["near"]},
            "large": {"max_context_tokens": 20000, "models": ["huge"], "prefer_providers": ["far"]}},
            "default": default, "rules": [{"when": {"header": {"name": "x-quality", "equals": "best"}}, "use": "large"}], **more}})
    return gateway, providers


def test_profiles_choose_by_header_and_by_size(start):
    gateway, providers = profiles(start)
    served = lambda got: (got.status, got.header("x-openclaw-upstream"), json.loads(got.body)["choices"][0]["message"]["content"])
    assert served(gateway.chat(model="tiny")) == (200, "near", "tiny")
    assert served(gateway.chat([("x-quality", "best")], model="tiny")) == (200, "far", "huge")
    assert served(gateway.chat([("x-quality", "good")], model="tiny")) == (200, "near", "tiny")
    # Beyond the window of its own profile: the next that has room.
    long = [{"role": "user", "content": "word " * 5000}]
    assert served(gateway.chat(model="tiny", messages=long)) == (200, "far", "huge")
    too_long = [{"role": "user", "content": "word " * 60000}]
    before = {name: len(one.requests) for name, one in providers.items()}
    got = gateway.chat(model="tiny", messages=too_long)
    assert (got.status, got.error["code"]) == (400, "context_length_exceeded") and "20000" in got.error["message"], got.body
    assert {name: len(one.requests) for name, one in providers.items()} == before
