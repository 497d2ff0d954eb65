"""The rounds of `bench.paired` as JSON: of each server and load the median, and ratios with their quartiles."""

import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from holdfast_bench.load import Report

from bench.loads import Measured
from bench.rounds import ratios, spread_of

PERCENTILES = (50.0, 99.0, 99.9)
PROCESSES = ("server", "redis")
THIS = "this"
Key = tuple[str, str]  # a server and a load
Rounds = Sequence[Mapping[Key, Measured]]


def result_of(taken: Mapping[str, tuple[Rounds, int]], base: Key) -> dict[str, Any]:
    """What each client measured in its rounds, beside the number of those that were repeated; `base` is the no-op."""
    return {"clients": {client: of_rounds(*each, base) for client, each in taken.items()}}


def of_rounds(rounds: Rounds, disturbed: int, base: Key) -> dict[str, Any]:
    """What one client measured, by server and load."""
    servers: dict[str, dict[str, Any]] = {}
    for server, load in rounds[0]:
        servers.setdefault(server, {})[load] = _slot(rounds, (server, load), base)
    return {"rounds": len(rounds), "disturbed": disturbed, **servers}


def _slot(rounds: Rounds, key: Key, base: Key) -> dict[str, Any]:
    reports = [one[key].report for one in rounds]
    cpu = zip(*(one[key].cpu_us for one in rounds), strict=True)
    return {
        "calls_per_s": round(statistics.median(report.calls_per_s for report in reports), 1),
        "of_the_noop": spread_of(ratios(rounds, key, base, _rate), 3),
        "p99_of_the_noop": spread_of(ratios(rounds, key, base, _p99_ms), 3),
        **{f"p{percent:g}_ms": _median_percentile(reports, percent) for percent in PERCENTILES},
        **{f"{name}_cpu_us": spread_of(list(values), 1) for name, values in zip(PROCESSES, cpu, strict=False)},
        **_beside_this(rounds, key),
    }


def _beside_this(rounds: Rounds, key: Key) -> dict[str, Any]:
    """In proportion to this checkout's server under the same load, where there is one."""
    values: Mapping[str, Callable[[Measured], float]] = {
        "of_this": _rate,
        "server_cpu_of_this": lambda each: each.cpu_us[0],
        "redis_cpu_of_this": lambda each: each.cpu_us[1],
    }
    this = (THIS, key[1])
    if this not in rounds[0]:
        return {}
    have = len(rounds[0][key].cpu_us)  # the no-op has no Redis
    return {name: spread_of(ratios(rounds, key, this, value), 3) for name, value in [*values.items()][: 1 + have]}


def _rate(measured: Measured) -> float:
    return measured.calls_per_s


def _p99_ms(measured: Measured) -> float:
    return measured.report.percentile_ms(99)


def _median_percentile(reports: Sequence[Report], percent: float) -> float:
    return round(statistics.median(report.percentile_ms(percent) for report in reports), 2)
