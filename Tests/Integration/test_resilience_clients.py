"""What clients see of failures, through the official SDKs: the gateway's own 429 and 503 in each dialect's form, and never a stream that ends as if it were whole when
its upstream died. (test_sdk_*.py have the errors of upstreams and streams that are reset or break off with an error event.)"""
import anthropic
import cohere
import ollama
import openai
import pytest
from cohere import errors as cohere_errors
from cohere.core.api_error import ApiError
from google import genai
from google.genai import errors as gemini_errors
from google.genai import types
from mistralai.client import Mistral
from mistralai.client.errors import MistralError

from resilience import *
from sdkrig import DIALECTS, upstream

MESSAGES = [{"role": "user", "content": "hello"}]


def of_gemini(url, headers):
    return genai.Client(api_key="none", http_options=types.HttpOptions(base_url=url, headers=headers, timeout=int(DEADLINE * 1000)))


# ---- one call through each SDK: (url, model, headers, stream) → yields texts, raises what the SDK raises

def by_openai(url, model, headers, stream):
    with openai.OpenAI(base_url=url + "/v1", api_key="sk", max_retries=0, timeout=DEADLINE) as client:
        got = client.chat.completions.create(model=model, messages=MESSAGES, stream=stream, extra_headers=headers)
        if stream:
            for part in got:
                yield from (choice.delta.content for choice in part.choices if choice.delta.content)


def by_responses(url, model, headers, stream):
    with openai.OpenAI(base_url=url + "/v1", api_key="sk", max_retries=0, timeout=DEADLINE) as client:
        got = client.responses.create(model=model, input="hello", stream=stream, extra_headers=headers)
        last = None
        for event in got if stream else ():
            last = event
            if event.type == "response.output_text.delta":
                yield event.delta
        # Its errors are events, which the SDK hands on.
        if stream and last.type in ("error", "response.failed"):
            raise openai.APIError("told", None, body=None)


def by_anthropic(url, model, headers, stream):
    with anthropic.Anthropic(base_url=url, api_key="sk", max_retries=0, timeout=DEADLINE) as client:
        got = client.messages.create(model=model, messages=MESSAGES, max_tokens=64, stream=stream, extra_headers=headers)
        if stream:
            for event in got:
                if event.type == "content_block_delta":
                    yield event.delta.text


def by_gemini(url, model, headers, stream):
    client = of_gemini(url, headers)
    if not stream:
        return client.models.generate_content(model=model, contents="hello")
    for part in client.models.generate_content_stream(model=model, contents="hello"):
        yield part.text


def by_ollama(url, model, headers, stream):
    got = ollama.Client(host=url, headers=headers, timeout=DEADLINE).chat(model=model, messages=MESSAGES, stream=stream)
    for part in got if stream else ():
        yield part.message.content


def by_mistral(url, model, headers, stream):
    with Mistral(api_key="none", server_url=url, timeout_ms=int(DEADLINE * 1000)) as client:
        if not stream:
            client.chat.complete(model=model, messages=MESSAGES, http_headers=headers)
            return
        with client.chat.stream(model=model, messages=MESSAGES, http_headers=headers) as events:
            for event in events:
                yield from (choice.delta.content for choice in event.data.choices if choice.delta.content)


def by_cohere(url, model, headers, stream):
    client = cohere.ClientV2("none", base_url=url, timeout=DEADLINE, log_warning_experimental_features=False)
    options = {"additional_headers": headers, "max_retries": 0}
    if not stream:
        client.chat(model=model, messages=MESSAGES, request_options=options)
        return
    last, begun = None, 0
    for event in client.chat_stream(model=model, messages=MESSAGES, request_options=options):
        last = event
        begun += event.type == "message-start"
        if event.type == "content-delta":
            yield event.delta.message.content.text
    # The SDK raises nothing: its last event says it.
    assert begun == 1
    if last.type == "message-end" and last.delta.finish_reason in ("ERROR", "TIMEOUT") and last.delta.error:
        raise cohere_errors.ServiceUnavailableError("told")


SDKS = {"openai": (by_openai, openai.APIError), "responses": (by_responses, openai.APIError), "anthropic": (by_anthropic, anthropic.APIError), "gemini": (by_gemini, gemini_errors.APIError),
        "ollama": (by_ollama, ollama.ResponseError), "mistral": (by_mistral, MistralError), "cohere": (by_cohere, ApiError)}


# ---- streams whose upstream dies

@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """A gateway with two upstreams of each type, one behind the other. What an SDK reads does not depend on the kernel's interface."""
    first, spare = Mock(tokens=24, thinking=0), Mock(tokens=24, thinking=0, seed=2)
    upstreams = {kind: {**upstream(kind, first.url), "idle_stream_timeout_seconds": 0.5} for kind in DIALECTS} | {f"{kind}-spare": upstream(kind, spare.url) for kind in DIALECTS}
    gateway = Gateway({"upstreams": upstreams}, tmp_path_factory.mktemp("pair"), BACKENDS[0])
    texts = [one.chat().json()["choices"][0]["message"]["content"] for one in map(lambda mock: Client(mock.port), (first, spare))]
    yield gateway, first, spare, texts
    for one in (gateway, first, spare):
        one.stop()


DEATHS = {"reset": {"x-mock-reset": "events:8"}, "silence": {"x-mock-stall": "8"}, "an error event": {"x-mock-error-after": "8"}}


@pytest.mark.parametrize("death", list(DEATHS))
@pytest.mark.parametrize("kind", DIALECTS)
@pytest.mark.parametrize("sdk", list(SDKS))
def test_SS_04_SS_06_a_stream_whose_upstream_dies_never_looks_whole(pair, sdk, kind, death):
    gateway, first, spare, whole = pair
    work, raises = SDKS[sdk]
    texts = []
    with pytest.raises(raises):
        for text in work(gateway.url, kind, DEATHS[death], True):
            texts.append(text)
    # What arrived is the beginning of one answer: of the first's, or of the other's where nothing had gone out yet (the mock's error comes in the same breath).
    text = "".join(text for text in texts if text)
    assert text and any(one.startswith(text) for one in whole), (text, whole)


@pytest.mark.parametrize("kind", DIALECTS)
@pytest.mark.parametrize("sdk", list(SDKS))
def test_SS_03_a_stream_whose_upstream_dies_in_front_of_its_content_is_answered_by_the_next(tmp_path, sdk, kind):
    first, spare = Mock(tokens=8, thinking=0, reset="events:0"), Mock(tokens=8, thinking=0)
    gateway = Gateway({"upstreams": {"first": upstream(kind, first.url), "spare": upstream(kind, spare.url)}}, tmp_path, BACKENDS[0])
    try:
        work, _ = SDKS[sdk]
        text = "".join(text for text in work(gateway.url, kind, {}, True) if text)
        assert len(text) > 10
        record = wait_for(lambda: gateway.records(), what="the record")[0]
        assert [(attempt["upstream"], attempt["why"]) for attempt in record["attempts"]] == [("first", "first"), ("first", "retry"), ("spare", "next_candidate")]
    finally:
        for one in (gateway, first, spare):
            one.stop()


# ---- the gateway's own refusals

@pytest.fixture(scope="module")
def refusing(tmp_path_factory):
    """`limited`: its key cools for a hundred seconds. `broken`: its breaker is open for an hour. `full`: one request is under way and none may wait."""
    gate = threading.Event()
    limited, broken = Provider(said(429, headers=[("retry-after", "100")])), Provider(said(500))
    full = Provider(lambda peer, request: (gate.wait(3 * DEADLINE), usual(request))[1])
    gateway = Gateway({"upstreams": {
        "limited": generic(limited.url, api_key="k", models=["limited"], cooldown=COOLDOWN),
        "broken": generic(broken.url, models=["broken"], breaker={"consecutive_failures": 1, "open_seconds": 3600, "max_open_seconds": 3600}),
        "full": generic(full.url, models=["full"], max_concurrency=1, max_pending=0)}}, tmp_path_factory.mktemp("refusing"), BACKENDS[0])
    assert gateway.chat(model="limited").status == 429 and gateway.chat(model="broken").status == 500
    holder = gateway.connect(timeout=4 * DEADLINE)
    holder.send("POST", "/v1/chat/completions", {"model": "full", "messages": []})
    full.wait_requests(1)
    yield gateway, (limited, broken, full)
    gate.set()
    assert holder.read().status == 200
    holder.close()
    for one in (gateway, limited, broken, full):
        one.stop()


def status_of(error):
    return getattr(error, "status_code", None) or getattr(error, "code", None)


# SDK → what it raises for the gateway's own 429 and 503
RAISED = {
    "openai": (openai.RateLimitError, openai.InternalServerError), "responses": (openai.RateLimitError, openai.InternalServerError),
    "anthropic": (anthropic.RateLimitError, anthropic.InternalServerError), "gemini": (gemini_errors.ClientError, gemini_errors.ServerError),
    "ollama": (ollama.ResponseError, ollama.ResponseError), "mistral": (MistralError, MistralError),
    "cohere": (cohere_errors.TooManyRequestsError, cohere_errors.ServiceUnavailableError),
}


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("model,status", [("limited", 429), ("broken", 503), ("full", 503)])
@pytest.mark.parametrize("sdk", list(SDKS))
def test_the_gateways_own_429_and_503_raise_their_classes(refusing, sdk, model, status, stream):
    gateway, providers = refusing
    before = [len(one.requests) for one in providers]
    with pytest.raises(RAISED[sdk][status == 503]) as raised:
        list(SDKS[sdk][0](gateway.url, model, {}, stream))
    # Anthropic's word for it is 529.
    assert status_of(raised.value) == (529 if (sdk, status) == ("anthropic", 503) else status), raised.value
    assert [len(one.requests) for one in providers] == before


WORDS = {"/v1/chat/completions": ("rate_limit_error", "server_error"), "/v1/responses": ("rate_limit_error", "server_error"), "/v1/messages": ("rate_limit_error", "api_error")}


@pytest.mark.parametrize("model,status,least,most", [("limited", 429, 60, 101), ("broken", 503, 3000, 3601), ("full", 503, 1, 5)])
def test_each_dialects_form_has_when_to_come_again(refusing, model, status, least, most):
    gateway, _ = refusing
    asks = {
        "/v1/chat/completions": {"model": model, "messages": MESSAGES}, "/v1/responses": {"model": model, "input": "x"},
        "/v1/messages": {"model": model, "max_tokens": 5, "messages": MESSAGES}, f"/v1beta/models/{model}:generateContent": {"contents": [{"parts": [{"text": "x"}]}]},
        "/api/chat": {"model": model, "messages": MESSAGES},
    }
    for path, body in asks.items():
        got = gateway.ask("POST", path, body)
        assert got.status == (529 if (path, status) == ("/v1/messages", 503) else status) and least <= int(got.header("retry-after")) <= most, (path, got.headers)
        error = got.json()["error"]
        if path.startswith("/v1beta"):
            assert (error["code"], error["status"]) == (status, "RESOURCE_EXHAUSTED" if status == 429 else "UNAVAILABLE"), error
        elif path == "/api/chat":
            assert isinstance(error, str) and error
        else:
            assert error["type"] == WORDS[path][status == 503] or path == "/v1/messages" and error["type"] == "overloaded_error", (path, error)
            assert path == "/v1/messages" or error["code"] in ("no_upstream_available", "upstream_queue_full"), error


def test_a_deadline_that_is_none_is_a_400_in_each_dialect(refusing):
    gateway, _ = refusing
    for sdk, (work, raises) in SDKS.items():
        with pytest.raises(raises) as raised:
            list(work(gateway.url, "limited", {"x-openclaw-deadline-ms": "soon"}, False))
        assert status_of(raised.value) == 400, (sdk, raised.value)
