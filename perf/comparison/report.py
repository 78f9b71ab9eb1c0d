"""The results as a document (JSON), as a table for the terminal and as Markdown."""
import datetime
import json
import pathlib

from . import bars as bar_table
from .bars import added

# (scenario, figure, heading, decimals); `added_…` is the figure less the one of the upstream without a proxy.
ROWS = (
    ("plain-64", "cpu_us", "CPU µs per request, 64 connections, 1 KiB", 1),
    ("plain-256", "cpu_us", "… 256 connections", 1),
    ("plain-1024", "cpu_us", "… 1,024 connections", 1),
    ("plain-1", "cpu_us", "… 1 connection", 1),
    ("body-10kib", "cpu_us", "… 10 KiB body, 64 connections", 1),
    ("body-100kib", "cpu_us", "… 100 KiB body, 64 connections", 1),
    ("body-1mib", "cpu_us", "… 1 MiB body, 16 connections", 0),
    ("body-4mib", "cpu_us", "… 4 MiB body, 8 connections", 0),
    ("sse-paced", "cpu_us", "CPU µs per SSE event, paced", 1),
    ("sse-burst", "cpu_us", "CPU µs per SSE event, 8 in a write", 2),
    ("translated-paced", "cpu_us", "CPU µs per SSE event, Anthropic to OpenAI, paced", 1),
    ("translated-burst", "cpu_us", "CPU µs per SSE event, Anthropic to OpenAI, 8 in a write", 2),
    ("h2-32x32", "cpu_us", "CPU µs per request, HTTP/2, 32 × 32 streams", 1),
    ("tls-64", "cpu_us", "CPU µs per request, TLS 1.3, 64 connections", 1),
    ("tls-new", "cpu_us", "CPU µs per TLS 1.3 handshake", 0),
    ("plain-64", "requests_per_second", "requests/s, 64 connections", 0),
    ("plain-256", "requests_per_second", "requests/s, 256 connections", 0),
    ("plain-1024", "requests_per_second", "requests/s, 1,024 connections", 0),
    ("body-100kib", "requests_per_second", "requests/s, 100 KiB body", 0),
    ("h2-32x32", "requests_per_second", "requests/s, HTTP/2, 32 × 32 streams", 0),
    ("tls-64", "requests_per_second", "requests/s, TLS 1.3, 64 connections", 0),
    ("tls-new", "handshakes_per_second", "TLS 1.3 handshakes/s", 0),
    ("plain-64", "p50_us", "p50 µs, 64 connections, closed loop", 0),
    ("plain-64", "p99_us", "p99 µs, 64 connections, closed loop", 0),
    ("plain-256", "p99_us", "p99 µs, 256 connections, closed loop", 0),
    ("plain-1024", "p99_us", "p99 µs, 1,024 connections, closed loop", 0),
    ("plain-1", "added_p50_us", "added p50 µs, 1 connection", 0),
    ("plain-1", "added_p99_us", "added p99 µs, 1 connection", 0),
    ("first-byte", "added_first_p50_us", "added µs to the first event, p50", 0),
    ("sse-paced", "added_delay_p50_us", "added µs per paced event, p50", 0),
    ("sse-paced", "added_delay_p99_us", "added µs per paced event, p99", 0),
    ("sse-paced", "stalled", "events later than 30 ms", 0),
    ("idle-connection", "kib_each", "RSS KiB per idle connection", 2),
    ("open-stream", "kib_each", "RSS KiB per open stream", 2),
    ("translated-stream", "kib_each", "RSS KiB per translated stream, Anthropic to OpenAI", 2),
    ("rest", "rss_mib", "RSS MiB at rest", 1),
    ("rest", "start_ms", "start to first answer, ms", 0),
)


def value_of(results, scenario, peer, figure):
    if figure.startswith("added_"):
        return added(results, scenario, peer, figure[6:])
    return results.median(scenario, peer, figure)


ROOT = pathlib.Path(__file__).resolve().parent.parent.parent


def scrubbed(value):
    """The same without paths of this machine, which a peer's last words may carry."""
    if isinstance(value, dict):
        return {name: scrubbed(one) for name, one in value.items()}
    return value.replace(f"{ROOT}/", "").replace(str(pathlib.Path.home()), "~") if isinstance(value, str) else value


def document(results, facts, options, upstream, generator, seconds):
    """Everything of a run that is worth keeping, with nothing in it that names the machine it ran on."""
    names = [name for name in results.versions if any(name in by_peer for by_peer in results.rounds.values())]
    names.sort(key=lambda name: list(results.versions).index(name))
    table = [{"scenario": scenario, "figure": figure, "title": title, "decimals": decimals,
              "values": {name: value_of(results, scenario, name, figure) for name in names}}
             for scenario, figure, title, decimals in ROWS]
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"), "machine": facts, "upstream": upstream,
        "generator": generator, "rounds": options.rounds, "seconds_per_round": options.seconds, "quick": options.quick,
        "idle_connections": options.idle, "open_streams": options.streams, "took_seconds": round(seconds), "versions": results.versions,
        "absent": scrubbed(results.absent), "peers": names, "table": [row for row in table if any(v is not None for v in row["values"].values())],
        "bars": [bar for bar in bar_table.judged(results) if bar["value"] is not None or bar["limit"] is not None],
        "troubles": scrubbed(results.troubles), "all_rounds": results.rounds,
    }


def number(value, decimals):
    return "–" if value is None else f"{value:,.{decimals}f}"


def ratio(row, other):
    """Ours by theirs; only where both are above zero, as a ratio of differences near nothing says nothing."""
    mine, theirs = row["values"].get(bar_table.OURS), row["values"].get(other)
    return f"{mine / theirs:.2f}" if mine and theirs and mine > 0 and theirs > 0 else "–"


def cells(doc):
    """The table as rows of text, the heading first."""
    ratios = [other for other in ("nginx", "haproxy") if other in doc["peers"] and bar_table.OURS in doc["peers"]]
    yield ["", *doc["peers"], *(f"÷ {other}" for other in ratios)]
    for row in doc["table"]:
        yield [row["title"], *(number(row["values"][name], row["decimals"]) for name in doc["peers"]), *(ratio(row, other) for other in ratios)]


def bar_cells(doc):
    yield ["bar", "value", "limit", "ratio", ""]
    for bar in doc["bars"]:
        decimals = 0 if max(bar["value"] or 0, bar["limit"] or 0) >= 100 else 2
        yield [f"{bar['scenario']}: {bar['text']}", number(bar["value"], decimals), number(bar["limit"], decimals), number(bar["ratio"], 3),
               {True: "met", False: "MISSED", None: "not measured"}[bar["met"]]]


def conditions(doc):
    facts = doc["machine"]
    lines = [
        f"{facts['cpu']}, {facts['cores']} cores, {facts['memory_gib']} GiB, kernel {facts['kernel']}; {facts['pinning']}; "
        f"one worker each; upstream {doc['upstream']}, load {doc['generator']}.",
        f"{doc['date']}, {doc['rounds']} interleaved round{'s' if doc['rounds'] > 1 else ''} of {doc['seconds_per_round']} s, medians. "
        "Versions: " + ", ".join(f"{name} {version}" for name, version in doc["versions"].items()) + ".",
    ]
    singles = [name for name in doc["peers"] if doc["rounds"] > 1 and max(len(one.get(name, [])) for scenario, one in doc["all_rounds"].items()
                                                                     if scenario != "rest") == 1]
    if singles:
        lines.append(f"One round only: {', '.join(singles)}.")
    if facts["foreign_load"] > 0.03:
        lines.append(f"Other processes took {facts['foreign_load']:.0%} of the machine during this run: not for publishing.")
    lines += [f"Not measured: {name} ({reason})." for name, reason in doc["absent"].items()]
    lines += [f"{scenario}, {name}: {text}." for scenario, by_name in doc["troubles"].items() for name, text in by_name.items()]
    return lines


def text(doc):
    def aligned(rows):
        rows = list(rows)
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        return ["  ".join(cell.ljust(width) if column == 0 else cell.rjust(width)
                          for column, (cell, width) in enumerate(zip(row, widths))).rstrip() for row in rows]
    met = [bar["met"] for bar in doc["bars"]]
    return "\n".join([*aligned(cells(doc)), "", *aligned(bar_cells(doc)), "",
                      f"{met.count(True)} bars met, {met.count(False)} missed, {met.count(None)} not measured", "", *conditions(doc)])


def markdown(doc):
    def table(rows):
        rows = list(rows)
        return ["| " + " | ".join(rows[0]) + " |", "|---|" + "---:|" * (len(rows[0]) - 1),
                *("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows[1:])]
    return "\n".join(["# The gateway beside other proxies", "", *(line + "  " for line in conditions(doc)), "", *table(cells(doc)), "",
                      "## What it has to reach", "", *table(bar_cells(doc)), ""])


def save(doc, stem):
    stem.with_suffix(".json").write_text(json.dumps(doc, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    stem.with_suffix(".md").write_text(markdown(doc), encoding="utf-8")
