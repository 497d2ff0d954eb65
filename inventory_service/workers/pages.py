"""Merges the pages of all workers: their metrics into one page, and what they wait for into one health."""

import asyncio
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection, HTTPException
from threading import Lock
from typing import NamedTuple
from urllib.parse import urlsplit

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector, RestrictedRegistry

from inventory_service.workers.merging import Page, Rules, cumulative, merge
from inventory_service.workers.supervisor import Listening, Supervisor

ANSWER_S = 4.0  # for one worker's page: less than a caller of the merged one is given
OK = 200
ENDED, SUPERVISOR = "ended", "supervisor"  # pages beside those of workers
WAITS = re.compile(r"waits for (.+?): (.*)")


class Response(NamedTuple):
    """The response of a worker's page."""

    status: int
    text: str


class WorkersMetrics(CollectorRegistry):
    """The metrics of all workers, read from their pages at each scrape, beside those of the supervisor's process.

    The sums never fall: a worker that has ended or does not answer stays in them, with what was read last.
    """

    def __init__(self, own: CollectorRegistry, supervisor: Supervisor, rules: Rules) -> None:
        super().__init__()
        self._own = own
        self._supervisor = supervisor
        self._rules = rules
        self._reading = Lock()
        self._read: dict[Listening, Page] = {}
        self._of_ended: Page = []
        own.register(_SupervisorMetrics(supervisor))

    def collect(self) -> Iterable[Metric]:
        """Runs on the threads of the page, one scrape at a time."""
        with self._reading:
            workers = list(self._supervisor.listening.values())
            found = {worker: _parsed(answer) for worker, answer in fetch(workers, "/metrics").items()}
            pages = {worker: page for worker, page in found.items() if page is not None}
            for worker in self._read.keys() - workers:
                ended = cumulative(self._read.pop(worker), self._rules)
                self._of_ended = merge({ENDED: self._of_ended, str(worker.number): ended}, self._rules)
            silent = {worker: cumulative(page, self._rules) for worker, page in self._read.items()}
            self._read |= pages
            by_name = {str(worker.number): page for worker, page in (silent | pages).items()}
            own = list(self._own.collect())
            return merge({ENDED: self._of_ended, SUPERVISOR: own, **by_name}, self._rules)

    def restricted_registry(self, names: Iterable[str]) -> RestrictedRegistry:
        """What answers a request for some metrics only."""
        registry = CollectorRegistry(auto_describe=True)
        registry.register(_Collected(list(self.collect())))
        return registry.restricted_registry(names)


class WorkersHealth:
    """What the workers wait for. A worker that has ended makes it no worse, because the others get its calls."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor

    async def unavailable(self) -> Mapping[str, str]:
        """Each unavailable server by its name, with the error, and each worker that does not answer."""
        workers = list(self._supervisor.listening.values())
        if not workers:
            return {"a worker": "none takes calls"}
        answers = await asyncio.to_thread(fetch, workers, "/healthz")
        return {name: why for worker, answer in answers.items() for name, why in _waits(worker, answer)}


def fetch(workers: Sequence[Listening], path: str) -> Mapping[Listening, Response | None]:
    """The response of each worker's page, all fetched at once; None for a worker that does not answer."""
    with ThreadPoolExecutor(max(1, len(workers))) as threads:
        return dict(zip(workers, threads.map(lambda worker: _get(worker.metrics_url, path), workers), strict=True))


def _get(url: str, path: str) -> Response | None:
    connection = HTTPConnection(urlsplit(url).netloc, timeout=ANSWER_S)  # which heeds no proxy's variable
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return Response(response.status, response.read().decode())
    except (OSError, HTTPException, UnicodeDecodeError):
        return None
    finally:
        connection.close()


def _waits(worker: Listening, answer: Response | None) -> Iterator[tuple[str, str]]:
    name = f"worker {worker.number}"
    if answer is None:
        yield name, f"it has not answered for {ANSWER_S:g} s"
    elif answer.status != OK:
        for line in answer.text.splitlines():
            wait = WAITS.fullmatch(line)
            yield (wait[1], wait[2]) if wait else (name, line)


def _parsed(answer: Response | None) -> Page | None:
    """The metrics of a page; None if it has none, whatever it has instead."""
    if answer is None or answer.status != OK:
        return None
    try:
        return list(text_string_to_metric_families(answer.text))
    except ValueError:
        return None


class _Collected(Collector):
    """Metrics that were collected already."""

    def __init__(self, page: Page) -> None:
        self._page = page

    def collect(self) -> Iterable[Metric]:
        return self._page


class _SupervisorMetrics(Collector):
    """How many workers take calls, and how often one was started again."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor

    def collect(self) -> Iterable[Metric]:
        yield GaugeMetricFamily(
            "holdfast_workers", "Server processes that take calls.", value=len(self._supervisor.listening)
        )
        yield CounterMetricFamily(
            "holdfast_worker_restarts", "Times that a worker was started again.", value=self._supervisor.restarts
        )
