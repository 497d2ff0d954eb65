"""The benchmarks' own commands run from end to end in small, and their books are right; no time is asserted."""

import subprocess
import sys
from pathlib import Path

import pytest

from bench.machine import ROOT
from bench.strategies.catalog import HOLDFAST, NAMES
from bench.strategies.result import HEADLINES, load

RUN_S = 480.0
AGREE = "Redis and the ledger agree"

pytestmark = pytest.mark.timeout(500)  # each starts servers of its own


def output_of(*arguments: str) -> str:
    """What a benchmark prints while it is at work."""
    command = [sys.executable, "-m", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=RUN_S, check=False)
    assert done.returncode == 0, done.stderr
    return done.stderr


def test_every_strategy_sells_and_is_killed(tmp_path: Path) -> None:
    """All but one sell each unit once to many callers, two reads of one stock sell a unit twice; then servers die."""
    file = tmp_path / "smoke.json"

    progress = output_of("bench.strategies", "--smoke", "--json", str(file))

    result = load(file)
    rows = {cell.strategy: cell.measured for cell in result.cells[HEADLINES]}
    killed = {loss.strategy: loss.books for loss in result.losses}
    assert rows.keys() == killed.keys() == set(NAMES)
    for name, row in rows.items():
        assert row is not None
        assert not row.errors
        assert set(row.accepted_ms) == set(row.sold_out_ms) == {"p50", "p95", "p99"}
        assert (row.books.lost, row.books.unanswered) == (0, 0)
        if name == "read-modify-write":
            assert row.books.oversold > 0
            assert row.books.divergence > 0
        else:
            assert row.books.are_clean
            assert row.books.told == row.books.stock
    for name in ("atomic-update", "select-for-update", HOLDFAST):
        assert (books := killed[name]) is not None
        assert books.are_clean, name
    assert sum(books.recorded for books in killed.values() if books) > 0
    assert f"{AGREE}: 16 shards, 2 sales" in progress
