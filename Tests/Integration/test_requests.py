"""Requests as good clients send them, in all the ways TCP and HTTP/1.1 allow: kept connections, pipelines, pieces, chunks, half-closes, and bodies of
every size. Answers come in order and whole."""
import hashlib
import os
import threading

import pytest

from refusals import refusal, refuses
from upstreams import headers
from wire import Client, chat, chunked, request, until

MIB = 1 << 20


def echo(answer):
    assert answer.status == 200, answer
    return answer.json()


def test_a_completion_passes(front):
    answer = front.ask(chat())
    assert answer.status == 200 and answer.json()["object"] == "chat.completion"
    assert answer.get("x-openclaw-upstream") == "model" and answer.get("x-openclaw-route") == "models"
    assert answer.get("x-openclaw-model") == "mock-model" and answer.get("x-openclaw-attempts") == "1"
    assert front.logged(answer.get("x-request-id"))["status"] == 200


def test_a_stream_passes(front):
    answer = front.ask(chat(stream=True))
    assert answer.status == 200 and answer.events[-1] == "[DONE]" and answer.framing == "chunked"


def test_a_thousand_requests_share_a_connection(front):
    with front.client() as client:
        for number in range(1000):
            answer = client.ask(request("GET", f"/kept/{number}"), "GET")
            assert echo(answer)["path"] == f"/kept/{number}" and not answer.closes


@pytest.mark.parametrize("target", ["/v1/models", "/piped"])
def test_H1_25_a_thousand_pipelined_requests_are_answered_in_order(front, target):
    """Both answers of the gateway's own and relayed ones; sent as fast as the gateway takes them, read at the same time."""
    with front.client() as client:
        data = b"".join(request("GET", target if number % 7 else f"/piped/{number}", fields=[("X-Request-Id", f"n-{number}")]) for number in range(1000))
        sender = threading.Thread(target=client.socket.sendall, args=(data,))
        sender.start()
        for number in range(1000):
            answer = client.response("GET")
            assert answer.status == 200 and answer.get("x-request-id") == f"n-{number}", (number, answer)
        sender.join(5)
        client.finish()
        assert client.everything() == b""


def test_H1_25_pipelined_bodies_stay_apart(front):
    with front.client() as client:
        bodies = [os.urandom(number * 37 % 5000) for number in range(100)]
        client.send(b"".join(request("PUT", "/piped", body) if at % 2 else
                             b"PUT /piped HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked([body[:100], body[100:]] if len(body) > 100 else [body] if body else [])
                             for at, body in enumerate(bodies)))
        for at, body in enumerate(bodies):
            told = echo(client.response("PUT"))
            assert (told["body_length"], told["body_sha256"]) == (len(body), hashlib.sha256(body).hexdigest()), at


@pytest.mark.parametrize("target", ["/v1/models", "/piped"])
@pytest.mark.parametrize("count", [3, 2000])
def test_H1_25_a_pipeline_and_a_half_close_behind_it(front, target, count):
    """As `printf … | nc` sends it: all answers come, then the end."""
    with front.client() as client:
        def send():
            client.socket.sendall(request("GET", target) * count)
            client.finish()
        sender = threading.Thread(target=send)
        sender.start()
        for number in range(count):
            assert client.response("GET").status == 200, number
        sender.join(5)
        assert client.ending() == "fin" and client.rest == b""


@pytest.mark.parametrize("garbage", [b"\x16\x03\x01\x02\0", b"garbage\r\n\r\n", b"GET  / HTTP/1.1\r\n\r\n"])
def test_H1_25_garbage_behind_a_request_hurts_only_itself(recorded, recorder, garbage):
    with recorded.client() as client:
        client.send(request("GET", "/one") + request("GET", "/two") + garbage)
        assert client.response("GET").status == 200 and client.response("GET").status == 200
        answer = client.response()
        answer.error(400)
        assert answer.closes and client.ending() == "fin"
    assert len(recorder.requests) == 2


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE", "OPTIONS", "PATCH"])
def test_H1_26_a_body_is_read_whatever_the_method(front, method):
    body = b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
    with front.client() as client:
        for data in (request(method, "/body", body), f"{method} /body HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".encode() + chunked([body])):
            answer = client.ask(data, method)
            assert answer.status == 200
            if method != "HEAD":
                assert answer.json()["body_sha256"] == hashlib.sha256(body).hexdigest()
            assert echo(client.ask(request("GET", "/next"), "GET"))["path"] == "/next"


def test_HEAD_gets_the_head_only(front):
    with front.client() as client:
        answer = client.ask(request("HEAD", "/bytes/1000"), "HEAD")
        assert answer.status == 200 and answer.get("content-length") == "1000"
        assert client.ask(request("HEAD", "/v1/models"), "HEAD").status == 200
        assert client.ask(request("HEAD", "/v1/models/nobody"), "HEAD").status in (200, 404)
        assert echo(client.ask(request("GET", "/next"), "GET"))["path"] == "/next"


def test_HTTP_1_0_closes_unless_asked_to_stay(front):
    with front.client() as client:
        answer = client.ask(request("GET", "/old", version="HTTP/1.0"), "GET")
        assert answer.status == 200 and answer.closes and client.ending() == "fin"
    with front.client() as client:
        answer = client.ask(request("GET", "/old", fields=[("Connection", "keep-alive")], version="HTTP/1.0"), "GET")
        assert answer.status == 200 and answer.get("connection") == "keep-alive"
        assert echo(client.ask(request("GET", "/older", version="HTTP/1.0"), "GET"))["path"] == "/older"
        assert client.ending() == "fin"
    # No chunks for HTTP/1.0: a stream ends with its connection.
    answer = front.ask(chat(stream=True).replace(b"HTTP/1.1", b"HTTP/1.0"))
    assert answer.framing == "close" and answer.events[-1] == "[DONE]" and answer.get("transfer-encoding") is None


def test_close_is_honoured_and_said(front):
    with front.client() as client:
        client.send(request("GET", "/last", fields=[("Connection", "close")]) + request("GET", "/never"))
        answer = client.response("GET")
        assert answer.closes and echo(answer)["path"] == "/last"
        assert client.everything() == b""


def test_max_requests_per_connection_closes_politely(gateway, mock):
    three = gateway(plain=mock.url, server={"max_requests_per_connection": 3})
    with three.client() as client:
        closing = [client.ask(request("GET", "/x"), "GET").closes for _ in range(3)]
        assert closing == [False, False, True] and client.ending() == "fin"


@pytest.mark.parametrize("body,stream", [(chat(), False), (chat(stream=True), True), (request("GET", "/bytes/3000000"), False)])
def test_half_close_still_gets_the_whole_answer(front, body, stream):
    """shutdown(SHUT_WR) right behind the request, and a slow answer."""
    paced = body.replace(b"\r\nHost:", b"\r\nx-mock-delay-ms: 120\r\nx-mock-ttft-ms: 60\r\nHost:", 1)
    with front.client() as client:
        client.send(paced).finish()
        answer = client.response("GET" if paced.startswith(b"GET") else "POST")
        assert answer.status == 200, answer
        if stream:
            assert answer.events[-1] == "[DONE]"
        elif paced.startswith(b"GET"):
            assert len(answer.body) == 3_000_000
        assert client.ending() == "fin" and not client.rest
    assert front.logged(answer.get("x-request-id"))["disconnected"] is None


@pytest.mark.parametrize("data", [chat(), request("PUT", "/x", b"hello" * 20),
                                  b"POST /x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked([b"hello", b"world"] * 8, b";a=b", b"t: u\r\n")])
def test_H1_30_one_byte_a_packet_and_every_cut(front, data):
    def essence(answer):
        told = answer.json()
        return answer.status, told.get("choices"), told.get("path"), told.get("body_sha256")

    plain = essence(front.ask(data))
    assert plain[0] == 200
    with front.client() as client:
        assert essence(client.send_dripping(data).response()) == plain
        for cut in range(1, len(data)):
            assert essence(client.send(data[:cut]).send(data[cut:]).response()) == plain, cut


def test_H1_30_head_body_and_next_head_in_one_packet(front):
    with front.client() as client:
        client.send(request("PUT", "/one", b"hello") + request("GET", "/two")[:20])
        assert echo(client.response())["path"] == "/one"
        assert client.silent(0.05)
        client.send(request("GET", "/two")[20:])
        assert echo(client.response("GET"))["path"] == "/two"


def framed(body, framing):
    if framing == "length":
        return request("POST", "/body", body)
    step = max(1, len(body) // 50)
    return b"POST /body HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked([body[at:at + step] for at in range(0, len(body), step)])


@pytest.mark.parametrize("size", [1, 16384, MIB])
@pytest.mark.parametrize("framing", ["length", "chunks"])
def test_bodies_of_every_size_pass_bit_by_bit(front, size, framing):
    body = os.urandom(size)
    with front.client() as client:
        told = echo(client.ask(framed(body, framing), deadline=30))
        assert (told["body_length"], told["body_sha256"]) == (size, hashlib.sha256(body).hexdigest())
        assert echo(client.ask(request("GET", "/next"), "GET"))["path"] == "/next"


@pytest.mark.parametrize("framing", ["length", "chunks"])
def test_twenty_mebibytes_pass_bit_by_bit(recorded, recorder, framing):
    body = os.urandom(20 * MIB)
    with recorded.client() as client:
        assert client.ask(framed(body, framing), deadline=30).status == 200
        assert client.ask(request("GET", "/next"), "GET").status == 200
    assert recorder.requests[0][1] == body


@pytest.mark.parametrize("size", [0, 1, 16384, MIB, 5 * MIB])
def test_answers_of_every_size_pass_bit_by_bit(front, mock, size):
    with Client(mock.port) as direct:
        wanted = hashlib.sha256(direct.ask(request("GET", f"/bytes/{size}"), "GET").body).digest()
    with front.client() as client:
        answer = client.ask(request("GET", f"/bytes/{size}"), "GET", 30)
        assert len(answer.body) == size and hashlib.sha256(answer.body).digest() == wanted
        for framing in ("chunked", "until-close"):
            answer = client.ask(request("GET", f"/bytes/{size}", fields=[("x-mock-framing", framing)]), "GET", 30)
            assert len(answer.body) == size and hashlib.sha256(answer.body).digest() == wanted, framing


def test_a_large_prompt_reaches_a_model(front, mock):
    text = "lorem ipsum " * (MIB // 12)
    assert front.ask(chat(messages=[{"role": "user", "content": text}]), deadline=30).status == 200
    assert mock.last()[0]["body_length"] > MIB


def test_H1_22_a_100_comes_exactly_when_the_body_is_wanted(front):
    with front.client() as client:
        head, body = request("POST", "/body", b"x" * 50_000, fields=[("Expect", "100-continue")]).split(b"\r\n\r\n")
        client.send(head + b"\r\n\r\n")
        client.wait_for(b"HTTP/1.1 100 Continue\r\n\r\n")
        answer = client.ask(body)
        assert answer.interim == [100] and echo(answer)["body_length"] == 50_000
        # Not when it is there already.
        answer = client.ask(request("POST", "/body", b"hello", fields=[("Expect", "100-Continue")]))
        assert answer.interim == [] and echo(answer)["body_length"] == 5
        # Nor without a body.
        answer = client.ask(request("GET", "/body", fields=[("Expect", "100-continue")]), "GET")
        assert answer.interim == [] and answer.status == 200
        # Chunked bodies too.
        client.send(b"POST /body HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n")
        client.wait_for(b"HTTP/1.1 100 Continue\r\n\r\n")
        assert echo(client.ask(chunked([b"hello"])))["body_length"] == 5
        # HTTP/1.0 can't mean it.
        answer = client.ask(request("POST", "/body", b"hello", fields=[("Expect", "100-continue")], version="HTTP/1.0"))
        assert answer.interim == [] and answer.status == 200


def test_H1_22_no_100_for_a_body_that_is_refused(gateway, recorder):
    picky = gateway(model=recorder.url, server={"max_body_mb": 1})
    expect = [("Expect", "100-continue")]
    head = lambda **more: request(body=b"", length=False, **more)
    refuses(picky, recorder, [
        (head(fields=[*expect, ("Content-Length", "2000000")]), (413,)),
        (head(target="/nowhere", fields=[*expect, ("Content-Length", "2000")]), (404,)),
        (head(host="a b", fields=[*expect, ("Content-Length", "2000")]), (400,)),
        (head(fields=[("Expect", "the-unexpected"), ("Content-Length", "2000")]), (417,)),
        (head(fields=[("Expect", "100-continue, x"), ("Content-Length", "2000")]), (417,)),
    ])


def test_H1_23_an_early_error_ends_the_connection_and_what_follows_is_no_request(gateway, recorder):
    """The body keeps coming after the answer: it is thrown away within bounds, and never read as requests (Pingora CVE-2025-4366)."""
    picky = gateway(model=recorder.url, server={"max_body_mb": 1})
    smuggled = chat() * 400
    for length, status in ((2_000_000, 413), (len(smuggled) * 2, 404)):
        with picky.client() as client:
            head = request("POST", "/nowhere", length=False, fields=[("Content-Length", str(length))])
            client.send(head + smuggled[:300])
            answer = client.response()
            answer.error(status)
            assert answer.closes
            client.offer(smuggled, 2)
            client.ending(3)
            assert client.rest == b""
    assert recorder.bytes() == b""


def test_H1_23_the_error_is_readable_though_the_body_was_sent_at_once(gateway, recorder):
    picky = gateway(model=recorder.url, server={"max_body_mb": 1})
    for size in (1_100_000, 5_000_000):
        with picky.client() as client:
            client.offer(request("POST", "/v1/chat/completions", b"x" * size), 1.5)
            client.response().error(413, "request_too_large")


@pytest.mark.parametrize("fields", [
    [("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13"), ("Sec-WebSocket-Key", "x3JJHMbDL1EzLkh9GBhXDw==")],
    [("Connection", "Upgrade, HTTP2-Settings"), ("Upgrade", "h2c"), ("HTTP2-Settings", "AAMAAABkAAQAAP__")],
    [("Connection", "upgrade"), ("Upgrade", "foo")], [("Upgrade", "websocket")]])
def test_H1_24_an_upgrade_that_is_not_enabled_stays_http_1_1(gateway, recorder, fields):
    closed = gateway.configuration(plain=recorder.url)
    closed["routes"][0]["upgrade"] = [] if ("Connection", "Upgrade") in fields else ["websocket"]
    with gateway(raw=closed).client() as client:
        client.send(request("GET", "/", fields=fields))
        assert client.response("GET").status == 200
        client.send(b"\x81\x05hello")
        answer = client.response("GET")
        assert answer.status == 400 and answer.closes
    names = [name for name, _ in headers(recorder.heads()[0])]
    assert "upgrade" not in names and "http2-settings" not in names and "connection" not in names
    assert b"hello" not in recorder.bytes()


def test_many_clients_at_once(front, mock):
    """Two hundred connections, all asking before any answer is read."""
    clients = [front.client() for _ in range(200)]
    for number, client in enumerate(clients):
        client.send(chat(stream=bool(number % 2)))
    for client in clients:
        assert client.response().status == 200
        client.close()
    until(lambda: mock.stats()["in_flight"] == 0, "no transfer left")
