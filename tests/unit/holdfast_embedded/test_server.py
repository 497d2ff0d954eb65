"""A server of a stack is started once, however slowly it answers, and again if it exits early."""

import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import cast

import pytest
from holdfast_embedded.server import Server, ServerFailed


class FakeProcess:
    """A process that has ended with some exit code, or runs until it is killed."""

    pid = 1

    def __init__(self, exit_code: int | None) -> None:
        self.exit_code = exit_code

    def poll(self) -> int | None:
        return self.exit_code

    def kill(self) -> None:
        self.exit_code = -9

    def wait(self) -> None:
        """It has ended."""


class FakeServer(Server):
    """A server whose processes end with these exit codes, and which is ready when it is asked, or not."""

    address = "nowhere"

    def __init__(self, folder: Path, exit_codes: Sequence[int | None], ready: Iterator[bool]) -> None:
        super().__init__("fake", folder)
        self.started: list[FakeProcess] = []
        self._exit_codes = iter(exit_codes)
        self._ready = ready

    def _spawn(self) -> "subprocess.Popen[bytes]":
        self.started.append(FakeProcess(next(self._exit_codes)))
        return cast("subprocess.Popen[bytes]", self.started[-1])

    def _is_ready(self) -> bool:
        return next(self._ready)


def test_a_server_that_is_halted_once_it_has_answered_is_not_started_twice(tmp_path: Path) -> None:
    """The second process would not get the port, and no one would end the first."""
    server = FakeServer(tmp_path, [None], iter([False, True, False]))

    server.start()

    assert len(server.started) == 1
    assert server.is_running


def test_a_server_that_exits_early_is_started_again(tmp_path: Path) -> None:
    """A process that was killed may hold the port for a moment."""
    server = FakeServer(tmp_path, [1, None], iter([True]))

    server.start()

    assert [process.poll() for process in server.started] == [1, None]


def test_a_server_that_does_not_answer_in_time_is_ended(tmp_path: Path) -> None:
    """The error says so, and nothing is left of it."""
    server = FakeServer(tmp_path, [None], iter([False, False]))

    with pytest.raises(ServerFailed, match="fake did not start within"):
        server.start(deadline_s=0.0)

    assert not server.is_running
