"""Runs a load of callers as a process: starts it, lets it begin, and waits for what the callers were told."""

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
from bench.strategies.callers import Outcome, SaleLoad, outcome_from

READY_S = 60.0
LATE_S = 60.0  # after the load's own end: deadlines of the last calls, and writing the outcome


class RunningLoad:
    """A load under way."""

    def __init__(self, load: SaleLoad, process: "subprocess.Popen[bytes]", output: Path, errors: Path) -> None:
        self._load = load
        self._process = process
        self._output = output
        self._errors = errors

    def wait_ready(self) -> None:
        """Return once its process waits for `begin`; LoadFailed if it does not come that far."""
        wait_until(lambda: self._output.stat().st_size > 0 or self._process.poll() is not None, READY_S)
        if self._process.poll() is not None or not self._output.stat().st_size:
            raise LoadFailed(f"the callers of {self._load.sale_id} did not start: {self._errors.read_text()[-1000:]}")

    def begin(self) -> None:
        """Let the callers call."""
        assert self._process.stdin is not None
        self._process.stdin.write(b"\n")
        self._process.stdin.close()

    def outcome(self) -> Outcome:
        """Wait for its end; LoadFailed if the process does not end well."""
        if not wait_for_exit(self._process, self._load.most_s + LATE_S):
            raise LoadFailed(f"the callers of {self._load.sale_id} did not end")
        if self._process.returncode:
            raise LoadFailed(f"the callers of {self._load.sale_id} failed: {self._errors.read_text()[-1000:]}")
        return outcome_from(self._output.read_text())


@contextmanager
def loading(load: SaleLoad, folder: Path) -> Iterator[RunningLoad]:
    """A load that is ready to begin; it is ended with the block if it has not ended by itself."""
    output, errors = (folder / f"callers-{load.sale_id}.{kind}" for kind in ("json", "log"))
    with output.open("wb") as stdout, errors.open("wb") as stderr:
        command = [sys.executable, "-m", "bench.strategies.callers", json.dumps(asdict(load))]
        env = {**ENVIRONMENT, "PYTHONPATH": str(ROOT)}
        process = spawn(command, env=env, stdin=subprocess.PIPE, stdout=stdout, stderr=stderr)
    try:
        running = RunningLoad(load, process, output, errors)
        running.wait_ready()
        yield running
    finally:
        if process.poll() is None:
            terminate(process, (), 0.0)
        output.unlink()
        errors.unlink()
