"""Which route and which upstream a request goes to: matching, strategies, keys, model lists, and what plain backends get."""
import collections
import json

import pytest

from rig import *
from scripted import *


def named(start, *names):
    """Upstreams that answer with their names."""
    return {name: start(Upstream, answering(lambda request, name=name: answer(json.dumps({"by": name})))) for name in names}


def by(answer) -> str:
    return answer.json()["by"]


def matching(start, cases: dict):
    """A gateway with one route per case, and one for the rest."""
    upstream = start(Upstream, answering(lambda request: answer(completion())))
    routes = [{"id": name, "match": match, **route("one")} for name, match in cases.items()]
    return start(Gateway, {"upstreams": {"one": generic(upstream.url)}, "routes": [*routes, {"id": "rest", **route("one")}]})


def chosen(gateway, method="POST", path="/v1/chat/completions", body=b'{"model":"m"}', headers=()) -> str:
    got = gateway.ask(method, path, body, headers)
    assert got.status == 200, got.body
    return got.header("x-openclaw-route")


# ---- matching

def test_routes_match_on_path_method_host_headers_and_query(start):
    gateway = matching(start, {
        "exact": {"path": "/v1/files"},
        "prefix": {"path": "/api/*"},
        "template": {"path": "/users/{id}/orders/{n}"},
        "method": {"method": ["PUT", "DELETE"]},
        "host": {"host": ["api.example.com", "*.wild.example"]},
        "header": {"headers": {"X-Tier": "premium"}},
        "header-regex": {"headers": {"x-source": {"regex": "^(web|app)$"}}},
        "query": {"query": {"kind": "a b"}},
        "query-present": {"query": {"debug": {"present": True}}},
        "both": {"headers": {"x-a": "1", "x-b": {"present": False}}, "query": {"c": "2"}},
    })
    cases = [
        ("GET", "/v1/files", [], "exact"), ("GET", "/v1/files/1", [], "rest"), ("GET", "/v1/files/", [], "rest"),
        ("GET", "/v1/files?x=1", [], "exact"), ("GET", "/v1/x/../files", [], "exact"), ("GET", "/v1/%66iles", [], "exact"),
        ("GET", "/api/", [], "prefix"), ("GET", "/api/x/y", [], "prefix"), ("GET", "/api", [], "rest"), ("GET", "/apix", [], "rest"),
        ("GET", "/users/7/orders/9", [], "template"), ("GET", "/users/7/orders/", [], "rest"), ("GET", "/users/7/orders/9/x", [], "rest"),
        ("PUT", "/x", [], "method"), ("DELETE", "/x", [], "method"), ("PATCH", "/x", [], "rest"),
        ("GET", "/x", [("host", "api.example.com")], "host"), ("GET", "/x", [("host", "API.example.com:8080")], "host"),
        ("GET", "/x", [("host", "a.wild.example")], "host"), ("GET", "/x", [("host", "a.b.wild.example")], "host"),
        ("GET", "/x", [("host", "wild.example")], "rest"), ("GET", "/x", [("host", "evilapi.example.com")], "rest"),
        ("GET", "/x", [("x-tier", "premium")], "header"), ("GET", "/x", [("X-TIER", "premium")], "header"), ("GET", "/x", [("x-tier", "Premium")], "rest"),
        ("GET", "/x", [("x-source", "app")], "header-regex"), ("GET", "/x", [("x-source", "apps")], "rest"),
        ("GET", "/x", [("x-source", "no"), ("x-source", "web")], "header-regex"),
        ("GET", "/x?kind=a+b", [], "query"), ("GET", "/x?z=1&kind=a%20b", [], "query"), ("GET", "/x?kind=ab", [], "rest"), ("GET", "/x?Kind=a+b", [], "rest"),
        ("GET", "/x?debug", [], "query-present"), ("GET", "/x?debug=", [], "query-present"), ("GET", "/x?debugger", [], "rest"),
        ("GET", "/x?c=2", [("x-a", "1")], "both"), ("GET", "/x?c=2", [("x-a", "1"), ("x-b", "")], "rest"), ("GET", "/x?c=3", [("x-a", "1")], "rest"),
    ]
    with gateway.connect() as client:
        for method, path, headers, wanted in cases:
            got = client.ask(method, path, None, headers)
            assert got.header("x-openclaw-route") == wanted, (method, path, headers)


BODY_CASES = [
    # the condition on "path", bodies that satisfy it, bodies that do not
    ("model", "gpt-4", ['{"model":"gpt-4"}', '{"mod\\u0065l":"gpt-4"}', '{"model":"gpt\\u002d4"}', ' { "a":[{"model":1}], "model" : "gpt-4" } '],
     ['{"model":"gpt-40"}', '{"model":"GPT-4"}', '{"x":{"model":"gpt-4"},"model":"m"}', '{"model":"gpt-"}']),
    ("temperature", {"lte": 0.2}, ['{"temperature":0.2}', '{"temperature":0}', '{"temperature":2e-1}', '{"temperature":-1}'],
     ['{"temperature":0.20001}', '{"temperature":"0.1"}', "{}", '{"temperature":null}']),
    ("temperature", {"lt": 0.2}, ['{"temperature":0.1999}'], ['{"temperature":0.2}']),
    ("n", {"gte": 2}, ['{"n":2}', '{"n":2.0}', '{"n":1e1}'], ['{"n":1.9999999}', "{}"]),
    ("n", {"gt": 2, "lt": 5}, ['{"n":3}', '{"n":4.99}'], ['{"n":2}', '{"n":5}', '{"n":9}']),
    ("response_format.type", {"in": ["json_object", "json_schema"]}, ['{"response_format":{"type":"json_schema","x":{"type":"no"}}}'],
     ['{"response_format":{"type":"text"}}', '{"response_format":"json_object"}', '{"type":"json_object"}']),
    ("seed", {"in": [1, "two", True, None]}, ['{"seed":1}', '{"seed":1.0}', '{"seed":"two"}', '{"seed":true}', '{"seed":null}'], ['{"seed":"1"}', '{"seed":false}', "{}"]),
    ("model", {"regex": "^gpt-4o(-mini)?-\\d{4}$"}, ['{"model":"gpt-4o-2024"}', '{"model":"gpt-4o-mini-2024"}', '{"model":"gpt\\u002d4o-2024"}'],
     ['{"model":"gpt-4o"}', '{"model":"xgpt-4o-2024"}']),
    ("user", {"contains": "vip"}, ['{"user":"a vip b"}', '{"user":"vip"}', '{"user":"\\u0076ip"}', '{"user":["a","vip"]}', '{"user":[ "vip" , {"x":["y"]} ]}'],
     ['{"user":"VIP"}', '{"user":[["vip"]]}', '{"user":["vips"]}', '{"user":[]}', '{"user":{"vip":1}}', "{}"]),
    ("tags", {"contains": 3}, ['{"tags":[1,3]}', '{"tags":[3.0]}'], ['{"tags":["3"]}', '{"tags":[33]}', '{"tags":"3"}']),
    ("tools", {"exists": True}, ['{"tools":[]}', '{"tools":null}', '{"tools":0}'], ["{}", '{"x":{"tools":1}}']),
    ("tools", {"exists": False}, ["{}", '{"x":{"tools":1}}'], ['{"tools":null}']),
    ("stream", True, ['{"stream":true}'], ['{"stream":false}', "{}"]),
    ("stop", None, ['{"stop":null}'], ['{"stop":"null"}', "{}"]),
    ("a.b.c", {"equals": "x"}, ['{"a":{"b":{"c":"x"}}}', '{"a":{"b":{"z":[],"c":"x"}}}'], ['{"a":{"b.c":"x"}}', '{"a.b.c":"x"}', '{"a":{"b":["c","x"]}}', '{"a":null}']),
    ("messages.0.role", "system", ['{"messages":[{"role":"system"},{"role":"user"}]}'], ['{"messages":[{"role":"user"},{"role":"system"}]}', '{"messages":[]}']),
    ("model", {"not_equals": "a"}, ['{"model":"b"}', '{"model":"A"}'], ['{"model":"a"}', '{"model":"\\u0061"}']),
    ("n", {"not_equals": 1}, ['{"n":2}', '{"n":"1"}'], ['{"n":1}', '{"n":1.0}', "{}"]),
]


def test_routes_match_on_the_json_body(start):
    gateway = matching(start, {f"case-{n}": {"headers": {"x-case": str(n)}, "json_body": {path: test}} for n, (path, test, _, _) in enumerate(BODY_CASES)})
    with gateway.connect() as client:
        for number, (path, test, good, bad) in enumerate(BODY_CASES):
            for wanted, bodies in ((f"case-{number}", good), ("rest", bad)):
                for body in bodies:
                    if '"model"' not in body and "mod\\u" not in body:
                        body = '{"model":"m",' + body.strip()[1:] if body.strip() != "{}" else '{"model":"m"}'
                    got = client.ask("POST", "/v1/chat/completions", body.encode(), [("x-case", str(number))])
                    assert (got.status, got.header("x-openclaw-route")) == (200, wanted), (path, test, body)


def test_a_body_condition_never_holds_without_a_json_body(start):
    gateway = matching(start, {"body": {"json_body": {"x": {"exists": False}}}})
    for body in (None, b"", b"not json", b"[1]", b'"x"', b'{"x":1'):
        assert gateway.ask("POST", "/plain", body).header("x-openclaw-route") == "rest", body
    assert gateway.ask("POST", "/plain", b"{}").header("x-openclaw-route") == "body"


def test_no_route_is_404(start):
    upstream = start(Upstream, answering(lambda request: answer()))
    gateway = start(Gateway, {"upstreams": {"one": generic(upstream.url)}, "routes": [{**route("one"), "match": {"path": "/only"}}]})
    got = gateway.ask("GET", "/elsewhere")
    assert (got.status, got.error["code"]) == (404, "route_not_found")


# ---- strategies

def order(gateway, count: int) -> list[str]:
    with gateway.connect() as client:
        return [by(client.chat()) for _ in range(count)]


def strategic(start, strategy: str, weights: dict, **options):
    upstreams = named(start, *weights)
    entries = [{"name": name, **({"weight": weight} if weight is not None else {})} for name, weight in weights.items()]
    return upstreams, start(Gateway, {"upstreams": {name: generic(one.url) for name, one in upstreams.items()},
                                      "routes": [{"strategy": {"type": strategy, "upstreams": entries}, **options}]})


def test_round_robin_rotates_exactly(start):
    _, gateway = strategic(start, "round_robin", {"a": None, "b": None, "c": None})
    assert order(gateway, 12) == ["a", "b", "c"] * 4


def test_weighted_round_robin_is_exact_and_smooth(start):
    _, gateway = strategic(start, "weighted_round_robin", {"a": 5, "b": 1, "c": 1})
    got = order(gateway, 21)
    assert collections.Counter(got) == {"a": 15, "b": 3, "c": 3}
    for at in (0, 7, 14):
        assert collections.Counter(got[at:at + 7]) == {"a": 5, "b": 1, "c": 1}
    assert "".join(got[:7]) == "aabacaa"


def test_weighted_random_keeps_to_its_weights(start):
    _, gateway = strategic(start, "weighted_random", {"a": 70, "b": 30, "never": 0})
    got = collections.Counter(order(gateway, 1000))
    # Five standard deviations (14.5 each) of a fair draw.
    assert set(got) == {"a", "b"} and abs(got["a"] - 700) < 73


@pytest.mark.parametrize("strategy", ["failover", "first_available"])
def test_the_first_is_taken_while_it_answers(start, strategy):
    _, gateway = strategic(start, strategy, {"a": None, "b": None})
    assert order(gateway, 10) == ["a"] * 10


@pytest.mark.parametrize("strategy", ["round_robin", "weighted_round_robin", "weighted_random"])
def test_every_strategy_falls_over_to_the_others(start, strategy):
    weighted = strategy != "round_robin"
    good = named(start, "good")["good"]
    gateway = start(Gateway, {
        "upstreams": {"bad": generic(f"http://127.0.0.1:{refused_port()}"), "worse": generic(f"http://127.0.0.1:{refused_port()}"), "good": generic(good.url)},
        "routes": [{"strategy": {"type": strategy, "upstreams": [{"name": name, **({"weight": 2} if weighted else {})} for name in ("bad", "worse", "good")]}, "retries": {"max_attempts": 5}}],
    })
    got = [gateway.chat() for _ in range(12)]
    assert {answer.status for answer in got} == {200} and {by(answer) for answer in got} == {"good"}
    # Each that refuses is tried twice.
    assert {answer.header("x-openclaw-attempts") for answer in got} == {"1", "3", "5"} or strategy == "weighted_random"


def test_first_available_passes_by_what_refused_and_still_ends_with_it(start):
    good = named(start, "good")["good"]
    gateway = start(Gateway, {
        "upstreams": {"bad": generic(f"http://127.0.0.1:{refused_port()}"), "good": generic(good.url)},
        "routes": [route("bad", "good", strategy="first_available")],
    })
    first, second = gateway.chat(), gateway.chat()
    assert (first.header("x-openclaw-attempts"), second.header("x-openclaw-attempts")) == ("3", "1")
    # With nothing else left, what refused is tried all the same.
    gateway.reload({"upstreams": {"bad": generic(f"http://127.0.0.1:{refused_port()}")}, "routes": [route("bad", strategy="first_available")]})
    assert [gateway.chat().error["code"] for _ in range(2)] == ["upstream_unreachable"] * 2


@pytest.mark.parametrize("status", [500, 502, 503, 529, 429])
def test_RT_01_error_statuses_go_elsewhere_within_the_attempts(start, status):
    bad = [start(Upstream, answering(lambda request: answer("{}", status, "No"))) for _ in range(4)]
    gateway = start(Gateway, {"upstreams": {f"u{n}": generic(one.url) for n, one in enumerate(bad)}, "routes": [route(*(f"u{n}" for n in range(4)))]})
    for _ in range(10):
        got = gateway.chat()
        assert (got.status, got.header("x-openclaw-attempts")) == (status, "3")
    # Three attempts is the limit unless the route says otherwise; nobody is asked twice.
    assert [len(one.requests) for one in bad] == [10, 10, 10, 0]
    gateway.reload({"upstreams": {f"u{n}": generic(one.url) for n, one in enumerate(bad)}, "routes": [route("u0", "u1", retries={"max_attempts": 1})]})
    assert gateway.chat().header("x-openclaw-attempts") == "1"
    good = named(start, "good")["good"]
    gateway.reload({"upstreams": {"u0": generic(bad[0].url), "good": generic(good.url)}, "routes": [route("u0", "good")]})
    assert by(gateway.chat()) == "good"


@pytest.mark.parametrize("status", [400, 404, 409, 413, 422])
def test_RT_02_answers_that_blame_the_request_are_final(start, status):
    bad, good = start(Upstream, answering(lambda request: answer("{}", status, "No"))), named(start, "good")["good"]
    gateway = start(Gateway, {"upstreams": {"bad": generic(bad.url), "good": generic(good.url)}, "routes": [route("bad", "good")]})
    assert gateway.chat().status == status
    assert good.requests == []


def test_RT_02_nothing_is_retried_after_bytes_reached_the_client(start):
    def script(peer):
        peer.request()
        peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf")
        time.sleep(0.02)
        peer.reset()

    bad, good = start(Upstream, script), named(start, "good")["good"]
    gateway = start(Gateway, {"upstreams": {"bad": generic(bad.url), "good": generic(good.url)}, "routes": [route("bad", "good")]})
    with pytest.raises(Broken) as broken:
        gateway.chat()
    assert broken.value.how == "reset" and good.requests == []


def test_RT_09_all_attempts_are_recorded_and_usage_once(start):
    bad = start(Upstream, lambda peer: (peer.request(), peer.send(STREAM_HEAD + chunk(ROLE)), peer.reset()))
    good = start(Upstream, answering(lambda request: STREAM_HEAD + b"".join(map(chunk, good_stream(usage=True))) + LAST_CHUNK))
    gateway = start(Gateway, {"upstreams": {"bad": generic(bad.url), "good": generic(good.url)}, "routes": [route("bad", "good")]})
    got = gateway.chat(stream=True)
    record = gateway.record(got.id)
    assert [(attempt["upstream"], attempt["why"]) for attempt in record["attempts"]] == [("bad", "first"), ("bad", "retry"), ("good", "next_candidate")]
    assert (record["tokens"]["input"], record["tokens"]["output"], record["upstream_name"]) == (7, 3, "good")


# ---- keys and endpoints

def test_keys_are_injected_by_weight_and_named_in_the_log(start):
    upstream = start(Upstream, answering(lambda request: answer(completion())))
    gateway = start(Gateway, single(upstream.url, api_keys=[{"id": "first", "value": "sk-aaaa", "weight": 3}, {"id": "second", "value": "sk-bbbb"}]))
    with gateway.connect() as client:
        for _ in range(400):
            client.chat([("authorization", "Bearer mine"), ("x-api-key", "mine"), ("api-key", "mine")])
    seen = collections.Counter(request.header("authorization") for request in upstream.requests)
    assert set(seen) == {"Bearer sk-aaaa", "Bearer sk-bbbb"} and abs(seen["Bearer sk-aaaa"] - 300) < 45
    assert all("x-api-key" not in request.headers and "api-key" not in request.headers for request in upstream.requests)
    wait_for(lambda: len(gateway.records()) == 400, what="400 records")
    assert collections.Counter(record["key_id"] for record in gateway.records()) == {"first": seen["Bearer sk-aaaa"], "second": seen["Bearer sk-bbbb"]}


def test_endpoints_of_one_upstream_share_by_weight(start):
    upstreams = named(start, "a", "b")
    gateway = start(Gateway, {"upstreams": {"one": {"type": "generic", "endpoints": [{"url": upstreams["a"].url + "/v1", "weight": 3}, upstreams["b"].url]}}})
    seen = collections.Counter(order(gateway, 400))
    assert set(seen) == {"a", "b"} and abs(seen["a"] - 300) < 45
    # "/v1" is the API's root as the gateway's clients see it; the base URL says where it is there.
    assert {request.target for request in upstreams["a"].requests} == {"/v1/chat/completions"}
    assert {request.target for request in upstreams["b"].requests} == {"/chat/completions"}


def test_connections_per_endpoint_are_limited_and_waiting_is_fair(start):
    busy = {"now": 0, "most": 0}
    lock = threading.Lock()

    def slow(request):
        with lock:
            busy["now"] += 1
            busy["most"] = max(busy["most"], busy["now"])
        time.sleep(0.02)
        with lock:
            busy["now"] -= 1
        return answer(completion())

    upstream = start(Upstream, answering(slow))
    gateway = start(Gateway, single(upstream.url, max_connections_per_endpoint=2))
    clients = [gateway.connect() for _ in range(12)]
    for client in clients:
        client.send("POST", "/v1/chat/completions", {"model": "m"})
    assert [client.read().status for client in clients] == [200] * 12
    assert busy["most"] == 2 and upstream.connections == 2
    # A request that waits too long is told so.
    gateway.reload(single(upstream.url, max_connections_per_endpoint=1, connect_timeout_seconds=0.05))
    for client in clients:
        client.send("POST", "/v1/chat/completions", {"model": "m"})
    assert {client.read().status for client in clients} == {200, 504}
    for client in clients:
        client.close()


# ---- models

def test_models_are_listed_and_retrieved(start):
    gateway = start(Gateway, {
        "upstreams": {"a": generic("http://127.0.0.1:9", models=["gpt-4o", {"id": "long-id", "alias": "small"}]),
                      "b": generic("http://127.0.0.1:9", models=["gpt-4o", "meta/llama-3"]), "c": {"type": "http", "base_url": "http://127.0.0.1:9"}},
        "routes": [route("a", "b", model_map={"gpt-4": "gpt-4o"})],
    })
    got = gateway.ask("GET", "/v1/models")
    assert got.status == 200 and got.json()["object"] == "list"
    names = [model["id"] for model in got.json()["data"]]
    assert names == ["gpt-4o", "small", "meta/llama-3", "gpt-4"] and "long-id" not in names
    for model in got.json()["data"]:
        assert model["object"] == "model" and isinstance(model["created"], int) and isinstance(model["owned_by"], str)
    for name in ("gpt-4o", "small", "meta/llama-3", "gpt-4"):
        got = gateway.ask("GET", f"/v1/models/{name}")
        assert (got.status, got.json()["id"]) == (200, name)
    got = gateway.ask("GET", "/v1/models/nobody")
    assert (got.status, got.error["code"]) == (404, "model_not_found")
    assert gateway.ask("HEAD", "/v1/models").status == 200


# ---- plain backends

def test_plain_backends_get_the_request_with_prefix_stripped_and_forwarded_headers(start):
    upstream = start(Upstream, answering(lambda request: answer("ok")))
    gateway = start(Gateway, {"upstreams": {"shop": {"type": "http", "base_url": upstream.url + "/base"}},
                              "routes": [{**route("shop"), "match": {"path": "/shop/*"}, "strip_prefix": "/shop"}, route("shop")]})
    for path, wanted in [("/shop/orders/17?a=1&b=%20", "/base/orders/17?a=1&b=%20"), ("/shop/", "/base/"), ("/shopping", "/base/shopping"), ("/", "/base/"),
                         ("/v1/x", "/base/v1/x"), ("/shop/shop/x", "/base/shop/x"), ("/shop/a?", "/base/a?")]:
        headers = [("host", "shop.example.com"), ("x-forwarded-for", "6.6.6.6"), ("x-forwarded-host", "evil"), ("forwarded", "for=6.6.6.6"), ("x-real-ip", "6.6.6.6"),
                   ("authorization", "Basic abc"), ("cookie", "a=b"), ("connection", "x-hop"), ("x-hop", "1"), ("accept-encoding", "gzip"), ("x-custom", "stays")]
        assert gateway.ask("GET", path, None, headers).status == 200
        seen = upstream.requests[-1]
        assert seen.target == wanted, path
        assert seen.headers["x-forwarded-for"] == ["127.0.0.1"] and seen.headers["x-forwarded-proto"] == ["http"]
        assert seen.headers["x-forwarded-host"] == ["shop.example.com"] and seen.headers["host"] == [f"127.0.0.1:{upstream.port}"]
        assert not {"forwarded", "x-real-ip", "x-hop", "connection"} & set(seen.headers)
        # Their client's credentials are theirs: the gateway has none of its own for them.
        assert seen.header("authorization") == "Basic abc" and seen.header("cookie") == "a=b" and seen.header("accept-encoding") == "gzip"
        assert seen.header("x-custom") == "stays" and seen.header("x-request-id") and seen.header("traceparent").startswith("00-")
        assert seen.header("content-length") is None


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD"])
def test_plain_backends_see_every_method_and_their_answers_pass(start, method):
    upstream = start(Upstream, answering(lambda request: answer("" if request.method == "HEAD" else "made", 201, "Made Up", "text/plain", [("set-cookie", "a=1"), ("set-cookie", "b=2"), ("etag", '"x"')])))
    gateway = start(Gateway, {"upstreams": {"plain": {"type": "http", "base_url": upstream.url}}})
    got = gateway.ask(method, "/thing", b"data" if method in ("POST", "PUT", "PATCH", "DELETE") else None)
    assert (got.status, got.reason or "", got.header("etag"), got.headers["set-cookie"]) == (201, "", '"x"', ["a=1", "b=2"])
    assert upstream.requests[0].method == method
    assert got.body == (b"" if method == "HEAD" else b"made")
