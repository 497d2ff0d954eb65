"""The check of a server's clock."""

import pytest

from inventory_service.server_checks.clocks import Reading, judge_clock, judge_shard_time
from inventory_service.server_checks.results import Level


@pytest.mark.parametrize(("server", "ahead_s"), [("Redis", 3.0), ("Redis", -3.0), ("Postgres", 3.0)])
def test_a_clock_that_is_seconds_off_is_off(server: str, ahead_s: float) -> None:
    """Ahead or behind; the line has the difference."""
    found = judge_clock(server, [Reading(100.0, 100.1 + ahead_s, 100.2)])

    assert found.level is Level.FAIL
    assert f"{ahead_s:+.3f} s" in found.value


def test_a_slow_answer_does_not_make_a_clock_off() -> None:
    """The clock was read at an unknown moment of those six seconds, so the quickest answer counts."""
    slow, quick = Reading(100.0, 105.9, 106.0), Reading(107.0, 107.1, 107.2)

    assert judge_clock("Redis", [slow]).level is Level.OK
    assert judge_clock("Redis", [slow, quick]).value.startswith("+0.000 s")


@pytest.mark.parametrize(("ahead_ms", "level"), [(0, Level.OK), (900, Level.OK), (3_600_000, Level.FAIL)])
def test_a_commit_that_is_dated_ahead_is_off(ahead_ms: int, level: Level) -> None:
    """The clock is right again, and the shard goes by the time of that commit until the clock has reached it."""
    found = judge_shard_time(ahead_ms)

    assert (found.level, found.value) == (level, f"+{ahead_ms / 1000:.3f} s")
