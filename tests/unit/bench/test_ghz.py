"""The ghz wrapper: a report is read whole or not at all."""

from typing import Any

import pytest

from bench.ghz import read_report
from bench.load import LoadFailed, Report


def report(**changed: Any) -> dict[str, Any]:
    """What ghz writes of four calls, in nanoseconds."""
    latencies = [4_000_000, 1_000_000, 3_000_000, 2_000_000]
    sound: dict[str, Any] = {
        "count": 4,
        "total": 2_000_000_000,
        "statusCodeDistribution": {"OK": 4},
        "details": [{"latency": latency, "status": "OK"} for latency in latencies],
    }
    return {**sound, **changed}


def test_a_report_has_rate_and_latencies() -> None:
    """In calls a second and milliseconds."""
    read = read_report(report())

    assert (read.calls, read.calls_per_s, list(read.latencies_ms)) == (4, 2.0, [1.0, 2.0, 3.0, 4.0])


def test_failed_calls_make_a_report_void() -> None:
    """ghz itself ends with 0 even if every call failed, and leaves them out of its percentiles."""
    with pytest.raises(LoadFailed, match="Unavailable"):
        read_report(report(statusCodeDistribution={"OK": 3, "Unavailable": 1}))


def test_missing_details_make_a_report_void() -> None:
    """ghz keeps those of a million calls; percentiles of some of the calls would be those of other calls."""
    with pytest.raises(LoadFailed, match="shorter run"):
        read_report(report(count=5))


@pytest.mark.parametrize(("percent", "latency"), [(50, 500.0), (99, 990.0), (99.9, 999.0), (100, 1000.0), (0.01, 1.0)])
def test_percentiles_go_past_the_99th(percent: float, latency: float) -> None:
    """By nearest rank, so that each is a latency that a call had."""
    thousand = Report(1000, 1.0, [float(n) for n in range(1, 1001)])

    assert thousand.percentile_ms(percent) == latency
