"""What the embedded servers have in common: one child process, an address, a log file, start, stop and kill."""

import signal
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

from holdfast_embedded.child import end, exited, wait_until

LOG_TAIL_LINES = 12
RESTART_PAUSE_S = 0.1


class ServerFailed(RuntimeError):
    """An embedded server did not start; the message says which, why, and shows the end of its log."""


class Server(ABC):
    """One embedded server. Everything that lasts is in `data_dir`; stop or kill it and start it again at will.

    Start it from a thread that lives as long as the server should (see child.spawn).
    """

    name: str
    polite_signals: Sequence[signal.Signals] = (signal.SIGTERM,)

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        self.log_path = data_dir / f"{self.name}.log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    @abstractmethod
    def address(self) -> str:
        """Where clients connect to, as their libraries want it."""

    @abstractmethod
    def _spawn(self) -> subprocess.Popen[bytes]:
        """Start the process, without waiting for it."""

    @abstractmethod
    def _is_ready(self) -> bool:
        """Say whether the server answers."""

    @property
    def pid(self) -> int:
        """The process id of the running server."""
        assert self._process is not None, f"{self.name} was never started"
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether the process is there; a stopped (SIGSTOP) one is."""
        return self._process is not None and self._process.poll() is None

    def start(self, deadline_s: float = 30.0) -> None:
        """Start the server and return when it answers; ServerFailed if it does not within the deadline.

        A server that ends at once is started again until the deadline: after a SIGKILL the last remains of its
        predecessor may hold the port or the data for a moment.
        """
        assert not self.is_running, f"{self.name} runs already"
        self.data_dir.mkdir(parents=True, exist_ok=True)
        deadline = time.monotonic() + deadline_s
        while not self._comes_up(deadline):
            if time.monotonic() >= deadline:
                self.kill()
                raise ServerFailed(f"{self.name} did not start within {deadline_s:g} s.\n{self.log_tail()}")
            time.sleep(RESTART_PAUSE_S)

    def stop(self, grace_s: float = 10.0) -> None:
        """End the server in its own orderly way; SIGKILL if it takes longer than the grace period."""
        if self._process is not None:
            end(self._process, self.polite_signals, grace_s)

    def kill(self) -> None:
        """End the server with SIGKILL, as a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def signal(self, number: signal.Signals) -> None:
        """Send the server process any signal, SIGSTOP and SIGCONT for example."""
        assert self._process is not None, f"{self.name} was never started"
        self._process.send_signal(number)

    def exited(self, within_s: float) -> bool:
        """Say whether the process ends within so many seconds."""
        return self._process is None or exited(self._process, within_s)

    def log_tail(self) -> str:
        """Return the last lines of the server's log, for an error message."""
        if not self.log_path.exists():
            return f"(no log at {self.log_path})"
        lines = self.log_path.read_text(errors="replace").splitlines()[-LOG_TAIL_LINES:]
        return "\n".join([f"The end of {self.log_path}:", *lines])

    def _comes_up(self, deadline: float) -> bool:
        """Start the process once and wait until it answers (True) or ends, or the deadline is there (False)."""
        process = self._process = self._spawn()
        wait_until(lambda: process.poll() is not None or self._is_ready(), deadline - time.monotonic())
        return process.poll() is None and self._is_ready()
