"""Around every attack of the HTTP/2 tests: the gateway's memory and processor time stay flat, another client is served all the while, and the reason is in
the metrics. Bounds are wide enough for a debug build on a busy machine and narrow enough that an attack which works does not fit."""
import contextlib
import threading
import time

from h2rig import *
from wire import until


@pytest.fixture
def transport(backend):
    """One transport per backend: what the limits are made of is the same behind all four pairs, which the tables of cases go through."""
    return {"epoll": "tls", "io_uring": "h2c"}[backend]


MEMORY = 24 << 20
CPU_SECONDS = 6.0


class Neighbour:
    """Another client, busy in a thread of its own; `worst` is its slowest answer in seconds."""

    def __init__(self, door, path="/bytes/100"):
        self.door, self.path = door, path
        self.answers, self.worst, self.problem = 0, 0.0, None
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        try:
            with self.door.peer() as peer:
                while not self.stopping.is_set():
                    began = time.monotonic()
                    assert peer.ask(self.path).status == 200
                    self.worst = max(self.worst, time.monotonic() - began)
                    self.answers += 1
        except BaseException as problem:
            self.problem = problem

    def stop(self):
        self.stopping.set()
        self.thread.join(20)
        if self.problem:
            raise self.problem


@contextlib.contextmanager
def unharmed(door, *reasons, memory=MEMORY, cpu=CPU_SECONDS, slowest=3.0):
    """Runs an attack under watch. `reasons`: words of `openclaw_refused_total`, one of which must have grown."""
    gateway = door.gateway
    door.bystander()
    rss, used = gateway.status()["rss"], gateway.cpu_seconds()
    counts = {reason: door.refused(reason) for reason in reasons}
    neighbour = Neighbour(door)
    until(lambda: neighbour.answers or neighbour.problem, "the neighbour is served")
    served = neighbour.answers
    watched = {}
    try:
        yield watched
        until(lambda: neighbour.answers > served or neighbour.problem, "the neighbour is served in spite of it")
    finally:
        neighbour.stop()
    assert neighbour.worst < slowest, f"a neighbour waited {neighbour.worst:.2f} s"
    watched.update(rss=gateway.status()["rss"] - rss, cpu=gateway.cpu_seconds() - used)
    assert watched["rss"] < memory, f"memory grew by {watched['rss'] >> 10} KiB"
    assert watched["cpu"] < cpu, f"{watched['cpu']:.1f} s of processor time"
    if reasons:
        until(lambda: any(door.refused(reason) > counts[reason] for reason in reasons), f"one of {reasons} in openclaw_refused_total: {[line for line in door.metrics().splitlines() if 'refused' in line]}", 5)
    calm(gateway)
    door.bystander()


def calm(gateway):
    """Nothing goes on spinning: a tenth of a second comes in which the gateway uses next to no time."""
    def quiet():
        before = gateway.cpu_seconds()
        threading.Event().wait(0.1)
        return gateway.cpu_seconds() - before <= 0.01
    until(quiet, "the gateway is at rest", 10)
