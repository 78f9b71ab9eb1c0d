"""Errors of providers: every recorded one to clients of every dialect, with its class in the log and its message kept, without keys and addresses of machines;
and the lists of models, which the gateway answers itself."""
import json

import pytest

from providers import *
from rig import *
from scripted import *
from test_usage_and_cost import APIS, RECORDED, admin, gateway_of, is_stream, model_of, needs_recordings, replay  # noqa: F401 (replay is a fixture)

ERRORS = [one for one in RECORDED.values() if one["response"]["status"] >= 400 and one["api"] in {**APIS, "perplexity.chat": 0, "openai.other": 0}]


def class_of(one: dict) -> str:
    """What a reader of the recorded answer would call it (../shared/spec/resilience.md)."""
    name, status = one["id"], one["response"]["status"]
    if "context" in name or name == "other/perplexity-error-400":
        return "context_too_long"
    if status in (401, 403) or name.endswith("400-key"):
        return "auth"
    if status == 404 or "error-400-model" in name:
        return "model_missing"
    return {429: "rate_limited", 503: "overloaded", 529: "overloaded", 500: "server_error"}.get(status, "bad_request")


def message_of(one: dict) -> str:
    text = one["response"]["body"]["text"]
    try:
        value = json.loads(text)
    except ValueError:
        return text
    error = value.get("error")
    return error["message"] if isinstance(error, dict) else error or value.get("message") or value.get("detail")


# The status each dialect has for a class; a provider's own where client and provider speak the same.
STATUS = {"auth": {401, 403}, "model_missing": {404}, "context_too_long": {400, 413}, "rate_limited": {429}, "overloaded": {503, 529}, "server_error": {500, 502}, "bad_request": {400, 422}}
OURS = {"openai.other": ("openai", {}), "perplexity.chat": ("generic", {"quirks": "perplexity"})}


@needs_recordings
@pytest.mark.parametrize("front", FRONTS)
@pytest.mark.parametrize("one", ERRORS, ids=[one["id"] for one in ERRORS])
def test_a_recorded_error(house, replay, one, front):  # noqa: F811
    embeds = "embed" in one["api"]
    if embeds and front not in ("chat", "ollama"):
        pytest.skip("this dialect's embeddings are asked for with the others")
    kind, options = OURS.get(one["api"]) or APIS.get(one["api"], ("cohere", {}))[:2]
    upstreams = {api: upstream(*(OURS.get(api) or APIS[api])[:1], replay.url, **(OURS.get(api) or APIS[api])[1]) for api in [*APIS, *OURS]}
    upstreams = {name.replace(".", "-").replace("_", "-"): value for name, value in upstreams.items()}
    routes = [{"id": name, "match": {"headers": {"x-to": name}}, "strategy": {"upstreams": [name]}} for name in upstreams]
    gateway = house.gateway({"upstreams": upstreams, "routes": routes})
    path, body = ask_of({"chat": "embeddings", "ollama": "embed"}[front] if embeds else front, model_of(one), is_stream(one))
    got = gateway.ask("POST", path, body, [("x-to", one["api"].replace(".", "-").replace("_", "-")), ("x-mock-recording", one["id"])])
    wanted, status = class_of(one), one["response"]["status"]
    # Google answers a wrong key with 400, OpenAI's Responses API an unknown model.
    also = {("gemini", "auth"): {400}, ("responses", "model_missing"): {400}}.get((front, wanted), set())
    same = TYPES[kind][0] == {"completions": "chat", "responses": "chat", "generate": "ollama"}.get(front, front)
    assert got.status in ({status} if same else STATUS[wanted] | also), (wanted, got.status, got.body)
    record = gateway.record(got.id)
    assert (record["error_class"], [attempt["class"] for attempt in record["attempts"]]) == (wanted, [wanted]), record
    assert record["attempts"][0]["status"] == status and record["status"] == got.status
    text = got.body.decode()
    try:
        value = got.json()
    except ValueError:
        assert text == one["response"]["body"]["text"]
        return
    message = value["error"]["message"] if isinstance(value["error"], dict) else value["error"]
    if not same:
        assert error_of(front, value)[0] == message
    assert message == message_of(one) or message in message_of(one) or message_of(one) in message, (message, message_of(one))


SECRETS = [
    ("Incorrect API key provided: sk-proj-abcdefghijklmnop1234.", ["sk-proj-abcdefghijklmnop1234"]), ("Incorrect API key provided: sk-abcd********************wxyz.", ["wxyz", "abcd"]),
    ("key AIzaSyD-1234567890abcdefghijklmnopqrstu is bad", ["AIzaSyD"]), ("connect to http://10.1.2.3:8080/v1/x failed", ["10.1.2.3"]), ("see http://vllm.models.svc.cluster.local:8000/v1", ["vllm.models"]),
    ("upstream https://user:secret@example.com/x refused", ["secret"]), ("see https://platform.openai.com/account", []), ("token Bearer abcdefghijklmnopqrstuvwxyz", ["abcdefghijklmnop"]),
    ("localhost: http://localhost:11434/api", ["11434"]), ("the key AKIAIOSFODNN7EXAMPLE is unknown", ["AKIAIOSFODNN7EXAMPLE"]),
]


@pytest.mark.parametrize("kind", ["openai", "anthropic", "gemini", "bedrock", "cohere", "ollama", "mistral"])
@pytest.mark.parametrize("front", FRONTS)
def test_keys_and_addresses_are_taken_out_and_the_rest_is_kept(house, kind, front):
    forms = {"chat": lambda text: {"error": {"message": text, "type": "x", "param": None, "code": None}}, "messages": lambda text: {"type": "error", "error": {"type": "x", "message": text}},
             "gemini": lambda text: {"error": {"code": 400, "message": text, "status": "INVALID_ARGUMENT"}}, "converse": lambda text: {"message": text}, "cohere": lambda text: {"message": text},
             "ollama": lambda text: {"error": text}}
    form = forms[TYPES[kind][0]]
    world = house.world(f"secrets-{kind}", answering(lambda request: answer(json.dumps(form(SECRETS[int(request.header("x-case"))][0])), 400, "Bad Request")))
    gateway = house.gateway({"upstreams": {"u": upstream(kind, world.url)}})
    for at, (text, hidden) in enumerate(SECRETS):
        path, body = ask_of(front, "m")
        got = gateway.ask("POST", path, body, [("x-case", str(at))])
        message = error_of(front, got.json())[0]
        assert got.status in (400, 401) and not any(one in got.body.decode() for one in hidden), message
        assert message.split()[0] == text.split()[0] and (hidden or message == text), message


# ---- lists of models ----

@pytest.fixture
def listing(house):
    return house.gateway({"upstreams": {
        "a": {**upstream("anthropic", "http://127.0.0.1:9"), "models": [{"id": "claude-real", "alias": "claude-x"}, "claude-y"]}, "g": {**upstream("gemini", "http://127.0.0.1:9"), "models": ["flash"]},
        "o": {**upstream("ollama", "http://127.0.0.1:9"), "models": ["llama:8b"]}}})


NAMES = ["claude-x", "claude-y", "flash", "llama:8b"]


def test_models_in_openais_form(listing):
    got = listing.ask("GET", "/v1/models")
    assert got.status == 200 and got.json()["object"] == "list"
    assert [model["id"] for model in got.json()["data"]] == NAMES
    assert all(model["object"] == "model" and isinstance(model["created"], int) and isinstance(model["owned_by"], str) for model in got.json()["data"])
    assert listing.ask("GET", "/v1/models/llama:8b").json()["id"] == "llama:8b"
    got = listing.ask("GET", "/v1/models/nobody")
    assert got.status == 404 and got.error["code"] == "model_not_found"


def test_models_in_anthropics_form_for_who_names_its_version(listing):
    headers = [("anthropic-version", "2023-06-01"), ("x-api-key", "sk-ant-x")]
    got = listing.ask("GET", "/v1/models?limit=1000", headers=headers)
    value = got.json()
    assert got.status == 200 and [model["id"] for model in value["data"]] == NAMES
    assert value["has_more"] is False and value["first_id"] == NAMES[0] and value["last_id"] == NAMES[-1]
    assert all(model["type"] == "model" and isinstance(model["display_name"], str) and re.fullmatch(r"\d{4}-\d\d-\d\dT.*", model["created_at"]) for model in value["data"])
    got = listing.ask("GET", "/v1/models/claude-x", headers=headers)
    assert got.json()["type"] == "model" and got.json()["id"] == "claude-x"
    got = listing.ask("GET", "/v1/models/nobody", headers=headers)
    assert got.status == 404 and got.json()["type"] == "error" and got.error["type"] == "not_found_error"


def test_models_in_geminis_form(listing):
    got = listing.ask("GET", "/v1beta/models?pageSize=50")
    assert got.status == 200 and [model["name"] for model in got.json()["models"]] == [f"models/{name}" for name in NAMES]
    assert all("generateContent" in model["supportedGenerationMethods"] for model in got.json()["models"])
    assert listing.ask("GET", "/v1beta/models/flash").json()["name"] == "models/flash"
    got = listing.ask("GET", "/v1beta/models/nobody")
    assert got.status == 404 and error_of("gemini", got.json()) and got.error["status"] == "NOT_FOUND"


def test_models_in_ollamas_form(listing):
    got = listing.ask("GET", "/api/tags")
    assert got.status == 200 and [model["name"] for model in got.json()["models"]] == NAMES
    assert all(model["model"] == model["name"] and "modified_at" in model and "details" in model for model in got.json()["models"])
