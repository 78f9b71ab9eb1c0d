"""Shadows over real sockets: a mirror gets a share of the requests a second time, its answer is only compared and logged, and nothing of it reaches a client."""
import json
import threading

import pytest

from rig import *
from scripted import *
from test_dialect_streams import Anthropic, Chat, chunk, foreign, gauge, head, nothing_is_left, scripted, whole


def mirrored(upstreams, percentage=100, **options):
    """The first answers, the second is the mirror."""
    return {"upstreams": upstreams, "routes": [route(*list(upstreams)[:1], {"name": list(upstreams)[1], "percentage": percentage}, strategy="shadow", id="mirrored", **options)]}


def lines(gateway, count, shadow=True):
    wait_for(lambda: len([one for one in gateway.records() if bool(one.get("shadow")) == shadow]) >= count, what=f"{count} lines")
    return [one for one in gateway.records() if bool(one.get("shadow")) == shadow]


def metric(gateway, name):
    with Client(gateway.admin_port) as client:
        text = client.ask("GET", "/metrics", None, [("host", "127.0.0.1")]).body.decode()
    return {line.rsplit(" ", 1)[0]: int(float(line.rsplit(" ", 1)[1])) for line in text.splitlines() if line.startswith(name)}


@pytest.mark.parametrize("stream", [False, True])
def test_a_mirror_gets_the_same_request_and_never_answers(start, stream):
    def answer(peer, request):
        if stream:
            peer.send(STREAM_HEAD + b"".join(chunk(one) for one in good_stream(usage=True)) + LAST_CHUNK)
        else:
            peer.send(whole(completion()))
    first, second = scripted(start, answer), scripted(start, answer)
    gateway = start(Gateway, mirrored({"first": generic(first.url, api_key="sk-first"), "second": generic(second.url, api_key="sk-second")}))
    answers = [gateway.chat(stream=stream, headers=[("x-request-id", f"asked-{at}")]) for at in range(5)]
    for answer in answers:
        assert answer.status == 200 and answer.header("x-openclaw-upstream") == "first" and answer.header("x-openclaw-attempts") == "1"
    second.wait_requests(5)
    assert sorted(one.header("x-request-id") for one in second.requests) == [f"asked-{at}" for at in range(5)]
    assert {one.body for one in second.requests} == {one.body for one in first.requests}
    assert {one.header("authorization") for one in second.requests} == {"Bearer sk-second"}
    shadows = lines(gateway, 5)
    assert {one["result"] for one in shadows} == {"same"} and {one["upstream_name"] for one in shadows} == {"second"}
    assert {one["primary"]["upstream_name"] for one in shadows} == {"first"}
    assert len(lines(gateway, 5, shadow=False)) == 5
    wait_for(lambda: metric(gateway, "openclaw_shadow_total") == {'openclaw_shadow_total{route_id="mirrored",result="same"}': 5})
    nothing_is_left(gateway)


def test_a_share_is_exact_over_workers(start):
    upstream = start(Upstream, answering(lambda request: whole(completion())))
    mirror = start(Upstream, answering(lambda request: whole(completion())))
    config = mirrored({"first": generic(upstream.url), "second": generic(mirror.url)}, percentage=12.5)
    config["server"] = {"workers": 2}
    gateway = start(Gateway, config)

    def many():
        for _ in range(50):
            assert gateway.chat().status == 200
    threads = [threading.Thread(target=many) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(lines(gateway, 25)) == 25
    assert len(mirror.requests) == 25


@pytest.mark.parametrize("fault", ["refused", "reset", "error", "garbage", "cut"])
def test_what_goes_wrong_at_the_mirror_is_its_own_affair(start, fault):
    def wrong(peer):
        peer.request()
        if fault == "error":
            peer.send(whole({"error": {"message": "no", "type": "x"}}, 500))
        elif fault == "garbage":
            peer.send(b"SSH-2.0-x\r\n")
        elif fault == "cut":
            peer.send(STREAM_HEAD + chunk(ROLE + delta(content="half")))
        peer.reset() if fault == "reset" else peer.close()
    upstream = start(Upstream, answering(lambda request: STREAM_HEAD + b"".join(chunk(one) for one in good_stream()) + LAST_CHUNK))
    mirror_url = f"http://127.0.0.1:{refused_port()}" if fault == "refused" else start(Upstream, wrong).url
    gateway = start(Gateway, mirrored({"first": generic(upstream.url), "second": generic(mirror_url)}))
    with gateway.connect() as client:
        for at in range(3):
            answer = gateway.chat(stream=True, client=client, headers=[("x-request-id", f"asked-{at}")])
            assert answer.status == 200 and answer.text == "Hello" and answer.events[-1] == "[DONE]"
    # The mirror's breaker may open in between; then it is not even asked.
    for one in lines(gateway, 3):
        assert one["result"] == "failed" and one["error_class"] is not None, one
    assert [one["status"] for one in lines(gateway, 3, shadow=False)] == [200] * 3
    nothing_is_left(gateway)


def test_a_slow_mirror_delays_nobody_and_is_bounded(start):
    over = threading.Event()

    def slow(peer, request):
        over.wait(DEADLINE)
        peer.send(whole(completion()))
    upstream = start(Upstream, answering(lambda request: whole(completion())))
    mirror = scripted(start, slow)
    gateway = start(Gateway, mirrored({"first": generic(upstream.url), "second": generic(mirror.url)}))
    with gateway.connect() as client:
        for _ in range(80):
            assert gateway.chat(client=client).status == 200
    assert len(mirror.peers) <= 64
    skipped = metric(gateway, "openclaw_shadow_total")
    assert skipped.get('openclaw_shadow_total{route_id="mirrored",result="skipped"}') == 16
    over.set()
    assert len(lines(gateway, 64)) == 64
    nothing_is_left(gateway)


def test_a_mirror_of_another_dialect_is_compared_by_what_it_means(start):
    upstream = start(Upstream, answering(lambda request: whole(Chat.answer)))
    mirror = start(Upstream, answering(lambda request: whole(Anthropic.answer)))
    gateway = start(Gateway, mirrored({"first": foreign("generic", upstream.url), "second": foreign("anthropic", mirror.url)}))
    assert gateway.chat().json()["choices"][0]["message"]["content"] == "hello"
    line, = lines(gateway, 1)
    assert line["result"] == "same" and line["finish_reason"] == "end_turn" and line["primary"]["finish_reason"] == "stop"
    assert json.loads(mirror.requests[0].body)["messages"][0]["role"] == "user"
