"""Who is asked, over real sockets: strategies, fallbacks, profiles, prompts and callers' keys. What each decides in detail is tested over a worker without
sockets (Tests/ClawEngineTests/Routing*Tests.swift)."""
import collections
import json

import pytest

from rig import *
from scripted import *

KEYS = {"keys": [
    {"id": "alice", "value": "alice-secret-of-callers", "tenant": "acme", "tags": ["red"]},
    {"id": "bob", "value": "bob-secret-of-callers", "tenant": "globex"},
    {"id": "carol", "value": "carol-secret-of-callers"},
]}


def named(start, *names):
    return {name: start(Upstream, answering(lambda request, name=name: answer(completion(name)))) for name in names}


def gateway_of(start, names, strategy, **more):
    upstreams = named(start, *names)
    config = {"upstreams": {name: generic(upstream.url) for name, upstream in upstreams.items()},
              "routes": [{"id": "r", "strategy": strategy, **more.pop("route", {})}], **more}
    return start(Gateway, config), upstreams


def by(got) -> str:
    assert got.status == 200, got.body
    return got.header("x-openclaw-upstream")


def test_a_canary_gives_exactly_its_share_and_sticks(start):
    gateway, _ = gateway_of(start, ["a", "b"], {"type": "canary", "upstreams": ["a", {"name": "b", "percentage": 10}]})
    with gateway.connect() as client:
        assert collections.Counter(by(gateway.chat(client=client)) for _ in range(200)) == {"a": 180, "b": 20}
    gateway, _ = gateway_of(start, ["a", "b"], {"type": "canary", "by": "session", "upstreams": ["a", {"name": "b", "percentage": 50}]})
    with gateway.connect() as client:
        seen = collections.defaultdict(set)
        for step in range(160):
            seen[step % 16].add(by(gateway.chat(client=client, headers=[("x-session-id", f"s{step % 16}")])))
    assert all(len(one) == 1 for one in seen.values())
    assert {next(iter(one)) for one in seen.values()} == {"a", "b"}


def test_consistent_hash_keeps_a_user_at_one_upstream(start):
    gateway, _ = gateway_of(start, ["a", "b", "c"], {"type": "consistent_hash", "by": "user", "upstreams": ["a", "b", "c"]})
    with gateway.connect() as client:
        seen = {user: {by(gateway.chat(client=client, user=f"u{user}")) for _ in range(3)} for user in range(24)}
    assert all(len(one) == 1 for one in seen.values())
    assert len({next(iter(one)) for one in seen.values()}) == 3


def test_lowest_cost_asks_the_cheapest(start):
    upstreams = named(start, "dear", "cheap")
    prices = {"dear": (5, 20), "cheap": (1, 2)}
    gateway = start(Gateway, {"upstreams": {
        name: {**generic(upstream.url), "cost_per_million_input_tokens": prices[name][0], "cost_per_million_output_tokens": prices[name][1]} for name, upstream in upstreams.items()},
        "routes": [{"id": "r", "strategy": {"type": "lowest_cost", "upstreams": ["dear", "cheap"]}}]})
    assert by(gateway.chat()) == "cheap"


def test_a_shadows_mirror_answers_nobody(start):
    gateway, _ = gateway_of(start, ["a", "b"], {"type": "shadow", "upstreams": ["a", {"name": "b", "percentage": 100}]})
    assert {by(gateway.chat()) for _ in range(8)} == {"a"}


def test_a_fallback_is_asked_behind_the_strategys_own(start):
    upstreams = {"bad": start(Upstream, answering(lambda request: answer(b'{"error":{"message":"down"}}', status=500))), **named(start, "good")}
    gateway = start(Gateway, {"upstreams": {name: generic(one.url) for name, one in upstreams.items()},
                              "routes": [{"id": "r", "strategy": {"upstreams": ["bad"]}, "fallback": {"upstreams": ["good"]}}]})
    assert by(gateway.chat()) == "good"


PROFILES = {
    "default": "small",
    "profiles": {"small": {"max_context_tokens": 300, "models": ["little"]}, "large": {"max_context_tokens": 3000, "models": ["big"]}},
    "rules": [{"when": {"header": {"name": "X-Profile", "equals": "large"}}, "use": "large"}],
}


def test_profiles_choose_the_model_and_send_long_requests_on(start):
    upstreams = named(start, "one")
    gateway = start(Gateway, {"upstreams": {"one": {**generic(upstreams["one"].url), "models": ["little", "big"]}}, "model_routing": PROFILES})
    long = [{"role": "user", "content": "word " * 700}]
    for headers, body, model, rule in [([], {}, "little", "small"), ([("x-profile", "large")], {}, "big", "large"), ([], {"messages": long}, "big", "large"),
                                       ([], {"max_tokens": 1000}, "big", "large")]:
        got = gateway.chat(headers=headers, **body)
        assert (got.status, got.header("x-openclaw-model")) == (200, model)
        record = gateway.record(got.header("x-request-id"))
        assert (record["rule"], record["route_id"]) == (f"model_routing.profiles.{rule}", f"profile:{rule}")
    got = gateway.chat(messages=[{"role": "user", "content": "word " * 9000}])
    error = got.json()["error"]
    assert (got.status, error["code"]) == (400, "context_length_exceeded")
    assert "3000" in error["message"]
    assert gateway.record(got.header("x-request-id"))["error_class"] == "context_too_long"


def test_the_camel_case_of_openclaw_json_is_taken(start):
    upstreams = named(start, "one")
    gateway = start(Gateway, {"upstreams": {"one": {**generic(upstreams["one"].url), "models": ["little"]}},
                              "modelRouting": {"default": "only", "profiles": {"only": {"maxContextTokens": 1000, "preferProviders": ["one"], "models": ["little"]}}}})
    assert gateway.chat(model="anything").header("x-openclaw-model") == "little"


def test_routes_match_on_what_is_asked(start):
    upstream = start(Upstream, answering(lambda request: answer(completion())))
    gateway = start(Gateway, {"upstreams": {"one": generic(upstream.url)}, "routes": [
        {"id": "bills", "match": {"prompt": {"contains_any": ["invoice", "billing"]}}, **route("one")},
        {"id": "long", "match": {"prompt": {"max_tokens_estimate": {"gt": 1000}}}, **route("one")},
        {"id": "rest", **route("one")},
    ]})
    def chosen(text):
        return gateway.chat(messages=[{"role": "user", "content": text}]).header("x-openclaw-route")
    assert chosen("Where is my INVOICE?") == "bills"
    assert chosen("hello") == "rest"
    assert chosen("some words " * 2000) == "long"


# ---- callers

def guarded(start, upstream, **more):
    return start(Gateway, {"upstreams": {"one": upstream}, "security": KEYS, **more})


SHOWN = [("authorization", "Bearer alice-secret-of-callers"), ("x-api-key", "alice-secret-of-callers"), ("api-key", "alice-secret-of-callers"), ("x-goog-api-key", "alice-secret-of-callers")]


@pytest.mark.parametrize("field", SHOWN, ids=[name for name, _ in SHOWN])
def test_a_caller_is_known_and_its_key_goes_no_further(start, field):
    upstream = start(Upstream, answering(lambda request: answer(completion())))
    gateway = guarded(start, {"type": "generic", "base_url": upstream.url})
    got = gateway.chat(headers=[field])
    assert got.status == 200
    record = gateway.record(got.header("x-request-id"))
    assert (record["key_id"], record["tenant"]) == ("alice", "acme")
    assert "alice-secret" not in repr(upstream.requests[0].head)


def test_a_plain_backend_never_sees_a_callers_key(start):
    upstream = start(Upstream, answering(lambda request: answer(b"{}")))
    gateway = guarded(start, {"type": "http", "base_url": upstream.url})
    got = gateway.ask("GET", "/plain", None, [("authorization", "Bearer bob-secret-of-callers"), ("x-other", "stays")])
    assert got.status == 200
    seen = repr(upstream.requests[0].head).lower()
    assert "secret-of-callers" not in seen and "stays" in seen


REFUSED = [
    ("/v1/chat/completions", 401, lambda body: body["error"]["code"] == "invalid_api_key"),
    ("/v1/messages", 401, lambda body: body["type"] == "error" and body["error"]["type"] == "authentication_error"),
    # Google says 400 for a wrong key.
    ("/v1beta/models/m:generateContent", 400, lambda body: body["error"]["details"][0]["reason"] == "API_KEY_INVALID"),
    ("/api/chat", 401, lambda body: isinstance(body["error"], str)),
    ("/plain", 401, lambda body: body["error"]["code"] == "invalid_api_key"),
]


@pytest.mark.parametrize("path,status,is_right", REFUSED, ids=[path for path, _, _ in REFUSED])
@pytest.mark.parametrize("headers", [[], [("authorization", "Bearer nobody-knows-this-one")]], ids=["without", "wrong"])
def test_a_request_without_a_known_key_is_refused_in_its_clients_words(start, path, status, is_right, headers):
    upstream = start(Upstream, answering(lambda request: answer(completion())))
    gateway = guarded(start, generic(upstream.url))
    got = gateway.ask("POST", path, {"model": "m", "messages": []}, headers)
    assert got.status == status and is_right(got.json()), got.body
    assert (got.header("www-authenticate") or "").startswith("Bearer") == (status == 401)
    record = gateway.record(got.header("x-request-id"))
    assert (record["error_class"], record["key_id"], record["tenant"]) == ("auth", None, None)
    assert not upstream.requests


def test_the_401_comes_before_the_body(start):
    upstream = start(Upstream, answering(lambda request: answer(completion())))
    gateway = guarded(start, generic(upstream.url))
    with gateway.connect() as client:
        client.sock.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 100000\r\n\r\n{")
        assert client.read().status == 401


def test_routes_go_by_the_callers_tags_id_and_tenant(start):
    upstream = start(Upstream, answering(lambda request: answer(completion())))
    gateway = guarded(start, generic(upstream.url), routes=[
        {"id": "reds", "match": {"key": {"tags": ["red"]}}, **route("one")},
        {"id": "globex", "match": {"key": {"tenant": "globex"}}, **route("one")},
        {"id": "rest", **route("one")},
    ])
    gateway_routes = {name: gateway.chat(headers=[("authorization", f"Bearer {name}-secret-of-callers")]).header("x-openclaw-route") for name in ("alice", "bob", "carol")}
    assert gateway_routes == {"alice": "reds", "bob": "globex", "carol": "rest"}
