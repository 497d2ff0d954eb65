"""Debian's PostgreSQL in the place of the wheel's, with clusters of the tests' own and not the package's."""

import os
import shutil
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from holdfast_embedded.postgres import Postgres
from holdfast_embedded.postgres_identity import CannotRunPostgres, RunAs, can_run, ordinary_user

MAJOR_VERSION = "15"
PROGRAMS = Path("/usr/lib/postgresql") / MAJOR_VERSION / "bin"
CAPABILITY = "+dac_override"


class DebianPostgres(Postgres):
    """One PostgreSQL with its cluster in `data_dir`. `settings` override the embedded server's."""

    major_version = MAJOR_VERSION
    locale = ("--locale=C.UTF-8",)

    def __init__(self, data_dir: Path, port: int | None = None, settings: Mapping[str, str] | None = None) -> None:
        super().__init__(data_dir, port)
        self._overrides = dict(settings or {})

    def _settings(self) -> dict[str, str]:
        return super()._settings() | self._overrides

    def _find_identity(self) -> RunAs:
        """Every user may run Debian's programs, so no identity needs a copy of them."""
        if os.geteuid() != 0:
            return RunAs("current", PROGRAMS)
        if can_run("user-namespace", [PROGRAMS / "postgres", "--version"]):
            return RunAs("user-namespace", PROGRAMS)
        return run_with_capability()

    def _run_program(self, program: str, *arguments: str | Path, **options: Any) -> "subprocess.Popen[bytes]":
        """Change the owner of the data first if another user runs the program: PostgreSQL requires its own files."""
        if self.run_as.prefix:
            user = ordinary_user()
            for path in (self.data_dir, *self.data_dir.rglob("*")):
                shutil.chown(path, user.pw_uid, user.pw_gid)
        return super()._run_program(program, *arguments, **options)


def run_with_capability() -> RunAs:
    """Run as an ordinary user with the capability to enter root's private folders, where tests have their data."""
    user = ordinary_user()
    prefix = (
        *("setpriv", "--reuid", str(user.pw_uid), "--regid", str(user.pw_gid), "--clear-groups"),
        *("--inh-caps", CAPABILITY, "--ambient-caps", CAPABILITY),
        # The kernel clears the death signal when the user changes, so it is set again.
        *("--pdeathsig", signal.SIGQUIT.name.removeprefix("SIG"), "--"),
    )
    if not can_run("current", [*prefix, PROGRAMS / "postgres", "--version"]):
        raise CannotRunPostgres("PostgreSQL refuses to run as root, and there are neither namespaces nor capabilities")
    return RunAs("current", PROGRAMS, prefix)
