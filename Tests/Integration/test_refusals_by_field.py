"""What an upstream's API has no words for: refused in the client's words before anything is sent, or left out and named, or taken by another candidate."""
import json

import pytest

from providers import *
from rig import *
from scripted import *

TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
ALL, BUT = list(TYPES), lambda *others: [kind for kind in TYPES if kind not in others]
LIKE_OPENAI = ["openai", "generic", "azure"]


def says(*parts) -> dict:
    return {"messages": [{"role": "user", "content": list(parts)}]}


# front, what the request has besides, the field's name in the client's words, upstream types that have no word for it
FIELDS = [
    ("chat", {"n": 2}, "n", ["anthropic", "bedrock", "cohere", "ollama"]),
    ("chat", {"seed": 1}, "seed", ["anthropic", "bedrock"]),
    ("chat", {"presence_penalty": 0.5}, "presence_penalty", ["anthropic", "bedrock"]),
    ("chat", {"frequency_penalty": 0.5}, "frequency_penalty", ["anthropic", "bedrock"]),
    ("chat", {"logprobs": True}, "logprobs", ["mistral", "anthropic", "bedrock"]),
    ("chat", {"logprobs": True, "top_logprobs": 3}, "top_logprobs", ["cohere"]),
    ("chat", {"logit_bias": {"5": 1}}, "logit_bias", BUT(*LIKE_OPENAI)),
    ("chat", {"modalities": ["text", "audio"], "audio": {"voice": "alloy", "format": "wav"}}, "modalities", BUT(*LIKE_OPENAI)),
    ("chat", {"verbosity": "low"}, "verbosity", BUT(*LIKE_OPENAI)),
    ("chat", {"tools": [TOOL], "parallel_tool_calls": False}, "parallel_tool_calls", ["gemini", "bedrock", "cohere", "ollama"]),
    ("chat", {"tools": [{"type": "custom", "custom": {"name": "c"}}]}, "tools[].custom", BUT(*LIKE_OPENAI)),
    ("chat", {"web_search_options": {}}, "web_search_options", ["anthropic", "gemini", "bedrock", "cohere", "ollama"]),
    ("chat", {"later_invention": 1}, "later_invention", ["anthropic", "gemini", "bedrock", "cohere", "ollama"]),
    ("chat", says({"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}), "messages[].content[].input_audio", ["anthropic", "cohere", "ollama"]),
    ("chat", says({"type": "file", "file": {"file_id": "file-1"}}), "messages[].content[].file", ["anthropic", "gemini", "bedrock", "cohere", "ollama"]),
    ("chat", says({"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}), "messages[].content[].image_url", ["bedrock", "ollama"]),
    ("chat", {"stop": list("abcdef")}, "stop", ["gemini"]),
    ("messages", {"top_k": 5}, "top_k", ["openai", "generic", "azure", "mistral", "bedrock"]),
    ("messages", {"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "tools[].type", BUT("anthropic")),
    ("messages", {"mcp_servers": [{"type": "url", "url": "https://a.example", "name": "x"}]}, "mcp_servers", BUT("anthropic")),
    ("messages", {"container": "c"}, "container", BUT("anthropic")),
    ("messages", {"later_invention": 1}, "later_invention", BUT("anthropic")),
    ("messages", says({"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "AAAA"}}), "messages[].content[].source", ["cohere", "ollama"]),
    ("messages", {"stop_sequences": list("abcdef")}, "stop_sequences", ["gemini"]),
    ("gemini", {"generationConfig": {"candidateCount": 2}}, "generationConfig.candidateCount", ["anthropic", "bedrock", "cohere", "ollama"]),
    ("gemini", {"generationConfig": {"topK": 5}}, "generationConfig.topK", ["openai", "generic", "azure", "mistral", "bedrock"]),
    ("gemini", {"generationConfig": {"seed": 5}}, "generationConfig.seed", ["anthropic", "bedrock"]),
    ("gemini", {"generationConfig": {"responseLogprobs": True}}, "generationConfig.responseLogprobs", ["mistral", "anthropic", "bedrock"]),
    ("gemini", {"generationConfig": {"responseModalities": ["AUDIO"]}}, "generationConfig.responseModalities", ["mistral", "anthropic", "bedrock", "cohere", "ollama"]),
    ("gemini", {"generationConfig": {"presencePenalty": 0.5}}, "generationConfig.presencePenalty", ["anthropic", "bedrock"]),
    ("gemini", {"cachedContent": "cachedContents/x"}, "cachedContent", BUT("gemini")),
    ("gemini", {"tools": [{"googleSearch": {}}]}, "tools", BUT("gemini")),
    ("gemini", {"laterInvention": 1}, "laterInvention", BUT("gemini")),
    ("ollama", {"options": {"mirostat": 1}}, "options.mirostat", BUT("ollama")),
    ("ollama", {"options": {"seed": 1}}, "options.seed", ["anthropic", "bedrock"]),
    ("ollama", {"options": {"top_k": 1}}, "options.top_k", ["openai", "generic", "azure", "mistral", "bedrock"]),
    ("ollama", {"later_invention": 1}, "later_invention", BUT("ollama")),
    ("generate", {"raw": True}, "raw", BUT("ollama")),
    ("generate", {"template": "x"}, "template", BUT("ollama")),
    ("generate", {"context": [1, 2]}, "context", BUT("ollama")),
    ("generate", {"suffix": "x"}, "suffix", BUT("ollama")),
    ("responses", {"background": True}, "background", BUT(*LIKE_OPENAI)),
    ("responses", {"previous_response_id": "resp_1"}, "previous_response_id", BUT(*LIKE_OPENAI)),
    ("responses", {"conversation": "conv_1"}, "conversation", BUT(*LIKE_OPENAI)),
    ("responses", {"prompt": {"id": "p"}}, "prompt", BUT(*LIKE_OPENAI)),
    ("responses", {"max_tool_calls": 2}, "max_tool_calls", BUT(*LIKE_OPENAI)),
    ("responses", {"tools": [{"type": "web_search"}]}, "tools[].type", BUT(*LIKE_OPENAI)),
    ("responses", {"top_logprobs": 3}, "top_logprobs", ["mistral", "anthropic", "bedrock", "cohere"]),
    ("responses", {"text": {"verbosity": "low"}}, "text.verbosity", BUT(*LIKE_OPENAI)),
    ("completions", {"suffix": "x"}, "suffix", BUT(*LIKE_OPENAI)),
    ("completions", {"echo": True}, "echo", BUT(*LIKE_OPENAI)),
    ("completions", {"best_of": 3}, "best_of", BUT(*LIKE_OPENAI)),
    ("completions", {"logprobs": 3}, "logprobs", BUT(*LIKE_OPENAI)),
    ("completions", {"n": 2}, "n", ["anthropic", "bedrock", "cohere", "ollama"]),
    ("completions", {"prompt": [1, 2, 3]}, "prompt", BUT(*LIKE_OPENAI)),
    ("embeddings", {}, "model", ["anthropic"]),
    ("embeddings", {"input": [1, 2, 3]}, "input", ["mistral", "gemini", "cohere", "ollama"]),
]
# Those that cannot be left out: without them there is no request.
ESSENTIAL = {"prompt", "input", "model"}
CASES = [(front, more, field, kind) for front, more, field, kinds in FIELDS for kind in kinds]
NAMES = [f"{front}-{field}-{kind}" for front, _, field, kind in CASES]


@pytest.fixture
def world(house):
    return house.world("usual", answering(usual))


def ask(gateway: Gateway, front: str, model: str, more: dict, stream: bool = False, headers=()):
    path, body = ask_of(front, model, stream, **more)
    return gateway.ask("POST", path, body, headers)


@pytest.mark.parametrize("front, more, field, kind", CASES, ids=NAMES)
def test_it_is_refused_by_name_and_nothing_is_sent(house, world, front, more, field, kind):
    gateway = house.gateway({"upstreams": {one: {**upstream(one, world.url), "models": [one]} for one in TYPES}})
    before = len(world.requests)
    for stream in (False, True) if front in FRONTS else (False,):
        got = ask(gateway, front, kind, more, stream)
        assert got.status == 400 and got.header("content-type") == "application/json", got.body
        message, parameter = error_of(front, got.json())
        assert f" {field}: " in f" {message}", message
        if front in ("chat", "completions", "responses", "embeddings"):
            assert parameter == field and got.error["code"] == "unsupported_parameter"
        assert got.header("x-openclaw-dropped") is None
        record = gateway.record(got.id)
        assert record["error_class"] == "bad_request" and record["attempts"] == [] and record["tokens"]["input"] is None
    assert len(world.requests) == before


@pytest.mark.parametrize("front, more, field, kind", [case for case in CASES if case[2] not in ESSENTIAL], ids=[name for name, case in zip(NAMES, CASES) if case[2] not in ESSENTIAL])
def test_it_is_left_out_and_named_where_that_is_allowed(house, world, front, more, field, kind):
    gateway = house.gateway({"server": {"drop_unsupported": True}, "upstreams": {one: {**upstream(one, world.url), "models": [one]} for one in TYPES}})
    before = len(world.requests)
    got = ask(gateway, front, kind, more)
    if got.status == 400:
        # A message of nothing but what was left out is none.
        assert field.startswith("messages[].content[]"), got.body
        return
    assert got.status == 200 and len(world.requests) == before + 1, got.body
    dropped = got.header("x-openclaw-dropped").split(",")
    assert field in dropped, dropped
    assert gateway.record(got.id)["dropped"] == dropped
    assert b"later" not in world.requests[-1].body


@pytest.mark.parametrize("server, own, route, is_dropped", [
    (None, None, None, False), (True, None, None, True), (True, False, None, False), (False, True, None, True), (None, True, False, False), (True, False, True, True), (None, None, True, True),
])
def test_the_route_decides_before_the_upstream_and_that_before_the_server(house, world, server, own, route, is_dropped):
    choice = lambda value: {} if value is None else {"drop_unsupported": value}
    gateway = house.gateway({"server": choice(server), "upstreams": {"a": {**upstream("anthropic", world.url), **choice(own)}},
                             "routes": [{"strategy": {"upstreams": ["a"]}, "id": "r", **choice(route)}]})
    got = ask(gateway, "chat", "m", {"seed": 4, "n": 2})
    assert got.status == (200 if is_dropped else 400)
    if is_dropped:
        assert sorted(got.header("x-openclaw-dropped").split(",")) == ["n", "seed"]


def test_a_candidate_that_can_say_it_is_taken_instead(house, world):
    upstreams = {kind: upstream(kind, world.url) for kind in ("anthropic", "bedrock", "gemini")}
    gateway = house.gateway({"upstreams": upstreams, "routes": [{"id": "r", "strategy": {"upstreams": ["anthropic", "bedrock", "gemini"]}}]})
    for more, taken in (({}, "anthropic"), ({"seed": 4}, "gemini"), ({"top_k": 4}, "anthropic")):
        got = ask(gateway, "chat", "m", more)
        assert got.status == 200 and got.header("x-openclaw-upstream") == taken and got.header("x-openclaw-dropped") is None
        assert [attempt["upstream"] for attempt in gateway.record(got.id)["attempts"]] == [taken]
    before = len(world.requests)
    got = ask(gateway, "chat", "m", {"logit_bias": {"5": 1}})
    assert got.status == 400 and got.error["param"] == "logit_bias" and len(world.requests) == before


def test_hints_are_left_out_everywhere_and_named(house, world):
    gateway = house.gateway({"upstreams": {one: {**upstream(one, world.url), "models": [one]} for one in TYPES}})
    for front, kind, more, named in [
        ("chat", "gemini", {"user": "u", "metadata": {"a": "b"}, "store": True}, {"user", "metadata", "store"}),
        ("chat", "cohere", {"service_tier": "flex"}, {"service_tier"}), ("messages", "openai", {"service_tier": "auto"}, {"service_tier"}),
        ("messages", "ollama", {"metadata": {"user_id": "u"}}, {"metadata.user_id"}), ("gemini", "openai", {"safetySettings": [
            {"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"}]}, {"safetySettings"}), ("ollama", "anthropic", {"keep_alive": "5m"}, {"keep_alive"}),
    ]:
        got = ask(gateway, front, kind, more)
        assert got.status == 200 and set(got.header("x-openclaw-dropped").split(",")) == named, (front, kind, got.header("x-openclaw-dropped"))
        assert set(gateway.record(got.id)["dropped"]) == named


@pytest.mark.parametrize("kind, estimated", [("anthropic", False), ("gemini", False), ("bedrock", False), ("openai", True), ("azure", True), ("cohere", True), ("mistral", True), ("ollama", True)])
def test_counts_are_estimated_for_upstreams_that_do_not_count(house, world, kind, estimated):
    gateway = house.gateway({"upstreams": {one: {**upstream(one, world.url), "models": [one]} for one in TYPES}})
    before = len(world.requests)
    anthropic = ask(gateway, "count", kind, {})
    gemini = gateway.ask("POST", f"/v1beta/models/{kind}:countTokens", {"contents": [{"role": "user", "parts": [{"text": "hi there, how are you?"}]}]})
    for got, name in ((anthropic, "input_tokens"), (gemini, "totalTokens")):
        assert got.status == 200 and isinstance(got.json()[name], int), got.body
        assert got.header("x-openclaw-estimated") == ("true" if estimated else None)
        assert 0 < got.json()[name] < 20 if estimated else got.json()[name] == 42
    assert len(world.requests) == before + (0 if estimated else 2)
