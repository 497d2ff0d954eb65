"""One child process that can be stopped, killed, signalled and started again."""

import signal
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Sequence

from holdfast_embedded.child import end, exited


class Process(ABC):
    """What the supervisor asks of a server or a program of ours.

    Start it from a thread that lives as long as the process should (see child.spawn); the rest may come from any.
    """

    polite_signals: Sequence[signal.Signals] = (signal.SIGTERM,)

    def __init__(self, name: str) -> None:
        self.name = name
        self._process: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def start(self) -> None:
        """Start it, and return when it is known to have begun its work."""

    @property
    def pid(self) -> int:
        """The process id of the latest start."""
        return self._started.pid

    @property
    def is_running(self) -> bool:
        """Whether the process is there; a stopped (SIGSTOP) one is."""
        return self._process is not None and self._process.poll() is None

    @property
    def exit_code(self) -> int | None:
        """How it ended: a code, or minus a signal's number; None while it runs or before it ever did."""
        return None if self._process is None else self._process.poll()

    def stop(self, grace_s: float = 10.0) -> bool:
        """End it in its own orderly way. False: it took longer than the grace period and was killed."""
        return self._process is None or end(self._process, self.polite_signals, grace_s)

    def kill(self) -> None:
        """End it with SIGKILL, as a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def signal(self, number: signal.Signals) -> None:
        """Send it any signal, SIGSTOP and SIGCONT for example."""
        self._started.send_signal(number)

    def exited(self, within_s: float) -> bool:
        """Say whether it ends within so many seconds."""
        return self._process is None or exited(self._process, within_s)

    @property
    def _started(self) -> subprocess.Popen[bytes]:
        assert self._process is not None, f"{self.name} was never started"
        return self._process
