"""What the gateway has to reach: each bar is a figure, what it is held against, and whether this run met it."""
from . import peers

OURS = peers.OpenClawEpoll.name
RING = peers.OpenClawRing.name
# Two backends that do the same work differ by this much from round to round; less is not called slower.
NOISE = 1.03


def _ratio(results, scenario, other, factor, figure="cpu_us", ours=OURS):
    mine, theirs = results.median(scenario, ours, figure), results.median(scenario, other, figure)
    return {"scenario": scenario, "text": f"{figure_name(figure)} ≤ {factor:g} × {other}", "limit": None if theirs is None else theirs * factor,
            "value": mine, "ratio": mine / theirs if mine is not None and theirs else None}


def _at_least(results, scenario, other, factor, figure):
    mine, theirs = results.median(scenario, OURS, figure), results.median(scenario, other, figure)
    return {"scenario": scenario, "text": f"{figure_name(figure)} ≥ {factor:g} × {other}", "limit": None if theirs is None else theirs * factor,
            "value": mine, "ratio": mine / theirs if mine is not None and theirs else None, "least": True}


def _at_most(results, scenario, figure, limit, text, value="own"):
    return {"scenario": scenario, "text": text, "limit": limit, "value": results.median(scenario, OURS, figure) if value == "own" else value,
            "ratio": None}


def added(results, scenario, peer, figure):
    """What a peer adds over the upstream without a proxy. None where either was not measured."""
    mine, direct = results.median(scenario, peer, figure), results.median(scenario, "direct", figure)
    return None if mine is None or direct is None else mine - direct


def more(results, scenario, other, figure):
    """What one scenario costs the gateway over another. None where either was not measured."""
    mine, theirs = results.median(scenario, OURS, figure), results.median(other, OURS, figure)
    return None if mine is None or theirs is None else mine - theirs


def figure_name(figure):
    return {"cpu_us": "CPU µs", "p50_us": "p50", "p99_us": "p99", "handshakes_per_second": "handshakes/s"}.get(figure, figure)


def judged(results):
    """All bars with `met`: true, false, or none where a side was not measured."""
    bars = [
        _ratio(results, "plain-64", "nginx", 0.95), _ratio(results, "plain-64", "haproxy", 0.95),
        _ratio(results, "plain-64", "envoy", 0.4), _ratio(results, "plain-64", "litellm", 0.005),
    ]
    for scenario in ("plain-256", "plain-1024"):
        bars += [_ratio(results, scenario, "nginx", 0.85), _ratio(results, scenario, "haproxy", 0.85)]
    bars += [_ratio(results, scenario, "nginx", 0.95) for scenario in ("body-10kib", "body-100kib", "body-1mib", "body-4mib")]
    bars += [_ratio(results, scenario, "nginx", 0.9) for scenario in ("sse-paced", "sse-burst")]
    bars += [_ratio(results, "h2-32x32", "nginx", 0.6), _ratio(results, "tls-64", "nginx", 1.0), _at_least(results, "tls-new", "nginx", 0.9, "handshakes_per_second")]
    bars.append(_at_most(results, "sse-paced", "", 1000, "gap added to an event, p99 ≤ 1 ms",
                         added(results, "sse-paced", OURS, "delay_p99_us")))
    bars.append(_at_most(results, "sse-paced", "", 0, "events later than 30 ms: none", results.median("sse-paced", OURS, "stalled")))
    bars += [_at_most(results, f"translated-{pace}", "", 3, "CPU µs of a translated event over an untranslated one ≤ 3",
                      more(results, f"translated-{pace}", f"sse-{pace}", "cpu_us")) for pace in ("paced", "burst")]
    for scenario in sorted(results.rounds):
        for figure in ("cpu_us", "kib_each"):
            if results.median(scenario, RING, figure) is not None:
                bar = _ratio(results, scenario, OURS, NOISE, figure, RING)
                bar["text"] = f"io_uring not over epoll, {figure_name(figure)} (within {NOISE - 1:.0%})"
                bars.append(bar)
    for scenario, figure, text in (("plain-64", "p50_us", "added p50"), ("plain-64", "p99_us", "added p99"),
                                   ("plain-1", "p50_us", "added p50"), ("plain-1", "p99_us", "added p99")):
        mine, theirs = added(results, scenario, OURS, figure), added(results, scenario, "nginx", figure)
        bars.append({"scenario": scenario, "text": f"{text} ≤ nginx", "limit": theirs, "value": mine, "ratio": None})
    bars.append(_at_most(results, "first-byte", "", 30, "added time to the first event, p50 ≤ 30 µs",
                         added(results, "first-byte", OURS, "first_p50_us")))
    bars += [
        _at_most(results, "idle-connection", "kib_each", 1.0, "RSS per idle connection ≤ 1 KiB"),
        _at_most(results, "open-stream", "kib_each", 4.0, "RSS per open stream ≤ 4 KiB"),
        _at_most(results, "translated-stream", "", 24.0, "RSS of a translated stream over an untranslated one ≤ 24 KiB",
                 more(results, "translated-stream", "open-stream", "kib_each")),
        _at_most(results, "rest", "rss_mib", 25.0, "RSS at rest ≤ 25 MiB"),
        _at_most(results, "rest", "start_ms", 50.0, "start to first answer ≤ 50 ms"),
    ]
    for bar in bars:
        value, limit, is_least = bar["value"], bar["limit"], bar.pop("least", False)
        bar["met"] = None if value is None or limit is None else value >= limit if is_least else value <= limit
    return bars
