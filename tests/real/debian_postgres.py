"""Run Debian's PostgreSQL in the place of the wheel's, from clusters of our own and not from the package's."""

import os
import shutil
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from holdfast_embedded.postgres import Postgres
from holdfast_embedded.postgres_seat import NoSeat, Seat, ordinary_user, runs

MAJOR_VERSION = "15"
PROGRAMS = Path("/usr/lib/postgresql") / MAJOR_VERSION / "bin"
REACH = "+dac_override"


class DebianPostgres(Postgres):
    """One PostgreSQL with its cluster in `data_dir`. `settings` are its own and stand above our choices."""

    major_version = MAJOR_VERSION
    locale = ("--locale=C.UTF-8",)

    def __init__(self, data_dir: Path, port: int | None = None, settings: Mapping[str, str] | None = None) -> None:
        super().__init__(data_dir, port)
        self._more = dict(settings or {})

    def _settings(self) -> dict[str, str]:
        return super()._settings() | self._more

    def _find_seat(self) -> Seat:
        """Every user may run Debian's programs, so no copy of them is needed."""
        if os.geteuid() != 0:
            return Seat("same", PROGRAMS)
        if runs("guest", [PROGRAMS / "postgres", "--version"]):
            return Seat("guest", PROGRAMS)
        return seat_with_reach()

    def _run_program(self, program: str, *arguments: str | Path, **options: Any) -> "subprocess.Popen[bytes]":
        """Run one of its programs, after giving the folder to its user, because PostgreSQL refuses others."""
        if self.seat.runner:
            user = ordinary_user()
            for path in (self.data_dir, *self.data_dir.rglob("*")):
                shutil.chown(path, user.pw_uid, user.pw_gid)
        return super()._run_program(program, *arguments, **options)


def seat_with_reach() -> Seat:
    """Run as an ordinary user who may still enter root's private folders, where tests have their data."""
    user = ordinary_user()
    runner = (
        *("setpriv", "--reuid", str(user.pw_uid), "--regid", str(user.pw_gid), "--clear-groups"),
        *("--inh-caps", REACH, "--ambient-caps", REACH),
        # The kernel forgets the signal that ends it with us when the user changes.
        *("--pdeathsig", signal.SIGQUIT.name.removeprefix("SIG"), "--"),
    )
    if not runs("same", [*runner, PROGRAMS / "postgres", "--version"]):
        raise NoSeat("PostgreSQL refuses to run as root, and neither namespaces nor capabilities are to be had here")
    return Seat("same", PROGRAMS, runner)
