"""What is read from the machine: its facts for the results, cores to pin to, and CPU and memory of process trees from /proc."""
import contextlib
import os
import platform
import resource
import time


def facts():
    """What a reader needs to judge figures, and nothing that names this machine."""
    model = "unknown"
    with open("/proc/cpuinfo", encoding="utf-8") as lines:
        for line in lines:
            if line.startswith(("model name", "Model")):
                model = line.split(":", 1)[1].strip()
                break
    with open("/proc/meminfo", encoding="utf-8") as lines:
        memory = int(lines.readline().split()[1]) // (1 << 20)
    return {"cpu": model, "cores": len(os.sched_getaffinity(0)), "memory_gib": memory + 1,
            "kernel": platform.release().split("-")[0], "architecture": platform.machine()}


class Cores:
    """Which cores carry what: the proxy alone on the first, the load generator and the upstream on what is left, the same for every peer."""

    def __init__(self):
        self.all = sorted(os.sched_getaffinity(0))
        self.proxy = set(self.all[:1])
        self.upstream = set(self.all[1:2]) or self.proxy
        self.load = set(self.all[2:3]) or self.upstream

    def describe(self):
        if len(self.all) == 1:
            return "everything shares one core"
        if len(self.all) == 2:
            return "proxy on one core, upstream and load generator on the other"
        return "proxy, upstream and load generator on a core each"

    @contextlib.contextmanager
    def on(self, cores):
        """Children started inside inherit the pinning, so no code has to run between fork and exec."""
        os.sched_setaffinity(0, cores)
        try:
            yield
        finally:
            os.sched_setaffinity(0, set(self.all))


def raise_descriptor_limit():
    """As many descriptors as allowed, for us and all children. Returns the limit."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def tree(root):
    """The process `root`, its descendants, and whoever else is in its session."""
    parents, sessions = {}, {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/stat", encoding="latin-1") as file:
                    fields = file.read().rpartition(")")[2].split()
            except OSError:
                continue
            parents[int(entry)], sessions[int(entry)] = int(fields[1]), int(fields[3])
    found = {process for process, session in sessions.items() if session == root or process == root}
    while True:
        more = {process for process, parent in parents.items() if parent in found} - found
        if not more:
            return sorted(found)
        found |= more


def cpu_nanoseconds(processes):
    """Time on a CPU of all threads of all `processes`, user and system, in the scheduler's own nanoseconds."""
    total = 0
    for process in processes:
        try:
            for thread in os.listdir(f"/proc/{process}/task"):
                with open(f"/proc/{process}/task/{thread}/schedstat", encoding="latin-1") as file:
                    total += int(file.read().split()[0])
        except (OSError, IndexError):
            continue
    return total


def memory_kib(processes):
    """(RSS, PSS) in KiB over all `processes`. RSS counts pages shared between them once each; PSS shares them out."""
    resident = proportional = 0
    for process in processes:
        try:
            with open(f"/proc/{process}/smaps_rollup", encoding="latin-1") as lines:
                for line in lines:
                    if line.startswith("Rss:"):
                        resident += int(line.split()[1])
                    elif line.startswith("Pss:"):
                        proportional += int(line.split()[1])
        except OSError:
            continue
    return resident, proportional


class ForeignLoad:
    """How much of the machine was used by processes that are not part of the measurement (and stolen by the hypervisor): the figures'
    honesty. `ours` is asked for the CPU nanoseconds of everything this run started."""

    def __init__(self, ours):
        self.ours = ours
        self.begin = self._busy(), ours(), time.monotonic()

    @staticmethod
    def _busy():
        with open("/proc/stat", encoding="latin-1") as file:
            user, nice, system, _, _, irq, softirq, steal = (int(field) for field in file.readline().split()[1:9])
        tick = 1e9 / os.sysconf("SC_CLK_TCK")
        return (user + nice + system + irq + softirq + steal) * tick

    def share(self):
        """Foreign share of all cores since the start, 0…1."""
        busy, ours, when = self.begin
        elapsed = (time.monotonic() - when) * 1e9 * os.cpu_count()
        return max(0.0, (self._busy() - busy) - (self.ours() - ours)) / max(elapsed, 1)
