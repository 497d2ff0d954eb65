"""Start the embedded Kafka-protocol broker as a process, and give it orders."""

import os
import select
import subprocess
import sys
import time
from pathlib import Path

from holdfast_embedded.child import spawn
from holdfast_embedded.server import KafkaServer, ServerFailed

TOPICS = (
    "holdfast.commits.v1",
    "holdfast.ledger-progress.v1",
    "holdfast.compensations.v1",
    "holdfast.orders.v1",
)
COMMAND_DEADLINE_S = 10.0
READ_S = 0.05


def topics_with(prefix: str) -> list[str]:
    """What the topics are called where names have this prefix."""
    return [prefix + topic for topic in TOPICS]


class Broker(KafkaServer):
    """One broker with our topics. It keeps nothing: a new start has a new address and empty topics."""

    keeps_address = False

    def __init__(self, data_dir: Path, partitions: int = 16, prefix: str = "") -> None:
        super().__init__("broker", data_dir)
        self.partitions = partitions
        self._prefix = prefix
        self._address: str | None = None
        self._unread = b""  # the beginning of a line whose end has not come yet

    @property
    def address(self) -> str:
        """The bootstrap address of the present start, host:port."""
        assert self._address is not None, "the broker was never started"
        return self._address

    def make_topics(self, prefix: str) -> None:
        """Make the topics under another prefix too, for another Holdfast beside the first."""
        self._order(" ".join(["make", *topics_with(prefix)]))

    def wipe(self) -> None:
        """Empty every topic in place, offsets included."""
        self._order("wipe")

    def down(self) -> None:
        """Cut every connection and refuse new ones, without losing a record."""
        self._order("down")

    def up(self) -> None:
        """Serve again after `down`."""
        self._order("up")

    def _spawn(self) -> subprocess.Popen[bytes]:
        """Start the process; it says its address when it listens."""
        self._address, self._unread = None, b""
        command = [
            sys.executable,
            "-m",
            "holdfast_embedded.broker_process",
            str(self.partitions),
            *topics_with(self._prefix),
        ]
        with self.log_path.open("ab") as log:
            return spawn(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log)

    def _is_ready(self) -> bool:
        """Say whether it has told its address."""
        if self._address is None:
            self._address = self._read_line(READ_S)
        return self._address is not None

    def _order(self, command: str) -> None:
        """Give one order and wait until it is carried out."""
        orders = self._started.stdin
        assert orders is not None
        orders.write(f"{command}\n".encode())
        orders.flush()
        if self._read_line(COMMAND_DEADLINE_S) != "ok":
            raise ServerFailed(f"the broker did not carry out {command!r}.\n{self.log_tail()}")

    def _read_line(self, within_s: float) -> str | None:
        """Read one line of the process; None if it has ended, or if no whole line comes in time: then ask again."""
        answers = self._started.stdout
        assert answers is not None
        deadline = time.monotonic() + within_s
        while not self._unread.endswith(b"\n"):
            readable, _, _ = select.select([answers], [], [], max(0.0, deadline - time.monotonic()))
            byte = os.read(answers.fileno(), 1) if readable else b""
            if not byte:
                return None
            self._unread += byte
        line, self._unread = self._unread, b""
        return line.decode().strip()
