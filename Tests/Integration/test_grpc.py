"""gRPC through the gateway to an `http` upstream over HTTP/2 with prior knowledge: the four kinds of calls, metadata both ways, status in trailers, deadlines and
cancellations, large messages and many at a time. Messages are bytes, so no generated code is needed; the service is the official `grpcio` on both ends."""
import os
import threading
import time
from concurrent import futures

# Gateways are started by fork: the library's own handlers for that end the child before it is one.
os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"
import grpc
import pytest

from h2rig import *
from h2attack import transport  # one per backend

SERVICE = "openclaw.test.Echo"
LIMIT = [("grpc.max_receive_message_length", 64 << 20), ("grpc.max_send_message_length", 64 << 20)]
TIMEOUT = 20


class Service(grpc.GenericRpcHandler):
    """Echo in every shape; what it saw is kept for the test."""

    def __init__(self):
        self.metadata, self.deadlines, self.cancelled, self.running = [], [], threading.Event(), threading.Event()

    def service(self, call):
        method = call.method.rsplit("/", 1)[1]
        kinds = {"Unary": grpc.unary_unary_rpc_method_handler, "ServerStream": grpc.unary_stream_rpc_method_handler, "ClientStream": grpc.stream_unary_rpc_method_handler,
                 "Bidirectional": grpc.stream_stream_rpc_method_handler, "Fail": grpc.unary_unary_rpc_method_handler, "FailLate": grpc.unary_stream_rpc_method_handler,
                 "Hang": grpc.unary_stream_rpc_method_handler, "Metadata": grpc.unary_unary_rpc_method_handler}
        if method not in kinds:
            return None
        self.metadata.append(dict(call.invocation_metadata))
        return kinds[method](getattr(self, method))

    def Unary(self, message, context):
        return message[::-1]

    def ServerStream(self, message, context):
        for number in range(int(message)):
            yield b"%d" % number

    def ClientStream(self, messages, context):
        return b"%d" % sum(len(message) for message in messages)

    def Bidirectional(self, messages, context):
        for message in messages:
            yield message.upper()

    def Fail(self, message, context):
        context.set_trailing_metadata((("x-why", "because"), ("x-bytes-bin", b"\0\1\xff")))
        context.abort(grpc.StatusCode.FAILED_PRECONDITION, "not like this: 100% \u00e9")

    def FailLate(self, message, context):
        yield b"one"
        yield b"two"
        context.abort(grpc.StatusCode.DATA_LOSS, "lost")

    def Hang(self, message, context):
        self.deadlines.append(context.time_remaining())
        context.add_callback(self.cancelled.set)
        self.running.set()
        yield b"first"
        self.cancelled.wait(TIMEOUT)

    def Metadata(self, message, context):
        context.send_initial_metadata((("x-initial", "i"), ("x-initial-bin", b"\xfe\0")))
        context.set_trailing_metadata((("x-trailing", "t"),))
        return repr(sorted(tuple(pair) for pair in context.invocation_metadata() if pair[0].startswith("x-mine"))).encode()


@pytest.fixture(scope="module")
def server():
    service = Service()
    server = grpc.server(futures.ThreadPoolExecutor(64), options=LIMIT)
    server.add_generic_rpc_handlers((service,))
    service.port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield service
    server.stop(0)


@pytest.fixture
def service(server):
    server.metadata.clear()
    server.deadlines.clear()
    server.cancelled.clear()
    server.running.clear()
    return server


@pytest.fixture
def through(door, service, gateway):
    """The gateway in front of the service."""
    configuration = gateway.configuration(plain=f"http://127.0.0.1:{service.port}")
    configuration["upstreams"]["plain"]["protocol"] = "http2"
    return door(raw=configuration)


@pytest.fixture
def channel(through, authority):
    if through.target.tls:
        channel = grpc.secure_channel(f"127.0.0.1:{through.target.port}", grpc.ssl_channel_credentials(authority.ca.read_bytes()), [*LIMIT, ("grpc.ssl_target_name_override", "localhost")])
    else:
        channel = grpc.insecure_channel(f"127.0.0.1:{through.target.port}", LIMIT)
    yield channel
    channel.close()


def unary(channel, method="Unary"):
    return channel.unary_unary(f"/{SERVICE}/{method}")


def test_a_unary_call(channel, service):
    for message in (b"", b"hello", bytes(range(256))):
        assert unary(channel)(message, timeout=TIMEOUT) == message[::-1]
    seen = service.metadata[-1]
    assert seen["user-agent"].startswith("grpc-python")


@pytest.mark.parametrize("size", [16384, 65535, 5_000_000])
def test_large_messages_both_ways(channel, size):
    message = b"ab" * (size // 2)
    assert unary(channel)(message, timeout=TIMEOUT) == message[::-1]


def test_a_server_stream(channel):
    got = list(channel.unary_stream(f"/{SERVICE}/ServerStream")(b"2000", timeout=TIMEOUT))
    assert got == [b"%d" % number for number in range(2000)]
    assert list(channel.unary_stream(f"/{SERVICE}/ServerStream")(b"0", timeout=TIMEOUT)) == []


def test_a_client_stream(channel):
    assert channel.stream_unary(f"/{SERVICE}/ClientStream")(iter([b"x" * 1000] * 300), timeout=TIMEOUT) == b"300000"
    assert channel.stream_unary(f"/{SERVICE}/ClientStream")(iter([]), timeout=TIMEOUT) == b"0"


def test_a_bidirectional_stream_message_by_message(channel):
    """Each answer is here before the next question is asked: nothing waits for the end of the request."""
    ask, answers = threading.Semaphore(0), []

    def questions():
        for number in range(20):
            assert ask.acquire(timeout=TIMEOUT)
            yield b"word%d" % number

    call = channel.stream_stream(f"/{SERVICE}/Bidirectional")(questions(), timeout=TIMEOUT)
    for number in range(20):
        ask.release()
        answers.append(next(call))
    assert answers == [b"WORD%d" % number for number in range(20)] and list(call) == []


def test_an_error_keeps_its_status_message_and_trailers(channel):
    with pytest.raises(grpc.RpcError) as failure:
        unary(channel, "Fail")(b"x", timeout=TIMEOUT)
    error = failure.value
    assert error.code() == grpc.StatusCode.FAILED_PRECONDITION and error.details() == "not like this: 100% \u00e9"
    trailing = dict(error.trailing_metadata())
    assert trailing["x-why"] == "because" and trailing["x-bytes-bin"] == b"\0\1\xff"


def test_an_unknown_method_is_the_services_to_refuse(channel):
    with pytest.raises(grpc.RpcError) as failure:
        unary(channel, "Nothing")(b"x", timeout=TIMEOUT)
    assert failure.value.code() == grpc.StatusCode.UNIMPLEMENTED


def test_an_error_behind_messages(channel):
    call = channel.unary_stream(f"/{SERVICE}/FailLate")(b"x", timeout=TIMEOUT)
    got = []
    with pytest.raises(grpc.RpcError) as failure:
        for message in call:
            got.append(message)
    assert got == [b"one", b"two"] and failure.value.code() == grpc.StatusCode.DATA_LOSS and failure.value.details() == "lost"


def test_metadata_both_ways(channel):
    answer, call = unary(channel, "Metadata").with_call(b"x", timeout=TIMEOUT, metadata=(("x-mine", "1"), ("x-mine-bin", b"\0\xff"), ("x-mine-too", "two words")))
    assert answer == repr([("x-mine", "1"), ("x-mine-bin", b"\0\xff"), ("x-mine-too", "two words")]).encode()
    initial, trailing = dict(call.initial_metadata()), dict(call.trailing_metadata())
    assert initial["x-initial"] == "i" and initial["x-initial-bin"] == b"\xfe\0" and trailing["x-trailing"] == "t"


def test_a_deadline_reaches_the_service_and_ends_the_call(channel, service):
    call = channel.unary_stream(f"/{SERVICE}/Hang")(b"x", timeout=1)
    assert next(call) == b"first"
    with pytest.raises(grpc.RpcError) as failure:
        next(call)
    assert failure.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    assert service.deadlines and 0 < service.deadlines[0] <= 1.1, "grpc-timeout is passed on"
    assert service.cancelled.wait(5)


def test_a_cancelled_call_is_cancelled_at_the_service(channel, service):
    call = channel.unary_stream(f"/{SERVICE}/Hang")(b"x", timeout=TIMEOUT)
    assert next(call) == b"first"
    began = time.monotonic()
    call.cancel()
    assert service.cancelled.wait(5) and time.monotonic() - began < 2


def test_many_calls_at_a_time(channel):
    calls = [unary(channel).future(b"%d" % number, timeout=TIMEOUT) for number in range(200)]
    assert [call.result() for call in calls] == [(b"%d" % number)[::-1] for number in range(200)]
    streams = [channel.unary_stream(f"/{SERVICE}/ServerStream")(b"50", timeout=TIMEOUT) for _ in range(40)]
    assert all(len(list(stream)) == 50 for stream in streams)


def test_a_service_that_is_not_there_is_unavailable(door, gateway, authority):
    """An error of the gateway's own is one a gRPC client understands: by its status, if nothing better."""
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
    configuration = gateway.configuration(plain=f"http://127.0.0.1:{port}")
    configuration["upstreams"]["plain"]["protocol"] = "http2"
    target = door(raw=configuration).target
    credentials = grpc.ssl_channel_credentials(authority.ca.read_bytes())
    with (grpc.secure_channel(f"127.0.0.1:{target.port}", credentials, [("grpc.ssl_target_name_override", "localhost")]) if target.tls else grpc.insecure_channel(f"127.0.0.1:{target.port}")) as channel:
        with pytest.raises(grpc.RpcError) as failure:
            unary(channel)(b"x", timeout=TIMEOUT)
    assert failure.value.code() == grpc.StatusCode.UNAVAILABLE, failure.value
