"""Runs a consumer of the facts as its README says: a process to kill and start again, and the lines that it prints."""

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from tests.stack_fixture import StackFixture
from tests.stacks import shell_environment

EXAMPLES = Path(__file__).resolve().parents[2] / "clients" / "examples"


class FactConsumer:
    """One consumer, one process at a time."""

    def __init__(self, script: str, environment: Mapping[str, str], folder: Path) -> None:
        self._script = EXAMPLES / script
        self._environment = environment
        self._folder = folder
        self._output = folder / "output"
        self._process: subprocess.Popen[bytes] | None = None

    @classmethod
    @contextmanager
    def running(cls, script: str, stack: StackFixture, folder: Path) -> Iterator[Self]:
        """Started, and killed in the end."""
        consumer = cls(script, shell_environment(stack.running), folder)
        consumer.start()
        try:
            yield consumer
        finally:
            consumer.kill()
            print((folder / "errors").read_text())

    def start(self) -> None:
        """Start it; what it prints is added to what was printed before."""
        with self._output.open("ab") as output, (self._folder / "errors").open("ab") as errors:
            command = [sys.executable, str(self._script)]
            self._process = subprocess.Popen(
                command, cwd=self._folder, env=self._environment, stdout=output, stderr=errors
            )

    def kill(self) -> None:
        """End it by SIGKILL."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def lines(self) -> Sequence[Mapping[str, Any]]:
        """Every whole line that was printed; the last one may have been cut by a kill."""
        assert self._process is not None
        assert self._process.poll() in (None, -9), (self._folder / "errors").read_text()
        whole = [line for line in self._output.read_text().splitlines(keepends=True) if line.endswith("\n")]
        return [found for line in whole if (found := parsed(line)) is not None]


def parsed(line: str) -> Mapping[str, Any] | None:
    """A line as JSON; None for two lines of which a kill cut the first."""
    try:
        found: Mapping[str, Any] = json.loads(line)
    except json.JSONDecodeError:
        return None
    return found
