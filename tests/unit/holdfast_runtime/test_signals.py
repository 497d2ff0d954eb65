"""A signal is heard whenever it comes, also in the very moment in which something else ends."""

import asyncio
import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from holdfast_runtime import process, signals
from holdfast_runtime.process import Command
from holdfast_runtime.settings import SharedSettings
from holdfast_runtime.signals import INTERRUPTED, first_to_end, run_unless_signalled, run_until_signal


@pytest.fixture(autouse=True)
def deaf_afterwards() -> Iterator[None]:
    """Whatever a test has set up to hear signals is gone with its loop, and what they did before is back."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


async def nothing() -> None:
    """Work that is done at once."""


async def test_of_two_that_end_in_one_moment_the_second_is_not_passed_over() -> None:
    """A process that was halted finds its work done and a signal there; the signal never comes again."""
    assert not await first_to_end(nothing(), nothing())


@pytest.mark.parametrize(("verifies", "code"), [(False, 0), (True, INTERRUPTED)])
async def test_a_signal_that_comes_as_the_servers_let_a_process_in_ends_it(
    monkeypatch: pytest.MonkeyPatch, verifies: bool, code: int
) -> None:
    """It would begin its work, and hear nothing before it is killed."""
    begun: list[str] = []

    async def let_in(*_: Any) -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    async def begin(settings: SharedSettings) -> int:
        begun.append("begun")
        return 0

    monkeypatch.setattr(process, "wait_for_all", let_in)
    command = Command("any", "begin", (), (), begin, SharedSettings, verifies=verifies)

    assert await process._begin(command, SharedSettings(), [], {}) == code
    assert begun == []


async def test_work_without_an_end_is_ended_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also if the signal comes in the moment in which it ends by itself."""
    received: asyncio.Queue[signal.Signals] = asyncio.Queue()
    received.put_nowait(signal.SIGTERM)
    monkeypatch.setattr(signals, "signals", lambda: received)

    assert await run_until_signal(nothing()) == 0


async def test_work_that_is_done_keeps_its_exit_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """A signal that comes too late to interrupt it changes nothing; one that comes before does."""
    received: asyncio.Queue[signal.Signals] = asyncio.Queue()
    monkeypatch.setattr(signals, "signals", lambda: received)

    async def judge() -> int:
        return 7

    async def judge_for_ever() -> int:
        await asyncio.Event().wait()
        return 7

    received.put_nowait(signal.SIGTERM)
    in_one_moment = await run_unless_signalled(judge())
    received.put_nowait(signal.SIGTERM)
    interrupted = await run_unless_signalled(judge_for_ever())

    assert (in_one_moment, interrupted) == (7, INTERRUPTED)
