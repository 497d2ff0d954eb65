"""The check of a server's clock."""

import pytest

from inventory_service.server_checks.clocks import Reading, judge_clock
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
