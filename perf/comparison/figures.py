"""What is measured: the list of scenarios, the rounds, and the medians.

Rounds are interleaved: every peer runs a scenario once, then every peer again, so that a slow minute of the machine falls on all of them. A
peer's figure is the median over its rounds; all rounds are kept in the results.
"""
import dataclasses
import statistics
import time

from . import load, machine, process
from .peers import TRANSLATED, Absent

KIB = 1024


@dataclasses.dataclass(frozen=True)
class Scenario:
    """One load. `run(target, bench, warm)` gives the figures of one round."""
    name: str
    title: str
    run: object
    slow_peers: bool = False
    """Whether peers of thousands of microseconds a request take part."""
    kind: str = "plain"
    """What a peer has to take for it (`Peer.kinds`)."""
    direct: bool = False
    """Whether the upstream is also measured without a proxy, to say what a proxy adds."""


def plain(connections, size, kind="plain", **options):
    def run(target, bench, warm):
        return load.plain(target, kind, connections, size, target.seconds or bench.seconds, bench.cores, bench.folder,
                          bench.generator, target.warm_seconds if warm else 0)
    label = f"{size // KIB} KiB" if size < 1 << 20 else f"{size >> 20} MiB"
    if kind == "tls":
        return Scenario(f"tls-{connections}", f"{connections} connections over TLS 1.3, {label} body", run, kind="tls", **options)
    if kind == "plain":
        return Scenario(f"plain-{connections}", f"{connections} connection{'s' if connections > 1 else ''}, {label} body", run, **options)
    return Scenario(f"body-{label.replace(' ', '').lower()}", f"{label} body, {connections} connections", run, kind=kind, **options)


def multiplexed(connections, streams, size, **options):
    def run(target, bench, warm):
        return load.multiplexed(target, connections, streams, size, bench.seconds, bench.cores, bench.folder, target.warm_seconds if warm else 0)
    return Scenario(f"h2-{connections}x{streams}", f"HTTP/2, {connections} connections of {streams} requests each, {size // KIB} KiB body", run, kind="h2", **options)


def handshakes(clients, **options):
    def run(target, bench, warm):
        del warm
        return load.handshakes(target, clients, bench.seconds, bench.cores, bench.folder)
    return Scenario("tls-new", "new connections over TLS 1.3", run, kind="tls", **options)


def streamed(name, title, count, interval_us, burst, kind="stream", **options):
    def run(target, bench, warm):
        del warm
        bench.upstreams.pace(interval_us=interval_us, burst=burst, count=0)
        return load.streamed(target, count, bench.seconds, bench.cores, bench.folder, kind)
    return Scenario(name, title, run, kind=kind, **options)


def first_byte(bench_count, **options):
    def run(target, bench, warm):
        del warm
        bench.upstreams.pace(interval_us=0, burst=1, count=2)
        return load.first_byte(target, bench_count, bench.cores, bench.folder)
    return Scenario("first-byte", "1 connection, streamed answers", run, kind="stream", **options)


def scenarios(quick):
    return [
        plain(64, KIB, slow_peers=True, direct=True),
        plain(256, KIB),
        plain(1024, KIB),
        plain(1, KIB, direct=True),
        plain(64, 10 * KIB, "large"),
        plain(64, 100 * KIB, "large"),
        plain(16, 1 << 20, "large"),
        plain(8, 4 << 20, "large"),
        streamed("sse-paced", "128 streams, 40 events/s each", 128, 25_000, 1, direct=True),
        streamed("sse-burst", "128 streams, 8 events in one write 10 times a second", 128, 100_000, 8, direct=True),
        streamed("translated-paced", "128 streams of Anthropic's to OpenAI's, 40 events/s each", 128, 25_000, 1, kind=TRANSLATED),
        streamed("translated-burst", "128 streams of Anthropic's to OpenAI's, 8 events in one write 10 times a second", 128, 100_000, 8, kind=TRANSLATED),
        multiplexed(32, 32, KIB),
        plain(64, KIB, "tls"),
        handshakes(4),
        first_byte(200 if quick else 600, slow_peers=False, direct=True),
    ]


@dataclasses.dataclass
class Results:
    """Everything a report needs. `rounds[scenario][peer]` is a list of figures, `troubles` what gave none."""
    rounds: dict = dataclasses.field(default_factory=dict)
    troubles: dict = dataclasses.field(default_factory=dict)
    versions: dict = dataclasses.field(default_factory=dict)
    absent: dict = dataclasses.field(default_factory=dict)

    def add(self, scenario, peer, figures):
        self.rounds.setdefault(scenario, {}).setdefault(peer, []).append(figures)

    def trouble(self, scenario, peer, text):
        self.troubles.setdefault(scenario, {})[peer] = text

    def median(self, scenario, peer, figure):
        """None when there is no such figure."""
        values = [one[figure] for one in self.rounds.get(scenario, {}).get(peer, []) if figure in one]
        return statistics.median(values) if values else None


class Bench:
    """A run: what is up, where it goes, how long a round is."""

    def __init__(self, upstreams, generator, cores, folder, seconds, rounds, warm_all, results, say):
        self.generator = generator
        self.upstreams, self.cores, self.folder, self.seconds = upstreams, cores, folder, seconds
        self.rounds, self.results, self.say = rounds, results, say
        # False: only the first scenario is warmed up, for quick runs.
        self.warm_all = warm_all

    def direct(self):
        """The upstream itself as a target."""
        class Direct:
            name, port, child, seconds, warm_seconds, rounds_max = "direct", self.upstreams.port, None, 0, 1, 99
            path = staticmethod(lambda kind: "/v1/chat/completions")
            model = staticmethod(lambda kind: f"perf-{kind}")
            cpu = staticmethod(lambda: 0)
        return Direct()

    def start(self, peers):
        """Starts peers; gives those that answer, with their child in `child` and their CPU in `cpu()`."""
        running = []
        for peer in peers:
            try:
                peer.child, _ = process.start_peer(peer, self.cores)
                running.append(peer)
            except Absent as reason:
                self.results.absent[peer.name] = str(reason)
                self.say(f"{peer.name} is left out: {reason}")
        return running

    def once(self, scenario, target, warm):
        try:
            figures = scenario.run(target, self, warm)
        except load.Trouble as trouble:
            self.results.trouble(scenario.name, target.name, str(trouble))
            self.say(f"    {target.name:<18} {trouble}")
            return
        self.results.add(scenario.name, target.name, figures)
        shown = [f"{figures[name]:>9,.0f}/s" for name in ("requests_per_second", "handshakes_per_second") if name in figures]
        if "cpu_us" in figures and target.child:
            shown.append(f"{figures['cpu_us']:>9.2f} µs CPU")
        for name in ("p50_us", "p99_us", "delay_p50_us", "delay_p99_us", "first_p50_us"):
            if name in figures:
                shown.append(f"{name[:-3].replace('_', ' ')} {figures[name]:,.0f} µs")
        self.say(f"    {target.name:<18} {'  '.join(shown)}")

    def measure(self, chosen, peers, rounds=0, direct=True):
        """All rounds of the chosen scenarios over the running peers, and over the upstream itself where a scenario asks for it."""
        for scenario in chosen:
            targets = ([self.direct()] if scenario.direct and direct else []) + [peer for peer in peers if scenario.kind in peer.kinds]
            if not targets:
                continue
            for turn in range(rounds or self.rounds):
                self.say(f"{scenario.name}: {scenario.title}, round {turn + 1}")
                # Every round starts with another peer, so none always follows the same neighbour.
                shift = turn % len(targets)
                for target in targets[shift:] + targets[:shift]:
                    if turn >= target.rounds_max:
                        continue
                    if target.child and target.child.ended():
                        self.results.trouble(scenario.name, target.name, f"it ended: {target.child.last_words()}")
                        continue
                    self.once(scenario, target, warm=turn == 0 and (self.warm_all or scenario.name == "plain-64"))

    def memory(self, peers, idle, open_streams):
        """Each peer alone, and fresh for each figure: what one load leaves in the allocator must not serve the next. Time from start to the
        first answer and RSS at rest are taken at each of the starts."""
        self.upstreams.pace(interval_us=1_000_000, burst=1, count=0)
        for peer in [peer for peer in peers if "plain" in peer.kinds]:
            loads = [("idle-connection", "hold", idle, "plain"), ("open-stream", "streams", open_streams, "stream")]
            if TRANSLATED in peer.kinds:
                loads.append(("translated-stream", "streams", open_streams, TRANSLATED))
            for name, what, count, kind in loads:
                try:
                    peer.child, milliseconds = process.start_peer(peer, self.cores)
                except Absent as reason:
                    self.results.trouble("rest", peer.name, str(reason))
                    break
                time.sleep(0.5)
                resident, proportional = machine.memory_kib(peer.child.processes())
                self.results.add("rest", peer.name, {"rss_mib": resident / KIB, "pss_mib": proportional / KIB, "start_ms": milliseconds})
                self.say(f"    {peer.name:<18} start {milliseconds:.0f} ms, {resident / KIB:.1f} MiB at rest")
                try:
                    # A little traffic first: what the first requests allocate once is not the price of a connection.
                    load.held(peer, what, 32, self.cores, self.folder, settle=0.2, kind=kind)
                    figures = load.held(peer, what, count, self.cores, self.folder, settle=2.0, kind=kind)
                    self.results.add(name, peer.name, figures)
                    self.say(f"    {peer.name:<18} {name}: {figures['kib_each']:.2f} KiB each of {figures['connections']}")
                except load.Trouble as trouble:
                    self.results.trouble(name, peer.name, str(trouble))
                    self.say(f"    {peer.name:<18} {name}: {trouble}")
                peer.child.stop()
