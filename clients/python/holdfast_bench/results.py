"""What a run of a shape came to, as JSON: calls by status code, percentiles, a histogram, and both over time."""

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from holdfast_bench.load import Ended, Report, percentile

STEP_S = 0.5  # of what is shown over time
GROWTH = 1.15  # of each bound of the histogram to the one before
FIRST_MS = 0.1
PERCENTILES = (50.0, 95.0, 99.0, 99.9)


def merged(reports: Sequence[Report]) -> Report:
    """Loads that ran beside each other or one after the other, as one."""
    ended = sorted((call for report in reports for call in report.ended), key=lambda call: call.at)
    latencies = sorted(call.latency_ms for call in ended)
    return Report(len(ended), ended[-1].at - began(ended), latencies, ended=ended)


def began(ended: Sequence[Ended]) -> float:
    """When the first call was sent."""
    return min(call.at - call.latency_ms / 1000 for call in ended)


def summary(report: Report) -> dict[str, Any]:
    """The figures of one report."""
    return {
        "calls": report.calls,
        "codes": {"OK": report.calls},  # with any other there is no report
        "seconds": round(report.seconds, 3),
        "calls_per_s": round(report.calls_per_s, 1),
        "latency_ms": {
            **{f"p{percent:g}": round(report.percentile_ms(percent), 3) for percent in PERCENTILES},
            "max": round(report.latencies_ms[-1], 3),
        },
        "histogram": histogram(report.latencies_ms),
        "over_time": over_time(report.ended),
    }


def histogram(latencies_ms: Sequence[float]) -> list[tuple[float, int]]:
    """How many latencies lie between each bound in ms and the one before, without the empty ones."""
    steps = Counter(max(0, math.ceil(math.log(max(ms, 1e-6) / FIRST_MS, GROWTH))) for ms in latencies_ms)
    return [(round(FIRST_MS * GROWTH**step, 4), steps[step]) for step in sorted(steps)]


def over_time(ended: Sequence[Ended]) -> dict[str, Any]:
    """For each half second in which calls ended: how many, and their latency."""
    start = began(ended)
    steps: Mapping[int, list[Ended]] = defaultdict(list)
    for call in ended:
        steps[int((call.at - start) / STEP_S)].append(call)
    rows = [_row(steps.get(number, [])) for number in range(max(steps) + 1)]
    columns = ("ok", "p50_ms", "p99_ms")
    values = map(list, zip(*rows, strict=True))
    return {"start": round(start, 3), "step_s": STEP_S, **dict(zip(columns, values, strict=True))}


def _row(calls: Sequence[Ended]) -> tuple[int, float | None, float | None]:
    if not calls:
        return 0, None, None
    latencies = sorted(call.latency_ms for call in calls)
    median, p99 = (round(percentile(latencies, percent), 3) for percent in (50, 99))
    return len(latencies), median, p99
