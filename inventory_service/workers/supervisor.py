"""Keeps server processes running: starts them, starts those again that end, and drains all of them together."""

import asyncio
import os
import signal
import subprocess
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple

import structlog

from holdfast_runtime.retry import Backoff
from inventory_service.workers.worker import report_from_line

FIRST_DELAY_S, LONGEST_DELAY_S = 0.2, 10.0  # before a worker is started again
STABLE_S = 30.0  # a worker that ran this long is started again after the first delay
MOST_FAILED_STARTS = 5  # of each worker in a row
EXIT_FAILED, EXIT_BAD_SETTINGS = 1, 2
log = structlog.get_logger()


class Listening(NamedTuple):
    """A worker that takes calls."""

    number: int
    pid: int
    metrics_url: str


class Ended(NamedTuple):
    """How one run of a worker ended."""

    code: int  # negative: it was killed by that signal
    took_calls: bool
    lasted_s: float


class Supervisor:
    """Runs `count` workers: each the same command followed by its number, from 1 on.

    A worker's standard input is a pipe that the supervisor never writes to, so it is closed once the supervisor has
    ended. A worker is in a process session of its own: Ctrl-C in a terminal reaches the supervisor alone.
    """

    def __init__(self, count: int, command: Sequence[str], environment: Mapping[str, str]) -> None:
        self._numbers = range(1, count + 1)
        self._command = command
        self._environment = environment
        self._running: dict[int, asyncio.subprocess.Process] = {}
        self._failed_starts = dict.fromkeys(self._numbers, 0)  # of each worker in a row
        self._any_took_calls = False
        self._draining = asyncio.Event()
        self.listening: dict[int, Listening] = {}
        self.restarts = 0
        self.all_listen = asyncio.Event()  # set once all do for the first time

    async def run(self) -> int:
        """Keep the workers running until `drain`, or until no start can help: the highest of their exit codes.

        What is unexpected in keeping one of them is raised once the others are drained.
        """
        tasks = [asyncio.create_task(self._keep_running(number)) for number in self._numbers]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        self.drain()
        await asyncio.wait(tasks)
        return max(task.result() for task in tasks)

    def drain(self) -> None:
        """Have each worker answer the calls that it has, and end; none is started any more."""
        self._draining.set()
        self._signal_all(signal.SIGTERM)

    def kill(self) -> None:
        """End those that still run at once."""
        self._signal_all(signal.SIGKILL)

    def _signal_all(self, number: signal.Signals) -> None:
        for process in self._running.values():
            _signal(process, number)

    async def _keep_running(self, number: int) -> int:
        """Run a worker again and again: the exit code of its last run."""
        backoff = Backoff(FIRST_DELAY_S, LONGEST_DELAY_S)
        while True:
            ended = await self._run_once(number)
            if self._draining.is_set():
                return _code_of_drained(ended.code)
            if self._cannot_recover(number, ended):
                log.error("worker_ended", worker=number, how=_describe(ended.code))
                return _exit_code(ended.code)
            if ended.lasted_s >= STABLE_S:
                backoff.reset()
            delay_s = backoff.take()
            log.error("worker_ended", worker=number, how=_describe(ended.code), restart_in_s=round(delay_s, 1))
            if await self._drains_within(delay_s):
                return 0
            self.restarts += 1

    async def _run_once(self, number: int) -> Ended:
        """Run a worker until it ends. If the system cannot start it, for lack of memory or files, it has failed."""
        began = asyncio.get_running_loop().time()
        try:
            code, took_calls = await self._run_process(number)
        except OSError as error:
            log.error("worker_not_started", worker=number, error=str(error))
            code, took_calls = EXIT_FAILED, False
        return Ended(code, took_calls, asyncio.get_running_loop().time() - began)

    async def _run_process(self, number: int) -> tuple[int, bool]:
        """The exit code of a worker, and whether it took calls."""
        its_end, own_end = os.pipe()
        try:
            process = await self._start(number, its_end)
            self._running[number] = process
            if self._draining.is_set():
                _signal(process, signal.SIGTERM)
            took_calls = await self._follow(number, process)
            code = await process.wait()
            del self._running[number]
            return code, took_calls
        finally:
            os.close(own_end)

    async def _start(self, number: int, stdin: int) -> asyncio.subprocess.Process:
        """Start a worker, and close this process' copy of its standard input."""
        try:
            return await asyncio.create_subprocess_exec(
                *(*self._command, str(number)),
                stdin=stdin,
                stdout=subprocess.PIPE,
                env=self._environment,
                start_new_session=True,
            )
        finally:
            os.close(stdin)

    async def _follow(self, number: int, process: asyncio.subprocess.Process) -> bool:
        """Read a worker's output until that ends, which is with the worker; whether it reported that it takes calls."""
        assert process.stdout is not None
        took_calls = False
        async for line in _lines(process.stdout):
            if report := report_from_line(line):
                took_calls = self._any_took_calls = True
                self.listening[number] = Listening(number, process.pid, report.metrics_url)
                if len(self.listening) == len(self._numbers):
                    self.all_listen.set()
        self.listening.pop(number, None)
        return took_calls

    def _cannot_recover(self, number: int, ended: Ended) -> bool:
        """Whether no worker takes calls and none can start: settings are wrong, or each has failed often enough."""
        self._failed_starts[number] = 0 if ended.took_calls else self._failed_starts[number] + 1
        if self.listening or ended.took_calls:
            return False
        are_settings_wrong = ended.code == EXIT_BAD_SETTINGS and not self._any_took_calls
        return are_settings_wrong or min(self._failed_starts.values()) >= MOST_FAILED_STARTS

    async def _drains_within(self, delay_s: float) -> bool:
        with suppress(TimeoutError):
            async with asyncio.timeout(delay_s):
                await self._draining.wait()
        return self._draining.is_set()


async def _lines(output: asyncio.StreamReader) -> AsyncIterator[bytes]:
    """The lines of an output; those above the reader's limit of 64 KiB are left out."""
    while True:
        try:
            line = await output.readline()
        except ValueError:  # the line is too long, and what there is of it has been dropped
            continue
        if not line:
            return
        yield line


def _signal(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
    """By its number: `send_signal` would reap one that has just ended, and asyncio report 255 for its exit code."""
    if process.returncode is None:
        with suppress(ProcessLookupError):  # it has ended
            os.kill(process.pid, number)


def _code_of_drained(code: int) -> int:
    """The same, but a worker that was just starting has no handler for SIGTERM yet."""
    return 0 if code == -signal.SIGTERM else _exit_code(code)


def _exit_code(code: int) -> int:
    """The supervisor's exit code for a worker's."""
    return EXIT_FAILED if code < 0 else code


def _describe(code: int) -> str:
    return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
