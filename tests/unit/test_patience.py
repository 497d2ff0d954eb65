"""Waiting for servers that are away: told once, counted each time, with growing delays, and over when they are back."""

from collections.abc import Sequence
from itertools import pairwise

import pytest
import structlog
from structlog.testing import capture_logs

from inventory_service.domain.shards import KafkaUnavailable, RedisUnavailable, ServerUnavailable
from inventory_service.entrypoints.patience import GrowingDelay, repeat

AWAY, BACK = RedisUnavailable("nobody listens"), None


class Over(Exception):
    """Ends the repetition, for waiting does not mend a surprise."""


@pytest.fixture
def delays(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The delays that would have been waited for."""
    waited: list[float] = []

    async def note(delay: GrowingDelay) -> None:
        waited.append(delay.take())

    monkeypatch.setattr(GrowingDelay, "wait", note)
    return waited


async def repeated(steps: Sequence[ServerUnavailable | None]) -> tuple[list[str], list[str]]:
    """Take these steps, then end: the events that were logged, and the servers that were waited for."""
    waited: list[str] = []
    left = iter(steps)

    async def step() -> None:
        outcome = next(left, Over())
        if outcome is not None:
            raise outcome

    with capture_logs() as logged, pytest.raises(Over):
        await repeat(step, structlog.get_logger(), waited.append)
    return [f"{one['event']} {one['server']}" for one in logged], waited


async def test_an_outage_is_told_once_and_counted_each_time(delays: list[float]) -> None:
    """A log that says the same all night hides what else it says; a metric shows how long it lasted."""
    logged, waited = await repeated([AWAY, AWAY, AWAY, BACK, AWAY])

    assert logged == ["server_unavailable Redis", "server_recovered Redis", "server_unavailable Redis"]
    assert waited == ["Redis"] * 4
    assert len(delays) == 4


async def test_the_delays_grow_and_begin_anew_after_an_outage(delays: list[float]) -> None:
    """A server that comes back is not run over, and a short outage costs little."""
    await repeated([*[AWAY] * 12, BACK, AWAY])

    assert all(later > 1.1 * sooner for sooner, later in pairwise(delays[:5]))
    assert max(delays) < 7
    assert delays[-1] < 0.2


async def test_another_server_that_is_away_is_told_too(delays: list[float]) -> None:
    """The first may be back while the next is not."""
    logged, waited = await repeated([AWAY, KafkaUnavailable("no answer"), BACK])

    assert logged == ["server_unavailable Redis", "server_unavailable Kafka", "server_recovered Kafka"]
    assert waited == ["Redis", "Kafka"]
