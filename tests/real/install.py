"""Installs the real servers on a machine that lacks them: `python -m tests.real.install`, before any of their tests.

It changes nothing where all are installed. Otherwise Debian's packages are installed by apt, as root or by sudo, and
Apache Kafka is fetched by Maven into the checkout.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from holdfast_embedded.server import ServerFailed

from tests.real.debian_postgres import PROGRAMS
from tests.real.kafka_jars import kafka_class_path
from tests.real.redis_server import REDIS

SCRIPT = Path(__file__).with_name("install.sh")
INSTALL_S, PROBE_S = 900.0, 30.0
OLDEST_JAVA, OLDEST_REDIS = 17, 7


def main() -> int:
    """Install the missing packages and download Kafka; return the exit code."""
    try:
        install(missing_packages())
        kafka_class_path()
    except ServerFailed as failure:
        print(failure, file=sys.stderr)
        return 1
    return 0


def missing_packages() -> list[str]:
    """Return the packages of the programs that are missing or too old."""
    installed = {
        "redis-server": version(REDIS, "--version", r"v=(\d+)") >= OLDEST_REDIS,
        "postgresql-15": version(PROGRAMS / "postgres", "--version", r"(\d+)") > 0,
        "openjdk-17-jre-headless": version("java", "-version", r'version "(\d+)') >= OLDEST_JAVA,
        "maven": version("mvn", "--version", r"Maven (\d+)") > 0,
    }
    return [package for package, is_installed in installed.items() if not is_installed]


def version(program: str | Path, option: str, pattern: str) -> int:
    """Return the major version that a program prints; 0 if it is missing, or does not run."""
    try:
        asked = subprocess.run([program, option], capture_output=True, text=True, timeout=PROBE_S)
    except OSError:
        return 0
    found = re.search(pattern, asked.stdout + asked.stderr)
    return int(found[1]) if found and asked.returncode == 0 else 0


def install(packages: Sequence[str]) -> None:
    """Install packages; ServerFailed with what to do by hand if that is not possible."""
    if not packages:
        return
    by_hand = f"install {', '.join(packages)} by hand"
    if shutil.which("apt-get") is None:
        raise ServerFailed(f"the real servers come as Debian's packages, and there is no apt-get here: {by_hand}")
    print(f"installing {', '.join(packages)}; none of their services is started", flush=True)
    done = subprocess.run([*as_root(by_hand), "sh", SCRIPT, *packages], timeout=INSTALL_S)
    if done.returncode != 0:
        raise ServerFailed(f"apt-get ended with code {done.returncode}; its last lines say why. Or {by_hand}.")
    if still := missing_packages():
        raise ServerFailed(f"{', '.join(still)}: installed, and still not found")


def as_root(otherwise: str) -> Sequence[str]:
    """Return the prefix of a command that only root may run; ServerFailed without root and sudo."""
    if os.geteuid() == 0:
        return ()
    if shutil.which("sudo"):
        return ("sudo",)
    raise ServerFailed(f"only root installs packages, and there is no sudo here: {otherwise}")


if __name__ == "__main__":
    sys.exit(main())
