"""The HTTP page of a process: /metrics, /healthz, and 404 for any other path."""

import asyncio
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable, Sequence

import pytest
import structlog
from prometheus_client import CollectorRegistry, Counter

from holdfast_runtime import health, metrics_page
from holdfast_runtime.connection_errors import Cause, ConnectionRejected, TransientError
from holdfast_runtime.health import Health
from holdfast_runtime.metrics_page import serve_page
from holdfast_runtime.retry import Outage, Outages
from holdfast_runtime.start_check import Dependency
from tests.waiting import LONG_S


@pytest.fixture(autouse=True)
def no_cached_health(monkeypatch: pytest.MonkeyPatch) -> None:
    """No result of a probe is reused."""
    monkeypatch.setattr(health, "FRESH_S", 0.0)


class Page:
    """A page that is served on a port of its own."""

    def __init__(self, needs: Sequence[Dependency] = ()) -> None:
        self.registry = CollectorRegistry()
        self.outages = Outages(self.registry)
        self._url = serve_page("127.0.0.1:0", self.registry, Health(needs, self.outages)).removesuffix("/metrics")

    async def get(self, path: str) -> tuple[int, str]:
        """The status and the text of a path."""
        return await asyncio.to_thread(self._get, path)

    def _get(self, path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(self._url + path, timeout=LONG_S) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()


def server(name: str, probe: Callable[[], Awaitable[None]]) -> Dependency:
    return Dependency(name, f"{name} at somewhere:1", probe, "HOLDFAST_ANY", {})


async def test_metrics_are_shown() -> None:
    """In Prometheus' text format, with or without a query string."""
    page = Page()
    Counter("holdfast_any", "Any.", registry=page.registry).inc()

    for path in ("/metrics", "/metrics?name[]=holdfast_any_total"):
        status, text = await page.get(path)

        assert status == 200
        assert "holdfast_any_total 1.0" in text


@pytest.mark.parametrize("path", ["/", "/metric", "/metrics/", "/healthz/more", "/favicon.ico"])
async def test_other_paths_are_not_found(path: str) -> None:
    """A scraper with a wrong path must not look as if it were right."""
    assert (await Page().get(path))[0] == 404


async def test_a_process_whose_servers_answer_is_healthy() -> None:
    """Each request probes the servers."""
    asked: list[int] = []

    async def answer() -> None:
        asked.append(1)

    page = Page([server("Redis", answer)])

    assert [await page.get("/healthz") for _ in range(2)] == [(200, "ok\n")] * 2
    assert len(asked) == 2


@pytest.mark.parametrize(
    "error", [TransientError("Connection\nrefused"), ConnectionRejected(Cause.USER, "Connection refused")]
)
async def test_a_process_without_a_server_that_it_needs_says_which(error: Exception) -> None:
    """One line a server, also for a server that answers and rejects the password."""

    async def fail() -> None:
        raise error

    async def answer() -> None:
        """A server that answers."""

    page = Page([server("Redis", answer), server("Kafka", fail)])

    assert await page.get("/healthz") == (503, "waits for Kafka: Connection refused\n")


async def test_a_server_that_a_retry_loop_waits_for_is_named_too() -> None:
    """It may accept connections and still fail the process's requests."""
    page = Page()
    outage = Outage(page.outages, structlog.get_logger())
    outage.failed("Postgres", "the ledger's tables lack 0002")
    while_it_waits = await page.get("/healthz")
    outage.recovered()

    assert while_it_waits == (503, "waits for Postgres: the ledger's tables lack 0002\n")
    assert await page.get("/healthz") == (200, "ok\n")


async def test_a_silent_server_is_unhealthy_after_a_short_time_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """The caller of /healthz has a deadline too."""
    monkeypatch.setattr(health, "PROBE_TIMEOUT_S", 0.05)

    async def stay_silent() -> None:
        await asyncio.Event().wait()

    assert await Page([server("Redis", stay_silent)]).get("/healthz") == (
        503,
        "waits for Redis: no answer in time\n",
    )


async def test_a_process_whose_loop_is_stuck_is_not_healthy(monkeypatch: pytest.MonkeyPatch) -> None:
    """The page has a thread of its own, and would answer although the process does nothing."""
    monkeypatch.setattr(metrics_page, "ANSWER_TIMEOUT_S", 0.05)
    page = Page()

    status, text = page._get("/healthz")  # in the loop's own thread, which meanwhile does nothing else

    assert status == 503
    assert "not answered" in text
