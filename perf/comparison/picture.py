"""The results as a picture for the README: bars of CPU per request and per event, plain SVG that reads on light and on dark ground."""
from html import escape

from . import bars

COLOURS = {"openclaw": "#2f81f7", "openclaw-io_uring": "#79b8ff", "nginx": "#3fa34d", "haproxy": "#e08a2e", "envoy": "#a371c9"}
PANELS = (
    ("CPU µs per request (1 KiB body)", (("plain-64", "64 connections"), ("plain-256", "256"), ("plain-1024", "1,024"))),
    ("CPU µs per request, large bodies (64 connections)", (("body-10kib", "10 KiB"), ("body-100kib", "100 KiB"))),
    ("CPU µs per request, very large bodies", (("body-1mib", "1 MiB"), ("body-4mib", "4 MiB"))),
    ("CPU µs per SSE event", (("sse-paced", "paced"), ("sse-burst", "8 in a write"))),
)
WIDTH, LABEL, FIGURE, LINE, GAP = 820, 130, 66, 15, 10

STYLE = """
text { font: 12px system-ui, -apple-system, "Segoe UI", sans-serif; fill: #1f2328 }
.title { font-size: 16px; font-weight: 600 } .panel { font-weight: 600 } .quiet { fill: #656d76 } .right { text-anchor: end }
.axis { stroke: #d0d7de }
@media (prefers-color-scheme: dark) { text { fill: #e6edf3 } .quiet { fill: #8b949e } .axis { stroke: #3d444d } }
"""


def draw(doc):
    """The whole picture as SVG text."""
    names = [name for name in doc["peers"] if name in COLOURS]
    values = {row["scenario"]: row["values"] for row in doc["table"] if row["figure"] == "cpu_us"}
    parts, y = [], 26

    def put(x, line, what, kind=""):
        parts.append(f'<text x="{x}" y="{line}" class="{kind}">{escape(what)}</text>')

    put(12, y, "One worker each, the same upstream, one run: shorter is better", "title")
    y += 24
    x = 12
    for name in names:
        parts.append(f'<rect x="{x}" y="{y - 10}" width="11" height="11" rx="2" fill="{COLOURS[name]}"/>')
        label = f"{name} {doc['versions'].get(name, '')}".replace("unknown", "").strip()
        put(x + 16, y, label)
        x += 34 + 7 * len(label)
    y += 12
    for title, rows in PANELS:
        rows = [(scenario, label) for scenario, label in rows if any(values.get(scenario, {}).get(name) is not None for name in names)]
        if not rows:
            continue
        y += 20
        put(12, y, title, "panel")
        y += 8
        longest = max(values[scenario].get(name) or 0 for scenario, _ in rows for name in names)
        top = y
        for scenario, label in rows:
            shown = [name for name in names if values[scenario].get(name) is not None]
            put(LABEL - 8, y + LINE * len(shown) / 2 + 4, label, "right")
            for name in shown:
                value = values[scenario][name]
                length = max(1.0, value / longest * (WIDTH - LABEL - FIGURE - 12))
                parts.append(f'<rect x="{LABEL}" y="{y + 2}" width="{length:.1f}" height="{LINE - 3}" rx="2" fill="{COLOURS[name]}"/>')
                put(f"{LABEL + length + 6:.1f}", y + 12, f"{value:,.{1 if value < 1000 else 0}f}", "" if name == bars.OURS else "quiet")
                y += LINE
            y += GAP
        parts.append(f'<line x1="{LABEL}" x2="{LABEL}" y1="{top}" y2="{y - GAP + 2}" class="axis"/>')
    far = [f"{name} {value:,.0f} µs" for name, value in values.get("plain-64", {}).items() if name not in COLOURS and value is not None]
    y += 14
    if far:
        put(12, y, "Off the scale, per request at 64 connections: " + ", ".join(far), "quiet")
        y += 17
    facts = doc["machine"]
    put(12, y, f"{facts['cpu']}, {facts['cores']} cores, kernel {facts['kernel']} · upstream {doc['upstream']} · {doc['date']}", "quiet")
    return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{y + 14}" viewBox="0 0 {WIDTH} {y + 14}" role="img" '
            f'aria-label="CPU per request and per event, the gateway beside other proxies">\n<style>{STYLE}</style>\n'
            + "\n".join(parts) + "\n</svg>\n")
