"""A signal ends a process whenever it arrives, also at the moment in which its work ends."""

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
def restored_handlers() -> Iterator[None]:
    """The handlers of a test are removed with its loop, and the former ones are restored."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


async def nothing() -> None:
    """Work that is done at once."""


async def test_of_two_tasks_that_end_together_both_results_count() -> None:
    """A process that was halted may find its work done and a signal received, and the signal comes only once."""
    assert not await first_to_end(nothing(), nothing())


@pytest.mark.parametrize(("verifies", "code"), [(False, 0), (True, INTERRUPTED)])
async def test_a_signal_at_the_end_of_the_start_check_ends_the_process(
    monkeypatch: pytest.MonkeyPatch, verifies: bool, code: int
) -> None:
    """Otherwise the process would start its work and ignore the signal until it is killed."""
    begun: list[str] = []

    async def pass_start_check(*_: Any) -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    async def begin(settings: SharedSettings) -> int:
        begun.append("begun")
        return 0

    monkeypatch.setattr(process, "wait_for_all", pass_start_check)
    command = Command("any", "begin", (), (), begin, SharedSettings, verifies=verifies)

    assert await process._begin(command, SharedSettings(), [], {}) == code
    assert begun == []


async def test_work_without_an_end_is_ended_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also if the signal arrives at the moment in which the work ends by itself."""
    received: asyncio.Queue[signal.Signals] = asyncio.Queue()
    received.put_nowait(signal.SIGTERM)
    monkeypatch.setattr(signals, "signals", lambda: received)

    assert await run_until_signal(nothing()) == 0


async def test_work_that_is_done_keeps_its_exit_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """A signal that arrives after its end changes nothing; one that arrives before does."""
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
