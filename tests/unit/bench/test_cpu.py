"""CPU time as the kernel's files have it: of the threads of a process, and of the machine."""

import asyncio
import os
import sys

import pytest

from bench import process_use
from bench.cpu import machine_time, spent_ns, threads_of
from bench.process_use import ProcessUse
from tests.waiting import eventually

STAT = """cpu  33967 5 6992 76771 1118 3 193 25 0 0
cpu0 16000 0 3000 38000 500 0 100 12 0 0
"""


def test_a_process_spends_what_its_threads_spend() -> None:
    """A server works in many threads, and new ones begin at nothing."""
    assert spent_ns({1: 100, 2: 50}, {1: 130, 2: 55, 3: 7}) == 42


def test_a_thread_that_ended_is_left_out() -> None:
    """The difference of two sums would be negative here."""
    assert spent_ns({1: 100, 2: 5_000}, {1: 130}) == 30


def test_this_process_has_spent_something() -> None:
    """The path of the kernel's file is right."""
    assert threads_of(os.getpid())[os.getpid()] > 0


def test_idle_time_does_not_count_and_stolen_time_is_separate() -> None:
    """Idle and waiting for a disk do not disturb a measurement; a host that takes the CPU away does."""
    ticks_a_second = os.sysconf("SC_CLK_TCK")

    assert machine_time(STAT) == ((33967 + 5 + 6992 + 3 + 193) / ticks_a_second, 25 / ticks_a_second)


async def test_a_load_generator_is_a_child_that_begins_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its memory is sampled while it runs, and its CPU is counted once it has ended."""
    monkeypatch.setattr(process_use, "SAMPLE_S", 0.01)
    command = [sys.executable, "-S", "-c", "sum(range(10**6)); input()"]
    with ProcessUse({}) as use:
        generator = await asyncio.create_subprocess_exec(*command, stdin=asyncio.subprocess.PIPE)

        assert await eventually(lambda: use.generators()["peak_mib"])

        await generator.communicate(b"\n")
    assert use.generators()["cpu_s"] > 0
