"""Every script in lua/ opens with a header: its job, its keys, arguments and reply, and what it keeps."""

import re
from functools import cache
from pathlib import Path

from inventory_service.adapters.redis.scripts import used_library

LUA = Path(__file__).resolve().parents[3] / "lua"
SCRIPTS = sorted(LUA.glob("*.lua"))
PARTS = sorted((LUA / "lib").glob("*.lua"))

# A flag line may come first; then one comment: the file's name, its job, and one paragraph for each of the five words.
HEADER = re.compile(
    r"(?:#!lua[^\n]*\n)?--\[\[ (?P<name>[a-z_]+\.lua): (?P<job>\S.*?)\n(?P<rest>KEYS .*?)\]\]", re.DOTALL
)
WORDS = ["KEYS", "ARGV", "Reply", "Keeps", "Uses"]
DEFINED = re.compile(r"^local (?:function )?([A-Za-z_]+(?:, *\s*[A-Za-z_]+)*)", re.MULTILINE)


def test_there_are_scripts() -> None:
    """A moved folder would otherwise pass every check below without one being made."""
    assert SCRIPTS
    assert PARTS


def test_a_header_has_the_scripts_name_job_keys_arguments_reply_invariants_and_parts() -> None:
    """A caller in Python sees positions only, so KEYS, ARGV and Reply are its whole signature; Keeps is its promise."""
    for script in SCRIPTS:
        header = HEADER.match(script.read_text())

        assert header, f"lua/{script.name} does not open with `--[[ {script.name}: its job`, then {', '.join(WORDS)}"
        assert header["name"] == script.name
        words = re.findall(rf"^({'|'.join(WORDS)})\b", header["rest"], re.MULTILINE)
        assert (script.name, words) == (script.name, WORDS)


@cache
def code_of(path: Path) -> str:
    """A file of Lua without comments and strings."""
    return re.sub(r"--\[\[.*?\]\]|--[^\n]*|'[^'\n]*'", "", path.read_text(), flags=re.DOTALL)


@cache
def names_of(part: Path) -> frozenset[str]:
    """The names that a part defines for the files behind it."""
    return frozenset(name for names in DEFINED.findall(code_of(part)) for name in re.split(r",\s*", names))


@cache
def needs(path: Path) -> frozenset[str]:
    """The parts of which a file uses a name that it does not define itself."""
    words = set(re.findall(r"(?<![.\w])[A-Za-z_]\w*", code_of(path))) - names_of(path)
    return frozenset(part.stem for part in PARTS if part != path and words & names_of(part))


def test_a_script_names_exactly_the_parts_that_it_needs() -> None:
    """Each call makes the functions of all its parts anew, so one too many costs time; one too few fails it."""
    for script in SCRIPTS:
        assert_names_what_it_needs(script)


def assert_names_what_it_needs(script: Path) -> None:
    uses = used_library(script.read_text())
    needed = needs(script)
    while (more := needed.union(*(needs(LUA / "lib" / f"{part}.lua") for part in needed))) != needed:
        needed = more

    assert (script.name, frozenset(uses)) == (script.name, needed)
    for at, part in enumerate(uses):
        assert needs(LUA / "lib" / f"{part}.lua") <= set(uses[:at]), "a part stands before one that it needs"


def test_a_part_names_its_file_and_job() -> None:
    """It stands before scripts, and so has no keys or arguments of its own."""
    assert [part.name for part in PARTS if not re.match(rf"-- {part.name}: \S", part.read_text())] == []
