#!/usr/bin/env python3
"""An upstream that streams OpenAI chat chunks, or on /v1/messages Anthropic's events, at an exact pace, each stamped with the moment it was sent.

The stamp (CLOCK_MONOTONIC; in the chunk's `system_fingerprint`, or in the text, which outlives a translation) is what lets the client say how long an event was on its way, and thereby
what a proxy adds to it. Streams are spread evenly over the interval, so a proxy sees single events and not all streams at one tick.
`POST /control {"interval_us", "burst", "count"}` sets the pace of the streams opened from then on: one write of `burst` events every
interval, `count` writes in all (0: until the peer leaves). Any other request is answered with a stream.
"""
import gc
import heapq
import json
import random
import select
import socket
import sys
import time

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\nTransfer-Encoding: chunked\r\n\r\n"
OPENAI = (b'data: {"id":"chatcmpl-perf","object":"chat.completion.chunk","created":1700000000,"model":"perf-stream",'
          b'"system_fingerprint":"t', b'","choices":[{"index":0,"delta":{"content":" token"},"finish_reason":null}]}\n\n')
OPENAI_END = b"data: [DONE]\n\n"
ANTHROPIC = (b'event: content_block_delta\ndata: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":" t', b'"}}\n\n')
ANTHROPIC_START = (b'event: message_start\ndata: {"type":"message_start","message":{"id":"msg_perf","type":"message","role":"assistant","model":"perf-translated",'
                   b'"content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":25,"output_tokens":1}}}\n\n'
                   b'event: content_block_start\ndata: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}\n\n')
ANTHROPIC_END = (b'event: content_block_stop\ndata: {"type":"content_block_stop","index":0}\n\n'
                 b'event: message_delta\ndata: {"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":9}}\n\n'
                 b'event: message_stop\ndata: {"type":"message_stop"}\n\n')


def chunk(data):
    return b"%x\r\n%b\r\n" % (len(data), data)


pace = {"interval_us": 25_000, "burst": 1, "count": 0}


class Connection:
    __slots__ = ("socket", "received", "interval", "left", "prefix", "burst", "generation", "event", "end")

    def __init__(self, accepted):
        self.socket, self.received, self.generation, self.left = accepted, b"", 0, 0


def write(connection):
    """One chunk with `burst` events. False when the peer is gone or does not read."""
    event = b"%b%019d%b" % (connection.event[0], time.monotonic_ns(), connection.event[1])
    piece = connection.prefix + event * connection.burst + b"\r\n"
    try:
        return connection.socket.send(piece) == len(piece)
    except OSError:
        return False


def requests(connection):
    """Takes complete requests out of what was received: (target, body) each."""
    while True:
        end = connection.received.find(b"\r\n\r\n")
        if end < 0:
            return
        head = connection.received[:end].lower()
        length = 0
        at = head.find(b"\r\ncontent-length:")
        if at >= 0:
            length = int(head[at + 17:].split(b"\r\n", 1)[0])
        elif b"\r\ntransfer-encoding:" in head:
            final = connection.received.find(b"0\r\n\r\n", end + 4)
            if final < 0:
                return
            length = final + 5 - end - 4
        if len(connection.received) < end + 4 + length:
            return
        target = head.split(b" ", 2)[1]
        body = connection.received[end + 4:end + 4 + length]
        connection.received = connection.received[end + 4 + length:]
        yield target, body


def main():
    listener = socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=8192)
    listener.setblocking(False)
    poller = select.epoll()
    poller.register(listener, select.EPOLLIN)
    connections, due = {}, []

    def close(connection):
        connection.generation += 1
        connections.pop(connection.socket.fileno(), None)
        connection.socket.close()

    def serve(connection, target, body):
        if target == b"/control":
            pace.update(json.loads(body))
            connection.socket.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            return
        connection.interval, connection.burst = pace["interval_us"] * 1000, pace["burst"]
        connection.left = pace["count"] or 1 << 60
        is_anthropic = target.endswith(b"/messages")
        connection.event = ANTHROPIC if is_anthropic else OPENAI
        connection.end = chunk(ANTHROPIC_END if is_anthropic else OPENAI_END) + b"0\r\n\r\n"
        connection.prefix = b"%x\r\n" % ((len(connection.event[0]) + 19 + len(connection.event[1])) * connection.burst)
        connection.generation += 1
        try:
            connection.socket.send(HEAD + (chunk(ANTHROPIC_START) if is_anthropic else b""))
        except OSError:
            return close(connection)
        advance(connection)
        if connection.left > 0:
            first = time.monotonic_ns() + int(random.random() * connection.interval)
            heapq.heappush(due, (first, id(connection), connection.generation, connection))

    def advance(connection):
        if not write(connection):
            return close(connection)
        connection.left -= 1
        if connection.left == 0:
            try:
                connection.socket.send(connection.end)
            except OSError:
                close(connection)

    while True:
        wait = 1.0
        if due:
            wait = max(0.0, (due[0][0] - time.monotonic_ns()) / 1e9)
        # select() on the poller, because it takes microseconds where epoll takes milliseconds.
        if select.select([poller], [], [], wait)[0]:
            for descriptor, _ in poller.poll(0):
                if descriptor == listener.fileno():
                    while True:
                        try:
                            accepted, _ = listener.accept()
                        except OSError:
                            break
                        accepted.setblocking(False)
                        accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                        connections[accepted.fileno()] = Connection(accepted)
                        poller.register(accepted, select.EPOLLIN)
                    continue
                connection = connections.get(descriptor)
                if connection is None:
                    continue
                try:
                    data = connection.socket.recv(262_144)
                except BlockingIOError:
                    continue
                except OSError:
                    data = b""
                if not data:
                    close(connection)
                    continue
                connection.received += data
                for target, body in requests(connection):
                    serve(connection, target, body)
        now = time.monotonic_ns()
        while due and due[0][0] <= now:
            when, _, generation, connection = due[0]
            if generation != connection.generation:
                heapq.heappop(due)
                continue
            advance(connection)
            if generation == connection.generation and connection.left > 0:
                # A late turn does not shorten the next interval: catching up would make bursts out of paced streams.
                heapq.heapreplace(due, (max(when + connection.interval, now), id(connection), generation, connection))
            else:
                heapq.heappop(due)


if __name__ == "__main__":
    gc.disable()
    try:
        main()
    except KeyboardInterrupt:
        pass
