"""Upstreams for the tests: `openclaw mock`, and a recorder written here that keeps the raw bytes of all it was sent."""
import json
import re
import socket
import subprocess
import threading

from wire import Client, request, until


class Mock:
    """`openclaw mock` as a process. `settings` are its flags: Mock(binary, tokens=20, ttft_ms=50)."""

    def __init__(self, binary, **settings):
        flags = [f"--set={name.replace('_', '-')}={value}" for name, value in settings.items()]
        self.process = subprocess.Popen([binary, "mock", "--port", "0", *flags], stdout=subprocess.PIPE)
        line = self.process.stdout.readline().decode()
        found = re.search(r":(\d+)$", line.strip())
        assert found, f"the mock did not start: {line!r}"
        self.port = int(found.group(1))

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def admin(self, method, path):
        with Client(self.port) as client:
            return client.ask(request(method, path, host="mock"), method).json()

    def stats(self):
        return self.admin("GET", "/mock/stats")

    def last(self, count=1):
        """The last requests as they came, newest last."""
        found = self.admin("GET", f"/mock/last?n={count}")["requests"]
        return sorted(found, key=lambda one: one["at_ns"])

    def reset(self):
        self.admin("POST", "/mock/reset")

    def stop(self):
        self.process.terminate()
        self.process.wait(10)
        self.process.stdout.close()


class Recorder:
    """An upstream that stores the raw bytes of each connection and answers every request it can frame with 200 and `{}`.
    It frames strictly, by Content-Length or chunked, so bytes that two servers could read differently stand out in `connections`.
    `answer`, if set, is called with (head bytes, body bytes) and returns the raw answer; None closes the connection without one."""

    PLAIN = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"

    def __init__(self):
        self.answer = None
        self.lock = threading.Lock()
        self.connections, self.requests = [], []
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def reset(self):
        with self.lock:
            self.answer = None
            self.connections, self.requests = [], []

    def bytes(self):
        """All that came since the last reset."""
        with self.lock:
            return b"".join(bytes(one) for one in self.connections)

    def heads(self):
        with self.lock:
            return [head for head, _ in self.requests]

    def wait_requests(self, count, deadline=10.0):
        until(lambda: len(self.requests) >= count, f"{count} requests at the recorder, {len(self.requests)} came", deadline)
        with self.lock:
            return list(self.requests)

    def stop(self):
        self.listener.close()

    def _accept(self):
        while True:
            try:
                peer, _ = self.listener.accept()
            except OSError:
                return
            peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self._serve, args=(peer,), daemon=True).start()

    def _serve(self, peer):
        log = None
        pending = bytearray()

        def read():
            nonlocal log
            data = peer.recv(1 << 16)
            if not data:
                raise EOFError
            with self.lock:
                if log is None or not any(log is one for one in self.connections):
                    log = bytearray()
                    self.connections.append(log)
                log.extend(data)
            pending.extend(data)

        def line():
            while b"\r\n" not in pending:
                read()
            at = pending.index(b"\r\n")
            text = bytes(pending[:at])
            del pending[:at + 2]
            return text

        def take(count):
            while len(pending) < count:
                read()
            piece = bytes(pending[:count])
            del pending[:count]
            return piece

        try:
            while True:
                while b"\r\n\r\n" not in pending:
                    read()
                head = take(pending.index(b"\r\n\r\n") + 4)[:-4]
                body = b""
                if length := re.search(rb"(?im)^content-length: *(\d+)\r?$", head):
                    body = take(int(length.group(1)))
                elif re.search(rb"(?im)^transfer-encoding:", head):
                    pieces = []
                    while size := int(line(), 16):
                        pieces.append(take(size + 2)[:-2])
                    body = b"".join(pieces)
                    while line():
                        pass
                with self.lock:
                    self.requests.append((head, body))
                    answer = self.answer
                said = answer(head, body) if answer else self.PLAIN
                if said is None:
                    return
                if head.startswith(b"HEAD "):
                    said = said[:said.index(b"\r\n\r\n") + 4]
                peer.sendall(said)
        except (OSError, EOFError, ValueError):
            pass
        finally:
            peer.close()


def headers(head):
    """The fields of raw head bytes, names in lower case, as a list of pairs."""
    pairs = [line.split(b": ", 1) for line in head.split(b"\r\n")[1:]]
    return [(name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in pairs]


def pretty(value):
    return json.dumps(value, indent=1)[:2000]
