"""Retries while a server is unavailable: logged once, counted each time, with growing delays."""

import asyncio
from collections.abc import Sequence
from itertools import pairwise

import pytest
import structlog
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from holdfast_runtime.connection_errors import TransientError
from holdfast_runtime.retry import Backoff, Outage, Outages, Retrier
from inventory_service.domain.shards import KafkaUnavailable, RedisUnavailable, ServerUnavailable
from tests.waiting import eventually

REFUSED, LACKS_TABLES = TransientError("nothing listens"), TransientError("the ledger's tables lack 0002")
UNAVAILABLE, AVAILABLE = RedisUnavailable("connection refused"), None


class Over(Exception):
    """An unexpected exception, which ends the repetition."""


@pytest.fixture
def delays(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The delays between attempts; no test waits for them."""
    waited: list[float] = []

    async def note(delay: Backoff) -> None:
        waited.append(delay.take())

    monkeypatch.setattr(Backoff, "wait", note)
    return waited


async def repeated(steps: Sequence[ServerUnavailable | None]) -> tuple[list[str], dict[str, float]]:
    """Take these steps, then end: the events that were logged, and the attempts that were counted as failed."""
    registry, left = CollectorRegistry(), iter(steps)

    async def step() -> None:
        outcome = next(left, Over())
        if outcome is not None:
            raise outcome

    with capture_logs() as logged, pytest.raises(Over):
        await Retrier(Outages(registry), ServerUnavailable).retry_forever(step, structlog.get_logger())
    return [f"{one['event']} {one['server']}" for one in logged], counted(registry)


async def retried(attempts: Sequence[TransientError | str]) -> tuple[str, list[str], dict[str, float]]:
    """The result of these attempts, the events that were logged, and the attempts that were counted as failed."""
    registry, left = CollectorRegistry(), iter(attempts)

    async def attempt() -> str:
        outcome = next(left)
        if isinstance(outcome, TransientError):
            raise outcome
        return outcome

    with capture_logs() as logged:
        answer = await Retrier(Outages(registry)).retry("Postgres", attempt)
    return answer, [f"{one['event']} {one.get('why', '')}".strip() for one in logged], counted(registry)


def counted(registry: CollectorRegistry) -> dict[str, float]:
    samples = (sample for metric in registry.collect() for sample in metric.samples)
    return {one.labels["server"]: one.value for one in samples if one.name == "holdfast_retries_total"}


async def test_an_outage_is_logged_once_and_counted_each_time(delays: list[float]) -> None:
    """Repeated log lines would hide others; the metric shows how long the outage lasted."""
    logged, waited = await repeated([UNAVAILABLE, UNAVAILABLE, UNAVAILABLE, AVAILABLE, UNAVAILABLE])

    assert logged == ["server_unavailable Redis", "server_recovered Redis", "server_unavailable Redis"]
    assert waited == {"redis": 4}
    assert len(delays) == 4


async def test_delays_grow_during_an_outage_and_are_short_again_after_it(delays: list[float]) -> None:
    """A server that returns is not flooded, and a short outage costs little."""
    await repeated([*[UNAVAILABLE] * 12, AVAILABLE, UNAVAILABLE])

    assert all(later > 1.1 * sooner for sooner, later in pairwise(delays[:5]))
    assert max(delays) < 7
    assert delays[-1] < 0.2


async def test_an_outage_of_another_server_is_logged_too(delays: list[float]) -> None:
    """The first server may have recovered while the next has not."""
    logged, waited = await repeated([UNAVAILABLE, KafkaUnavailable("no answer"), AVAILABLE])

    assert logged == ["server_unavailable Redis", "server_unavailable Kafka", "server_recovered Kafka"]
    assert waited == {"redis": 1, "kafka": 1}


async def test_an_attempt_that_succeeds_at_once_is_not_logged() -> None:
    """Nearly every attempt does."""
    assert await retried(["answer"]) == ("answer", [], {})


async def test_an_attempt_is_repeated_until_it_succeeds(delays: list[float]) -> None:
    """The caller gets its answer however long the outage lasted."""
    answer, logged, waits = await retried([REFUSED, REFUSED, REFUSED, "answer"])

    assert (answer, waits, len(delays)) == ("answer", {"postgres": 3}, 3)
    assert logged == ["server_unavailable nothing listens", "server_recovered"]


@pytest.mark.usefixtures("delays")
async def test_each_reason_of_an_outage_is_logged_once() -> None:
    """A server that returned without its tables waits for an operator, who must read so; two reasons in turn do not
    fill the log."""
    _, logged, _ = await retried([REFUSED, LACKS_TABLES, REFUSED, LACKS_TABLES, "answer"])

    assert logged == [
        "server_unavailable nothing listens",
        "server_unavailable the ledger's tables lack 0002",
        "server_recovered",
    ]


async def test_a_step_that_follows_a_stream_ends_its_outage_itself(delays: list[float]) -> None:
    """It never returns, and works as soon as it is connected; the next outage begins with short delays again."""
    registry, attempts = CollectorRegistry(), iter([*[False] * 6, True, False])
    outages = Outages(registry)

    async def follow(outage: Outage) -> None:
        is_connected = next(attempts, None)
        if is_connected is None:
            raise Over
        if is_connected:
            outage.recovered("Kafka")  # which was available
            assert outages.open() == {"Redis": "connection refused"}
            outage.recovered("Redis")
            assert outages.open() == {}
        raise UNAVAILABLE

    with capture_logs() as logged, pytest.raises(Over):
        await Retrier(outages, ServerUnavailable).follow_forever(follow, structlog.get_logger())

    assert [one["event"] for one in logged] == ["server_unavailable", "server_recovered", "server_unavailable"]
    assert max(delays) == delays[5]
    assert delays[6] < 0.2


async def test_a_cancelled_attempt_leaves_no_outage_behind() -> None:
    """The health page names only servers that a loop waits for now."""
    outages = Outages(CollectorRegistry())

    async def fail() -> None:
        raise REFUSED

    trying = asyncio.create_task(Retrier(outages).retry("Kafka", fail))
    await eventually(lambda: outages.open() == {"Kafka": "nothing listens"})

    trying.cancel()
    await asyncio.gather(trying, return_exceptions=True)

    assert outages.open() == {}


def test_two_loops_that_wait_for_one_server_end_their_outages_apart() -> None:
    """The recovery of one loop does not end the outage of the other."""
    outages = Outages(CollectorRegistry())
    one, other = (Outage(outages, structlog.get_logger()) for _ in range(2))
    one.failed("Redis", "refused")
    other.failed("Redis", "refused")

    one.recovered()

    assert outages.open() == {"Redis": "refused"}
