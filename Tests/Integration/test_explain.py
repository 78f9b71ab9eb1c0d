"""`openclaw explain` and POST /admin/routes/explain: where a described request would go, and why."""
import http.client
import json
import subprocess

import yaml

from rig import *
from scripted import *

CONFIG = {
    "upstreams": {
        "a": {"type": "openai", "base_url": "http://127.0.0.1:1/v1", "models": ["gpt-4o"], "api_key": "sk-upstream-secret-1"},
        "b": {"type": "generic", "base_url": "http://127.0.0.1:1", "models": ["gpt-4o", "gpt-4o-mini"]},
    },
    "routes": [
        {"id": "premium", "match": {"headers": {"x-tier": "premium"}}, "strategy": {"upstreams": ["a"]}},
        {"id": "main", "match": {"path": "/v1/*"}, "strategy": {"upstreams": ["a", "b"]}},
    ],
}
BODY = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}]}


def explain(folder, *arguments, config=CONFIG, body=BODY):
    file, request = folder / "explained.yaml", folder / "request.json"
    file.write_text(yaml.safe_dump(config, sort_keys=False))
    request.write_text(json.dumps(body))
    return subprocess.run([BINARY, "explain", "--config", str(file), "--request", str(request), *arguments], capture_output=True, text=True, timeout=DEADLINE)


def test_the_command_line_explains_from_the_file(tmp_path):
    done = explain(tmp_path, "--json", "--header", "authorization: Bearer sk-client-secret")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["matched"] == {"rule": "routes[1]", "route_id": "main", "strategy": "failover"}
    assert told["rules"][0] == {"rule": "routes[0]", "route_id": "premium", "verdict": "failed", "condition": "headers.x-tier", "wanted": "premium", "seen": None}
    assert [one["upstream"] for one in told["candidates"]] == ["a", "b"]
    assert "secret" not in done.stdout
    text = explain(tmp_path, "--header", "x-tier: basic").stdout
    assert "headers.x-tier wants premium, seen basic" in text and "* routes[1] main: matches" in text


def test_the_command_line_says_what_is_wrong(tmp_path):
    assert explain(tmp_path, config={"upstreams": {}}).returncode == 78
    assert explain(tmp_path, "--header", "nonsense").returncode == 64
    file = tmp_path / "explained.yaml"
    assert subprocess.run([BINARY, "explain", "--config", str(file), "--request", str(tmp_path / "nowhere")], capture_output=True).returncode in (66, 78)
    told = json.loads(explain(tmp_path, "--json", "--path", "/elsewhere").stdout)
    assert told["matched"] is None and told["refusal"]["code"] == "route_not_found"


def ask(gateway, description, path="/admin/routes/explain", method="POST"):
    connection = http.client.HTTPConnection("127.0.0.1", gateway.admin_port, timeout=DEADLINE)
    connection.request(method, path, description if isinstance(description, (bytes, str)) else json.dumps(description), {"content-type": "application/json"})
    answer = connection.getresponse()
    return answer.status, json.loads(answer.read())


def test_the_admin_listener_explains_with_what_it_knows(start):
    gateway = start(Gateway, {**CONFIG, "security": {"keys": [{"id": "alice", "value": "alice-secret-of-callers", "tenant": "acme"}]}})
    status, told = ask(gateway, {"path": "/v1/chat/completions", "headers": {"x-tier": "premium"}, "body": BODY, "key_id": "alice"})
    assert status == 200
    assert told["matched"]["route_id"] == "premium"
    assert (told["request"]["key_id"], told["request"]["tenant"]) == ("alice", "acme")
    assert told["candidates"][0]["available"] is True and told["candidates"][0]["keys"][0]["usable"] is True
    # Without a key it is what the gateway answers.
    status, told = ask(gateway, {"body": BODY})
    assert (status, told["refusal"]["status"], told["refusal"]["code"]) == (200, 401, "invalid_api_key")


def test_the_admin_listener_refuses_what_it_cannot_read(start):
    gateway = start(Gateway, CONFIG)
    for description in ("{", "[]", '{"pth": "/x"}', '{"path": 7}'):
        status, told = ask(gateway, description)
        assert (status, told["error"]["code"]) == (400, "bad_request"), description
    assert ask(gateway, "", method="GET")[0] == 405


def test_asking_often_disturbs_nobody(start):
    upstream = start(Upstream, answering(lambda request: answer(completion())))
    gateway = start(Gateway, {"upstreams": {"a": generic(upstream.url), "b": generic(upstream.url)},
                              "routes": [{"id": "r", "strategy": {"type": "round_robin", "upstreams": ["a", "b"]}}]})
    seen = []
    for _ in range(12):
        assert ask(gateway, {"body": BODY})[0] == 200
        seen.append(gateway.chat().header("x-openclaw-upstream"))
    assert seen == ["a", "b"] * 6
