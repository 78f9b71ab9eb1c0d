"""The official `ollama` package in front of every type of upstream, and of recorded answers."""
import ollama
import pytest

from sdkrig import *

MESSAGES = [{"role": "user", "content": "hello"}]
TOOLS = [{"type": "function", "function": {"name": "get_weather", "description": "tells it", "parameters": SCHEMA}}]


def make(stage, headers=None):
    return ollama.Client(host=stage.url, headers=headers or {}, timeout=DEADLINE)


def seen(parts) -> Saw:
    """Parts of a stream, or the one of a whole answer."""
    assert [part.done for part in parts] == [False] * (len(parts) - 1) + [True]
    calls = [(call.function.name, dict(call.function.arguments)) for part in parts for call in part.message.tool_calls or []]
    thoughts = "".join(part.message.thinking or "" for part in parts)
    last = parts[-1]
    return Saw("".join(part.message.content or "" for part in parts), calls, finish_of(last.done_reason, bool(calls)), last.prompt_eval_count, last.eval_count,
               thoughts or None)


def ask(stage, way, model, headers=None, **more) -> Saw:
    request = {"model": model, "messages": MESSAGES, **more}
    if way == "whole":
        return seen([make(stage, headers).chat(**request)])
    if way == "stream":
        return seen(list(make(stage, headers).chat(**request, stream=True)))

    async def work():
        client = ollama.AsyncClient(host=stage.url, headers=headers or {}, timeout=DEADLINE)
        if way == "async":
            return seen([await client.chat(**request)])
        return seen([part async for part in await client.chat(**request, stream=True)])

    return run(work())


def without_usage(saw: Saw, kind: str, way: str) -> Saw:
    """These servers say it unasked, the mock does not."""
    return dataclasses.replace(saw, output=None) if kind in ("mistral", "generic") and "stream" in way else saw


@pytest.mark.parametrize("kind", UPSTREAMS)
@pytest.mark.parametrize("way", WAYS)
def test_an_answer(stage, kind, way):
    assert without_usage(ask(stage, way, kind), kind, way) == stage.whole()


@pytest.mark.parametrize("kind", DIALECTS)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("count", [1, 3])
def test_calls(stage, kind, way, count):
    assert ask(stage, way, kind, {"x-mock-tool-calls": str(count)}, tools=TOOLS).calls == [CALL] * count


@pytest.mark.parametrize("kind", DIALECTS)
def test_results_of_calls_go_back(stage, kind):
    first = make(stage, {"x-mock-tool-calls": "2"}).chat(model=kind, messages=MESSAGES, tools=TOOLS).message
    results = [{"role": "tool", "tool_name": call.function.name, "content": f"{degrees} degrees"} for call, degrees in zip(first.tool_calls, (21, 22))]
    assert ask(stage, "whole", kind, messages=[*MESSAGES, first, *results], tools=TOOLS) == stage.whole()
    sent = json.dumps(stage.sent())
    assert sent.index("21 degrees") < sent.index("22 degrees") and "Seoul" in sent


@pytest.mark.parametrize("kind", [kind for kind in DIALECTS if kind not in ("openai", "mistral")])
@pytest.mark.parametrize("way", WAYS)
def test_thoughts(stage, kind, way):
    saw = ask(stage, way, THINKERS.get(kind, kind), {"x-mock-thinking": "5"}, think=True)
    assert saw.reasoning and saw.text == stage.text and saw.output == TOKENS + 5


@pytest.mark.parametrize("kind", PERSONS)
def test_structured_output(stage, kind):
    saw, headers = stage.recording(PERSONS[kind])
    assert json.loads(ask(stage, "whole", f"recorded-{kind}", headers, format=PERSON).text) == json.loads(saw.text)
    for way in ("whole", "stream"):
        assert json.loads(ask(stage, way, kind, format=PERSON).text)
        assert "age" in json.dumps(stage.sent())


@pytest.mark.parametrize("kind", DIALECTS)
def test_generate(stage, kind):
    got = make(stage).generate(model=kind, prompt="once", system="be brief", options={"temperature": 0.5})
    assert (got.response, got.done, got.done_reason, got.eval_count) == (stage.text, True, "stop", TOKENS)
    assert "be brief" in json.dumps(stage.sent()) and "0.5" in json.dumps(stage.sent())
    parts = list(make(stage).generate(model=kind, prompt="once", stream=True))
    assert "".join(part.response for part in parts) == stage.text and parts[-1].done


@pytest.mark.parametrize("kind", EMBEDDERS)
def test_embeddings(stage, kind):
    one = make(stage).embed(model=f"{kind}-embed", input="a").embeddings
    assert len(one) == 1 and len(one[0]) > 1
    if kind != "bedrock":  # Titan takes one text
        assert len(make(stage).embed(model=f"{kind}-embed", input=["a", "b"]).embeddings) == 2

    async def work():
        return (await ollama.AsyncClient(host=stage.url, timeout=DEADLINE).embed(model=f"{kind}-embed", input="a")).embeddings

    assert len(run(work())[0]) == len(one[0])


def test_models(stage):
    assert {*DIALECTS} < {model.model for model in make(stage).list().models}


# ---- errors ----

@pytest.mark.parametrize("kind", DIALECTS)
@pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 500, 503])
def test_errors_raise(stage, kind, status):
    client = make(stage, {"x-mock-status": str(status)})
    for work in (lambda: client.chat(model=kind, messages=MESSAGES), lambda: list(client.chat(model=kind, messages=MESSAGES, stream=True)),
                 lambda: client.generate(model=kind, prompt="once")):
        with pytest.raises(ollama.ResponseError) as raised:
            work()
        assert raised.value.status_code == status and raised.value.error and not raised.value.error.startswith("{")


def test_the_gateways_own_errors(stage):
    with pytest.raises(ollama.ResponseError) as raised:
        make(stage).chat(model="nobody", messages=MESSAGES)
    assert raised.value.status_code == 404
    with pytest.raises(ollama.ResponseError) as raised:
        make(stage).chat(model="dead", messages=MESSAGES)
    assert raised.value.status_code in (500, 502)
    with pytest.raises(ollama.ResponseError) as raised:
        make(stage).chat(model="anthropic", messages=MESSAGES, options={"mirostat": 1})
    assert raised.value.status_code == 400 and "mirostat" in raised.value.error


@pytest.mark.parametrize("kind", DIALECTS)
@pytest.mark.parametrize("fault", [{"x-mock-error-after": "7"}, {"x-mock-reset": "events:7"}])
def test_a_stream_that_fails_raises(stage, kind, fault):
    texts = []
    with pytest.raises(ollama.ResponseError) as raised:
        for part in make(stage, fault).chat(model=kind, messages=MESSAGES, stream=True):
            texts.append(part.message.content)
            assert not part.done
    assert any(texts) and raised.value.error


@pytest.mark.parametrize("kind", DIALECTS)
def test_a_stream_that_is_left(stage, kind):
    before = sum(record["disconnected"] == "client" for record in stage.gateway.records())
    stream = make(stage, {"x-mock-stall": "8"}).chat(model=kind, messages=MESSAGES, stream=True)
    next(stream)
    stream.close()
    stage.wait_left(before + 1)


# ---- recordings ----

@pytest.mark.parametrize("id", [*WHOLE, *STREAMS])
def test_recorded_answers(stage, id):
    saw, headers = stage.recording(id)
    got = ask(stage, "stream" if id in STREAMS else "whole", f"recorded-{id.split('/')[0]}", headers, tools=TOOLS)
    assert got == saw


def test_a_recorded_generation(stage):
    saw, headers = stage.recording("ollama/native-generate-stream")
    parts = list(make(stage, headers).generate(model="recorded-ollama", prompt="once", stream=True))
    assert ("".join(part.response for part in parts), parts[-1].eval_count) == (saw.text, saw.output)


@pytest.mark.parametrize("id, status", ERRORS.items())
def test_recorded_errors(stage, id, status):
    _, headers = stage.recording(id)
    with pytest.raises(ollama.ResponseError) as raised:
        make(stage, headers).chat(model=f"recorded-{id.split('/')[0]}", messages=MESSAGES)
    assert raised.value.status_code == status and raised.value.error
