"""The persister's waiting for servers that are away: each reason told once, each attempt counted, and the end told."""

from collections.abc import Sequence

import pytest
from prometheus_client import CollectorRegistry
from structlog.testing import capture_logs

from order_persister import patience
from order_persister.metrics import waits_counter
from order_persister.patience import Patience, TransientError

AWAY, LACKS_TABLES = TransientError("nobody listens"), TransientError("the ledger's tables lack 0002")


async def waited_out(
    attempts: Sequence[TransientError | str], monkeypatch: pytest.MonkeyPatch
) -> tuple[str, list[str], float]:
    """What came of these attempts, what was logged on the way, and how many attempts were counted as failed."""
    monkeypatch.setattr(patience, "FIRST_DELAY_S", 0.0)
    registry, left = CollectorRegistry(), iter(attempts)

    async def attempt() -> str:
        outcome = next(left)
        if isinstance(outcome, TransientError):
            raise outcome
        return outcome

    with capture_logs() as logged:
        answer = await Patience(waits_counter(registry)).wait_out("postgres", attempt)
    counted = registry.get_sample_value("holdfast_server_unavailable_total", {"on": "postgres"}) or 0.0
    return answer, [f"{one['event']} {one.get('why', '')}".strip() for one in logged], counted


async def test_what_works_at_once_is_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nearly every question is answered."""
    assert await waited_out(["answer"], monkeypatch) == ("answer", [], 0.0)


async def test_an_outage_is_told_once_and_counted_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A log that says the same all night hides what else it says; a metric shows how long it lasted."""
    answer, logged, counted = await waited_out([AWAY, AWAY, AWAY, "answer"], monkeypatch)

    assert (answer, counted) == ("answer", 3.0)
    assert logged == ["server_unavailable nobody listens", "server_recovered"]


async def test_another_reason_is_told_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that came back without its tables waits for somebody, who must hear of it."""
    _, logged, _ = await waited_out([AWAY, LACKS_TABLES, LACKS_TABLES, "answer"], monkeypatch)

    assert logged == [
        "server_unavailable nobody listens",
        "server_unavailable the ledger's tables lack 0002",
        "server_recovered",
    ]
