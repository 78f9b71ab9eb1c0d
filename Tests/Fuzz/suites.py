"""Unpacks the test suites into seeds for the fuzz targets: suites.py SUITES OUT, one folder of files for each target."""
import base64
import json
import pathlib
import sys
import tarfile

suites, out = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])


def put(target, name, data, bytes_max=4096):
    folder = out / target
    folder.mkdir(parents=True, exist_ok=True)
    if data and len(data) <= bytes_max:
        (folder / "".join(c if c.isalnum() else "-" for c in name)[:100]).write_bytes(data)


def cases(path, key="bytes"):
    for index, case in enumerate(json.loads((suites / path).read_text())["cases"]):
        if key in case:
            yield f"{path}-{index}", base64.b64decode(case[key])


def packed(path):
    with tarfile.open(suites / path) as archive:
        for member in archive:
            if member.isfile():
                yield member.name, archive.extractfile(member).read()


for name, data in [*cases("http1-llhttp/requests.json"), *packed("http1-corpus/http1-corpus.tar.gz")]:
    put("RequestHead", name, data)
    if b"\r\n\r\n" in data and b"chunked" in data:
        put("Chunked", name, data.split(b"\r\n\r\n", 1)[1])
for index, case in enumerate(json.loads((suites / "http1-smuggling/default.json").read_text())["cases"]):
    put("RequestHead", f"smuggling-{index}", base64.b64decode(case["cl_te"]["bytes"]))
for name, data in cases("http1-llhttp/responses.json"):
    put("ResponseHead", name, data)
for name, data in cases("http1-llhttp/targets.json", "target"):
    put("Path", name, data)
    put("URL", name, data)
for path in sorted((suites / "json/cases").iterdir()):
    put("JSON", path.name, path.read_bytes())
for name, data in [*cases("sse/parsing.json"), *cases("sse/done.json")]:
    put("SSE", name, data)
for name, data in packed("http1-corpus/url-corpus.tar.gz"):
    put("URL", name, data)
for index, case in enumerate(json.loads((suites / "url/urltestdata-even.json").read_text())["cases"]):
    put("URL", f"wpt-{index}", case["input"].encode("utf-8", "surrogatepass"))
    if case.get("pathname", "").startswith("/"):
        put("Path", f"wpt-{index}", case["pathname"].encode())
for name, data in packed("yaml/yaml-test-suite-src.tar.gz"):
    put("Configuration", name, data)
for path in sorted((suites / "h2-streams/client-streams").iterdir()):
    put("HTTP2", path.name, path.read_bytes())


# The recordings: for each its dialect's digit (see the head of Tests/Fuzz/DialectRequests.swift), and its body.
DIALECTS = {
    "anthropic.messages": 3, "anthropic.count_tokens": 3, "bedrock.converse": 5, "bedrock.converse_stream": 5, "cohere.chat": 6, "cohere.embed": 6,
    "ollama.chat": 7, "ollama.generate": 8, "openai.completions": 1, "openai.responses": 2, "azure.responses": 2, "xai.responses": 2,
    "gemini.generateContent": 4, "gemini.streamGenerateContent": 4, "gemini.batchEmbedContents": 4, "gemini.countTokens": 4, "vertex.generateContent": 4,
    "vertex.streamGenerateContent": 4,
}


def bytes_of(body):
    return base64.b64decode(body["base64"]) if body["encoding"] == "base64" else body.get("text", "").encode()


def compact(data):
    """JSON in one line, as the mutations want it; anything else as it is."""
    try:
        return json.dumps(json.loads(data), separators=(",", ":"), ensure_ascii=False).encode()
    except ValueError:
        return data


for path in sorted((suites.parent / "recordings").glob("*/*.json")):
    one = json.loads(path.read_text())
    digit = b"%d" % DIALECTS.get(one["api"], 0)
    request, response, status = bytes_of(one["request"]["body"]), bytes_of(one["response"]["body"]), one["response"]["status"]
    put("DialectRequests", one["id"], digit + compact(request), 8192)
    if status >= 400:
        put("DialectErrors", one["id"], digit + compact(response), 8192)
    elif one["response"].get("decoded_frames"):
        lines = []
        for frame in one["response"]["decoded_frames"]:
            headers = frame.get("headers", {})
            name = headers.get(":event-type") or "!" + headers.get(":exception-type", "")
            payload = frame.get("payload", "")
            lines.append(name.encode() + b" " + compact(payload.encode() if isinstance(payload, str) else json.dumps(payload).encode()))
        put("DialectStreams", one["id"], digit + b"\n".join(lines), 8192)
        put("Scanners", one["id"], b"2" + response)
    elif "stream" in one["tags"]:
        put("DialectStreams", one["id"], (b"9" if response.lstrip().startswith(b"[") else digit) + response[:8000], 8192)
        put("Scanners", one["id"], (b"3" if response.lstrip().startswith(b"[") else b"1") + response[:4000])
    else:
        put("DialectAnswers", one["id"], digit + compact(response), 8192)
        put("Scanners", one["id"], b"0" + compact(response))
for index, case in enumerate(json.loads((suites / "eventstream/frames.json").read_text())["cases"] if (suites / "eventstream/frames.json").exists() else []):
    if "bytes" in case:
        put("Scanners", f"frames-{index}", b"2" + base64.b64decode(case["bytes"]))
