"""What is pinned: the lock, with hashes, lays the checkout's environment; the constraints serve everybody else."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PIN = re.compile(r"^([\w.-]+)==([^\s;\\]+)", re.MULTILINE)


def test_the_constraints_are_the_locks_versions() -> None:
    """`make lock` writes both; what one names in another version the other was never tested with."""
    locked = PIN.findall((ROOT / "requirements.lock").read_text())
    constrained = PIN.findall((ROOT / "constraints.txt").read_text())

    assert locked
    assert constrained == locked
