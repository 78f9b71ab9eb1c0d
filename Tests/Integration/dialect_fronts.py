"""The client's side of the dialect matrix: for each API that clients speak, how a request is put, and strict readers of its answers, streams and errors.
A reader asserts what a client of that API relies on (members, order of events, how a stream ends) and gives back what was said, as `Said`."""
import base64
import json
import re
import struct
import zlib
from dataclasses import dataclass, field

SYSTEM = "You are terse."
PROMPT = "How is the weather in Seoul today?"
RESULT = "Sunny, 21 degrees"
TOOLS = [("get_weather", "Weather of a city"), ("get_time", "Local time of a city")]
PARAMETERS = {"type": "object", "properties": {"city": {"type": "string", "description": "A city"}, "n": {"type": "integer"}}, "required": ["city"]}
SCHEMA = {"type": "object", "properties": {"answer": {"type": "string"}}, "required": ["answer"], "additionalProperties": False}
BUDGET = 2048


def picture():
    """A PNG of one red pixel."""
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    raw = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0)) + chunk(b"IDAT", zlib.compress(b"\0\xff\0\0")) + chunk(b"IEND", b"")
    return base64.b64encode(raw).decode()


PICTURE = picture()
DATA_URL = "data:image/png;base64," + PICTURE


@dataclass
class Ask:
    """What a case wants, in no dialect. `history` is what an answer of the same front gave, to be sent back with results of its calls."""
    stream: bool = False
    tools: bool = False
    schema: bool = False
    image: bool = False
    limit: int = 0
    reasoning: bool = False
    history: "Said | None" = None
    #: Chat: usage in the stream. Gemini: an array instead of events.
    variant: bool = False


@dataclass
class Said:
    text: str = ""
    thinking: str = ""
    #: (id, name, arguments)
    calls: list = field(default_factory=list)
    finish: str = ""
    #: Sums: all that was read, all that was written.
    input: int | None = None
    output: int | None = None
    reasoning: int | None = None
    #: The assistant's turn, in the form in which a client sends it back.
    turn: object = None


class Mismatch(AssertionError):
    pass


def need(truth, *what):
    if not truth:
        raise Mismatch(" ".join(item if isinstance(item, str) else json.dumps(item, default=str)[:600] for item in what))


def events(body):
    """Server-sent events: (name, data)."""
    text = body.decode("utf-8").replace("\r\n", "\n")
    need(text.endswith("\n\n"), "the stream ends within an event:", text[-200:])
    found = []
    for block in text.split("\n\n"):
        name, data = None, []
        for line in block.split("\n"):
            if line.startswith("event:"):
                name = line[6:].strip()
            elif line.startswith("data:"):
                data.append(line[5:].removeprefix(" "))
        if data:
            found.append((name, "\n".join(data)))
    return found


def of_object(text):
    value = json.loads(text)
    need(isinstance(value, dict), "arguments are no object:", text)
    return value


# MARK: OpenAI chat


class Chat:
    name, title, path = "chat", "OpenAI chat", "/v1/chat/completions"
    finishes = {"stop": "stop", "length": "length", "calls": "tool_calls"}
    cannot = set()

    def request(self, model, ask):
        content = PROMPT
        if ask.image:
            content = [{"type": "text", "text": PROMPT}, {"type": "image_url", "image_url": {"url": DATA_URL}}]
        body = {"model": model, "messages": [{"role": "system", "content": SYSTEM}, {"role": "user", "content": content}]}
        if ask.history:
            body["messages"].append(ask.history.turn)
            body["messages"] += [{"role": "tool", "tool_call_id": id, "content": RESULT} for id, _, _ in ask.history.calls]
        if ask.tools:
            body["tools"] = [{"type": "function", "function": {"name": name, "description": words, "parameters": PARAMETERS}} for name, words in TOOLS]
        if ask.schema:
            body["response_format"] = {"type": "json_schema", "json_schema": {"name": "answer", "schema": SCHEMA, "strict": True}}
        if ask.limit:
            body["max_completion_tokens"] = ask.limit
        if ask.reasoning:
            body["reasoning_effort"] = "medium"
        if ask.stream:
            body["stream"] = True
            if ask.variant:
                body["stream_options"] = {"include_usage": True}
        return self.path, body

    def answer(self, body):
        value = json.loads(body)
        need(value["object"] == "chat.completion" and value["id"] and isinstance(value["created"], int) and value["model"], "head:", value)
        [choice] = value["choices"]
        message = choice["message"]
        need(choice["index"] == 0 and message["role"] == "assistant" and "content" in message, "message:", message)
        said = Said(message["content"] or "", finish=choice["finish_reason"], turn=message, thinking=message.get("reasoning_content") or message.get("reasoning") or "")
        if not said.thinking and isinstance(message["content"], list):
            said.thinking, said.text = parted(message["content"])
        for call in message.get("tool_calls") or []:
            need(call["type"] == "function", "call:", call)
            said.calls.append((call["id"], call["function"]["name"], of_object(call["function"]["arguments"])))
        self.count(value["usage"], said)
        return said

    def count(self, usage, said):
        said.input, said.output = usage["prompt_tokens"], usage["completion_tokens"]
        need(usage["total_tokens"] == said.input + said.output, "total_tokens:", usage)
        said.reasoning = (usage.get("completion_tokens_details") or {}).get("reasoning_tokens")

    def stream(self, body, ask):
        found = events(body)
        need(found[-1] == (None, "[DONE]"), "the last event is not [DONE]:", found[-1])
        said, calls, order, ids, details = Said(), {}, [], set(), []
        for _, data in found[:-1]:
            chunk = json.loads(data)
            need(chunk["object"] == "chat.completion.chunk" and isinstance(chunk["created"], int) and "model" in chunk, "chunk:", chunk)
            ids.add(chunk["id"])
            if not chunk["choices"]:
                if chunk.get("usage"):
                    need(ask.variant, "usage that was not asked for:", chunk)
                    self.count(chunk["usage"], said)
                    order.append("usage")
                continue
            [choice] = chunk["choices"]
            need(not chunk.get("usage"), "usage in a chunk with choices:", chunk)
            delta = choice["delta"]
            if not order:
                need(delta.get("role") == "assistant", "the first chunk has no role:", chunk)
                order.append("role")
            kinds = {"thinking": delta.get("reasoning_content") or delta.get("reasoning"), "text": delta.get("content"), "calls": delta.get("tool_calls")}
            details += delta.get("reasoning_details") or []
            if any(kinds.values()):
                need(not said.finish, "content behind the finish reason:", chunk)
            if kinds["thinking"]:
                said.thinking += kinds["thinking"]
            said.text += kinds["text"] or ""
            for piece in kinds["calls"] or []:
                known = calls.setdefault(piece["index"], {"id": "", "name": "", "arguments": "", "rest": {}})
                known["rest"] |= {key: value for key, value in piece.items() if key not in ("index", "id", "type", "function")}
                if piece.get("id"):
                    need(not known["id"], "a call's id twice:", chunk)
                    known["id"] = piece["id"]
                known["name"] += piece["function"].get("name") or ""
                known["arguments"] += piece["function"].get("arguments") or ""
            order += [kind for kind, value in kinds.items() if value and order[-1] != kind]
            if choice["finish_reason"]:
                need(not said.finish, "two finish reasons")
                said.finish = choice["finish_reason"]
                order.append("finish")
        need(len(ids) == 1, "ids:", sorted(ids))
        need(order[-1] == ("usage" if ask.variant else "finish"), "order:", order)
        need(sorted(calls) == list(range(len(calls))), "indices of calls:", sorted(calls))
        said.calls = [(one["id"], one["name"], of_object(one["arguments"])) for one in calls.values()]
        said.turn = {"role": "assistant", "content": said.text or None}
        if calls:
            said.turn["tool_calls"] = [{"id": one["id"], "type": "function", "function": {"name": one["name"], "arguments": one["arguments"]}, **one["rest"]} for one in calls.values()]
        if said.thinking:
            said.turn["reasoning_content"] = said.thinking
        if details:
            said.turn["reasoning_details"] = details
        return said

    has_codes = True

    def broken(self, body):
        """A stream that ends in an error: (text, message, word)."""
        found = [json.loads(data) for _, data in events(body)]
        text = "".join(self.delta(choice) for one in found[:-1] for choice in one["choices"])
        return text, *self.error(json.dumps(found[-1]))

    def delta(self, choice):
        return choice["delta"].get("content") or ""

    def error(self, body):
        """(message, word by which programs tell it)"""
        error = json.loads(body)["error"]
        need(error["message"] and (error.get("code") or error.get("type")), "error:", error)
        return error["message"], error.get("code") or error["type"]

    own = {"openai", "openai_responses", "azure", "mistral", "generic"}
    statuses = {400: 400, 401: 401, 404: 404, 429: 429, 500: 500, 503: 503}
    words = {400: "invalid_request_error", 401: "invalid_api_key", 404: "model_not_found", 429: "rate_limit_exceeded", 500: "server_error", 503: "service_unavailable"}


def parted(content):
    """Thoughts and text of a list of parts."""
    thinking = "".join(piece["text"] for part in content if part["type"] == "thinking" for piece in part["thinking"])
    return thinking, "".join(part["text"] for part in content if part["type"] == "text")


# MARK: OpenAI completions


class Completions(Chat):
    name, title, path = "completions", "OpenAI completions", "/v1/completions"
    finishes = {"stop": "stop", "length": "length"}
    cannot = {"tools", "schema", "image", "reasoning", "system"}

    def request(self, model, ask):
        body = {"model": model, "prompt": PROMPT}
        if ask.limit:
            body["max_tokens"] = ask.limit
        if ask.stream:
            body["stream"] = True
            if ask.variant:
                body["stream_options"] = {"include_usage": True}
        return self.path, body

    def answer(self, body):
        value = json.loads(body)
        need(value["object"] == "text_completion" and value["id"] and isinstance(value["created"], int) and value["model"], "head:", value)
        [choice] = value["choices"]
        need(choice["index"] == 0 and "logprobs" in choice, "choice:", choice)
        said = Said(choice["text"], finish=choice["finish_reason"])
        self.count(value["usage"], said)
        return said

    def stream(self, body, ask):
        found = events(body)
        need(found[-1] == (None, "[DONE]"), "the last event is not [DONE]:", found[-1])
        said, ids = Said(), set()
        for _, data in found[:-1]:
            chunk = json.loads(data)
            need(chunk["object"] == "text_completion", "chunk:", chunk)
            ids.add(chunk["id"])
            if not chunk["choices"]:
                need(said.finish and ask.variant and said.input is None, "usage:", chunk)
                self.count(chunk["usage"], said)
                continue
            [choice] = chunk["choices"]
            need(not choice["text"] or not said.finish, "text behind the finish reason:", chunk)
            said.text += choice["text"]
            if choice["finish_reason"]:
                need(not said.finish, "two finish reasons")
                said.finish = choice["finish_reason"]
        need(len(ids) == 1, "ids:", sorted(ids))
        need(not ask.variant or said.input is not None, "no usage")
        return said

    def delta(self, choice):
        return choice["text"]


# MARK: OpenAI responses


class Responses:
    name, title, path = "responses", "OpenAI responses", "/v1/responses"
    finishes = {"stop": "completed", "length": "incomplete: max_output_tokens", "calls": "completed"}
    cannot = set()
    own = Chat.own
    statuses = {**Chat.statuses, 404: 400}
    words = {**Chat.words, 503: "server_overloaded"}

    def request(self, model, ask):
        content = [{"type": "input_text", "text": PROMPT}] + ([{"type": "input_image", "image_url": DATA_URL}] if ask.image else [])
        body = {"model": model, "instructions": SYSTEM, "input": [{"role": "user", "content": content}], "store": False}
        if ask.history:
            body["input"] += ask.history.turn
            body["input"] += [{"type": "function_call_output", "call_id": id, "output": RESULT} for id, _, _ in ask.history.calls]
        if ask.tools:
            body["tools"] = [{"type": "function", "name": name, "description": words, "parameters": PARAMETERS, "strict": False} for name, words in TOOLS]
        if ask.schema:
            body["text"] = {"format": {"type": "json_schema", "name": "answer", "schema": SCHEMA, "strict": True}}
        if ask.limit:
            body["max_output_tokens"] = ask.limit
        if ask.reasoning:
            body["reasoning"] = {"effort": "medium", "summary": "auto"}
            body["include"] = ["reasoning.encrypted_content"]
        if ask.stream:
            body["stream"] = True
        return self.path, body

    def answer(self, body):
        return self.whole(json.loads(body))

    def whole(self, value):
        need(value["object"] == "response" and value["id"].startswith("resp_") and value["model"] and value["error"] is None, "head:", value)
        need(isinstance(value["created_at"], (int, float)) and {"tools", "tool_choice", "parallel_tool_calls", "incomplete_details"} <= set(value), "head:", value)
        said = Said(finish=value["status"], turn=value["output"])
        if value["status"] == "incomplete":
            said.finish += ": " + value["incomplete_details"]["reason"]
        for item in value["output"]:
            need(item["id"], "item:", item)
            if item["type"] == "reasoning":
                said.thinking += "".join(part["text"] for part in item["summary"])
                for part in item["summary"]:
                    need(part["type"] == "summary_text", "summary:", item)
            elif item["type"] == "message":
                need(item["role"] == "assistant" and item["status"], "item:", item)
                for part in item["content"]:
                    need(part["type"] == "output_text" and isinstance(part["annotations"], list), "part:", part)
                    said.text += part["text"]
            else:
                need(item["type"] == "function_call" and item["status"] == "completed", "item:", item)
                said.calls.append((item["call_id"], item["name"], of_object(item["arguments"])))
        usage = value["usage"]
        need({"input_tokens_details", "output_tokens_details"} <= set(usage) and usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"], "usage:", usage)
        said.input, said.output, said.reasoning = usage["input_tokens"], usage["output_tokens"], usage["output_tokens_details"]["reasoning_tokens"]
        return said

    def stream(self, body, ask):
        found = events(body)
        items, is_open, order, text, arguments, thinking = {}, set(), [], {}, {}, {}
        for number, (name, data) in enumerate(found):
            event = json.loads(data)
            kind = event["type"]
            need(name == kind and event["sequence_number"] == number, "event:", name, event)
            order.append(kind)
            at = event.get("output_index")
            if at is not None and kind != "response.output_item.added":
                # Calls that a model makes at once may be open together.
                need(at in is_open, "an event of an item that is not open:", event)
                if "item_id" in event:
                    need(event["item_id"] == items[at]["id"], "item_id:", event)
            key = (at, event.get("content_index", event.get("summary_index", 0)))
            if kind == "response.output_item.added":
                need(at == len(items) and all(items[one]["type"] == event["item"]["type"] == "function_call" for one in is_open), "an item begins:", event)
                is_open.add(at)
                items[at] = event["item"]
            elif kind == "response.output_item.done":
                need(event["item"]["id"] == items[at]["id"] and event["item"]["type"] == items[at]["type"], "an item ends:", event)
                items[at] = event["item"]
                is_open.remove(at)
            elif kind == "response.output_text.delta":
                text[key] = text.get(key, "") + event["delta"]
            elif kind == "response.output_text.done":
                need(event["text"] == text.get(key, ""), "output_text.done:", event)
            elif kind == "response.function_call_arguments.delta":
                arguments[key] = arguments.get(key, "") + event["delta"]
            elif kind == "response.function_call_arguments.done":
                need(event["arguments"] == arguments.get(key, ""), "arguments.done:", event)
            elif kind == "response.reasoning_summary_text.delta":
                thinking[key] = thinking.get(key, "") + event["delta"]
            elif kind == "response.reasoning_summary_text.done":
                need(event["text"] == thinking.get(key, ""), "summary_text.done:", event)
            else:
                need(kind in ("response.created", "response.in_progress", "response.content_part.added", "response.content_part.done", "response.completed",
                              "response.incomplete", "response.reasoning_summary_part.added", "response.reasoning_summary_part.done"), "event:", event)
        need(not is_open, "items that do not end:", sorted(is_open))
        need(order[:2] == ["response.created", "response.in_progress"] and order[-1] in ("response.completed", "response.incomplete"), "order:", order[:2] + order[-1:])
        for kind in ("content_part", "reasoning_summary_part"):
            need(order.count(f"response.{kind}.added") == order.count(f"response.{kind}.done"), "parts:", order)
        last = json.loads(found[-1][1])["response"]
        need(last["output"] == list(items.values()), "the output of the last event is not what was streamed:", last["output"], list(items.values()))
        said = self.whole(last)
        need("".join(text.values()) == said.text and "".join(thinking.values()) == said.thinking, "deltas:", text, thinking)
        need([of_object(one) for one in arguments.values()] == [one for _, _, one in said.calls], "deltas of arguments:", arguments)
        return said

    error = Chat.error
    has_codes = True

    def broken(self, body):
        found = [(name, json.loads(data)) for name, data in events(body)]
        name, last = found[-1]
        need(name == last["type"] and not any(one in ("response.completed", "response.incomplete") for one, _ in found), "the end:", found[-2:])
        error = last["response"]["error"] if name == "response.failed" else last
        need(name in ("error", "response.failed"), "the last event:", last)
        return "".join(one["delta"] for kind, one in found if kind == "response.output_text.delta"), error["message"], error["code"] or name


# MARK: Anthropic


class Messages:
    name, title, path = "messages", "Anthropic messages", "/v1/messages"
    finishes = {"stop": "end_turn", "length": "max_tokens", "calls": "tool_use"}
    cannot = set()
    own = {"anthropic"}
    statuses = {**Chat.statuses, 503: 529}
    words = {400: "invalid_request_error", 401: "authentication_error", 404: "not_found_error", 429: "rate_limit_error", 500: "api_error", 503: "overloaded_error"}

    def request(self, model, ask):
        content = PROMPT
        if ask.image:
            content = [{"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PICTURE}}, {"type": "text", "text": PROMPT}]
        body = {"model": model, "max_tokens": ask.limit or 4096, "system": SYSTEM, "messages": [{"role": "user", "content": content}]}
        if ask.history:
            body["messages"].append({"role": "assistant", "content": ask.history.turn})
            body["messages"].append({"role": "user", "content": [{"type": "tool_result", "tool_use_id": id, "content": RESULT} for id, _, _ in ask.history.calls]})
        if ask.tools:
            body["tools"] = [{"name": name, "description": words, "input_schema": PARAMETERS} for name, words in TOOLS]
        if ask.schema:
            body["output_config"] = {"format": {"type": "json_schema", "schema": SCHEMA}}
        if ask.reasoning:
            body["thinking"] = {"type": "enabled", "budget_tokens": BUDGET}
        if ask.stream:
            body["stream"] = True
        return self.path, body

    def answer(self, body):
        value = json.loads(body)
        need(value["type"] == "message" and value["role"] == "assistant" and value["id"] and value["model"] and "stop_sequence" in value, "head:", value)
        return self.whole(value["content"], value["stop_reason"], value["usage"])

    def whole(self, content, finish, usage):
        said = Said(finish=finish, turn=content)
        for block in content:
            if block["type"] == "text":
                said.text += block["text"]
            elif block["type"] == "thinking":
                need(isinstance(block["signature"], str), "a thought without signature:", block)
                said.thinking += block["thinking"]
            elif block["type"] == "tool_use":
                said.calls.append((block["id"], block["name"], block["input"]))
            else:
                need(block["type"] == "redacted_thinking" and block["data"], "block:", block)
        said.input = usage["input_tokens"] + (usage.get("cache_read_input_tokens") or 0) + (usage.get("cache_creation_input_tokens") or 0)
        said.output = usage["output_tokens"]
        return said

    def stream(self, body, ask):
        content, is_open, order, usage, finish = [], False, [], {}, None
        for name, data in events(body):
            event = json.loads(data)
            kind = event["type"]
            need(name == kind, "event:", name, event)
            if kind == "ping":
                continue
            need("message_stop" not in order, "an event behind message_stop:", event)
            order.append(kind)
            if kind == "message_start":
                message = event["message"]
                need(len(order) == 1 and message["content"] == [] and message["stop_reason"] is None and message["role"] == "assistant", "message_start:", event)
                usage.update(message["usage"])
            elif kind == "content_block_start":
                need(not is_open and event["index"] == len(content) and finish is None, "content_block_start:", event)
                content.append({**event["content_block"], "+": ""})
                is_open = True
            elif kind == "content_block_delta":
                need(is_open and event["index"] == len(content) - 1, "content_block_delta:", event)
                delta, block = event["delta"], content[-1]
                if delta["type"] == "text_delta":
                    block["text"] += delta["text"]
                elif delta["type"] == "thinking_delta":
                    block["thinking"] += delta["thinking"]
                elif delta["type"] == "signature_delta":
                    block["signature"] = delta["signature"]
                else:
                    need(delta["type"] == "input_json_delta", "delta:", event)
                    block["+"] += delta["partial_json"]
            elif kind == "content_block_stop":
                need(is_open and event["index"] == len(content) - 1, "content_block_stop:", event)
                is_open = False
                pieces = content[-1].pop("+")
                if content[-1]["type"] == "tool_use":
                    content[-1]["input"] = of_object(pieces or "{}")
            elif kind == "message_delta":
                need(not is_open and finish is None, "message_delta:", event)
                finish = event["delta"]["stop_reason"]
                usage.update({key: value for key, value in event["usage"].items() if value is not None})
            else:
                need(kind == "message_stop" and finish, "event:", event)
        need(order[0] == "message_start" and order[-2:] == ["message_delta", "message_stop"], "order:", order)
        return self.whole(content, finish, usage)

    has_codes = False

    def broken(self, body):
        found = [(name, json.loads(data)) for name, data in events(body)]
        need(found[-1][0] == "error" and not any(name == "message_stop" for name, _ in found), "the end:", found[-2:])
        text = "".join(one["delta"].get("text", "") for name, one in found if name == "content_block_delta")
        return text, *self.error(json.dumps(found[-1][1]))

    def error(self, body):
        value = json.loads(body)
        need(value["type"] == "error" and set(value["error"]) >= {"type", "message"}, "error:", value)
        return value["error"]["message"], value["error"]["type"]


# MARK: Gemini


class Gemini:
    name, title, path = "gemini", "Gemini generateContent", "/v1beta/models/{model}:generateContent"
    finishes = {"stop": "STOP", "length": "MAX_TOKENS", "calls": "STOP"}
    cannot = set()
    own = {"gemini"}
    statuses = {**Chat.statuses, 401: 400}
    words = {400: "INVALID_ARGUMENT", 401: "INVALID_ARGUMENT", 404: "NOT_FOUND", 429: "RESOURCE_EXHAUSTED", 500: "INTERNAL", 503: "UNAVAILABLE"}

    def request(self, model, ask):
        parts = [{"text": PROMPT}] + ([{"inlineData": {"mimeType": "image/png", "data": PICTURE}}] if ask.image else [])
        body = {"systemInstruction": {"parts": [{"text": SYSTEM}]}, "contents": [{"role": "user", "parts": parts}]}
        if ask.history:
            results = [{"functionResponse": {"name": name, "response": {"result": RESULT}, **({"id": id} if id else {})}} for id, name, _ in ask.history.calls]
            body["contents"] += [*ask.history.turn, {"role": "user", "parts": results}]
        if ask.tools:
            typed = json.loads(re.sub(r'"type": "(\w+)"', lambda found: f'"type": "{found[1].upper()}"', json.dumps(PARAMETERS)))
            body["tools"] = [{"functionDeclarations": [{"name": name, "description": words, "parameters": typed} for name, words in TOOLS]}]
        options = {}
        if ask.schema:
            options |= {"responseMimeType": "application/json", "responseJsonSchema": SCHEMA}
        if ask.limit:
            options["maxOutputTokens"] = ask.limit
        if ask.reasoning:
            options["thinkingConfig"] = {"includeThoughts": True, "thinkingBudget": BUDGET}
        if options:
            body["generationConfig"] = options
        path = f"/v1beta/models/{model}:"
        if ask.stream:
            return path + "streamGenerateContent" + ("" if ask.variant else "?alt=sse"), body
        return path + "generateContent", body

    def answer(self, body):
        value = json.loads(body)
        need(value["modelVersion"] and value["responseId"], "head:", value)
        [candidate] = value["candidates"]
        need(candidate["content"]["role"] == "model" and candidate.get("index", 0) == 0, "candidate:", candidate)
        return self.whole([candidate["content"]], candidate["finishReason"], value["usageMetadata"])

    def whole(self, contents, finish, usage):
        said = Said(finish=finish, turn=contents)
        for part in [part for content in contents for part in content["parts"]]:
            if part.get("thought"):
                said.thinking += part["text"]
            elif "functionCall" in part:
                call = part["functionCall"]
                said.calls.append((call.get("id", ""), call["name"], call["args"]))
            else:
                said.text += part["text"]
        said.reasoning = usage.get("thoughtsTokenCount", 0)
        said.input, said.output = usage["promptTokenCount"], usage.get("candidatesTokenCount", 0) + said.reasoning
        need(usage["totalTokenCount"] == said.input + said.output, "totalTokenCount:", usage)
        return said

    def stream(self, body, ask):
        if ask.variant:
            chunks = json.loads(body)
            need(isinstance(chunks, list), "no array")
        else:
            chunks = []
            for name, data in events(body):
                need(name is None, "an event with a name:", name)
                chunks.append(json.loads(data))
        contents, finish, usage, ids = [], None, None, set()
        for chunk in chunks:
            ids.add(chunk.get("responseId"))
            usage = chunk.get("usageMetadata", usage)
            for candidate in chunk.get("candidates", []):
                content = candidate.get("content", {})
                need(finish is None or not any(part.get("text") or "functionCall" in part for part in content.get("parts", [])), "content behind the finish reason:", chunk)
                if content.get("parts"):
                    # Google's SDK keeps the content of each chunk, and sends all of them back one after the other.
                    contents.append(content)
                finish = candidate.get("finishReason", finish)
        need(len(ids) == 1 and finish and usage, "ids, finish, usage:", sorted(map(str, ids)), finish, usage)
        return self.whole(contents, finish, usage)

    has_codes = False

    def broken(self, body):
        found = [json.loads(data) for _, data in events(body)]
        text = "".join(part["text"] for one in found[:-1] for candidate in one["candidates"] for part in candidate["content"]["parts"])
        return text, *self.error(json.dumps(found[-1]))

    def error(self, body):
        value = json.loads(body)
        error = (value[0] if isinstance(value, list) else value)["error"]
        need(isinstance(error["code"], int) and error["status"].isupper(), "error:", error)
        return error["message"], error["status"]


# MARK: Ollama


class Ollama:
    name, title, path = "ollama", "Ollama chat", "/api/chat"
    finishes = {"stop": "stop", "length": "length", "calls": "stop"}
    cannot = set()
    own = {"ollama"}
    statuses = Chat.statuses
    words = dict.fromkeys(Chat.words, "error")

    def options(self, body, ask):
        body["stream"] = ask.stream
        if ask.schema:
            body["format"] = SCHEMA
        if ask.limit:
            body["options"] = {"num_predict": ask.limit}
        if ask.reasoning:
            body["think"] = True
        return body

    def request(self, model, ask):
        user = {"role": "user", "content": PROMPT, **({"images": [PICTURE]} if ask.image else {})}
        body = {"model": model, "messages": [{"role": "system", "content": SYSTEM}, user]}
        if ask.history:
            body["messages"].append(ask.history.turn)
            body["messages"] += [{"role": "tool", "tool_name": name, "content": RESULT, **({"tool_call_id": id} if id else {})} for id, name, _ in ask.history.calls]
        if ask.tools:
            body["tools"] = [{"type": "function", "function": {"name": name, "description": words, "parameters": PARAMETERS}} for name, words in TOOLS]
        return self.path, self.options(body, ask)

    def answer(self, body):
        return self.whole(json.loads(body))

    def pieces(self, value):
        message = value["message"]
        need(message["role"] == "assistant" and "content" in message, "message:", value)
        return message["content"], message.get("thinking", ""), message.get("tool_calls", [])

    def whole(self, value, lines=()):
        said, calls = Said(), []
        for line in [*lines, value]:
            need(line["model"] and re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$", line["created_at"]), "line:", line)
            need(line["done"] is (line is value), "done:", line)
            text, thinking, new = self.pieces(line)
            said.text += text
            said.thinking += thinking
            calls += new
        said.calls = [(call.get("id", ""), call["function"]["name"], call["function"]["arguments"]) for call in calls]
        said.turn = {"role": "assistant", "content": said.text, **({"thinking": said.thinking} if said.thinking else {}), **({"tool_calls": calls} if calls else {})}
        said.finish = value["done_reason"]
        for name in ("total_duration", "eval_count", "prompt_eval_count"):
            need(isinstance(value[name], int), name, value)
        said.input, said.output = value["prompt_eval_count"], value["eval_count"]
        return said

    def stream(self, body, ask):
        text = body.decode("utf-8")
        need(text.endswith("\n"), "the stream ends within a line:", text[-200:])
        lines = [json.loads(line) for line in text.splitlines()]
        return self.whole(lines[-1], lines[:-1])

    has_codes = False

    def broken(self, body):
        lines = [json.loads(line) for line in body.decode("utf-8").splitlines()]
        need(not any(line["done"] for line in lines[:-1]), "the end:", lines[-2:])
        return "".join(self.pieces(line)[0] for line in lines[:-1]), *self.error(json.dumps(lines[-1]))

    def error(self, body):
        value = json.loads(body)
        need(isinstance(value["error"], str), "error:", value)
        return value["error"], "error"


class OllamaGenerate(Ollama):
    name, title, path = "ollama_generate", "Ollama generate", "/api/generate"
    finishes = {"stop": "stop", "length": "length"}
    cannot = {"tools"}

    def request(self, model, ask):
        body = {"model": model, "system": SYSTEM, "prompt": PROMPT, **({"images": [PICTURE]} if ask.image else {})}
        return self.path, self.options(body, ask)

    def pieces(self, value):
        return value["response"], value.get("thinking", ""), []


FRONTS = [Chat(), Completions(), Responses(), Messages(), Gemini(), Ollama(), OllamaGenerate()]
