"""A server of a stack is started once, however slowly it answers, and again if it exits early."""

import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from holdfast_embedded import server
from holdfast_embedded.server import START_DEADLINE_S, Server, ServerFailed


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
        self.prepares: Callable[[], None] = lambda: None
        self._exit_codes = iter(exit_codes)
        self._ready = ready

    def _spawn(self) -> "subprocess.Popen[bytes]":
        self.prepares()
        self.started.append(FakeProcess(next(self._exit_codes)))
        return cast("subprocess.Popen[bytes]", self.started[-1])

    def _is_ready(self) -> bool:
        return next(self._ready)


def test_a_server_that_is_halted_once_it_has_answered_is_not_started_twice(tmp_path: Path) -> None:
    """The second process would not get the port, and no one would end the first."""
    fake = FakeServer(tmp_path, [None], iter([False, True, False]))

    fake.start()

    assert len(fake.started) == 1
    assert fake.is_running


def test_a_server_that_exits_early_is_started_again(tmp_path: Path) -> None:
    """A process that was killed may hold the port for a moment."""
    fake = FakeServer(tmp_path, [1, None], iter([True]))

    fake.start()

    assert [process.poll() for process in fake.started] == [1, None]


def test_what_is_made_before_the_first_start_takes_nothing_of_the_time_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a busy machine `initdb` alone may take as long as a server may take to start."""
    clock: Any = SimpleNamespace(now=0.0, monotonic=lambda: clock.now)
    monkeypatch.setattr(server, "time", clock)
    slow = FakeServer(tmp_path, [None], iter([False, True]))
    slow.prepares = lambda: setattr(clock, "now", clock.now + 2 * START_DEADLINE_S)

    slow.start()

    assert len(slow.started) == 1


def test_a_server_that_does_not_answer_in_time_is_ended(tmp_path: Path) -> None:
    """The error says so, and nothing is left of it."""
    fake = FakeServer(tmp_path, [None], iter([False, False]))

    with pytest.raises(ServerFailed, match="fake did not start within"):
        fake.start(deadline_s=0.0)

    assert not fake.is_running
