"""Downloads Apache Kafka by Maven, once, into a folder of the checkout that git ignores."""

import hashlib
import os
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

from holdfast_embedded.server import ServerFailed

POM = Path(__file__).with_name("kafka") / "pom.xml"
CACHE = Path(__file__).parents[2] / ".real"
FETCH_S = 300.0


@cache
def kafka_class_path() -> str:
    """Return the class path for `java -cp`; the first call on a machine downloads some 45 MB."""
    folder = CACHE / f"kafka-{hashlib.sha256(POM.read_bytes()).hexdigest()[:12]}"
    if not folder.exists():
        _fetch(folder)
    return f"{folder}/*"


def _fetch(folder: Path) -> None:
    """Download into a temporary folder and rename it last: an incomplete folder is never used."""
    CACHE.mkdir(exist_ok=True)
    unfinished = Path(tempfile.mkdtemp(prefix=f"{folder.name}.", dir=CACHE))
    try:
        _run_maven(unfinished)
        unfinished.rename(folder)
    except OSError:
        if not folder.exists():  # no other process was faster
            raise
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _run_maven(folder: Path) -> None:
    """Download every jar; ServerFailed with the end of Maven's output if that fails."""
    command = ["mvn", "--quiet", "--batch-mode", "--file", str(POM), "dependency:copy-dependencies"]
    # Java reads the home folder from the user database, where some users have none, and not from HOME.
    options = f"{os.environ.get('MAVEN_OPTS', '')} -Duser.home={Path.home()}".strip()
    try:
        ended = subprocess.run(
            [*command, f"-DoutputDirectory={folder}"],
            env={**os.environ, "MAVEN_OPTS": options},
            capture_output=True,
            text=True,
            timeout=FETCH_S,
            check=False,
        )
    except FileNotFoundError:
        raise ServerFailed("Apache Kafka is fetched by Maven, and there is no mvn on this machine") from None
    if ended.returncode != 0:
        raise ServerFailed(f"Maven could not fetch Apache Kafka:\n{(ended.stdout + ended.stderr)[-2000:]}")
