"""Keep processes running: one thread starts them all, looks after them, and starts again what ended unasked."""

import queue
import signal
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TypeVar

from holdfast_embedded.console import Say
from holdfast_embedded.process import Process
from holdfast_embedded.server import ServerFailed

LOOK_EVERY_S = 0.05
FIRST_DELAY_S, LONGEST_DELAY_S = 0.2, 10.0
STEADY_S = 30.0  # who ran this long starts again without a longer delay than the first

BAD_SETTINGS = 2  # the exit code of our processes for it: starting again would not help

Result = TypeVar("Result")


@dataclass
class Kept:
    """One process and what the supervisor remembers of it."""

    process: Process
    wanted: bool = False  # running, as far as it is up to us
    delay_s: float = FIRST_DELAY_S
    started_at: float = 0.0
    start_again_at: float | None = None  # None: it is not known to have ended
    restarts: int = 0


class Supervisor:
    """Starts, keeps and ends processes, all from a thread of its own.

    The kernel ends a child with the *thread* that started it, so one thread starts them all and lives as long as
    the supervisor does. `on_restart` is called there after it started a process again.
    """

    failure: str | None = None  # why it makes no sense to go on

    def __init__(self, say: Say, on_restart: Callable[[Process], None]) -> None:
        self._say = say
        self._on_restart = on_restart
        self._kept: dict[str, Kept] = {}
        self._errands: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._work, name="supervisor", daemon=True)
        self._thread.start()

    def do(self, errand: Callable[[], Result]) -> Future[Result]:
        """Have something done by the supervisor's thread, after what it was given before."""
        future: Future[Result] = Future()

        def run() -> None:
            try:
                future.set_result(errand())
            except BaseException as error:  # noqa: BLE001  the one who asked hears it
                future.set_exception(error)

        self._errands.put(run)
        return future

    def start(self, process: Process) -> None:
        """Start a process, here and now, and keep it running from then on. Only in the supervisor's thread."""
        kept = self._kept.setdefault(process.name, Kept(process))
        kept.wanted = True
        kept.start_again_at = None
        kept.started_at = time.monotonic()
        process.start()

    def stop(self, processes: Sequence[Process], grace_s: float) -> None:
        """End processes side by side and keep them down. Only in the supervisor's thread."""
        for process in processes:
            self.forget(process)
        waiting = [threading.Thread(target=self._stop_one, args=[process, grace_s]) for process in processes]
        for thread in waiting:
            thread.start()
        for thread in waiting:
            thread.join()

    def forget(self, process: Process) -> None:
        """Let a process end without starting it again."""
        if process.name in self._kept:
            self._kept[process.name].wanted = False

    def restarts(self, name: str) -> int:
        """Tell how often a process was started again."""
        return self._kept[name].restarts if name in self._kept else 0

    @property
    def is_closed(self) -> bool:
        """Whether it has ended its work."""
        return self._over.is_set()

    def close(self) -> None:
        """End the thread; whatever still runs ends with it."""
        self._over.set()
        self._thread.join()

    def _work(self) -> None:
        """Do errands as they come, and look after everybody in between."""
        while not self._over.is_set():
            try:
                self._errands.get(timeout=LOOK_EVERY_S)()
            except queue.Empty:
                for kept in list(self._kept.values()):
                    self._look_after(kept)

    def _look_after(self, kept: Kept) -> None:
        """Notice an end, and start again when its delay is over."""
        if not kept.wanted or kept.process.is_running:
            return
        now = time.monotonic()
        if kept.start_again_at is None:
            self._plan_restart(kept, now)
        elif now >= kept.start_again_at:
            self._start_again(kept)

    def _plan_restart(self, kept: Kept, now: float) -> None:
        """Choose the delay: short at first, twice as long after each short life."""
        if kept.process.exit_code == BAD_SETTINGS:
            kept.wanted = False
            self.failure = f"{kept.process.name} refuses its settings; its last line says which"
            return
        steady = now - kept.started_at >= STEADY_S
        delay_s = FIRST_DELAY_S if steady else kept.delay_s
        kept.delay_s = min(2 * delay_s, LONGEST_DELAY_S)
        kept.start_again_at = now + delay_s
        ending = describe_end(kept.process.exit_code)
        self._say("up", f"{kept.process.name} {ending}; starting it again in {delay_s:g} s")

    def _start_again(self, kept: Kept) -> None:
        """Start it; a server that does not come up is tried again after the next delay."""
        try:
            self.start(kept.process)
        except (ServerFailed, OSError) as failure:
            self._say("up", str(failure))
            return
        kept.restarts += 1
        self._say("up", f"{kept.process.name} runs again")
        self._on_restart(kept.process)

    def _stop_one(self, process: Process, grace_s: float) -> None:
        if not process.stop(grace_s):
            self._say("up", f"{process.name} did not end within {grace_s:g} s and was killed")


def describe_end(code: int | None) -> str:
    """Put an exit code into words."""
    if code is not None and code < 0:
        return f"was ended by {signal.Signals(-code).name}"
    return f"ended with code {code}"
