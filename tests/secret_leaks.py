"""Searches what a run of Holdfast's processes shows for its secrets, and runs processes with wrong ones."""

import base64
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

import psutil

from tests.stacks import ENVIRONMENT

ROOT = Path(__file__).resolve().parents[1]
ENDS_S = 120.0
SHORTEST = 6  # characters by which a secret is recognised
BEFORE, BEHIND = 160, 60  # characters around a secret that was found
PEM_LINE = re.compile(r"^[A-Za-z0-9+/=]{20,}$", re.MULTILINE)
# The most talkative log, with the lines that are usually left out as repetitions.
TALKATIVE = {
    "HOLDFAST_LOG_LEVEL": "debug",
    "PYTHONPATH": os.pathsep.join([str(ROOT / "tests" / "every_line"), str(ROOT)]),
}


class Shown(NamedTuple):
    """What others may read, and where it stands."""

    where: str
    text: str


class Secrets:
    """What must be shown nowhere, each with what it is."""

    def __init__(self) -> None:
        self._forms: dict[str, str] = {}

    def add(self, what: str, secret: str) -> str:
        """Also in the forms that it has in a URL and in base64."""
        assert len(secret) >= SHORTEST
        encoded = base64.b64encode(secret.encode()).decode().rstrip("=")
        self._forms |= dict.fromkeys((secret, quote(secret, safe=""), encoded), what)
        return secret

    def add_key(self, what: str, file: Path) -> None:
        """Each line of a private key in PEM."""
        lines = PEM_LINE.findall(file.read_text().partition("-----BEGIN CERTIFICATE")[0])
        assert lines, f"{file} has no key"
        self._forms |= dict.fromkeys(lines, what)

    def add_token(self, what: str, token: str) -> str:
        """Its signature, without which the rest is of no use."""
        self._forms[token.rpartition(".")[2]] = what
        return token

    def found_in(self, shown: Iterable[Shown]) -> list[str]:
        """Which one is shown where."""
        return [
            f"{one.where}: {what}: {one.text[max(0, at - BEFORE) : at + BEHIND]!r}"
            for one in shown
            for form, what in self._forms.items()
            if (at := one.text.find(form)) >= 0
        ]


class Case(NamedTuple):
    """A process, with its options, and settings of which one is wrong."""

    words: Sequence[str]
    settings: Mapping[str, str]


class Ended(NamedTuple):
    """How a process ended."""

    case: Case
    code: int
    output: str

    @property
    def shown(self) -> Shown:
        return Shown(f"holdfast {' '.join(self.case.words)} with {sorted(self.case.settings)}", self.output)


def run_cases(cases: Sequence[Case], settings: Mapping[str, str]) -> list[Ended]:
    """Run processes, which must end by themselves, one after the other within one process of Python: that is fast."""
    todo = [(list(case.words), {**settings, **case.settings}) for case in cases]
    ended = subprocess.run(
        [sys.executable, "-m", "tests.run_processes"],
        input=json.dumps(todo),
        env={**ENVIRONMENT, **TALKATIVE},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=ENDS_S,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return [Ended(case, *result) for case, result in zip(cases, json.loads(ended.stdout), strict=True)]


def run_holdfast(words: Sequence[str | Path], environment: Mapping[str, str]) -> "subprocess.CompletedProcess[str]":
    """Run one command to its end."""
    command = [sys.executable, "-m", "holdfast.cli", *words]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=ENDS_S, check=False)


def command_lines() -> list[Shown]:
    """Those of all children of this process."""
    found = []
    for child in psutil.Process().children(recursive=True):
        try:
            found.append(Shown(f"the command line of process {child.pid}", "\0".join(child.cmdline())))
        except psutil.Error:  # it has ended meanwhile
            continue
    return found
