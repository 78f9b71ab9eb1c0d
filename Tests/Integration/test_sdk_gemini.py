"""The official `google-genai` package in front of every type of upstream, and of recorded answers."""
import pytest
from google import genai
from google.genai import errors, types
from pydantic import BaseModel

from sdkrig import *


class Person(BaseModel):
    name: str
    age: int


TOOLS = [types.Tool(function_declarations=[types.FunctionDeclaration(name="get_weather", description="tells it", parameters_json_schema=SCHEMA)])]
FINISH = {"STOP": "stop", "MAX_TOKENS": "length", "SAFETY": "content_filter"}


CLIENTS = []


def make(stage, headers=None):
    """A client; one that nobody holds closes itself."""
    CLIENTS.append(genai.Client(api_key="none", http_options=types.HttpOptions(base_url=stage.url, headers=headers or {}, timeout=int(DEADLINE * 1000))))
    return CLIENTS[-1]


@pytest.fixture
def client(stage):
    return make(stage)


def seen(answers) -> Saw:
    """Pieces of a stream, or the one of a whole answer."""
    parts = [part for answer in answers for candidate in (answer.candidates or [])[:1] for part in (candidate.content and candidate.content.parts) or []]
    calls = [(part.function_call.name, part.function_call.args or {}) for part in parts if part.function_call]
    finishes = [candidate.finish_reason.value for answer in answers for candidate in answer.candidates or [] if candidate.finish_reason]
    assert len(finishes) == 1, finishes
    used = next((answer.usage_metadata for answer in reversed(answers) if answer.usage_metadata), None)
    output = None if not used or used.candidates_token_count is None and used.thoughts_token_count is None else \
        (used.candidates_token_count or 0) + (used.thoughts_token_count or 0)
    thoughts = "".join(part.text or "" for part in parts if part.thought)
    return Saw("".join(part.text or "" for part in parts if not part.thought), calls, finish_of(FINISH[finishes[0]], bool(calls)),
               used and used.prompt_token_count, output, thoughts or None)


def ask(stage, way, model, headers=None, contents="hello", **more) -> Saw:
    request = {"model": model, "contents": contents,
               "config": types.GenerateContentConfig(automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True), **more)}
    client = make(stage, headers)
    if way == "whole":
        return seen([client.models.generate_content(**request)])
    if way == "stream":
        return seen(list(client.models.generate_content_stream(**request)))

    async def work():
        async with make(stage, headers).aio as client:
            if way == "async":
                return seen([await client.models.generate_content(**request)])
            return seen([piece async for piece in await client.models.generate_content_stream(**request)])

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
    first = make(stage, {"x-mock-tool-calls": "2"}).models.generate_content(model=kind, contents="hello", config=types.GenerateContentConfig(tools=TOOLS))
    turn = first.candidates[0].content
    results = [types.Part(function_response=types.FunctionResponse(id=part.function_call.id, name=part.function_call.name, response={"result": f"{degrees} degrees"}))
               for part, degrees in zip([part for part in turn.parts if part.function_call], (21, 22))]
    contents = [types.UserContent("hello"), turn, types.Content(role="user", parts=results)]
    assert ask(stage, "whole", kind, contents=contents, tools=TOOLS) == stage.whole()
    sent = json.dumps(stage.sent())
    assert sent.index("21 degrees") < sent.index("22 degrees") and "Seoul" in sent


@pytest.mark.parametrize("kind", DIALECTS)
def test_a_chat_keeps_its_history(stage, kind):
    chat = make(stage).chats.create(model=kind, config=types.GenerateContentConfig(system_instruction="be brief"))
    assert chat.send_message("first").text == stage.text
    assert "".join(piece.text or "" for piece in chat.send_message_stream("second")) == stage.text
    assert all(word in json.dumps(stage.sent()) for word in ("be brief", "first", "second", stage.text.split()[0]))
    assert [content.role for content in chat.get_history(curated=True)][:3] == ["user", "model", "user"]


@pytest.mark.parametrize("kind", [kind for kind in DIALECTS if kind not in ("openai", "mistral")])
@pytest.mark.parametrize("way", WAYS)
def test_thoughts(stage, kind, way):
    saw = ask(stage, way, THINKERS.get(kind, kind), {"x-mock-thinking": "5"}, max_output_tokens=4096,
              thinking_config=types.ThinkingConfig(include_thoughts=True, thinking_budget=1024))
    assert saw.reasoning and saw.text == stage.text and saw.output == TOKENS + 5


@pytest.mark.parametrize("kind", PERSONS)
@pytest.mark.parametrize("form", ["schema", "json schema"])
def test_structured_output(stage, kind, form):
    saw, headers = stage.recording(PERSONS[kind])
    schema = {"response_schema": Person} if form == "schema" else {"response_json_schema": PERSON}
    config = types.GenerateContentConfig(response_mime_type="application/json", **schema)
    got = make(stage, headers).models.generate_content(model=f"recorded-{kind}", contents="hello", config=config)
    wanted = {name: json.loads(saw.text)[name] for name in ("name", "age")}
    if form == "schema":
        assert got.parsed == Person(**wanted)
    make(stage).models.generate_content(model=kind, contents="hello", config=config)
    assert "age" in json.dumps(stage.sent())


@pytest.mark.parametrize("kind", EMBEDDERS)
def test_embeddings(stage, client, kind):
    one = client.models.embed_content(model=f"{kind}-embed", contents="a").embeddings
    assert len(one) == 1 and len(one[0].values) > 1
    # Titan takes one text; and the SDK takes a model with gemini in its name for one that makes one vector of all texts.
    if kind not in ("bedrock", "gemini"):
        assert len(client.models.embed_content(model=f"{kind}-embed", contents=["a", "b"]).embeddings) == 2


@pytest.mark.parametrize("kind", DIALECTS)
def test_tokens_are_counted(client, kind):
    assert client.models.count_tokens(model=kind, contents="a text to be counted").total_tokens > 0


def test_models(client):
    assert {f"models/{kind}" for kind in DIALECTS} < {model.name for model in client.models.list()}
    assert client.models.get(model="anthropic").name == "models/anthropic"


# ---- errors ----

STATUSES = {400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 404: "NOT_FOUND", 429: "RESOURCE_EXHAUSTED", 500: "INTERNAL", 503: "UNAVAILABLE"}


@pytest.mark.parametrize("kind", DIALECTS)
@pytest.mark.parametrize("status", STATUSES)
def test_errors_raise_their_classes(stage, kind, status):
    client = make(stage, {"x-mock-status": str(status)})
    for work in (lambda: client.models.generate_content(model=kind, contents="hello"),
                 lambda: list(client.models.generate_content_stream(model=kind, contents="hello"))):
        with pytest.raises(errors.ServerError if status >= 500 else errors.ClientError) as raised:
            work()
        # A key that is none is Google's INVALID_ARGUMENT.
        assert raised.value.code == (400 if status == 401 and kind != "gemini" else status) and raised.value.message
        assert raised.value.status == STATUSES[raised.value.code]


def test_the_gateways_own_errors(client):
    with pytest.raises(errors.ClientError) as raised:
        client.models.generate_content(model="nobody", contents="hello")
    assert (raised.value.code, raised.value.status) == (404, "NOT_FOUND")
    with pytest.raises(errors.ServerError):
        client.models.generate_content(model="dead", contents="hello")
    with pytest.raises(errors.ClientError) as raised:
        client.models.generate_content(model="openai", contents="hello", config=types.GenerateContentConfig(top_k=3))
    assert raised.value.code == 400 and "topK" in raised.value.message


@pytest.mark.parametrize("kind", DIALECTS)
@pytest.mark.parametrize("fault", [{"x-mock-error-after": "7"}, {"x-mock-reset": "events:7"}])
def test_a_stream_that_fails_raises(stage, kind, fault):
    texts = []
    with pytest.raises(errors.APIError) as raised:
        for piece in make(stage, fault).models.generate_content_stream(model=kind, contents="hello"):
            texts.append(piece.text)
    assert any(texts) and raised.value.code and raised.value.message


@pytest.mark.parametrize("kind", DIALECTS)
def test_a_stream_that_is_left(stage, kind):
    before = sum(record["disconnected"] == "client" for record in stage.gateway.records())
    client = make(stage, {"x-mock-stall": "8"})
    stream = client.models.generate_content_stream(model=kind, contents="hello")
    next(stream)
    stream.close()
    client.close()
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
    with pytest.raises(errors.APIError) as raised:
        make(stage, headers).models.generate_content(model=f"recorded-{id.split('/')[0]}", contents="hello")
    assert raised.value.code == (400 if status == 401 else status)


def test_recorded_embeddings_and_counts(stage):
    _, headers = stage.recording("gemini/embed-batch")
    assert make(stage, headers).models.embed_content(model="recorded-gemini-embed", contents=["a", "b"]).embeddings
    saw, headers = stage.recording("gemini/count-tokens")
    assert make(stage, headers).models.count_tokens(model="recorded-gemini", contents="a").total_tokens > 0
