"""The checks of a running server: logged once, and again when a result changes; exported each time."""

from collections.abc import Sequence

import pytest
import structlog
from structlog.testing import capture_logs

from inventory_service.domain.shards import RedisUnavailable
from inventory_service.server_checks.results import CheckResult, Level
from inventory_service.server_checks.run import Check, CheckWatch, run_checks

OK = CheckResult("Redis", "appendonly", "yes", Level.OK, "it is still there")
NOTE = CheckResult("Redis", "maxmemory", "0", Level.NOTE, "no limit", "set one")
FAIL = CheckResult("Redis", "appendfsync", "no", Level.FAIL, "it may be lost", "set it to always")
UNKNOWN = CheckResult("Redis", "role", "?", Level.UNKNOWN, "it does not report it")


class Gauges:
    """Keeps the results that were exported last."""

    def __init__(self) -> None:
        self.shown: Sequence[CheckResult] = ()

    def show(self, server: str, results: Sequence[CheckResult]) -> None:
        assert {result.server for result in results} <= {server}
        self.shown = results


class FakeRedis:
    """Is unavailable for the first calls."""

    def __init__(self, away: int = 0) -> None:
        self.away = away
        self.results = [OK, NOTE, FAIL, UNKNOWN]

    async def ask(self) -> Sequence[CheckResult]:
        if self.away:
            self.away -= 1
            raise RedisUnavailable("connection refused")
        return self.results


@pytest.fixture
def redis() -> FakeRedis:
    return FakeRedis()


@pytest.fixture
def gauges() -> Gauges:
    return Gauges()


@pytest.fixture
def watch(redis: FakeRedis, gauges: Gauges) -> CheckWatch:
    return CheckWatch(Check("Redis", redis.ask), structlog.get_logger(), gauges)


async def test_each_failed_check_is_a_warning_and_all_unknown_ones_are_one(watch: CheckWatch, gauges: Gauges) -> None:
    """Kept settings are only counted: an operator reads the log for those that are not."""
    with capture_logs() as logged:
        assert await watch.check()

    events = [(event["log_level"], event["event"], event.get("setting")) for event in logged]
    assert events == [
        ("info", "server_check_note", "maxmemory"),
        ("warning", "server_check_fail", "appendfsync"),
        ("warning", "server_check_unknown", None),
        ("info", "server_checks", None),
    ]
    assert logged[1]["change"] == "set it to always"
    assert logged[2]["settings"] == ["role"]
    assert gauges.shown == [OK, NOTE, FAIL, UNKNOWN]


async def test_what_changes_later_is_exported_and_logged(redis: FakeRedis, watch: CheckWatch, gauges: Gauges) -> None:
    """A setting may be changed while servers run; a value that still keeps the promise is no news."""
    redis.results = [OK, NOTE]
    await watch.check()
    worse = OK._replace(value="no", level=Level.FAIL)

    with capture_logs() as logged:
        redis.results = [OK, NOTE._replace(value="1 GiB")]
        await watch.check()
        redis.results = [worse, NOTE]
        await watch.check()
        assert gauges.shown == [worse, NOTE]
        redis.results = [OK, NOTE]
        await watch.check()

    events = [(event["event"], event.get("setting")) for event in logged]
    assert events == [
        ("server_check_fail", "appendonly"),
        ("server_checks", None),
        ("server_check_ok", "appendonly"),
        ("server_checks", None),
    ]
    assert gauges.shown == [OK, NOTE]


async def test_an_unavailable_server_is_logged_once_and_its_last_results_stay(
    redis: FakeRedis, watch: CheckWatch, gauges: Gauges
) -> None:
    """Its settings have hardly changed, and that it is unavailable is shown by other means."""
    await watch.check()
    redis.away = 2

    with capture_logs() as logged:
        assert not await watch.check()
        assert not await watch.check()
        assert await watch.check()

    assert [event["event"] for event in logged] == ["server_check_pending"]
    assert gauges.shown == redis.results


async def test_an_unreadable_answer_is_logged_once(gauges: Gauges) -> None:
    """It is logged with its trace, and no process ends by it."""

    async def garbled() -> Sequence[CheckResult]:
        raise KeyError("maxmemory")

    watch = CheckWatch(Check("Kafka", garbled), structlog.get_logger(), gauges)
    with capture_logs() as logged:
        assert not await watch.check()
        assert not await watch.check()

    assert [event["event"] for event in logged] == ["server_check_failed"]


async def test_a_server_that_does_not_answer_the_doctor_is_an_unknown_result() -> None:
    """The other servers are checked all the same."""
    found = await run_checks([Check("Kafka", FakeRedis(away=1).ask), Check("Redis", FakeRedis().ask)])

    assert [(finding.server, finding.level) for finding in found[:2]] == [
        ("Kafka", Level.UNKNOWN),
        ("Redis", Level.OK),
    ]
    assert "connection refused" in found[0].promise
