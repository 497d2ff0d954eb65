"""Starts the embedded Kafka-protocol broker as a process, and sends it commands through its standard input."""

import os
import select
import subprocess
import sys
import time
from pathlib import Path

from holdfast_embedded.process import spawn
from holdfast_embedded.server import KafkaServer, ServerFailed

TOPICS = (
    "holdfast.commits.v1",
    "holdfast.ledger-progress.v1",
    "holdfast.compensations.v1",
    "holdfast.orders.v1",
    "holdfast.sales.v1",
)
COMMAND_DEADLINE_S = 10.0
READ_S = 0.05


def topics_with(prefix: str) -> list[str]:
    """The topics' names behind this prefix."""
    return [prefix + topic for topic in TOPICS]


class Broker(KafkaServer):
    """One broker with Holdfast's topics, in memory only: a new start has a new address and empty topics."""

    keeps_address = False

    def __init__(self, data_dir: Path, partitions: int = 16, prefix: str = "") -> None:
        super().__init__("broker", data_dir)
        self.partitions = partitions
        self._topics = topics_with(prefix)
        self._address: str | None = None
        self._partial_line = b""  # what was read of a line without its end

    @property
    def address(self) -> str:
        """The bootstrap address of the latest start, host:port."""
        assert self._address is not None, "the broker was never started"
        return self._address

    def create_topics(self, *names: str) -> None:
        """Create more topics, which a later start has too: of another installation, or of a consumer of the facts."""
        self._send(" ".join(["create-topics", *names]))
        self._topics += names

    def reset_topics(self) -> None:
        """Empty every topic in place, offsets included."""
        self._send("reset-topics")

    def down(self) -> None:
        """Cut every connection and refuse new ones, without losing a record."""
        self._send("down")

    def up(self) -> None:
        """Serve again after `down`."""
        self._send("up")

    def _spawn(self) -> subprocess.Popen[bytes]:
        """Start the process, which prints its address once it listens."""
        self._address, self._partial_line = None, b""
        command = [
            sys.executable,
            "-m",
            "holdfast_embedded.broker_process",
            str(self.partitions),
            *self._topics,
        ]
        with self.log_path.open("ab") as log:
            return spawn(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log)

    def _is_ready(self) -> bool:
        """Return whether the process has printed its address."""
        if self._address is None:
            self._address = self._read_line(READ_S)
        return self._address is not None

    def _send(self, command: str) -> None:
        """Send one command and wait until the process confirms it."""
        pipe = self._started.stdin
        assert pipe is not None
        pipe.write(f"{command}\n".encode())
        pipe.flush()
        if self._read_line(COMMAND_DEADLINE_S) != "ok":
            raise ServerFailed(f"the broker did not carry out {command!r}.\n{self.log_tail()}")

    def _read_line(self, within_s: float) -> str | None:
        """Read one line of output; None if the process has exited, or no whole line comes in time: then call again."""
        output = self._started.stdout
        assert output is not None
        deadline = time.monotonic() + within_s
        while not self._partial_line.endswith(b"\n"):
            readable, _, _ = select.select([output], [], [], max(0.0, deadline - time.monotonic()))
            byte = os.read(output.fileno(), 1) if readable else b""
            if not byte:
                return None
            self._partial_line += byte
        line, self._partial_line = self._partial_line, b""
        return line.decode().strip()
