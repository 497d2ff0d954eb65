"""The JSON of a comparison in pairs: ratios within each round, with their spread."""

import json
from pathlib import Path
from typing import NamedTuple

import pytest
from holdfast_bench.load import Report

from bench.figures import paired_table
from bench.paired_result import write_json


class Measured(NamedTuple):
    """One server in one round."""

    report: Report
    cpu_us: list[float]


def measured(calls: int, *cpu_us: float) -> Measured:
    return Measured(Report(calls, 1.0, [1.0, 2.0]), list(cpu_us))


ROUNDS = [
    {
        ("no-op", "accepted"): measured(1000 * speed, 50.0),
        ("this", "accepted"): measured(800 * speed, 90.0, 20.0),
        ("twin", "accepted"): measured(880 * speed, 99.0, 20.0),
    }
    for speed in (1, 2, 3)
]


def test_ratios_are_taken_within_rounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine is three times as fast in the last round, and each ratio stays."""
    monkeypatch.setattr("sys.argv", ["paired", "--rounds", "3"])
    write_json(tmp_path / "paired.json", {"h2load": (ROUNDS, 1)}, ("no-op", "accepted"), None)

    result = json.loads((tmp_path / "paired.json").read_text())

    found = result["clients"]["h2load"]
    assert (result["command"], found["rounds"], found["disturbed"]) == ("python -m bench.paired --rounds 3", 3, 1)
    assert found["this"]["accepted"]["of_the_noop"] == {"median": 0.8, "first": 0.8, "third": 0.8}
    assert found["twin"]["accepted"]["of_this"]["median"] == 1.1
    assert "redis_cpu_us" not in found["no-op"]["accepted"]


def test_the_table_has_a_row_a_server_and_load(tmp_path: Path) -> None:
    """The no-op has no Redis, and is compared with nothing but itself."""
    write_json(tmp_path / "paired.json", {"h2load": (ROUNDS, 0)}, ("no-op", "accepted"), None)

    rows = paired_table({"paired": json.loads((tmp_path / "paired.json").read_text())})

    assert len(rows) == 5
    assert rows[3].startswith("| h2load | this | accepted | 0.80 (0.80-0.80) | 1.00 (1.00-1.00) | 1.0 | 2.0 | 90 (")
