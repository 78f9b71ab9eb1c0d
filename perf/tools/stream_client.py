#!/usr/bin/env python3
"""The client side of the streaming and the holding measurements; one process, told what to do on standard input.

    streams N   opens N streams and reads them. `ready` when each has had an event; then `mark` answers with the events so far and the
                delays (sent → received, from the upstream's stamps) since the mark before.
    hold N      opens N keep-alive connections, one request and its answer on each, and then leaves them idle. `ready` when all are there.
    first N     N streamed requests one after another on one connection; prints the times to the first event and the whole.

Addresses 127.0.0.1 … 127.0.0.8 are used in turn as the client's own, so ports do not run out. Every answer is one line of JSON.
"""
import argparse
import gc
import json
import re
import resource
import select
import socket
import sys
import time

STAMP = re.compile(rb'"(?:system_fingerprint|content)":\s?" ?t(\d{19})"')


def answer(**fields):
    print(json.dumps(fields), flush=True)


def connect(options, index=0):
    connection = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.settimeout(options.patience)
    if options.count > 1000:
        connection.bind((f"127.0.0.{1 + index % 8}", 0))
    connection.connect(("127.0.0.1", options.port))
    return connection


def request(options, stream):
    body = json.dumps({"messages": [{"role": "user", "content": "Tell me about gateways. " * 8}], "model": options.model,
                       "stream": stream}, separators=(",", ":")).encode()
    return (f"POST {options.path} HTTP/1.1\r\nHost: perf.test\r\nAuthorization: Bearer sk-perf\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n").encode() + body


def read_answer(connection):
    """One whole answer with Content-Length or chunked framing. Returns its status."""
    received = b""
    while b"\r\n\r\n" not in received:
        piece = connection.recv(65536)
        if not piece:
            raise ConnectionError("closed before the head was complete")
        received += piece
    head, _, body = received.partition(b"\r\n\r\n")
    lower = head.lower()
    at = lower.find(b"content-length:")
    if at >= 0:
        length = int(lower[at + 15:].split(b"\r\n", 1)[0])
        while len(body) < length:
            piece = connection.recv(65536)
            if not piece:
                raise ConnectionError("closed within the body")
            body += piece
    else:
        while not body.endswith(b"0\r\n\r\n"):
            piece = connection.recv(65536)
            if not piece:
                raise ConnectionError("closed within the body")
            body += piece
    return int(head.split(b" ", 2)[1])


def percentiles(values):
    """Microseconds at the marks a report needs, of nanoseconds."""
    if not values:
        return {}
    values.sort()
    last = len(values) - 1
    return {name: values[min(last, int(last * share))] / 1000 for name, share in (("p50", .5), ("p90", .9), ("p99", .99), ("max", 1.0))}


def streams(options):
    wire = request(options, stream=True)
    poller = select.epoll()
    poller.register(sys.stdin.fileno(), select.EPOLLIN)
    open_streams, tails, heard = {}, {}, set()
    events, broken, delays, error = 0, 0, [], ""
    ready = False
    started = time.monotonic()
    opened = 0
    while True:
        # A few at a time: a listener's backlog is not what is measured here.
        while opened < options.count and opened - len(heard) - broken < 64:
            try:
                connection = connect(options, opened)
                connection.sendall(wire)
                connection.setblocking(False)
                open_streams[connection.fileno()] = connection
                tails[connection.fileno()] = b""
                poller.register(connection, select.EPOLLIN)
            except OSError as failure:
                broken, error = broken + 1, str(failure)
            opened += 1
        for descriptor, _ in poller.poll(0.2):
            if descriptor == sys.stdin.fileno():
                line = sys.stdin.readline().strip()
                if line != "mark":
                    return
                answer(events=events, broken=broken, error=error, stalled=sum(delay > 30_000_000 for delay in delays),
                       measured=len(delays), delay_us=percentiles(delays))
                delays = []
                continue
            connection = open_streams[descriptor]
            try:
                data = connection.recv(262_144)
            except BlockingIOError:
                continue
            except OSError as failure:
                data, error = b"", str(failure)
            if not data:
                broken += 1
                error = error or "closed: " + tails[descriptor][:200].decode("latin-1")
                poller.unregister(descriptor)
                connection.close()
                del open_streams[descriptor]
                continue
            now = time.monotonic_ns()
            data = tails[descriptor] + data
            end = 0
            for match in STAMP.finditer(data):
                events += 1
                delays.append(now - int(match.group(1)))
                end = match.end()
            tails[descriptor] = data[end:][-256:]
            if end and not ready:
                heard.add(descriptor)
        if not ready and (len(heard) + broken >= options.count or time.monotonic() - started > options.patience):
            ready = True
            delays = []
            answer(ready=len(heard), broken=broken, error=error)


def hold(options):
    wire = request(options, stream=False)
    held, refused, error = [], 0, ""
    for index in range(options.count):
        try:
            connection = connect(options, index)
            connection.sendall(wire)
            status = read_answer(connection)
            if status != 200:
                raise ConnectionError(f"status {status}")
            held.append(connection)
        except (OSError, ValueError) as failure:
            refused, error = refused + 1, str(failure)
            if refused > 100:
                break
    answer(ready=len(held), broken=refused, error=error)
    sys.stdin.readline()


def first(options):
    wire = request(options, stream=True)
    connection = connect(options)
    to_first, whole = [], []
    for index in range(options.count + 20):
        begin = time.monotonic_ns()
        connection.sendall(wire)
        received, at_first = b"", 0
        while not received.endswith(b"0\r\n\r\n"):
            piece = connection.recv(65536)
            if not piece:
                raise ConnectionError("closed within a stream: " + received[:200].decode("latin-1"))
            received += piece
            if not at_first and b"data:" in received:
                at_first = time.monotonic_ns()
        if index >= 20:
            to_first.append(at_first - begin)
            whole.append(time.monotonic_ns() - begin)
    answer(first_us=percentiles(to_first), whole_us=percentiles(whole))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=("streams", "hold", "first"))
    parser.add_argument("count", type=int)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--path", required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--patience", type=float, default=20.0)
    options = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    gc.disable()
    {"streams": streams, "hold": hold, "first": first}[options.what](options)


if __name__ == "__main__":
    main()
