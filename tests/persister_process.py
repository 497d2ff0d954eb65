"""Starts persisters as processes with an environment of their own, and reads what they log."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from holdfast_embedded.process import spawn, terminate

from tests.shared_kafka import Kafka

StartPersister = Callable[..., "Persister"]
ENDS_S = 60.0


class Persister:
    """A process, and its log."""

    def __init__(self, process: "subprocess.Popen[bytes]", log: Path) -> None:
        self.process = process
        self._log = log

    def lines(self) -> list[str]:
        """The whole lines that it has logged; the last one may be incomplete."""
        return self._log.read_text().rpartition("\n")[0].splitlines()

    def has_logged(self, event: str, **more: object) -> bool:
        """Whether it has logged such an event with these fields; a line that is not JSON is no event."""
        return any(entry["event"].startswith(event) and more.items() <= entry.items() for entry in self._events())

    def exit_code(self) -> int:
        """Wait until it ends by itself."""
        return self.process.wait(ENDS_S)

    def _events(self) -> Iterator[dict[str, Any]]:
        return (json.loads(line) for line in self.lines() if line.startswith("{"))


@contextmanager
def persisters(folder: Path) -> Iterator[StartPersister]:
    """Yield what starts persisters; none is left afterwards. Each logs to a file of its own in `folder`."""
    with ExitStack() as processes:
        count = 0

        def start(
            kafka: Kafka | str, dsn: str, command: str = "persist", cwd: Path | None = None, **more: str
        ) -> Persister:
            nonlocal count
            count += 1
            path = folder / f"persister-{count}.log"
            log = processes.enter_context(path.open("wb"))
            program: list[str | Path] = [sys.executable, "-m", "order_persister", command]
            if cwd is not None:
                program = ["env", "--chdir", cwd, *program]
            process = spawn(program, env={**environment(kafka, dsn), **more}, stderr=log)
            processes.callback(terminate, process, [], 0)
            return Persister(process, path)

        yield start


def environment(kafka: Kafka | str, dsn: str) -> Mapping[str, str]:
    """The test's environment without its HOLDFAST_ variables, and with those that a test needs."""
    kafka = Kafka(kafka) if isinstance(kafka, str) else kafka
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HOLDFAST_")}
    return kept | {
        **kafka.settings,
        "HOLDFAST_POSTGRES_DSN": dsn,
        "HOLDFAST_KAFKA_SESSION_TIMEOUT_S": "3",
        "HOLDFAST_START_WAIT_S": "0",
        "HOLDFAST_METRICS_LISTEN": "",
        "HOLDFAST_LOG_FORMAT": "json",
    }
