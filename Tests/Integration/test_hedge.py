"""Hedges over real sockets: a second attempt when the first is late, one answer, the loser cancelled, over HTTP/1.1 and HTTP/2 on both sides."""
import threading
import time

import httpx
import pytest

from h2upstream import *
from rig import *
from scripted import *
from test_dialect_streams import Anthropic, Chat, chunk, foreign, head, nothing_is_left, scripted, whole
from test_tls_upstreams import Proxy
from tlsrig import *
from test_shadow import metric


def hedged(upstreams, after=100, **options):
    return {"upstreams": upstreams, "routes": [route(*upstreams, id="hedged", hedge={"after_ms": after, "max_ratio": 1}, **options)]}


def events(text):
    return [ROLE, delta(content=text), delta(finish="stop"), usage_event(), DONE]


def streamed(text):
    return STREAM_HEAD + b"".join(chunk(one) for one in events(text)) + LAST_CHUNK


class Late:
    """An upstream that answers when it is told to; `cancelled` is set when the gateway has ended the connection before."""

    def __init__(self, start, data=b"", begin=b""):
        self.go, self.cancelled, self.cancelled_at = threading.Event(), threading.Event(), 0.0

        def script(peer):
            peer.request()
            if begin:
                peer.send(begin)
            # Looked at while waiting: the end of a connection that nobody wants.
            peer.sock.settimeout(0.005)
            while not self.go.is_set():
                try:
                    if not peer.sock.recv(4096):
                        break
                except TimeoutError:
                    continue
                except OSError:
                    break
            else:
                peer.sock.settimeout(DEADLINE)
                peer.send(data)
                peer.wait_gone()
                return
            self.cancelled_at = time.monotonic()
            self.cancelled.set()
        self.upstream = start(Upstream, script)
        self.url = self.upstream.url


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("http", [1, 2])
def test_RT_12_the_second_attempt_answers_and_the_first_is_cancelled_within_100_ms(start, stream, http):
    late = Late(start, begin=STREAM_HEAD + chunk(ROLE) if stream else b"")
    quick = start(Upstream, answering(lambda request: streamed("quick") if stream else whole(completion("quick"))))
    gateway = start(Gateway, hedged({"late": generic(late.url), "quick": generic(quick.url)}))
    body = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "stream": stream}
    with httpx.Client(base_url=gateway.url, http1=http == 1, http2=http == 2, timeout=DEADLINE) as client:
        for at in range(2):
            late.cancelled.clear()
            answer = client.post("/v1/chat/completions", json=body, headers={"x-request-id": f"asked-{at}"})
            answered_at = time.monotonic()
            assert answer.status_code == 200 and answer.headers["x-openclaw-upstream"] == "quick" and answer.headers["x-openclaw-attempts"] == "2"
            assert answer.content == (b"".join(events("quick")) if stream else completion("quick"))
            assert late.cancelled.wait(DEADLINE)
            assert late.cancelled_at - answered_at < 0.1 + 0.5  # the latter for a busy machine
    for at in range(2):
        record = gateway.record(f"asked-{at}")
        assert [one["upstream"] for one in record["attempts"]] == ["late", "quick"]
        assert [one["class"] for one in record["attempts"]] == ["hedge_lost", None]
        assert [one["why"] for one in record["attempts"]] == ["first", "hedge"]
        assert record["tokens"]["output"] == 3 and record["upstream_name"] == "quick"
    assert len(gateway.records()) == 2
    assert metric(gateway, "openclaw_hedges_total") == {'openclaw_hedges_total{route_id="hedged",result="won"}': 2}
    nothing_is_left(gateway)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("http", [1, 2])
def test_RT_12_the_first_attempt_answers_after_all_and_the_second_is_cancelled(start, stream, http):
    first = Late(start, data=streamed("first") if stream else whole(completion("first")))
    second = Late(start)
    gateway = start(Gateway, hedged({"first": generic(first.url), "second": generic(second.url)}, after=30))
    body = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "stream": stream}

    def release():
        second.upstream.wait_requests(1)
        first.go.set()
    threading.Thread(target=release).start()
    with httpx.Client(base_url=gateway.url, http1=http == 1, http2=http == 2, timeout=DEADLINE) as client:
        answer = client.post("/v1/chat/completions", json=body, headers={"x-request-id": "asked"})
    assert answer.status_code == 200 and answer.headers["x-openclaw-upstream"] == "first"
    assert answer.content == (b"".join(events("first")) if stream else completion("first"))
    assert second.cancelled.wait(DEADLINE)
    record = gateway.record("asked")
    assert [(one["upstream"], one["class"], one["why"]) for one in record["attempts"]] == [("first", None, "first"), ("second", "hedge_lost", "hedge")]
    assert metric(gateway, "openclaw_hedges_total") == {'openclaw_hedges_total{route_id="hedged",result="lost"}': 1}
    nothing_is_left(gateway)


def test_streams_of_one_connection_are_hedged_each_for_itself(start):
    """Some of many concurrent streams are late; each gets its own answer."""
    def slow(peer, request):
        if b"late" in request.body:
            peer.wait_gone()
            return "end"
        peer.send(streamed("one:" + request.json()["messages"][0]["content"]))
    one = scripted(start, slow)
    two = start(Upstream, answering(lambda request: streamed("two:" + request.json()["messages"][0]["content"])))
    gateway = start(Gateway, hedged({"one": generic(one.url), "two": generic(two.url)}))

    def ask(client, word):
        return client.post("/v1/chat/completions", json={"model": "m", "messages": [{"role": "user", "content": word}], "stream": True})
    words = [f"{'late' if at % 3 == 0 else 'quick'}-{at}" for at in range(30)]
    found = {}
    with httpx.Client(base_url=gateway.url, http1=False, http2=True, timeout=DEADLINE) as client:
        threads = [threading.Thread(target=lambda word=word: found.__setitem__(word, ask(client, word))) for word in words]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    for word in words:
        wanted = ("two:" if "late" in word else "one:") + word
        assert found[word].status_code == 200 and found[word].content in (b"".join(events(wanted)), b"".join(events("two:" + word))), found[word].content
    wait_for(lambda: len(gateway.records()) == 30)
    nothing_is_left(gateway)


@pytest.mark.parametrize("kinds", [("generic", "anthropic"), ("anthropic", "generic"), ("anthropic", "anthropic")])
@pytest.mark.parametrize("stream", [False, True])
def test_translated_answers_are_hedged_too(start, kinds, stream):
    backs = {"generic": Chat, "anthropic": Anthropic}

    def data(kind, text):
        back = backs[kind]
        return head(200, back.stream_type, "transfer-encoding: chunked") + b"\r\n" + chunk(back.begin + back.content(text) + back.end) + LAST_CHUNK if stream else whole(back.answer)
    late = Late(start)
    quick = start(Upstream, answering(lambda request: data(kinds[1], "hello")))
    gateway = start(Gateway, hedged({"late": foreign(kinds[0], late.url), "quick": foreign(kinds[1], quick.url)}))
    answer = gateway.chat(stream=stream)
    assert answer.status == 200 and answer.header("x-openclaw-upstream") == "quick"
    assert (answer.text if stream else answer.json()["choices"][0]["message"]["content"]) == "hello"
    assert late.cancelled.wait(DEADLINE)
    assert [one["class"] for one in gateway.record(answer.id)["attempts"]] == ["hedge_lost", None]
    nothing_is_left(gateway)


def test_a_hedge_goes_to_another_endpoint_and_key_of_the_only_upstream(start):
    keys, lock, held = [], threading.Lock(), threading.Event()

    def script(peer, request):
        with lock:
            keys.append(request.header("authorization"))
            is_first = len(keys) == 1
        if is_first:
            peer.wait_gone()
            return "end"
        peer.send(whole(completion()))
    upstream = scripted(start, script)
    config = hedged({"one": generic(upstream.url, api_keys=[{"id": "a", "value": "sk-aaaa"}, {"id": "b", "value": "sk-bbbb"}])})
    gateway = start(Gateway, config)
    answer = gateway.chat()
    assert answer.status == 200
    assert sorted(keys) == ["Bearer sk-aaaa", "Bearer sk-bbbb"]
    assert len(gateway.record(answer.id)["attempts"]) == 2


def test_hedges_are_a_bounded_share_and_need_to_know_what_is_late(start):
    slow = scripted(start, lambda peer, request: (time.sleep(0.06), peer.send(whole(completion())))[1])
    other = start(Upstream, answering(lambda request: whole(completion())))
    upstreams = {"slow": generic(slow.url), "other": generic(other.url)}
    gateway = start(Gateway, {"upstreams": upstreams, "routes": [route(*upstreams, id="hedged", hedge={"after_ms": 10, "max_ratio": 0.1})]})
    for _ in range(40):
        assert gateway.chat().status == 200
    assert 1 <= len(other.requests) <= 4
    # p95 of times that nobody has seen yet: the first requests are not hedged, however late they are.
    quantile = start(Gateway, {"upstreams": upstreams, "routes": [route(*upstreams, id="hedged", hedge={"after": "p95_ttft", "max_ratio": 1})]})
    before = len(other.requests)
    for _ in range(10):
        assert quantile.chat().status == 200
    assert len(other.requests) == before


def test_a_client_that_leaves_cancels_both(start):
    first, second = Late(start), Late(start)
    gateway = start(Gateway, hedged({"first": generic(first.url), "second": generic(second.url)}, after=20))
    with gateway.connect() as client:
        client.send("POST", "/v1/chat/completions", {"model": "m", "messages": [{"role": "user", "content": "hi"}], "stream": True}, [("x-request-id", "asked")])
        second.upstream.wait_requests(1)
        client.reset()
    assert first.cancelled.wait(DEADLINE) and second.cancelled.wait(DEADLINE)
    record = gateway.record("asked")
    assert record["disconnected"] == "client" and len(record["attempts"]) == 2
    nothing_is_left(gateway)


def test_a_storm_of_late_and_failing_attempts_leaves_nothing(start):
    """Every mixture of late, failing and good first and second attempts: one answer and one line each."""
    import random
    chance = random.Random(11)
    lock = threading.Lock()

    def script(peer):
        while True:
            request = peer.request()
            with lock:
                choice = chance.randrange(8)
            stream = request.json()["stream"]
            good = streamed("x") if stream else whole(completion())
            if choice == 0:
                return peer.reset()
            if choice == 1:
                peer.send(whole({"error": {"message": "no", "type": "x"}}, 503))
            elif choice == 2:
                time.sleep(chance.random() * 0.06)
                peer.send(good)
            elif choice == 3:
                peer.send(good[:chance.randrange(len(good))])
                return peer.reset()
            elif choice == 4:
                peer.send(good[:60])
                time.sleep(chance.random() * 0.04)
                peer.send(good[60:])
            else:
                peer.send(good)
    upstreams = {name: generic(start(Upstream, script).url, breaker={"enabled": False}) for name in "abc"}
    gateway = start(Gateway, hedged(upstreams, after=8, retries={"max_attempts": 4, "budget": 1}))
    count, broken = 0, 0

    def many(seed):
        nonlocal count, broken
        for at in range(60):
            with lock:
                count += 1
            try:
                answer = gateway.chat(stream=(seed + at) % 2 == 0)
                assert answer.status in (200, 502, 503), answer.status
            except Broken:
                with lock:
                    broken += 1
    threads = [threading.Thread(target=many, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wait_for(lambda: len(gateway.records()) == count)
    records = gateway.records()
    assert len({one["request_id"] for one in records}) == count
    assert all(1 <= len(one["attempts"]) <= 4 for one in records)
    assert sum(1 for one in records for attempt in one["attempts"] if attempt["why"] == "hedge") > 0
    nothing_is_left(gateway)


# ---- transports

@pytest.mark.parametrize("clear", [True, False])
def test_over_http2_the_loser_is_a_reset_stream_and_its_connection_goes_on(start, speak, clear):
    resets = []

    def play(session):
        first = session.call()
        while first.reset is None:
            session.read()
        resets.append(first.reset)
        while True:
            good(session, session.call())
    late, quick = speak(play, clear=clear), speak(answering_calls(good), clear=clear)
    gateway = start(Gateway, hedged({"late": late.config, "quick": quick.config}))
    answer = gateway.chat(stream=True)
    assert answer.text == "Hello" and answer.header("x-openclaw-upstream") == "quick"
    wait_for(lambda: resets == [8], what="CANCEL on the late stream")
    assert gateway.chat(stream=True).header("x-openclaw-upstream") == "late"
    assert late.connections == 1
    assert [one["class"] for one in gateway.record(answer.id)["attempts"]] == ["hedge_lost", None]
    nothing_is_left(gateway)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("winner", ["first", "second"])
def test_through_an_egress_proxy_by_curl(start, stream, winner):
    data = streamed(winner) if stream else whole(completion(winner))
    first, second, proxy = Late(start, data=data), Late(start, data=data), start(Proxy)
    gateway = start(Gateway, hedged({name: generic(one.url, proxy=f"http://127.0.0.1:{proxy.port}") for name, one in (("first", first), ("second", second))}, after=50))

    def release():
        second.upstream.wait_requests(1)
        (first if winner == "first" else second).go.set()
    threading.Thread(target=release).start()
    answer = gateway.chat(stream=stream)
    assert answer.status == 200 and answer.header("x-openclaw-upstream") == winner
    assert answer.body == (b"".join(events(winner)) if stream else completion(winner))
    assert (second if winner == "first" else first).cancelled.wait(DEADLINE)
    assert [one["class"] for one in gateway.record(answer.id)["attempts"]] == ([None, "hedge_lost"] if winner == "first" else ["hedge_lost", None])
    nothing_is_left(gateway)
