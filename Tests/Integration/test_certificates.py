"""Certificates of the listener for clients: what is wrong with them is found by check, serve and reload, and they are taken up anew when their files
change (row TL-08)."""
import json
import shutil
import ssl
import subprocess
import urllib.request

import pytest

from rig import *
from scripted import *
from test_tls_upstreams import Authority


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"))


class Pair:
    """Certificate and key files of the gateway, changed as the tools that renew certificates do it: written over, or moved into their place."""

    def __init__(self, folder, authority):
        self.certificate, self.key, self.authority = folder / "server.pem", folder / "server.key", authority
        self.put("localhost")

    def put(self, name: str, days: int = 2) -> None:
        self.put_files(*self.authority.issue(name, days))

    def put_files(self, certificate, key) -> None:
        for source, target in ((certificate, self.certificate), (key, self.key)):
            shutil.copy(source, target.with_suffix(".new"))
            target.with_suffix(".new").replace(target)

    @property
    def tls(self) -> dict:
        return {"certificate": str(self.certificate), "key": str(self.key)}

    def der(self) -> bytes:
        return ssl.PEM_cert_to_DER_cert(self.certificate.read_text())


@pytest.fixture
def pair(tmp_path, authority):
    return Pair(tmp_path, authority)


class SecureClient(Client):
    def __init__(self, port: int):
        super().__init__(port)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        self.sock = context.wrap_socket(self.sock, server_hostname="localhost")

    @property
    def certificate(self) -> bytes:
        return self.sock.getpeercert(binary_form=True)


def served(gateway) -> bytes:
    """The certificate that a new connection is shown."""
    with SecureClient(gateway.port) as client:
        assert client.ask("GET", "/v1/models").status == 200
        return client.certificate


def status(gateway) -> dict:
    with urllib.request.urlopen(f"http://127.0.0.1:{gateway.admin_port}/admin/status", timeout=DEADLINE) as answer:
        return json.load(answer)


def config(pair, **tls) -> dict:
    return {**single("http://127.0.0.1:9/v1", models=["m"]), "server": {"tls": {**pair.tls, **tls}}}


BAD = {
    "garbage for a certificate": lambda pair, authority: pair.certificate.write_text("-----BEGIN CERTIFICATE-----\ngarbage\n-----END CERTIFICATE-----\n"),
    "garbage for a key": lambda pair, authority: pair.key.write_text("garbage\n"),
    "an empty certificate": lambda pair, authority: pair.certificate.write_text(""),
    "another's key": lambda pair, authority: shutil.copy(authority.issue("other.example")[1], pair.key),
    "an expired certificate": lambda pair, authority: pair.put("localhost", -1),
}


def openclaw(*arguments) -> subprocess.CompletedProcess:
    return subprocess.run([BINARY, *map(str, arguments)], capture_output=True, text=True, timeout=DEADLINE)


@pytest.mark.parametrize("what", BAD)
def test_a_bad_pair_is_refused_by_check_and_serve_with_its_file(pair, authority, tmp_path, what):
    BAD[what](pair, authority)
    file = tmp_path / "openclaw.yaml"
    file.write_text(json.dumps({"upstreams": {"a": {"type": "generic", "base_url": "http://127.0.0.1:9/v1"}}, "server": {"listen_port": 0, "admin": {"listen_port": 0}, "tls": pair.tls}}))
    for result in (openclaw("check", "--config", file), openclaw("serve", "--unsupervised", "--config", file)):
        assert result.returncode == 78, (what, result.stderr)
        assert "server.pem" in result.stderr or "server.key" in result.stderr, result.stderr


@pytest.mark.parametrize("what", BAD)
def test_TL_08_a_bad_pair_leaves_the_old_one_in_force(start, pair, authority, what):
    gateway = start(Gateway, config(pair))
    old = pair.der()
    assert served(gateway) == old
    with SecureClient(gateway.port) as before:
        BAD[what](pair, authority)
        told = gateway.messages.wait("changed certificates refused")
        assert "server.pem" in told.string or "server.key" in told.string, told.string
        assert served(gateway) == old
        assert before.ask("GET", "/v1/models").status == 200, "connections that were there are not touched"
        said = status(gateway)["config"]
        assert said["reloads_refused"] == 1 and said["reloads_ok"] == 0 and ("server.pem" in said["last_error"] or "server.key" in said["last_error"])
        # A reload by hand comes to the same verdict.
        gateway.reload(accepted=False)
        assert served(gateway) == old
        # It heals by itself.
        pair.put("healed.example")
        gateway.messages.wait("changed certificates are in force")
        assert wait_for(lambda: served(gateway) == pair.der() or None)
        said = status(gateway)["config"]
        assert said["last_error"] is None and said["reloads_ok"] == 1
        assert before.ask("GET", "/v1/models").status == 200


def test_certificates_are_taken_up_when_their_files_change(start, pair, tmp_path):
    gateway = start(Gateway, config(pair))
    with SecureClient(gateway.port) as before:
        first = before.certificate
        for turn, name in enumerate(("one.example", "two.example")):
            seen = len(gateway.messages.all)
            pair.put(name)
            told = gateway.messages.wait("changed certificates are in force", start=seen)
            assert "server.pem" in told.string
            assert wait_for(lambda: served(gateway) == pair.der() or None)
            assert before.ask("GET", "/v1/models").status == 200 and before.certificate == first
            assert status(gateway)["config"]["reloads_ok"] == turn + 1


def test_status_tells_listeners_their_certificates_and_kernel_tls(start, pair):
    gateway = start(Gateway, config(pair, min_version="1.3"))
    said = status(gateway)
    main = said["listeners"][0]
    assert main["name"] == "main" and main["port"] == gateway.port and main["protocols"] == ["h2", "http/1.1"]
    left = main["tls"]["certificate_expires"] - time.time()
    assert 0 < left <= 2 * 86400 + 60 and main["tls"]["client_auth"] == "none" and main["tls"]["min_version"] == "1.3"
    assert said["libraries"]["tls"].startswith("OpenSSL") and said["libraries"]["kernel_tls"]
