"""Every script in lua/ opens with a header that says what it is for, what it may touch and what it keeps."""

import re
from pathlib import Path

import pytest

LUA = Path(__file__).resolve().parents[2] / "lua"
SCRIPTS = sorted(path for path in LUA.glob("*.lua") if path.name != "prelude.lua")

# A flag line may come first; then one comment: the file's name, its job, and one paragraph for each of the four words.
HEADER = re.compile(
    r"(?:#!lua[^\n]*\n)?--\[\[ (?P<name>[a-z_]+\.lua): (?P<job>\S.*?)\n(?P<rest>KEYS .*?)\]\]", re.DOTALL
)
WORDS = ["KEYS", "ARGV", "Reply", "Keeps"]


def test_there_are_scripts() -> None:
    """A moved folder would otherwise pass every check below without one being made."""
    assert SCRIPTS


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_a_script_says_what_it_is_for(script: Path) -> None:
    """The header names the file and its job, for a script is met by its sha in the logs and by its name here."""
    header = HEADER.match(script.read_text())

    assert header, f"lua/{script.name} does not open with `--[[ {script.name}: its job`, then {', '.join(WORDS)}"
    assert header["name"] == script.name


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_a_script_says_what_it_touches_and_keeps(script: Path) -> None:
    """A caller in Python sees positions only, so KEYS, ARGV and Reply are its whole signature; Keeps is its promise."""
    header = HEADER.match(script.read_text())

    assert header
    assert re.findall(rf"^({'|'.join(WORDS)})\b", header["rest"], re.MULTILINE) == WORDS


def test_the_prelude_says_its_job() -> None:
    """It stands before every script, and so has no keys or arguments of its own."""
    assert re.match(r"(#!lua[^\n]*\n)?--\[\[ prelude\.lua: \S", (LUA / "prelude.lua").read_text())
