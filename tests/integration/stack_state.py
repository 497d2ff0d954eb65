"""What tests read of a running stack from outside: its stack.json, and which of its processes still run."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil


def read_state(data_dir: Path) -> dict[str, Any]:
    """Return what stack.json says; empty if there is none."""
    path = data_dir / "stack.json"
    return json.loads(path.read_text()) if path.exists() else {}


def read_ready_state(data_dir: Path, pid: int) -> dict[str, Any]:
    """Return what stack.json says once the stack of that process is ready; empty before."""
    state = read_state(data_dir)
    return state if state.get("ready") and state["pid"] == pid else {}


def still_running(processes: Sequence[psutil.Process]) -> list[psutil.Process]:
    """Return the processes that have not exited."""
    return [process for process in processes if _is_running(process)]


def _is_running(process: psutil.Process) -> bool:
    """Return whether a process has not exited; a zombie has, and only its parent has not reaped it."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
