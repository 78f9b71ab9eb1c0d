"""What else a request can say: each option of each client's API towards each upstream type. A field arrives (something that only it can have brought stands in the
request that reached the model), is left out by name, or is refused by name; and what is refused is left out where the upstream has `drop_unsupported`."""
from dialect_fronts import PARAMETERS

AUDIO, PDF = "UklGRiQAAABXQVZFZm10IBAAAAABAAEA", "JVBERi0xLjQKJeLjz9MKMSAwIG9iago="
TOOL = {"type": "function", "function": {"name": "look_up", "description": "Looks up", "parameters": PARAMETERS}}


def content(part):
    return {"messages": [{"role": "user", "content": [{"type": "text", "text": "What is it?"}, part]}]}


def schema(strict):
    return {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"], "additionalProperties": False} if strict else PARAMETERS


#: What it is, what is added to the request, and what has to stand in what arrives: one of these. Chat's are published.
CHAT = [
    ("`temperature`", {"temperature": 0.25}, ["0.25"]),
    ("`top_p`", {"top_p": 0.75}, ["0.75"]),
    ("`top_k`", {"top_k": 17}, [":17"]),
    ("`min_p`", {"min_p": 0.125}, ["0.125"]),
    ("`max_completion_tokens`", {"max_completion_tokens": 77}, [":77"]),
    ("`stop`", {"stop": ["HALT"]}, ["HALT"]),
    ("`n`", {"n": 2}, [":2"]),
    ("`seed`", {"seed": 4242}, ["4242"]),
    ("`presence_penalty`", {"presence_penalty": 0.375}, ["0.375"]),
    ("`frequency_penalty`", {"frequency_penalty": 0.625}, ["0.625"]),
    ("`logit_bias`", {"logit_bias": {"4242": 5}}, ["4242"]),
    ("`logprobs`", {"logprobs": True}, ["ogprobs"]),
    ("`top_logprobs`", {"logprobs": True, "top_logprobs": 3}, [":3"]),
    ("`response_format` `json_object`", {"response_format": {"type": "json_object"}}, ["json_object", "application/json", '"format":"json"', "one JSON object"]),
    ("`reasoning_effort`", {"reasoning_effort": "high"}, ["high", "thinking", '"think"']),
    ("`verbosity`", {"verbosity": "low"}, ['"low"']),
    ("`tool_choice` `none`", {"tools": [TOOL], "tool_choice": "none"}, ['"none"', '"NONE"', "!look_up"]),
    ("`tool_choice` `required`", {"tools": [TOOL], "tool_choice": "required"}, ['"required"', '"REQUIRED"', '"any"', '"ANY"']),
    ("`tool_choice` of one tool", {"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "look_up"}}},
     ['"tool_choice"', '"toolChoice"', "allowedFunctionNames"]),
    ("`parallel_tool_calls: false`", {"tools": [TOOL], "parallel_tool_calls": False}, ['"parallel_tool_calls":false', '"disable_parallel_tool_use":true']),
    ("`strict` tools", {"tools": [{**TOOL, "function": {**TOOL["function"], "parameters": schema(True), "strict": True}}]}, ['"strict":true', '"strict_tools":true', '"VALIDATED"']),
    ("a picture by its URL", content({"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}), ["https://example.com/a.png"]),
    ("`input_audio`", content({"type": "input_audio", "input_audio": {"data": AUDIO, "format": "wav"}}), [AUDIO]),
    ("`file` (PDF)", content({"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64," + PDF}}), [PDF]),
    ("a `developer` message", {"messages": [{"role": "developer", "content": "BE-TERSE"}, {"role": "user", "content": "Hello"}]}, ["BE-TERSE"]),
    ("`name` of a message", {"messages": [{"role": "user", "name": "bob4242", "content": "Hello"}]}, ["bob4242"]),
    ("an answer to be continued", {"messages": [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "BEGUN"}]}, ["BEGUN"]),
    ("`modalities` with audio", {"modalities": ["text", "audio"], "audio": {"voice": "alloy", "format": "wav"}}, ["alloy"]),
    ("`prediction`", {"prediction": {"type": "content", "content": "FORESEEN"}}, ["FORESEEN"]),
    ("`service_tier`", {"service_tier": "flex"}, ['"flex"']),
    ("`user`", {"user": "u-4242"}, ["u-4242"]),
    ("`metadata`", {"metadata": {"kind": "v-4242"}}, ["v-4242"]),
    ("`store`", {"store": True}, ['"store":true']),
    ("`prompt_cache_key`", {"prompt_cache_key": "k-4242"}, ["k-4242"]),
    ("a member nobody knows", {"frobnicate": "x-4242"}, ["x-4242"]),
]


ANYTHING = ['"required"', '"REQUIRED"', '"any"', '"ANY"', '"any":']
CALLED = ['"tool_choice"', '"toolChoice"', "allowedFunctionNames"]
SINGLE = ['"parallel_tool_calls":false', '"disable_parallel_tool_use":true']
FORCED_OFF = ['"none"', '"NONE"', "!look_up"]
JSON = ["json_object", "application/json", '"format":"json"', "one JSON object"]
FLAT = {"type": "function", "name": "look_up", "description": "Looks up", "parameters": PARAMETERS, "strict": False}
CLAUDE = {"name": "look_up", "description": "Looks up", "input_schema": PARAMETERS}
GOOGLE = [{"functionDeclarations": [{"name": "look_up", "description": "Looks up", "parametersJsonSchema": PARAMETERS}]}]
OLLAMA = {"type": "function", "function": {"name": "look_up", "description": "Looks up", "parameters": PARAMETERS}}


def items(part):
    return {"input": [{"role": "user", "content": [{"type": "input_text", "text": "What is it?"}, part]}]}


def blocks(block):
    return {"messages": [{"role": "user", "content": [block, {"type": "text", "text": "What is it?"}]}]}


def parts(part):
    return {"contents": [{"role": "user", "parts": [part, {"text": "What is it?"}]}]}


RESPONSES = [
    ("temperature", {"temperature": 0.25}, ["0.25"]),
    ("top_p", {"top_p": 0.75}, ["0.75"]),
    ("max_output_tokens", {"max_output_tokens": 77}, [":77"]),
    ("instructions", {"instructions": "BE-TERSE"}, ["BE-TERSE"]),
    ("a developer's item", {"input": [{"role": "developer", "content": "BE-TERSE"}, {"role": "user", "content": "Hello"}]}, ["BE-TERSE"]),
    ("top_logprobs", {"top_logprobs": 3, "include": ["message.output_text.logprobs"]}, [":3"]),
    ("json_object", {"text": {"format": {"type": "json_object"}}}, JSON),
    ("verbosity", {"text": {"verbosity": "low"}}, ['"low"']),
    ("effort", {"reasoning": {"effort": "high"}}, ["high", "thinking", '"think"']),
    ("tool_choice none", {"tools": [FLAT], "tool_choice": "none"}, FORCED_OFF),
    ("tool_choice required", {"tools": [FLAT], "tool_choice": "required"}, ANYTHING),
    ("tool_choice of one", {"tools": [FLAT], "tool_choice": {"type": "function", "name": "look_up"}}, CALLED),
    ("parallel_tool_calls", {"tools": [FLAT], "parallel_tool_calls": False}, SINGLE),
    ("strict", {"tools": [{**FLAT, "parameters": schema(True), "strict": True}]}, ['"strict":true', '"strict_tools":true', '"VALIDATED"']),
    ("a hosted tool", {"tools": [{"type": "web_search"}]}, ["web_search"]),
    ("a custom tool", {"tools": [{"type": "custom", "name": "shell_4242"}]}, ["shell_4242"]),
    ("a picture's URL", items({"type": "input_image", "image_url": "https://example.com/a.png"}), ["https://example.com/a.png"]),
    ("a picture's id", items({"type": "input_image", "file_id": "file-4242"}), ["file-4242"]),
    ("a file", items({"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64," + PDF}), [PDF]),
    ("previous_response_id", {"previous_response_id": "resp_4242"}, ["resp_4242"]),
    ("truncation", {"truncation": "auto"}, ['"truncation":"auto"']),
    ("background", {"background": True}, ['"background":true']),
    ("service_tier", {"service_tier": "flex"}, ['"flex"']),
    ("user", {"user": "u-4242"}, ["u-4242"]),
    ("metadata", {"metadata": {"kind": "v-4242"}}, ["v-4242"]),
    ("prompt_cache_key", {"prompt_cache_key": "k-4242"}, ["k-4242"]),
    ("a member nobody knows", {"frobnicate": "x-4242"}, ["x-4242"]),
]
MESSAGES = [
    ("temperature", {"temperature": 0.25}, ["0.25"]),
    ("top_p", {"top_p": 0.75}, ["0.75"]),
    ("top_k", {"top_k": 17}, [":17"]),
    ("stop_sequences", {"stop_sequences": ["HALT"]}, ["HALT"]),
    ("system in blocks", {"system": [{"type": "text", "text": "BE-TERSE"}, {"type": "text", "text": "AND-KIND"}]}, ["AND-KIND"]),
    ("a cache mark", {"system": [{"type": "text", "text": "Be terse.", "cache_control": {"type": "ephemeral"}}]}, ["ephemeral", "cachePoint"]),
    ("effort", {"output_config": {"effort": "high"}}, ['"high"', "thinking", '"think"']),
    ("tool_choice none", {"tools": [CLAUDE], "tool_choice": {"type": "none"}}, FORCED_OFF),
    ("tool_choice any", {"tools": [CLAUDE], "tool_choice": {"type": "any"}}, ANYTHING),
    ("tool_choice of one", {"tools": [CLAUDE], "tool_choice": {"type": "tool", "name": "look_up"}}, CALLED),
    ("disable_parallel_tool_use", {"tools": [CLAUDE], "tool_choice": {"type": "auto", "disable_parallel_tool_use": True}}, SINGLE),
    ("a hosted tool", {"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, ["web_search_20250305"]),
    ("a picture's URL", blocks({"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}}), ["https://example.com/a.png"]),
    ("a picture's id", blocks({"type": "image", "source": {"type": "file", "file_id": "file-4242"}}), ["file-4242"]),
    ("a document", blocks({"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": PDF}}), [PDF]),
    ("a document of text", blocks({"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "WRITTEN"}}), ["WRITTEN", "V1JJVFRFTg=="]),
    ("an answer to be continued", {"messages": [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "BEGUN"}]}, ["BEGUN"]),
    ("metadata", {"metadata": {"user_id": "u-4242"}}, ["u-4242"]),
    ("a container", {"container": "container-4242"}, ["container-4242"]),
    ("a member nobody knows", {"frobnicate": "x-4242"}, ["x-4242"]),
]
GEMINI = [
    *((f"generationConfig.{name}", {"generationConfig": {name: value}}, marks) for name, value, marks in [
        ("temperature", 0.25, ["0.25"]), ("topP", 0.75, ["0.75"]), ("topK", 17, [":17"]), ("maxOutputTokens", 77, [":77"]), ("stopSequences", ["HALT"], ["HALT"]),
        ("candidateCount", 2, [":2"]), ("seed", 4242, ["4242"]), ("presencePenalty", 0.375, ["0.375"]), ("frequencyPenalty", 0.625, ["0.625"]),
        ("responseMimeType", "application/json", JSON), ("responseModalities", ["AUDIO"], ["AUDIO", '"audio"']), ("mediaResolution", "MEDIA_RESOLUTION_LOW", ["MEDIA_RESOLUTION_LOW"]),
        ("frobnicate", "x-4242", ["x-4242"]),
    ]),
    ("logprobs", {"generationConfig": {"responseLogprobs": True, "logprobs": 3}}, [":3"]),
    ("mode NONE", {"tools": GOOGLE, "toolConfig": {"functionCallingConfig": {"mode": "NONE"}}}, FORCED_OFF),
    ("mode ANY", {"tools": GOOGLE, "toolConfig": {"functionCallingConfig": {"mode": "ANY"}}}, ANYTHING),
    ("mode ANY of one", {"tools": GOOGLE, "toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["look_up"]}}}, CALLED),
    ("a hosted tool", {"tools": [{"googleSearch": {}}]}, ["googleSearch"]),
    ("safetySettings", {"safetySettings": [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"}]}, ["BLOCK_NONE"]),
    ("cachedContent", {"cachedContent": "cachedContents/4242"}, ["cachedContents/4242"]),
    ("a picture's URL", parts({"fileData": {"mimeType": "image/png", "fileUri": "https://example.com/a.png"}}), ["https://example.com/a.png"]),
    ("a file of Google's", parts({"fileData": {"mimeType": "image/png", "fileUri": "https://generativelanguage.googleapis.com/v1beta/files/4242"}}), ["files/4242"]),
    ("audio", parts({"inlineData": {"mimeType": "audio/wav", "data": AUDIO}}), [AUDIO]),
    ("a PDF", parts({"inlineData": {"mimeType": "application/pdf", "data": PDF}}), [PDF]),
    ("code that ran", parts({"executableCode": {"language": "PYTHON", "code": "print(4242)"}}), ["print(4242)"]),
    ("a member nobody knows", {"frobnicate": "x-4242"}, ["x-4242"]),
]
OLLAMA_BOTH = [
    *((f"options.{name}", {"options": {name: value}}, marks) for name, value, marks in [
        ("temperature", 0.25, ["0.25"]), ("top_p", 0.75, ["0.75"]), ("top_k", 17, [":17"]), ("min_p", 0.125, ["0.125"]), ("num_predict", 77, [":77"]), ("stop", ["HALT"], ["HALT"]),
        ("seed", 4242, ["4242"]), ("presence_penalty", 0.375, ["0.375"]), ("frequency_penalty", 0.625, ["0.625"]), ("repeat_penalty", 1.375, ["1.375"]), ("num_ctx", 4242, ["4242"]),
        ("mirostat", 2, [":2"]),
    ]),
    ("format json", {"format": "json"}, JSON),
    ("think high", {"think": "high"}, ["high", "thinking", '"think"']),
    ("keep_alive", {"keep_alive": "42m"}, ["42m"]),
    ("a member nobody knows", {"frobnicate": "x-4242"}, ["x-4242"]),
]
FIELDS = {
    "chat": CHAT,
    "completions": [one for one in CHAT if not {"messages", "tools", "response_format", "reasoning_effort", "max_completion_tokens", "logprobs", "modalities", "prediction", "verbosity"} & set(one[1])]
    + [("suffix", {"suffix": "AFTERWARDS"}, ["AFTERWARDS"]), ("echo", {"echo": True}, ['"echo":true']), ("best_of", {"best_of": 3}, [":3"]), ("logprobs", {"logprobs": 3}, [":3"])],
    "responses": RESPONSES,
    "messages": MESSAGES,
    "gemini": GEMINI,
    "ollama": OLLAMA_BOTH + [("tools", {"tools": [OLLAMA]}, ["look_up"]), ("top_logprobs", {"logprobs": True, "top_logprobs": 3}, [":3"])],
    "ollama_generate": OLLAMA_BOTH + [("suffix", {"suffix": "AFTERWARDS"}, ["AFTERWARDS"]), ("raw", {"raw": True}, ['"raw":true']), ("template", {"template": "TEMPLATE"}, ["TEMPLATE"]),
                                      ("context", {"context": [4242]}, ["4242"])],
}
PLAIN = {
    "chat": {"messages": [{"role": "user", "content": "Hello"}]},
    "completions": {"prompt": "Hello"},
    "responses": {"input": "Hello"},
    "messages": {"max_tokens": 4096, "messages": [{"role": "user", "content": "Hello"}]},
    "gemini": {"contents": [{"role": "user", "parts": [{"text": "Hello"}]}]},
    "ollama": {"messages": [{"role": "user", "content": "Hello"}], "stream": False},
    "ollama_generate": {"prompt": "Hello", "stream": False},
}


def arrives(body, marks):
    """`!name` stands for a tool that is not offered."""
    return any(mark[1:] not in body if mark.startswith("!") else mark in body for mark in marks)
