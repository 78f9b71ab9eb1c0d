"""The upstream's side of the dialect matrix: each upstream type with the model it is asked for, and strict readers of the requests that arrived there, which give
back what they say as `Arrived`. Upstream types that share a dialect share a reader."""
import json
from dataclasses import dataclass, field

from dialect_fronts import DATA_URL, PICTURE, need, of_object


@dataclass
class Arrived:
    system: str = ""
    #: (role, [item]): ("text", t), ("image", media type, base64), ("call", id, name, arguments), ("result", id, name, text), ("thinking", text, signature)
    turns: list = field(default_factory=list)
    #: (name, description, schema)
    tools: list = field(default_factory=list)
    schema: dict | None = None
    limit: int | None = None
    stream: bool = False
    #: What was said of thinking, in the upstream's words.
    reasoning: object = None

    def items(self, kind):
        return [item for _, items in self.turns for item in items if item[0] == kind]

    def add(self, role, *items):
        """Messages of one role that follow one another are one turn."""
        if self.turns and self.turns[-1][0] == role:
            self.turns[-1][1].extend(items)
        else:
            self.turns.append((role, list(items)))


def image_of(url):
    head, data = url.split(",", 1)
    return "image", head.removeprefix("data:").removesuffix(";base64"), data


def text_of(content, kind="text"):
    if isinstance(content, str):
        return content
    return "".join(part["text"] for part in content if need(part["type"] == kind, "a part of a text:", part) is None)


def function_of(tool):
    need(tool["type"] == "function", "tool:", tool)
    return tool["function"]["name"], tool["function"].get("description"), tool["function"]["parameters"]


class Chat:
    """Chat Completions, and Mistral's and Cohere's variants of it."""
    thinking_in = "reasoning_content"

    def content(self, content):
        if content is None:
            return []
        if isinstance(content, str):
            return [("text", content)] if content else []
        found = []
        for part in content:
            if part["type"] == "text":
                found.append(("text", part["text"]))
            elif part["type"] == "image_url":
                url = part["image_url"]
                found.append(image_of(url if isinstance(url, str) else url["url"]))
            else:
                need(part["type"] == "thinking", "part:", part)
                thinking = part["thinking"]
                found.append(("thinking", thinking if isinstance(thinking, str) else text_of(thinking), None))
        return found

    def read(self, path, body):
        said = Arrived(stream=body.get("stream", False), limit=body.get("max_completion_tokens", body.get("max_tokens")))
        names, before = {}, None
        for message in body["messages"]:
            role = message["role"]
            need(role != "assistant" or before != "assistant", "two turns of the assistant:", body["messages"])
            before = role
            if role in ("system", "developer"):
                said.system += text_of(message["content"])
            elif role == "tool":
                id = message["tool_call_id"]
                need(id in names, "a result of no call:", message)
                said.add("user", ("result", id, names[id], text_of(message["content"])))
            else:
                items = self.content(message.get("content"))
                for thought in (message.get("reasoning_content"), message.get("reasoning"), message.get("tool_plan")):
                    if thought:
                        items.insert(0, ("thinking", thought, None))
                for call in message.get("tool_calls", []):
                    need(call["type"] == "function" and call["id"] not in names, "call:", call)
                    names[call["id"]] = call["function"]["name"]
                    items.append(("call", call["id"], call["function"]["name"], of_object(call["function"]["arguments"])))
                said.add(role, *items)
        said.tools = [function_of(tool) for tool in body.get("tools", [])]
        if form := body.get("response_format"):
            said.schema = form["json_schema"]["schema"] if form["type"] == "json_schema" else form.get("schema", form.get("json_schema"))
        said.reasoning = body.get("reasoning_effort", body.get("thinking"))
        return said


class Completions:
    def read(self, path, body):
        return Arrived(turns=[("user", [("text", body["prompt"])])], stream=body.get("stream", False), limit=body.get("max_tokens"))


class Responses:
    def read(self, path, body):
        said = Arrived(system=body.get("instructions") or "", stream=body.get("stream", False), limit=body.get("max_output_tokens"))
        need(body.get("store") is False, "store:", body.get("store"))
        names, given = {}, body["input"]
        if isinstance(given, str):
            given = [{"role": "user", "content": given}]
        for item in given:
            kind = item.get("type", "message")
            if kind == "message":
                content = item["content"]
                items = [("text", content)] if isinstance(content, str) else []
                for part in [] if isinstance(content, str) else content:
                    if part["type"] == "input_image":
                        items.append(image_of(part["image_url"]))
                    else:
                        need(part["type"] == ("output_text" if item["role"] == "assistant" else "input_text"), "part:", part)
                        items.append(("text", part["text"]))
                if item["role"] in ("system", "developer"):
                    said.system += "".join(item[1] for item in items)
                else:
                    said.add(item["role"], *items)
            elif kind == "function_call":
                need(item["call_id"] not in names, "call_id twice:", item)
                names[item["call_id"]] = item["name"]
                said.add("assistant", ("call", item["call_id"], item["name"], of_object(item["arguments"])))
            elif kind == "function_call_output":
                need(item["call_id"] in names, "an output of no call:", item)
                said.add("user", ("result", item["call_id"], names[item["call_id"]], text_of(item["output"], "input_text")))
            else:
                need(kind == "reasoning" and isinstance(item["summary"], list), "item:", item)
                said.add("assistant", ("thinking", "".join(part["text"] for part in item["summary"]), item.get("encrypted_content")))
        for tool in body.get("tools", []):
            need(tool["type"] == "function" and "strict" in tool, "tool:", tool)
            said.tools.append((tool["name"], tool.get("description"), tool["parameters"]))
        if (form := body.get("text", {}).get("format")) and form["type"] == "json_schema":
            need(form["name"], "format:", form)
            said.schema = form["schema"]
        said.reasoning = body.get("reasoning")
        return said


class Messages:
    def read(self, path, body):
        said = Arrived(stream=body.get("stream", False), limit=body["max_tokens"])
        said.system = text_of(body.get("system", ""))
        names, role = {}, "assistant"
        for message in body["messages"]:
            need(message["role"] != role and message["role"] in ("user", "assistant"), "roles do not take turns:", message)
            role = message["role"]
            content = [{"type": "text", "text": message["content"]}] if isinstance(message["content"], str) else message["content"]
            need(content, "a message without content")
            items = []
            for at, block in enumerate(content):
                kind = block["type"]
                if kind == "text":
                    need(block["text"], "an empty text")
                    items.append(("text", block["text"]))
                elif kind == "image":
                    need(block["source"]["type"] == "base64", "image:", block)
                    items.append(("image", block["source"]["media_type"], block["source"]["data"]))
                elif kind == "tool_use":
                    names[block["id"]] = block["name"]
                    items.append(("call", block["id"], block["name"], block["input"]))
                elif kind == "tool_result":
                    need(block["tool_use_id"] in names and all(one["type"] == "tool_result" for one in content[:at]), "result:", content)
                    items.append(("result", block["tool_use_id"], names[block["tool_use_id"]], text_of(block["content"])))
                else:
                    need(kind == "thinking" and block["signature"], "block:", block)
                    items.append(("thinking", block["thinking"], block["signature"]))
            said.turns.append((role, items))
        said.tools = [(tool["name"], tool.get("description"), tool["input_schema"]) for tool in body.get("tools", [])]
        if form := body.get("output_config", {}).get("format"):
            need(form["type"] == "json_schema", "format:", form)
            said.schema = form["schema"]
        said.reasoning = body.get("thinking")
        if said.reasoning and said.reasoning["type"] == "enabled":
            need(1024 <= said.reasoning["budget_tokens"] < body["max_tokens"], "budget_tokens:", body)
        return said


class Gemini:
    def read(self, path, body):
        options = body.get("generationConfig", {})
        said = Arrived(stream=":stream" in path, limit=options.get("maxOutputTokens"), reasoning=options.get("thinkingConfig"))
        said.system = "".join(part["text"] for part in body.get("systemInstruction", {}).get("parts", []))
        waiting = []
        for content in body["contents"]:
            need(content["role"] in ("user", "model") and content["parts"], "content:", content)
            items = []
            for part in content["parts"]:
                if part.get("thought"):
                    items.append(("thinking", part["text"], part.get("thoughtSignature")))
                elif "text" in part:
                    if part["text"]:
                        items.append(("text", part["text"]))
                elif "inlineData" in part:
                    items.append(("image", part["inlineData"]["mimeType"], part["inlineData"]["data"]))
                elif "functionCall" in part:
                    call = part["functionCall"]
                    waiting.append(call["name"])
                    items.append(("call", call.get("id", ""), call["name"], call["args"]))
                else:
                    result = part["functionResponse"]
                    need(waiting and result["name"] == waiting.pop(0), "a response out of order:", part)
                    need(isinstance(result["response"], dict), "response:", part)
                    items.append(("result", result.get("id", ""), result["name"], next(iter(result["response"].values()))))
                if "thoughtSignature" in part and not part.get("thought"):
                    items.append(("thinking", "", part["thoughtSignature"]))
            said.add({"user": "user", "model": "assistant"}[content["role"]], *items)
        for tool in body.get("tools", []):
            for one in tool["functionDeclarations"]:
                said.tools.append((one["name"], one.get("description"), one.get("parametersJsonSchema", one.get("parameters"))))
        said.schema = options.get("responseJsonSchema", options.get("responseSchema"))
        need(said.schema is None or options["responseMimeType"] == "application/json", "responseMimeType:", options)
        return said


class Converse:
    def read(self, path, body):
        said = Arrived(stream=path.endswith("/converse-stream"), limit=body.get("inferenceConfig", {}).get("maxTokens"))
        said.system = "".join(block["text"] for block in body.get("system", []))
        names, role = {}, "assistant"
        for message in body["messages"]:
            need(message["role"] != role and message["content"], "roles do not take turns:", message)
            role = message["role"]
            items = []
            for block in message["content"]:
                [(kind, value)] = block.items()
                if kind == "text":
                    items.append(("text", value))
                elif kind == "image":
                    items.append(("image", "image/" + value["format"], value["source"]["bytes"]))
                elif kind == "toolUse":
                    names[value["toolUseId"]] = value["name"]
                    items.append(("call", value["toolUseId"], value["name"], value["input"]))
                elif kind == "toolResult":
                    need(value["toolUseId"] in names, "result:", value)
                    items.append(("result", value["toolUseId"], names[value["toolUseId"]], "".join(one["text"] for one in value["content"])))
                else:
                    need(kind == "reasoningContent", "block:", block)
                    items.append(("thinking", value["reasoningText"]["text"], value["reasoningText"].get("signature")))
            said.turns.append((role, items))
        said.tools = [(one["name"], one.get("description"), one["inputSchema"]["json"]) for one in (tool["toolSpec"] for tool in body.get("toolConfig", {}).get("tools", []))]
        if form := body.get("outputConfig", {}).get("textFormat"):
            said.schema = json.loads(form["structure"]["jsonSchema"]["schema"])
        said.reasoning = body.get("additionalModelRequestFields", {}).get("thinking")
        return said


class Ollama:
    def read(self, path, body):
        said = Arrived(stream=body.get("stream", True), limit=body.get("options", {}).get("num_predict"), schema=body.get("format"), reasoning=body.get("think"))
        waiting = []
        for message in body["messages"] if "messages" in body else self.generated(body):
            role = message["role"]
            if role == "system":
                said.system += message["content"]
            elif role == "tool":
                need(waiting and message["tool_name"] == waiting.pop(0), "a result out of order:", message)
                said.add("user", ("result", message.get("tool_call_id", ""), message["tool_name"], message["content"]))
            else:
                items = [("thinking", message["thinking"], None)] if message.get("thinking") else []
                items += [("text", message["content"])] if message["content"] else []
                items += [("image", "image/png", data) for data in message.get("images", [])]
                for call in message.get("tool_calls", []):
                    waiting.append(call["function"]["name"])
                    items.append(("call", call.get("id", ""), call["function"]["name"], call["function"]["arguments"]))
                said.add(role, *items)
        said.tools = [function_of(tool) for tool in body.get("tools", [])]
        return said

    def generated(self, body):
        return [{"role": "system", "content": body.get("system", "")}, {"role": "user", "content": body["prompt"], "images": body.get("images", [])}]


@dataclass
class Back:
    """One upstream type. `options` are its configuration besides type, base_url (at `root` of the mock), key and models; `readers` by path below the root."""
    name: str
    title: str
    model: str
    root: str
    readers: dict
    options: dict
    key: tuple
    carries: set = field(default_factory=set)

    def upstream(self, url, prefix=""):
        given = {"type": self.name.split("_")[0], "base_url": url + self.root, "api_key": "sk-matrix-0123456789", **self.options,
                 "models": [{"id": self.model, "alias": prefix + self.alias, "max_output_tokens": 8192}]}
        return {key: value for key, value in given.items() if value is not None}

    @property
    def alias(self):
        return "on-" + self.name

    def read(self, path, body):
        for ending, reader in self.readers.items():
            if path.split("?")[0].endswith(ending):
                return reader.read(path, body)
        need(False, "an unexpected path:", path)


BEARER = ("authorization", "Bearer sk-matrix-0123456789")
OPENAI = {"/chat/completions": Chat(), "/completions": Completions(), "/responses": Responses()}
OLLAMA = {"/api/chat": Ollama(), "/api/generate": Ollama()}
GOOGLE = {":generateContent": Gemini(), ":streamGenerateContent": Gemini()}
BACKS = [
    Back("openai", "openai, chat", "gpt-5", "/v1", OPENAI, {"api": "chat"}, BEARER),
    Back("openai_responses", "openai, responses", "gpt-5", "/v1", OPENAI, {"api": "responses"}, BEARER, {"signature"}),
    Back("azure", "azure", "gpt-5", "", OPENAI, {"stream_usage": True}, ("api-key", BEARER[1][7:])),
    Back("anthropic", "anthropic", "claude-sonnet-4-5", "", {"/v1/messages": Messages()}, {}, ("x-api-key", BEARER[1][7:]), {"signature"}),
    Back("gemini", "gemini", "gemini-2.5-flash", "", GOOGLE, {}, ("x-goog-api-key", BEARER[1][7:]), {"signature"}),
    Back("bedrock", "bedrock", "anthropic.claude-sonnet-4-5-20250929-v1:0", "", {"/converse": Converse(), "/converse-stream": Converse()},
         {"api_key": None, "region": "eu-central-1", "aws": {"access_key_id": "AKIDEXAMPLE", "secret_access_key": "wJalrXUtnFEMI"}},
         ("authorization", "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/"), {"signature"}),
    Back("cohere", "cohere", "command-a-reasoning-08-2025", "", {"/v2/chat": Chat()}, {}, BEARER),
    Back("mistral", "mistral", "mistral-medium-latest", "/v1", OPENAI, {}, BEARER),
    Back("ollama", "ollama", "qwen3:8b", "", OLLAMA, {}, BEARER),
    Back("generic", "generic", "served-model", "/v1", OPENAI, {"stream_usage": True}, BEARER),
]
