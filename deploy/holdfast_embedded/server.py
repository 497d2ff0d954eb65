"""What all servers of a stack have in common: an address, a data folder, a log file, and a start that waits."""

import subprocess
import time
from abc import abstractmethod
from pathlib import Path

from holdfast_embedded.process import Process, wait_until

LOG_TAIL_LINES = 12
START_DEADLINE_S = 30.0
# After a SIGKILL the previous process may hold the port or the data for a moment, so a server that exits at once is
# started again for this long; after that the exit has another cause. A PostgreSQL process that waits for its disk, or
# to be scheduled, takes seconds to go.
EARLY_EXIT_RETRY_S = 15.0
EARLY_EXIT_PAUSE_S = 0.1


class ServerFailed(RuntimeError):
    """A server did not start; the message says which, why, and shows the end of its log."""


class Server(Process):
    """One server of a stack. All durable data is in `data_dir`, so it can be stopped or killed and started again."""

    def __init__(self, name: str, data_dir: Path) -> None:
        super().__init__(name)
        self.data_dir = data_dir
        self.log_path = data_dir / f"{name}.log"

    @property
    @abstractmethod
    def address(self) -> str:
        """The address that clients connect to, in the form that their libraries take."""

    @abstractmethod
    def _spawn(self) -> subprocess.Popen[bytes]:
        """Start the process, without waiting for it."""

    @abstractmethod
    def _is_ready(self) -> bool:
        """Return whether this very process answers, and not another one at its address."""

    def start(self, deadline_s: float = START_DEADLINE_S) -> None:
        """Start the server and return when it answers; ServerFailed if it does not within the deadline.

        Data that have to be made before its first start are made by programs with deadlines of their own.
        """
        assert not self.is_running, f"{self.name} runs already"
        self.data_dir.mkdir(parents=True, exist_ok=True)
        self._process = self._spawn()
        began = time.monotonic()
        while not self._answers_by(began + deadline_s):
            waited = time.monotonic() - began
            if self.is_running or waited >= min(deadline_s, EARLY_EXIT_RETRY_S):
                self.kill()
                raise ServerFailed(f"{self.name} did not start within {waited:.1f} s.\n{self.log_tail()}")
            time.sleep(EARLY_EXIT_PAUSE_S)
            self._process = self._spawn()

    def log_tail(self) -> str:
        """Return the last lines of the server's log, for an error message."""
        if not self.log_path.exists():
            return f"(no log at {self.log_path})"
        lines = self.log_path.read_text(errors="replace").splitlines()[-LOG_TAIL_LINES:]
        return "\n".join([f"The end of {self.log_path}:", *lines])

    def _answers_by(self, deadline: float) -> bool:
        """Wait for the process; True when it answers, False when it exits or the deadline passes.

        A process that has answered is not asked again: one that is halted then would be started a second time.
        """
        ended = wait_until(lambda: not self.is_running or self._is_ready(), deadline - time.monotonic())
        return ended and self.is_running


class KafkaServer(Server):
    """A broker of Kafka's protocol that has Holdfast's topics from its first start on."""

    keeps_address = True  # False: each start has another address, and clients must be restarted with it

    @abstractmethod
    def create_topics(self, *names: str) -> None:
        """Create more topics, which a later start has too: of another installation, or of a consumer of the facts."""

    @abstractmethod
    def reset_topics(self) -> None:
        """Empty every topic, offsets included, as if it were deleted and created again."""

    @abstractmethod
    def down(self) -> None:
        """Cut every connection and refuse new ones, without losing a record."""

    @abstractmethod
    def up(self) -> None:
        """Serve again after `down`."""
