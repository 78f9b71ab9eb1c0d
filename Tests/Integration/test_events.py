"""What happened, as GET /admin/events tells it: numbered, bounded, in order; and what /admin/status and /admin/upstreams say of breakers and keys."""
import json
import subprocess
import time

import pytest

from discovery_rig import *
from rig import *


def failing(status: str, **more) -> dict:
    return {"api_keys": [{"id": "first", "value": "sk-first-value"}], "breaker": {"min_samples": 2, "consecutive_failures": 2, "open_seconds": 0.5, "half_open_successes": 1}, "cooldown": {}, **more}


def test_reloads_and_their_refusals_are_events(tmp_path):
    with Mock() as mock, Gateway(single(mock.url), tmp_path) as gateway:
        gateway.reload(single(mock.url, timeout_seconds=7))
        gateway.write_text("upstreams: 7\n")
        start = len(gateway.messages.all)
        gateway.signal(signal.SIGHUP)
        gateway.messages.wait(r"reload refused", start=start)
        found = events(gateway)
        assert [event["event"] for event in found] == ["config_reloaded", "config_refused"]
        assert [event["id"] for event in found] == [1, 2]
        assert found[0]["config_version"] == admin(gateway, "/admin/status")[1]["config"]["version"]
        assert found[1]["severity"] == "error" and "upstreams" in found[1]["error"]
        assert found[0]["time"].endswith("Z") and "." in found[0]["time"]


def test_since_gives_what_came_after_a_number(tmp_path):
    with Mock() as mock, Gateway(single(mock.url), tmp_path) as gateway:
        for seconds in (7, 8, 9):
            gateway.reload(single(mock.url, timeout_seconds=seconds))
        status, page = admin(gateway, "/admin/events?since=1")
        assert [event["id"] for event in page["events"]] == [2, 3] and page["next"] == 3 and page["missed"] == 0 and page["dropped"] == 0
        assert admin(gateway, "/admin/events?since=3")[1] == {"events": [], "next": 3, "missed": 0, "dropped": 0}
        assert admin(gateway, "/admin/events?since=x")[0] == 400
        assert admin(gateway, "/admin/events?since=99999999999999999999999")[0] == 400


def test_a_breaker_that_opens_and_closes_is_told_and_shown(tmp_path):
    with Mock(status="500") as mock:
        config = {"upstreams": {"one": generic(mock.url, **failing("500"))}}
        with Gateway(config, tmp_path) as gateway:
            for _ in range(4):
                gateway.chat()
            event = wait_for(lambda: events(gateway, "breaker_opened"), what="the event")[0]
            assert event["upstream"] == "one" and event["traffic_class"] == "model" and event["severity"] == "warn"
            gateway.messages.wait(r"upstreams.one: the breaker of model traffic opened")
            breaker = upstream(gateway, "one")["breakers"][0]
            assert breaker["traffic_class"] == "model" and breaker["opens"] >= 1


def test_a_cooling_key_is_told_and_shown_without_its_value(tmp_path):
    with Mock(status="429", retry_after=30) as mock:
        config = {"upstreams": {"one": generic(mock.url, models=["m"], **{**failing("429"), "cooldown": {"max_seconds": 300}})}}
        with Gateway(config, tmp_path) as gateway:
            gateway.chat()
            event = wait_for(lambda: events(gateway, "key_cooled"), what="the event")[0]
            assert event["key_id"] == "first" and event["model"] == "m"
            key = upstream(gateway, "one")["keys"][0]
            assert key["id"] == "first" and key["cooling"][0]["class"] == "rate_limited" and key["cooling"][0]["model"] == "m"
            assert 0 < key["cooling"][0]["seconds"] <= 30
            everything = json.dumps([admin(gateway, path)[1] for path in ("/admin/status", "/admin/upstreams", "/admin/events", "/ready")])
            assert "sk-first-value" not in everything


def test_events_are_for_those_with_the_token(tmp_path):
    with Mock() as mock:
        config = {**single(mock.url), "server": {"admin": {"token": "admin-token"}}}
        with Gateway(config, tmp_path) as gateway:
            assert admin(gateway, "/admin/events")[0] == 401
            assert admin(gateway, "/admin/events", headers={"authorization": "Bearer admin-token"})[0] == 200


def test_status_on_the_command_line_shows_what_discovery_does(tmp_path, named):
    one = named("one")
    file = tmp_path / "endpoints"
    file.write_text(one.address + "\n")
    with Gateway(discovered({"type": "file", "path": str(file)}), tmp_path) as gateway:
        wait_for(lambda: events(gateway, "discovery_changed"), what="the first set is told")
        done = subprocess.run([BINARY, "status", "--admin", f"127.0.0.1:{gateway.admin_port}"], capture_output=True, text=True, timeout=DEADLINE)
        status = json.loads(done.stdout)
        assert done.returncode == 0 and status["upstreams"][0]["discovery"]["state"] == "ok" and status["events"]["last"] >= 1
