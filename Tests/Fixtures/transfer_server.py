#!/usr/bin/env python3
"""The other side of TransferTests: an HTTPS server with good and bad manners, a CONNECT proxy and, where
nghttpd is installed, an HTTP/2 server.

    transfer_server.py DIRECTORY

Makes a certificate authority and certificates in DIRECTORY with openssl, prints one line of JSON with the ports and
ends when its standard input ends. What happens is appended to DIRECTORY/log, one line each:

    accept N | handshake-refused N | request N METHOD PATH [cn=NAME] | closed N | sent N BYTES | tunnel HOST:PORT
"""
import hashlib, json, os, shutil, signal, socket, ssl, struct, subprocess, sys, threading, time
from urllib.parse import parse_qs, urlsplit

# The parent may have left us the writing end of our own standard input: with it, it would never end.
os.closerange(3, 4096)
# A child of a dispatch thread starts with nearly every signal blocked, and so would nghttpd.
signal.pthread_sigmask(signal.SIG_SETMASK, [])
directory = sys.argv[1]
log_lock = threading.Lock()
log_file = open(os.path.join(directory, "log"), "a", buffering=1)
gate = threading.Event()
connection_count = 0


def log(*words):
    with log_lock:
        log_file.write(" ".join(str(w) for w in words) + "\n")


def path(name):
    return os.path.join(directory, name)


def openssl(*arguments):
    subprocess.run(["openssl", *arguments], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def make_authority(name):
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
            "-subj", "/CN=" + name, "-keyout", path(name + ".key"), "-out", path(name + ".pem"))


def make_certificate(name, authority, extension, days="2"):
    openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=" + name,
            "-keyout", path(name + ".key"), "-out", path(name + ".csr"))
    with open(path(name + ".ext"), "w") as f:
        f.write(extension + "\n")
    openssl("x509", "-req", "-in", path(name + ".csr"), "-CA", path(authority + ".pem"), "-CAkey", path(authority + ".key"),
            "-CAcreateserial", "-days", days, "-extfile", path(name + ".ext"), "-out", path(name + ".pem"))


def pattern(count, offset=0):
    """Byte i of any body is i * 31 mod 251."""
    cycle = bytes(i * 31 % 251 for i in range(251))
    start = offset % 251
    return (cycle[start:] + cycle * (count // 251 + 1))[:count]


class Gone(Exception):
    pass


class Connection:
    def __init__(self, sock, number, name):
        self.sock, self.number, self.name, self.rest = sock, number, name, b""

    def more(self):
        data = self.sock.recv(65536)
        if not data:
            raise Gone
        self.rest += data

    def read_head(self):
        while b"\r\n\r\n" not in self.rest:
            self.more()
        head, _, self.rest = self.rest.partition(b"\r\n\r\n")
        return head + b"\r\n\r\n"

    def read_body(self, length):
        while len(self.rest) < length:
            self.more()
        body, self.rest = self.rest[:length], self.rest[length:]
        return body

    def answer(self, body, status="200 OK", extra=b""):
        self.sock.sendall(b"HTTP/1.1 %s\r\nContent-Length: %d\r\n%s\r\n" % (status.encode(), len(body), extra) + body)

    def chunk(self, data):
        self.sock.sendall(b"%x\r\n%s\r\n" % (len(data), data))

    def serve(self):
        while True:
            head = self.read_head()
            method, target, _ = head.split(b"\r\n")[0].decode().split(" ", 2)
            log("request", self.number, method, target, "cn=" + self.name if self.name else "")
            fields = {}
            for line in head.split(b"\r\n")[1:]:
                key, _, value = line.partition(b":")
                fields[key.strip().lower()] = value.strip()
            url = urlsplit(target)
            query = {k: int(v[0]) for k, v in parse_qs(url.query).items()}
            length = int(fields.get(b"content-length", b"0"))
            if url.path == "/early413":  # answered before the body was read
                self.answer(b"too large", "413 Content Too Large", b"Connection: close\r\n")
                time.sleep(0.2)
                return
            body = self.read_body(length)
            act = getattr(self, "do_" + url.path[1:].replace("-", "_"), None)
            if act is None:
                self.answer(b"no such thing", "404 Not Found")
            elif act(method, head, body, query) is False:
                return

    # each returns False to close the connection
    def do_hello(self, method, head, body, query):
        self.answer(b"" if method == "HEAD" else b"hello")

    def do_head(self, method, head, body, query):
        self.answer(head)

    def do_echo(self, method, head, body, query):
        self.answer(body)

    def do_digest(self, method, head, body, query):
        self.answer(("%d %s" % (len(body), hashlib.sha256(body).hexdigest())).encode())

    def do_who(self, method, head, body, query):
        self.answer(("%d %s" % (self.number, self.name)).encode())

    def do_encoded(self, method, head, body, query):
        self.answer(b"\x1f\x8bnot really gzip", extra=b"Content-Encoding: gzip\r\nSet-Cookie: a=b\r\n")

    def do_moved(self, method, head, body, query):
        self.answer(b"elsewhere", "302 Found", b"Location: /hello\r\n")

    def do_gated(self, method, head, body, query):
        gate.clear()
        self.sock.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Type: text/event-stream\r\n\r\n")
        self.chunk(b"one")
        gate.wait(10)
        self.chunk(b"two")
        self.sock.sendall(b"0\r\nX-Trailer: late\r\n\r\n")

    def do_open(self, method, head, body, query):
        gate.set()
        self.answer(b"opened")

    def do_big(self, method, head, body, query):
        total, sent = query["bytes"], 0
        self.sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % total)
        while sent < total:
            n = min(65536, total - sent)
            self.sock.sendall(pattern(n, sent))
            sent += n
        log("sent", self.number, sent)

    def do_endless(self, method, head, body, query):
        self.sock.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            self.chunk(b"tick")
            time.sleep(0.01)

    def do_interim(self, method, head, body, query):
        self.sock.sendall(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n")
        self.answer(b"final", extra=b"X-Odd:   spaced   \r\nX-Empty:\r\n")

    def do_hang(self, method, head, body, query):
        while True:
            self.more()

    def raw(self, data):
        self.sock.sendall(data)
        return False

    def do_cut(self, *_):
        return self.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n0123456789")

    def do_cut_chunk(self, *_):
        return self.raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")

    def do_cut_head(self, *_):
        return self.raw(b"HTTP/1.1 200 OK\r\nContent-Le")

    def do_cut_head_line(self, *_):
        return self.raw(b"HTTP/1.1 200 OK\r\nX-A: b\r\n")

    def do_nothing(self, *_):
        return False

    def do_reset(self, *_):
        self.sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n0123456789")
        time.sleep(0.05)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        os.close(self.sock.detach())
        raise Gone

    def do_garbage(self, *_):
        return self.raw(b"SSH-2.0-OpenSSH_9.2\r\n\r\n\0\1\2\3")

    def do_bad_status(self, *_):
        return self.raw(b"HTTP/1.1 twohundred OK\r\nContent-Length: 0\r\n\r\n")

    def do_bad_chunk(self, *_):
        return self.raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n0\r\n\r\n")

    def do_two_lengths(self, *_):
        return self.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!")

    def do_both_framings(self, *_):
        return self.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")

    def do_odd_coding(self, *_):
        return self.raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n")

    def do_folded(self, *_):
        return self.raw(b"HTTP/1.1 200 OK\r\nX-A: b\r\n c\r\nContent-Length: 0\r\n\r\n")

    def do_nul(self, *_):
        return self.raw(b"HTTP/1.1 200 OK\r\nX-A: b\0c\r\nContent-Length: 0\r\n\r\n")

    def do_bare_cr(self, *_):
        return self.raw(b"HTTP/1.1 200 OK\r\nX-A: b\rX-B: c\r\nContent-Length: 0\r\n\r\n")

    def do_no_colon(self, *_):
        return self.raw(b"HTTP/1.1 200 OK\r\nnothing here\r\nContent-Length: 0\r\n\r\n")

    def do_spaced_name(self, *_):
        return self.raw(b"HTTP/1.1 200 OK\r\nContent-Length : 0\r\n\r\n")

    def do_switching(self, *_):
        return self.raw(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n")

    def do_long_head(self, *_):
        return self.raw(b"HTTP/1.1 200 OK\r\n" + b"".join(b"X-%d: %s\r\n" % (i, b"v" * 90) for i in range(1000)) + b"\r\n")

    def do_long_line(self, *_):
        return self.raw(b"HTTP/1.1 200 OK\r\nX-A: " + b"v" * 200000 + b"\r\n\r\n")

    def do_fitting_head(self, method, head, body, query):
        self.answer(b"ok", extra=b"".join(b"X-%03d: %s\r\n" % (i, b"v" * 90) for i in range(600)))


def connection(sock, context):
    global connection_count
    with log_lock:
        connection_count += 1
        number = connection_count
    log("accept", number)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    name = ""
    try:
        if context:
            try:
                sock = context.wrap_socket(sock, server_side=True)
            except (ssl.SSLError, OSError):
                log("handshake-refused", number)
                return
            certificate = sock.getpeercert() if context.verify_mode != ssl.CERT_NONE else None
            if certificate:
                name = dict(pair[0] for pair in certificate["subject"])["commonName"]
        Connection(sock, number, name).serve()
    except (Gone, OSError, ssl.SSLError):
        pass
    finally:
        try:
            sock.close()
        except OSError:
            pass
        log("closed", number)


def proxy(sock, _):
    """CONNECT only. Port 1 is refused with 403, port 2 with a closed connection; any host means 127.0.0.1."""
    try:
        head = b""
        while b"\r\n\r\n" not in head:
            data = sock.recv(65536)
            if not data:
                return
            head += data
        target = head.split()[1].decode()
        log("tunnel", target, "authorization" if b"authorization" in head.lower() else "plain")
        port = int(target.rpartition(":")[2])
        if port == 1:
            sock.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 6\r\n\r\ndenied")
            return
        if port == 2:
            return
        other = socket.create_connection(("127.0.0.1", port))
        sock.sendall(b"HTTP/1.1 200 Connection established\r\nX-Proxy: yes\r\n\r\n")

        def pump(a, b):
            try:
                while data := a.recv(65536):
                    b.sendall(data)
                b.shutdown(socket.SHUT_WR)
            except OSError:
                pass
        back = threading.Thread(target=pump, args=(other, sock), daemon=True)
        back.start()
        pump(sock, other)
        back.join()
        other.close()
    finally:
        sock.close()


def mute(sock, _):
    """Accepts, and never says a word."""
    try:
        while sock.recv(65536):
            pass
    finally:
        sock.close()


def banner(sock, _):
    """Speaks first, and not TLS."""
    sock.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")
    mute(sock, _)


def listen(serve, context=None):
    server = socket.create_server(("127.0.0.1", 0), backlog=128)

    def loop():
        while True:
            sock, _ = server.accept()
            threading.Thread(target=serve, args=(sock, context), daemon=True).start()
    threading.Thread(target=loop, daemon=True).start()
    return server.getsockname()[1]


def tls(certificate, clients=False):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path(certificate + ".pem"), path(certificate + ".key"))
    context.set_alpn_protocols(["http/1.1"])
    if clients:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(path("authority.pem"))
    return context


def http2():
    program = shutil.which("nghttpd") or shutil.which("nghttpd", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")
    if not program:
        return None, None
    os.mkdir(path("htdocs"))
    with open(path("htdocs/small"), "wb") as f:
        f.write(b"small")
    with open(path("htdocs/big"), "wb") as f:
        f.write(pattern(12 << 20))
    probe = socket.create_server(("127.0.0.1", 0))
    port = probe.getsockname()[1]
    probe.close()
    process = subprocess.Popen([program, "-v", "--echo-upload", "--address=127.0.0.1", "--htdocs=" + path("htdocs"), str(port),
                                path("server.key"), path("server.pem")],
                               stdin=subprocess.DEVNULL, stdout=open(path("nghttpd.log"), "wb"), stderr=subprocess.STDOUT)
    for _ in range(100):
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return process, port
        except OSError:
            time.sleep(0.02)
    process.terminate()
    return None, None


make_authority("authority")
make_authority("stranger")
make_certificate("server", "authority", "subjectAltName=DNS:localhost,IP:127.0.0.1")
make_certificate("expired", "authority", "subjectAltName=DNS:localhost,IP:127.0.0.1", days="-1")
make_certificate("alice", "authority", "extendedKeyUsage=clientAuth")
make_certificate("bob", "authority", "extendedKeyUsage=clientAuth")
h2_process, h2_port = http2()
closed = socket.create_server(("127.0.0.1", 0))
refusing_port = closed.getsockname()[1]
closed.close()
print(json.dumps({
    "tls": listen(connection, tls("server")), "plain": listen(connection), "expired": listen(connection, tls("expired")),
    "mutual": listen(connection, tls("server", clients=True)), "proxy": listen(proxy), "mute": listen(mute),
    "banner": listen(banner),
    "refusing": refusing_port, "h2": h2_port or 0}), flush=True)
sys.stdin.read()
if h2_process:
    h2_process.kill()
    h2_process.wait()
shutil.rmtree(directory, ignore_errors=True)
os._exit(0)
