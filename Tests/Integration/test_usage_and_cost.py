"""Tokens and money: every recorded answer's usage must come out in the log and the metrics exactly as its provider stated it, whoever asked in whichever
dialect, and cost what the price list says."""
import json
from fractions import Fraction

import pytest

from providers import *
from rig import *
from scripted import *

RECORDED = recordings()
VERTEX = "/v1/projects/p/locations/global/publishers/google"

# Which upstream a recorded API is, and the client's dialect that passes through untouched, if any.
APIS = {
    "openai.chat": ("openai", {}, "chat"), "openai.responses": ("openai", {}, "responses"), "openai.completions": ("openai", {}, "completions"),
    "openai.embeddings": ("openai", {}, "embeddings"), "anthropic.messages": ("anthropic", {}, "messages"),
    "gemini.generateContent": ("gemini", {}, "gemini"), "gemini.streamGenerateContent": ("gemini", {}, "gemini"),
    "vertex.generateContent": ("gemini", {"base": VERTEX}, "gemini"), "vertex.streamGenerateContent": ("gemini", {"base": VERTEX}, "gemini"),
    "bedrock.converse": ("bedrock", {}, None), "bedrock.converse_stream": ("bedrock", {}, None), "cohere.chat": ("cohere", {}, None),
    "mistral.chat": ("mistral", {}, None), "mistral.embeddings": ("mistral", {}, "embeddings"), "ollama.chat": ("ollama", {}, "ollama"), "ollama.generate": ("ollama", {}, "generate"),
    "azure.chat": ("azure", {"base": ""}, "chat"), "azure.embeddings": ("azure", {"base": ""}, "embeddings"), "azure.foundry_chat": ("azure", {"base": "/models"}, "chat"),
    "azure.responses": ("azure", {}, "responses"), "gemini.openai_compat": ("generic", {}, "chat"), "ollama.openai_chat": ("generic", {"quirks": "ollama"}, "chat"),
    "groq.chat": ("generic", {"quirks": "groq"}, "chat"), "deepseek.chat": ("generic", {"quirks": "deepseek"}, "chat"), "openrouter.chat": ("generic", {"quirks": "openrouter"}, "chat"),
    "cerebras.chat": ("generic", {"quirks": "cerebras"}, "chat"), "together.chat": ("generic", {"quirks": "together"}, "chat"), "zai.chat": ("generic", {"quirks": "zai"}, "chat"),
    "vllm.chat": ("generic", {"quirks": "vllm"}, "chat"), "xai.responses": ("generic", {"quirks": "xai"}, "responses"), "xai.chat": ("generic", {"quirks": "xai"}, "chat"),
}


def stated(api: str, usage: dict) -> dict:
    """The gateway's classes out of a provider's own words (../shared/providers): sums include their parts."""
    def at(value, *names):
        for name in names:
            value = (value or {}).get(name)
        return value or 0

    if api.startswith("anthropic"):
        hour = at(usage, "cache_creation", "ephemeral_1h_input_tokens")
        return {"input": at(usage, "input_tokens") + at(usage, "cache_creation_input_tokens") + at(usage, "cache_read_input_tokens"), "cached": at(usage, "cache_read_input_tokens"),
                "cache_write": at(usage, "cache_creation_input_tokens") - hour, "cache_write_1h": hour, "output": at(usage, "output_tokens"),
                "reasoning": at(usage, "output_tokens_details", "thinking_tokens")}
    if api.startswith(("gemini.", "vertex.")) and api != "gemini.openai_compat":
        sound = lambda name: sum(at(one, "tokenCount") for one in usage.get(name, []) if one.get("modality") == "AUDIO")
        return {"input": at(usage, "promptTokenCount") + at(usage, "toolUsePromptTokenCount"), "cached": at(usage, "cachedContentTokenCount"),
                "output": at(usage, "candidatesTokenCount") + at(usage, "thoughtsTokenCount"), "reasoning": at(usage, "thoughtsTokenCount"),
                "audio_input": sound("promptTokensDetails"), "audio_output": sound("candidatesTokensDetails")}
    if api.startswith("bedrock"):
        return {"input": at(usage, "inputTokens") + at(usage, "cacheReadInputTokens") + at(usage, "cacheWriteInputTokens"), "cached": at(usage, "cacheReadInputTokens"),
                "cache_write": at(usage, "cacheWriteInputTokens"), "output": at(usage, "outputTokens")}
    if api.startswith("cohere"):
        return {"input": at(usage, "billed_units", "input_tokens"), "output": at(usage, "billed_units", "output_tokens"), "reasoning": at(usage, "tokens", "reasoning_tokens")}
    if api in ("ollama.chat", "ollama.generate"):
        return {"input": at(usage, "prompt_eval_count"), "output": at(usage, "eval_count")}
    if "input_tokens" in usage:
        given, made = usage["input_tokens_details"], usage["output_tokens_details"]
        return {"input": at(usage, "input_tokens"), "cached": at(given, "cached_tokens"), "cache_write": at(given, "cache_write_tokens"), "output": at(usage, "output_tokens"),
                "reasoning": at(made, "reasoning_tokens")}
    given, made = usage.get("prompt_tokens_details"), usage.get("completion_tokens_details")
    cached = at(given, "cached_tokens") or at(usage, "cached_tokens") or at(usage, "prompt_cache_hit_tokens")
    found = {"cached": cached, "cache_write": at(given, "cache_write_tokens"), "audio_input": at(given, "audio_tokens"), "audio_output": at(made, "audio_tokens"),
             "reasoning": at(made, "reasoning_tokens")}
    # Parts that are more than their sum were seen (Grok on Azure counts the cached ones beside the others; OpenRouter): no part is cut for it.
    found["input"] = max(at(usage, "prompt_tokens"), cached + found["cache_write"] + found["audio_input"])
    found["output"] = max(at(usage, "completion_tokens"), found["reasoning"] + found["audio_output"])
    return found


def is_stream(one: dict) -> bool:
    """Some that are streams do not say so in their tags."""
    kind = dict(one["response"]["headers"]).get("content-type", "")
    return "stream" in one["tags"] or "event-stream" in kind or "ndjson" in kind


def is_array(one: dict) -> bool:
    return one["api"].endswith("streamGenerateContent") and ["alt", "sse"] not in one["request"]["query"]


def fronts(one: dict) -> list[str]:
    """Whoever the bytes pass through to untouched, and two who get them translated. The gateway never asks for Gemini's array of its own accord."""
    native = APIS[one["api"]][2]
    if "embeddings" in one["api"]:
        return ["embeddings", "embed"] if native == "embeddings" else []
    return [native] if is_array(one) else list(dict.fromkeys([*([native] if native else []), "messages" if native == "chat" else "chat", "gemini"]))


CASES = [(one, front) for one in RECORDED.values() if one["response"]["status"] == 200 and one["expect"].get("usage_native") and one["api"] in APIS
         and one["request"]["path"] != "/v1/responses/input_tokens" and not one["expect"].get("error_in_stream") and "error" not in one["tags"] for front in fronts(one)]
needs_recordings = pytest.mark.skipif(not RECORDED, reason="no test data: neither OPENCLAW_SHARED nor ../shared beside the checkout has a folder recordings")


@pytest.fixture(scope="module")
def replay():
    with Mock("--replay", shared() / "recordings") as mock:
        yield mock


def gateway_of(house, replay) -> Gateway:
    """Every recorded API as an upstream of its own, chosen by a header."""
    upstreams = {api.replace(".", "-").replace("_", "-"): upstream(kind, replay.url, **options) for api, (kind, options, _) in APIS.items()}
    # The Responses API is a translation's other side only where nothing else is.
    upstreams |= {f"{name}-t": {**one, "api": "responses"} for name, one in upstreams.items() if name.endswith("responses")}
    routes = [{"id": name, "match": {"headers": {"x-to": name}}, "strategy": {"upstreams": [name]}, "drop_unsupported": True} for name in upstreams]
    return house.gateway({"upstreams": upstreams, "routes": routes})


def model_of(one: dict) -> str:
    match = re.search(r"(?:models|model|deployments)/([^/:]+)", one["request"]["path"])
    if match:
        return match[1].replace("%3A", ":")
    body = one["request"]["body"].get("text")
    return json.loads(body).get("model", "m") if body else "m"


def replayed(gateway: Gateway, one: dict, front: str, **more):
    api, native = one["api"], APIS[one["api"]][2]
    name = api.replace(".", "-").replace("_", "-") + ("-t" if native == "responses" and front != native else "")
    path, body = ask_of(front, model_of(one), is_stream(one), **more)
    if is_array(one):
        path = path.partition("?")[0]
    return gateway.ask("POST", path, body, [("x-to", name), ("x-mock-recording", one["id"])])


@needs_recordings
@pytest.mark.parametrize("one, front", CASES, ids=[f"{one['id']}-{front}" for one, front in CASES])
def test_the_tokens_of_a_recorded_answer(house, replay, one, front):
    gateway = gateway_of(house, replay)
    got = replayed(gateway, one, front)
    assert got.status == 200, got.body
    record = gateway.record(got.id)
    tokens = {"cached": 0, "reasoning": 0, "cache_write": 0, "cache_write_1h": 0, "audio_input": 0, "audio_output": 0, **{key: value or 0 for key, value in record["tokens"].items()}}
    assert not tokens.pop("estimated")
    wanted = {**dict.fromkeys(tokens, 0), **stated(one["api"], one["expect"]["usage_native"])}
    assert tokens == wanted
    assert record["stream"] == is_stream(one) and record["error_class"] is None
    cost = expected_cost(one, wanted)
    if cost is not None and sum(wanted.values()):
        assert record["cost_usd"] is not None and nano(record["cost_usd"]) == cost, (record["cost_usd"], cost)


# ---- cost ----

def nano(dollars) -> int:
    value = Fraction(str(dollars)) * 10 ** 9
    assert value.denominator == 1, f"{dollars}: not a whole number of nano-dollars"
    return int(value)


def catalogue() -> dict:
    file = Path(os.environ.get("OPENCLAW_SHARED", ROOT.parent / "shared")) / "catalog/model_prices.json"
    return {(model["provider"], model["model"]): model for model in json.loads(file.read_text())["models"]} if file.is_file() else {}


CATALOGUE = catalogue()


def priced(model: dict, tokens: dict, share: Fraction = Fraction(1)) -> int | None:
    """Nano-dollars of these tokens by an entry of the catalogue; None: it has no price."""
    price = lambda name, other=None: model[name] if model.get(name) is not None else other
    tiers = [tier for tier in model.get("price_tiers") or [] if tokens["input"] > tier["above_input_tokens"]]
    if tiers:
        model = {**model, **{key: value for key, value in tiers[-1].items() if key.endswith("price") and value is not None}}
    into, out = price("input_price"), price("output_price")
    if into is None or out is None and tokens["output"]:
        return None
    get = lambda name: tokens.get(name, 0)
    fresh = get("input") - get("cached") - get("cache_write") - get("cache_write_1h") - get("audio_input")
    text = get("output") - get("reasoning") - get("audio_output")
    rows = [(fresh, into), (get("cached"), price("cache_read_price", into)), (get("cache_write"), price("cache_write_price", into)), (get("cache_write_1h"), into * 2),
            (get("audio_input"), price("input_audio_price", into)), (text, out), (get("reasoning"), price("reasoning_price", out)), (get("audio_output"), price("output_audio_price", out))]
    sum_ = sum(Fraction(count) * Fraction(str(rate)) * 1000 for count, rate in rows if count) * share
    return int(sum_ + Fraction(1, 2))


def expected_cost(one: dict, tokens: dict) -> int | None:
    kind, options, _ = APIS[one["api"]]
    provider = "vertex" if one["api"].startswith("vertex") else options.get("quirks", kind)
    model = CATALOGUE.get((provider, model_of(one)))
    return priced(model, tokens) if model else None


@needs_recordings
def test_the_metrics_are_the_sum_of_the_log(house, replay):
    gateway = gateway_of(house, replay)
    for id in ("openai/chat-prompt-cache-hit", "openai/chat-reasoning-effort", "openai/chat-stream-usage", "openai/chat-audio-input"):
        assert replayed(gateway, RECORDED[id], "chat").status == 200

    def agrees():
        text = admin(gateway, "/metrics")
        records = gateway.records()
        cost = sum(nano(record["cost_usd"]) for record in records if record["cost_usd"] is not None)
        counted = sum(Fraction(value) for value in re.findall(r"^openclaw_estimated_cost_usd_total\{[^}]*\} (\S+)$", text, re.M)) * 10 ** 9
        kinds = {"input": 0, "output": 0, "cached_input": 0, "reasoning": 0}
        for kind, value in re.findall(r'^openclaw_tokens_total\{[^}]*kind="(\w+)"[^}]*\} (\d+)$', text, re.M):
            kinds[kind] += int(value)
        logged = {kind: sum(record["tokens"][kind.removesuffix("_input")] or 0 for record in records) for kind in kinds}
        assert records and cost > 0 and logged["cached_input"] > 0
        return kinds == logged and counted == cost

    wait_for(agrees, what="metrics that agree with the log")


def admin(gateway: Gateway, path: str) -> str:
    with Client(gateway.admin_port) as client:
        return client.ask("GET", path, headers=[("host", "127.0.0.1")]).body.decode()


# ---- prices ----

USAGE = {"prompt_tokens": 1000, "completion_tokens": 200, "total_tokens": 1200, "prompt_tokens_details": {"cached_tokens": 400}, "completion_tokens_details": {"reasoning_tokens": 50}}
COSTS = [
    # what, upstream, model, request, nano-dollars
    ("of the catalogue", {"type": "openai"}, "gpt-4o-mini", {}, 600 * 150 + 400 * 75 + 200 * 600),
    ("of a dated name", {"type": "openai"}, "gpt-4o-mini-2024-07-18", {}, 600 * 150 + 400 * 75 + 200 * 600),
    ("of the batch tier", {"type": "openai"}, "gpt-4o-mini", {"service_tier": "batch"}, (600 * 150 + 400 * 75 + 200 * 600) // 2),
    ("of the flex tier", {"type": "openai"}, "gpt-4o-mini", {"service_tier": "flex"}, (600 * 150 + 400 * 75 + 200 * 600) // 2),
    ("of the usual tier", {"type": "openai"}, "gpt-4o-mini", {"service_tier": "default"}, 600 * 150 + 400 * 75 + 200 * 600),
    ("of a tier without a known price", {"type": "openai"}, "gpt-4o-mini", {"service_tier": "priority"}, None),
    ("unknown", {"type": "openai"}, "nobodys-model", {}, None),
    ("unknown, of a server of the operator's own", {"type": "generic"}, "gpt-4o-mini", {}, None),
    ("of the upstream", {"type": "generic", "cost_per_million_input_tokens": 3, "cost_per_million_output_tokens": 7.5}, "x", {}, 1000 * 3000 + 200 * 7500),
    ("of the upstream, cached too", {"type": "generic", "cost_per_million_input_tokens": 3, "cost_per_million_output_tokens": 7.5, "cost_per_million_cached_input_tokens": 0.001},
     "x", {}, 600 * 3000 + 400 * 1 + 200 * 7500),
    ("of the model before the upstream's", {"type": "generic", "cost_per_million_input_tokens": 3, "cost_per_million_output_tokens": 7.5,
                                            "models": [{"id": "x", "cost_per_million_input_tokens": 1}]}, "x", {}, 1000 * 1000 + 200 * 7500),
    ("overriding the catalogue, whose share for cached tokens holds", {"type": "openai", "cost_per_million_input_tokens": 1}, "gpt-4o-mini", {}, 600 * 1000 + 400 * 500 + 200 * 600),
    ("free, which is a price", {"type": "generic", "cost_per_million_input_tokens": 0, "cost_per_million_output_tokens": 0}, "x", {}, 0),
    ("of input alone, which is not the whole", {"type": "generic", "cost_per_million_input_tokens": 3}, "x", {}, None),
    ("of a catalogue file", {"type": "generic", "quirks": "vllm"}, "house-model", {}, 600 * 2000 + 400 * 1000 + 150 * 4000 + 50 * 6000),
    ("of a catalogue file, for a model the program knows", {"type": "openai"}, "gpt-4o", {}, 600 * 11 + 400 * 5 + 200 * 13),
]
FILE = {"format": "openclaw-model-catalog/1", "currency": "USD", "price_unit": "per 1,000,000 tokens", "models": [
    {"provider": "vllm", "model": "house-model", "max_context_tokens": 1000, "input_price": 2, "output_price": 4, "cache_read_price": 1, "reasoning_price": 6},
    {"provider": "openai", "model": "gpt-4o", "max_context_tokens": 1000, "input_price": 0.011, "output_price": 0.013, "cache_read_price": 0.005}]}


@pytest.fixture(scope="module")
def till():
    with Upstream(answering(lambda request: streamed("chat", [*STREAMS["chat"][:4], *sse({**CHAT_HEAD, "choices": [], "usage": USAGE}, b"[DONE]")]) if asks_for_stream(request)
                            else answer(json.dumps({**PLAIN["chat"], "usage": USAGE})))) as made:
        yield made


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("at", range(len(COSTS)), ids=[row[0] for row in COSTS])
def test_what_a_request_costs(house, till, tmp_path_factory, at, stream):
    file = tmp_path_factory.getbasetemp() / "catalogue.json"
    file.write_text(json.dumps(FILE))
    upstreams = {f"u{place}": {"base_url": till.url + "/v1", **own} for place, (_, own, *_) in enumerate(COSTS)}
    routes = [{"id": f"r{place}", "match": {"headers": {"x-to": f"u{place}"}}, "strategy": {"upstreams": [f"u{place}"]}} for place in range(len(COSTS))]
    gateway = house.gateway({"upstreams": upstreams, "routes": routes, "catalogue": {"path": str(file)}})
    _, _, model, more, nanodollars = COSTS[at]
    for front in ("chat", "messages"):
        if front == "messages" and more:
            continue
        path, body = ask_of(front, model, stream, **more)
        got = gateway.ask("POST", path, body, [("x-to", f"u{at}")])
        assert got.status == 200, got.body
        cost = gateway.record(got.id)["cost_usd"]
        assert (cost if cost is None else nano(cost)) == nanodollars


# ---- usage in streams ----

@pytest.mark.parametrize("asks", [None, False, True])
@pytest.mark.parametrize("kind", TYPES)
def test_a_chat_client_sees_usage_in_a_stream_exactly_if_it_asked(house, kind, asks):
    """The gateway asks for itself, knows it in either case, and keeps it from those who did not ask."""
    world = house.world("usual", answering(usual))
    gateway = house.gateway({"upstreams": {one: {**upstream(one, world.url), "models": [one]} for one in TYPES}})
    path, body = ask_of("chat", kind, True, **({} if asks is None else {"stream_options": {"include_usage": asks}}))
    got = gateway.ask("POST", path, body)
    assert got.status == 200 and got.text == "hello"
    events = [event for event in got.events if isinstance(event, dict)]
    assert got.events[-1] == "[DONE]"
    tokens = gateway.record(got.id)["tokens"]
    assert (tokens["input"], tokens["output"], tokens["estimated"]) == (7, 3, False)
    spoken = [event for event in events if event.get("usage")]
    if asks:
        assert events[-1]["choices"] == [] and events[-1]["usage"]["prompt_tokens"] == 7 and events[-1]["usage"]["total_tokens"] == 10
        assert spoken == [events[-1]]
    elif kind == "generic":
        # It was not asked on the gateway's account; what it says by itself is the client's.
        assert len(spoken) == 1
    else:
        assert not spoken and all(event["choices"] for event in events), events
    if kind in ("openai", "azure"):
        assert world.requests[-1].json()["stream_options"]["include_usage"] is True


CUT = {"chat": 2, "messages": 4, "gemini": 1, "converse": 2, "cohere": 3, "ollama": 1}


@pytest.mark.parametrize("front", ["chat", "messages", "gemini", "ollama"])
@pytest.mark.parametrize("kind", ["openai", "anthropic", "gemini", "bedrock", "cohere", "ollama"])
def test_a_cut_stream_is_estimated_and_says_so(house, kind, front):
    dialect = TYPES[kind][0]

    def script(peer: Peer):
        peer.request()
        peer.send(streamed(dialect, STREAMS[dialect][:CUT[dialect] + 1] if dialect != "gemini" else STREAMS["gemini"][:1], end=b""))
        peer.close()

    world = house.world(f"cut-{kind}", script)
    gateway = house.gateway({"upstreams": {"u": {**upstream(kind, world.url), "cost_per_million_input_tokens": 1, "cost_per_million_output_tokens": 2}}})
    path, body = ask_of(front, "m", True)
    got = gateway.ask("POST", path, body)
    assert got.status == 200 and stream_error_of(front, got.body) and not ends_well(front, got.body)
    record = gateway.record(got.id)
    assert record["disconnected"] == "upstream" and record["tokens"]["estimated"] is True
    assert record["tokens"]["output"] >= 1 and record["tokens"]["input"] >= 1
    assert nano(record["cost_usd"]) == 1000 * record["tokens"]["input"] + 2000 * record["tokens"]["output"]


SAID = [
    # what, type, pieces, input, output, cached, reasoning
    ("running totals are not added up", "gemini", sse(*[{"candidates": [{"content": {"role": "model", "parts": [{"text": "x"}]}, "index": 0, **({"finishReason": "STOP"} if at == 3 else {})}],
        "usageMetadata": {"promptTokenCount": 11, "candidatesTokenCount": 5 * at, "thoughtsTokenCount": 4, "cachedContentTokenCount": 6}} for at in range(1, 4)]), 11, 19, 6, 4),
    ("the start's input and the end's output", "anthropic", sse(
        {"type": "message_start", "message": {**MESSAGE, "usage": {"input_tokens": 4, "cache_read_input_tokens": 20, "cache_creation_input_tokens": 8, "output_tokens": 1}}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}, {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "x"}},
        {"type": "content_block_stop", "index": 0}, {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 50}}, {"type": "message_stop"}, names=True), 32, 50, 20, 0),
    ("the end's input, where it says one", "anthropic", sse(
        {"type": "message_start", "message": {**MESSAGE, "usage": {"input_tokens": 4, "output_tokens": 1}}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}, {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "x"}},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"input_tokens": 40, "cache_read_input_tokens": 2, "output_tokens": 50}}, {"type": "message_stop"}, names=True), 42, 50, 2, 0),
    ("usage of every chunk", "openai", sse(*[{**CHAT_HEAD, "choices": [{"index": 0, "delta": {"content": "x"}, "finish_reason": "stop" if at == 3 else None}],
        "usage": {"prompt_tokens": 9, "completion_tokens": at, "total_tokens": 9 + at}} for at in range(1, 4)], b"[DONE]"), 9, 3, 0, 0),
    ("reasoning beside the completion", "openai", sse({**CHAT_HEAD, "choices": [{"index": 0, "delta": {"content": "x"}, "finish_reason": "stop"}]},
        {**CHAT_HEAD, "choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 112, "completion_tokens_details": {"reasoning_tokens": 100}}}, b"[DONE]"), 9, 103, 0, 100),
    ("cached tokens of another name", "openai", sse({**CHAT_HEAD, "choices": [{"index": 0, "delta": {"content": "x"}, "finish_reason": "stop"}]},
        {**CHAT_HEAD, "choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12, "prompt_cache_hit_tokens": 8}}, b"[DONE]"), 9, 3, 8, 0),
    ("after the finish and a pause of comments", "openai", [*STREAMS["chat"][:4], b": wait\n\n" * 50, *STREAMS["chat"][4:]], 7, 3, 0, 0),
]


@pytest.mark.parametrize("front", ["native", "messages", "chat", "gemini"])
@pytest.mark.parametrize("at", range(len(SAID)), ids=[row[0] for row in SAID])
def test_usage_as_it_is_said_in_streams(house, at, front):
    world = house.world("said", answering(lambda request: streamed("chat", SAID[int(re.search(r"case-(\d+)", request.header("x-case"))[1])][2])))
    gateway = house.gateway({"upstreams": {kind: {**upstream(kind, world.url), "models": [kind]} for kind in ("openai", "anthropic", "gemini")}})
    _, kind, _, *wanted = SAID[at]
    path, body = ask_of({"openai": "chat", "anthropic": "messages", "gemini": "gemini"}[kind] if front == "native" else front, kind, True)
    got = gateway.ask("POST", path, body, [("x-case", f"case-{at}")])
    tokens = gateway.record(got.id)["tokens"]
    assert [tokens[key] or 0 for key in ("input", "output", "cached", "reasoning")] == wanted and tokens["estimated"] is False


@pytest.mark.parametrize("usage, wanted", [
    ({"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 112, "completion_tokens_details": {"reasoning_tokens": 100}}, (9, 103, 0, 100)),
    ({"prompt_tokens": 9, "completion_tokens": 103, "total_tokens": 112, "completion_tokens_details": {"reasoning_tokens": 100}}, (9, 103, 0, 100)),
    ({"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12, "prompt_cache_hit_tokens": 8, "prompt_cache_miss_tokens": 1}, (9, 3, 8, 0)),
    ({"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12, "prompt_tokens_details": None}, (9, 3, 0, 0)),
])
@pytest.mark.parametrize("front", ["chat", "messages"])
def test_usage_of_whole_answers_in_the_words_of_openais_likes(start, usage, wanted, front):
    world = start(Upstream, answering(lambda request: answer(json.dumps({**PLAIN["chat"], "usage": usage}))))
    gateway = start(Gateway, single(world.url))
    path, body = ask_of(front, "m")
    tokens = gateway.record(gateway.ask("POST", path, body).id)["tokens"]
    assert tuple(tokens[key] or 0 for key in ("input", "output", "cached", "reasoning")) == wanted
