"""Runs pytest with every clock some days ahead, by libfaketime: `python -m tests.clock_ahead.run DAYS ARGUMENT...`.

Debian's package is installed if it is missing; if that fails, the command prints the reason and exits with 0. One file
cannot run with it, tests/integration/test_halted_persister.py: PostgreSQL's own timeouts, such as lock_timeout, fire
late by as much as the clock is ahead, because libfaketime shows the true time to a signal handler.
"""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

PACKAGE = "libfaketime"
LIBRARIES = ("lib/*/faketime/libfaketimeMT.so.1", "lib*/faketime/libfaketimeMT.so.1")  # of Debian, and of Fedora
INSTALL_S = 300.0
DAY_S = 24 * 60 * 60


class NotInstalled(Exception):
    """The library is not here and cannot be installed; the message says why."""


def main(days: int, *arguments: str) -> int:
    """Run pytest with these arguments; its exit code, or 0 if there is no library."""
    try:
        library = find() or install()
    except NotInstalled as why:
        print(f"skipped, the clock cannot be moved: {why}")
        return 0
    environment = moved(library, days)
    expected = str(int(time.time()) + days * DAY_S)
    clocks = subprocess.run([sys.executable, "-m", "tests.clock_ahead.clocks", expected], env=environment)
    return clocks.returncode or subprocess.run([sys.executable, "-m", "pytest", *arguments], env=environment).returncode


def find() -> Path | None:
    """The library, if it is installed."""
    return next((path for pattern in LIBRARIES for path in Path("/usr").glob(pattern)), None)


def install() -> Path:
    """Install the library, as root or by sudo without a password."""
    if shutil.which("apt-get") is None:
        raise NotInstalled(f"{PACKAGE} is not here, and neither is apt-get")
    if os.geteuid() != 0 and shutil.which("sudo") is None:
        raise NotInstalled(f"{PACKAGE} is not here, only root installs packages, and there is no sudo")
    run_as_root("apt-get", "update", "--quiet=2")
    run_as_root("apt-get", "install", "--quiet=2", "--no-install-recommends", PACKAGE)
    library = find()
    if library is None:
        raise NotInstalled(f"{PACKAGE} was installed, and is not where Debian puts it")
    return library


def run_as_root(*command: str) -> None:
    """Run a command to its end; NotInstalled if it fails or takes too long."""
    by_sudo = [] if os.geteuid() == 0 else ["sudo", "--non-interactive"]
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    try:
        done = subprocess.run([*by_sudo, *command], env=environment, capture_output=True, text=True, timeout=INSTALL_S)
    except subprocess.TimeoutExpired as late:
        raise NotInstalled(f"`{' '.join(command)}` did not end within {INSTALL_S:g} s") from late
    if done.returncode != 0:
        raise NotInstalled(f"`{' '.join(command)}` failed: {done.stderr.strip()}")


def moved(library: Path, days: int) -> Mapping[str, str]:
    """The environment in which the time of day is ahead. The monotonic clock stays, for waiting is measured by it."""
    return {
        **os.environ,
        "LD_PRELOAD": str(library),
        "FAKETIME": f"+{days}d",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "PYTHONPATH": str(Path(__file__).parent),  # of sitecustomize.py
    }


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), *sys.argv[2:]))
