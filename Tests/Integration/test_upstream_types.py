"""What reaches an upstream of each type: where it is sent, how the key is shown, whose headers go along, and which bytes."""
import datetime
import json

import pytest

from providers import *
from rig import *
from scripted import *
from test_tls_upstreams import Authority


@pytest.fixture(scope="module")
def world():
    """All providers at once: what is asked of which is told by the path."""
    with Upstream(answering(usual)) as made:
        yield made
        assert not made.problems


def named(name: str, upstream: dict, model: str = "real-model") -> dict:
    """The upstream as the only one that serves the model NAME, which it knows as `model`."""
    return {**upstream, "models": [{"id": model, "alias": name}]}


def ask(gateway: Gateway, world: Upstream, front: str, model: str, stream: bool = False, headers=(), query: str = "", **more) -> tuple:
    """The answer, and the one request that reached the upstream for it."""
    before = len(world.requests)
    path, body = ask_of(front, model, stream, **more)
    got = gateway.ask("POST", path + query, body, headers)
    assert len(world.requests) == before + (got.status < 300), (got.status, got.body)
    return got, world.requests[-1] if got.status < 300 else None


# ---- where it is sent ----

VERTEX = "/v1/projects/p-1/locations/us-central1/publishers/google"
PLACES = [
    # name, type, options, front, stream, path and query as they arrive
    ("openai", "openai", {}, "chat", False, "/v1/chat/completions"),
    ("openai, completions", "openai", {}, "completions", False, "/v1/completions"),
    ("openai, responses", "openai", {}, "responses", False, "/v1/responses"),
    ("openai, embeddings", "openai", {}, "embeddings", False, "/v1/embeddings"),
    ("openai, for a client of Anthropic's", "openai", {}, "messages", True, "/v1/chat/completions"),
    ("openai of the Responses API alone", "openai", {"api": "responses"}, "chat", False, "/v1/responses"),
    ("openai without the Responses API", "openai", {"api": "chat"}, "responses", False, "/v1/chat/completions"),
    ("generic at a longer path", "generic", {"base": "/llm/api/v3"}, "chat", False, "/llm/api/v3/chat/completions"),
    ("generic at the root", "generic", {"base": ""}, "gemini", False, "/chat/completions"),
    ("azure, the resource", "azure", {"base": ""}, "chat", False, "/openai/deployments/real-model/chat/completions?api-version=2024-10-21"),
    ("azure, the resource, translated", "azure", {"base": ""}, "messages", True, "/openai/deployments/real-model/chat/completions?api-version=2024-10-21"),
    ("azure, embeddings", "azure", {"base": ""}, "embeddings", False, "/openai/deployments/real-model/embeddings?api-version=2024-10-21"),
    ("azure, completions", "azure", {"base": ""}, "completions", False, "/openai/deployments/real-model/completions?api-version=2024-10-21"),
    ("azure with /openai", "azure", {"base": "/openai"}, "chat", True, "/openai/deployments/real-model/chat/completions?api-version=2024-10-21"),
    ("azure, a deployment's whole URL", "azure", {"base": "/openai/deployments/fixed"}, "chat", False, "/openai/deployments/fixed/chat/completions?api-version=2024-10-21"),
    ("azure with a version of its own", "azure", {"base": "", "api_version": "2025-01-01-preview"}, "chat", False,
     "/openai/deployments/real-model/chat/completions?api-version=2025-01-01-preview"),
    ("azure v1", "azure", {"base": "/openai/v1"}, "chat", False, "/openai/v1/chat/completions"),
    ("azure v1, preview", "azure", {"base": "/openai/v1", "api_version": "preview"}, "chat", False, "/openai/v1/chat/completions?api-version=preview"),
    ("azure v1, responses", "azure", {"base": "/openai/v1"}, "responses", False, "/openai/v1/responses"),
    ("azure classic, responses become chat", "azure", {"base": ""}, "responses", False, "/openai/deployments/real-model/chat/completions?api-version=2024-10-21"),
    ("azure foundry", "azure", {"base": "/models"}, "chat", False, "/models/chat/completions?api-version=2024-05-01-preview"),
    ("azure foundry, embeddings", "azure", {"base": "/models"}, "embeddings", False, "/models/embeddings?api-version=2024-05-01-preview"),
    ("anthropic", "anthropic", {}, "messages", False, "/v1/messages"),
    ("anthropic with /v1", "anthropic", {"base": "/v1"}, "messages", True, "/v1/messages"),
    ("anthropic behind a path", "anthropic", {"base": "/anthropic"}, "chat", False, "/anthropic/v1/messages"),
    ("anthropic, a count", "anthropic", {}, "count", False, "/v1/messages/count_tokens"),
    ("gemini", "gemini", {}, "gemini", False, "/v1beta/models/real-model:generateContent"),
    ("gemini, stream", "gemini", {}, "gemini", True, "/v1beta/models/real-model:streamGenerateContent?alt=sse"),
    ("gemini with /v1beta", "gemini", {"base": "/v1beta"}, "chat", False, "/v1beta/models/real-model:generateContent"),
    ("gemini with /v1alpha", "gemini", {"base": "/v1alpha"}, "chat", True, "/v1alpha/models/real-model:streamGenerateContent?alt=sse"),
    ("gemini, embeddings", "gemini", {}, "embeddings", False, "/v1beta/models/real-model:batchEmbedContents"),
    ("gemini, a count", "gemini", {}, "count", False, "/v1beta/models/real-model:countTokens"),
    ("vertex", "gemini", {"base": VERTEX}, "gemini", False, VERTEX + "/models/real-model:generateContent"),
    ("vertex, stream", "gemini", {"base": VERTEX}, "chat", True, VERTEX + "/models/real-model:streamGenerateContent?alt=sse"),
    ("bedrock", "bedrock", {}, "chat", False, "/model/real-model/converse"),
    ("bedrock, stream", "bedrock", {}, "messages", True, "/model/real-model/converse-stream"),
    ("bedrock, a count", "bedrock", {}, "count", False, "/model/real-model/count-tokens"),
    ("cohere", "cohere", {}, "chat", False, "/v2/chat"),
    ("cohere with /v2", "cohere", {"base": "/v2"}, "chat", True, "/v2/chat"),
    ("cohere, embeddings", "cohere", {}, "embeddings", False, "/v2/embed"),
    ("mistral", "mistral", {}, "chat", True, "/v1/chat/completions"),
    ("mistral, embeddings", "mistral", {}, "embeddings", False, "/v1/embeddings"),
    ("ollama", "ollama", {}, "ollama", True, "/api/chat"),
    ("ollama, generate", "ollama", {}, "generate", True, "/api/generate"),
    ("ollama, for a client of OpenAI's", "ollama", {}, "chat", True, "/api/chat"),
    ("ollama, embeddings", "ollama", {}, "embeddings", False, "/api/embed"),
    ("ollama behind a path", "ollama", {"base": "/ollama"}, "messages", False, "/ollama/api/chat"),
]
KEYS = {
    "openai": ("authorization", "Bearer key-of-openai"), "generic": ("authorization", "Bearer key-of-generic"), "azure": ("api-key", "key-of-azure"),
    "mistral": ("authorization", "Bearer key-of-mistral"), "anthropic": ("x-api-key", "key-of-anthropic"), "gemini": ("x-goog-api-key", "key-of-gemini"),
    "bedrock": ("authorization", "Bearer key-of-bedrock"), "cohere": ("authorization", "Bearer key-of-cohere"), "ollama": ("authorization", "Bearer key-of-ollama"),
}
CREDENTIALS = [("authorization", "Bearer sk-client-1"), ("x-api-key", "sk-client-2"), ("x-goog-api-key", "AIzaClient3"), ("api-key", "client-4")]


@pytest.fixture
def town(house, world):
    """A gateway with every place of the table."""
    upstreams = {f"place-{at}": named(f"place-{at}", upstream(kind, world.url, **options)) for at, (_, kind, options, *_) in enumerate(PLACES)}
    return house.gateway({"upstreams": upstreams})


@pytest.mark.parametrize("at", range(len(PLACES)), ids=[row[0] for row in PLACES])
def test_where_a_request_goes_and_whose_key_it_shows(town, world, at):
    name, kind, options, front, stream, target = PLACES[at]
    got, sent = ask(town, world, front, f"place-{at}", stream, CREDENTIALS)
    assert got.status == 200, got.body
    assert sent.method == "POST" and sent.target == target
    header, value = ("authorization", "Bearer key-of-gemini") if options.get("base") == VERTEX else KEYS[kind]
    assert sent.headers[header] == [value]
    # Whatever the client showed the gateway is nobody else's business.
    assert not any("client" in value.lower() for values in sent.headers.values() for value in values), sent.headers
    for other in {"authorization", "x-api-key", "x-goog-api-key", "api-key"} - {header}:
        assert other not in sent.headers
    assert sent.headers["content-type"] == ["application/json"] and sent.headers["host"] == [f"127.0.0.1:{world.port}"]
    body = sent.json()
    if "real-model" in target or kind == "bedrock":
        assert "model" not in body or body["model"] == "real-model"
    elif kind != "azure" or "fixed" not in target:
        assert body["model"] == "real-model"
    # The answer names the model that the client asked for, or the provider's; the client got the text.
    if front in FRONTS:
        assert (got.text if front == "chat" and stream else "hel" in got.body.decode()), got.body
        record = town.record(got.id)
        assert record["provider"] == kind and record["upstream_name"] == f"place-{at}" and record["model_requested"] == f"place-{at}" and record["model_id"] == "real-model"
        assert record["tokens"]["input"] == 7 or front == "completions" and stream
        assert record["tokens"]["output"] == 3


def test_vertex_by_project_and_location(start, tmp_path):
    """Reached through a proxy that shows what the gateway wants to reach."""
    inner: list[Request] = []

    def script(peer: Peer):
        target = peer.head().split(b" ")[1].decode()
        peer.send(b"HTTP/1.1 200 Connection established\r\n\r\n")
        peer.sock = context.wrap_socket(peer.sock, server_side=True)
        request = peer.request()
        inner.append((target, request))
        peer.send(usual(request))

    context = Authority(tmp_path).context("vertex")
    proxy = start(Upstream, script)
    own = {"type": "gemini", "api_key": "ya29.token", "project": "p-1", "proxy": proxy.url, "protocol": "http1", "tls": {"insecure_skip_verify": True}}
    gateway = start(Gateway, {"upstreams": {
        "here": {**own, "location": "us-central1", "models": ["near"]}, "anywhere": {**own, "models": ["far"]}}})
    for model, host, location in (("near", "us-central1-aiplatform.googleapis.com", "us-central1"), ("far", "aiplatform.googleapis.com", "global")):
        got = gateway.chat(model=model)
        assert got.status == 200, got.body
        target, request = inner[-1]
        assert target == f"{host}:443" and request.header("host") == host
        assert request.target == f"/v1/projects/p-1/locations/{location}/publishers/google/models/{model}:generateContent"
        assert request.header("authorization") == "Bearer ya29.token" and "x-goog-api-key" not in request.headers


# ---- headers of the dialects ----

def test_anthropics_version_is_the_gateways_unless_the_client_speaks_the_dialect(house, world):
    gateway = house.gateway({"upstreams": {"a": named("claude", upstream("anthropic", world.url)), "o": named("gpt", upstream("openai", world.url))}})
    _, sent = ask(gateway, world, "messages", "claude")
    assert sent.headers["anthropic-version"] == ["2023-06-01"] and "anthropic-beta" not in sent.headers
    own = [("anthropic-version", "2099-01-01"), ("anthropic-beta", "one-2025,two-2025")]
    _, sent = ask(gateway, world, "messages", "claude", headers=own)
    assert sent.headers["anthropic-version"] == ["2099-01-01"] and sent.headers["anthropic-beta"] == ["one-2025,two-2025"]
    # A client of another dialect that sends them all the same.
    _, sent = ask(gateway, world, "chat", "claude", headers=[*own, ("openai-beta", "x"), ("x-stainless-lang", "python")])
    assert sent.headers["anthropic-version"] == ["2023-06-01"]
    assert not {"anthropic-beta", "openai-beta", "x-stainless-lang"} & set(sent.headers)
    # And towards another dialect.
    _, sent = ask(gateway, world, "messages", "gpt", headers=own)
    assert not {"anthropic-beta", "anthropic-version"} & set(sent.headers)


def test_headers_of_the_configuration_go_along_whatever_is_translated(house, world):
    extra = {"headers": {"x-team": "blue", "anthropic-beta": "fixed-2025"}}
    gateway = house.gateway({"upstreams": {"a": named("claude", upstream("anthropic", world.url, **extra))}})
    for front in ("messages", "chat"):
        _, sent = ask(gateway, world, front, "claude", headers=[("x-team", "red"), ("anthropic-beta", "client")])
        assert sent.headers["x-team"] == ["blue"] and sent.headers["anthropic-beta"] == ["fixed-2025"]


@pytest.mark.parametrize("query, arrives", [
    ("", ""), ("?key=AIzaClient", ""), ("?alt=sse&key=AIzaClient", "?alt=sse"), ("?key=AIzaClient&alt=sse", "?alt=sse"), ("?key=a&%24fields=x&key=b", "?%24fields=x"),
    ("?%6Bey=AIzaClient", ""), ("?access_token=ya29.client&alt=sse", "?alt=sse"), ("?keyword=x", "?keyword=x"),
])
def test_the_key_in_a_clients_query_is_never_forwarded(house, world, query, arrives):
    gateway = house.gateway({"upstreams": {"g": named("flash", upstream("gemini", world.url)), "o": named("gpt", upstream("openai", world.url))}})
    got = gateway.ask("POST", "/v1beta/models/flash:generateContent" + query, ask_of("gemini", "flash")[1])
    assert got.status == 200 and world.requests[-1].target == "/v1beta/models/real-model:generateContent" + arrives
    got = gateway.ask("POST", "/v1beta/models/gpt:generateContent" + query, ask_of("gemini", "gpt")[1])
    assert got.status == 200 and world.requests[-1].target == "/v1/chat/completions"


def test_a_gemini_stream_is_an_array_unless_events_are_asked_for(house, world):
    """Passed through, both forms are the upstream's; translated, the gateway writes the form that was asked for."""
    gateway = house.gateway({"upstreams": {"g": named("flash", upstream("gemini", world.url)), "o": named("gpt", upstream("openai", world.url))}})
    body = ask_of("gemini", "x")[1]
    gateway.ask("POST", "/v1beta/models/flash:streamGenerateContent", body)
    assert world.requests[-1].target == "/v1beta/models/real-model:streamGenerateContent"
    got = gateway.ask("POST", "/v1beta/models/gpt:streamGenerateContent", body)
    assert got.header("content-type") == "application/json"
    values = got.json()
    assert isinstance(values, list) and "".join(part["text"] for one in values for part in one["candidates"][0]["content"].get("parts", [])) == "hello"
    got = gateway.ask("POST", "/v1beta/models/gpt:streamGenerateContent?alt=sse", body)
    assert got.header("content-type").startswith("text/event-stream") and len(got.events) >= 2


# ---- quirks ----

QUIRKS = {
    # name: what a request of everything becomes
    "vllm": {"max_tokens": 9, "top_k": 5, "seed": 3},
    "llama_cpp": {"max_tokens": 9, "top_k": 5, "seed": 3},
    "deepseek": {"max_tokens": 9, "seed": None},
    "groq": {"max_completion_tokens": 9, "seed": 3, "metadata": None},
    "xai": {"max_completion_tokens": 9, "seed": 3, "metadata": None},
    "openrouter": {"max_completion_tokens": 9, "top_k": 5, "seed": 3},
    "together": {"max_tokens": 9, "top_k": 5, "seed": 3},
    "perplexity": {"max_tokens": 9, "seed": None},
    "cerebras": {"max_completion_tokens": 9, "seed": 3},
    "zai": {"max_tokens": 9, "seed": None},
    "mistral": {"max_tokens": 9, "random_seed": 3, "seed": None},
    "azure": {"max_completion_tokens": 9, "seed": 3},
    "ollama": {"max_tokens": 9, "seed": 3},
    "huggingface": {"max_tokens": 9, "seed": 3},
}


@pytest.mark.parametrize("name", QUIRKS)
def test_named_quirks_decide_over_the_words_of_a_translated_request(house, world, name):
    gateway = house.gateway({"server": {"drop_unsupported": True}, "upstreams": {
        **{f"q-{one}": named(f"q-{one}", upstream("generic", world.url, quirks=one)) for one in QUIRKS}, "o": named("o", upstream("openai", world.url))}})
    got, sent = ask(gateway, world, "gemini", f"q-{name}", stream=True, systemInstruction={"parts": [{"text": "be brief"}]},
                    generationConfig={"maxOutputTokens": 9, "seed": 3, "topK": 5})
    assert got.status == 200, got.body
    body = sent.json()
    assert {key: body.get(key) for key in QUIRKS[name]} == QUIRKS[name]
    assert "max_completion_tokens" not in body or "max_tokens" not in body
    assert body["messages"][0]["role"] == "system"
    if name in ("mistral", "perplexity"):
        assert "stream_options" not in body
    if "top_k" not in QUIRKS[name]:
        assert "top_k" not in body and "topK" in got.header("x-openclaw-dropped")


# ---- models ----

def test_the_model_that_is_sent_is_that_of_the_alias_of_the_route_or_of_its_map(house, world):
    upstreams = {kind: upstream(kind, world.url) for kind in TYPES}
    upstreams["openai"]["models"] = [{"id": "gpt-real", "alias": "nick"}]
    routes = [{"id": f"map-{kind}", "match": {"json_body": {"user": f"map-{kind}"}}, "strategy": {"upstreams": [kind]}, "model_map": {"nick": f"mapped-{kind}"}} for kind in TYPES]
    routes += [{"id": f"named-{kind}", "match": {"json_body": {"user": f"named-{kind}"}}, "strategy": {"upstreams": [{"name": kind, "model": f"named-{kind}"}]}} for kind in TYPES]
    routes += [{"id": "rest", "strategy": {"upstreams": ["openai"]}}]
    gateway = house.gateway({"upstreams": upstreams, "routes": routes})
    for kind in TYPES:
        for way in ("map", "named"):
            wanted = f"mapped-{kind}" if way == "map" else f"named-{kind}"
            got, sent = ask(gateway, world, "chat", "nick", user=f"{way}-{kind}")
            assert got.status == 200, got.body
            in_path = kind in ("gemini", "bedrock")
            assert (wanted in sent.target) == in_path and (in_path or sent.json()["model"] == wanted), (sent.target, sent.body)
            record = gateway.record(got.id)
            assert record["model_requested"] == "nick" and record["model_id"] == wanted and record["attempts"][0]["model"] == wanted
    _, sent = ask(gateway, world, "chat", "nick")
    assert sent.json()["model"] == "gpt-real"


@pytest.mark.parametrize("written, segment", [(b"meta-llama\\/Llama-4", "meta-llama%2FLlama-4"), (b"a\\u003ab", "a%3Ab"), ("café".encode(), "caf%C3%A9"), (b"a?b#c", "a%3Fb%23c"), (b"../../x", "..%2F..%2Fx")])
def test_a_models_name_in_a_path_is_its_text_and_one_segment(house, world, written, segment):
    """Whatever JSON allows for writing it; some encoders escape every slash."""
    gateway = house.gateway({"upstreams": {kind: upstream(kind, world.url) for kind in ("gemini", "bedrock")}, "routes": [
        {"id": kind, "match": {"headers": {"x-to": kind}}, "strategy": {"upstreams": [kind]}} for kind in ("gemini", "bedrock")]})
    for kind, target in (("gemini", f"/v1beta/models/{segment}:generateContent"), ("bedrock", f"/model/{segment}/converse")):
        got = gateway.ask("POST", "/v1/chat/completions", b'{"model":"%s","messages":[{"role":"user","content":"hi"}]}' % written, [("x-to", kind)])
        assert got.status == 200 and world.requests[-1].target == target, (got.body, world.requests[-1].target)


# ---- Bedrock ----

MODEL_PATHS = [
    ("anthropic.claude-3-haiku-20240307-v1:0", "anthropic.claude-3-haiku-20240307-v1%3A0"),
    ("us.amazon.nova-lite-v1:0", "us.amazon.nova-lite-v1%3A0"),
    ("arn:aws:bedrock:us-east-1:000000000000:inference-profile/us.amazon.nova-lite-v1:0",
     "arn%3Aaws%3Abedrock%3Aus-east-1%3A000000000000%3Ainference-profile%2Fus.amazon.nova-lite-v1%3A0"),
    ("arn:aws:bedrock:us-east-1:000000000000:application-inference-profile/a1b2c3", "arn%3Aaws%3Abedrock%3Aus-east-1%3A000000000000%3Aapplication-inference-profile%2Fa1b2c3"),
    ("m_~.-9", "m_~.-9"),
]
ACCESS, SECRET = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"


def test_the_tests_own_signatures_are_amazons():
    vectors = json.loads((shared() / "providers/vectors/sigv4-bedrock.json").read_text())
    for case in vectors["cases"]:
        headers = {name.lower(): value for name, value in case["headers"].items()} | {"host": "bedrock-runtime.us-east-1.amazonaws.com"}
        signed = re.search(r"SignedHeaders=([^,]+)", headers["authorization"])[1].split(";")
        scope = re.search(r"Credential=[^/]+/([^,]+)", headers["authorization"])[1]
        path = case["url"].removeprefix("https://bedrock-runtime.us-east-1.amazonaws.com")
        canonical, made = signature(vectors["secret_key"], "POST", path, "", headers, signed, case["body"].encode(), scope, vectors["time"])
        assert canonical == case["canonical_request"] and headers["authorization"].endswith(made)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("token", [None, "SESSION/TOKEN+EXAMPLE=="])
def test_bedrock_requests_are_signed_and_their_models_are_one_segment_of_the_path(house, world, token, stream):
    aws = {"access_key_id": ACCESS, "secret_access_key": SECRET, **({"session_token": token} if token else {})}
    own = {"type": "bedrock", "base_url": world.url, "region": "eu-central-1", "aws": aws}
    gateway = house.gateway({"upstreams": {"b": {**own, "models": [model for model, _ in MODEL_PATHS]}}})
    for model, segment in MODEL_PATHS:
        for front in ("chat", "messages", "gemini"):
            got, sent = ask(gateway, world, front, model, stream, CREDENTIALS)
            assert got.status == 200, got.body
            assert sent.target == f"/model/{segment}/converse{'-stream' if stream else ''}"
            check_signature(sent, ACCESS, SECRET, "eu-central-1", token)
            assert "model" not in sent.json() and not {"x-api-key", "x-goog-api-key", "api-key"} & set(sent.headers)


def test_a_configured_key_of_bedrock_is_a_bearer_token(house, world):
    gateway = house.gateway({"upstreams": {"b": named("nova", upstream("bedrock", world.url))}})
    _, sent = ask(gateway, world, "chat", "nova")
    assert sent.headers["authorization"] == ["Bearer key-of-bedrock"] and "x-amz-date" not in sent.headers


NO_AWS = {name: "" for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE",
                                "AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_REGION", "AWS_DEFAULT_REGION")} | {"HOME": "/nonexistent"}


def test_credentials_of_the_environment(house, world):
    gateway = house.gateway({"upstreams": {"b": {"type": "bedrock", "base_url": world.url, "models": ["nova"]}}}, {
        **NO_AWS, "AWS_ACCESS_KEY_ID": "AKIAENVIRONMENT", "AWS_SECRET_ACCESS_KEY": "of the environment", "AWS_SESSION_TOKEN": "tok", "AWS_REGION": "ap-south-1"})
    _, sent = ask(gateway, world, "chat", "nova")
    check_signature(sent, "AKIAENVIRONMENT", "of the environment", "ap-south-1", "tok")


PROFILES = """[default]
aws_access_key_id = AKIADEFAULT
aws_secret_access_key = of default

[work]
aws_access_key_id=AKIAWORK
aws_secret_access_key = of work   
aws_session_token = work-token
"""


@pytest.mark.parametrize("aws, environment, key", [
    ({}, {}, ("AKIADEFAULT", "of default", None)), ({"profile": "work"}, {}, ("AKIAWORK", "of work", "work-token")), ({}, {"AWS_PROFILE": "work"}, ("AKIAWORK", "of work", "work-token")),
    ({"profile": "default"}, {"AWS_ACCESS_KEY_ID": "AKIAX", "AWS_SECRET_ACCESS_KEY": "x"}, ("AKIADEFAULT", "of default", None)),
])
def test_credentials_of_a_profile_file(house, world, tmp_path_factory, aws, environment, key):
    file = tmp_path_factory.getbasetemp() / "aws-profiles"
    file.write_text(PROFILES)
    config = {"upstreams": {"b": {"type": "bedrock", "base_url": world.url, "region": "us-east-1", "models": ["nova"], "aws": aws}}}
    gateway = house.gateway(config, {**NO_AWS, **environment, "AWS_SHARED_CREDENTIALS_FILE": str(file)})
    _, sent = ask(gateway, world, "chat", "nova")
    check_signature(sent, key[0], key[1], token=key[2])


def test_a_file_named_in_the_configuration_is_used_instead(house, world, tmp_path_factory):
    file = tmp_path_factory.getbasetemp() / "aws-own"
    file.write_text(PROFILES)
    config = {"upstreams": {"b": {"type": "bedrock", "base_url": world.url, "region": "us-east-1", "models": ["nova"], "aws": {"credentials_file": str(file), "profile": "work"}}}}
    _, sent = ask(house.gateway(config, NO_AWS), world, "chat", "nova")
    check_signature(sent, "AKIAWORK", "of work", token="work-token")


def test_credentials_of_a_containers_endpoint_are_renewed_before_they_expire(start, world, tmp_path):
    """The endpoint is asked with the token of a file, again before what it gave expires, and with the file's new token then. While it is down and nothing is
    left, requests get a 503 and the operator is told; once it is back so are they."""
    serial, lifetime, is_up = [0], [4], [True]
    token_file = tmp_path / "token"
    token_file.write_text("first-token\n")

    def credentials(request: Request):
        if not is_up[0]:
            return answer(b'{"code": "Down", "message": "not now"}', 500, "Down")
        serial[0] += 1
        until = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=lifetime[0])
        return answer(json.dumps({"AccessKeyId": f"ASIA{serial[0]}", "SecretAccessKey": f"secret {serial[0]}", "Token": f"token-{serial[0]}",
                                  "Expiration": until.strftime("%Y-%m-%dT%H:%M:%SZ")}))

    endpoint = start(Upstream, answering(credentials))
    gateway = start(Gateway, {"upstreams": {"b": {"type": "bedrock", "base_url": world.url, "region": "us-east-1", "models": ["nova"]}}}, environment={
        **NO_AWS, "AWS_CONTAINER_CREDENTIALS_FULL_URI": endpoint.url + "/creds?x=1", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": str(token_file)})

    def used() -> int:
        got = gateway.chat(model="nova")
        if got.status != 200:
            return 0
        sent = world.requests[-1]
        number = int(sent.header("authorization").split("/")[0].rsplit("ASIA", 1)[1])
        check_signature(sent, f"ASIA{number}", f"secret {number}", token=f"token-{number}")
        return number

    first = wait_for(used, what="the first credentials")
    assert endpoint.requests[0].target == "/creds?x=1" and endpoint.requests[0].header("authorization") == "first-token"
    token_file.write_text("second-token")
    wait_for(lambda: used() > first, what="renewed credentials")
    wait_for(lambda: endpoint.requests[-1].header("authorization") == "second-token", what="the file's new token")
    is_up[0] = False
    got = wait_for(lambda: (lambda got: got if got.status != 200 else None)(gateway.chat(model="nova")), what="the end of the credentials")
    assert got.status == 503 and got.error["code"] == "upstream_credentials_missing", got.body
    assert gateway.record(got.id)["error_class"] == "auth"
    gateway.messages.wait(r"upstreams\.b\.aws: .*(not now|500)")
    is_up[0], lifetime[0] = True, 3600
    wait_for(used, what="credentials again")
    gateway.messages.wait(r"upstreams\.b\.aws: there are credentials again")


def test_without_credentials_the_next_candidate_is_asked(start, world):
    config = {"upstreams": {"b": {"type": "bedrock", "base_url": world.url, "region": "us-east-1", "models": ["nova"]}, "o": named("nova", upstream("openai", world.url))}}
    gateway = start(Gateway, config, environment=NO_AWS)
    got, sent = ask(gateway, world, "chat", "nova")
    assert got.status == 200 and sent.target == "/v1/chat/completions"
    assert [attempt["class"] for attempt in gateway.record(got.id)["attempts"]] == ["auth", None]
