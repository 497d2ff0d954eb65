"""The metrics of several processes as those of one: what is added, what is chosen, and what stands by worker."""

from collections.abc import Sequence

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families

from inventory_service import metrics
from inventory_service.domain.circuit_breaker import CircuitBreaker
from inventory_service.wiring.workers import RULES
from inventory_service.workers.merging import Rule, cumulative, merge


class Process:
    """A process with a counter, a histogram and a gauge."""

    def __init__(self, calls: int, seconds: Sequence[float] = (), level: float = 0) -> None:
        registry = CollectorRegistry()
        Counter("calls", "Calls.", ["code"], registry=registry).labels("OK").inc(calls)
        histogram = Histogram("seconds", "Seconds.", buckets=(1, 2), registry=registry)
        for one in seconds:
            histogram.observe(one)
        Gauge("level", "Level.", registry=registry).set(level)
        self.page = parsed(registry)


def parsed(registry: CollectorRegistry) -> Sequence[Metric]:
    """The page as another process reads it."""
    return list(text_string_to_metric_families(generate_latest(registry).decode()))


def samples(page: Sequence[Metric]) -> dict[str, float]:
    """Each sample of a page as the page shows it."""
    registry = CollectorRegistry()
    registry.collect = lambda: page  # type: ignore[method-assign]
    lines = generate_latest(registry).decode().splitlines()
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines if line[0] != "#")}


PAGES = {"1": Process(3, [0.5, 1.5], level=4).page, "2": Process(2, [5], level=7).page}


def test_counters_and_histograms_are_summed() -> None:
    """A rate or a percentile of the page is that of all workers."""
    merged = samples(merge(PAGES, {}))

    assert merged['calls_total{code="OK"}'] == 5
    assert [merged[f'seconds_bucket{{le="{bound}"}}'] for bound in ("1.0", "2.0", "+Inf")] == [1, 2, 3]
    assert (merged["seconds_count"], merged["seconds_sum"]) == (3, 7)
    assert not [name for name in merged if "_created" in name]


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (Rule.SUM, {"level": 11}),
        (Rule.HIGHEST, {"level": 7}),
        (Rule.LOWEST, {"level": 4}),
        (Rule.EACH, {'level{worker="1"}': 4, 'level{worker="2"}': 7}),
    ],
)
def test_a_gauge_follows_its_rule(rule: Rule, expected: dict[str, float]) -> None:
    """What a sum would say of it may be wrong, as of a moment."""
    merged = samples(merge(PAGES, {"level": rule}))

    assert {name: value for name, value in merged.items() if name.startswith("level")} == expected


def test_a_gauge_without_a_rule_stands_by_worker() -> None:
    """Any arithmetic could be wrong."""
    assert {'level{worker="1"}', 'level{worker="2"}'} < samples(merge(PAGES, {})).keys()


def test_a_sample_that_one_process_alone_has_is_kept() -> None:
    """A method that was called at one worker only."""
    registry = CollectorRegistry()
    Counter("calls", "Calls.", ["code"], registry=registry).labels("CANCELLED").inc()

    merged = samples(merge({**PAGES, "3": parsed(registry)}, {}))

    assert (merged['calls_total{code="OK"}'], merged['calls_total{code="CANCELLED"}']) == (5, 1)


def test_of_a_process_that_has_ended_its_counts_remain() -> None:
    """A counter that falls looks like a restart, after which all that it shows would count anew."""
    rules = {"seconds": Rule.EACH}

    assert [family.name for family in cumulative(PAGES["1"], rules)] == ["calls"]
    assert [family.name for family in cumulative(PAGES["1"], {})] == ["calls", "seconds"]


def test_every_gauge_of_a_server_has_a_rule() -> None:
    """A new gauge needs a decision: what its page shows of several workers."""
    registry = CollectorRegistry()
    for kind in (metrics.CallMetrics, metrics.StockMetrics, metrics.FileMetrics, metrics.WatchMetrics):
        kind(registry)
    metrics.RevocationMetrics(registry), metrics.ServerCheckMetrics(registry)
    metrics.BreakerMetrics(registry, CircuitBreaker())

    gauges = [family.name for family in registry.collect() if family.type == "gauge"]

    assert len(gauges) > 8
    assert [name for name in gauges if name not in RULES and not name.endswith("_created")] == []
