"""The checks after a start: the results of each server are logged once, as soon as it answers."""

from collections.abc import Sequence

import pytest
import structlog
from structlog.testing import capture_logs

from holdfast_runtime.retry import Backoff
from inventory_service.domain.shards import RedisUnavailable
from inventory_service.server_checks.results import CheckResult, Level
from inventory_service.server_checks.run import Check, log_once, run_checks

OK = CheckResult("Redis", "appendonly", "yes", Level.OK, "it is still there")
NOTE = CheckResult("Redis", "maxmemory", "0", Level.NOTE, "no limit", "set one")
FAIL = CheckResult("Redis", "appendfsync", "no", Level.FAIL, "it may be lost", "set it to always")
UNKNOWN = CheckResult("Redis", "role", "?", Level.UNKNOWN, "it does not report it")


class Gauge:
    """Keeps the results that were exported."""

    def __init__(self) -> None:
        self.shown: list[CheckResult] = []

    def show(self, result: CheckResult) -> None:
        self.shown.append(result)


class FakeRedis:
    """Is unavailable for the first calls."""

    def __init__(self, away: int = 0) -> None:
        self._away = away

    async def ask(self) -> Sequence[CheckResult]:
        if self._away:
            self._away -= 1
            raise RedisUnavailable("connection refused")
        return [OK, NOTE, FAIL, UNKNOWN]


async def test_each_failed_check_is_a_warning_and_all_unknown_ones_are_one() -> None:
    """Kept settings are only counted: an operator reads the log for those that are not."""
    gauge = Gauge()

    with capture_logs() as logged:
        await log_once([Check("Redis", FakeRedis().ask)], structlog.get_logger(), gauge)

    events = [(event["log_level"], event["event"], event.get("setting")) for event in logged]
    assert events == [
        ("info", "server_check_note", "maxmemory"),
        ("warning", "server_check_fail", "appendfsync"),
        ("warning", "server_check_unknown", None),
        ("info", "server_checks", None),
    ]
    assert logged[1]["change"] == "set it to always"
    assert logged[2]["settings"] == ["role"]
    assert gauge.shown == [OK, NOTE, FAIL, UNKNOWN]


async def test_the_checks_of_an_unavailable_server_are_logged_once_it_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """That it is unavailable is logged once."""
    monkeypatch.setattr(Backoff, "take", lambda _: 0.0)

    with capture_logs() as logged:
        await log_once([Check("Redis", FakeRedis(away=2).ask)], structlog.get_logger(), Gauge())

    assert [event["event"] for event in logged].count("server_check_pending") == 1
    assert logged[-1]["event"] == "server_checks"


async def test_an_unreadable_answer_is_logged_and_the_other_servers_are_checked() -> None:
    """It is logged with its trace, and the results of the other servers are logged all the same."""

    async def garbled() -> Sequence[CheckResult]:
        raise KeyError("maxmemory")

    with capture_logs() as logged:
        await log_once([Check("Kafka", garbled), Check("Redis", FakeRedis().ask)], structlog.get_logger(), Gauge())

    assert [event["server"] for event in logged if event["event"] == "server_check_failed"] == ["Kafka"]
    assert logged[-1]["event"] == "server_checks"


async def test_a_server_that_does_not_answer_the_doctor_is_an_unknown_result() -> None:
    """The other servers are checked all the same."""
    found = await run_checks([Check("Kafka", FakeRedis(away=1).ask), Check("Redis", FakeRedis().ask)])

    assert [(finding.server, finding.level) for finding in found[:2]] == [
        ("Kafka", Level.UNKNOWN),
        ("Redis", Level.OK),
    ]
    assert "connection refused" in found[0].promise
