"""What the tests of the official SDKs share: one gateway with an upstream of every type, each in front of the mock and of the replayed
recordings, and a form in which what any SDK returned can be compared with what any other did, or with what a recording says.

A model's name chooses the upstream: `openai`, `gemini` … are the mock, `recorded-openai` … the recordings, of which the header x-mock-recording names
one. `dead` leads to a port where nobody listens. Headers x-mock-… of a client reach the mock, since no dialect has them.
"""
import asyncio
import base64
import dataclasses
import json
import os
from pathlib import Path

import pytest

from rig import *
from scripted import *

UPSTREAMS = ["openai", "anthropic", "gemini", "bedrock", "cohere", "mistral", "ollama", "generic", "azure"]
# The type itself is enough for what is about the client's side; these differ in their dialect.
DIALECTS = ["openai", "anthropic", "gemini", "bedrock", "cohere", "ollama", "mistral"]
EMBEDDERS = ["openai", "gemini", "bedrock", "cohere", "ollama", "mistral"]
TOKENS = 16
VERSIONED = {"openai", "mistral", "generic"}
MORE = {"bedrock": {"region": "us-east-1", "aws": {"access_key_id": "AKIDEXAMPLE", "secret_access_key": "none"}}}
# Whether it thinks is known of the model there.
THINKERS = {"bedrock": "bedrock-claude"}
EMBEDDING_MODELS = {"bedrock": "amazon.titan-embed-text-v2:0"}


def upstream(kind: str, url: str, prefix: str = "") -> dict:
    key = {} if kind == "bedrock" else {"api_key": "sk-upstream"}
    return {"type": kind, "base_url": url + ("/v1" if kind in VERSIONED else ""), **key, **MORE.get(kind, {}),
            "models": [{"id": "mock-model", "alias": prefix + kind}, {"id": EMBEDDING_MODELS.get(kind, "mock-embed"), "alias": f"{prefix}{kind}-embed"},
                       {"id": "anthropic.claude-sonnet-4-5-20250929-v1:0", "alias": f"{prefix}{kind}-claude"}]}


def recordings_folder() -> Path | None:
    shared = Path(os.environ.get("OPENCLAW_SHARED", ROOT.parent / "shared"))
    return shared / "recordings" if (shared / "recordings").is_dir() else None


@dataclasses.dataclass
class Saw:
    """An answer as its client sees it. `finish` is OpenAI's word, `calls` are names and arguments; what is None is not compared."""
    text: str = ""
    calls: list = dataclasses.field(default_factory=list)
    finish: str | None = None
    input: int | None = None
    output: int | None = None
    reasoning: str | None = None

    def __eq__(self, other) -> bool:
        pairs = ((getattr(self, field.name), getattr(other, field.name)) for field in dataclasses.fields(self))
        return all(mine is None or theirs is None or mine == theirs for mine, theirs in pairs)


FINISHES = {
    "stop": ["stop", "end_turn", "STOP", "COMPLETE", "completed", "stop_sequence", "STOP_SEQUENCE", None],
    "length": ["length", "max_tokens", "MAX_TOKENS", "incomplete"],
    "tool_calls": ["tool_calls", "tool_use", "TOOL_CALL"],
    "content_filter": ["content_filter", "SAFETY", "guardrail_intervened", "refusal"],
}


def finish_of(native: str | None, calls: bool = False) -> str:
    """OpenAI's word for a provider's own; where a provider has none for calls, the calls say it."""
    native = getattr(native, "value", native)
    word = next((word for word, natives in FINISHES.items() if native in natives), native)
    return "tool_calls" if calls and word == "stop" else word


def recorded(one: dict) -> Saw:
    """What a recording's `expect` says, with the sums of tokens taken as the gateway's clients see them: input with what came from caches."""
    said = one["expect"]
    if "error_native" in said:
        return Saw()
    answer = said["choices"][0] if said.get("choices") else said
    calls = [(call["name"], call["arguments"] if "__unparsed__" not in call["arguments"] else {}) for call in answer.get("tool_calls", [])]
    used = said.get("usage_native") or {}
    used = used.get("billed_units", used)
    # A class of tokens that the sum does not hold stands beside it: Anthropic's caches, Gemini's thoughts.
    def total(*names):
        found = [used[name] for name in names if isinstance(used.get(name), int)]
        return sum(found) if found else None
    input = total("prompt_tokens", "input_tokens", "inputTokens", "promptTokenCount", "prompt_eval_count")
    if one["provider"] in ("anthropic", "bedrock"):
        input = total("input_tokens", "inputTokens", "cache_read_input_tokens", "cache_creation_input_tokens", "cacheReadInputTokens", "cacheWriteInputTokens")
    if one["provider"] == "gemini" and used.get("toolUsePromptTokenCount"):
        input += used["toolUsePromptTokenCount"]
    output = total("completion_tokens", "output_tokens", "outputTokens", "candidatesTokenCount", "thoughtsTokenCount", "eval_count")
    return Saw(answer.get("text", ""), calls, finish_of(answer.get("finish_native", said.get("status")), bool(calls)), input, output,
               answer.get("reasoning"))


WAYS = ["whole", "stream", "async", "async stream"]
CALL = ("get_weather", {"city": "Seoul", "n": 9007199254740993})
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}, "n": {"type": "integer"}}, "required": ["city"]}
PERSON = {"type": "object", "properties": {"name": {"type": "string"}, "age": {"type": "integer"}}, "required": ["name", "age"], "additionalProperties": False}
# Recorded answers whose text is such a person.
PERSONS = {"openai": "openai/chat-json-object", "anthropic": "anthropic/messages-json-schema", "bedrock": "bedrock/converse-json-schema",
           "cohere": "cohere/chat-json-schema", "mistral": "mistral/chat-json-schema"}
# Recordings whose answers are plain, and streams.
WHOLE = [
    "openai/chat-basic", "openai/chat-tool-parallel-1", "openai/chat-finish-length-developer-role", "openai/chat-prompt-cache-hit",
    "anthropic/messages-basic", "anthropic/messages-thinking", "anthropic/messages-tool-parallel-1", "anthropic/messages-cache-read",
    "gemini/generate-basic", "gemini/generate-tool-1", "gemini/generate-tool-thought-signature-1",
    "bedrock/converse-basic",
    "cohere/chat-basic", "cohere/chat-thinking", "cohere/chat-tool-parallel-1",
    "mistral/chat-basic", "mistral/chat-thinking-chunks",
    "ollama/native-chat-thinking",
]
STREAMS = [
    "openai/chat-stream-usage", "openai/chat-stream-tool-parallel", "openai/chat-stream-length-usage",
    "anthropic/messages-stream", "anthropic/messages-stream-thinking-tool", "anthropic/messages-stream-tool-empty-args", "anthropic/messages-max-tokens",
    "gemini/stream-sse", "gemini/stream-tool-1", "gemini/stream-thought-multi-tool",
    "bedrock/converse-stream-text", "bedrock/converse-stream-claude-tool", "bedrock/converse-stream-thinking",
    "cohere/chat-stream", "cohere/chat-stream-tool-1",
    "mistral/chat-stream", "mistral/chat-stream-tool", "mistral/chat-stream-thinking-chunks",
    "ollama/native-chat-stream",
]
# Recorded errors, and the class of each in OpenAI's statuses.
ERRORS = {
    "openai/chat-error-401": 401, "openai/chat-error-404-model": 404, "openai/error-429-rate-limit": 429, "openai/error-500-server-error": 500,
    "anthropic/error-400-context": 400, "anthropic/error-401": 401, "anthropic/error-404-model": 404, "anthropic/error-503-plain-text": 503,
    "anthropic/error-529-overloaded": 503,
    "gemini/error-400-key": 401, "gemini/error-404-model": 404, "gemini/error-429-quota": 429,
    "cohere/error-400-context": 400, "cohere/error-401": 401, "mistral/error-401": 401, "ollama/native-error-404-model": 404,
}


def run(work):
    """An asynchronous test's body."""
    return asyncio.run(asyncio.wait_for(work, 3 * DEADLINE))


@dataclasses.dataclass
class Stage:
    """The gateway and what is behind it."""
    gateway: Gateway
    mock: Mock
    replay: Mock | None
    text: str = ""

    def __post_init__(self):
        with Client(self.mock.port) as client:
            self.text = client.chat().json()["choices"][0]["message"]["content"]

    @property
    def url(self) -> str:
        return self.gateway.url

    def sent(self) -> dict:
        """Body of the last request that reached the mock."""
        return json.loads(base64.b64decode(self.mock.last()["requests"][0]["body_base64"]))

    def whole(self, **more) -> "Saw":
        """What every SDK has to see of the mock's answer."""
        return Saw(**{"text": self.text, "finish": "stop", "output": TOKENS, **more})

    def recording(self, id: str) -> tuple["Saw", dict]:
        """What a recording says, and the headers that ask for it."""
        if not self.replay:
            pytest.skip(f"no recordings: neither OPENCLAW_SHARED nor {ROOT.parent / 'shared'} has a folder recordings")
        return recorded(json.loads((recordings_folder() / f"{id}.json").read_text())), {"x-mock-recording": id}

    def wait_left(self, count: int = 1) -> None:
        """Until the gateway has logged so many streams that their client left."""
        wait_for(lambda: sum(record["disconnected"] == "client" for record in self.gateway.records()) >= count, what=f"{count} streams that were left")


# What an SDK reads does not depend on the kernel backend; test_dialect_matrix and test_dialect_streams run over both.
@pytest.fixture(scope="module", params=BACKENDS[:1])
def stage(request, tmp_path_factory):
    mock = Mock(tokens=TOKENS, thinking=0)
    folder = recordings_folder()
    replay = Mock("--replay", folder) if folder else None
    upstreams = {kind: upstream(kind, mock.url) for kind in UPSTREAMS}
    if replay:
        upstreams |= {f"recorded-{kind}": upstream(kind, replay.url, "recorded-") for kind in UPSTREAMS}
    upstreams["dead"] = {"type": "generic", "base_url": f"http://127.0.0.1:{refused_port()}/v1", "models": ["dead"]}
    gateway = Gateway({"upstreams": upstreams}, tmp_path_factory.mktemp("stage"), request.param)
    yield Stage(gateway, mock, replay)
    for one in (gateway, mock, replay):
        if one:
            one.stop()
