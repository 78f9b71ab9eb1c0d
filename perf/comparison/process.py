"""Everything this run starts, so that everything is ended: on success, on an error, on Ctrl-C. Each child leads a session of its own, and a
child is ended with its whole session, by process id."""
import atexit
import os
import resource
import signal
import socket
import subprocess
import time

from . import machine
from .peers import Absent

_running = []
_unreaped = 0.0
"""CPU nanoseconds of ended processes that nobody of ours waited for (a peer's workers), which the kernel's sum of children leaves out."""


class Child:
    """One started program with the processes it makes. `output` is the file for what it prints (its errors only, with `pipe`)."""

    def __init__(self, command, output, environment=None, cwd=None, pipe=False):
        self.output = output
        with open(output, "ab") as file:
            self.process = subprocess.Popen(
                command, stdin=subprocess.PIPE if pipe else subprocess.DEVNULL, stdout=subprocess.PIPE if pipe else file, stderr=file,
                env=environment, cwd=cwd, start_new_session=True, text=pipe)
        _running.append(self)

    def processes(self):
        return machine.tree(self.process.pid)

    def ended(self):
        return self.process.poll() is not None

    def last_words(self):
        with open(self.output, encoding="utf-8", errors="replace") as file:
            lines = [line.strip() for line in file.read().splitlines() if line.strip()]
        return lines[-1][:200] if lines else "it said nothing"

    def stop(self, patience=3.0):
        if self not in _running:
            return
        _running.remove(self)
        family = self.processes()
        spent, reaped = machine.cpu_nanoseconds(family), _reaped()
        for end in (signal.SIGTERM, signal.SIGKILL):
            for process in family:
                try:
                    os.kill(process, end)
                except OSError:
                    pass
            until = time.monotonic() + patience
            while time.monotonic() < until:
                self.process.poll()
                # A zombie of a process that was not ours to reap is as good as gone.
                if not any(_alive(process) for process in family):
                    break
                time.sleep(0.01)
            else:
                continue
            break
        if self.process.poll() is None:
            self.process.wait()
        global _unreaped
        _unreaped += max(0.0, spent - (_reaped() - reaped))
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe:
                try:
                    pipe.close()
                except OSError:
                    pass


def _reaped():
    """CPU nanoseconds of all children that have ended and were waited for, theirs included."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (used.ru_utime + used.ru_stime) * 1e9


def _alive(process):
    try:
        with open(f"/proc/{process}/stat", encoding="latin-1") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def stop_all():
    for child in list(reversed(_running)):
        child.stop(1.0)


def install_cleanup():
    """SIGTERM and SIGHUP become exits, so that the clean-up at exit runs for them as for Ctrl-C."""
    atexit.register(stop_all)

    def leave(number, _frame):
        raise SystemExit(128 + number)
    signal.signal(signal.SIGTERM, leave)
    signal.signal(signal.SIGHUP, leave)


def cpu_of_all():
    """CPU nanoseconds of everything that ran for this measurement, ourselves included."""
    return machine.cpu_nanoseconds(machine.tree(os.getpid())) + _reaped() + _unreaped


def free_ports(first=21000):
    """Ports below the kernel's ephemeral range that nobody listens on, one after another."""
    for port in range(first, 32000):
        with socket.socket() as probe:
            try:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        yield port


def answers(port, path, model):
    """True when a chat request to this port is answered with 200."""
    body = ('{"messages":[{"role":"user","content":"hello"}],"model":"%s"}' % model).encode()
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
            connection.sendall(b"POST %b HTTP/1.1\r\nHost: perf.test\r\nAuthorization: Bearer sk-perf\r\nContent-Type: application/json\r\n"
                               b"Connection: close\r\nContent-Length: %d\r\n\r\n%b" % (path.encode(), len(body), body))
            return connection.recv(4096).startswith(b"HTTP/1.1 200")
    except OSError:
        return False


def start_peer(peer, cores):
    """Starts a peer on its core and waits until it answers a request through to the upstream. Returns the child and the milliseconds."""
    command = peer.command()
    with cores.on(cores.proxy):
        begin = time.monotonic()
        child = Child(command, peer.folder / "output.log", peer.environment, cwd=peer.folder)
    started = getattr(peer, "started", lambda: True)
    while True:
        if started() and answers(peer.port["plain"], peer.path("plain"), peer.model("plain")):
            return child, (time.monotonic() - begin) * 1000
        if child.ended():
            child.stop()
            raise Absent(f"{peer.name} ended while starting: {child.last_words()}")
        if time.monotonic() - begin > peer.patience:
            child.stop()
            raise Absent(f"{peer.name} gave no 200 within {peer.patience:.0f} s: {child.last_words()}")
        time.sleep(0.001)
