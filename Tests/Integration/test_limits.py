"""Limits of size, time and number: what lies beyond is refused in time, and memory stays bounded."""
import os
import random
import resource
import time

import pytest

from refusals import PATIENCE, refusal, refuses
from wire import Broken, Client, chat, request, until

MIB = 1 << 20


def test_H1_19_targets_and_heads_beyond_the_limit_are_refused(recorded, recorder):
    refuses(recorded, recorder, [
        (request("GET", "/" + "a" * 17_000), (414,)),
        (request("GET", "/" + "a" * 16_384), (414,)),
        (request("GET", "/", fields=[("X", "a" * 70_000)]), (431,)),
        (request("GET", "/", fields=[(f"X-{n}", "a" * 1000) for n in range(80)]), (431,)),
        (request("GET", "/", fields=[(f"X-{n}", "a") for n in range(100)]), (431,)),
        (b"A" * 100_000, (400, 431, 501)),
        (b"GET /" + b"a" * 100_000, (414,)),
    ])
    assert recorded.ask(request("GET", "/" + "a" * 16_383), "GET").status == 200
    assert recorded.ask(request("GET", "/", fields=[(f"X-{n}", "a") for n in range(99)]), "GET").status == 200
    assert recorded.ask(request("GET", "/", fields=[("X", "a" * 60_000)]), "GET").status == 200


def test_H1_19_endless_heads_take_no_memory(recorded):
    before = recorded.status()["rss"]
    for start in (b"GET /", b"GET / HTTP/1.1\r\nX: ", b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 90):
        with recorded.client() as client:
            client.offer(start + b"a" * (20 * MIB), 0.5)
            client.ending()
    assert recorded.status()["rss"] - before < 8 * MIB


def test_H1_20_other_versions_are_refused(recorded, recorder):
    tail = b"\r\nHost: gateway.test\r\n\r\n"
    refuses(recorded, recorder, [
        (b"GET /\r\n" + b"\r\n", (400,)), (b"GET / HTTP/1.32" + tail, (400,)), (b"GET / HTTP/2.0" + tail, (505,)), (b"GET / HTTP/1.1 x" + tail, (400,)), (b"GET / http/1.1" + tail, (400,)),
        (b"GET / HTTP/0.9" + tail, (505, 400)), (b"GET / HTTP/3" + tail, (400, 505)), (b"GET / HTTP/1" + tail, (400,)), (b"GET / HTTP/1," + tail, (400,)), (b"GET / HTTPS/1.1" + tail, (400,)),
        (b"GET / HTTP/11.1" + tail, (400, 505)), (b"GET  / HTTP/1.1" + tail, (400,)), (b"GET /  HTTP/1.1" + tail, (400,))])
    # A minor version above 1 is read as 1.1 (RFC 9110 §2.5).
    assert recorded.ask(b"GET / HTTP/1.9" + tail, "GET").status == 200


def test_H1_21_unknown_methods_trace_and_connect(recorded, recorder):
    with recorded.client() as client:
        for method in ("FOO", "get", "Get", "PROPFIND", "M" * 4096, "QUERY", "GETT"):
            client.ask(request(method, "/"), method).error(501, "method_not_implemented")
        answer = client.ask(request("TRACE", "/"), "TRACE")
        answer.error(405, "method_not_allowed")
        assert "GET" in answer.get("allow") and "TRACE" not in answer.get("allow")
    refuses(recorded, recorder, [(request("CONNECT", "gateway.test:443", host="gateway.test:443") + b"\x16\x03\x01", (405,)), (request("CONNECT", "/"), (400,))])
    assert recorder.bytes() == b""


def drip(client, data, pace, until_end):
    """One byte at a time until the peer answers or the time is over; the seconds it took."""
    begin = time.monotonic()
    client.socket.settimeout(0.001)
    for at in range(len(data)):
        try:
            client.socket.send(data[at:at + 1])
        except OSError:
            break
        if not client.silent(pace):
            break
        if time.monotonic() - begin > until_end:
            break
    return time.monotonic() - begin


def test_H1_31_slow_heads_end_at_the_total_deadline(gateway, mock):
    hasty = gateway(model=mock.url, plain=mock.url, server={"header_timeout_seconds": 0.4})
    slow = [hasty.client() for _ in range(200)]
    for client in slow[1:]:
        client.send(b"GET / HTTP/1.1\r\nHost: gateway.test\r\nX-Slow: ")
    spent = drip(slow[0], request("GET", "/", fields=[("X-Slow", "a" * 10_000)]), 0.02, 5)
    assert 0.3 < spent < 3
    for client in slow:
        answer = client.response()
        answer.error(408, "request_head_timeout")
        assert answer.closes and client.ending() == "fin"
        client.close()
    line = hasty.logged(answer.get("x-request-id"))
    assert (line["status"], line["error_class"]) == (408, "timeout")
    # A connection that never says anything is let go without a word.
    with hasty.client() as client:
        assert client.everything() == b"" and client.end == "fin"
    # And between requests the head's deadline doesn't run.
    with hasty.client() as client:
        assert client.ask(request("GET", "/one"), "GET").status == 200
        assert client.silent(0.7)
        assert client.ask(request("GET", "/two"), "GET").status == 200


def test_idle_connections_are_let_go(gateway, mock):
    hasty = gateway(plain=mock.url, server={"idle_timeout_seconds": 0.3})
    with hasty.client() as client:
        assert client.ask(request("GET", "/one"), "GET").status == 200
        begin = time.monotonic()
        assert client.ending() == "fin"
        assert 0.2 < time.monotonic() - begin < 3


@pytest.mark.parametrize("framing", ["length", "large", "chunks"])
def test_H1_32_slow_bodies_end_at_the_deadline(gateway, recorder, framing):
    hasty = gateway(model=recorder.url, plain=recorder.url, server={"body_timeout_seconds": 0.4})
    head = {"length": [("Content-Length", "1000")], "large": [("Content-Length", "1000000")], "chunks": [("Transfer-Encoding", "chunked")]}[framing]
    with hasty.client() as client:
        client.send(request("POST", "/x", length=False, fields=head))
        body = b"5\r\nhello\r\n" * 1000 if framing == "chunks" else b"x" * 900
        assert 0.3 < drip(client, body, 0.02, 5) < 3
        answer = client.response()
        answer.error(408, "request_body_timeout")
        assert answer.closes and client.ending() == "fin"
    assert hasty.logged(answer.get("x-request-id"))["status"] == 408
    assert recorder.bytes() == b""


def test_H1_33_a_client_that_does_not_read_pauses_its_upstream_and_is_reset(gateway, mock):
    hasty = gateway(model=mock.url, plain=mock.url, server={"write_timeout_seconds": 0.8})
    assert hasty.ask(request("GET", "/warm"), "GET").status == 200
    before = hasty.status()["rss"]
    with hasty.client(receive_buffer=4096) as client:
        client.send(request("GET", "/bytes/500000000", fields=[("X-Request-Id", "never-reads-" + hasty.backend)]))
        client.wait_for(b"HTTP/1.1 200")
        line = hasty.logged("never-reads-" + hasty.backend)
        assert line["disconnected"] == "client" and line["latency_ms"] > 500
        # What went out of the mock is what the kernel's buffers hold on the way, and one stream buffer.
        assert mock.stats()["bytes_out"] < 40 * MIB
        assert hasty.status()["rss"] - before < 4 * MIB
        assert client.ending() == "reset"
    until(lambda: mock.stats()["aborted"] == 1, "the upstream is told")


def test_H1_33_a_stream_nobody_reads_ends_though_its_upstream_goes_on(gateway, mock):
    """Events keep coming, slowly enough that the stream's buffer is not full: that is no progress on the client's side."""
    hasty = gateway(model=mock.url, plain=mock.url, server={"write_timeout_seconds": 0.8, "stream_buffer_kb": 65536})
    with hasty.client(receive_buffer=4096) as client:
        client.send(chat(stream=True, fields=[("X-Request-Id", "never-reads-" + hasty.backend), ("x-mock-rate", "100"), ("x-mock-event-bytes", "200000"), ("x-mock-tokens", "100000")]))
        client.wait_for(b"HTTP/1.1 200")
        assert hasty.logged("never-reads-" + hasty.backend)["disconnected"] == "client"
        assert client.ending() == "reset"


def test_H1_33_a_slow_reader_gets_everything(gateway, mock):
    """Slow, but never so slow that a third of the kernel's send buffer takes longer than the write deadline: that is what the gateway can see."""
    hasty = gateway(model=mock.url, plain=mock.url, server={"write_timeout_seconds": 0.8})
    with hasty.client(receive_buffer=131072) as client:
        client.send(request("GET", "/bytes/20000000"))
        answer = client.head()
        left, begin = 20_000_000 - len(client.rest), time.monotonic()
        client.rest = b""
        while left > 0:
            client.socket.settimeout(5)
            data = client.socket.recv(131072)
            assert data, f"ended with {left} bytes missing"
            left -= len(data)
            if time.monotonic() - begin < 1.5:
                time.sleep(0.02)  # a pace, nothing is waited for
        assert left == 0
    assert hasty.logged(answer.get("x-request-id"))["disconnected"] is None


@pytest.mark.parametrize("hello", [
    bytes.fromhex("16030100c8010000c40303") + b"\x07" * 200, b"SSH-2.0-OpenSSH_9.6\r\n", b"\0" * 64, b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n", b"EHLO mail\r\n", b"*1\r\n$4\r\nPING\r\n",
    b"\x80\x2e\x01\x03\x01"])
def test_H1_34_other_protocols_are_refused(recorded, recorder, hello):
    refusal(recorded, hello, (400, 501, 505))
    assert recorder.bytes() == b""


def test_H1_34_random_bytes_are_refused_or_waited_for(recorded, recorder):
    dice = random.Random(34)
    for _ in range(200):
        with recorded.client() as client:
            client.send(dice.randbytes(dice.randrange(1, 600)))
            client.finish()
            said = client.everything()
            assert said == b"" or said.startswith(b"HTTP/1.1 400 ") and client.end == "fin", said
    assert recorder.bytes() == b""


@pytest.mark.parametrize("text", [
    b"[" * 100_000, b"{\"a\":" * 100_000, b"[" * 250_000, b"{\"model\":\"a\",\"model\":\"b\"}", b"{\"model\":\"m\",\"stream\":true,\"stream\":false}", b"{\"model\":\"m\",\"mod\\u0065l\":\"n\"}",
    b"\xef\xbb\xbf{\"model\":\"m\"}", b"{\"model\":\"m\"} x", b"{\"model\":\"m\"}{}", b"{\"model\":\"\xff\"}", b"{\"model\":\"\xc0\x80\"}", b"{\"model\":\"\xed\xa0\x80\"}", b"{\"model\":\"m\",}",
    b"{\"model\":\"a\nb\"}", b"{\"model\":\"m\",\"n\":1e}", b"{\"model\":\"m\"", b"", b" ", b"{\"model\":1}", b"{\"model\":null}", b"{\"model\":[\"m\"]}", b"{\"model\":\"m\",\"stream\":\"true\"}",
    b"[{\"model\":\"m\"}]", b"\"model\"", b"{\"model\":\"m\",\"x\":\"\\ud800\\q\"}"], ids=lambda text: repr(text[:24]))
def test_H1_36_hostile_json_is_refused(recorded, recorder, text):
    with recorded.client() as client:
        assert client.ask(request(body=text)).error(400)["code"] == "invalid_json"
        assert client.ask(chat()).status == 200
    assert len(recorder.requests) == 1


def test_H1_36_numbers_beyond_any_range_are_the_upstreams_business(recorded, recorder):
    text = b'{"model":"m","seed":1e400,"max_tokens":-99999999999999999999999,"x":"\\ud800"}'
    answer = recorded.ask(request(body=text))
    assert answer.status in (200, 400)
    if answer.status == 200:
        assert recorder.requests[0][1] == text
    else:
        assert answer.error()["code"] == "invalid_json"


def test_max_connections_closes_the_door_and_opens_it_again(gateway, mock):
    small = gateway(plain=mock.url, server={"max_connections": 20})
    clients = [small.client() for _ in range(20)]
    for client in clients:
        assert client.ask(request("GET", "/in"), "GET").status == 200
    for _ in range(5):
        with small.client() as late:
            answer = late.response()
            assert answer.error(503, "connections_full") and answer.closes and answer.get("retry-after")
            assert late.ending() in ("fin", "reset")
    for client in clients:
        assert client.ask(request("GET", "/still"), "GET").status == 200
        client.close()
    until(lambda: admitted(small), "room again")


def admitted(gateway):
    with gateway.client() as client:
        try:
            return client.ask(request("GET", "/x"), "GET").status == 200
        except (Broken, OSError):
            return False


def test_RE_01_running_out_of_descriptors_is_survived(gateway, mock):
    """A low limit: what can't be accepted waits or is refused, the loop doesn't spin, and service resumes."""
    poor = gateway(plain=mock.url, limits={resource.RLIMIT_NOFILE: 60})
    with poor.client() as first:
        assert first.ask(request("GET", "/x"), "GET").status == 200
        crowd = [poor.client() for _ in range(120)]
        for client in crowd:
            client.send(request("GET", "/x"))
        assert first.ask(request("GET", "/still"), "GET").status in (200, 502, 503)
        before = poor.cpu_seconds()
        assert first.silent(1.0)
        assert poor.cpu_seconds() - before < 0.3, "the loop spins while accept fails"
        for client in crowd:
            client.close()
        until(lambda: poor.status()["fds"] < 40, "descriptors back")
        assert first.ask(request("GET", "/again"), "GET").status == 200
    until(lambda: admitted(poor), "new connections are accepted again")


def test_body_memory_is_bounded_over_all_requests(gateway, recorder):
    tight = gateway(plain=recorder.url, server={"max_body_mb": 4, "max_body_memory_mb": 8})
    holders = [tight.client() for _ in range(6)]
    refused = 0
    for client in holders:
        client.send(request("POST", "/x", length=False, fields=[("Content-Length", str(4 * MIB))]) + b"x" * 1000)
    for client in holders:
        if not client.silent(0.2):
            client.response().error(503, "body_memory_exhausted")
            refused += 1
    assert 4 <= refused < 6
    for client in holders:
        client.close()
    until(lambda: tight.ask(request("POST", "/x", os.urandom(4 * MIB))).status == 200, "memory given back")
