"""The official `cohere` package (ClientV2) in front of every type of upstream, and of recorded answers."""
import cohere
import pytest
from cohere import errors

from sdkrig import *

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

MESSAGES = [{"role": "user", "content": "hello"}]
TOOLS = [{"type": "function", "function": {"name": "get_weather", "description": "tells it", "parameters": SCHEMA}}]
FINISH = {"COMPLETE": "stop", "STOP_SEQUENCE": "stop", "MAX_TOKENS": "length", "TOOL_CALL": "tool_calls"}


@pytest.fixture
def client(stage):
    return make(stage)


def make(stage):
    return cohere.ClientV2("none", base_url=stage.url, timeout=DEADLINE, log_warning_experimental_features=False)


def options(headers=None) -> dict:
    return {"additional_headers": headers or {}, "max_retries": 0}


def seen(answer) -> Saw:
    message = answer.message
    calls = [(call.function.name, json.loads(call.function.arguments or "{}")) for call in message.tool_calls or []]
    assert len({call.id for call in message.tool_calls or []}) == len(calls)
    text = "".join(part.text for part in message.content or [] if part.type == "text")
    thoughts = "".join(part.thinking for part in message.content or [] if part.type == "thinking")
    used = answer.usage and answer.usage.billed_units
    return Saw(text, calls, FINISH[answer.finish_reason], used and used.input_tokens, used and used.output_tokens, thoughts or None)


def put_together(events) -> Saw:
    """The events of a stream, in the only order that they may have."""
    assert events[0].type == "message-start" and events[0].id and events[-1].type == "message-end"
    saw, thoughts, open, calls = Saw(), "", None, {}
    for event in events[1:-1]:
        if event.type == "content-start":
            assert open is None
            open = event.index
        elif event.type == "content-delta":
            assert open == event.index
            saw.text += event.delta.message.content.text or ""
            thoughts += event.delta.message.content.thinking or ""
        elif event.type == "content-end":
            assert open == event.index
            open = None
        elif event.type == "tool-call-start":
            assert open is None and event.index == len(calls)
            call = event.delta.message.tool_calls
            open = event.index
            calls[event.index] = [call.id, call.function.name, call.function.arguments or ""]
        elif event.type == "tool-call-delta":
            assert open == event.index
            calls[event.index][2] += event.delta.message.tool_calls.function.arguments
        elif event.type == "tool-call-end":
            assert open == event.index
            open = None
    assert open is None and len({id for id, _, _ in calls.values()}) == len(calls)
    saw.calls = [(name, json.loads(arguments or "{}")) for _, name, arguments in calls.values()]
    end = events[-1].delta
    used = end.usage and end.usage.billed_units
    saw.finish, saw.input, saw.output = FINISH[end.finish_reason], used and used.input_tokens, used and used.output_tokens
    saw.reasoning = thoughts or None
    return saw


def ask(stage, way, model, headers=None, **more) -> Saw:
    request = {"model": model, "messages": MESSAGES, "request_options": options(headers), **more}
    if way == "whole":
        return seen(make(stage).chat(**request))
    if way == "stream":
        return put_together(list(make(stage).chat_stream(**request)))

    async def work():
        client = cohere.AsyncClientV2("none", base_url=stage.url, timeout=DEADLINE, log_warning_experimental_features=False)
        if way == "async":
            return seen(await client.chat(**request))
        return put_together([event async for event in client.chat_stream(**request)])

    return run(work())


@pytest.mark.parametrize("kind", UPSTREAMS)
@pytest.mark.parametrize("way", WAYS)
def test_an_answer(stage, kind, way):
    assert ask(stage, way, kind) == stage.whole()


@pytest.mark.parametrize("kind", DIALECTS)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("count", [1, 3])
def test_calls(stage, kind, way, count):
    saw = ask(stage, way, kind, {"x-mock-tool-calls": str(count)}, tools=TOOLS)
    assert saw.calls == [CALL] * count and saw.finish == "tool_calls"


@pytest.mark.parametrize("kind", DIALECTS)
@pytest.mark.parametrize("form", ["text", "document"])
def test_results_of_calls_go_back(stage, client, kind, form):
    """As Cohere's own documentation has it: the message as it came, and a document for each result."""
    first = client.chat(model=kind, messages=MESSAGES, tools=TOOLS, request_options=options({"x-mock-tool-calls": "2", "x-mock-tool-text": "true"})).message
    contents = [f"{degrees} degrees" for degrees in (21, 22)]
    if form == "document":
        contents = [[{"type": "document", "document": {"data": {"weather": content}}}] for content in contents]
    results = [{"role": "tool", "tool_call_id": call.id, "content": content} for call, content in zip(first.tool_calls, contents)]
    assert ask(stage, "whole", kind, messages=[*MESSAGES, first, *results], tools=TOOLS) == stage.whole()
    sent = json.dumps(stage.sent())
    assert sent.index("21 degrees") < sent.index("22 degrees") and "Seoul" in sent


@pytest.mark.parametrize("kind", [kind for kind in DIALECTS if kind not in ("openai", "mistral")])
@pytest.mark.parametrize("way", WAYS)
def test_thoughts(stage, kind, way):
    saw = ask(stage, way, THINKERS.get(kind, kind), {"x-mock-thinking": "5"}, thinking={"type": "enabled", "token_budget": 1024}, max_tokens=4096)
    assert saw.reasoning and saw.text == stage.text and saw.output == TOKENS + 5


@pytest.mark.parametrize("kind", PERSONS)
def test_structured_output(stage, kind):
    format = {"type": "json_object", "json_schema": PERSON}
    saw, headers = stage.recording(PERSONS[kind])
    assert json.loads(ask(stage, "whole", f"recorded-{kind}", headers, response_format=format).text) == json.loads(saw.text)
    ask(stage, "whole", kind, response_format=format)
    assert "age" in json.dumps(stage.sent())


@pytest.mark.parametrize("kind", EMBEDDERS)
def test_embeddings(client, kind):
    asks = {"model": f"{kind}-embed", "input_type": "search_document", "request_options": options()}
    floats = client.embed(**asks, texts=["a"], embedding_types=["float"]).embeddings.float_
    assert len(floats) == 1 and len(floats[0]) > 1
    assert client.embed(**asks, texts=["a"]).embeddings.float_ == floats
    if kind != "bedrock":  # Titan takes one text
        assert len(client.embed(**asks, texts=["a", "b"], embedding_types=["float"]).embeddings.float_) == 2
    if kind != "cohere":  # the mock's has floats only
        packed, = client.embed(**asks, texts=["a"], embedding_types=["base64"]).embeddings.base64
        assert list(struct.unpack(f"<{len(floats[0])}f", base64.b64decode(packed))) == floats[0]

    async def work():
        async with cohere.AsyncClientV2("none", base_url=client._client_wrapper.get_base_url(), timeout=DEADLINE) as client_:
            return (await client_.embed(**asks, texts=["a"], embedding_types=["float"])).embeddings.float_

    assert run(work()) == floats


# ---- errors ----

KINDS = {400: errors.BadRequestError, 401: errors.UnauthorizedError, 403: errors.ForbiddenError, 404: errors.NotFoundError,
         429: errors.TooManyRequestsError, 500: errors.InternalServerError, 503: errors.ServiceUnavailableError}


@pytest.mark.parametrize("kind", DIALECTS)
@pytest.mark.parametrize("status", KINDS)
def test_errors_raise_their_classes(client, kind, status):
    request = {"model": kind, "messages": MESSAGES, "request_options": options({"x-mock-status": str(status), "x-mock-retry-after": "7"})}
    for work in (lambda: client.chat(**request), lambda: list(client.chat_stream(**request))):
        with pytest.raises(KINDS[status]) as raised:
            work()
        assert raised.value.body["message"] and raised.value.body["id"]
    if kind in EMBEDDERS:
        with pytest.raises(KINDS[status]):
            client.embed(model=f"{kind}-embed", texts=["a"], input_type="clustering", request_options=request["request_options"])


def test_the_gateways_own_errors(client):
    with pytest.raises(errors.NotFoundError):
        client.chat(model="nobody", messages=MESSAGES, request_options=options())
    with pytest.raises(errors.InternalServerError) as raised:
        client.chat(model="dead", messages=MESSAGES, request_options=options())
    assert "could not be reached" in raised.value.body["message"]
    with pytest.raises(errors.BadRequestError) as raised:
        client.chat(model="openai", messages=MESSAGES, documents=["a document"], request_options=options())
    assert "documents" in raised.value.body["message"]
    with pytest.raises(errors.BadRequestError) as raised:
        client.embed(model="openai-embed", texts=["a"], input_type="search_query", embedding_types=["int8"], request_options=options())
    assert "embedding_types" in raised.value.body["message"]


@pytest.mark.parametrize("kind", DIALECTS)
@pytest.mark.parametrize("fault", [{"x-mock-error-after": "6"}, {"x-mock-reset": "events:6"}])
def test_a_stream_that_fails_ends_with_an_error(client, kind, fault):
    """Cohere's streams say so in their last event; the SDK raises nothing."""
    events = list(client.chat_stream(model=kind, messages=MESSAGES, request_options=options(fault)))
    assert any(event.type == "content-delta" for event in events)
    assert events[-1].type == "message-end" and events[-1].delta.finish_reason == "ERROR" and events[-1].delta.error


@pytest.mark.parametrize("kind", DIALECTS)
def test_a_stream_that_is_left(stage, client, kind):
    before = sum(record["disconnected"] == "client" for record in stage.gateway.records())
    stream = client.chat_stream(model=kind, messages=MESSAGES, request_options=options({"x-mock-stall": "8"}))
    for event in stream:
        if event.type == "content-delta":
            break
    stream.close()
    stage.wait_left(before + 1)


# ---- recordings ----

@pytest.mark.parametrize("id", [*WHOLE, *STREAMS])
def test_recorded_answers(stage, id):
    saw, headers = stage.recording(id)
    kind = id.split("/")[0]
    got = ask(stage, "stream" if id in STREAMS else "whole", f"recorded-{kind}", headers, tools=TOOLS)
    assert got == saw


@pytest.mark.parametrize("id, status", ERRORS.items())
def test_recorded_errors(stage, client, id, status):
    _, headers = stage.recording(id)
    with pytest.raises(KINDS[status]) as raised:
        client.chat(model=f"recorded-{id.split('/')[0]}", messages=MESSAGES, request_options=options(headers))
    assert raised.value.body["message"]


def test_a_recorded_embedding(stage, client):
    _, headers = stage.recording("cohere/embed")
    got = client.embed(model="recorded-cohere-embed", texts=["a"], input_type="search_document", embedding_types=["float"], request_options=options(headers))
    assert len(got.embeddings.float_[0]) == 1024
    _, headers = stage.recording("cohere/error-404-model-embed")
    with pytest.raises(errors.NotFoundError):
        client.embed(model="recorded-cohere-embed", texts=["a"], input_type="search_document", request_options=options(headers))
