"""Clients that leave: before the answer, in the middle of it, at its end, with FIN or with RST. The upstream is told at once, each request has one
line in the log, and nothing is left behind (faults SS-07, H1-12).
"""
import statistics
import time

import pytest

from wire import chat, request, until

# "At once" for a machine that does other things too: the median of a few rounds is held to 100 ms, each round to a second.
ROUNDS = 5


def departures(mock):
    return mock.stats()["client_disconnects"]


def leave(client, how):
    """Ends the connection; the wall clock's nanoseconds of it."""
    at = time.time_ns()
    client.reset() if how == "rst" else client.close()
    return at


def judge(gateway, mock, ids, delays):
    assert len(delays) == ROUNDS and all(delay < 1000 for delay in delays), delays
    assert statistics.median(delays) <= 100, f"milliseconds until the upstream was told: {delays}"
    for one in ids:
        line = gateway.logged(one)
        assert (line["disconnected"], line["error_class"]) == ("client", "client_gone"), line
    until(lambda: mock.stats()["in_flight"] == 0, "nothing in flight")


@pytest.mark.parametrize("how", ["fin", "rst"])
@pytest.mark.parametrize("when", ["before the head", "after the head", "mid-stream", "plain answer"])
def test_SS_07_the_upstream_is_cancelled_when_the_client_leaves(front, mock, how, when):
    fields = {"before the head": [("x-mock-delay-ms", "20000")], "after the head": [("x-mock-ttft-ms", "20000")], "mid-stream": [("x-mock-rate", "50"), ("x-mock-tokens", "2000")],
              "plain answer": [("x-mock-ttft-ms", "20000")]}[when]
    ids, delays = [], []
    for number in range(ROUNDS):
        name = f"leave-{front.backend}-{how}-{when.replace(' ', '-')}-{number}"
        ids.append(name)
        client = front.client()
        client.send(chat(stream=when != "plain answer", fields=[("X-Request-Id", name), *fields]))
        until(lambda: mock.stats()["in_flight"] == 1, "the request at the upstream")
        if when == "mid-stream":
            client.wait_for(b"data: {")
            client.wait_for(b"content")
        left = leave(client, how)
        found = until(lambda: departures(mock)[number:], "the upstream notices", 5)
        assert len(found) == 1
        delays.append((found[0]["at_ns"] - left) / 1e6)
    judge(front, mock, ids, delays)
    assert mock.stats()["aborted"] == ROUNDS
    assert front.ask(chat()).status == 200


@pytest.mark.parametrize("how", ["fin", "rst"])
def test_SS_07_a_large_plain_answer_stops_when_the_client_leaves(front, mock, how):
    client = front.client(receive_buffer=16384)
    client.send(request("GET", "/bytes/1000000000", fields=[("X-Request-Id", f"large-{front.backend}-{how}")]))
    client.wait_for(b"HTTP/1.1 200")
    leave(client, how)
    line = front.logged(f"large-{front.backend}-{how}")
    assert line["disconnected"] == "client" and line["status"] == 200
    until(lambda: mock.stats()["aborted"] == 1 and mock.stats()["in_flight"] == 0, "the upstream is told")
    assert mock.stats()["bytes_out"] < 100_000_000


@pytest.mark.parametrize("how", ["fin", "rst"])
def test_SS_07_leaving_behind_the_end_is_no_departure(front, mock, how):
    for stream in (False, True):
        client = front.client()
        answer = client.ask(chat(stream=stream))
        assert answer.status == 200
        leave(client, how)
        line = front.logged(answer.get("x-request-id"))
        assert line["disconnected"] is None and line["error_class"] is None and line["status"] == 200
    assert departures(mock) == []
    # The transfer's connection was not lost with the client's.
    before = mock.stats()["connections"]["accepted"]
    assert front.ask(chat()).status == 200
    # One is that of the question itself.
    assert mock.stats()["connections"]["accepted"] - before == 1


@pytest.mark.parametrize("how", ["fin", "rst"])
def test_leaving_inside_a_head_is_no_request(front, mock, how):
    # One worker's lines come in the order its requests ended.
    front.logged(front.ask(chat()).get("x-request-id"))
    before = len(front.log())
    client = front.client()
    client.send(b"POST /v1/chat/completions HTTP/1.1\r\nHost: gate")
    leave(client, how)
    front.logged(front.ask(chat()).get("x-request-id"))
    assert len(front.log()) == before + 1
    assert mock.stats()["requests"] == 2


@pytest.mark.parametrize("how", ["fin", "rst"])
@pytest.mark.parametrize("length", [1000, 5_000_000])
def test_leaving_inside_a_body_is_logged_once_and_not_forwarded(front, mock, how, length):
    name = f"body-{front.backend}-{how}-{length}"
    client = front.client()
    client.send(request("POST", "/v1/chat/completions", length=False, fields=[("X-Request-Id", name), ("Content-Length", str(length))]) + b'{"model":')
    assert client.silent(0.05)
    leave(client, how)
    line = front.logged(name)
    assert (line["status"], line["disconnected"], line["attempts"]) == (499, "client", [])
    assert mock.stats()["requests"] == 0


def test_pipelined_requests_behind_a_departure_are_not_asked(front, mock):
    """The client leaves while its first request runs; the ones behind it never start."""
    client = front.client()
    client.send(chat(stream=True, fields=[("x-mock-rate", "20"), ("x-mock-tokens", "1000"), ("X-Request-Id", f"first-{front.backend}")]) + chat() * 5)
    client.wait_for(b"data: ")
    client.reset()
    assert front.logged(f"first-{front.backend}")["disconnected"] == "client"
    until(lambda: mock.stats()["in_flight"] == 0, "the stream is cancelled")
    assert mock.stats()["requests"] == 1


def test_a_hundred_departures_leave_nothing_behind(front, mock):
    assert front.ask(chat()).status == 200
    before = front.status()
    for turn in range(3):
        clients = [front.client() for _ in range(100)]
        for client in clients:
            client.send(chat(stream=True, fields=[("x-mock-rate", "20"), ("x-mock-tokens", "1000")]))
        for client in clients:
            client.wait_for(b"data: ")
        for number, client in enumerate(clients):
            leave(client, ("fin", "rst")[number % 2])
        until(lambda: mock.stats()["in_flight"] == 0, "all cancelled")
    until(lambda: front.status()["fds"] <= before["fds"] + 2, "descriptors back to what they were")
    assert front.status()["rss"] - before["rss"] < 32 << 20
    assert mock.stats()["aborted"] == 300
