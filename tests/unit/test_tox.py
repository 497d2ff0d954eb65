"""tox runs every folder of tests, so that no suite is silently left out."""

import re
from collections.abc import Iterable
from configparser import RawConfigParser
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
REFERENCE = re.compile(r"\{\[(\w+)](\w+)}")  # {[section]key}, by which tox takes a value from elsewhere


def suites() -> set[str]:
    """Every folder directly under tests/ that holds tests."""
    return {f"tests/{path.relative_to(ROOT / 'tests').parts[0]}" for path in (ROOT / "tests").glob("*/**/test_*.py")}


def tox_ini() -> RawConfigParser:
    """tox.ini, parsed without substitution."""
    ini = RawConfigParser()
    ini.read_string((ROOT / "tox.ini").read_text())
    return ini


def run_by(environments: Iterable[str]) -> set[str]:
    """The words of the commands of these environments; a folder counts only if it is named whole."""
    ini = tox_ini()
    commands = " ".join(ini[f"testenv:{name}"]["commands"] for name in environments)
    return set(REFERENCE.sub(lambda found: ini[found[1]][found[2]], commands).split())


def test_every_suite_is_run() -> None:
    """`make test` runs what needs no real servers, `make test-real` all but unit; packaging is run by itself.

    Upgrades are one of the suites that only `make test-real` runs: a stack is recorded and another started for them.
    """
    needs_real = set(tox_ini()["real"]["alone"].split())
    whole = run_by(re.split(r",\s*", tox_ini()["tox"]["env_list"]))

    assert suites() - whole == needs_real | {"tests/packaging", "tests/upgrade"}
    assert "tests/packaging" in run_by(["packaging"])
    assert needs_real <= run_by(["real"])
    assert suites() - run_by(["real"]) == {"tests/unit", "tests/packaging"}
