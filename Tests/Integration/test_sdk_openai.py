"""The official `openai` package in front of every type of upstream, and of recorded answers: what it returns, streams and raises.
(`test_openai_sdk.py` is about the gateway with an upstream that speaks OpenAI's API.)"""
import openai
import pytest
from pydantic import BaseModel

from sdkrig import *

MESSAGES = [{"role": "user", "content": "hello"}]
TOOLS = [{"type": "function", "function": {"name": "get_weather", "description": "tells it", "parameters": SCHEMA}}]
INPUT_TOOLS = [{"type": "function", "name": "get_weather", "description": "tells it", "parameters": SCHEMA, "strict": False}]


class Person(BaseModel):
    name: str
    age: int


@pytest.fixture
def client(stage):
    with openai.OpenAI(base_url=stage.url + "/v1", api_key="sk-none", max_retries=0, timeout=DEADLINE) as client:
        yield client


def asynchronous(stage):
    return openai.AsyncOpenAI(base_url=stage.url + "/v1", api_key="sk-none", max_retries=0, timeout=DEADLINE)


# ---- chat completions ----

def seen(answer) -> Saw:
    choice = answer.choices[0]
    calls = [(call.function.name, json.loads(call.function.arguments or "{}")) for call in choice.message.tool_calls or []]
    assert len({call.id for call in choice.message.tool_calls or []}) == len(calls), "each call has an id of its own"
    used = answer.usage
    return Saw(choice.message.content or "", calls, choice.finish_reason, used and used.prompt_tokens, used and used.completion_tokens,
               getattr(choice.message, "reasoning_content", None) or getattr(choice.message, "reasoning", None))


def put_together(chunks) -> Saw:
    """A stream's chunks by hand: one id and one model, a call by its index, one finish, usage at the end."""
    assert len({(chunk.id, chunk.model, chunk.created) for chunk in chunks}) == 1
    deltas = [choice.delta for chunk in chunks for choice in chunk.choices]
    calls = {}
    for delta in deltas:
        for call in delta.tool_calls or []:
            name, arguments = calls.setdefault(call.index, ["", ""])
            calls[call.index] = [name + (call.function.name or ""), arguments + (call.function.arguments or "")]
    finish, = [choice.finish_reason for chunk in chunks for choice in chunk.choices if choice.finish_reason]
    used = next((chunk.usage for chunk in chunks if chunk.usage), None)
    return Saw("".join(delta.content or "" for delta in deltas), [(name, json.loads(arguments or "{}")) for name, arguments in calls.values()], finish,
               used and used.prompt_tokens, used and used.completion_tokens,
               "".join(getattr(delta, "reasoning_content", None) or "" for delta in deltas) or None)


def ask(stage, way, model, headers=None, **more) -> Saw:
    """The same request in one of four ways; streams are put together by the SDK itself."""
    request = {"model": model, "messages": MESSAGES, "extra_headers": headers, **more}
    if way == "whole":
        with openai.OpenAI(base_url=stage.url + "/v1", api_key="sk-none", max_retries=0, timeout=DEADLINE) as client:
            return seen(client.chat.completions.create(**request))
    if way == "stream":
        with openai.OpenAI(base_url=stage.url + "/v1", api_key="sk-none", max_retries=0, timeout=DEADLINE) as client:
            with client.chat.completions.stream(**request, stream_options={"include_usage": True}) as stream:
                saw = put_together([event.chunk for event in stream if event.type == "chunk"])
                if saw.finish != "length":  # where the SDK itself raises
                    assert saw == seen(stream.get_final_completion())
                return saw

    async def work():
        async with asynchronous(stage) as client:
            if way == "async":
                return seen(await client.chat.completions.create(**request))
            chunks = [chunk async for chunk in await client.chat.completions.create(**request, stream=True, stream_options={"include_usage": True})]
            return put_together(chunks)

    return run(work())


@pytest.mark.parametrize("kind", UPSTREAMS)
@pytest.mark.parametrize("way", WAYS)
def test_an_answer(stage, kind, way):
    assert ask(stage, way, kind) == stage.whole()


@pytest.mark.parametrize("kind", UPSTREAMS)
@pytest.mark.parametrize("way, count", [("whole", 1), ("stream", 1), ("whole", 3), ("stream", 3), ("async", 3), ("async stream", 3)])
def test_calls(stage, kind, way, count):
    saw = ask(stage, way, kind, {"x-mock-tool-calls": str(count)}, tools=TOOLS)
    assert saw.calls == [CALL] * count and saw.finish == "tool_calls"


@pytest.mark.parametrize("kind", UPSTREAMS)
def test_results_of_calls_go_back(stage, client, kind):
    first = client.chat.completions.create(model=kind, messages=MESSAGES, tools=TOOLS, extra_headers={"x-mock-tool-calls": "2"}).choices[0].message
    results = [{"role": "tool", "tool_call_id": call.id, "content": f"{degrees} degrees"} for call, degrees in zip(first.tool_calls, (21, 22))]
    saw = ask(stage, "whole", kind, messages=[*MESSAGES, first.model_dump(exclude_none=True), *results], tools=TOOLS)
    assert saw == stage.whole()
    sent = json.dumps(stage.sent())
    assert sent.index("21 degrees") < sent.index("22 degrees") and "Seoul" in sent


@pytest.mark.parametrize("kind", [kind for kind in DIALECTS if kind not in ("openai", "generic", "mistral")])
@pytest.mark.parametrize("way", ["whole", "stream"])
def test_thoughts(stage, kind, way):
    saw = ask(stage, way, THINKERS.get(kind, kind), {"x-mock-thinking": "5"}, reasoning_effort="low")
    assert saw.reasoning and saw.text == stage.text and saw.output == TOKENS + 5


@pytest.mark.parametrize("kind", PERSONS)
def test_structured_output(stage, client, kind):
    saw, headers = stage.recording(PERSONS[kind])
    got = client.chat.completions.parse(model=f"recorded-{kind}", messages=MESSAGES, response_format=Person, extra_headers=headers)
    assert got.choices[0].message.parsed == Person(**{name: json.loads(saw.text)[name] for name in ("name", "age")})
    ask(stage, "whole", kind, response_format={"type": "json_schema", "json_schema": {"name": "person", "schema": PERSON}})
    assert "age" in json.dumps(stage.sent())


@pytest.mark.parametrize("kind", EMBEDDERS)
def test_embeddings(client, kind):
    """The SDK asks for base64 unless told otherwise, and decodes it."""
    packed = client.embeddings.create(model=f"{kind}-embed", input="a")
    floats = client.embeddings.create(model=f"{kind}-embed", input="a", encoding_format="float")
    assert packed.data[0].embedding == floats.data[0].embedding and len(floats.data[0].embedding) > 1
    if kind != "bedrock":  # Titan takes one text
        many = client.embeddings.create(model=f"{kind}-embed", input=["a", "b", "a"])
        assert [one.index for one in many.data] == [0, 1, 2] and all(len(one.embedding) == len(floats.data[0].embedding) for one in many.data)


def test_models(client):
    assert {*DIALECTS} < {model.id for model in client.models.list()}
    assert client.models.retrieve("gemini").id == "gemini"


# ---- errors ----

KINDS = {400: openai.BadRequestError, 401: openai.AuthenticationError, 403: openai.PermissionDeniedError, 404: openai.NotFoundError,
         429: openai.RateLimitError, 500: openai.InternalServerError, 503: openai.InternalServerError}


@pytest.mark.parametrize("kind", DIALECTS)
@pytest.mark.parametrize("status", KINDS)
def test_errors_raise_their_classes(client, kind, status):
    for stream in (False, True):
        with pytest.raises(KINDS[status]) as raised:
            client.chat.completions.create(model=kind, messages=MESSAGES, stream=stream, extra_headers={"x-mock-status": str(status), "x-mock-retry-after": "7"})
        assert isinstance(raised.value.body, dict) and raised.value.body["message"], raised.value.response.text
        if status == 429:
            assert raised.value.response.headers["retry-after"] == "7"


def test_the_gateways_own_errors(stage, client):
    with pytest.raises(openai.NotFoundError):
        client.chat.completions.create(model="nobody", messages=MESSAGES)
    with pytest.raises(openai.InternalServerError) as raised:
        client.chat.completions.create(model="dead", messages=MESSAGES)
    assert raised.value.code == "upstream_unreachable"
    with pytest.raises(openai.BadRequestError) as raised:
        client.chat.completions.create(model="anthropic", messages=MESSAGES, logit_bias={"1": 1})
    assert raised.value.param == "logit_bias"


@pytest.mark.parametrize("kind", DIALECTS)
def test_an_error_within_a_stream_raises(client, kind):
    texts = []
    with pytest.raises(openai.APIError) as raised:
        for chunk in client.chat.completions.create(model=kind, messages=MESSAGES, stream=True, extra_headers={"x-mock-error-after": "6"}):
            texts += [choice.delta.content for choice in chunk.choices if choice.delta.content]
    assert texts and raised.value.message


@pytest.mark.parametrize("kind", DIALECTS)
def test_a_stream_that_breaks_off_raises(client, kind):
    with pytest.raises(openai.APIError) as raised:
        list(client.chat.completions.create(model=kind, messages=MESSAGES, stream=True, extra_headers={"x-mock-reset": "events:6"}))
    assert raised.value.code


@pytest.mark.parametrize("kind", DIALECTS)
def test_a_stream_that_is_left(stage, client, kind):
    before = sum(record["disconnected"] == "client" for record in stage.gateway.records())
    with client.chat.completions.create(model=kind, messages=MESSAGES, stream=True, extra_headers={"x-mock-stall": "8"}) as stream:
        for chunk in stream:
            if chunk.choices and chunk.choices[0].delta.content:
                break
    stage.wait_left(before + 1)


# ---- responses ----

def seen_response(answer) -> Saw:
    calls = [(item.name, json.loads(item.arguments or "{}")) for item in answer.output if item.type == "function_call"]
    thoughts = "".join(part.text for item in answer.output if item.type == "reasoning" for part in [*(item.summary or []), *(item.content or [])])
    used = answer.usage
    return Saw(answer.output_text, calls, finish_of(answer.status, bool(calls)), used and used.input_tokens, used and used.output_tokens, thoughts or None)


def respond(stage, way, model, headers=None, **more) -> Saw:
    request = {"model": model, "input": "hello", "extra_headers": headers, **more}
    if way in ("whole", "stream"):
        with openai.OpenAI(base_url=stage.url + "/v1", api_key="sk-none", max_retries=0, timeout=DEADLINE) as client:
            if way == "whole":
                return seen_response(client.responses.create(**request))
            with client.responses.stream(**request) as stream:
                events = list(stream)
                assert [event.sequence_number for event in events] == sorted({event.sequence_number for event in events})
                assert events[0].type == "response.created"
                return seen_response(stream.get_final_response())

    async def work():
        async with asynchronous(stage) as client:
            if way == "async":
                return seen_response(await client.responses.create(**request))
            async with client.responses.stream(**request) as stream:
                async for _ in stream:
                    pass
                return seen_response(await stream.get_final_response())

    return run(work())


@pytest.mark.parametrize("kind", DIALECTS)
@pytest.mark.parametrize("way", WAYS)
def test_a_response(stage, kind, way):
    assert respond(stage, way, kind) == stage.whole()


@pytest.mark.parametrize("kind", DIALECTS)
@pytest.mark.parametrize("way", ["whole", "stream"])
def test_calls_of_a_response(stage, kind, way):
    assert respond(stage, way, kind, {"x-mock-tool-calls": "2"}, tools=INPUT_TOOLS).calls == [CALL] * 2


@pytest.mark.parametrize("kind", DIALECTS)
def test_results_of_calls_go_back_in_a_response(stage, client, kind):
    first = client.responses.create(model=kind, input="hello", tools=INPUT_TOOLS, extra_headers={"x-mock-tool-calls": "1"})
    call = next(item for item in first.output if item.type == "function_call")
    items = [{"role": "user", "content": "hello"}, *(item.model_dump(exclude_none=True) for item in first.output),
             {"type": "function_call_output", "call_id": call.call_id, "output": "21 degrees"}]
    assert respond(stage, "whole", kind, input=items, tools=INPUT_TOOLS) == stage.whole()
    assert "21 degrees" in json.dumps(stage.sent())


@pytest.mark.parametrize("kind", [*(kind for kind in PERSONS if kind != "openai"), "responses"])
def test_structured_output_of_a_response(stage, client, kind):
    id = "openai/responses-structured-output" if kind == "responses" else PERSONS[kind]
    saw, headers = stage.recording(id)
    got = client.responses.parse(model="recorded-openai" if kind == "responses" else f"recorded-{kind}", input="hello", text_format=Person, extra_headers=headers)
    assert got.output_parsed == Person(**json.loads(saw.text))


@pytest.mark.parametrize("kind", DIALECTS)
def test_errors_of_responses(client, kind):
    for stream in (False, True):
        with pytest.raises(openai.RateLimitError):
            client.responses.create(model=kind, input="hello", stream=stream, extra_headers={"x-mock-status": "429"})
    kinds = [event.type for event in client.responses.create(model=kind, input="hello", stream=True, extra_headers={"x-mock-error-after": "9"})]
    assert kinds[-1] in ("error", "response.failed"), kinds


# ---- completions ----

@pytest.mark.parametrize("kind", DIALECTS)
def test_completions_of_the_old_kind(stage, client, kind):
    got = client.completions.create(model=kind, prompt="once")
    assert (got.choices[0].text, got.choices[0].finish_reason, got.usage.completion_tokens) == (stage.text, "stop", TOKENS)
    chunks = list(client.completions.create(model=kind, prompt="once", stream=True))
    assert "".join(chunk.choices[0].text for chunk in chunks if chunk.choices) == stage.text


# ---- recordings ----

@pytest.mark.parametrize("id", [*WHOLE, *STREAMS])
def test_recorded_answers(stage, id):
    saw, headers = stage.recording(id)
    got = ask(stage, "stream" if id in STREAMS else "whole", f"recorded-{id.split('/')[0]}", headers, tools=TOOLS)
    assert got == saw


@pytest.mark.parametrize("id, way", [("openai/responses-basic", "whole"), ("openai/responses-tools-parallel", "whole"), ("openai/responses-stream-text", "stream"),
                                     ("openai/responses-stream-reasoning-tool", "stream")])
def test_recorded_responses(stage, id, way):
    saw, headers = stage.recording(id)
    assert respond(stage, way, "recorded-openai", headers, tools=INPUT_TOOLS) == saw


@pytest.mark.parametrize("id, status", ERRORS.items())
def test_recorded_errors(stage, client, id, status):
    _, headers = stage.recording(id)
    with pytest.raises(KINDS[status]) as raised:
        client.chat.completions.create(model=f"recorded-{id.split('/')[0]}", messages=MESSAGES, extra_headers=headers)
    assert raised.value.status_code == status
