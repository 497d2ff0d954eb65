"""The figures of a run: loads joined, a histogram that loses no call, and what happened when."""

from holdfast_bench.load import Ended, Report
from holdfast_bench.results import GROWTH, began, histogram, merged, over_time, summary

FIRST = Report(2, 1.0, [100.0, 200.0], ended=[Ended(10.2, 200.0), Ended(10.6, 100.0)])
SECOND = Report(1, 1.0, [300.0], ended=[Ended(12.1, 300.0)])


def test_loads_that_ran_beside_each_other_are_one() -> None:
    """Rate and percentiles are of all calls, from the first that was sent to the last that ended."""
    both = merged([SECOND, FIRST])

    assert (both.calls, list(both.latencies_ms)) == (3, [100.0, 200.0, 300.0])
    assert (began(both.ended), round(both.seconds, 6)) == (10.0, 2.1)


def test_figures_are_of_all_calls() -> None:
    """Each was answered, or there is no report."""
    figures = summary(merged([FIRST, SECOND]))

    assert (figures["calls"], figures["codes"]) == (3, {"OK": 3})
    assert figures["latency_ms"] == {"p50": 200.0, "p95": 300.0, "p99": 300.0, "p99.9": 300.0, "max": 300.0}


def test_a_histogram_has_every_call_once_below_its_bound() -> None:
    """A call lies above the bound before its own; what is faster than the first bound is there too."""
    latencies = [0.001, 0.09, 0.11, 5.0, 5.0, 100.0]

    steps = histogram(latencies)

    assert sum(count for _, count in steps) == len(latencies)
    for bound, count in steps[1:]:
        within = [ms for ms in latencies if bound / GROWTH * 0.9999 <= ms <= bound * 1.0001]
        assert len(within) == count


def test_time_goes_on_where_no_call_ends() -> None:
    """A stall is a gap in the figures, and not left out of them."""
    table = over_time(merged([FIRST, SECOND]).ended)

    assert table["ok"] == [1, 1, 0, 0, 1]
    assert table["p50_ms"] == [200.0, 100.0, None, None, 300.0]
