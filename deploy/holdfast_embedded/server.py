"""What the servers of a stack have in common: an address, a data folder, a log file, and a start that waits."""

import subprocess
import time
from abc import abstractmethod
from pathlib import Path

from holdfast_embedded.child import wait_until
from holdfast_embedded.process import Process

LOG_TAIL_LINES = 12
START_DEADLINE_S = 30.0
# After a SIGKILL the last remains of its predecessor may hold the port or the data for a moment, so a server that ends
# at once is started again; one that goes on ending has another reason. A PostgreSQL process that waits for its disk, or
# for its turn, does so for seconds.
EARLY_END_PATIENCE_S = 15.0
EARLY_END_PAUSE_S = 0.1


class ServerFailed(RuntimeError):
    """A server did not start; the message says which, why, and shows the end of its log."""


class Server(Process):
    """One server of a stack. Everything that lasts is in `data_dir`; stop or kill it and start it again at will."""

    def __init__(self, name: str, data_dir: Path) -> None:
        super().__init__(name)
        self.data_dir = data_dir
        self.log_path = data_dir / f"{name}.log"

    @property
    @abstractmethod
    def address(self) -> str:
        """Where clients connect to, as their libraries want it."""

    @abstractmethod
    def _spawn(self) -> subprocess.Popen[bytes]:
        """Start the process, without waiting for it."""

    @abstractmethod
    def _is_ready(self) -> bool:
        """Say whether this very process answers, and not another one at its address."""

    def start(self, deadline_s: float = START_DEADLINE_S) -> None:
        """Start the server and return when it answers; ServerFailed if it does not within the deadline."""
        assert not self.is_running, f"{self.name} runs already"
        self.data_dir.mkdir(parents=True, exist_ok=True)
        begun = time.monotonic()
        while not self._comes_up(begun + deadline_s):
            waited = time.monotonic() - begun
            if waited >= deadline_s or waited >= EARLY_END_PATIENCE_S:
                self.kill()
                raise ServerFailed(f"{self.name} did not start within {waited:.1f} s.\n{self.log_tail()}")
            time.sleep(EARLY_END_PAUSE_S)

    def log_tail(self) -> str:
        """Return the last lines of the server's log, for an error message."""
        if not self.log_path.exists():
            return f"(no log at {self.log_path})"
        lines = self.log_path.read_text(errors="replace").splitlines()[-LOG_TAIL_LINES:]
        return "\n".join([f"The end of {self.log_path}:", *lines])

    def _comes_up(self, deadline: float) -> bool:
        """Start the process once and wait until it answers (True) or ends, or the deadline is there (False)."""
        self._process = self._spawn()
        wait_until(lambda: not self.is_running or self._is_ready(), deadline - time.monotonic())
        return self.is_running and self._is_ready()


class KafkaServer(Server):
    """A broker of Kafka's protocol which has our topics from its first start on."""

    keeps_address = True  # False: each start has another one, of which clients must be told

    @abstractmethod
    def make_topics(self, prefix: str) -> None:
        """Make the topics under another prefix too, for another Holdfast beside the first."""

    @abstractmethod
    def wipe(self) -> None:
        """Empty every topic, offsets included, as if it were deleted and made again."""

    @abstractmethod
    def down(self) -> None:
        """Cut every connection and refuse new ones, without losing a record."""

    @abstractmethod
    def up(self) -> None:
        """Serve again after `down`."""
