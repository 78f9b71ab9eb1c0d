"""The official `openai` package through the gateway: what applications see, answers and errors."""
import asyncio
import json

import openai
import pytest

from rig import *
from scripted import *


@pytest.fixture
def served(start):
    """A client of a gateway in front of the mock."""
    mock = start(Mock, tokens=16)
    gateway = start(Gateway, single(mock.url, models=["mock-model", {"id": "embedder", "alias": "text-embedding-3-small"}], stream_usage=True))
    with openai.OpenAI(base_url=gateway.url + "/v1", api_key="sk-none", max_retries=0, timeout=DEADLINE) as client:
        yield client


def failing(start, *script, **options):
    """A client of a gateway in front of a scripted upstream."""
    upstream = start(Upstream, *script)
    gateway = start(Gateway, single(upstream.url, **options))
    return upstream, gateway, openai.OpenAI(base_url=gateway.url + "/v1", api_key="sk-none", max_retries=0, timeout=DEADLINE)


MESSAGES = [{"role": "user", "content": "hello"}]


def test_a_completion(served):
    raw = served.chat.completions.with_raw_response.create(model="mock-model", messages=MESSAGES)
    got = raw.parse()
    assert got.choices[0].message.content and got.usage.completion_tokens == 16
    assert raw.headers["x-openclaw-upstream"] == "one" and got._request_id == raw.headers["x-request-id"]


def test_a_stream(served):
    whole = served.chat.completions.create(model="mock-model", messages=MESSAGES, seed=1).choices[0].message.content
    chunks = list(served.chat.completions.create(model="mock-model", messages=MESSAGES, stream=True))
    assert len("".join(chunk.choices[0].delta.content or "" for chunk in chunks)) > 0 and whole
    assert chunks[-1].choices[0].finish_reason == "stop" and all(chunk.usage is None for chunk in chunks)


def test_a_stream_with_usage(served):
    chunks = list(served.chat.completions.create(model="mock-model", messages=MESSAGES, stream=True, stream_options={"include_usage": True}))
    assert chunks[-1].choices == [] and chunks[-1].usage.completion_tokens == 16


def test_a_stream_that_is_left_early(served):
    for _ in range(5):
        with served.chat.completions.create(model="mock-model", messages=MESSAGES, stream=True) as stream:
            next(iter(stream))
    assert served.models.list().data


def test_the_asynchronous_client_many_at_a_time(served):
    async def all_of_them():
        async with openai.AsyncOpenAI(base_url=str(served.base_url), api_key="sk-none", max_retries=0, timeout=DEADLINE) as client:
            async def plain():
                return (await client.chat.completions.create(model="mock-model", messages=MESSAGES)).usage.completion_tokens

            async def streamed():
                stream = await client.chat.completions.create(model="mock-model", messages=MESSAGES, stream=True)
                return sum([1 async for chunk in stream if chunk.choices and chunk.choices[0].delta.content])

            return await asyncio.gather(*(plain() for _ in range(20)), *(streamed() for _ in range(20)))

    assert asyncio.run(all_of_them()) == [16] * 40


def test_completions_of_the_old_kind(served):
    assert served.completions.create(model="mock-model", prompt="once").choices[0].text
    assert list(served.completions.create(model="mock-model", prompt="once", stream=True))


def test_embeddings(served):
    """The SDK asks for base64 unless told otherwise, and decodes it."""
    packed = served.embeddings.create(model="text-embedding-3-small", input=["a", "b"])
    floats = served.embeddings.create(model="text-embedding-3-small", input=["a", "b"], encoding_format="float")
    assert len(packed.data) == 2 and len(packed.data[0].embedding) > 1
    assert packed.data[0].embedding == pytest.approx(floats.data[0].embedding, rel=1e-6, abs=1e-6)
    assert packed.model == "embedder"


def test_responses(served):
    got = served.responses.create(model="mock-model", input="hello")
    assert got.output_text and got.usage.output_tokens == 16
    with served.responses.stream(model="mock-model", input="hello") as stream:
        kinds = [event.type for event in stream]
        final = stream.get_final_response()
    assert kinds[0] == "response.created" and kinds[-1] == "response.completed" and "response.output_text.delta" in kinds
    assert final.status == "completed" and final.output_text


def test_models(served):
    assert [model.id for model in served.models.list()] == ["mock-model", "text-embedding-3-small"]
    assert served.models.retrieve("mock-model").id == "mock-model"
    with pytest.raises(openai.NotFoundError) as raised:
        served.models.retrieve("nobody")
    assert raised.value.code == "model_not_found"


TOOL_CALL = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Köln","n":12345678901234567890}'}}


def test_tools_pass_both_ways(start):
    tools = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}}]
    pieces = [delta(role="assistant", content=None, tool_calls=[{"index": 0, "id": "call_1", "type": "function", "function": {"name": "weather", "arguments": ""}}]),
              *(delta(tool_calls=[{"index": 0, "function": {"arguments": part}}]) for part in ('{"city":', '"Köln",', '"n":12345678901234567890}')),
              delta(finish="tool_calls"), DONE]

    def script(request):
        if request.json().get("stream"):
            return STREAM_HEAD + b"".join(map(chunk, pieces)) + LAST_CHUNK
        return answer(json.dumps({"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [
            {"index": 0, "finish_reason": "tool_calls", "message": {"role": "assistant", "content": None, "tool_calls": [TOOL_CALL]}}]}))

    upstream, gateway, client = failing(start, answering(script))
    got = client.chat.completions.create(model="m", messages=MESSAGES, tools=tools, tool_choice="auto", parallel_tool_calls=False)
    assert got.choices[0].message.tool_calls[0].function.arguments == TOOL_CALL["function"]["arguments"]
    assert upstream.requests[0].json()["tools"] == tools
    with client.chat.completions.stream(model="m", messages=MESSAGES, tools=tools) as stream:
        final = stream.get_final_completion()
    assert final.choices[0].message.tool_calls[0].function.arguments == TOOL_CALL["function"]["arguments"]
    assert final.choices[0].finish_reason == "tool_calls"


ERRORS = [
    (400, openai.BadRequestError), (401, openai.AuthenticationError), (403, openai.PermissionDeniedError), (404, openai.NotFoundError),
    (409, openai.ConflictError), (422, openai.UnprocessableEntityError), (429, openai.RateLimitError), (500, openai.InternalServerError), (503, openai.InternalServerError),
]


@pytest.mark.parametrize("status, kind", ERRORS)
@pytest.mark.parametrize("stream", [False, True])
def test_upstream_errors_raise_their_classes(start, status, kind, stream):
    body = json.dumps({"error": {"message": "the words", "type": "some_type", "param": "p", "code": "some_code"}})
    _, _, client = failing(start, answering(lambda request: answer(body, status, "Words", headers=[("retry-after", "7")])))
    with pytest.raises(kind) as raised:
        client.chat.completions.create(model="m", messages=MESSAGES, stream=stream)
    error = raised.value
    assert (error.status_code, error.code, error.param, error.type) == (status, "some_code", "p", "some_type") and "the words" in error.message
    assert error.response.headers["retry-after"] == "7" and error.request_id.startswith("req_")


def test_the_gateways_own_errors_raise_their_classes(start):
    upstream, gateway, client = failing(start, answering(lambda request: answer(completion())), models=["only"])
    with pytest.raises(openai.NotFoundError) as raised:
        client.chat.completions.create(model="other", messages=MESSAGES)
    assert (raised.value.code, raised.value.param) == ("model_not_found", "model")
    with pytest.raises(openai.BadRequestError) as raised:
        client.post("/chat/completions", body={"messages": []}, cast_to=object)
    assert raised.value.code == "missing_required_parameter"
    gateway.reload(single(f"http://127.0.0.1:{refused_port()}"))
    with pytest.raises(openai.InternalServerError) as raised:
        client.chat.completions.create(model="m", messages=MESSAGES)
    assert (raised.value.status_code, raised.value.code) == (502, "upstream_unreachable")
    gateway.reload(single(black_hole(), connect_timeout_seconds=0.1))
    with pytest.raises(openai.InternalServerError) as raised:
        client.chat.completions.create(model="m", messages=MESSAGES)
    assert (raised.value.status_code, raised.value.code) == (504, "upstream_connect_timeout")


def test_an_sdk_that_retries_gets_through(start):
    """The SDK's own retries meet the upstream's Retry-After."""
    statuses = iter([429, 503, 200])

    def script(request):
        status = next(statuses)
        return answer(completion(), status, "Words", headers=[("retry-after-ms", "10")])

    upstream, gateway, client = failing(start, answering(script))
    assert client.with_options(max_retries=3).chat.completions.create(model="m", messages=MESSAGES).choices[0].message.content == "hello"
    assert len(upstream.requests) == 3


def test_a_client_that_times_out_cancels_its_request(start):
    gone = threading.Event()

    def script(peer):
        peer.request()
        if peer.wait_gone():
            gone.set()

    upstream, gateway, client = failing(start, script)
    with pytest.raises(openai.APITimeoutError):
        client.with_options(timeout=0.3).chat.completions.create(model="m", messages=MESSAGES)
    assert gone.wait(5), "the upstream's transfer is cancelled"
    wait_for(lambda: gateway.records(), what="a record")
    assert gateway.records()[0]["disconnected"] == "client"


@pytest.mark.parametrize("how", ["cut", "in band"])
def test_a_stream_that_breaks_raises_and_never_ends_quietly(start, how):
    def script(peer):
        peer.request()
        peer.send(STREAM_HEAD + chunk(ROLE) + chunk(delta(content="x")))
        if how == "in band":
            peer.send(chunk(event({"error": {"message": "overloaded", "type": "server_error", "code": "busy"}})) + LAST_CHUNK)

    upstream, gateway, client = failing(start, script)
    seen = []
    with pytest.raises(openai.APIError) as raised:
        for part in client.chat.completions.create(model="m", messages=MESSAGES, stream=True):
            seen.append(part.choices[0].delta.content)
    assert seen == ["", "x"] and raised.value.code == {"cut": "upstream_truncated", "in band": "busy"}[how]


def test_a_responses_stream_that_breaks_ends_with_its_error_event(start):
    def script(peer):
        peer.request()
        peer.send(STREAM_HEAD + chunk(b'event: response.output_text.delta\ndata: {"type":"response.output_text.delta","item_id":"i","output_index":0,'
                                      b'"content_index":0,"delta":"hi","sequence_number":1,"logprobs":[]}\n\n'))

    upstream, gateway, client = failing(start, script)
    kinds = [(event.type, getattr(event, "code", None)) for event in client.responses.create(model="m", input="x", stream=True)]
    assert kinds[0][0] == "response.output_text.delta" and kinds[-1] == ("error", "upstream_truncated")
