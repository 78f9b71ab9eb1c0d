"""The official `anthropic` package in front of every type of upstream, and of recorded answers."""
import anthropic
import pytest

from sdkrig import *

MESSAGES = [{"role": "user", "content": "hello"}]
TOOLS = [{"name": "get_weather", "description": "tells it", "input_schema": SCHEMA}]


@pytest.fixture
def client(stage):
    with anthropic.Anthropic(base_url=stage.url, api_key="sk-none", max_retries=0, timeout=DEADLINE) as client:
        yield client


def seen(message) -> Saw:
    calls = [(block.name, block.input) for block in message.content if block.type == "tool_use"]
    assert len({block.id for block in message.content if block.type == "tool_use"}) == len(calls)
    used = message.usage
    input = used.input_tokens + (used.cache_read_input_tokens or 0) + (used.cache_creation_input_tokens or 0)
    thoughts = "".join(block.thinking for block in message.content if block.type == "thinking")
    return Saw("".join(block.text for block in message.content if block.type == "text"), calls, finish_of(message.stop_reason), input, used.output_tokens,
               thoughts or None)


def ask(stage, way, model, headers=None, **more) -> Saw:
    request = {"model": model, "messages": MESSAGES, "max_tokens": 4096, "extra_headers": headers, **more}
    if way in ("whole", "stream"):
        with anthropic.Anthropic(base_url=stage.url, api_key="sk-none", max_retries=0, timeout=DEADLINE) as client:
            if way == "whole":
                return seen(client.messages.create(**request))
            with client.messages.stream(**request) as stream:
                events = list(stream)
                assert events[0].type == "message_start" and events[-1].type == "message_stop"
                return seen(stream.get_final_message())

    async def work():
        async with anthropic.AsyncAnthropic(base_url=stage.url, api_key="sk-none", max_retries=0, timeout=DEADLINE) as client:
            if way == "async":
                return seen(await client.messages.create(**request))
            async with client.messages.stream(**request) as stream:
                text = "".join([text async for text in stream.text_stream])
                saw = seen(await stream.get_final_message())
                assert saw.text == text
                return saw

    return run(work())


@pytest.mark.parametrize("kind", UPSTREAMS)
@pytest.mark.parametrize("way", WAYS)
def test_an_answer(stage, kind, way):
    saw = ask(stage, way, kind)
    if kind in ("mistral", "generic") and "stream" in way:
        saw.output = None  # their servers say it unasked, the mock does not
    assert saw == stage.whole()


@pytest.mark.parametrize("kind", DIALECTS)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("count", [1, 3])
def test_calls(stage, kind, way, count):
    saw = ask(stage, way, kind, {"x-mock-tool-calls": str(count)}, tools=TOOLS)
    assert saw.calls == [CALL] * count and saw.finish == "tool_calls"


@pytest.mark.parametrize("kind, thinking", [(kind, thinking) for kind in DIALECTS for thinking in (False, True)
                                            if not (thinking and kind in ("openai", "mistral"))])  # whose answers show no thoughts
def test_results_of_calls_go_back(stage, client, kind, thinking):
    model = THINKERS.get(kind, kind)
    more = {"thinking": {"type": "enabled", "budget_tokens": 1024}} if thinking else {}
    with client.messages.stream(model=model, messages=MESSAGES, tools=TOOLS, max_tokens=4096, **more,
                                extra_headers={"x-mock-tool-calls": "2", **({"x-mock-thinking": "4"} if thinking else {})}) as stream:
        first = stream.get_final_message()
    calls = [block for block in first.content if block.type == "tool_use"]
    kinds = [block.type for block in first.content]
    assert kinds[:thinking] == ["thinking"] * thinking and kinds.count("tool_use") == 2, kinds
    results = [{"type": "tool_result", "tool_use_id": call.id, "content": f"{degrees} degrees"} for call, degrees in zip(calls, (21, 22))]
    messages = [*MESSAGES, {"role": "assistant", "content": first.content}, {"role": "user", "content": results}]
    assert ask(stage, "whole", model, messages=messages, tools=TOOLS, **more).text == stage.text
    sent = json.dumps(stage.sent())
    assert sent.index("21 degrees") < sent.index("22 degrees") and "Seoul" in sent


@pytest.mark.parametrize("kind", [kind for kind in DIALECTS if kind not in ("openai", "mistral")])
@pytest.mark.parametrize("way", WAYS)
def test_thoughts(stage, kind, way):
    saw = ask(stage, way, THINKERS.get(kind, kind), {"x-mock-thinking": "5"}, thinking={"type": "enabled", "budget_tokens": 1024})
    assert saw.reasoning and saw.text == stage.text and saw.output == TOKENS + 5


@pytest.mark.parametrize("kind", PERSONS)
def test_structured_output(stage, kind):
    format = {"format": {"type": "json_schema", "schema": PERSON}}
    saw, headers = stage.recording(PERSONS[kind])
    assert json.loads(ask(stage, "whole", f"recorded-{kind}", headers, output_config=format).text) == json.loads(saw.text)
    ask(stage, "whole", kind, output_config=format)
    assert "age" in json.dumps(stage.sent())


@pytest.mark.parametrize("kind", DIALECTS)
def test_tokens_are_counted(client, kind):
    assert client.messages.count_tokens(model=kind, messages=MESSAGES, tools=TOOLS, system="be brief").input_tokens > 0


def test_models(client):
    assert {*DIALECTS} < {model.id for model in client.models.list()}
    assert client.models.retrieve("gemini").id == "gemini"
    with pytest.raises(anthropic.NotFoundError):
        client.models.retrieve("nobody")


# ---- errors ----

KINDS = {400: anthropic.BadRequestError, 401: anthropic.AuthenticationError, 403: anthropic.PermissionDeniedError, 404: anthropic.NotFoundError,
         429: anthropic.RateLimitError, 500: anthropic.InternalServerError, 503: anthropic.InternalServerError}
TYPES = {400: "invalid_request_error", 401: "authentication_error", 403: "permission_error", 404: "not_found_error", 429: "rate_limit_error",
         500: "api_error", 503: "overloaded_error"}


@pytest.mark.parametrize("kind", DIALECTS)
@pytest.mark.parametrize("status", KINDS)
def test_errors_raise_their_classes(client, kind, status):
    for stream in (False, True):
        with pytest.raises(KINDS[status]) as raised:
            client.messages.create(model=kind, messages=MESSAGES, max_tokens=64, stream=stream, extra_headers={"x-mock-status": str(status)})
        error = raised.value
        assert error.request_id and (kind == "anthropic" and status == 503 or error.body["error"]["type"] == TYPES[status]), error.response.text


def test_the_gateways_own_errors(client):
    ask = {"messages": MESSAGES, "max_tokens": 64}
    with pytest.raises(anthropic.NotFoundError):
        client.messages.create(model="nobody", **ask)
    with pytest.raises(anthropic.InternalServerError) as raised:
        client.messages.create(model="dead", **ask)
    assert raised.value.body["error"]["type"] == "api_error"
    with pytest.raises(anthropic.BadRequestError) as raised:
        client.messages.create(model="openai", **ask, extra_body={"top_k": 3})
    assert "top_k" in raised.value.body["error"]["message"]


@pytest.mark.parametrize("kind", DIALECTS)
@pytest.mark.parametrize("fault", [{"x-mock-error-after": "7"}, {"x-mock-reset": "events:7"}])
def test_a_stream_that_fails_raises(client, kind, fault):
    texts = []
    with pytest.raises(anthropic.APIStatusError) as raised:
        with client.messages.stream(model=kind, messages=MESSAGES, max_tokens=64, extra_headers=fault) as stream:
            for text in stream.text_stream:
                texts.append(text)
    assert texts and raised.value.body["error"]["message"]


@pytest.mark.parametrize("kind", DIALECTS)
def test_a_stream_that_is_left(stage, client, kind):
    before = sum(record["disconnected"] == "client" for record in stage.gateway.records())
    with client.messages.stream(model=kind, messages=MESSAGES, max_tokens=64, extra_headers={"x-mock-stall": "8"}) as stream:
        next(iter(stream.text_stream))
    stage.wait_left(before + 1)


# ---- recordings ----

@pytest.mark.parametrize("id", [*WHOLE, *STREAMS])
def test_recorded_answers(stage, id):
    saw, headers = stage.recording(id)
    got = ask(stage, "stream" if id in STREAMS else "whole", f"recorded-{id.split('/')[0]}", headers, tools=TOOLS)
    assert got == saw


@pytest.mark.parametrize("id, status", ERRORS.items())
def test_recorded_errors(stage, client, id, status):
    _, headers = stage.recording(id)
    with pytest.raises(KINDS[status]):
        client.messages.create(model=f"recorded-{id.split('/')[0]}", messages=MESSAGES, max_tokens=64, extra_headers=headers)


def test_recorded_redacted_thoughts_and_stop_sequences(stage, client):
    _, headers = stage.recording("bedrock/converse-stream-thinking-redacted")
    with client.messages.stream(model="recorded-bedrock", messages=MESSAGES, max_tokens=4096, extra_headers=headers) as stream:
        kinds = [block.type for block in stream.get_final_message().content]
    assert kinds == ["redacted_thinking", "redacted_thinking", "text"]
    _, headers = stage.recording("anthropic/messages-stop-sequence")
    with client.messages.stream(model="recorded-anthropic", messages=MESSAGES, max_tokens=4096, extra_headers=headers) as stream:
        final = stream.get_final_message()
    assert (final.stop_reason, final.stop_sequence) == ("stop_sequence", "```")
