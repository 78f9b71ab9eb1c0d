"""The official `mistralai` package in front of every type of upstream, and of recorded answers. It speaks almost OpenAI's dialect at OpenAI's paths, with
models of its own that refuse what lacks a member, and with thoughts as parts of the content."""
import pytest
from mistralai.client import Mistral
from mistralai.client.errors import MistralError, SDKError

from sdkrig import *

MESSAGES = [{"role": "user", "content": "hello"}]
TOOLS = [{"type": "function", "function": {"name": "get_weather", "description": "tells it", "parameters": SCHEMA}}]


def make(stage):
    return Mistral(api_key="none", server_url=stage.url, timeout_ms=int(DEADLINE * 1000))


def parts_of(content) -> tuple[str, str]:
    """Text and thoughts."""
    if not isinstance(content, list):
        return content or "", ""
    return ("".join(part.text for part in content if part.type == "text"),
            "".join(piece.text for part in content if part.type == "thinking" for piece in part.thinking))


def arguments_of(arguments):
    return json.loads(arguments or "{}") if isinstance(arguments, str) else arguments


def seen(answer) -> Saw:
    choice = answer.choices[0]
    text, thoughts = parts_of(choice.message.content)
    calls = [(call.function.name, arguments_of(call.function.arguments)) for call in choice.message.tool_calls or []]
    return Saw(text, calls, choice.finish_reason, answer.usage.prompt_tokens, answer.usage.completion_tokens, thoughts or None)


def put_together(events) -> Saw:
    chunks = [event.data for event in events]
    assert len({chunk.id for chunk in chunks}) == 1
    deltas = [choice.delta for chunk in chunks for choice in chunk.choices]
    pairs = [parts_of(delta.content) for delta in deltas if delta.content]
    calls = {}
    for delta in deltas:
        for call in delta.tool_calls or []:
            one = calls.setdefault(call.index, ["", ""])
            one[0] += call.function.name or ""
            one[1] += call.function.arguments if isinstance(call.function.arguments, str) else json.dumps(call.function.arguments)
    finish, = [choice.finish_reason for chunk in chunks for choice in chunk.choices if choice.finish_reason]
    used = next((chunk.usage for chunk in chunks if chunk.usage), None)
    return Saw("".join(text for text, _ in pairs), [(name, json.loads(arguments or "{}")) for name, arguments in calls.values()], finish,
               used and used.prompt_tokens, used and used.completion_tokens, "".join(thought for _, thought in pairs) or None)


def ask(stage, way, model, headers=None, **more) -> Saw:
    request = {"model": model, "messages": MESSAGES, "http_headers": headers, **more}
    if way == "whole":
        with make(stage) as client:
            return seen(client.chat.complete(**request))
    if way == "stream":
        with make(stage) as client, client.chat.stream(**request) as stream:
            return put_together(list(stream))

    async def work():
        async with make(stage) as client:
            if way == "async":
                return seen(await client.chat.complete_async(**request))
            async with await client.chat.stream_async(**request) as stream:
                return put_together([event async for event in stream])

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
def test_results_of_calls_go_back(stage, kind):
    with make(stage) as client:
        first = client.chat.complete(model=kind, messages=MESSAGES, tools=TOOLS, http_headers={"x-mock-tool-calls": "2"},
                                     **({} if kind == "ollama" else {"tool_choice": "any"})).choices[0].message
    results = [{"role": "tool", "tool_call_id": call.id, "name": call.function.name, "content": f"{degrees} degrees"}
               for call, degrees in zip(first.tool_calls, (21, 22))]
    assert ask(stage, "whole", kind, messages=[*MESSAGES, first, *results], tools=TOOLS) == stage.whole()
    sent = json.dumps(stage.sent())
    assert sent.index("21 degrees") < sent.index("22 degrees") and "Seoul" in sent


@pytest.mark.parametrize("kind", [kind for kind in DIALECTS if kind not in ("openai", "mistral")])
@pytest.mark.parametrize("way", WAYS)
def test_thoughts_come_and_go_back(stage, kind, way):
    model = THINKERS.get(kind, kind)
    saw = ask(stage, way, model, {"x-mock-thinking": "5"}, reasoning_effort="high")
    assert saw.reasoning and saw.text == stage.text
    if way == "whole":
        with make(stage) as client:
            first = client.chat.complete(model=model, messages=MESSAGES, http_headers={"x-mock-thinking": "5"}).choices[0].message
        assert ask(stage, way, model, messages=[*MESSAGES, first, *MESSAGES]).text == stage.text


@pytest.mark.parametrize("kind", PERSONS)
def test_structured_output(stage, kind):
    format = {"type": "json_schema", "json_schema": {"name": "person", "schema": PERSON}}
    saw, headers = stage.recording(PERSONS[kind])
    assert json.loads(ask(stage, "whole", f"recorded-{kind}", headers, response_format=format).text) == json.loads(saw.text)
    ask(stage, "whole", kind, response_format=format)
    assert "age" in json.dumps(stage.sent())


@pytest.mark.parametrize("kind", EMBEDDERS)
def test_embeddings(stage, kind):
    with make(stage) as client:
        one = client.embeddings.create(model=f"{kind}-embed", inputs="a")
        assert len(one.data) == 1 and len(one.data[0].embedding) > 1 and one.id and one.usage.prompt_tokens is not None
        if kind != "bedrock":  # Titan takes one text
            assert [item.index for item in client.embeddings.create(model=f"{kind}-embed", inputs=["a", "b"]).data] == [0, 1]


# ---- errors ----

@pytest.mark.parametrize("kind", DIALECTS)
@pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 500, 503])
def test_errors_raise(stage, kind, status):
    with make(stage) as client:
        for call in (client.chat.complete, client.chat.stream):
            with pytest.raises(SDKError) as raised:
                call(model=kind, messages=MESSAGES, http_headers={"x-mock-status": str(status)})
            assert raised.value.status_code == status and "message" in raised.value.body


def test_the_gateways_own_errors(stage):
    with make(stage) as client:
        for model, status in (("nobody", 404), ("dead", 502)):
            with pytest.raises(SDKError) as raised:
                client.chat.complete(model=model, messages=MESSAGES)
            assert raised.value.status_code == status
        with pytest.raises(SDKError) as raised:
            client.chat.complete(model="anthropic", messages=MESSAGES, safe_prompt=True)
        assert raised.value.status_code == 400 and "safe_prompt" in raised.value.body


@pytest.mark.parametrize("kind", DIALECTS)
@pytest.mark.parametrize("fault", [{"x-mock-error-after": "7"}, {"x-mock-reset": "events:7"}])
def test_a_stream_that_fails_raises(stage, kind, fault):
    """The SDK has no word for an error within a stream: what is no chunk does not pass its models."""
    texts = []
    with make(stage) as client, pytest.raises(MistralError):
        with client.chat.stream(model=kind, messages=MESSAGES, http_headers=fault) as stream:
            for event in stream:
                texts += [choice.delta.content for choice in event.data.choices if choice.delta.content]
    assert texts


@pytest.mark.parametrize("kind", DIALECTS)
def test_a_stream_that_is_left(stage, kind):
    before = sum(record["disconnected"] == "client" for record in stage.gateway.records())
    with make(stage) as client, client.chat.stream(model=kind, messages=MESSAGES, http_headers={"x-mock-stall": "8"}) as stream:
        for event in stream:
            if event.data.choices and event.data.choices[0].delta.content:
                break
    stage.wait_left(before + 1)


# ---- recordings ----

@pytest.mark.parametrize("id", [*WHOLE, *STREAMS])
def test_recorded_answers(stage, id):
    saw, headers = stage.recording(id)
    got = ask(stage, "stream" if id in STREAMS else "whole", f"recorded-{id.split('/')[0]}", headers, tools=TOOLS)
    assert got == saw


@pytest.mark.parametrize("id, status", ERRORS.items())
def test_recorded_errors(stage, id, status):
    _, headers = stage.recording(id)
    with make(stage) as client, pytest.raises(MistralError) as raised:
        client.chat.complete(model=f"recorded-{id.split('/')[0]}", messages=MESSAGES, http_headers=headers)
    assert raised.value.status_code == status


def test_a_recorded_embedding(stage):
    _, headers = stage.recording("mistral/embeddings")
    with make(stage) as client:
        assert len(client.embeddings.create(model="recorded-mistral-embed", inputs="a", http_headers=headers).data[0].embedding) == 1024
