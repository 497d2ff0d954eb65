"""The benchmarks' own commands run from end to end in small, and their books are right; no time is asserted."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bench import h2load
from bench.machine import ROOT
from bench.strategies.catalog import HOLDFAST, NAMES
from bench.strategies.result import HEADLINES, load

RUN_S = 480.0
CORRECT = ("atomic-update", "select-for-update", HOLDFAST)  # whatever fails
AGREE = "Redis and the ledger agree"

pytestmark = pytest.mark.timeout(500)  # each starts servers of its own
needs_h2load = pytest.mark.skipif(h2load.missing() is not None, reason=h2load.missing() or "")


def output_of(*arguments: str) -> str:
    """What a benchmark prints while it is at work."""
    command = [sys.executable, "-m", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=RUN_S, check=False)
    assert done.returncode == 0, done.stderr
    return done.stderr


def test_every_strategy_sells_and_is_killed(tmp_path: Path) -> None:
    """Many callers buy the few units of each, then its server dies. A call that fails may cost some of them a unit."""
    file = tmp_path / "smoke.json"

    progress = output_of("bench.strategies", "--smoke", "--json", str(file))

    result = load(file)
    rows = {cell.strategy: cell.measured for cell in result.cells[HEADLINES]}
    killed = {loss.strategy: loss.books for loss in result.losses}
    assert rows.keys() == killed.keys() == set(NAMES)
    for name, row in rows.items():
        assert row is not None, name
        assert set(row.accepted_ms) == set(row.sold_out_ms) == {"p50", "p95", "p99"}, name
        if name == "read-modify-write":  # two reads of one stock sell a unit twice
            assert row.books.oversold > 0
        elif name in CORRECT or not row.errors:
            assert row.books.are_clean, name
            assert row.books.recorded == row.books.stock, name
    assert all(books and books.are_clean for name, books in killed.items() if name in CORRECT)
    assert sum(books.recorded for books in killed.values() if books) > 0
    assert f"{AGREE}: 16 shards, 2 sales" in progress


@needs_h2load
def test_builds_are_compared_in_pairs(tmp_path: Path) -> None:
    """Both servers of this checkout beside one that does nothing, by h2load, and the audits of both."""
    file = tmp_path / "paired.json"
    small = ("--clients", "h2load", "--rounds", "1", "--seconds", "0.3", "--connections", "2", "--streams", "5")

    progress = output_of("bench.paired", *small, "--most-foreign", "1000", "--json", str(file))

    taken = json.loads(file.read_text())["clients"]["h2load"]
    assert {name for name, loads in taken.items() if isinstance(loads, dict)} == {"no-op", "this", "twin"}
    assert all(taken[build][kind]["calls_per_s"] > 0 for build in ("this", "twin") for kind in ("accepted", "sold-out"))
    assert progress.count(AGREE) == 2
