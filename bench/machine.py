"""Machine and commit of a benchmark, for a figure without them says nothing."""

import os
import platform
import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
KIB_A_GIB = 1024 * 1024


def machine_and_commit() -> str:
    """One line, for the head of a report."""
    return f"{machine()}; commit {commit_of(ROOT)}"


def machine() -> str:
    """How many cores of which kind, the memory, the kernel and the interpreter."""
    model = _of_proc("cpuinfo", "model name") or "unknown CPU"
    memory_kib = int(_of_proc("meminfo", "MemTotal").split()[0])
    kernel = f"{platform.system()} {platform.release()} {platform.machine()}"
    python = f"Python {platform.python_version()}"
    return f"{os.cpu_count()} cores of {model}, {memory_kib / KIB_A_GIB:.0f} GiB, {kernel}, {python}"


def _of_proc(file: str, key: str) -> str:
    """The first value under a key of a file in /proc; empty if there is none, as of the model on some processors."""
    found = re.search(rf"^{key}\s*:\s*(.+)$", Path("/proc", file).read_text(), re.MULTILINE)
    return found[1].strip() if found else ""


def commit_of(checkout: Path) -> str:
    """The commit of a checkout, with `-dirty` if its files differ from it."""
    command = ["git", "-C", str(checkout), "describe", "--always", "--dirty", "--abbrev=10"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip() or "unknown"
