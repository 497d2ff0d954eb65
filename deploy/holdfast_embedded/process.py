"""Child processes that never outlive their parent: start, wait for, signal, stop and kill them."""

import os
import signal
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO

LAUNCHER = Path(__file__).with_name("launch.py")
POLL_S = 0.02


class Process(ABC):
    """One child process that can be stopped, killed, signalled and started again.

    Call `start` from a thread that lives as long as the process should (see `spawn`); call the rest from any thread.
    """

    stop_signals: Sequence[signal.Signals] = (signal.SIGTERM,)

    def __init__(self, name: str) -> None:
        self.name = name
        self._process: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def start(self) -> None:
        """Start the process; each subclass says how much of the process's own start this waits for."""

    @property
    def pid(self) -> int:
        """The process id of the latest start."""
        return self._started.pid

    @property
    def is_running(self) -> bool:
        """Whether the process exists; one that is halted by SIGSTOP does."""
        return self._process is not None and self._process.poll() is None

    @property
    def exit_code(self) -> int | None:
        """The exit code, or minus the number of the signal that ended it; None while it runs or before its start."""
        return None if self._process is None else self._process.poll()

    def stop(self, grace_s: float = 10.0) -> bool:
        """Terminate the process by its `stop_signals`. False: it did not exit in time and was killed."""
        return self._process is None or terminate(self._process, self.stop_signals, grace_s)

    def kill(self) -> None:
        """Kill the process with SIGKILL, as a crash would, and reap it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def signal(self, number: signal.Signals) -> None:
        """Send any signal, SIGSTOP and SIGCONT for example."""
        self._started.send_signal(number)

    def wait_for_exit(self, within_s: float) -> bool:
        """Return whether the process exits within so many seconds; True if it was never started."""
        return self._process is None or wait_for_exit(self._process, within_s)

    @property
    def _started(self) -> subprocess.Popen[bytes]:
        assert self._process is not None, f"{self.name} was never started"
        return self._process


def spawn(
    command: Sequence[str | Path],
    *,
    env: Mapping[str, str] | None = None,
    stdin: int | IO[bytes] = subprocess.DEVNULL,
    stdout: int | IO[bytes] | None = None,
    stderr: int | IO[bytes] | None = None,
    identity: str = "current",
    death_signal: signal.Signals = signal.SIGKILL,
) -> subprocess.Popen[bytes]:
    """Start a program that gets `death_signal` when the calling thread ends.

    The kernel watches the thread and not the process, so call this from a thread that lives as long as the child
    should. The child has a process group of its own: Ctrl-C reaches the parent alone, which decides the order in which
    its children stop. `identity` is explained in launch.py.
    """
    launcher: list[str | Path] = [
        *(sys.executable, "-I", "-S", LAUNCHER),
        *(str(os.getpid()), str(int(death_signal)), identity),
    ]
    return subprocess.Popen(
        [*launcher, *command], env=env, stdin=stdin, stdout=stdout, stderr=stderr, process_group=0, close_fds=True
    )


def terminate(process: subprocess.Popen[bytes], signals: Sequence[signal.Signals], grace_s: float) -> bool:
    """Send each signal in turn, wait `grace_s` seconds after each, and kill at last. False: it had to be killed."""
    for number in signals:
        process.send_signal(number)
        if wait_for_exit(process, within_s=grace_s):
            return True
    process.kill()
    process.wait()
    return False


def wait_for_exit(process: subprocess.Popen[bytes], within_s: float) -> bool:
    """Return whether a process exits within so many seconds."""
    try:
        process.wait(timeout=within_s)
    except subprocess.TimeoutExpired:
        return False
    return True


def wait_until(condition: Callable[[], bool], within_s: float) -> bool:
    """Poll a condition until it holds (True) or the time is over (False)."""
    deadline = time.monotonic() + within_s
    while not condition():
        if time.monotonic() >= deadline:
            return False
        time.sleep(POLL_S)
    return True
