"""Active health: probes by path, by connection and by a real completion; who is unhealthy gets no requests, and everybody can see it."""
import base64
import re
import threading
import time
import urllib.request

import pytest

from discovery_rig import *
from rig import *


def probed(endpoints, health: dict, **more) -> dict:
    """A plain upstream with probes."""
    return {"upstreams": {"found": {"type": "http", "endpoints": endpoints, "health": {"active": {"interval_seconds": 0.2, "timeout_seconds": 0.2, **health}}, **more}},
            "routes": [{"id": "all", "match": {"path": "/*"}, **route("found")}]}


def metrics(gateway) -> dict[str, float]:
    with urllib.request.urlopen(f"http://127.0.0.1:{gateway.admin_port}/metrics", timeout=DEADLINE) as answer:
        lines = answer.read().decode().splitlines()
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines if line and not line.startswith("#")}


def health(gateway, url: str, name: str = "found") -> str:
    return next(endpoint["health"] for endpoint in upstream(gateway, name)["endpoints"] if endpoint["url"] == url)


def wait_health(gateway, url: str, wanted: str, name: str = "found") -> None:
    wait_for(lambda: health(gateway, url, name) == wanted, what=f"{url} {wanted}")


def who(gateway) -> str:
    answer = gateway.ask("GET", "/who")
    assert answer.status == 200, answer.body
    return answer.body.decode()


def test_an_endpoint_whose_path_answers_badly_gets_no_requests_until_it_is_well_again(tmp_path, named):
    one, two = named("one"), named("two")
    with Gateway(probed([one.url, two.url], {"path": "/health?deep=1", "unhealthy_after": 2, "healthy_after": 2}), tmp_path) as gateway:
        wait_for(lambda: one.seen and two.seen, what="a probe of each")
        assert one.seen[0] == ("/health?deep=1", one.address)
        one.status = 500
        wait_health(gateway, one.url, "unhealthy")
        assert {who(gateway) for _ in range(20)} == {"two"}
        figures = metrics(gateway)
        assert figures[f'openclaw_upstream_healthy{{upstream_name="found",endpoint="{one.url}"}}'] == 0
        assert figures[f'openclaw_upstream_healthy{{upstream_name="found",endpoint="{two.url}"}}'] == 1
        assert figures['openclaw_probe_total{upstream_name="found",result="failure"}'] >= 2
        event = events(gateway, "endpoint_unhealthy")[0]
        assert event["endpoint"] == one.url and event["probe"] == "status 500" and event["severity"] == "warn"
        gateway.messages.wait(rf"upstreams.found: {re.escape(one.url)} is unhealthy after 2 probes \(status 500\)")
        one.status = 200
        wait_health(gateway, one.url, "ok")
        assert events(gateway, "endpoint_healthy")
        # Traffic comes back slowly; it does come back.
        wait_for(lambda: who(gateway) == "one", what="a request to the one that is well again")


def test_statuses_that_count_as_well_can_be_told(tmp_path, named):
    one = named("one")
    one.status = 401
    with Gateway(probed([one.url], {"path": "/", "unhealthy_after": 1, "statuses": [401, 403]}), tmp_path) as gateway:
        wait_for(lambda: len(one.seen) >= 3, what="three probes")
        assert health(gateway, one.url) == "ok"


def test_a_connection_is_enough_where_no_path_is_told(tmp_path, named):
    one, two = named("one"), named("two")
    with Gateway(probed([one.url, two.url], {"probe": "tcp", "unhealthy_after": 2}), tmp_path) as gateway:
        wait_for(lambda: metrics(gateway).get('openclaw_probe_total{upstream_name="found",result="success"}', 0) >= 4, what="probes")
        one.stop()
        wait_health(gateway, one.url, "unhealthy")
        assert not one.seen and {who(gateway) for _ in range(10)} == {"two"}
        again = Named("one", port=one.port)
        try:
            wait_health(gateway, one.url, "ok")
        finally:
            again.stop()


def test_where_a_probe_cannot_ask_it_connects_and_says_so(tmp_path, named):
    one = named("one")
    with Gateway(probed([one.url], {"path": "/"}, protocol="http2"), tmp_path) as gateway:
        wait_for(lambda: metrics(gateway).get('openclaw_probe_total{upstream_name="found",result="success"}', 0) >= 2, what="probes")
        assert not one.seen and events(gateway, "probe_limited")[0]["endpoint"] == one.url


def test_RT_05_a_probe_that_hangs_ends_by_its_time(tmp_path):
    hole = black_hole()
    silent = socket.create_server(("127.0.0.1", 0))
    quiet = f"http://127.0.0.1:{silent.getsockname()[1]}"
    with Gateway(probed([hole, quiet], {"path": "/", "unhealthy_after": 2}), tmp_path) as gateway:
        wait_health(gateway, hole, "unhealthy")
        wait_health(gateway, quiet, "unhealthy")
        assert metrics(gateway)['openclaw_probe_total{upstream_name="found",result="timeout"}'] >= 4
        assert admin(gateway, "/ready")[0] == 503
    silent.close()


def test_live_traffic_that_was_answered_well_saves_the_probe(tmp_path, named):
    one = named("one")
    with Gateway(probed([one.url], {"path": "/health", "interval_seconds": 1}), tmp_path) as gateway:
        stop = threading.Event()

        def traffic():
            while not stop.is_set():
                who(gateway)
                stop.wait(0.05)

        thread = threading.Thread(target=traffic)
        thread.start()
        try:
            wait_for(lambda: metrics(gateway).get('openclaw_probe_total{upstream_name="found",result="skipped"}', 0) >= 3, what="three probes saved")
        finally:
            stop.set()
            thread.join()
        asked = [path for path, _ in one.seen if path == "/health"]
        assert len(asked) <= 2, "the first one perhaps, before there was traffic"


def handshake(url: str, dialect: str = "generic", path: str = "/v1", **more) -> dict:
    active = {"probe": "model_handshake", "model": "small", "interval_seconds": 0.5, "timeout_seconds": 0.5, "unhealthy_after": 2, "healthy_after": 1}
    return {"upstreams": {"found": {"type": dialect, "base_url": url + path, "api_key": "sk-probe-1", "health": {"active": active}, **more}}}


@pytest.mark.parametrize("dialect, path, asked, key", [
    ("generic", "/v1", "/v1/chat/completions", b"authorization: Bearer sk-probe-1"),
    ("anthropic", "", "/v1/messages", b"x-api-key: sk-probe-1"),
    ("gemini", "/v1beta", "/v1beta/models/small:generateContent", b"x-goog-api-key: sk-probe-1"),
])
def test_a_handshake_is_the_shortest_completion_in_the_upstreams_dialect(dialect, path, asked, key, tmp_path):
    with Mock(tokens=3) as mock, Gateway(handshake(mock.url, dialect, path), tmp_path) as gateway:
        wait_for(lambda: mock.stats()["requests"] >= 2, what="two handshakes")
        request = mock.last()["requests"][0]
        head = base64.b64decode(request["head_base64"])
        assert head.startswith(f"POST {asked} HTTP/1.1\r\n".encode()) and key.lower() in head.lower(), head
        body = json.loads(base64.b64decode(request["body_base64"]))
        assert 1 in (body.get("max_tokens"), body.get("max_completion_tokens"), body.get("generationConfig", {}).get("maxOutputTokens")), body
        wait_for(lambda: metrics(gateway).get('openclaw_probe_tokens_total{upstream_name="found"}', 0) > 0, what="what they used is counted")
        figures = metrics(gateway)
        assert figures['openclaw_probe_total{upstream_name="found",result="success"}'] >= 1
        assert not [name for name in figures if name.startswith("openclaw_tokens_total") or name.startswith("openclaw_requests_total")], "and stands in no request's account"
        assert "sk-probe-1" not in json.dumps(admin(gateway, "/admin/status")[1])


def test_a_model_that_answers_with_errors_is_unhealthy_and_a_rate_limit_says_nothing(tmp_path):
    with Mock(status="429") as mock, Gateway(handshake(mock.url), tmp_path) as gateway:
        wait_for(lambda: metrics(gateway).get('openclaw_probe_total{upstream_name="found",result="rate_limited"}', 0) >= 3, what="three refusals")
        assert health(gateway, mock.url) == "ok"
    with Mock(status="500") as mock, Gateway(handshake(mock.url), tmp_path) as gateway:
        wait_health(gateway, mock.url, "unhealthy")
        assert admin(gateway, "/ready")[0] == 503


def test_probes_follow_a_reload(tmp_path, named):
    one, two = named("one"), named("two")
    one.status = 500
    with Gateway(probed([one.url, two.url], {"path": "/", "unhealthy_after": 1}), tmp_path) as gateway:
        wait_health(gateway, one.url, "unhealthy")
        config = probed([one.url, two.url], {"path": "/"})
        del config["upstreams"]["found"]["health"]
        gateway.reload(config)
        wait_health(gateway, one.url, "ok")
        seen = len(one.seen)
        gateway.reload(probed([two.url], {"path": "/other"}))
        wait_for(lambda: any(path == "/other" for path, _ in two.seen), what="probes by the new path")
        assert len(one.seen) == seen, "nobody asks the one that has gone"


def test_discovered_endpoints_are_probed_too(tmp_path, named):
    one, two = named("one"), named("two")
    two.status = 500
    file = tmp_path / "endpoints"
    file.write_text(one.address + "\n")
    source = {"discovery": {"type": "file", "path": str(file)}}
    with Gateway(probed(source, {"path": "/", "unhealthy_after": 1}), tmp_path) as gateway:
        wait_for(lambda: one.seen, what="a probe")
        file.write_text(f"{one.address}\n{two.address}\n")
        wait_urls(gateway, one.url, two.url)
        wait_health(gateway, two.url, "unhealthy")
        assert {who(gateway) for _ in range(10)} == {"one"}
