"""Unpacks the test suites into seeds for the fuzz targets: suites.py SUITES OUT, one folder of files for each target."""
import base64
import json
import pathlib
import sys
import tarfile

suites, out = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2])


def put(target, name, data):
    folder = out / target
    folder.mkdir(parents=True, exist_ok=True)
    if data and len(data) <= 4096:
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
