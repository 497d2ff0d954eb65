"""Runs the programs of a checkout as processes: in the background or to their end."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.failures import BenchmarkFailed
from bench.machine import ROOT

STOPPING_S = 30.0
READY = "ready"
LONGEST_TAIL = 2000
# A benchmark starts servers of its own, so it takes none from the environment.
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith(("HOLDFAST_", "PYTHON"))}


class ProgramFailed(BenchmarkFailed):
    """A program did not do its work; the message ends with its last lines."""

    def __init__(self, message: str, exit_code: int | None = None) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def python_of(checkout: Path) -> str:
    """The interpreter that has a checkout's packages: this one, or that of the other checkout's .venv."""
    if checkout == ROOT:
        return sys.executable
    python = checkout / ".venv" / "bin" / "python"
    if not python.is_file():
        raise ProgramFailed(f"there is no {python}; run `make setup` in {checkout}")
    return str(python)


@contextmanager
def running(checkout: Path, log: Path, *arguments: str, **settings: str) -> Iterator["subprocess.Popen[bytes]"]:
    """A Python module with its arguments, stopped at the end; both its outputs go to `log`."""
    command = [python_of(checkout), "-m", *arguments]
    with log.open("ab") as output:
        process = subprocess.Popen(
            command, cwd=checkout, env={**ENVIRONMENT, **settings}, stdout=output, stderr=subprocess.STDOUT
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(STOPPING_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def ready_process(*arguments: str, within_s: float) -> Iterator["subprocess.Popen[bytes]"]:
    """A module of this checkout that works beside a load, once it has printed READY; it ends within so long.

    The block, or its end, closes its input.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", *arguments], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        if process.stdout.readline().decode().strip() != READY:
            raise ProgramFailed(f"{arguments[0]} did not begin")
        yield process
    finally:
        process.stdin.close()
        process.wait(within_s)


def run_to_end(checkout: Path, deadline_s: float, *arguments: str, **settings: str) -> str:
    """What a Python module prints; ProgramFailed unless its exit code is 0."""
    command = [python_of(checkout), "-m", *arguments]
    ended = subprocess.run(
        command,
        cwd=checkout,
        env={**ENVIRONMENT, **settings},
        capture_output=True,
        text=True,
        timeout=deadline_s,
        check=False,
    )
    if ended.returncode:
        output = f"{ended.stdout}\n{ended.stderr}".strip()
        message = f"{' '.join(arguments)} ended with {ended.returncode}:\n{output[-LONGEST_TAIL:]}"
        raise ProgramFailed(message, ended.returncode)
    return ended.stdout.strip()
