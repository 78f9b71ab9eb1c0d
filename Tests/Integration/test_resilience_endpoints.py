"""Endpoints of one upstream: where a further attempt goes, and which are left out for what their requests came to."""
import collections

import pytest

from resilience import *


def several(start, plays: dict, key_names=(), more=(), passive=None, upstream_options=None, **route_options):
    providers = {name: start(Provider, play) for name, play in plays.items()}
    gateway = start(Gateway, {
        "upstreams": {"one": {"type": "generic", "endpoints": [one.url + "/v1" for one in providers.values()], **({"api_keys": keys(*key_names)} if key_names else {}),
                              "first_byte_timeout_seconds": 0.2, "health": {"passive": passive or {"enabled": False}}, **(upstream_options or {})},
                      **{name: generic(one.url) for name, one in more}},
        "routes": [route("one", *(name for name, _ in more), retries={"max_attempts": 4, "backoff_ms": 1}, **route_options)]})
    return gateway, providers


def first_failing(gateway, wanted_class: str, tries: int = 60):
    """The first request whose first attempt met the bad endpoint."""
    for _ in range(tries):
        got = gateway.chat()
        told = story(gateway, got)
        if told[0][1] == wanted_class:
            return got, told
    raise AssertionError("the bad endpoint was never asked")


def test_a_time_out_goes_to_the_next_endpoint_with_another_key(start):
    gateway, providers = several(start, {"bad": hang, "good": usual}, ["k1", "k2"])
    got, told = first_failing(gateway, "timeout")
    assert told == [("one", "timeout", "first"), ("one", None, "next_endpoint")]
    used = used_keys(gateway, got)
    assert len(set(used)) == 2 and providers["bad"].keys[-1] == used[0] and providers["good"].keys[-1] == used[1]


def test_a_time_out_with_the_only_key_goes_to_the_next_candidate(start):
    other = start(Provider)
    gateway, providers = several(start, {"bad": hang, "worse": hang}, ["k1"], more=[("other", other)])
    assert story(gateway, gateway.chat()) == [("one", "timeout", "first"), ("other", None, "next_candidate")]


def test_without_keys_any_other_endpoint_will_do(start):
    gateway, providers = several(start, {"bad": hang, "good": usual})
    assert first_failing(gateway, "timeout")[1] == [("one", "timeout", "first"), ("one", None, "next_endpoint")]


def test_a_broken_connection_is_tried_again_at_another_endpoint(start):
    gateway, providers = several(start, {"bad": cut, "good": usual}, ["k1"])
    assert first_failing(gateway, "network")[1] == [("one", "network", "first"), ("one", None, "retry")]
    for _ in range(20):
        assert gateway.chat().status == 200
    assert all(len(told) <= 2 for told in ([*record["attempts"]] for record in gateway.records()))


def test_an_endpoint_that_fails_is_left_out_and_returns(start):
    gateway, providers = several(start, {"bad": said(500), "good": usual, "well": usual}, passive={"consecutive_failures": 3, "ejection_seconds": 0.5, "max_ejection_seconds": 1, "slow_start_seconds": 0})
    wait_for(lambda: [gateway.chat() for _ in range(5)] and len(providers["bad"].requests) >= 3, what="three failures")
    assert len(providers["bad"].requests) == 3
    url = providers["bad"].url
    providers["bad"].play = usual
    wait_for(lambda: gateway.chat().status == 200 and len(providers["bad"].requests) > 6, what="it has its share again")
    assert any(one["url"].startswith(url) and one["usable"] for one in upstream_state(gateway, "one")["endpoints"])


def test_RT_07_no_more_than_the_share_is_left_out_when_every_endpoint_fails(start):
    names = ["a", "b", "c", "d"]
    gateway, providers = several(start, {name: said(500) for name in names}, passive={"consecutive_failures": 2, "ejection_seconds": 3600, "max_ejection_seconds": 3600, "max_ejected_ratio": 0.5})
    for _ in range(60):
        assert gateway.chat().status == 500
    out = [one for one in upstream_state(gateway, "one")["endpoints"] if one["health"] == "ejected"]
    assert len(out) == 2, upstream_state(gateway, "one")["endpoints"]
    counts = {name: len(one.requests) for name, one in providers.items()}
    assert sorted(counts.values())[:2] == [2, 2] and sum(counts.values()) == 60, counts
    # As soon as they are well those that were not left out serve.
    for one in providers.values():
        one.play = usual
    assert [gateway.chat().status for _ in range(10)] == [200] * 10


def test_client_errors_and_limits_leave_no_endpoint_out(start):
    for play, status in ((said(400), 400), (said(429), 429), (said(404, code="model_not_found"), 404)):
        gateway, providers = several(start, {"a": play, "b": play}, passive={"consecutive_failures": 2, "ejection_seconds": 3600, "max_ejection_seconds": 3600})
        assert {gateway.chat().status for _ in range(12)} == {status}
        assert all(one["health"] == "ok" for one in upstream_state(gateway, "one")["endpoints"])
        assert collections.Counter(len(one.requests) > 0 for one in providers.values()) == {True: 2}
