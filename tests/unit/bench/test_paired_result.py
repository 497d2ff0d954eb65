"""The JSON of a comparison in pairs: ratios within each round, with their spread, and the tables of it."""

import pytest
from holdfast_bench.load import Report

from bench.loads import Measured
from bench.paired_result import of_rounds, result_of
from bench.tables import at_rate_table, compared_table, paired_table

NOOP = ("no-op", "accepted")


def measured(calls: int, *cpu_us: float, p99_ms: float = 2.0) -> Measured:
    return Measured(Report(calls, 1.0, [1.0, p99_ms]), cpu_us)


ROUNDS = [
    {
        NOOP: measured(1000 * speed, 50.0),
        ("this", "accepted"): measured(800 * speed, 90.0, 20.0, p99_ms=6.0),
        ("twin", "accepted"): measured(880 * speed, 99.0, 20.0),
    }
    for speed in (1, 2, 3)
]


def test_ratios_are_taken_within_rounds() -> None:
    """The machine is three times as fast in the last round, and each ratio stays."""
    found = result_of({"h2load": (ROUNDS, 1)}, NOOP)["clients"]["h2load"]

    assert (found["rounds"], found["disturbed"]) == (3, 1)
    assert found["this"]["accepted"]["of_the_noop"] == {"median": 0.8, "first": 0.8, "third": 0.8}
    assert found["twin"]["accepted"]["of_this"]["median"] == 1.1
    assert found["twin"]["accepted"]["server_cpu_of_this"]["median"] == 1.1


def test_the_no_op_has_no_redis() -> None:
    """It is compared with all else nevertheless."""
    noop = result_of({"h2load": (ROUNDS, 0)}, NOOP)["clients"]["h2load"]["no-op"]["accepted"]

    assert not {"redis_cpu_us", "redis_cpu_of_this"} & noop.keys()
    assert noop["server_cpu_of_this"]["median"] == pytest.approx(50 / 90, abs=0.001)


def test_the_table_has_a_row_a_server_and_load() -> None:
    """With the median of the rate, which is that of a machine, and ratios, which carry over."""
    rows = paired_table(result_of({"h2load": (ROUNDS, 0)}, NOOP))

    assert len(rows) == 5
    assert rows[3].startswith("| h2load | this | accepted | 1,600 | 0.80 (0.80-0.80) | 1.0 | 6.0 | 6.0 | 90 (")


def test_the_twin_shows_the_noise() -> None:
    """It alone is compared with this here, for there is no other."""
    rows = compared_table(result_of({"h2load": (ROUNDS, 0)}, NOOP))

    assert rows[2:] == ["| twin | h2load | accepted | 1.10 (1.10-1.10) | 1.10 (1.10-1.10) | 1.00 (1.00-1.00) |"]


def test_at_a_rate_the_p99_is_compared() -> None:
    """Rates are equal there; without such rounds there is no table."""
    result = {"at_rate": {"share": 0.5, **of_rounds(ROUNDS, 0, NOOP)}}

    rows = at_rate_table(result)

    assert rows[3].startswith("| this | 1,600 | 1.0 | 6.0 | 6.0 | 90 (")
    assert rows[3].endswith("| 3.00 (3.00-3.00) |")
    assert at_rate_table({}) == []
