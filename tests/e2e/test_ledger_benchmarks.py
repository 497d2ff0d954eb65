"""What the ledger and Redis take is measured from end to end in small; no time is asserted."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bench.machine import ROOT

RUN_S = 480.0
AGREE = "Redis and the ledger agree"

pytestmark = pytest.mark.timeout(500)  # it starts servers of its own


def test_a_live_hold_takes_the_bytes_of_its_parts(tmp_path: Path) -> None:
    """They are nearly all that Redis uses more than before, so no outbox and no connection is counted."""
    file = tmp_path / "hold-memory.json"
    command = [sys.executable, "-m", "bench.hold_memory", "--holds", "20000", "--json", str(file)]

    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=RUN_S, check=False)

    assert done.returncode == 0, done.stderr
    assert done.stderr.count(AGREE) == 2
    taken = json.loads(file.read_text())["bytes_a_hold"]
    together = taken.pop("together")
    assert all(size > 0 for size in taken.values())
    assert together == pytest.approx(sum(taken.values()), rel=0.1)
