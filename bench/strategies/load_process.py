"""Runs a load of callers as a process: starts it, and waits for what the callers were told."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from holdfast_bench.load import LoadFailed
from holdfast_embedded.process import spawn, terminate, wait_for_exit, wait_until

from bench.machine import ROOT
from bench.programs import ENVIRONMENT
from bench.strategies.callers import BEGUN, Load, Outcome, outcome_from

BEGINS_S = 60.0
LATE_S = 60.0  # after the load's own end: deadlines of the last calls, and writing the outcome


class RunningLoad:
    """A load under way."""

    def __init__(self, load: Load, process: "subprocess.Popen[bytes]", output: Path) -> None:
        self._load = load
        self._process = process
        self._output = output

    def wait_until_begun(self) -> None:
        """Return once its callers call; LoadFailed if they do not."""
        if not wait_until(lambda: self._output.read_text().startswith(BEGUN), BEGINS_S):
            raise LoadFailed(f"the callers of {self._load.sale_id} did not begin within {BEGINS_S:g} s")

    def outcome(self) -> Outcome:
        """Wait for its end; LoadFailed if the process does not end well."""
        if not wait_for_exit(self._process, self._load.seconds + LATE_S) or self._process.returncode:
            raise LoadFailed(f"the callers of {self._load.sale_id} failed: {self._output.read_text()[-1000:]}")
        return outcome_from(self._output.read_text())


@contextmanager
def loading(load: Load, folder: Path) -> Iterator[RunningLoad]:
    """Start a load; it is ended with the block if it has not ended by itself."""
    output = folder / f"callers-{load.sale_id}.json"
    with output.open("wb") as file:
        command = [sys.executable, "-m", "bench.strategies.callers", json.dumps(asdict(load))]
        process = spawn(command, env={**ENVIRONMENT, "PYTHONPATH": str(ROOT)}, stdout=file)
    try:
        yield RunningLoad(load, process, output)
    finally:
        if process.poll() is None:
            terminate(process, (), 0.0)
        output.unlink()
