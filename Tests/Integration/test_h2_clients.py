"""Real HTTP/2 clients through the gateway, over TLS by ALPN and in clear text with prior knowledge: curl, nghttp, h2load, httpx and the official `openai`
package. What they send and get arrives whole, large and small, alone and by the hundred."""
import asyncio
import hashlib
import json
import re
import shutil
import ssl
import subprocess

import httpx
import openai
import pytest

from h2rig import *
from h2attack import transport  # one per backend
from upstreams import headers as fields_of

MESSAGES = [{"role": "user", "content": "hello"}]
MODEL = "mock-model"


@pytest.fixture
def url(mocked_door):
    """Where clients go; `localhost` is in the certificate."""
    return f"https://localhost:{mocked_door.target.port}" if mocked_door.target.tls else f"http://127.0.0.1:{mocked_door.target.port}"


def run(*command, **options):
    if not shutil.which(command[0]):
        pytest.skip(f"{command[0]} is not installed")
    done = subprocess.run([str(word) for word in command], capture_output=True, timeout=40, **options)
    return done


def curl(url, authority, *arguments, **options):
    version = ["--http2", "--cacert", authority.ca] if url.startswith("https") else ["--http2-prior-knowledge"]
    done = run("curl", "-sS", "-4", *version, "-w", "\n%{http_version} %{http_code}", *arguments, **options)
    assert done.returncode == 0, done.stderr
    body, _, last = done.stdout.rpartition(b"\n")
    return body, last.decode()


def test_curl_small_and_large_both_ways(url, authority, tmp_path):
    body, last = curl(url, authority, url + "/bytes/10")
    assert (body, last) == (b"abcdefghij", "2 200")
    body, last = curl(url, authority, url + "/bytes/20000000")
    assert last == "2 200" and len(body) == 20_000_000
    payload = bytes(range(256)) * 2_000
    path = tmp_path / "upload"
    path.write_bytes(payload)
    for more in ((), ("-H", "expect: 100-continue"), ("-X", "PUT")):
        body, last = curl(url, authority, "--data-binary", f"@{path}", *more, url + "/upload")
        assert last == "2 200"
        said = json.loads(body)
        assert (said["body_length"], said["body_sha256"]) == (len(payload), hashlib.sha256(payload).hexdigest())
    _, last = curl(url, authority, "-I", url + "/bytes/10")
    assert last == "2 200"


def test_curl_falls_back_to_http1_where_it_asks_for_it(url, authority):
    done = run("curl", "-sS", "-4", "--http1.1", "--cacert", authority.ca, "-w", "\n%{http_version}", url + "/bytes/10")
    assert done.stdout == b"abcdefghij\n1.1"


def test_curl_uploads_without_a_known_length(url, authority):
    payload = b"z" * 300_000
    body, last = curl(url, authority, "-X", "POST", "-T", "-", url + "/upload", input=payload)
    assert last == "2 200" and json.loads(body)["body_length"] == len(payload)


def test_curl_parallel(url, authority):
    """100 transfers on a few connections."""
    if not url.startswith("https"):
        pytest.skip("curl 7.88 gets lost by itself when it begins 100 transfers with prior knowledge (at nghttpx as well)")
    done = run("curl", "-sS", "-4", "--no-progress-meter", "-Z", "--parallel-max", "100", *(["--http2", "--cacert", authority.ca] if url.startswith("https") else ["--http2-prior-knowledge"]),
               "-w", "%{http_version} %{http_code} %{size_download}\n", "-o", "/dev/null", url + "/bytes/[1000-1099]")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.decode().split("\n")[:-1]
    assert sorted(lines) == sorted(f"2 200 {size}" for size in range(1000, 1100))


def test_curl_streams_events(url, authority):
    body, last = curl(url, authority, "-N", "-H", "content-type: application/json", "-H", "x-mock-tokens: 200", "-d", json.dumps({"model": MODEL, "messages": MESSAGES, "stream": True}), url + "/v1/chat/completions")
    assert last == "2 200" and body.rstrip().endswith(b"data: [DONE]") and body.count(b"data: ") > 200


def test_nghttp(url):
    done = run("nghttp", "-v", "--no-verify-peer", *(f"{url}/bytes/{size}" for size in (1, 1000, 100_000, 3_000_000)))
    text = done.stdout.decode("latin-1")
    assert done.returncode == 0 and len(re.findall(r":status: 200", text)) == 4, text[-2000:]
    assert "GOAWAY" not in text.split("send GOAWAY")[0] and "RST_STREAM" not in text


def test_nghttp_with_trailers_padding_and_a_body(url, tmp_path):
    path = tmp_path / "body"
    path.write_bytes(b"q" * 100_000)
    done = run("nghttp", "--no-verify-peer", "-d", path, "--trailer", "x-t: u", "--padding=200", "-m", "3", url + "/upload")
    assert done.returncode == 0 and done.stdout.count(b'"body_length":100000') == 3, done.stdout[-500:]


def test_h2load(url):
    done = run("h2load", "-n", "1000", "-c", "4", "-m", "32", url + "/bytes/1000")
    text = done.stdout.decode()
    assert "requests: 1000 total, 1000 started, 1000 done, 1000 succeeded, 0 failed, 0 errored, 0 timeout" in text, text


def client_of(url, authority, kind=httpx.Client):
    secure = url.startswith("https")
    return kind(base_url=url, http1=secure, http2=True, verify=ssl.create_default_context(cafile=str(authority.ca)) if secure else True, timeout=30)


def test_httpx(url, authority):
    with client_of(url, authority) as client:
        for size in (0, 1, 65535, 65536, 400_000):
            got = client.post("/echo", content=b"x" * size)
            assert (got.http_version, got.status_code, got.json()["body_length"]) == ("HTTP/2", 200, size)
            got = client.get(f"/bytes/{size}")
            assert len(got.content) == size
        assert client.head("/bytes/10").content == b""
        with client.stream("POST", "/v1/chat/completions", json={"model": MODEL, "messages": MESSAGES, "stream": True}) as got:
            lines = [line for line in got.iter_lines() if line]
        assert got.http_version == "HTTP/2" and lines[-1] == "data: [DONE]" and len(lines) > 40


def test_httpx_100_at_a_time(url, authority):
    """On one connection: small, large and streamed answers, and uploads, side by side."""
    async def everything():
        async with client_of(url, authority, httpx.AsyncClient) as client:
            async def one(number):
                if number % 4 == 0:
                    got = await client.get(f"/bytes/{number * 1000}")
                    return len(got.content) == number * 1000 and got.http_version == "HTTP/2"
                if number % 4 == 1:
                    got = await client.post("/echo", content=b"y" * number * 200)
                    return got.json()["body_length"] == number * 200
                async with client.stream("POST", "/v1/chat/completions", json={"model": MODEL, "messages": MESSAGES, "stream": number % 4 == 2}) as got:
                    text = (await got.aread()).decode()
                return "[DONE]" in text if number % 4 == 2 else json.loads(text)["choices"][0]["message"]["content"]
            return await asyncio.gather(*map(one, range(100)))

    assert all(asyncio.run(everything()))


def test_a_stream_arrives_event_by_event(url, authority, mock):
    """No event waits for the next: the fourth is here long before the last."""
    with client_of(url, authority) as client:
        with client.stream("POST", "/v1/chat/completions", json={"model": MODEL, "messages": MESSAGES, "stream": True}, headers={"x-mock-rate": "20", "x-mock-tokens": "4000"}) as got:
            events = got.iter_lines()
            seen = [next(events) for _ in range(8)]
            assert sum(line.startswith("data: ") for line in seen) >= 4 and mock.stats()["in_flight"] == 1
        # httpx leaves such a stream as it is, without a reset: the connection stays good for others.
        assert client.get("/bytes/10").http_version == "HTTP/2"
    until(lambda: mock.stats()["in_flight"] == 0, "leaving cancels it upstream")


def sdk(url, authority, kind=openai.OpenAI, transport=httpx.Client):
    return kind(base_url=url + "/v1", api_key="sk-none", max_retries=0, http_client=client_of(url, authority, transport))


def test_the_openai_package(url, authority):
    with sdk(url, authority) as client:
        raw = client.chat.completions.with_raw_response.create(model=MODEL, messages=MESSAGES)
        assert raw.http_response.http_version == "HTTP/2" and raw.parse().choices[0].message.content and raw.headers["x-request-id"]
        chunks = list(client.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True))
        assert chunks[-1].choices[0].finish_reason == "stop"
        for _ in range(20):
            with client.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True) as stream:
                next(iter(stream))
        with pytest.raises(openai.RateLimitError):
            client.chat.completions.create(model=MODEL, messages=MESSAGES, extra_headers={"x-mock-status": "429"})
        assert client.chat.completions.create(model=MODEL, messages=MESSAGES).usage.completion_tokens


def test_the_openai_package_many_at_a_time(url, authority):
    async def all_of_them():
        async with sdk(url, authority, openai.AsyncOpenAI, httpx.AsyncClient) as client:
            async def one():
                stream = await client.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True)
                return [chunk async for chunk in stream][-1].choices[0].finish_reason
            return await asyncio.gather(*(one() for _ in range(50)))

    assert asyncio.run(all_of_them()) == ["stop"] * 50


def test_x_forwarded_fields_of_an_h2_client(recorded_door, recorder, authority):
    url = f"https://localhost:{recorded_door.target.port}" if recorded_door.target.tls else f"http://127.0.0.1:{recorded_door.target.port}"
    with client_of(url, authority) as client:
        assert client.get("/x", headers={"x-forwarded-for": "6.6.6.6", "x-forwarded-proto": "gopher"}).status_code == 200
    found = fields_of(recorder.wait_requests(1)[0][0])
    assert ("x-forwarded-for", "127.0.0.1") in found and ("x-forwarded-proto", url.split(":")[0]) in found and "6.6.6.6" not in str(found)
