"""What a server says once, of each of its servers, as soon as that one answers."""

from collections.abc import Sequence

import structlog
from structlog.testing import capture_logs

from inventory_service.domain.shards import RedisUnavailable
from inventory_service.server_checks.results import CheckResult, Level
from inventory_service.server_checks.run import Check, log_once, run_checks

OK = CheckResult("Redis", "appendonly", "yes", Level.OK, "it is still there")
NOTE = CheckResult("Redis", "maxmemory", "0", Level.NOTE, "no limit", "set one")
FAIL = CheckResult("Redis", "appendfsync", "no", Level.FAIL, "it may be lost", "set it to always")
UNKNOWN = CheckResult("Redis", "role", "?", Level.UNKNOWN, "it does not tell")


class Gauge:
    """Remembers what it was shown."""

    def __init__(self) -> None:
        self.shown: list[CheckResult] = []

    def show(self, finding: CheckResult) -> None:
        self.shown.append(finding)


class Redis:
    """Answers only when it was asked often enough."""

    def __init__(self, away: int = 0) -> None:
        self._away = away

    async def ask(self) -> Sequence[CheckResult]:
        if self._away:
            self._away -= 1
            raise RedisUnavailable("connection refused")
        return [OK, NOTE, FAIL, UNKNOWN]


async def test_what_is_off_is_a_warning_and_what_is_unknown_is_one_for_all() -> None:
    """What is kept is only counted, for a log is read for what is not as it should be."""
    gauge = Gauge()

    with capture_logs() as said:
        await log_once([Check("Redis", Redis().ask)], structlog.get_logger(), gauge)

    told = [(event["log_level"], event["event"], event.get("setting")) for event in said]
    assert told == [
        ("info", "server_check_note", "maxmemory"),
        ("warning", "server_check_fail", "appendfsync"),
        ("warning", "server_check_unknown", None),
        ("info", "server_checks", None),
    ]
    assert said[1]["change"] == "set it to always"
    assert said[2]["settings"] == ["role"]
    assert gauge.shown == [OK, NOTE, FAIL, UNKNOWN]


async def test_a_server_that_is_away_is_told_of_when_it_is_back() -> None:
    """That it is away is said once."""
    with capture_logs() as said:
        await log_once([Check("Redis", Redis(away=1).ask)], structlog.get_logger(), Gauge())

    assert [event["event"] for event in said].count("server_check_pending") == 1
    assert said[-1]["event"] == "server_checks"


async def test_an_answer_that_nobody_can_read_harms_nothing() -> None:
    """It is told with its trace, and the other servers' findings are told all the same."""

    async def garbled() -> Sequence[CheckResult]:
        raise KeyError("maxmemory")

    with capture_logs() as said:
        await log_once([Check("Kafka", garbled), Check("Redis", Redis().ask)], structlog.get_logger(), Gauge())

    assert [event["server"] for event in said if event["event"] == "server_check_failed"] == ["Kafka"]
    assert said[-1]["event"] == "server_checks"


async def test_a_server_that_does_not_answer_the_doctor_is_a_finding() -> None:
    """The other_roles are told of all the same."""
    found = await run_checks([Check("Kafka", Redis(away=1).ask), Check("Redis", Redis().ask)])

    assert [(finding.server, finding.level) for finding in found[:2]] == [
        ("Kafka", Level.UNKNOWN),
        ("Redis", Level.OK),
    ]
    assert "connection refused" in found[0].promise
