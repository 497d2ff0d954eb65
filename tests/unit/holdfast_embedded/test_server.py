"""A server's start, with a process that tests halt and end as they need."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from holdfast_embedded.server import Server, ServerFailed


class SleepingServer(Server):
    """A process that does nothing; a test says how it answers, from the first question on."""

    address = ""

    def __init__(self, folder: Path, answers: Iterator[bool], program: str = "sleep 60") -> None:
        super().__init__("sleeper", folder)
        self.spawned: list[subprocess.Popen[bytes]] = []
        self._answers = answers
        self._program = program

    def _spawn(self) -> subprocess.Popen[bytes]:
        self.spawned.append(subprocess.Popen(["sh", "-c", f"exec {self._program}"]))
        return self.spawned[-1]

    def _is_ready(self) -> bool:
        return next(self._answers)


def test_a_server_that_is_halted_as_soon_as_it_has_answered_is_started_once(tmp_path: Path) -> None:
    """A second process would find the port and the data of the first in use."""
    server = SleepingServer(tmp_path, iter([False, True, False]))

    server.start()

    assert (len(server.spawned), server.is_running) == (1, True)
    server.kill()


def test_a_server_that_never_answers_is_ended(tmp_path: Path) -> None:
    """Within the deadline, and no process of it is left."""
    server = SleepingServer(tmp_path, iter(lambda: False, True))

    with pytest.raises(ServerFailed, match="sleeper did not start within"):
        server.start(deadline_s=0.2)

    assert [process.poll() is None for process in server.spawned] == [False]
