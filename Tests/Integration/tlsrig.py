"""What the TLS tests start and talk through: certificates of any kind, a client whose records and segments a test can shape, hand-made ClientHellos, and
the gateway's counters."""
import re
import select
import socket
import ssl
import struct
import time
import urllib.request

import pytest

from rig import *
from scripted import *
from test_tls_upstreams import Authority

# Alerts of RFC 8446 §6.
UNEXPECTED_MESSAGE, HANDSHAKE_FAILURE, UNKNOWN_CA, DECODE_ERROR, PROTOCOL_VERSION, INAPPROPRIATE_FALLBACK = 10, 40, 48, 50, 70, 86
UNRECOGNIZED_NAME, NO_APPLICATION_PROTOCOL = 112, 120


class Certificates(Authority):
    """An authority that also makes certificates with several names and for clients."""

    def make(self, name: str, names=(), usage: str | None = None, days: int = 2):
        """Certificate and key files; `names` are SAN entries as in `DNS:a.example`, by default the name itself. days < 0: ended already."""
        file = re.sub(r"\W", "_", f"{name}{names}{usage}{days}")
        key, request, certificate, extensions = (self.folder / f"{file}.{kind}" for kind in ("key", "csr", "pem", "ext"))
        if certificate.exists():
            return certificate, key
        extensions.write_text(f"subjectAltName={','.join(names or ('DNS:' + name,))}\n" + (f"extendedKeyUsage={usage}\n" if usage else ""))
        self._openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key, "-out", request, "-subj", f"/O=Tests/CN={name}")
        common = ["-in", request, "-out", certificate, "-extfile", extensions]
        if days > 0:
            self._openssl("x509", "-req", *common, "-CA", self.ca, "-CAkey", self.key, "-CAcreateserial", "-days", days)
        else:
            database = self.folder / "ended"
            if not database.exists():
                database.mkdir()
                (database / "index").write_text("")
                (database / "conf").write_text(f"[ca]\ndefault_ca=one\n[one]\ndatabase={database}/index\nnew_certs_dir={database}\ndefault_md=sha256\n"
                                               "rand_serial=yes\nunique_subject=no\npolicy=any\n[any]\norganizationName=optional\ncommonName=optional\n")
            self._openssl("ca", "-batch", "-notext", "-config", database / "conf", *common, "-cert", self.ca, "-keyfile", self.key,
                          "-startdate", "20200101000000Z", "-enddate", "20210101000000Z")
        return certificate, key

    def tls(self, name: str = "localhost", **options) -> dict:
        """`server.tls` with a certificate of this name."""
        certificate, key = self.make(name, ("DNS:localhost", "IP:127.0.0.1") if name == "localhost" else ())
        return {"certificate": str(certificate), "key": str(key), **options}


@pytest.fixture(scope="session")
def authority(tmp_path_factory):
    return Certificates(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="session")
def stranger(tmp_path_factory):
    """An authority the gateway does not trust."""
    return Certificates(tmp_path_factory.mktemp("stranger"))


def secured(upstream_url: str, tls: dict, **server) -> dict:
    """A configuration with one model upstream behind a TLS listener."""
    return {**single(upstream_url), "server": {"tls": tls, **server}}


def context(alpn=("http/1.1",), version: str | None = None, certificate=None, trust=None) -> ssl.SSLContext:
    """A client's settings; without `trust` any server will do."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if trust is None:
        made.check_hostname, made.verify_mode = False, ssl.CERT_NONE
    else:
        made.load_verify_locations(trust)
    if version:
        made.minimum_version = made.maximum_version = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}[version]
    if alpn:
        made.set_alpn_protocols(list(alpn))
    if certificate:
        made.load_cert_chain(*certificate)
    return made


class Cut(ConnectionResetError):
    """The connection ended without close_notify."""


class SecureSocket:
    """TLS over a socket with OpenSSL's bytes in our hands: `shape(bytes)` makes the pieces that are written one by one. An end with close_notify
    reads as b"", any other is Cut."""

    def __init__(self, sock: socket.socket, context: ssl.SSLContext, name: str | None = "localhost", session=None, shape=None, handshakes: bool = True):
        self.raw, self.shape = sock, shape
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_hostname=name, session=session)
        if handshakes:
            self.handshake()

    def flush(self) -> None:
        if data := self.outgoing.read():
            for piece in self.shape(data) if self.shape else [data]:
                self.raw.sendall(piece)

    def _fill(self) -> None:
        if data := self.raw.recv(262144):
            self.incoming.write(data)
        else:
            raise Cut("the connection ended without close_notify")

    def _do(self, step, *arguments):
        while True:
            try:
                result = step(*arguments)
                self.flush()
                return result
            except ssl.SSLWantReadError:
                self.flush()
                self._fill()
            except ssl.SSLError:
                try:
                    self.flush()
                except OSError:
                    pass
                raise

    def handshake(self) -> None:
        self._do(self.tls.do_handshake)

    def sendall(self, data: bytes) -> None:
        view = memoryview(data)
        while len(view):
            view = view[self._do(self.tls.write, view[:1 << 20]):]

    def recv(self, length: int) -> bytes:
        got = b""
        try:
            got = self._do(self.tls.read, length)
            while len(got) < length and (self.tls.pending() or self.incoming.pending):
                got += self.tls.read(length - len(got))
        except (ssl.SSLZeroReturnError, ssl.SSLWantReadError):
            # Said again by the next read.
            pass
        return got

    def goodbye(self) -> None:
        """Says close_notify, and goes on reading."""
        try:
            self.tls.unwrap()
        except (ssl.SSLWantReadError, ssl.SSLSyscallError):
            pass
        self.flush()

    def fin(self) -> None:
        """Ends our side of the TCP connection without a word of TLS."""
        self.raw.shutdown(socket.SHUT_WR)

    def settimeout(self, seconds) -> None:
        self.raw.settimeout(seconds)

    def setsockopt(self, *arguments) -> None:
        self.raw.setsockopt(*arguments)

    def close(self) -> None:
        self.raw.close()


class SecureClient(Client):
    """A strict HTTP/1.1 client over TLS. Options beyond those of SecureSocket make its context."""

    def __init__(self, port: int, name: str | None = "localhost", session=None, shape=None, receive_buffer: int = 0, using: ssl.SSLContext | None = None, **options):
        super().__init__(port, receive_buffer=receive_buffer)
        try:
            self.sock = SecureSocket(self.sock, using or context(**options), name, session, shape)
        except BaseException:
            self.sock.close()
            raise

    @property
    def tls(self):
        return self.sock.tls

    @property
    def shown(self) -> list[str]:
        """Names in the certificate the gateway showed."""
        der = self.tls.getpeercert(binary_form=True)
        # Entries of the SAN extension are DER's [2] (0x82), a length, and the name as it is.
        found = (der[match.end():match.end() + der[match.start() + 1]] for match in re.finditer(rb"\x82[\x04-\x40]", der))
        return [name.decode() for name in found if re.fullmatch(rb"[a-z0-9.*-]+", name)]

    def is_closed(self, seconds: float = DEADLINE) -> bool:
        """Does the gateway end the connection with close_notify, with nothing more to read?"""
        self.sock.settimeout(seconds)
        return self.pending == b"" and self.sock.recv(1) == b""


def refused_handshake(port: int, **options) -> str:
    """The reason a handshake, or the first read behind it (TLS 1.3 tells clients then), ends with."""
    try:
        with SecureClient(port, **options) as client:
            client.send("GET", "/v1/models")
            client.read_head()
    except ssl.SSLError as error:
        return str(error).upper().replace(" ", "_")
    except (ConnectionError, Broken) as error:
        return type(error).__name__
    raise AssertionError("the handshake was accepted")


# ---- hand-made ClientHellos

def extension(kind: int, data: bytes) -> bytes:
    return struct.pack(">HH", kind, len(data)) + data


def listed(data: bytes, width: str = ">H") -> bytes:
    return struct.pack(width, len(data)) + data


GROUPS = extension(10, listed(b"\x00\x1d\x00\x17"))
SIGNATURES = extension(13, listed(b"\x04\x03\x08\x04\x05\x03\x08\x05"))
ECDHE = (0xC02B, 0xC02F)


def hello(version: int = 0x0303, ciphers=ECDHE, compressions: bytes = b"\0", extensions: bytes = GROUPS + SIGNATURES) -> bytes:
    """A ClientHello message, without its records."""
    body = struct.pack(">H", version) + bytes(range(32)) + b"\0" + listed(b"".join(struct.pack(">H", cipher) for cipher in ciphers))
    body += listed(compressions, ">B") + (listed(extensions) if extensions else b"")
    return b"\x01" + struct.pack(">I", len(body))[1:] + body


def records(message: bytes, version: int = 0x0301, size: int = 16384) -> bytes:
    """A handshake message in records of at most so many bytes."""
    return b"".join(b"\x16" + struct.pack(">H", version) + listed(message[at:at + size]) for at in range(0, len(message), size))


def verdict(port: int, data: bytes, fin: bool = False):
    """What the gateway says to these first bytes: ("alert", number), ("hello", ServerHello) or ("closed",)."""
    got = b""
    try:
        with socket.create_connection(("127.0.0.1", port), DEADLINE) as sock:
            sock.sendall(data)
            if fin:
                sock.shutdown(socket.SHUT_WR)
            while len(got) < 5 or len(got) < 5 + int.from_bytes(got[3:5], "big"):
                more = sock.recv(65536)
                if not more:
                    return ("closed",)
                got += more
    except ConnectionError:
        if len(got) < 7:
            return ("closed",)
    return ("alert", got[6]) if got[0] == 21 else ("hello", got[5:5 + int.from_bytes(got[3:5], "big")])


# ---- counters

def metric(gateway, name: str, **labels) -> float:
    """Sum of the series of this name that have these labels."""
    with urllib.request.urlopen(f"http://127.0.0.1:{gateway.admin_port}/metrics", timeout=DEADLINE) as answer:
        text = answer.read().decode()
    total = 0.0
    for found, value in re.findall(rf"^{name}(?:{{(.*)}})? (\S+)$", text, re.M):
        if dict(re.findall(r'(\w+)="([^"]*)"', found)).items() >= labels.items():
            total += float(value)
    return total


def refused(gateway, reason: str) -> int:
    return int(metric(gateway, "openclaw_refused_total", reason=reason))


def wait_refused(gateway, reason: str, count: int) -> None:
    wait_for(lambda: refused(gateway, reason) >= count, what=f"{count} refused as {reason}")
    assert refused(gateway, reason) == count


def memory(gateway) -> int:
    """Resident bytes of the process."""
    return int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{gateway.process.pid}/status").read_text())[1]) * 1024


def canned(body: bytes = b"{}"):
    """Script of an upstream that answers everything alike."""
    return answering(lambda request: answer(body))
