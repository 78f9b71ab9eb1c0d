"""Ids, traces and the request log: one valid line per request whatever is in it, nothing secret, and no way to block the gateway by its log
(faults OB-01, OB-03, RE-06).
"""
import json
import os
import re

import pytest

from discovery_rig import Named
from rig import Gateway, route
from upstreams import headers
from wire import chat, request, until

ALWAYS = {"time", "request_id", "trace_id", "session_id", "tenant", "key_id", "route_id", "rule", "provider", "upstream_name", "model_requested", "model_id", "status", "error_class", "latency_ms",
          "ttft_ms", "overhead_us", "attempts", "cache", "tokens", "cost_usd", "stream", "finish_reason", "client_ip", "method", "path", "bytes_in", "bytes_out", "config_version", "disconnected",
          "downgraded"}


def test_a_line_has_all_its_fields(front):
    for data, method in ((chat(), "POST"), (chat(stream=True), "POST"), (request("GET", "/x"), "GET"), (request("GET", "/v1/models"), "GET"), (b"nonsense\r\n\r\n", "GET"), (request("FOO", "/"), "GET")):
        answer = front.ask(data, method)
        line = front.logged(answer.get("x-request-id"))
        assert ALWAYS <= set(line), ALWAYS - set(line)
        assert line["status"] == answer.status and re.fullmatch(r"[0-9a-f]{32}", line["trace_id"])
        assert line["bytes_in"] > 0 or answer.status == 400
    assert front.logged(front.ask(chat()).get("x-request-id"))["tokens"]["output"] > 0


def test_a_well_formed_request_id_is_kept(recorded, recorder):
    for given in ("a", "A-b_c.d:e", "x" * 64):
        recorder.reset()
        answer = recorded.ask(chat(fields=[("X-Request-Id", given)]))
        assert answer.get("x-request-id") == given
        assert dict(headers(recorder.heads()[0]))["x-request-id"] == given
    for given in ("", "x" * 65, "a b", "a\"b", "a\tb", "caf\xe9", "a/b", "a,b", "{}"):
        recorder.reset()
        answer = recorded.ask(chat(fields=[("X-Request-Id", given)]))
        made = answer.get("x-request-id")
        assert re.fullmatch(r"req_[0-9a-f]{24}", made)
        assert dict(headers(recorder.heads()[0]))["x-request-id"] == made


def test_OB_03_a_trace_is_continued_if_it_is_one(recorded, recorder):
    trace, span = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
    answer = recorded.ask(chat(fields=[("traceparent", f"00-{trace}-{span}-01"), ("tracestate", "vendor=1")]))
    found = dict(headers(recorder.heads()[0]))
    version, kept, fresh, flags = found["traceparent"].split("-")
    assert (version, kept, flags) == ("00", trace, "01") and fresh != span and re.fullmatch(r"[0-9a-f]{16}", fresh) and found["tracestate"] == "vendor=1"
    assert recorded.logged(answer.get("x-request-id"))["trace_id"] == trace


@pytest.mark.parametrize("given", ["", "x", "00-" + "0" * 32 + "-00f067aa0ba902b7-01", "00-4bf92f3577b34da6a3ce929d0e0e4736-" + "0" * 16 + "-01", "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
                                   "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7", "00-4bf92f3577b34da6a3ce929d0e0e473g-00f067aa0ba902b7-01",
                                   "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-extra", "a" * 10_000])
def test_OB_03_a_malformed_traceparent_begins_a_new_trace(recorded, recorder, given):
    answer = recorded.ask(chat(fields=[("traceparent", given), ("tracestate", "a=b"), ("baggage", "x" * 5000)]))
    assert answer.status == 200
    found = [value for name, value in headers(recorder.heads()[0]) if name == "traceparent"]
    assert len(found) == 1 and re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-0[01]", found[0])
    assert "4bf92f3577b34da6a3ce929d0e0e4736" not in found[0].lower() and "0" * 32 not in found[0]


def test_OB_03_an_enormous_tracestate_is_a_head_too_large(recorded, recorder):
    recorded.ask(chat(fields=[("tracestate", "a=" + "b" * 100_000)])).error(431)
    assert recorder.bytes() == b""


HOSTILE = ["a\nb", "a\r\nb", "\x1b[31mred", "\0", "\x7f", "\u2028", "\u202e", "\"", "\\", "\\u0000", "{\"a\":1}", "é", "\U0001f600", "a" * 100_000, "</script>", "%n%s", "\ud800", "x\",\"status\":200,\"y\":\""]


def test_OB_01_hostile_models_and_paths_stay_in_their_line(front):
    """Every line of the log is checked to be one JSON object by `log`."""
    with front.client() as client:
        for text in HOSTILE:
            raw = json.dumps(text).encode()
            for value in {raw, json.dumps(text, ensure_ascii=False).encode("utf-8", "surrogatepass")}:
                answer = client.ask(request(body=b'{"model":' + value + b',"messages":[]}'))
                line = front.logged(answer.get("x-request-id"))
                assert answer.status in (200, 400) and len(json.dumps(line)) < 4096, answer
                for _, field in answer.fields:
                    assert not any(ord(letter) < 32 or ord(letter) == 127 for letter in field)
        for path in ("/%0d%0aforged", "/%1b[31m", "/" + "a" * 15_000, "/\"}", "/%22%7d", "/v1/models/%0a", "/v1/models/\"x"):
            answer = client.ask(request("GET", path), "GET")
            line = front.logged(answer.get("x-request-id"))
            assert len(json.dumps(line)) < 4096
            if answer.closes:
                break
    data = front.log_path.read_bytes()
    assert not any(byte < 32 and byte != 10 for byte in data)


@pytest.mark.parametrize("path", ["/v1/models/\"x", "/v1/models/%0a", "/v1/models/nobody"])
def test_OB_01_a_model_that_is_not_there_is_named_safely(gateway, mock, path):
    listed = gateway(model=mock.url, upstream={"models": ["mock-model"]})
    answer = listed.ask(request("GET", path), "GET")
    assert answer.status in (400, 404)
    answer.error()
    answer = listed.ask(request(body={"model": "no\"such\nmodel\x1b"}))
    assert answer.error(404, "model_not_found")["param"] == "model"
    listed.log()


def test_prompts_and_answers_are_not_logged(front):
    canary = "canary-4711-prompt"
    answer = front.ask(chat(messages=[{"role": "user", "content": canary}], user=canary, fields=[("X-Secret-Field", canary)]))
    front.logged(answer.get("x-request-id"))
    front.logged(front.ask(request("GET", f"/x?key={canary}"), "GET").get("x-request-id"))
    assert canary not in front.log_path.read_text() and canary not in front.messages()


def test_text_lines_have_one_line_too(gateway, mock, tmp_path):
    path = tmp_path / f"text-{gateway.configuration()['server']['io_backend']}.log"
    texts = gateway(fresh=True, log_path=path, model=mock.url, plain=mock.url, logging={"output": "file", "path": str(path), "format": "text"})
    for data in (chat(), request("GET", "/a%0ab"), b"broken\r\n\r\n", request(body={"model": "a\nb"})):
        texts.ask(data, "GET" if data.startswith(b"GET") else "POST")
    lines = until(lambda: len(found := path.read_text().splitlines()) >= 4 and found, "four lines")
    assert len(lines) == 4 and all("request_id=" in line for line in lines)


def test_a_404_of_a_plain_backend_is_not_about_a_model(tmp_path):
    backend = Named("plain")
    backend.status = 404
    try:
        with Gateway({"upstreams": {"web": {"type": "http", "base_url": backend.url}}, "routes": [route("web")]}, tmp_path) as gateway:
            assert gateway.ask("GET", "/nothing").status == 404
            line = gateway.record(gateway.ask("GET", "/nothing").header("x-request-id"))
            assert line["error_class"] == "bad_request" and line["attempts"][0]["class"] == "bad_request"
    finally:
        backend.stop()


def test_RE_06_a_full_disk_does_not_stop_requests(gateway, mock):
    full = gateway(fresh=True, log_path="/dev/full", model=mock.url, plain=mock.url)
    with full.client() as client:
        for _ in range(300):
            assert client.ask(chat()).status == 200
    assert full.stop() == 0


def test_RE_06_a_pipe_nobody_reads_does_not_stop_requests(gateway, mock, slow_pipe):
    piped = gateway(fresh=True, log_path=slow_pipe, model=mock.url, plain=mock.url, logging={"output": "file", "path": str(slow_pipe), "buffer_kb": 16})
    with piped.client() as client:
        for _ in range(300):
            assert client.ask(chat(), deadline=5).status == 200
    # Lines were dropped, and the end is not held up by what can't be written.
    assert piped.stop() == 0


def test_RE_06_lines_that_are_written_are_whole_though_others_are_dropped(gateway, mock, slow_pipe):
    """A reader that comes late finds whole lines."""
    piped = gateway(fresh=True, log_path=slow_pipe, plain=mock.url, logging={"output": "file", "path": str(slow_pipe), "buffer_kb": 16})
    with piped.client() as client:
        for _ in range(200):
            assert client.ask(request("GET", "/x"), "GET").status == 200
        reader = os.open(slow_pipe, os.O_RDONLY | os.O_NONBLOCK)
        data = b""

        def read():
            nonlocal data
            try:
                data += os.read(reader, 65536)
            except BlockingIOError:
                pass
            return len(data) > 15_000
        until(read, "what the ring held")
        answer = client.ask(request("GET", "/x"), "GET")

        def last():
            read()
            return answer.get("x-request-id").encode() in data and data.endswith(b"\n")
        until(last, "the line of a request after the jam")
        os.close(reader)
    lines = [json.loads(line) for line in data.splitlines()]
    assert 10 < len(lines) < 201 and len({line["request_id"] for line in lines}) == len(lines)
