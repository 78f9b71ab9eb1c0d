"""Streams whose upstream dies in the middle and go on at the next: one message for the client, marked in the stream and the log, and a typed end where it cannot be."""
import json
import re
import threading

import httpx
import pytest

from h2upstream import *
from rig import *
from scripted import *
from test_dialect_streams import BACKS, FRONTS, MESSAGE, chunk, compact, foreign, head, nothing_is_left, scripted, whole
from test_tls_upstreams import Proxy
from tlsrig import *
from test_shadow import metric

RESUMED = re.compile(rb": openclaw resumed upstream=(\S+) after=(\S+)\n\n")


def resuming(upstreams, **options):
    return {"upstreams": upstreams, "routes": [route(*upstreams, id="resuming", resume=True, **options)]}


def opening(kind):
    return head(200, BACKS[kind].stream_type, "transfer-encoding: chunked") + b"\r\n"


def dying(start, kind, text, how="reset", pause=None):
    """An upstream that begins to answer and dies."""
    back = BACKS[kind]

    def script(peer):
        peer.request()
        peer.send(opening(kind) + chunk(back.begin + back.content(text)))
        if pause:
            pause.wait(DEADLINE)
        if how == "reset":
            peer.reset()
        elif how == "stall":
            peer.wait_gone()
        elif how == "error":
            peer.send(chunk(back.error("overloaded")) + LAST_CHUNK)
            peer.wait_gone()
        elif how == "clean":
            peer.send(LAST_CHUNK)
            peer.wait_gone()
    return start(Upstream, script)


def going_on(start, kind, text):
    back = BACKS[kind]
    return start(Upstream, answering(lambda request: opening(kind) + chunk(back.begin + back.content(text) + back.end) + LAST_CHUNK))


def text_of(front, body):
    """The text as a client of this dialect reads it; all the messages' beginnings that there are."""
    def data():
        for block in re.split(rb"\n\n", body) if front != "ollama" else body.splitlines():
            for line in block.split(b"\n") if front != "ollama" else [block]:
                line = line.removeprefix(b"data: ")
                if line.startswith(b"{"):
                    yield json.loads(line)
    text, starts = "", 0
    for one in data():
        if front == "chat":
            text += "".join(choice["delta"].get("content") or "" for choice in one.get("choices", []))
            starts += sum(1 for choice in one.get("choices", []) if choice["delta"].get("role"))
        elif front == "messages":
            text += one["delta"].get("text", "") if one["type"] == "content_block_delta" else ""
            starts += one["type"] == "message_start"
        elif front == "gemini":
            text += "".join(part.get("text", "") for candidate in one.get("candidates", []) for part in candidate.get("content", {}).get("parts", []))
            starts = 1
        elif front == "ollama":
            text += one.get("message", {}).get("content", "")
            starts = 1
        elif front == "responses":
            text += one["delta"] if one["type"] == "response.output_text.delta" else ""
            starts += one["type"] == "response.created"
    return text, starts


def prompt_of(kind, request):
    """The last turn of the request: who speaks, and what."""
    body = request.json()
    if kind == "gemini":
        turn = body["contents"][-1]
        return turn["role"], "".join(part["text"] for part in turn["parts"])
    turn = body["messages"][-1]
    content = turn["content"]
    return turn["role"], content if isinstance(content, str) else "".join(part["text"] for part in content)


PAIRS = [("chat", "generic", "generic"), ("chat", "generic", "anthropic"), ("chat", "anthropic", "gemini"), ("chat", "gemini", "ollama"), ("messages", "anthropic", "anthropic"),
         ("messages", "anthropic", "generic"), ("messages", "generic", "gemini"), ("gemini", "gemini", "gemini"), ("gemini", "anthropic", "generic"), ("ollama", "ollama", "ollama"),
         ("ollama", "generic", "anthropic"), ("responses", "anthropic", "generic"), ("responses", "gemini", "anthropic")]


@pytest.mark.parametrize("front,first,second", PAIRS)
def test_a_stream_whose_upstream_dies_goes_on_at_the_next(start, front, first, second):
    one, two = dying(start, first, "Once upon"), going_on(start, second, " a time")
    gateway = start(Gateway, resuming({"one": foreign(first, one.url), "two": foreign(second, two.url)}))
    path, body, error, end = FRONTS[front]
    answer = gateway.ask("POST", path, body)
    assert answer.status == 200
    text, starts = text_of(front, answer.body)
    assert text == "Once upon a time" and starts == 1, answer.body
    assert error not in answer.body and end in answer.body
    assert answer.header("x-openclaw-upstream") == "one"
    if front != "ollama":
        mark = RESUMED.findall(answer.body)
        assert mark == [(b"two", b"network")], answer.body
    role, said = prompt_of(second, two.requests[0])
    assert role == ("model" if second == "gemini" else "assistant") and said == "Once upon"
    record = gateway.record(answer.id)
    assert record["resumed"] == 1 and record["status"] == 200 and record["disconnected"] is None and record["error_class"] is None
    assert [(a["upstream"], a["class"], a["why"]) for a in record["attempts"]] == [("one", "network", "first"), ("two", None, "resume")]
    assert record["tokens"]["estimated"] is True and record["tokens"]["output"] > 0
    assert metric(gateway, "openclaw_resumes_total") == {'openclaw_resumes_total{route_id="resuming",result="resumed"}': 1}
    nothing_is_left(gateway)


@pytest.mark.parametrize("how,after", [("reset", "network"), ("stall", "timeout"), ("clean", "network"), ("error", None)])
@pytest.mark.parametrize("kind", ["generic", "anthropic"])
def test_whatever_it_dies_of(start, how, after, kind):
    one, two = dying(start, kind, "Once upon", how), going_on(start, "generic", " a time")
    gateway = start(Gateway, resuming({"one": foreign(kind, one.url, idle_stream_timeout_seconds=0.3), "two": foreign("generic", two.url)}))
    answer = gateway.chat(stream=True)
    assert answer.text == "Once upon a time" and answer.events[-1] == "[DONE]", answer.body
    assert not any("error" in event for event in answer.events if isinstance(event, dict))
    found = RESUMED.findall(answer.body)
    assert len(found) == 1 and (after is None or found[0][1] == after.encode()), found
    record = gateway.record(answer.id)
    assert record["resumed"] == 1 and record["finish_reason"] == "stop"
    nothing_is_left(gateway)


def test_white_space_at_the_seam_is_neither_sent_nor_doubled(start):
    one, two = dying(start, "generic", "First line.\\n\\n "), going_on(start, "anthropic", "\\n Second line.")
    # The texts above are escaped twice on purpose: they stay what they are.
    one2, two2 = dying(start, "generic", "First line.\n\n "), going_on(start, "anthropic", "\n Second line.")
    gateway = start(Gateway, resuming({"one": foreign("generic", one2.url), "two": foreign("anthropic", two2.url)}))
    answer = gateway.chat(stream=True)
    assert answer.text == "First line.\n\n Second line."
    assert prompt_of("anthropic", two2.requests[0]) == ("assistant", "First line.")
    other = start(Gateway, resuming({"one": foreign("generic", one.url), "two": foreign("anthropic", two.url)}))
    assert other.chat(stream=True).text == "First line.\\n\\n \\n Second line."


def cannot(start, text, second="generic", first="generic", body=(), config=None, **options):
    """A stream that dies and is not gone on with: its client gets the typed error."""
    one, two = dying(start, first, text) if isinstance(text, str) else text, going_on(start, second, "more")
    gateway = start(Gateway, config(one, two) if config else resuming({"one": foreign(first, one.url), "two": foreign(second, two.url)}, **options))
    answer = gateway.chat(stream=True, **dict(body))
    assert answer.status == 200 and answer.events[-1] != "[DONE]"
    assert answer.events[-1]["error"]["code"] == "upstream_truncated", answer.body
    assert RESUMED.search(answer.body) is None
    assert two.requests == []
    record = gateway.record(answer.id)
    assert "resumed" not in record and record["disconnected"] == "upstream"
    nothing_is_left(gateway)
    return gateway


def test_without_resume_it_ends_as_ever(start):
    cannot(start, "Once upon", config=lambda one, two: {"upstreams": {"one": foreign("generic", one.url), "two": foreign("generic", two.url)}, "routes": [route("one", "two")]})


@pytest.mark.parametrize("body", [{"n": 2}, {"response_format": {"type": "json_object"}}, {"logprobs": True}])
def test_what_must_come_from_one_upstream_is_not_gone_on_with(start, body):
    cannot(start, "Once upon", body=body.items())


@pytest.mark.parametrize("delta_", [{"tool_calls": [{"index": 0, "id": "call_1", "type": "function", "function": {"name": "f", "arguments": ""}}]}, {"reasoning_content": "hm"},
                                    {"refusal": "no"}])
def test_calls_and_mere_thoughts_are_not_gone_on_with(start, delta_):
    def script(peer):
        peer.request()
        peer.send(STREAM_HEAD + chunk(ROLE + delta(**delta_)))
        peer.reset()
    gateway = cannot(start, start(Upstream, script))
    assert metric(gateway, "openclaw_resumes_total") == {'openclaw_resumes_total{route_id="resuming",result="refused"}': 1}


def test_attempts_bound_it(start):
    cannot(start, "Once upon", retries={"max_attempts": 1})


def test_an_openai_upstream_does_not_continue(start):
    """OpenAI's servers take a last message of the assistant for history: they are passed by."""
    one, two, three = dying(start, "generic", "Once upon"), going_on(start, "generic", "wrong"), going_on(start, "generic", " a time")
    gateway = start(Gateway, resuming({"one": foreign("generic", one.url), "two": {**foreign("generic", two.url), "type": "openai"}, "three": foreign("generic", three.url)}))
    answer = gateway.chat(stream=True)
    assert answer.text == "Once upon a time" and two.requests == []
    assert RESUMED.findall(answer.body) == [(b"three", b"network")]
    nothing_is_left(gateway)


@pytest.mark.parametrize("fault", ["refused", "status", "plain", "dies"])
def test_one_that_cannot_go_on_ends_in_the_clients_error(start, fault):
    one = dying(start, "generic", "Once upon")

    def script(peer):
        peer.request()
        if fault == "status":
            peer.send(whole({"error": {"message": "no", "type": "x"}}, 500))
        elif fault == "plain":
            peer.send(whole(completion()))
        else:
            peer.send(STREAM_HEAD + chunk(ROLE + delta(content=" a")))
            peer.reset()
    two = f"http://127.0.0.1:{refused_port()}" if fault == "refused" else start(Upstream, script).url
    gateway = start(Gateway, resuming({"one": foreign("generic", one.url), "two": foreign("generic", two)}))
    answer = gateway.chat(stream=True)
    assert answer.status == 200 and "error" in answer.events[-1], answer.body
    assert answer.text == ("Once upon a" if fault == "dies" else "Once upon")
    record = gateway.record(answer.id)
    assert record["disconnected"] == "upstream" and record["resumed"] == 1 and len(record["attempts"]) == 2
    assert len(gateway.records()) == 1
    nothing_is_left(gateway)


def test_thoughts_of_the_second_part_stay_out_and_the_request_keeps_its_fields(start):
    one = dying(start, "anthropic", "Once upon")

    def script(peer):
        peer.request()
        from test_dialect_streams import anthropic_start, sse
        peer.send(opening("anthropic") + chunk(sse(
            anthropic_start(), {"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": ""}},
            {"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "hm"}}, {"type": "content_block_stop", "index": 0},
            {"type": "content_block_start", "index": 1, "content_block": {"type": "text", "text": ""}},
            {"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": " a time"}}, {"type": "content_block_stop", "index": 1},
            {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 3}}, {"type": "message_stop"})) + LAST_CHUNK)
        peer.wait_gone()
    two = start(Upstream, script)
    gateway = start(Gateway, resuming({"one": foreign("anthropic", one.url), "two": foreign("anthropic", two.url)}))
    answer = gateway.ask("POST", "/v1/messages", {"model": "m", "max_tokens": 50, "messages": MESSAGE, "stream": True, "metadata": {"user_id": "u"}, "top_k": 5},
                         headers=[("anthropic-beta", "some-beta-2025"), ("anthropic-version", "2023-06-01")])
    assert text_of("messages", answer.body) == ("Once upon a time", 1)
    assert b"hm" not in answer.body and answer.body.count(b"content_block_start\"") == 1, answer.body
    for upstream in (one, two):
        assert upstream.requests[0].header("anthropic-beta") == "some-beta-2025"
        assert upstream.requests[0].json()["top_k"] == 5 and upstream.requests[0].json()["metadata"] == {"user_id": "u"}
    # What is left of what was asked for.
    assert two.requests[0].json()["max_tokens"] < 50
    nothing_is_left(gateway)


def test_a_client_that_leaves_while_its_stream_goes_on_leaves_nothing(start):
    gone = threading.Event()
    one = dying(start, "generic", "Once upon")

    def script(peer):
        peer.request()
        peer.send(STREAM_HEAD + chunk(ROLE))
        gone.set()
        assert peer.wait_gone()
    two = start(Upstream, script)
    gateway = start(Gateway, resuming({"one": foreign("generic", one.url), "two": foreign("generic", two.url)}))
    with gateway.connect() as client:
        client.send("POST", "/v1/chat/completions", {"model": "m", "messages": MESSAGE, "stream": True}, [("x-request-id", "asked")])
        client.read_until(client.read_head(), b"upon")
        assert gone.wait(DEADLINE)
        client.reset()
    record = gateway.record("asked")
    assert record["disconnected"] == "client" and [a["class"] for a in record["attempts"]] == ["network", "client_gone"]
    nothing_is_left(gateway)


def test_plain_answers_and_whole_streams_of_such_a_route_are_as_ever(start):
    upstream = scripted(start, lambda peer, request: peer.send(
        STREAM_HEAD + b"".join(chunk(one) for one in good_stream(usage=True)) + LAST_CHUNK if request.json()["stream"] else whole(completion())))
    gateway = start(Gateway, resuming({"one": foreign("generic", upstream.url)}))
    plain = gateway.chat(stream=False)
    assert plain.body == completion()
    streamed = gateway.chat(stream=True)
    assert streamed.text == "Hello" and streamed.events[-1] == "[DONE]"
    record = gateway.record(streamed.id)
    assert record["tokens"] == {"input": 7, "output": 3, "cached": None, "reasoning": None, "estimated": False} and "resumed" not in record
    nothing_is_left(gateway)


# ---- transports

def test_from_an_http2_upstream_to_another_for_an_http2_client(start, speak):
    def die(session, call):
        stream_head(session, call)
        session.data(call.stream, ROLE + delta(content="Once upon"))
        session.reset(call.stream, 2)

    def go_on(session, call):
        assert json.loads(call.body)["messages"][-1] == {"role": "assistant", "content": "Once upon"}
        stream_head(session, call)
        session.data(call.stream, ROLE + delta(content=" a time") + delta(finish="stop") + DONE, end=True)
    one, two = speak(answering_calls(die)), speak(answering_calls(go_on))
    gateway = start(Gateway, resuming({"one": one.config, "two": two.config}))
    with httpx.Client(base_url=gateway.url, http1=False, http2=True, timeout=DEADLINE) as client:
        for at in range(3):
            answer = client.post("/v1/chat/completions", json={"model": "m", "messages": MESSAGE, "stream": True}, headers={"x-request-id": f"asked-{at}"})
            assert text_of("chat", answer.content) == ("Once upon a time", 1) and answer.content.endswith(DONE)
            assert len(RESUMED.findall(answer.content)) == 1
            assert gateway.record(f"asked-{at}")["resumed"] == 1
    assert one.connections == 1 and two.connections == 1
    nothing_is_left(gateway)


def test_through_an_egress_proxy_by_curl(start):
    one, two, proxy = dying(start, "generic", "Once upon"), going_on(start, "anthropic", " a time"), start(Proxy)
    way = {"proxy": f"http://127.0.0.1:{proxy.port}"}
    gateway = start(Gateway, resuming({"one": foreign("generic", one.url, **way), "two": foreign("anthropic", two.url, **way)}))
    answer = gateway.chat(stream=True)
    assert answer.text == "Once upon a time" and answer.events[-1] == "[DONE]"
    assert gateway.record(answer.id)["resumed"] == 1
    nothing_is_left(gateway)


def test_the_official_sdks_read_one_message(start):
    anthropic, openai = pytest.importorskip("anthropic"), pytest.importorskip("openai")
    one, two = dying(start, "anthropic", "Once upon"), going_on(start, "generic", " a time")
    gateway = start(Gateway, resuming({"one": foreign("anthropic", one.url), "two": foreign("generic", two.url)}))
    with anthropic.Anthropic(base_url=gateway.url, api_key="x", max_retries=0).messages.stream(model="m", max_tokens=50, messages=MESSAGE) as stream:
        message = stream.get_final_message()
    assert [block.text for block in message.content] == ["Once upon a time"] and message.stop_reason == "end_turn"
    chunks = list(openai.OpenAI(base_url=gateway.url + "/v1", api_key="x", max_retries=0).chat.completions.create(model="m", messages=MESSAGE, stream=True))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == "Once upon a time"
    assert len({chunk.id for chunk in chunks}) == 1
    nothing_is_left(gateway)
