"""The classes of what an upstream can come to (spec: rate_limited … bad_request): how each is recognised, and what is tried after it, in which order, by the
standard ladders and by declared ones. What was tried is read from the log's attempts and from what reached the upstreams."""
import pytest

from resilience import *

# name → what the upstream does, its class
FAILURES = {
    "429": (said(429), "rate_limited"),
    "503": (said(503), "overloaded"),
    "529": (said(529), "overloaded"),
    "silence": (hang, "timeout"),
    "reset": (cut, "network"),
    "500": (said(500), "server_error"),
    "garbage": (b"HTP/1.1 what\r\n\r\n", "server_error"),
    "401": (said(401, code="invalid_api_key"), "auth"),
    "403": (said(403), "auth"),
    "no such model": (said(404, code="model_not_found"), "model_missing"),
    "too long": (said(400, code="context_length_exceeded"), "context_too_long"),
    "filtered": (said(400, code="content_filter"), "content_filtered"),
    "400": (said(400), "bad_request"),
    "422": (said(422), "bad_request"),
}

# What the standard ladder makes of it: upstream and reason of each attempt. `a` and `b` are the strategy's, two keys each; `c` is named under fallback, has a model
# of its own, and answers.
STANDARD = {
    "rate_limited": ["a first", "a spare_key", "b next_candidate", "b spare_key", "c fallback_model"],
    "overloaded": ["a first", "b next_candidate", "c fallback_model"],
    "timeout": ["a first", "b next_candidate", "c fallback_model"],
    "network": ["a first", "a retry", "b next_candidate", "b retry", "c fallback_model"],
    "server_error": ["a first", "b next_candidate", "c fallback_model"],
    "auth": ["a first", "a spare_key", "b next_candidate", "b spare_key", "c fallback_model"],
    "model_missing": ["a first", "c fallback_model"],
    "context_too_long": ["a first", "c larger_window"],
    "content_filtered": ["a first"],
    "bad_request": ["a first"],
}


def world(start, play, ladders=None, retries=None, downgrade="any", **route_options):
    a, b, c = start(Provider, play), start(Provider, play), start(Provider)
    options = {"first_byte_timeout_seconds": 0.2, "breaker": {"enabled": False}}
    gateway = start(Gateway, {
        "upstreams": {
            "a": generic(a.url, api_keys=keys("a1", "a2"), models=[{"id": "m", "max_context_tokens": 1000}], **options),
            "b": generic(b.url, api_keys=keys("b1", "b2"), models=[{"id": "m", "max_context_tokens": 1000}], **options),
            "c": generic(c.url, models=[{"id": "big", "max_context_tokens": 100000}]),
        },
        "routes": [route("a", "b", retries={"max_attempts": 6, "backoff_ms": 1, "max_backoff_ms": 2, **(retries or {})},
                         fallback={"upstreams": [{"name": "c", "model": "big"}], "allow_downgrade": downgrade, **(ladders or {})}, **route_options)],
    })
    return gateway, a, b, c


def steps(gateway, got) -> list[str]:
    return [f"{upstream} {why}" for upstream, _, why in story(gateway, got)]


@pytest.mark.parametrize("failure", list(FAILURES))
def test_the_standard_ladder_of_each_class(start, failure):
    play, known = FAILURES[failure]
    gateway, a, b, c = world(start, play)
    for stream in (False, True):
        got = gateway.chat(stream=stream)
        assert steps(gateway, got) == STANDARD[known], (failure, got.body)
        attempts = gateway.record(got.id)["attempts"]
        helped = STANDARD[known][-1].startswith("c")
        assert [attempt["class"] for attempt in attempts] == [known] * (len(attempts) - 1) + [None if helped else known]
        if helped:
            assert got.status == 200 and b"big" in got.body
        else:
            # The client's own fault, or the provider's verdict: as it is.
            assert got.status == int(play.split(b" ")[1]) and got.body == play.split(b"\r\n\r\n", 1)[1]
            assert gateway.record(got.id)["error_class"] == known
    # No step was made that the log does not tell of.
    for name, provider in zip("abc", (a, b, c)):
        assert len(provider.requests) == 2 * len([step for step in STANDARD[known] if step.startswith(name)]), name
    # Another key is another key.
    if known in ("rate_limited", "auth"):
        assert all(set(provider.keys[at:at + 2]) == {f"{name}1", f"{name}2"} for name, provider in (("a", a), ("b", b)) for at in (0, 2))


# class → declared steps → what is tried
DECLARED = [
    ("429", ["next_candidate"], ["a first", "b next_candidate"]),
    ("429", ["fallback_model"], ["a first", "b next_candidate", "c fallback_model"]),
    ("429", ["backoff", "spare_key", "lower_concurrency", "fallback_model"], ["a first", "a spare_key", "b next_candidate", "b spare_key", "c fallback_model"]),
    ("429", [], ["a first"]),
    ("503", ["backoff", "retry"], ["a first", "a backoff"]),
    ("503", ["backoff", "retry", "next_candidate"], ["a first", "a backoff", "b next_candidate", "b backoff"]),
    ("503", ["spare_key"], ["a first", "a spare_key"]),
    ("silence", [], ["a first"]),
    ("silence", ["retry"], ["a first", "a retry"]),
    ("silence", ["spare_key", "next_candidate"], ["a first", "a spare_key", "b next_candidate", "b spare_key"]),
    ("reset", [], ["a first"]),
    ("reset", ["next_candidate"], ["a first", "b next_candidate"]),
    ("500", ["retry", "next_candidate"], ["a first", "a retry", "b next_candidate", "b retry"]),
    ("401", ["next_candidate"], ["a first", "b next_candidate"]),
    ("no such model", ["spare_key"], ["a first", "a spare_key"]),
    ("no such model", [], ["a first"]),
    ("filtered", ["fallback_model"], ["a first", "c fallback_model"]),
    ("filtered", ["next_candidate"], ["a first", "b next_candidate"]),
    ("too long", [], ["a first"]),
]
LADDERS = {"429": "on_rate_limited", "503": "on_overloaded", "silence": "on_timeout", "reset": "on_network", "500": "on_server_error", "401": "on_auth",
           "no such model": "on_model_missing", "filtered": "on_content_filtered", "too long": "on_context_too_long"}


@pytest.mark.parametrize("failure,declared,wanted", DECLARED, ids=lambda value: "-".join(value) if isinstance(value, list) else value)
def test_a_declared_ladder_is_walked_as_declared(start, failure, declared, wanted):
    play, known = FAILURES[failure]
    gateway, a, b, c = world(start, play, {LADDERS[failure]: declared})
    got = gateway.chat()
    assert steps(gateway, got) == wanted
    assert (got.status == 200) == wanted[-1].startswith("c")
    for name, provider in zip("abc", (a, b, c)):
        assert len(provider.requests) == len([step for step in wanted if step.startswith(name)]), name
    # After a time-out the same key is never used again, whatever the ladder.
    if known == "timeout":
        for provider in (a, b):
            assert len(set(provider.keys)) == len(provider.keys)


def test_a_ladder_may_stand_directly_under_the_route(start):
    gateway, a, b, c = world(start, said(429), on_rate_limited=["next_candidate"])
    assert steps(gateway, gateway.chat()) == ["a first", "b next_candidate"]


# ---- recognition

WORDS = [
    # upstream type, status, body → class
    ("generic", 429, {"error": {"message": "no", "type": "insufficient_quota", "code": "insufficient_quota"}}, "rate_limited"),
    ("generic", 403, {"error": {"message": "no", "type": "insufficient_quota", "code": "insufficient_quota"}}, "rate_limited"),
    ("generic", 500, {"error": {"message": "no", "type": "overloaded_error", "code": None}}, "overloaded"),
    ("generic", 400, {"error": {"message": "This model's maximum context length is 8192 tokens.", "type": "invalid_request_error", "code": "context_length_exceeded"}}, "context_too_long"),
    ("generic", 400, {"error": {"message": "rejected", "type": "invalid_request_error", "code": "content_policy_violation"}}, "content_filtered"),
    ("generic", 404, {"error": {"message": "The model `m` does not exist or you do not have access to it.", "type": "invalid_request_error", "code": "model_not_found"}}, "model_missing"),
    ("anthropic", 429, {"type": "error", "error": {"type": "rate_limit_error", "message": "no"}}, "rate_limited"),
    ("anthropic", 529, {"type": "error", "error": {"type": "overloaded_error", "message": "no"}}, "overloaded"),
    ("anthropic", 500, {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}, "overloaded"),
    ("anthropic", 401, {"type": "error", "error": {"type": "authentication_error", "message": "no"}}, "auth"),
    ("anthropic", 404, {"type": "error", "error": {"type": "not_found_error", "message": "model: m"}}, "model_missing"),
    ("anthropic", 400, {"type": "error", "error": {"type": "invalid_request_error", "message": "prompt is too long: 210000 tokens > 200000 maximum"}}, "context_too_long"),
    ("gemini", 429, {"error": {"code": 429, "message": "no", "status": "RESOURCE_EXHAUSTED"}}, "rate_limited"),
    ("gemini", 503, {"error": {"code": 503, "message": "The model is overloaded.", "status": "UNAVAILABLE"}}, "overloaded"),
    ("gemini", 400, {"error": {"code": 400, "message": "API key not valid. Please pass a valid API key.", "status": "INVALID_ARGUMENT",
                               "details": [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}]}}, "auth"),
    ("gemini", 404, {"error": {"code": 404, "message": "models/m is not found for API version v1beta", "status": "NOT_FOUND"}}, "model_missing"),
]


@pytest.mark.parametrize("kind,status,body,known", WORDS, ids=lambda value: str(value)[:60] if not isinstance(value, dict) else "")
def test_what_providers_say_is_recognised(start, kind, status, body, known):
    bad, good = start(Provider, said(status, json.dumps(body))), start(Provider)
    base = {"generic": "/v1"}.get(kind, "")
    gateway = start(Gateway, {
        "upstreams": {"bad": {"type": kind, "base_url": bad.url + base, "api_key": "k", "models": [{"id": "m", "max_context_tokens": 100}]},
                      "good": generic(good.url, models=[{"id": "big", "max_context_tokens": 10000}])},
        "routes": [route("bad", fallback={"upstreams": [{"name": "good", "model": "big"}], "allow_downgrade": "any", "on_content_filtered": ["fallback_model"]},
                         retries={"backoff_ms": 1})],
    })
    got = gateway.chat()
    assert [known for _, known, _ in story(gateway, got)] == [known, None]
    assert got.status == 200 and got.header("x-openclaw-upstream") == "good"


IN_BAND = [
    ({"error": {"message": "Rate limit reached", "type": "requests", "code": "rate_limit_exceeded"}}, "rate_limited"),
    ({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}, "overloaded"),
    ({"error": {"message": "The server had an error", "type": "server_error", "code": None}}, "server_error"),
]


@pytest.mark.parametrize("value,known", IN_BAND, ids=[known for _, known in IN_BAND])
def test_SS_12_an_error_within_a_200_is_retried_like_any_other(start, value, known):
    """In front of the commit: as if it had been a status; the client sees only the good stream."""
    bad, good = start(Provider, lambda request: STREAM_HEAD + chunk(ROLE) + chunk(event(value)) + LAST_CHUNK), start(Provider)
    gateway = start(Gateway, {"upstreams": {"bad": generic(bad.url, api_keys=keys("k1", "k2")), "good": generic(good.url)},
                              "routes": [route("bad", "good", retries={"max_attempts": 4, "backoff_ms": 1})]})
    got = gateway.chat(stream=True)
    assert got.text == "m" and b"[DONE]" in got.body and b"error" not in got.body
    wanted = ["first", "spare_key", "next_candidate"] if known == "rate_limited" else ["first", "next_candidate"]
    assert [(known_, why) for _, known_, why in story(gateway, got)] == [(known, why) for why in wanted[:-1]] + [(None, wanted[-1])]


# ---- no silent move to another model

def test_a_missing_model_moves_only_to_a_fallback_that_the_route_names(start):
    for downgrade, helped in (("any", True), ("none", False), ("same_family", False)):
        gateway, a, b, c = world(start, said(404, code="model_not_found"), downgrade=downgrade)
        got = gateway.chat()
        assert (got.status == 200) == helped and (len(c.requests) == 1) == helped
        assert b.requests == [], "another upstream of the strategy was asked for a model that is missing"
        if not helped:
            assert (got.status, got.error["code"]) == (404, "model_not_found")


def test_a_context_that_is_too_long_goes_only_where_the_window_is_larger(start):
    bad = start(Provider, said(400, code="context_length_exceeded"))
    small, large = start(Provider), start(Provider)
    gateway = start(Gateway, {
        "upstreams": {"bad": generic(bad.url, models=[{"id": "m", "max_context_tokens": 8000}]),
                      "small": generic(small.url, models=[{"id": "s", "max_context_tokens": 4000}]),
                      "large": generic(large.url, models=[{"id": "l", "max_context_tokens": 32000}])},
        "routes": [route("bad", fallback={"upstreams": [{"name": "small", "model": "s"}, {"name": "large", "model": "l"}], "allow_downgrade": "any"})],
    })
    got = gateway.chat()
    assert story(gateway, got) == [("bad", "context_too_long", "first"), ("large", None, "larger_window")] and small.requests == []


# ---- RT-02

@pytest.mark.parametrize("known", ["429", "503", "500", "reset"])
def test_RT_02_a_post_to_a_plain_backend_is_never_sent_twice(start, known):
    """It may have done its work before it failed; GET may be repeated."""
    play, good = FAILURES[known][0], start(Provider, lambda request: answer("good"))
    bad = start(Provider, play)
    gateway = start(Gateway, {"upstreams": {"bad": {"type": "http", "base_url": bad.url}, "good": {"type": "http", "base_url": good.url}}, "routes": [route("bad", "good", retries={"backoff_ms": 1})]})
    got = gateway.ask("POST", "/orders", b"{}")
    assert got.status >= 400 and len(bad.requests) == 1 and good.requests == []
    got = gateway.ask("GET", "/orders")
    assert got.body == b"good" and len(good.requests) == 1


def test_RT_02_nothing_is_tried_again_once_content_went_out(start):
    bad = start(Provider, lambda peer, request: (peer.send(STREAM_HEAD + chunk(ROLE + delta(content="x"))), cut(peer, request)))
    good = start(Provider)
    gateway = start(Gateway, {"upstreams": {"bad": generic(bad.url, api_keys=keys("k1", "k2")), "good": generic(good.url)}, "routes": [route("bad", "good")]})
    got = gateway.chat(stream=True)
    assert got.text == "x" and got.events[-1]["error"]["code"] == "upstream_truncated" and b"[DONE]" not in got.body
    assert len(bad.requests) == 1 and good.requests == []
    assert gateway.record(got.id)["disconnected"] == "upstream"
