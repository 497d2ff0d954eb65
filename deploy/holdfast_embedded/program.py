"""Holdfast's programs as child processes: what is run under which name, and the process, whose output is forwarded."""

import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import IO

from holdfast_embedded.console import WriteLine
from holdfast_embedded.process import Process, spawn

FLUSH_S = 1.0

ReadEnvironment = Callable[[], Mapping[str, str]]


@dataclass(frozen=True)
class ProgramSpec:
    """What is run under a name: the arguments after `python`, and what the supervisor needs to know."""

    name: str
    arguments: tuple[str, ...]
    uses_broker: bool = False  # restarted when the embedded broker's address changes
    grace_s: float = 10.0  # before SIGKILL, for Faust's shutdown can hang
    environment: Mapping[str, str] = field(default_factory=dict)  # variables that this program alone gets

    def copy(self, number: int, **environment: str) -> "ProgramSpec":
        """Return another instance of the same program under a name of its own: serve-2, serve-3."""
        return replace(self, name=f"{self.name}-{number}", environment={**self.environment, **environment})


SERVE = ProgramSpec("serve", ("-m", "inventory_service", "serve"), grace_s=20.0)  # it drains its calls
COMPENSATE = ProgramSpec("compensate", ("-m", "inventory_service", "compensate"), uses_broker=True)
RELAY = ProgramSpec("relay", ("-m", "inventory_service", "relay"), uses_broker=True)
PERSIST = ProgramSpec("persist", ("-m", "order_persister", "persist"), uses_broker=True)
MIGRATE = ProgramSpec("migrate", ("-m", "order_persister", "migrate"))
TOPICS = ProgramSpec("topics", ("-m", "inventory_service", "topics"))
INIT = ProgramSpec("init", ("-m", "inventory_service", "init"))


@dataclass(frozen=True)
class ProgramSpecs:
    """All programs of a stack. Tests replace some or all of them."""

    migrate: ProgramSpec = MIGRATE
    topics: ProgramSpec = TOPICS
    init: ProgramSpec = INIT
    # In the order in which they stop: first the one that takes calls, then those that process its commits.
    services: tuple[ProgramSpec, ...] = (SERVE, COMPENSATE, RELAY, PERSIST)


class Program(Process):
    """A Python process that reads its environment at each start, because addresses change."""

    def __init__(self, spec: ProgramSpec, read_environment: ReadEnvironment, write_line: WriteLine) -> None:
        super().__init__(spec.name)
        self.spec = spec
        self._read_environment = read_environment
        self._write_line = write_line
        self._output_thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the process and return at once: the program waits by itself for the servers that it needs."""
        self._process = process = spawn(
            [sys.executable, *self.spec.arguments],
            env={**self._read_environment(), **self.spec.environment, "PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        assert process.stdout is not None
        self._output_thread = threading.Thread(target=self._forward_output, args=[process.stdout], daemon=True)
        self._output_thread.start()

    def stop(self, grace_s: float = 10.0) -> bool:
        """Terminate the process, and return after its last output was forwarded."""
        terminated = super().stop(grace_s)
        if self._output_thread is not None:
            self._output_thread.join(FLUSH_S)
        return terminated

    def _forward_output(self, output: IO[bytes]) -> None:
        """Write every line of the process until it closes its output."""
        with output:
            for line in output:
                self._write_line(self.name, line.decode(errors="replace").rstrip())
