"""Downgrades: another model than the one asked for answers only where the route allows it, and then everybody is told: a header, the log, a counter, and a comment at
the head of a stream, which no SDK takes for anything."""
import pytest

import providers
from resilience import *

FAILS = {"429": said(429), "503": said(503), "500": said(500), "404": said(404, code="model_not_found"), "reset": cut, "401": said(401)}
CLASSES = {"429": "rate_limited", "503": "overloaded", "500": "server_error", "404": "model_missing", "reset": "network", "401": "auth"}


def world(start, play, allow=None, asked="gpt-4o", served="gpt-4o-mini", sizes=(128000, 16000), **options):
    first, second = start(Provider, play), start(Provider)
    fallback = {"upstreams": [{"name": "second", "model": served}], **({"allow_downgrade": allow} if allow else {})}
    return start(Gateway, {
        "upstreams": {"first": generic(first.url, models=[{"id": asked, "max_context_tokens": sizes[0]}]), "second": generic(second.url, models=[{"id": served, "max_context_tokens": sizes[1]}])},
        "routes": [{"id": "all", **route("first", retries={"backoff_ms": 1}, fallback=fallback, **options)}]}), first, second


@pytest.mark.parametrize("how", list(FAILS))
def test_a_downgrade_is_told_everywhere(start, how):
    gateway, first, second = world(start, FAILS[how], "any")
    for stream in (False, True):
        got = gateway.chat(model="gpt-4o", stream=stream)
        told = f"from=gpt-4o;to=gpt-4o-mini;reason={CLASSES[how]};window=16000"
        assert got.status == 200 and got.header("x-openclaw-downgraded") == told, got.headers
        if stream:
            assert got.body.startswith(f": openclaw downgraded {told}\n\n".encode()) and got.text == "gpt-4o-mini" and b"[DONE]" in got.body
        record = gateway.record(got.id)
        assert record["downgraded"] is True and record["downgrade"] == {"route_id": "all", "from": "gpt-4o", "to": "gpt-4o-mini", "reason": CLASSES[how], "window": 16000}
        assert (record["model_requested"], record["model_id"]) == ("gpt-4o", "gpt-4o-mini")
    assert figure(gateway, "openclaw_downgrades_total", route_id="all", from_model="gpt-4o", to_model="gpt-4o-mini") == 2


def test_what_the_other_model_cannot_do_is_told(start):
    first, second = start(Provider, said(503)), start(Provider)
    gateway = start(Gateway, {"upstreams": {"first": generic(first.url, models=["m"], capabilities=["chat", "tools", "vision"]), "second": generic(second.url, models=["s"], capabilities=["chat"])},
                              "routes": [route("first", retries={"backoff_ms": 1}, fallback={"upstreams": [{"name": "second", "model": "s"}], "allow_downgrade": "any"})]})
    got = gateway.chat()
    assert got.status == 200 and got.header("x-openclaw-downgraded") == "from=m;to=s;reason=overloaded;lost=tools,vision"
    assert gateway.record(got.id)["downgrade"]["lost"] == ["tools", "vision"]


# allow_downgrade → is the fallback of this model asked?
ALLOWED = [(None, "gpt-4o-mini", False), ("none", "gpt-4o-mini", False), ("any", "claude-haiku-4-5", True), ("any", "gpt-4o-mini", True),
           ("same_family", "gpt-4o-mini", True), ("same_family", "claude-haiku-4-5", False)]


@pytest.mark.parametrize("allow,served,allowed", ALLOWED)
def test_no_other_model_answers_without_leave(start, allow, served, allowed):
    gateway, first, second = world(start, said(500), allow, served=served)
    got = gateway.chat(model="gpt-4o")
    assert (got.status == 200) == allowed and len(second.requests) == int(allowed)
    if not allowed:
        assert got.status == 500 and got.header("x-openclaw-downgraded") is None
        assert gateway.record(got.id)["downgraded"] is False


def test_the_same_model_elsewhere_is_no_downgrade(start):
    gateway, first, second = world(start, said(500), served="gpt-4o", sizes=(128000, 128000))
    got = gateway.chat(model="gpt-4o", stream=True)
    assert got.status == 200 and got.header("x-openclaw-downgraded") is None and b"downgraded" not in got.body
    assert gateway.record(got.id)["downgraded"] is False and story(gateway, got)[-1] == ("second", None, "fallback_model")


def test_a_model_that_the_strategy_names_is_none_at_first_and_one_after_a_failure(start):
    """The route's own first choice is what the route is for; its second, of another model, is a step down."""
    first, second = start(Provider), start(Provider)
    gateway = start(Gateway, {"upstreams": {"first": generic(first.url), "second": generic(second.url)},
                              "routes": [{"strategy": {"type": "failover", "upstreams": [{"name": "first", "model": "m-large"}, {"name": "second", "model": "m-small"}]}}]})
    got = gateway.chat()
    assert got.header("x-openclaw-downgraded") is None and got.json()["choices"][0]["message"]["content"] == "m-large"
    first.play = said(500)
    got = gateway.chat()
    assert got.header("x-openclaw-downgraded") == "from=m;to=m-small;reason=server_error"


def test_a_model_name_cannot_break_out_of_the_header(start):
    first, second = start(Provider, said(500)), start(Provider)
    gateway = start(Gateway, {"upstreams": {"first": generic(first.url), "second": generic(second.url)},
                              "routes": [route("first", fallback={"upstreams": [{"name": "second", "model": "small"}], "allow_downgrade": "any"})]})
    for stream in (False, True):
        got = gateway.chat(model="evil;to=x y\r\nx-more: 1\n\ndata: {}\n\n", stream=stream)
        assert got.status == 200 and got.header("x-openclaw-downgraded") == r"from=evil?to=x?y\r\nx-more:?1\n\ndata:?{}\n\n;to=small;reason=server_error"
        assert got.header("x-more") is None and b"\ndata: {}" not in got.body


@pytest.mark.parametrize("path,body,end", [
    ("/v1/messages", {"model": "gpt-4o", "max_tokens": 50, "stream": True, "messages": [{"role": "user", "content": "hi"}]}, b"message_stop"),
    ("/v1beta/models/gpt-4o:streamGenerateContent?alt=sse", {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]}, b"finishReason"),
    ("/v1/responses", {"model": "gpt-4o", "stream": True, "input": "hi"}, b"response.completed"),
    ("/api/chat", {"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}]}, b'"done":true'),
], ids=["anthropic", "gemini", "responses", "ollama"])
def test_a_downgrade_is_told_in_every_clients_dialect(start, path, body, end):
    gateway, first, second = world(start, said(500), "any")
    if path == "/v1/responses":
        # Which goes as it is to those who speak it.
        second.play = providers.usual
    got = gateway.ask("POST", path, body)
    assert got.status == 200 and got.header("x-openclaw-downgraded").startswith("from=gpt-4o;to=gpt-4o-mini;reason=server_error")
    # Ollama's lines have no comments.
    assert got.body.startswith(b": openclaw downgraded ") == (path != "/api/chat") and end in got.body.replace(b": ", b":").replace(b'" :', b'":')
    assert second.requests[0].json()["model"] == "gpt-4o-mini"
