"""Machine and commit of a benchmark, for a figure without them says nothing."""

import os
import platform
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def machine_and_commit() -> str:
    """One line, for the head of a report."""
    return f"{machine()}; commit {commit_of(ROOT)}"


def machine() -> str:
    """How many cores of which kind, and the interpreter."""
    return f"{os.cpu_count()} cores, {platform.machine()}, {platform.system()}, Python {platform.python_version()}"


def commit_of(checkout: Path) -> str:
    """The commit of a checkout, with `-dirty` if its files differ from it."""
    command = ["git", "-C", str(checkout), "describe", "--always", "--dirty", "--abbrev=10"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip() or "unknown"
