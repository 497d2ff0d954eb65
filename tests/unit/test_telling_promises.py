"""What a server says once, of each of its servers, as soon as that one answers."""

from collections.abc import Sequence

import structlog
from structlog.testing import capture_logs

from inventory_service.domain.promises.findings import Finding, Standing
from inventory_service.domain.shards import StoreUnreachable
from inventory_service.entrypoints.promises import Examination, examine, tell_once

KEPT = Finding("Redis", "appendonly", "yes", Standing.KEPT, "it is still there")
NOTE = Finding("Redis", "maxmemory", "0", Standing.NOTE, "no limit", "set one")
OFF = Finding("Redis", "appendfsync", "no", Standing.OFF, "it may be lost", "set it to always")
UNKNOWN = Finding("Redis", "role", "?", Standing.UNKNOWN, "it does not tell")


class Gauge:
    """Remembers what it was shown."""

    def __init__(self) -> None:
        self.shown: list[Finding] = []

    def show(self, finding: Finding) -> None:
        self.shown.append(finding)


class Redis:
    """Answers only when it was asked often enough."""

    def __init__(self, away: int = 0) -> None:
        self._away = away

    async def ask(self) -> Sequence[Finding]:
        if self._away:
            self._away -= 1
            raise StoreUnreachable("connection refused")
        return [KEPT, NOTE, OFF, UNKNOWN]


async def test_what_is_off_is_a_warning_and_what_is_unknown_is_one_for_all() -> None:
    """What is kept is only counted, for a log is read for what is not as it should be."""
    gauge = Gauge()

    with capture_logs() as said:
        await tell_once([Examination("Redis", Redis().ask)], structlog.get_logger(), gauge)

    told = [(event["log_level"], event["event"], event.get("setting")) for event in said]
    assert told == [
        ("info", "promise_note", "maxmemory"),
        ("warning", "promise_off", "appendfsync"),
        ("warning", "promises_unknown", None),
        ("info", "promises", None),
    ]
    assert said[1]["change"] == "set it to always"
    assert said[2]["settings"] == ["role"]
    assert gauge.shown == [KEPT, NOTE, OFF, UNKNOWN]


async def test_a_server_that_is_away_is_told_of_when_it_is_back() -> None:
    """That it is away is said once."""
    with capture_logs() as said:
        await tell_once([Examination("Redis", Redis(away=1).ask)], structlog.get_logger(), Gauge())

    assert [event["event"] for event in said].count("promises_not_asked") == 1
    assert said[-1]["event"] == "promises"


async def test_an_answer_that_nobody_can_read_harms_nothing() -> None:
    """It is told with its trace, and the other servers' findings are told all the same."""

    async def garbled() -> Sequence[Finding]:
        raise KeyError("maxmemory")

    with capture_logs() as said:
        await tell_once(
            [Examination("Kafka", garbled), Examination("Redis", Redis().ask)], structlog.get_logger(), Gauge()
        )

    assert [event["server"] for event in said if event["event"] == "promises_surprise"] == ["Kafka"]
    assert said[-1]["event"] == "promises"


async def test_a_server_that_does_not_answer_the_doctor_is_a_finding() -> None:
    """The others are told of all the same."""
    found = await examine([Examination("Kafka", Redis(away=1).ask), Examination("Redis", Redis().ask)])

    assert [(finding.server, finding.standing) for finding in found[:2]] == [
        ("Kafka", Standing.UNKNOWN),
        ("Redis", Standing.KEPT),
    ]
    assert "connection refused" in found[0].promise
