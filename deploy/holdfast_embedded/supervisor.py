"""Keeps processes running: one thread starts them all, polls them, and restarts those that exit."""

import queue
import signal
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TypeVar

from holdfast_embedded.console import WriteLine
from holdfast_embedded.process import Process
from holdfast_embedded.server import ServerFailed

POLL_S = 0.05
MIN_RESTART_DELAY_S, MAX_RESTART_DELAY_S = 0.2, 10.0
STABLE_S = 30.0  # a process that ran this long is restarted after the shortest delay again

EXIT_BAD_SETTINGS = 2  # Holdfast's programs exit with it where a restart cannot help

Result = TypeVar("Result")


@dataclass
class Supervised:
    """One process and the state of its supervision."""

    process: Process
    should_run: bool = False
    delay_s: float = MIN_RESTART_DELAY_S
    started_at: float = 0.0
    restart_at: float | None = None  # None: its exit was not noticed yet
    restarts: int = 0


class Supervisor:
    """Starts, restarts and stops processes, all from a thread of its own.

    The kernel ends a child with the *thread* that started it, so one thread starts them all and lives as long as
    the supervisor does. That thread calls `on_restart` after it restarted a process.
    """

    failure: str | None = None  # why the stack cannot go on

    def __init__(self, write_line: WriteLine, on_restart: Callable[[Process], None]) -> None:
        self._write_line = write_line
        self._on_restart = on_restart
        self._supervised: dict[str, Supervised] = {}
        self._tasks: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="supervisor", daemon=True)
        self._thread.start()

    def submit(self, task: Callable[[], Result]) -> Future[Result]:
        """Run a task in the supervisor's thread, after those submitted before it."""
        future: Future[Result] = Future()

        def run() -> None:
            try:
                future.set_result(task())
            except BaseException as error:  # noqa: BLE001  raised again by future.result()
                future.set_exception(error)

        self._tasks.put(run)
        return future

    def start(self, process: Process) -> None:
        """Start a process and restart it whenever it exits. Only in the supervisor's thread."""
        supervised = self._supervised.setdefault(process.name, Supervised(process))
        supervised.should_run = True
        supervised.restart_at = None
        supervised.started_at = time.monotonic()
        process.start()

    def stop(self, processes: Sequence[Process], grace_s: float) -> None:
        """Stop processes in parallel, for good. Only in the supervisor's thread."""
        for process in processes:
            self.disable_restart(process)
        threads = [threading.Thread(target=self._stop_one, args=[process, grace_s]) for process in processes]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def disable_restart(self, process: Process) -> None:
        """Let a process exit without restarting it."""
        if process.name in self._supervised:
            self._supervised[process.name].should_run = False

    def restarts(self, name: str) -> int:
        """Return how often a process was restarted."""
        return self._supervised[name].restarts if name in self._supervised else 0

    @property
    def is_closed(self) -> bool:
        """Whether `close` was called."""
        return self._closed.is_set()

    def close(self) -> None:
        """End the thread; the kernel ends the processes that still run with it."""
        self._closed.set()
        self._thread.join()

    def _run(self) -> None:
        """Run tasks as they come, and check every process in between."""
        while not self._closed.is_set():
            try:
                self._tasks.get(timeout=POLL_S)()
            except queue.Empty:
                for supervised in list(self._supervised.values()):
                    self._check(supervised)

    def _check(self, supervised: Supervised) -> None:
        """Notice an exit, and restart the process when its delay is over."""
        if not supervised.should_run or supervised.process.is_running:
            return
        now = time.monotonic()
        if supervised.restart_at is None:
            self._schedule_restart(supervised, now)
        elif now >= supervised.restart_at:
            self._restart(supervised)

    def _schedule_restart(self, supervised: Supervised, now: float) -> None:
        """Set the time of the restart: the delay doubles with each exit before STABLE_S."""
        name, exit_code = supervised.process.name, supervised.process.exit_code
        if exit_code == EXIT_BAD_SETTINGS:
            supervised.should_run = False
            self.failure = f"{name} rejects its settings; its last line says which"
            return
        was_stable = now - supervised.started_at >= STABLE_S
        delay_s = MIN_RESTART_DELAY_S if was_stable else supervised.delay_s
        supervised.delay_s = min(2 * delay_s, MAX_RESTART_DELAY_S)
        supervised.restart_at = now + delay_s
        self._write_line("up", f"{name} {describe_exit(exit_code)}; restarting it in {delay_s:g} s")

    def _restart(self, supervised: Supervised) -> None:
        """Restart a process; a server that fails to start is tried again after the next delay."""
        try:
            self.start(supervised.process)
        except (ServerFailed, OSError) as failure:
            self._write_line("up", str(failure))
            return
        supervised.restarts += 1
        self._write_line("up", f"{supervised.process.name} was restarted")
        self._on_restart(supervised.process)

    def _stop_one(self, process: Process, grace_s: float) -> None:
        if not process.stop(grace_s):
            self._write_line("up", f"{process.name} did not end within {grace_s:g} s and was killed")


def describe_exit(code: int | None) -> str:
    """Return an exit code in words."""
    if code is not None and code < 0:
        return f"was ended by {signal.Signals(-code).name}"
    return f"ended with code {code}"
