"""The lock pins a checkout's environment with hashes; the constraints pin the same versions for installations."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PIN = re.compile(r"^([\w.-]+)==([^\s;\\]+)", re.MULTILINE)


def test_the_constraints_are_the_locks_versions() -> None:
    """`make lock` writes both; another version in the constraints would be one that was never tested."""
    locked = PIN.findall((ROOT / "requirements.lock").read_text())
    constrained = PIN.findall((ROOT / "constraints.txt").read_text())

    assert locked
    assert constrained == locked
