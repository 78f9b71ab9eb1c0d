"""Endpoints that come and go while the gateway runs: from a file, etcd, DNS, Kubernetes and Consul. A source that is down keeps the last good set."""
import json
import signal
import socket
import ssl
import time

import pytest

from discovery_rig import *
from test_tls_upstreams import Authority


def ask(gateway) -> str:
    answer = gateway.ask("GET", "/who")
    assert answer.status == 200, answer.body
    return answer.body.decode()


# MARK: file


def test_endpoints_of_a_file_change_with_it(tmp_path, named):
    one, two = named("one"), named("two")
    file = tmp_path / "endpoints"
    file.write_text(f"{one.address}\n")
    with Gateway(discovered({"type": "file", "path": str(file)}), tmp_path) as gateway:
        assert urls(gateway) == [one.url], "the first set is there before the first request"
        assert ask(gateway) == "one"
        file.write_text(f"# only the other\n{two.address} 3\n")
        wait_urls(gateway, two.url)
        assert ask(gateway) == "two"
        changed = events(gateway, "discovery_changed")
        assert changed[-1]["added"] == [two.address] and changed[-1]["removed"] == [one.address]


@pytest.mark.parametrize("form", ["json", "yaml", "yaml-map"])
def test_a_file_may_be_json_or_yaml(form, tmp_path, named):
    one, two = named("one"), named("two")
    file = tmp_path / "endpoints"
    file.write_text({
        "json": json.dumps([one.url, {"url": two.url, "weight": 2}]),
        "yaml": f"- {one.url}\n- url: {two.url}\n  weight: 2\n",
        "yaml-map": f"# all of them\nendpoints:\n  - {one.url}\n  - url: {two.url}\n    weight: 2\n",
    }[form])
    with Gateway(discovered({"type": "file", "path": str(file)}), tmp_path) as gateway:
        assert urls(gateway) == sorted([one.url, two.url])


def test_a_file_that_is_gone_or_wrong_keeps_the_last_good_set(tmp_path, named):
    one, two = named("one"), named("two")
    file = tmp_path / "endpoints"
    file.write_text(one.address + "\n")
    with Gateway(discovered({"type": "file", "path": str(file)}), tmp_path) as gateway:
        file.write_text("not an endpoint at all\n")
        state = wait_state(gateway, "failing")
        assert "line 1" in state["last_error"] and state["endpoints"] == 1
        assert ask(gateway) == "one"
        file.unlink()
        wait_for(lambda: "No such file" in upstream(gateway)["discovery"]["last_error"], what="the missing file is told")
        assert ask(gateway) == "one"
        file.write_text(two.address + "\n")
        wait_urls(gateway, two.url)
        wait_state(gateway, "ok")
        assert [event["event"] for event in events(gateway) if event["event"].startswith("discovery_")] == \
            ["discovery_changed", "discovery_failed", "discovery_recovered", "discovery_changed"]


def test_an_empty_file_is_believed_when_it_is_still_empty_a_while_later(tmp_path, named):
    one = named("one")
    file = tmp_path / "endpoints"
    file.write_text(one.address + "\n")
    with Gateway(discovered({"type": "file", "path": str(file)}), tmp_path) as gateway:
        file.write_text("# nobody\n")
        wait_state(gateway, "doubtful")
        assert ask(gateway) == "one", "the last set is still in force"
        wait_urls(gateway)
        assert gateway.ask("GET", "/who").status == 503
        status, ready = admin(gateway, "/ready")
        assert status == 503 and ready["routes"][0]["upstreams"][0]["why_not"] == "discovery (file) names no endpoint", ready
        file.write_text(one.address + "\n")
        wait_urls(gateway, one.url)
        assert ask(gateway) == "one" and admin(gateway, "/ready")[0] == 200


def test_a_gateway_without_its_file_starts_and_waits_for_it(tmp_path, named):
    one = named("one")
    file = tmp_path / "later"
    with Gateway(discovered({"type": "file", "path": str(file)}), tmp_path) as gateway:
        assert gateway.ask("GET", "/who").status == 503
        status, ready = admin(gateway, "/ready")
        assert status == 503 and "has not answered yet" in ready["routes"][0]["upstreams"][0]["why_not"], ready
        file.write_text(one.address + "\n")
        wait_urls(gateway, one.url)
        assert ask(gateway) == "one"


def test_CF_04_a_request_in_flight_to_an_endpoint_that_goes_ends_on_the_old_plan(tmp_path, named):
    one = named("one")
    file = tmp_path / "endpoints"
    with Mock(ttft_ms=1500, tokens=3) as mock:
        file.write_text(mock.url + "/v1\n")
        config = {"upstreams": {"found": {"type": "generic", "endpoints": {"discovery": {"type": "file", "path": str(file)}}}}}
        with Gateway(config, tmp_path) as gateway, gateway.connect() as client:
            client.send("POST", "/v1/chat/completions", {"model": "m", "stream": True, "messages": [{"role": "user", "content": "hi"}]})
            wait_for(lambda: mock.stats()["requests"] >= 1, what="the request is under way")
            file.write_text(one.address + "\n")
            wait_urls(gateway, one.url)
            answer = client.read("POST")
            assert answer.status == 200 and answer.events[-1] == "[DONE]"
            # And its connection, which nobody will ask for again, is not kept.
            wait_for(lambda: mock.stats()["connections"]["open"] <= 1, what="the connection to the endpoint that has gone is closed")


def test_a_flapping_file_and_thousands_of_endpoints_do_not_use_up_places(tmp_path, named):
    """More different endpoints in the life of a process than there are places for."""
    one = named("one")
    file = tmp_path / "endpoints"
    file.write_text(one.address + "\n")
    with Gateway(discovered({"type": "file", "path": str(file)}), tmp_path) as gateway:
        for round in range(3):
            file.write_text("".join(f"127.0.{round + 1}.{n}:9\n" for n in range(1, 200)) + one.address + "\n")
            wait_for(lambda: len(urls(gateway)) == 200, what="200 endpoints")
        file.write_text(one.address + "\n")
        wait_urls(gateway, one.url)
        assert ask(gateway) == "one"


# MARK: etcd


@pytest.fixture
def etcd(tmp_path):
    made = Etcd(tmp_path)
    yield made
    made.stop()


def test_endpoints_of_etcd_come_and_go_with_its_keys(etcd, tmp_path, named):
    one, two = named("one"), named("two")
    etcd.put("/llm/a", one.address)
    with Gateway(discovered({"type": "etcd", "endpoints": [etcd.url], "prefix": "/llm/"}), tmp_path) as gateway:
        assert urls(gateway) == [one.url]
        etcd.put("/llm/b", json.dumps({"url": two.url, "weight": 5}))
        wait_urls(gateway, one.url, two.url)
        etcd.put("/other", "10.0.0.1:1")
        etcd.delete("/llm/a")
        wait_urls(gateway, two.url)
        assert ask(gateway) == "two"
        etcd.put("/llm/c", "!")
        wait_for(lambda: upstream(gateway)["discovery"]["notes"], what="an unreadable key is told")
        assert urls(gateway) == [two.url]


def test_a_flapping_source_makes_few_plans_and_fails_no_request(etcd, tmp_path, named):
    one = named("one")
    etcd.put("/llm/a", one.address)
    with Gateway(discovered({"type": "etcd", "endpoints": [etcd.url], "prefix": "/llm/"}, health={"passive": {"enabled": False}}), tmp_path) as gateway:
        def plans():
            return admin(gateway, "/admin/status")[1]["config"]["plans_compiled"]

        before, changes, begin = plans(), 0, time.monotonic()
        with gateway.connect() as client:
            while time.monotonic() - begin < 3:
                # Each is another set; the further endpoint is the same backend under another name.
                etcd.put("/llm/b", f"127.0.0.1:{one.port}/p{changes}") if changes % 2 else etcd.put("/llm/b", f"localhost:{one.port}")
                changes += 1
                answer = client.ask("GET", "/who")
                assert answer.status == 200 and answer.body == b"one"
        spent = time.monotonic() - begin
        made = plans() - before
        assert changes > 20 and 2 <= made <= 5 * spent + 2, f"{made} plans for {changes} changes in {spent:.1f} s"
        assert len(events(gateway, "discovery_changed")) <= made + 2, "an event for a plan, not for each change"
        wait_for(lambda: admin(gateway, "/admin/status")[1]["config"]["open_plans"] <= 2, what="old plans are freed")


def test_an_etcd_that_is_down_keeps_the_last_good_set(etcd, tmp_path, named):
    one, two = named("one"), named("two")
    etcd.put("/llm/a", one.address)
    with Gateway(discovered({"type": "etcd", "endpoints": [etcd.url], "prefix": "/llm/"}), tmp_path) as gateway:
        etcd.stop()
        wait_state(gateway, "failing")
        assert ask(gateway) == "one"
        etcd.start()
        etcd.put("/llm/a", two.address)
        wait_urls(gateway, two.url, seconds=40)
        wait_state(gateway, "ok")


def test_a_compacted_etcd_is_read_again(etcd, tmp_path, named):
    """While the gateway is cut off, the revision it knows is compacted away."""
    one, two = named("one"), named("two")
    etcd.put("/llm/a", one.address)
    with Gateway(discovered({"type": "etcd", "endpoints": [etcd.url], "prefix": "/llm/"}), tmp_path) as gateway:
        assert urls(gateway) == [one.url]
        etcd.stop()
        wait_state(gateway, "failing")
        etcd.start()
        etcd.put("/llm/a", two.address)
        revision = [etcd.put("/other", str(n)) for n in range(5)][-1]
        etcd.compact(revision)
        wait_urls(gateway, two.url, seconds=40)


def test_etcd_with_users(etcd, tmp_path, named):
    one = named("one")
    etcd.put("/llm/a", one.address)
    for path, body in (("/v3/auth/user/add", {"name": "root", "password": "rootpw"}), ("/v3/auth/role/add", {"name": "root"}),
                       ("/v3/auth/user/grant", {"user": "root", "role": "root"}), ("/v3/auth/enable", {})):
        etcd.call(path, body)
    source = {"type": "etcd", "endpoints": [etcd.url], "prefix": "/llm/", "username": "root", "password": "rootpw"}
    with Gateway(discovered(source), tmp_path) as gateway:
        assert urls(gateway) == [one.url]
    with Gateway(discovered({**source, "password": "wrong"}), tmp_path) as gateway:
        state = wait_state(gateway, "failing")
        assert "authentication failed" in state["last_error"] and "wrong" not in state["last_error"].replace("wrong password", "")


def test_the_next_server_of_a_list_is_asked_when_one_is_down(etcd, tmp_path, named):
    one = named("one")
    etcd.put("/llm/a", one.address)
    with Gateway(discovered({"type": "etcd", "endpoints": [f"http://127.0.0.1:{refused_port()}", etcd.url], "prefix": "/llm/"}), tmp_path) as gateway:
        wait_urls(gateway, one.url)


# MARK: DNS


@pytest.fixture
def dns(tmp_path):
    made = []

    def make(*records, **options):
        made.append(Dnsmasq(tmp_path, *records, **options))
        return made[-1]

    yield make
    for one in made:
        one.stop()


def test_addresses_of_a_name_are_asked_for_again_when_their_time_is_over(dns, tmp_path, named):
    one = named("one", host="127.0.0.2")
    two = named("two", host="127.0.0.3", port=one.port)
    server = dns("host-record=llm.test,127.0.0.2")
    source = {"type": "dns", "name": "llm.test", "record": "a", "port": one.port, "server": server.address}
    with Gateway(discovered(source), tmp_path) as gateway:
        assert urls(gateway) == [one.url]
        assert ask(gateway) == "one"
        assert one.seen[-1][1] == f"llm.test:{one.port}", "Host is the name, not the address"
        server.change("host-record=llm.test,127.0.0.3")
        wait_urls(gateway, two.url)
        assert ask(gateway) == "two"


def test_a_dead_name_server_keeps_the_last_good_set(dns, tmp_path, named):
    one = named("one", host="127.0.0.2")
    server = dns("host-record=llm.test,127.0.0.2")
    source = {"type": "dns", "name": "llm.test", "port": one.port, "server": server.address}
    with Gateway(discovered(source), tmp_path) as gateway:
        assert urls(gateway) == [one.url]
        server.stop()
        state = wait_state(gateway, "failing", seconds=30)
        assert state["endpoints"] == 1
        assert ask(gateway) == "one"
        server.change("host-record=llm.test,127.0.0.2")
        wait_state(gateway, "ok", seconds=40)


def test_services_of_a_name_bring_their_ports_and_weights(dns, tmp_path, named):
    one, two = named("one", host="127.0.0.2"), named("two", host="127.0.0.3")
    server = dns("host-record=a.test,127.0.0.2", "host-record=b.test,127.0.0.3", f"srv-host=_llm._tcp.test,a.test,{one.port},0,10",
                 f"srv-host=_llm._tcp.test,b.test,{two.port},0,20", "srv-host=_llm._tcp.test,c.test,1,5,20")
    with Gateway(discovered({"type": "dns", "name": "_llm._tcp.test", "record": "srv", "server": server.address}), tmp_path) as gateway:
        assert urls(gateway) == sorted([one.url, two.url]), "the lowest priority only"
        assert ask(gateway) in ("one", "two")


def test_UP_02_a_name_that_is_gone_is_believed_when_it_is_still_gone_a_while_later(dns, tmp_path, named):
    one = named("one", host="127.0.0.2")
    server = dns("host-record=llm.test,127.0.0.2")
    with Gateway(discovered({"type": "dns", "name": "llm.test", "port": one.port, "server": server.address}), tmp_path) as gateway:
        assert urls(gateway) == [one.url]
        server.change()
        wait_state(gateway, "doubtful", seconds=20)
        assert urls(gateway) == [one.url]
        wait_urls(gateway, seconds=20)
        assert [event["event"] for event in events(gateway) if event["event"].startswith("discovery_")][-2:] == ["discovery_empty", "discovery_changed"]


def test_an_answer_that_does_not_fit_a_datagram_comes_over_tcp(dns, tmp_path):
    hosts = [f"127.1.{n // 250}.{n % 250 + 1}" for n in range(200)]
    server = dns(*(f"host-record=many.test,{host}" for host in hosts), "edns-packet-max=512")
    with Gateway(discovered({"type": "dns", "name": "many.test", "record": "a", "port": 9, "server": server.address}), tmp_path) as gateway:
        wait_for(lambda: len(urls(gateway)) == 200, what="all addresses")


def test_UP_02_a_name_server_that_fails_for_a_while_keeps_the_last_good_set(tmp_path, named):
    one = named("one", host="127.0.0.2")
    state = {"fails": False}
    server = NameServer(lambda query: [NameServer.refused(query) if state["fails"] else NameServer.addresses(query, "127.0.0.2")])
    source = {"type": "dns", "name": "llm.test", "record": "a", "port": one.port, "server": server.address}
    with Gateway(discovered(source), tmp_path) as gateway:
        assert urls(gateway) == [one.url]
        state["fails"] = True
        assert "server failure" in wait_state(gateway, "failing")["last_error"]
        assert ask(gateway) == "one"
        state["fails"] = False
        wait_state(gateway, "ok")
    server.stop()


def test_answers_that_are_to_something_else_are_not_taken(tmp_path, named):
    """Whoever guesses the port still has to guess the id; and an answer to another question is none."""
    one = named("one", host="127.0.0.2")

    def answer(query):
        wrong = bytes([query[0] ^ 1, query[1]])
        return [NameServer.addresses(query, "127.0.0.66", id=wrong), NameServer.addresses(query, "127.0.0.66", name=b"\4evil\4test\0"), b"x", NameServer.addresses(query, "127.0.0.2")]

    server = NameServer(answer)
    with Gateway(discovered({"type": "dns", "name": "llm.test", "record": "a", "port": one.port, "server": server.address}), tmp_path) as gateway:
        wait_urls(gateway, one.url)
        assert ask(gateway) == "one"
        ids = {query[:2] for query in server.queries}
        wait_for(lambda: len({query[:2] for query in server.queries}) > len(ids), what="another id for another question")
    server.stop()


def test_a_name_of_the_hosts_file_needs_no_name_server(tmp_path, named):
    one = named("one")
    with Gateway(discovered({"type": "dns", "name": "localhost", "record": "a", "port": one.port}), tmp_path) as gateway:
        assert urls(gateway) == [one.url]
        assert ask(gateway) == "one"


def test_an_upstream_that_comes_with_a_reload_has_its_endpoints_at_once(etcd, tmp_path, named):
    """A reload that puts discovery in the place of written endpoints fails no request."""
    one, two = named("one"), named("two")
    etcd.put("/llm/a", two.address)
    written = discovered({"type": "file", "path": "/"})
    written["upstreams"]["found"]["endpoints"] = [one.url]
    with Gateway(written, tmp_path) as gateway:
        assert ask(gateway) == "one"
        gateway.reload(discovered({"type": "etcd", "endpoints": [etcd.url], "prefix": "/llm/"}))
        assert ask(gateway) == "two"
        gateway.reload(written)
        wait_for(lambda: ask(gateway) == "one", what="the written endpoint again")
        assert upstream(gateway)["discovery"] is None


def test_without_libcurl_the_gateway_says_which_package_it_lacks(etcd, tmp_path):
    fake = tmp_path / "libcurl.so.4"
    fake.write_bytes(b"")
    config = discovered({"type": "etcd", "endpoints": [etcd.url], "prefix": "/llm/"})
    gateway = Gateway(config, tmp_path, wait=False, environment={"LD_LIBRARY_PATH": str(tmp_path)})
    assert gateway.process.wait(DEADLINE) == 78
    gateway.messages.wait(r"upstreams.found.endpoints.discovery: .*install libcurl 7.87 or later \(Debian: libcurl4, Alpine: libcurl\)")


# MARK: Kubernetes


@pytest.fixture
def kubernetes():
    made = Kubernetes()
    yield made
    made.stop()


def kubernetes_source(server, **more) -> dict:
    return {"type": "kubernetes", "api": server.url, "namespace": "models", "service": "llm", **more}


def test_endpoints_of_kubernetes_follow_its_slices(kubernetes, tmp_path, named):
    one, two, three = named("one"), named("two"), named("three")
    kubernetes.page = 1
    kubernetes.put("llm-a", one.address)
    kubernetes.put("llm-b", two.address)
    with Gateway(discovered(kubernetes_source(kubernetes)), tmp_path) as gateway:
        assert urls(gateway) == sorted([one.url, two.url]), "a list in two pages"
        kubernetes.put("llm-b", three.address)
        wait_urls(gateway, one.url, three.url)
        kubernetes.delete("llm-a")
        wait_urls(gateway, three.url)
        assert ask(gateway) == "three"


def test_what_the_api_server_has_forgotten_is_listed_again(kubernetes, tmp_path, named):
    one, two = named("one"), named("two")
    kubernetes.put("llm-a", one.address)
    with Gateway(discovered(kubernetes_source(kubernetes)), tmp_path) as gateway:
        wait_for(lambda: kubernetes.seen("watch=true"), what="a watch")
        with kubernetes.lock:
            kubernetes.slices["llm-a"] = kubernetes.slice("llm-a", two.address)
        kubernetes.forget()
        wait_urls(gateway, two.url)
        assert len([path for path, _ in kubernetes.seen("limit=")]) >= 2


def test_a_token_file_is_read_for_each_request(kubernetes, tmp_path, named):
    one, two = named("one"), named("two")
    token = tmp_path / "token"
    token.write_text("first-token\n")
    kubernetes.token = "first-token"
    kubernetes.put("llm-a", one.address)
    with Gateway(discovered(kubernetes_source(kubernetes, token_file=str(token))), tmp_path) as gateway:
        assert urls(gateway) == [one.url]
        kubernetes.token = "second-token"
        kubernetes.forget()
        state = wait_state(gateway, "failing")
        assert "Unauthorized" in state["last_error"] and "token" not in state["last_error"]
        token.write_text("second-token\n")
        kubernetes.put("llm-a", two.address)
        wait_urls(gateway, two.url)


def test_an_api_server_is_known_by_its_authority(kubernetes, tmp_path, tmp_path_factory, named):
    one = named("one")
    authority = Authority(tmp_path_factory.mktemp("authority"))
    certificate, key = authority.issue("localhost", 2)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    kubernetes.server.socket = context.wrap_socket(kubernetes.server.socket, server_side=True)
    kubernetes.put("llm-a", one.address)
    source = kubernetes_source(kubernetes, api=f"https://localhost:{kubernetes.port}", ca=str(authority.ca))
    with Gateway(discovered(source), tmp_path) as gateway:
        assert urls(gateway) == [one.url]
        other = Authority(tmp_path_factory.mktemp("other"))
        gateway.reload(discovered({**source, "ca": str(other.ca)}))
        state = wait_state(gateway, "failing")
        assert "TLS" in state["last_error"]
        assert ask(gateway) == "one", "what the old source said stays"


def test_an_api_server_that_is_down_keeps_the_last_good_set(kubernetes, tmp_path, named):
    one, two = named("one"), named("two")
    kubernetes.put("llm-a", one.address)
    with Gateway(discovered(kubernetes_source(kubernetes)), tmp_path) as gateway:
        port = kubernetes.port
        wait_for(lambda: kubernetes.seen("watch=true"), what="a watch")
        kubernetes.stop()
        wait_state(gateway, "failing")
        assert ask(gateway) == "one"
        back = Kubernetes(port)
        try:
            back.put("llm-a", two.address)
            wait_urls(gateway, two.url, seconds=30)
        finally:
            back.stop()


def test_a_list_that_broke_off_leaves_nothing_behind(kubernetes, tmp_path, named):
    """A slice of its first page that is gone before it is listed again: nobody will ever say again that it is gone."""
    one, two, three = named("one"), named("two"), named("three")
    kubernetes.page = 1
    for name, place in [("llm-a", one), ("llm-b", two), ("llm-c", three)]:
        kubernetes.put(name, place.address)
    answer, broken = kubernetes.answer, []

    def breaking(handler):
        if "continue=2" in handler.path and not broken:
            broken.append(handler.path)
            kubernetes.delete("llm-a")
            handler.close_connection = True
            # Part of an answer: a request that got nothing at all would be sent once more.
            return handler.wfile.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{")
        answer(handler)

    kubernetes.answer = breaking
    with Gateway(discovered(kubernetes_source(kubernetes)), tmp_path) as gateway:
        wait_urls(gateway, two.url, three.url)
        assert broken


# MARK: Consul


@pytest.fixture
def consul():
    made = Consul()
    yield made
    made.stop()


def consul_source(server, **more) -> dict:
    return {"type": "consul", "address": server.url, "service": "llm", **more}


def test_endpoints_of_consul_follow_its_index(consul, tmp_path, named):
    one, two = named("one"), named("two")
    consul.put(one.address)
    with Gateway(discovered(consul_source(consul, token="consul-secret", tag="gpu")), tmp_path) as gateway:
        assert urls(gateway) == [one.url]
        wait_for(lambda: consul.seen("index=8"), what="a blocking query")
        path, fields = consul.seen("index=8")[0]
        assert "tag=gpu" in path and "wait=60s" in path and fields["x-consul-token"] == "consul-secret"
        consul.put(two.address)
        wait_urls(gateway, two.url)
        assert "consul-secret" not in json.dumps(admin(gateway, "/admin/status")[1])


def test_an_index_that_goes_backwards_begins_anew(consul, tmp_path, named):
    one, two, three = named("one"), named("two"), named("three")
    consul.put(one.address, index=1000)
    with Gateway(discovered(consul_source(consul)), tmp_path) as gateway:
        assert urls(gateway) == [one.url]
        consul.put(two.address, index=3)
        wait_urls(gateway, two.url)
        consul.put(three.address, index=4)
        wait_urls(gateway, three.url)
        assert len([path for path, _ in consul.seen("passing") if "index" not in path]) >= 2


def test_a_consul_that_errs_keeps_the_last_good_set(consul, tmp_path, named):
    one, two = named("one"), named("two")
    consul.put(one.address)
    with Gateway(discovered(consul_source(consul)), tmp_path) as gateway:
        assert urls(gateway) == [one.url]
        consul.refusal = ("rpc error making call: No cluster leader", 500)
        consul.put(one.address)
        state = wait_state(gateway, "failing")
        assert "500 rpc error making call: No cluster leader" in state["last_error"]
        assert ask(gateway) == "one"
        consul.refusal = ('{"not": "an array"}', 200)
        wait_for(lambda: "no array" in upstream(gateway)["discovery"]["last_error"], what="an answer of the wrong form")
        consul.refusal = None
        consul.put(two.address)
        wait_urls(gateway, two.url, seconds=30)


def test_CF_10_a_server_that_repeats_its_credentials_does_not_get_them_told(consul, tmp_path):
    consul.refusal = ("no rights for consul-secret-1234" + " and" * 38 + " consul-secret-1234", 403)
    with Gateway(discovered(consul_source(consul, token="consul-secret-1234")), tmp_path) as gateway:
        state = wait_state(gateway, "failing")
        assert "403 no rights for ***" in state["last_error"]
        told = [json.dumps(admin(gateway, path)[1]) for path in ["/admin/status", "/admin/upstreams", "/admin/events", "/ready"]] + list(gateway.messages.all)
        assert not [text for text in told if "consul-secret" in text]


def test_a_large_answer_comes_whole(consul, tmp_path, named):
    """Of more pieces than are looked at in one turn."""
    one = named("one")
    consul.put(one.address)
    consul.instances[0]["Node"]["Meta"] = {f"note-{number}": "x" * 1000 for number in range(12_000)}
    with Gateway(discovered(consul_source(consul)), tmp_path) as gateway:
        wait_urls(gateway, one.url)


def test_a_source_that_does_not_answer_keeps_nobody_from_ending(tmp_path):
    silent = socket.create_server(("127.0.0.1", 0))
    address = f"127.0.0.1:{silent.getsockname()[1]}"
    sources = {"consul": {"type": "consul", "address": f"http://{address}", "service": "llm"},
               "etcd": {"type": "etcd", "endpoints": [f"http://{address}"], "prefix": "/llm/"},
               "kubernetes": {"type": "kubernetes", "api": f"http://{address}", "service": "llm"},
               "unknown": {"type": "consul", "address": "http://nobody.invalid:8500", "service": "llm"},
               "dns": {"type": "dns", "name": "llm.test", "port": 80, "server": address}}
    config = {"upstreams": {name: {"type": "http", "endpoints": {"discovery": source}} for name, source in sources.items()},
              "routes": [{"id": "all", "match": {"path": "/*"}, **route(*sources)}]}
    with silent, Gateway(config, tmp_path) as gateway:
        assert admin(gateway, "/ready")[0] == 503
        began = time.monotonic()
        gateway.process.send_signal(signal.SIGTERM)
        assert gateway.process.wait(DEADLINE) == 0
        assert time.monotonic() - began < 5


def test_a_service_without_instances_is_believed_when_it_stays_so(consul, tmp_path, named):
    one = named("one")
    consul.put(one.address)
    with Gateway(discovered(consul_source(consul)), tmp_path) as gateway:
        consul.put()
        wait_state(gateway, "doubtful")
        assert urls(gateway) == [one.url]
        consul.put(one.address)
        wait_state(gateway, "ok")
        assert urls(gateway) == [one.url] and len(events(gateway, "discovery_changed")) <= 1, "nothing was changed by it"
