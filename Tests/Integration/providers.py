"""The providers' APIs as the tests need them: the smallest request of each client dialect, the smallest answer and stream of each upstream dialect, what
a client of each dialect reads of errors, and Amazon's framing and signatures, written from their documents and not from the gateway's code."""
import hashlib
import hmac
import json
import os
import re
import struct
import zlib
from pathlib import Path
from urllib.parse import quote

import pytest

from rig import BACKENDS, ROOT, Gateway
from scripted import LAST_CHUNK, Request, Upstream, answer, chunk


def shared() -> Path:
    """Test data that is not part of the repository."""
    found = Path(os.environ.get("OPENCLAW_SHARED", ROOT.parent / "shared"))
    if not (found / "recordings").is_dir():
        pytest.skip(f"no test data: neither OPENCLAW_SHARED nor {ROOT.parent / 'shared'} has a folder recordings")
    return found


def recordings() -> dict:
    """The recorded exchanges by id; empty where there are none."""
    folder = Path(os.environ.get("OPENCLAW_SHARED", ROOT.parent / "shared")) / "recordings"
    found = [json.loads(file.read_text()) for file in sorted(folder.glob("*/*.json"))]
    return {one["id"]: one for one in found}


# ---- clients ----

HELLO = [{"role": "user", "content": "hi"}]


def ask_of(front: str, model: str, stream: bool = False, **more) -> tuple[str, dict]:
    """Path and body of a client's request; `more` goes into the body."""
    if front == "gemini":
        method = "streamGenerateContent?alt=sse" if stream else "generateContent"
        return f"/v1beta/models/{quote(model, safe='/')}:{method}", {"contents": [{"role": "user", "parts": [{"text": "hi"}]}], **more}
    path, body = {
        "chat": ("/v1/chat/completions", {"messages": HELLO}),
        "completions": ("/v1/completions", {"prompt": "hi"}),
        "responses": ("/v1/responses", {"input": "hi"}),
        "messages": ("/v1/messages", {"max_tokens": 64, "messages": HELLO}),
        "ollama": ("/api/chat", {"messages": HELLO}),
        "generate": ("/api/generate", {"prompt": "hi"}),
        "embeddings": ("/v1/embeddings", {"input": "hi"}),
        "embed": ("/api/embed", {"input": "hi"}),
        "count": ("/v1/messages/count_tokens", {"messages": HELLO}),
    }[front]
    asks = {"stream": stream} if stream or front in ("ollama", "generate") else {}
    return path, {"model": model, **body, **asks, **more}


FRONTS = ["chat", "completions", "responses", "messages", "gemini", "ollama", "generate"]


def error_of(front: str, body) -> tuple[str, str | None]:
    """Message and parameter of an error body, which must have exactly the form that the dialect's SDK reads."""
    if front in ("ollama", "generate", "embed"):
        assert isinstance(body["error"], str), body
        return body["error"], None
    error = body["error"]
    assert isinstance(error["message"], str) and error["message"], body
    if front in ("messages", "count"):
        assert body["type"] == "error" and isinstance(error["type"], str), body
        return error["message"], None
    if front == "gemini":
        assert isinstance(error["code"], int) and re.fullmatch(r"[A-Z_]+", error["status"]), body
        return error["message"], None
    assert isinstance(error["type"], str) and "code" in error and "param" in error, body
    return error["message"], error["param"]


def stream_error_of(front: str, body: bytes) -> str | None:
    """Message of the error that a stream ends with, as the dialect's SDK would see it; None: it has none."""
    text = body.decode("utf-8", "replace").replace("\r\n", "\n")
    if front in ("ollama", "generate"):
        events = text.split("\n")
    else:
        events = ["\n".join(line[5:] for line in block.split("\n") if line.startswith("data:")) for block in text.split("\n\n")]
    for event in events:
        try:
            value = json.loads(event)
        except ValueError:
            continue
        if not isinstance(value, dict):
            continue
        if value.get("type") == "response.failed":
            return value["response"]["error"]["message"]
        if value.get("type") == "error" and "message" in value:
            return value["message"]
        if front in ("ollama", "generate") and isinstance(value.get("error"), str):
            return value["error"]
        if isinstance(value.get("error"), dict):
            return value["error"]["message"]
    return None


def ends_well(front: str, body: bytes) -> bool:
    """Would a client of this dialect take the stream for whole?"""
    return {
        "chat": b"[DONE]", "completions": b"[DONE]", "responses": b'"response.completed"', "messages": b'"message_stop"', "gemini": b'"finishReason"',
        "ollama": b'"done":true', "generate": b'"done":true',
    }[front] in body


# ---- upstreams ----

def frame(event: str, value, kind: str = "event") -> bytes:
    """One message of Amazon's event stream."""
    names = [(":message-type", kind), (":content-type", "application/json"), (":exception-type" if kind == "exception" else ":event-type", event)]
    fields = b"".join(bytes([len(name)]) + name.encode() + b"\x07" + struct.pack(">H", len(text)) + text.encode() for name, text in names)
    payload = json.dumps(value).encode()
    prelude = struct.pack(">II", 16 + len(fields) + len(payload), len(fields))
    message = prelude + struct.pack(">I", zlib.crc32(prelude)) + fields + payload
    return message + struct.pack(">I", zlib.crc32(message))


def sse(*values, names: bool = False) -> list[bytes]:
    return [(f"event: {value['type']}\n".encode() if names else b"") + b"data: " + (value if isinstance(value, bytes) else json.dumps(value).encode()) + b"\n\n" for value in values]


def lines(*values) -> list[bytes]:
    return [json.dumps(value).encode() + b"\n" for value in values]


CHAT_HEAD = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
MESSAGE = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "content": [], "stop_reason": None, "stop_sequence": None}
RESPONSE = {"id": "resp_1", "object": "response", "created_at": 1, "status": "in_progress", "model": "m", "output": []}
ITEM = {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed", "content": [{"type": "output_text", "text": "hello", "annotations": []}]}
RESPONSE_USAGE = {"input_tokens": 7, "input_tokens_details": {"cached_tokens": 0}, "output_tokens": 3, "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": 10}
OLLAMA_END = {"done": True, "done_reason": "stop", "total_duration": 5, "load_duration": 1, "prompt_eval_count": 7, "prompt_eval_duration": 1, "eval_count": 3, "eval_duration": 2}
OLLAMA = {"model": "m", "created_at": "2026-01-01T00:00:00Z"}

# dialect: what a whole answer is, and the pieces of a stream, every one of 7 tokens in and 3 out.
PLAIN = {
    "chat": {"id": "c1", "object": "chat.completion", "created": 1, "model": "m", "choices": [
        {"index": 0, "message": {"role": "assistant", "content": "hello"}, "finish_reason": "stop"}], "usage": {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}},
    "completions": {"id": "c1", "object": "text_completion", "created": 1, "model": "m", "choices": [{"index": 0, "text": "hello", "logprobs": None, "finish_reason": "stop"}],
                    "usage": {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}},
    "responses": {**RESPONSE, "status": "completed", "output": [ITEM], "usage": RESPONSE_USAGE},
    "messages": {**MESSAGE, "content": [{"type": "text", "text": "hello"}], "stop_reason": "end_turn", "usage": {"input_tokens": 7, "output_tokens": 3}},
    "gemini": {"candidates": [{"content": {"role": "model", "parts": [{"text": "hello"}]}, "finishReason": "STOP", "index": 0}],
               "usageMetadata": {"promptTokenCount": 7, "candidatesTokenCount": 3, "totalTokenCount": 10}, "modelVersion": "m", "responseId": "r1"},
    "converse": {"output": {"message": {"role": "assistant", "content": [{"text": "hello"}]}}, "stopReason": "end_turn",
                 "usage": {"inputTokens": 7, "outputTokens": 3, "totalTokens": 10}, "metrics": {"latencyMs": 5}},
    "cohere": {"id": "c1", "finish_reason": "COMPLETE", "message": {"role": "assistant", "content": [{"type": "text", "text": "hello"}]},
               "usage": {"billed_units": {"input_tokens": 7, "output_tokens": 3}, "tokens": {"input_tokens": 509, "output_tokens": 3}}},
    "ollama": {**OLLAMA, "message": {"role": "assistant", "content": "hello"}, **OLLAMA_END},
    "generate": {**OLLAMA, "response": "hello", **OLLAMA_END},
    "embeddings": {"object": "list", "model": "m", "data": [{"object": "embedding", "index": 0, "embedding": [0.5, -1.0]}], "usage": {"prompt_tokens": 7, "total_tokens": 7}},
}
STREAMS = {
    "chat": sse({**CHAT_HEAD, "choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}]},
                {**CHAT_HEAD, "choices": [{"index": 0, "delta": {"content": "hel"}, "finish_reason": None}]},
                {**CHAT_HEAD, "choices": [{"index": 0, "delta": {"content": "lo"}, "finish_reason": None}]},
                {**CHAT_HEAD, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
                {**CHAT_HEAD, "choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}}, b"[DONE]"),
    "completions": sse({"id": "c1", "object": "text_completion", "created": 1, "model": "m", "choices": [{"index": 0, "text": "hello", "finish_reason": None}]},
                       {"id": "c1", "object": "text_completion", "created": 1, "model": "m", "choices": [{"index": 0, "text": "", "finish_reason": "stop"}]}, b"[DONE]"),
    "responses": sse({"type": "response.created", "sequence_number": 0, "response": RESPONSE},
                     {"type": "response.output_item.added", "sequence_number": 1, "output_index": 0, "item": {**ITEM, "status": "in_progress", "content": []}},
                     {"type": "response.content_part.added", "sequence_number": 2, "item_id": "msg_1", "output_index": 0, "content_index": 0, "part": {"type": "output_text", "text": "", "annotations": []}},
                     {"type": "response.output_text.delta", "sequence_number": 3, "item_id": "msg_1", "output_index": 0, "content_index": 0, "delta": "hel"},
                     {"type": "response.output_text.delta", "sequence_number": 4, "item_id": "msg_1", "output_index": 0, "content_index": 0, "delta": "lo"},
                     {"type": "response.output_text.done", "sequence_number": 5, "item_id": "msg_1", "output_index": 0, "content_index": 0, "text": "hello"},
                     {"type": "response.content_part.done", "sequence_number": 6, "item_id": "msg_1", "output_index": 0, "content_index": 0, "part": ITEM["content"][0]},
                     {"type": "response.output_item.done", "sequence_number": 7, "output_index": 0, "item": ITEM},
                     {"type": "response.completed", "sequence_number": 8, "response": {**RESPONSE, "status": "completed", "output": [ITEM], "usage": RESPONSE_USAGE}}, names=True),
    "messages": sse({"type": "message_start", "message": {**MESSAGE, "usage": {"input_tokens": 7, "output_tokens": 1}}},
                    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
                    {"type": "ping"},
                    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "hel"}},
                    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "lo"}},
                    {"type": "content_block_stop", "index": 0},
                    {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None}, "usage": {"output_tokens": 3}},
                    {"type": "message_stop"}, names=True),
    "gemini": sse({"candidates": [{"content": {"role": "model", "parts": [{"text": "hel"}]}, "index": 0}],
                   "usageMetadata": {"promptTokenCount": 7, "candidatesTokenCount": 1, "totalTokenCount": 8}, "modelVersion": "m", "responseId": "r1"},
                  {"candidates": [{"content": {"role": "model", "parts": [{"text": "lo"}]}, "finishReason": "STOP", "index": 0}],
                   "usageMetadata": {"promptTokenCount": 7, "candidatesTokenCount": 3, "totalTokenCount": 10}, "modelVersion": "m", "responseId": "r1"}),
    "converse": [frame("messageStart", {"role": "assistant"}), frame("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "hel"}}),
                 frame("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "lo"}}), frame("contentBlockStop", {"contentBlockIndex": 0}),
                 frame("messageStop", {"stopReason": "end_turn"}), frame("metadata", {"usage": {"inputTokens": 7, "outputTokens": 3, "totalTokens": 10}, "metrics": {"latencyMs": 5}})],
    "cohere": sse({"type": "message-start", "id": "c1", "delta": {"message": {"role": "assistant", "content": [], "tool_plan": "", "tool_calls": [], "citations": []}}},
                  {"type": "content-start", "index": 0, "delta": {"message": {"content": {"type": "text", "text": ""}}}},
                  {"type": "content-delta", "index": 0, "delta": {"message": {"content": {"text": "hel"}}}},
                  {"type": "content-delta", "index": 0, "delta": {"message": {"content": {"text": "lo"}}}},
                  {"type": "content-end", "index": 0},
                  {"type": "message-end", "delta": {"finish_reason": "COMPLETE", "usage": {"billed_units": {"input_tokens": 7, "output_tokens": 3}, "tokens": {"input_tokens": 509, "output_tokens": 3}}}}, names=True),
    "ollama": lines({**OLLAMA, "message": {"role": "assistant", "content": "hel"}, "done": False}, {**OLLAMA, "message": {"role": "assistant", "content": "lo"}, "done": False},
                    {**OLLAMA, "message": {"role": "assistant", "content": ""}, **OLLAMA_END}),
    "generate": lines({**OLLAMA, "response": "hel", "done": False}, {**OLLAMA, "response": "lo", "done": False}, {**OLLAMA, "response": "", **OLLAMA_END}),
}
STREAM_TYPES = {"converse": "application/vnd.amazon.eventstream", "ollama": "application/x-ndjson", "generate": "application/x-ndjson"}


def streamed(dialect: str, pieces=None, end: bytes = LAST_CHUNK, content_type: str | None = None) -> bytes:
    """A stream's whole answer, each piece a chunk."""
    head = f"HTTP/1.1 200 OK\r\ncontent-type: {content_type or STREAM_TYPES.get(dialect, 'text/event-stream')}\r\ntransfer-encoding: chunked\r\n\r\n"
    return head.encode() + b"".join(map(chunk, STREAMS[dialect] if pieces is None else pieces)) + end


def asks_for_stream(request: Request) -> bool:
    if "streamGenerateContent" in request.target or request.target.endswith("/converse-stream"):
        return True
    if request.target.endswith(":generateContent") or request.target.endswith("/converse"):
        return False
    value = request.json()
    return value.get("stream", request.target.startswith("/api/") or "/api/" in request.target) if isinstance(value, dict) else False


def dialect_of(request: Request) -> str:
    path = request.target.partition("?")[0]
    for ending, dialect in (("/chat/completions", "chat"), ("/completions", "completions"), ("/responses", "responses"), ("/messages", "messages"), ("/converse", "converse"),
                            ("/converse-stream", "converse"), ("/api/chat", "ollama"), ("/api/generate", "generate"), ("/chat", "cohere"), ("/embeddings", "embeddings")):
        if path.endswith(ending):
            return dialect
    return "gemini" if "enerateContent" in path else "other"


def usual(request: Request) -> bytes:
    """What a provider would answer at this path."""
    path = request.target.partition("?")[0]
    if path.endswith("/count_tokens") or path.endswith("/count-tokens"):
        return answer(b'{"input_tokens": 42, "inputTokens": 42}')
    if path.endswith(":countTokens"):
        return answer(b'{"totalTokens": 42}')
    if path.endswith(":batchEmbedContents"):
        return answer(b'{"embeddings": [{"values": [0.5, -1.0]}]}')
    if path.endswith(":embedContent"):
        return answer(b'{"embedding": {"values": [0.5, -1.0]}}')
    if path.endswith("/api/embed"):
        return answer(b'{"model": "m", "embeddings": [[0.5, -1.0]], "prompt_eval_count": 7}')
    if path.endswith("/embed"):
        return answer(b'{"id": "e", "embeddings": {"float": [[0.5, -1.0]]}, "texts": ["hi"], "meta": {"billed_units": {"input_tokens": 7}}}')
    if path.endswith("/invoke"):
        return answer(b'{"embedding": [0.5, -1.0], "inputTextTokenCount": 7}')
    dialect = dialect_of(request)
    if dialect == "other":
        return answer(b'{"error": {"message": "no such path"}}', 404, "Not Found")
    if dialect != "embeddings" and asks_for_stream(request):
        return streamed(dialect)
    return answer(json.dumps(PLAIN[dialect]))


# What speaks what: upstream types, their options, the dialect their answers are in.
TYPES = {
    "openai": ("chat", {"base": "/v1"}), "generic": ("chat", {"base": "/v1"}), "azure": ("chat", {"base": "/openai/v1"}), "mistral": ("chat", {"base": "/v1"}),
    "anthropic": ("messages", {"base": ""}), "gemini": ("gemini", {"base": ""}), "bedrock": ("converse", {"base": "", "region": "us-east-1"}),
    "cohere": ("cohere", {"base": ""}), "ollama": ("ollama", {"base": ""}),
}


def upstream(kind: str, url: str, **options) -> dict:
    """An upstream of this type at a scripted server."""
    own = dict(TYPES[kind][1])
    base = options.pop("base", own.pop("base"))
    own.pop("base", None)
    return {"type": kind, "base_url": url + base, "api_key": f"key-of-{kind}", **own, **options}


# ---- Amazon's signatures ----

def signature(secret: str, method: str, path: str, query: str, headers: dict, signed: list[str], body: bytes, scope: str, date: str) -> tuple[str, str]:
    """Canonical request and signature of AWS Signature Version 4; the path is encoded once more than it is sent, as all services but S3 have it."""
    canonical = "\n".join([
        method, quote(path, safe="/-_.~"), "&".join(sorted(query.split("&"))) if query else "",
        "".join(f"{name}:{' '.join(headers[name].split())}\n" for name in signed), ";".join(signed), hashlib.sha256(body).hexdigest()])
    to_sign = "\n".join(["AWS4-HMAC-SHA256", date, scope, hashlib.sha256(canonical.encode()).hexdigest()])
    key = b"AWS4" + secret.encode()
    for part in scope.split("/"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return canonical, hmac.new(key, to_sign.encode(), hashlib.sha256).hexdigest()


def check_signature(request: Request, access_key: str, secret: str, region: str = "us-east-1", token: str | None = None) -> None:
    """The signature of a request as it came must be right and must cover what matters."""
    match = re.fullmatch(r"AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{8}/[^/]+/bedrock/aws4_request), ?SignedHeaders=([a-z0-9;-]+), ?Signature=([0-9a-f]{64})", request.header("authorization"))
    assert match, request.header("authorization")
    date, signed = request.header("x-amz-date"), match[3].split(";")
    assert match[1] == access_key and match[2] == f"{date[:8]}/{region}/bedrock/aws4_request", match[0]
    assert signed == sorted(signed) and {"content-type", "host", "x-amz-date"} <= set(signed), signed
    assert request.header("x-amz-security-token") == token and ("x-amz-security-token" in signed) == (token is not None)
    assert all(len(request.headers[name]) == 1 for name in signed)
    path, _, query = request.target.partition("?")
    _, wanted = signature(secret, request.method, path, query, {name: request.header(name) for name in signed}, signed, request.body, match[2], date)
    assert match[4] == wanted, "the signature is not that of what came"


# ---- gateways ----

class House:
    """Gateways of one kernel interface and their upstreams, kept for all tests of a file that ask for the same ones."""

    def __init__(self, backend: str, folder: Path):
        self.backend, self.folder, self.running, self.worlds = backend, folder, {}, {}

    def world(self, name: str, script) -> Upstream:
        """A scripted upstream that lives as long as the gateways before it."""
        if name not in self.worlds:
            self.worlds[name] = Upstream(script)
        return self.worlds[name]

    def gateway(self, config: dict, environment: dict | None = None) -> Gateway:
        key = json.dumps([config, environment], sort_keys=True)
        if key not in self.running:
            self.running[key] = Gateway(config, self.folder, self.backend, environment=environment)
        assert self.running[key].alive(), self.running[key].messages.all[-5:]
        return self.running[key]

    def stop(self):
        for one in [*self.running.values(), *self.worlds.values()]:
            one.stop()


@pytest.fixture(scope="module", params=BACKENDS)
def house(request, tmp_path_factory):
    made = House(request.param, tmp_path_factory.mktemp("house"))
    yield made
    made.stop()
