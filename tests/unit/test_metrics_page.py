"""The page of a process: its metrics, whether it can do its work, and nothing else."""

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
def asked_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """No answer is given twice."""
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
    """As Prometheus reads them, with or without a question behind the path."""
    page = Page()
    Counter("holdfast_any", "Any.", registry=page.registry).inc()

    for path in ("/metrics", "/metrics?name[]=holdfast_any_total"):
        status, text = await page.get(path)

        assert status == 200
        assert "holdfast_any_total 1.0" in text


@pytest.mark.parametrize("path", ["/", "/metric", "/metrics/", "/healthz/more", "/favicon.ico"])
async def test_other_paths_are_not_found(path: str) -> None:
    """A scraper that is set up wrong must not look as if it were right."""
    assert (await Page().get(path))[0] == 404


async def test_a_process_whose_servers_answer_is_healthy() -> None:
    """Each is asked anew."""
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
    """In one line a server, also where the server is there and no longer takes the password."""

    async def fail() -> None:
        raise error

    async def answer() -> None:
        """It is there."""

    page = Page([server("Redis", answer), server("Kafka", fail)])

    assert await page.get("/healthz") == (503, "waits for Kafka: Connection refused\n")


async def test_a_server_that_a_loop_waits_for_is_told_too() -> None:
    """It may take connections, and still lack what the process asks it for."""
    page = Page()
    outage = Outage(page.outages, structlog.get_logger())
    outage.failed("Postgres", "the ledger's tables lack 0002")
    while_it_waits = await page.get("/healthz")
    outage.recovered()

    assert while_it_waits == (503, "waits for Postgres: the ledger's tables lack 0002\n")
    assert await page.get("/healthz") == (200, "ok\n")


async def test_a_silent_server_is_not_waited_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who asks has a deadline too."""
    monkeypatch.setattr(health, "PROBE_TIMEOUT_S", 0.05)

    async def say_nothing() -> None:
        await asyncio.Event().wait()

    assert await Page([server("Redis", say_nothing)]).get("/healthz") == (
        503,
        "waits for Redis: no answer in time\n",
    )


async def test_a_process_whose_loop_is_stuck_is_not_healthy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its page has a thread of its own, and would look alive for ever."""
    monkeypatch.setattr(metrics_page, "ANSWER_TIMEOUT_S", 0.05)
    page = Page()

    status, text = page._get("/healthz")  # in the loop's own thread, which meanwhile does nothing else

    assert status == 503
    assert "not answered" in text
