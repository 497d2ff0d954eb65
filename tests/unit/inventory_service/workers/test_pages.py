"""One page and one health for several workers: also while one of them has ended, is silent, or waits."""

import asyncio
import urllib.request
from collections.abc import Mapping

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge

from holdfast_runtime.metrics_page import serve_page
from inventory_service.workers import pages
from inventory_service.workers.merging import Rule
from inventory_service.workers.pages import OK, Response, WorkersHealth, WorkersMetrics
from inventory_service.workers.supervisor import Listening, Supervisor

CLOSED_PORT = "http://127.0.0.1:1/metrics"
RULES = {"holdfast_workers": Rule.SUM}


class Worker:
    """A worker's page: a counter, a gauge, and what it waits for."""

    def __init__(self, number: int, calls: int, waits: Mapping[str, str] | None = None) -> None:
        self._waits = waits or {}
        registry = CollectorRegistry()
        self.calls = Counter("calls", "Calls.", registry=registry)
        self.calls.inc(calls)
        Gauge("level", "Level.", registry=registry).set(number)
        self.listening = Listening(number, 1000 + number, serve_page("127.0.0.1:0", registry, self))

    async def unavailable(self) -> Mapping[str, str]:
        return self._waits


@pytest.fixture
def supervisor() -> Supervisor:
    """One that has started none: tests set which workers listen."""
    return Supervisor(2, [], {})


async def shown(metrics: WorkersMetrics, *names: str) -> dict[str, float]:
    """The samples of the page that have these names."""
    families = await asyncio.to_thread(lambda: list(metrics.collect()))
    return {
        sample.name + sample.labels.get("worker", ""): sample.value
        for family in families
        for sample in family.samples
        if sample.name in names
    }


async def test_the_sums_keep_what_a_worker_had_counted_that_has_ended(supervisor: Supervisor) -> None:
    """Also once another has taken its number; its gauges end with it."""
    metrics = WorkersMetrics(CollectorRegistry(), supervisor, RULES)
    supervisor.listening = {1: Worker(1, 5).listening, 2: Worker(2, 7).listening}
    assert await shown(metrics, "calls_total", "level") == {"calls_total": 12, "level1": 1, "level2": 2}

    del supervisor.listening[1]
    assert await shown(metrics, "calls_total", "level") == {"calls_total": 12, "level2": 2}

    supervisor.listening[1] = Worker(1, 1).listening
    assert await shown(metrics, "calls_total", "holdfast_workers") == {"calls_total": 13, "holdfast_workers": 2}


@pytest.mark.parametrize("answer", [None, Response(500, "a bug"), Response(OK, "calls_total{")])
async def test_the_sums_keep_those_of_a_worker_that_does_not_answer_with_metrics(
    supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch, answer: Response | None
) -> None:
    """Until it does."""
    metrics = WorkersMetrics(CollectorRegistry(), supervisor, RULES)
    halted, fetch = Worker(1, 5).listening, pages.fetch
    supervisor.listening = {1: halted, 2: Worker(2, 7).listening}
    await shown(metrics)
    monkeypatch.setattr(pages, "fetch", lambda workers, path: {**fetch(workers, path), halted: answer})

    assert await shown(metrics, "calls_total", "level") == {"calls_total": 12, "level2": 2}


async def test_some_metrics_can_be_asked_for(supervisor: Supervisor) -> None:
    """As of the page of one process."""
    supervisor.listening = {1: Worker(1, 5).listening}
    metrics = WorkersMetrics(CollectorRegistry(), supervisor, RULES)
    url = serve_page("127.0.0.1:0", metrics, WorkersHealth(supervisor))

    page = await asyncio.to_thread(lambda: urllib.request.urlopen(f"{url}?name[]=calls_total").read().decode())

    assert [line for line in page.splitlines() if line[0] != "#"] == ["calls_total 5.0"]


async def test_the_workers_wait_for_what_any_of_them_waits_for(supervisor: Supervisor) -> None:
    """Servers by their names; they are healthy once none waits."""
    supervisor.listening = {1: Worker(1, 0).listening, 2: Worker(2, 0, {"Redis": "refused: by it"}).listening}
    assert await WorkersHealth(supervisor).unavailable() == {"Redis": "refused: by it"}

    del supervisor.listening[2]
    assert await WorkersHealth(supervisor).unavailable() == {}


async def test_a_worker_that_does_not_answer_is_named(supervisor: Supervisor) -> None:
    """The kernel still gives it connections."""
    supervisor.listening = {1: Worker(1, 0).listening, 2: Listening(2, 1002, CLOSED_PORT)}

    assert list(await WorkersHealth(supervisor).unavailable()) == ["worker 2"]


async def test_without_a_worker_nothing_is_served(supervisor: Supervisor) -> None:
    """Before the first one listens, or while all are started again."""
    assert await WorkersHealth(supervisor).unavailable() == {"a worker": "none takes calls"}
