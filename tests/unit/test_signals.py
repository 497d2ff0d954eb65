"""A polite signal is heard whenever it comes, also in the very moment in which something else ends."""

import argparse
import asyncio
import os
import signal
from collections.abc import Iterator

import pytest
from inventory_service.signals import INTERRUPTED, either, unless_told, until_told

from inventory_service import __main__ as main
from inventory_service import signals
from inventory_service.settings import Settings


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
    assert not await either(nothing(), nothing())


@pytest.mark.parametrize(("process", "code"), [("serve", 0), ("init", INTERRUPTED)])
async def test_a_signal_that_comes_as_the_servers_let_a_process_in_ends_it(
    monkeypatch: pytest.MonkeyPatch, process: str, code: int
) -> None:
    """It would begin its work, and hear nothing before it is killed."""
    begun: list[str] = []

    async def let_in(name: str, settings: Settings) -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    async def begin(settings: Settings, said: argparse.Namespace) -> int:
        begun.append(said.process)
        return 0

    monkeypatch.setattr(main, "check_servers", let_in)
    monkeypatch.setitem(main.PROCESSES, process, ("begin", begin))

    assert await main._begin(Settings(), argparse.Namespace(process=process)) == code
    assert begun == []


async def test_work_without_an_end_is_ended_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also if the signal comes in the moment in which it ends by itself."""
    told: asyncio.Queue[signal.Signals] = asyncio.Queue()
    told.put_nowait(signal.SIGTERM)
    monkeypatch.setattr(signals, "signals", lambda: told)

    assert await until_told(nothing()) == 0


async def test_work_that_is_done_keeps_its_exit_code(monkeypatch: pytest.MonkeyPatch) -> None:
    """A signal that comes too late to interrupt it changes nothing; one that comes before does."""
    told: asyncio.Queue[signal.Signals] = asyncio.Queue()
    monkeypatch.setattr(signals, "signals", lambda: told)

    async def judge() -> int:
        return 7

    async def judge_for_ever() -> int:
        await asyncio.Event().wait()
        return 7

    told.put_nowait(signal.SIGTERM)
    in_one_moment = await unless_told(judge())
    told.put_nowait(signal.SIGTERM)
    interrupted = await unless_told(judge_for_ever())

    assert (in_one_moment, interrupted) == (7, INTERRUPTED)
