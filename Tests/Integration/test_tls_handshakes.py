"""TLS towards clients, up to the first request: versions, ciphers, names, protocols, client certificates, sessions, and handshakes that never end
(rows TL-01 … TL-07)."""
import hashlib
import os
import socket
import ssl
import subprocess
import threading

import pytest

from tlsrig import *


@pytest.fixture
def upstream(start):
    return start(Upstream, canned())


@pytest.fixture
def front(start, upstream, authority):
    """A gateway with usual settings of TLS."""
    return start(Gateway, secured(upstream.url, authority.tls()))


def s_client(gateway, *arguments, send: bytes = b"", until: bytes = b"") -> str:
    """What `openssl s_client` says; its input is kept open until it said `until`."""
    process = subprocess.Popen(["openssl", "s_client", "-connect", f"127.0.0.1:{gateway.port}", *map(str, arguments)],
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    lines = Lines(process.stdout)
    try:
        process.stdin.write(send)
        process.stdin.flush()
        if until:
            wait_for(lambda: lines.ended or any(until in line.encode() for line in lines.all), what=f"{until} of s_client")
        process.stdin.close()
        process.wait(DEADLINE)
        lines.thread.join(DEADLINE)
    finally:
        process.kill()
    return "\n".join(lines.all)


# ---- TL-01: versions and ciphers

RC4, TRIPLE_DES, EXPORT, NULL, ANONYMOUS, CBC, STATIC_RSA, CHACHA = 0x0005, 0x000A, 0x0003, 0x0002, 0x00A6, 0xC009, 0x009C, 0xCCA9
OLD = {
    "SSL 3.0": (records(hello(0x0300, extensions=b""), 0x0300), {PROTOCOL_VERSION, HANDSHAKE_FAILURE}),
    "TLS 1.0": (records(hello(0x0301, (0xC009, 0xC013))), {PROTOCOL_VERSION}),
    "TLS 1.1": (records(hello(0x0302, (0xC009, 0xC013))), {PROTOCOL_VERSION}),
    "TLS 1.1 in supported_versions": (records(hello(0x0303, extensions=GROUPS + SIGNATURES + extension(43, b"\x04\x03\x02\x03\x01"))), {PROTOCOL_VERSION}),
    "RC4": (records(hello(ciphers=(RC4, 0xC007, 0xC011))), {HANDSHAKE_FAILURE}),
    "3DES": (records(hello(ciphers=(TRIPLE_DES, 0xC008, 0xC012))), {HANDSHAKE_FAILURE}),
    "export": (records(hello(ciphers=(EXPORT, 0x0006, 0x0014))), {HANDSHAKE_FAILURE}),
    "no encryption": (records(hello(ciphers=(NULL, 0xC006, 0xC010))), {HANDSHAKE_FAILURE}),
    "anonymous": (records(hello(ciphers=(ANONYMOUS, 0xC018))), {HANDSHAKE_FAILURE}),
    "CBC": (records(hello(ciphers=(CBC, 0xC013, 0xC023, 0xC027))), {HANDSHAKE_FAILURE}),
    "without forward secrecy": (records(hello(ciphers=(STATIC_RSA, 0x009D, 0x002F))), {HANDSHAKE_FAILURE}),
    "a fall-back that is none": (records(hello(ciphers=(*ECDHE, 0x5600))), {INAPPROPRIATE_FALLBACK}),
    "compression only": (records(hello(compressions=b"\x01")), {DECODE_ERROR, HANDSHAKE_FAILURE, 47}),
    "no ciphers": (records(hello(ciphers=())), {DECODE_ERROR, HANDSHAKE_FAILURE, 47}),
    "a length beyond all bounds": (records(b"\x01\xff\xff\xff" + bytes(2000)), {DECODE_ERROR, 47, UNEXPECTED_MESSAGE}),
    "another message first": (records(b"\x10" + hello()[1:]), {UNEXPECTED_MESSAGE}),
    "application data first": (b"\x17\x03\x03\x00\x05hello", {UNEXPECTED_MESSAGE}),
    "an alert first": (b"\x15\x03\x01\x00\x02\x02\x28", None),
    "garbage": (bytes(range(128, 255)) * 3, None),
}


def test_TL_01_old_versions_and_weak_ciphers_are_alerts_and_counted(front, upstream):
    for number, (what, (data, allowed)) in enumerate(OLD.items()):
        said = verdict(front.port, data)
        if allowed is None:
            assert said[0] in ("alert", "closed"), (what, said)
        else:
            assert said[0] == "alert" and said[1] in allowed, (what, said)
        wait_refused(front, "handshake", number + 1)
    with SecureClient(front.port) as client:
        assert client.chat().status == 200
    assert upstream.connections == 1


def test_TL_01_compression_is_never_chosen_and_good_ciphers_are(front):
    kind, answered = verdict(front.port, records(hello(compressions=b"\x01\x00")))
    session = answered[38]
    cipher, compression = answered[39 + session:41 + session], answered[41 + session]
    assert kind == "hello" and (int.from_bytes(cipher, "big"), compression) == (0xC02B, 0)
    assert verdict(front.port, records(hello(ciphers=(RC4, CBC, CHACHA))))[0] == "hello"


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_TL_01_the_least_version_is_kept(start, upstream, authority, version):
    gateway = start(Gateway, secured(upstream.url, authority.tls(min_version=version)))
    with SecureClient(gateway.port, version="1.3") as client:
        assert client.chat().status == 200 and client.tls.version() == "TLSv1.3"
    if version == "1.2":
        with SecureClient(gateway.port, version="1.2") as client:
            assert client.chat().status == 200 and client.tls.version() == "TLSv1.2"
    else:
        assert "PROTOCOL_VERSION" in refused_handshake(gateway.port, version="1.2")
        wait_refused(gateway, "handshake", 1)
    assert metric(gateway, "openclaw_tls_handshakes_total", version=version) == 1


def test_TL_01_ciphers_are_configured(start, upstream, authority):
    gateway = start(Gateway, secured(upstream.url, authority.tls(ciphers="ECDHE-ECDSA-AES256-GCM-SHA384", ciphersuites="TLS_CHACHA20_POLY1305_SHA256")))
    for version, cipher in (("1.2", "ECDHE-ECDSA-AES256-GCM-SHA384"), ("1.3", "TLS_CHACHA20_POLY1305_SHA256")):
        with SecureClient(gateway.port, version=version) as client:
            assert client.chat().status == 200 and client.tls.cipher()[0] == cipher
    assert verdict(gateway.port, records(hello())) == ("alert", HANDSHAKE_FAILURE)


# ---- TL-02: renegotiation and early data

def test_TL_02_renegotiation_is_refused(front, upstream):
    said = s_client(front, "-tls1_2", send=b"R\n", until=b"error")
    assert "RENEGOTIATING" in said and "no renegotiation" in said, said[-400:]
    assert "Secure Renegotiation IS supported" in said, said[-400:]
    with SecureClient(front.port) as client:
        assert client.chat().status == 200
    assert len(upstream.requests) == 1


def test_TL_02_early_data_is_neither_offered_nor_taken(front, upstream, tmp_path):
    session, early = tmp_path / "session", tmp_path / "early"
    early.write_bytes(b"POST /v1/chat/completions HTTP/1.1\r\nhost: a\r\ncontent-length: 13\r\n\r\n{\"model\":\"m\"}")
    request = b"GET /v1/models HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"
    said = s_client(front, "-tls1_3", "-sess_out", session, "-ign_eof", send=request)
    assert session.exists() and "Max Early Data: 0" in said, said[-400:]
    said = s_client(front, "-tls1_3", "-sess_in", session, "-early_data", early, "-ign_eof", send=request)
    assert "Reused, TLSv1.3" in said and "Early data was not sent" in said, said[-600:]
    assert upstream.connections == 0


def test_TL_02_early_data_sent_all_the_same_is_not_a_request(front, upstream):
    """A ClientHello that announces early data without a session for it: skipped or refused (RFC 8446 §4.2.10), never taken."""
    share = extension(51, listed(b"\x00\x1d\x00\x20" + b"\x09" + bytes(31)))
    message = hello(extensions=GROUPS + SIGNATURES + extension(43, b"\x02\x03\x04") + share + extension(45, b"\x01\x01") + extension(42, b""), ciphers=(0x1301,))
    data = records(message) + b"\x17\x03\x03" + listed(os.urandom(600))
    assert verdict(front.port, data, fin=True)[0] in ("hello", "alert")
    assert upstream.connections == 0 and front.alive()


# ---- TL-03: handshakes that never end

def half_handshakes(gateway, count: int, data: bytes) -> list[socket.socket]:
    found = []
    for _ in range(count):
        sock = socket.create_connection(("127.0.0.1", gateway.port), DEADLINE)
        sock.sendall(data)
        found.append(sock)
    return found


def test_TL_03_stalled_handshakes_are_cut(start, upstream, authority):
    gateway = start(Gateway, secured(upstream.url, authority.tls(), handshake_timeout_seconds=0.7))
    whole = records(hello())
    with SecureClient(gateway.port) as client:
        stalled = [sock for data in (b"", whole[:40], whole) for sock in half_handshakes(gateway, 20, data)]
        assert client.chat().status == 200
        for sock in stalled:
            try:
                while sock.recv(65536):
                    pass
            except ConnectionResetError:
                pass
            sock.close()
        wait_refused(gateway, "slow_handshake", 60)
        # A finished handshake has no more to do with that deadline.
        assert client.chat().status == 200


def test_TL_03_a_handshake_byte_by_byte_gains_no_time(start, upstream, authority):
    gateway = start(Gateway, secured(upstream.url, authority.tls(), handshake_timeout_seconds=0.4))
    began, pause = time.monotonic(), threading.Event()
    message = records(hello())
    with socket.create_connection(("127.0.0.1", gateway.port), DEADLINE) as sock:
        with pytest.raises(ConnectionError):
            for at in range(1000):
                sock.sendall(message[at % 50:at % 50 + 1] if at < 50 else b"\0")
                pause.wait(0.02)
    assert 0.3 < time.monotonic() - began < 10
    wait_refused(gateway, "slow_handshake", 1)


@pytest.mark.parametrize("what", ["half", "whole"])
def test_TL_03_thousands_of_half_handshakes_cost_little_and_hinder_nobody(start, upstream, authority, what):
    count = 2000
    gateway = start(Gateway, secured(upstream.url, authority.tls(), handshake_timeout_seconds=60, max_connections=count + 50))
    whole = records(hello())
    with SecureClient(gateway.port) as before:
        assert before.chat().status == 200
        base = memory(gateway)
        stalled = half_handshakes(gateway, count, whole[:40] if what == "half" else whole)
        wait_for(lambda: metric(gateway, "openclaw_connections", listener="data") >= count + 1)
        grown = memory(gateway) - base
        assert before.chat().status == 200
        with SecureClient(gateway.port) as after:
            assert after.chat().status == 200
        # What OpenSSL needs for one: 20 KiB before, 50 KiB with a flight of its own.
        assert grown < count * 80 * 1024, grown // count
        for sock in stalled:
            sock.close()
        wait_refused(gateway, "handshake_gone", count)
        assert before.chat().status == 200
    assert wait_for(lambda: metric(gateway, "openclaw_connections", listener="data") == 0 or None)


def test_TL_03_handshakes_beyond_the_limit_are_closed_at_the_door(start, upstream, authority):
    gateway = start(Gateway, secured(upstream.url, authority.tls(), handshake_timeout_seconds=60, max_handshakes=10, max_connections=30))
    with SecureClient(gateway.port) as before:
        stalled = half_handshakes(gateway, 10, records(hello())[:30])
        # More than max_connections: what is closed at the door holds no place.
        for number in range(40):
            assert verdict(gateway.port, records(hello())) == ("closed",)
            wait_refused(gateway, "handshakes", number + 1)
        assert before.chat().status == 200
        stalled.pop().close()
        wait_refused(gateway, "handshake_gone", 1)
        with SecureClient(gateway.port) as after:
            assert after.chat().status == 200
        for sock in stalled:
            sock.close()


def test_TL_03_the_limit_is_of_all_workers_together(start, upstream, authority):
    gateway = start(Gateway, secured(upstream.url, authority.tls(), handshake_timeout_seconds=60, max_handshakes=8, workers=4))
    stalled = []
    for _ in range(60):
        try:
            stalled += half_handshakes(gateway, 1, records(hello())[:30])
        except ConnectionError:
            pass
    wait_for(lambda: metric(gateway, "openclaw_connections_accepted_total") == 60 and metric(gateway, "openclaw_connections", listener="data") <= 8)
    assert refused(gateway, "handshakes") >= 52
    for sock in stalled:
        sock.close()


# ---- TL-04: ClientHellos in pieces, and large ones

def one_byte_records(data: bytes) -> list[bytes]:
    """Our flight in records of one byte each, as far as it is in clear text."""
    out, at = b"", 0
    while at < len(data):
        length = int.from_bytes(data[at + 3:at + 5], "big")
        if data[at] == 22:
            out += records(data[at + 5:at + 5 + length], size=1)
        else:
            out += data[at:at + 5 + length]
        at += 5 + length
    return [out]


def one_byte_segments(data: bytes) -> list[bytes]:
    return [data[at:at + 1] for at in range(len(data))]


def test_TL_04_a_hello_in_pieces_is_accepted(front):
    for version, shape in (("1.2", one_byte_records), ("1.2", one_byte_segments), ("1.3", one_byte_records), ("1.3", one_byte_segments)):
        first = []

        def once(data):
            if first:
                return [data]
            first.append(1)
            return shape(data)

        with SecureClient(front.port, version=version, shape=once) as client:
            assert client.chat().status == 200


def test_TL_04_extensions_of_many_kilobytes(front):
    for size in (16, 60):
        with SecureClient(front.port, alpn=["x" * 250] * (4 * size) + ["http/1.1"]) as client:
            assert client.chat().status == 200 and client.tls.selected_alpn_protocol() == "http/1.1"


def test_TL_04_padding_unknown_and_repeated_extensions(front):
    usual = GROUPS + SIGNATURES
    assert verdict(front.port, records(hello(extensions=usual + extension(21, bytes(16384)))))[0] == "hello"
    assert verdict(front.port, records(hello(extensions=usual + b"".join(extension(0x4A00 + at, bytes(8)) for at in range(1000)))))[0] == "hello"
    for bad in (usual + usual, usual + struct.pack(">HH", 21, 500)):
        assert verdict(front.port, records(hello(extensions=bad)))[0] == "alert"
    assert verdict(front.port, b"\x16\x03\x01\xff\xff" + bytes(70000))[0] in ("alert", "closed")
    assert front.alive()


# ---- TL-05: ALPN

def test_TL_05_no_unknown_and_single_protocols(start, upstream, authority):
    one = {"address": "127.0.0.1", "port": 0, "tls": authority.tls()}
    gateway = start(Gateway, {**single(upstream.url), "server": {"tls": authority.tls(), "listeners": [
        {"name": "new", "protocols": ["h2"], **one}, {"name": "old", "protocols": ["http/1.1"], **one}]}})
    new, old = (int(gateway.messages.wait(rf"listener {name} is at \S+:(\d+)")[1]) for name in ("new", "old"))
    # No ALPN: HTTP/1.1. Both: HTTP/2. Neither known: an alert.
    for offered, chosen in (((), None), (("http/1.1",), "http/1.1"), (("spdy/3", "http/1.1"), "http/1.1"), (("http/1.0", "http/1.1"), "http/1.1")):
        with SecureClient(gateway.port, alpn=offered) as client:
            assert client.tls.selected_alpn_protocol() == chosen and client.chat().status == 200
    for port, offered in ((gateway.port, ("http/1.1", "h2")), (new, ("h2",)), (new, ("http/1.1", "h2"))):
        with SecureClient(port, alpn=offered) as client:
            assert client.tls.selected_alpn_protocol() == "h2"
    with SecureClient(old, alpn=("h2", "http/1.1")) as client:
        assert client.tls.selected_alpn_protocol() == "http/1.1" and client.chat().status == 200
    for number, (port, offered) in enumerate(((gateway.port, ("spdy/3",)), (gateway.port, ("h2c", "http/1.10")), (new, ("http/1.1",)), (old, ("h2",)))):
        assert "NO_APPLICATION_PROTOCOL" in refused_handshake(port, alpn=offered)
        wait_refused(gateway, "alpn", number + 1)
    # On a listener for HTTP/2 alone a client that asked for nothing has to speak it.
    with SecureClient(new, alpn=()) as client:
        client.sock.sendall(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        got = b""
        while data := client.sock.recv(65536):
            got += data
        assert b"HTTP/1.1" not in got and got[3:4] in (b"\x04", b"\x07"), got
    malformed = GROUPS + SIGNATURES + extension(16, b"\x00\x05\x09http")
    assert verdict(gateway.port, records(hello(extensions=malformed)))[0] == "alert"


def test_TL_05_the_protocol_is_the_handshakes_and_not_the_first_bytes(front):
    """Who chose HTTP/1.1 and sends HTTP/2's preface gets an answer in HTTP/1.1, who chose HTTP/2 and sends HTTP/1.1 gets GOAWAY."""
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"
    with SecureClient(front.port) as client:
        client.sock.sendall(preface)
        assert client.read_head().status in (400, 505)
    with SecureClient(front.port, alpn=("h2",)) as client:
        client.sock.sendall(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
        got = b""
        while data := client.sock.recv(65536):
            got += data
        assert got[3:4] in (b"\x04", b"\x07") and b"HTTP/1.1 " not in got, got


# ---- TL-06: names

@pytest.fixture(scope="module")
def pairs(authority):
    """Several certificates; the first is for everybody else."""
    made = (authority.make("first.test"), authority.make("api.test", ("DNS:api.test", "DNS:other.test")), authority.make("star", ("DNS:*.wild.test",)),
            authority.make("exact", ("DNS:one.wild.test",)))
    return {"certificates": [{"certificate": str(certificate), "key": str(key)} for certificate, key in made]}


NAMES = {
    "first.test": "first.test", "api.test": "api.test", "other.test": "api.test", "a.wild.test": "*.wild.test", "one.wild.test": "one.wild.test",
    "wild.test": None, "a.b.wild.test": None, "nobody.test": None, "xapi.test": None, "xn--bcher-kva.wild.test": "*.wild.test",
}


def test_TL_06_the_certificate_is_chosen_by_name(start, upstream, pairs):
    gateway = start(Gateway, secured(upstream.url, pairs))
    for name, wanted in NAMES.items():
        with SecureClient(gateway.port, name=name) as client:
            assert client.chat().status == 200 and (wanted or "first.test") in client.shown, name
    for name in (None, "127.0.0.1"):
        with SecureClient(gateway.port, name=name) as client:
            assert client.chat().status == 200 and client.shown == ["first.test"]
    # What the ssl module would not send: other cases, a dot at the end, an address, nonsense.
    for name, wanted in (("API.Test", "api.test"), ("api.test.", "api.test"), ("127.0.0.1", "first.test"), ("*.wild.test", "first.test"), ("..", "first.test")):
        said = s_client(gateway, "-servername", name)
        assert f"CN = {wanted}" in said, (name, said[:400])
    assert refused(gateway, "server_name") == 0


def test_TL_06_strict_names_refuse_the_unknown(start, upstream, pairs):
    gateway = start(Gateway, secured(upstream.url, {**pairs, "strict_sni": True}))
    count = 0
    for name, wanted in {**NAMES, None: None}.items():
        for version in ("1.2", "1.3"):
            if wanted:
                with SecureClient(gateway.port, name=name, version=version) as client:
                    assert client.chat().status == 200 and wanted in client.shown, name
            else:
                assert "UNRECOGNIZED_NAME" in refused_handshake(gateway.port, name=name, version=version), name
                count += 1
                wait_refused(gateway, "server_name", count)


def test_TL_06_malformed_names_are_alerts(front):
    usual = GROUPS + SIGNATURES
    for data in (b"", b"\x00\x00", b"\x00\x09\x00\x00\x06a", listed(b"\x00" + listed(b"a\0b.test")), listed(b"\x00" + listed(b"a" * 300))):
        assert verdict(front.port, records(hello(extensions=usual + extension(0, data))))[0] == "alert", data
    for strange in (b"", b'"\\\x7f\xff <script>', b"."):
        assert verdict(front.port, records(hello(extensions=usual + extension(0, listed(b"\x00" + listed(strange))))))[0] in ("alert", "hello")
    assert front.alive()


def test_TL_06_requests_go_by_their_host_whatever_name_the_handshake_had(start, pairs):
    """Routes, and so tenants, go by Host or :authority alone. A client that reuses a connection for another name (RFC 9113 §9.1.1) gets what it
    would get over a connection of its own, so there is nobody to misdirect (421)."""
    one, two = (start(Upstream, answering(lambda request, name=name: answer(b"{}", headers=[("x-by", name)]))) for name in ("one", "two"))
    gateway = start(Gateway, {
        "server": {"tls": pairs}, "upstreams": {"one": generic(one.url), "two": generic(two.url)},
        "routes": [{"match": {"host": "api.test"}, "strategy": {"upstreams": ["one"]}}, {"match": {"host": "other.test"}, "strategy": {"upstreams": ["two"]}}]})
    for name in ("api.test", "other.test", "first.test"):
        with SecureClient(gateway.port, name=name) as client:
            assert client.chat(headers=[("host", "api.test")]).header("x-by") == "one"
            assert client.chat(headers=[("host", "other.test")]).header("x-by") == "two"
            assert client.chat(headers=[("host", "nobody.test")]).status == 404
    curl = ["curl", "-sk", "--http2", "-o", "/dev/null", "-w", "%{http_version} %{http_code} %header{x-by} %{num_connects}\n", "-d", '{"model":"m"}']
    where = ["--resolve", f"api.test:{gateway.port}:127.0.0.1"]
    url = f"https://api.test:{gateway.port}/v1/chat/completions"
    said = subprocess.run([*curl, *where, url, "--next", *curl[1:], "-H", "host: other.test", *where, url], capture_output=True, text=True, timeout=DEADLINE)
    assert said.stdout.split("\n")[:2] == ["2 200 one 1", "2 200 two 0"], said


# ---- TL-07: client certificates

def wants_certificate(authority, **options) -> dict:
    return authority.tls(client_ca=str(authority.ca), **options)


def test_TL_07_without_a_good_certificate_nobody_gets_in(start, upstream, authority, stranger):
    gateway = start(Gateway, secured(upstream.url, wants_certificate(authority)))
    bad = {
        "none": None, "another authority's": stranger.make("client"), "ended": authority.make("client", days=-1),
        "a server's": authority.make("client", usage="serverAuth"), "the authority's own name": (stranger.ca, stranger.key),
    }
    for number, (version, what) in enumerate((version, what) for version in ("1.2", "1.3") for what in bad):
        with pytest.raises((ssl.SSLError, ConnectionError, Broken)) as caught:
            # In TLS 1.3 the client is done before the server has looked: what it sends at once must not become a request.
            with SecureClient(gateway.port, version=version, certificate=bad[what]) as client:
                client.chat()
        assert not isinstance(caught.value, ssl.SSLError) or "ALERT" in str(caught.value).upper(), (version, what, caught.value)
        wait_refused(gateway, "client_certificate", number + 1)
    assert upstream.connections == 0 and gateway.records() == []
    for version in ("1.2", "1.3"):
        with SecureClient(gateway.port, version=version, certificate=authority.make("client", usage="clientAuth")) as client:
            assert client.chat().status == 200


def test_TL_07_optional_certificates_route(start, authority, stranger):
    billing, mesh, rest = (start(Upstream, answering(lambda request, name=name: answer(b"{}", headers=[("x-by", name)]))) for name in ("billing", "mesh", "rest"))
    gateway = start(Gateway, {
        "server": {"tls": wants_certificate(authority, client_auth="optional")},
        "upstreams": {"billing": generic(billing.url), "mesh": generic(mesh.url), "rest": generic(rest.url)},
        "routes": [{"match": {"client_certificate": {"subject": "CN=billing,O=Tests"}}, "strategy": {"upstreams": ["billing"]}},
                   {"match": {"client_certificate": {"san": {"regex": "^URI:spiffe://mesh/"}}}, "strategy": {"upstreams": ["mesh"]}},
                   {"strategy": {"upstreams": ["rest"]}}]})
    certificates = {
        "billing": authority.make("billing"), "mesh": authority.make("svc", ("DNS:svc.test", "URI:spiffe://mesh/svc")),
        "rest": authority.make("billing2", ("URI:spiffe://other/mesh",)),
    }
    for version in ("1.2", "1.3"):
        for wanted, certificate in (*certificates.items(), ("rest", None)):
            settings, session = context(version=version, certificate=certificate), None
            for again in range(2):
                # A resumed session still knows whose it is.
                with SecureClient(gateway.port, using=settings, session=session) as client:
                    assert client.chat().header("x-by") == wanted and client.chat().header("x-by") == wanted
                    assert client.tls.session_reused == bool(again)
                    session = client.tls.session
        assert "UNKNOWN_CA" in refused_handshake(gateway.port, version=version, certificate=stranger.make("billing"))
    wait_refused(gateway, "client_certificate", 2)


def test_TL_07_a_session_does_not_go_round_new_authorities(start, upstream, authority, stranger):
    gateway = start(Gateway, secured(upstream.url, wants_certificate(authority)))
    sessions = {}
    for version in ("1.2", "1.3"):
        sessions[version] = (context(version=version, certificate=authority.make("client")), )
        with SecureClient(gateway.port, using=sessions[version][0]) as client:
            assert client.chat().status == 200
            sessions[version] += (client.tls.session,)
    gateway.reload(secured(upstream.url, authority.tls(client_ca=str(stranger.ca))))
    asked = len(upstream.requests)
    for settings, session in sessions.values():
        with pytest.raises((ssl.SSLError, ConnectionError, Broken)):
            with SecureClient(gateway.port, using=settings, session=session) as client:
                client.chat()
    assert len(upstream.requests) == asked
