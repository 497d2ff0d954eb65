"""Which functions of a script a call makes: none that the script cannot reach, rare ones when one of them is called.

To Lua a function is a value, which each call of a script makes anew, together with a reference to each variable outside
that it uses. So the functions are the fields of one table, and that table is all that most of them use.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import chain

_LATER = re.compile(r"^Later +([a-z_ ]+(?:\n +[a-z_ ]+)*)", re.MULTILINE)
_FUNCTION = re.compile(r"^local function (\w+)(\(.*?^end)$", re.MULTILINE | re.DOTALL)  # one at the beginning of a line
_VARIABLES = re.compile(r"^local (\w+(?:, *\w+)*)( =|$)", re.MULTILINE)  # so do these
_NAME = re.compile(r"--\[\[.*?\]\]|--[^\n]*|'[^'\n]*'|(?<![.\w])[a-z_]\w*\b\(?", re.DOTALL)  # or a comment or a string


def with_needed_functions(text: str) -> str:
    """Make a table of the functions that a script reaches, and each group that its header names as `Later` when needed.

    What only the functions of one group reach is made with them. The variables of the script, which functions may use,
    are declared before the functions, and get their values where they did.
    """
    functions = {found[1]: found[2] for found in _FUNCTION.finditer(text)}
    code = _FUNCTION.sub("", text)
    groups = [set(names.split()) for names in _LATER.findall(text)]
    parts = [[name for name in functions if name in part] for part in _parts(functions, names_in(code), groups)]
    places = {name: at for at, name in enumerate(chain(*parts), 1)}
    made = [[f"--[[{name}]] function{_with_places(functions[name], places)}" for name in names] for names in parts]
    variables = [name for found in _VARIABLES.finditer(code) for name in re.split(r", *", found[1])]
    first, _, rest = _with_places(code, places).partition("\n")
    rest = _VARIABLES.sub(lambda found: found[1] + found[2] if found[2] else "", rest)
    return "\n".join([first, f"local {', '.join(['F', *variables])}", *_table(made), rest])


def names_in(text: str) -> set[str]:
    """The names that a piece of a script uses, but for those of fields."""
    return {name.removesuffix("(") for name in _NAME.findall(text)}


def _parts(functions: dict[str, str], used: set[str], groups: list[set[str]]) -> list[set[str]]:
    """The functions that are made at once, and those of each group."""
    later = set().union(*groups)
    assert functions.keys() >= later, f"no function: {later - functions.keys()}"
    reached = [_reachable(functions, names, later - names) for names in groups]
    users = Counter(name for names in reached for name in names)
    shared = {name for name, number in users.items() if number > 1}
    at_once = _reachable(functions, used | shared, later)
    return [at_once, *(names - at_once for names in reached)]


def _reachable(functions: dict[str, str], names: Iterable[str], without: set[str]) -> set[str]:
    """The functions that these names reach, themselves too, but not by way of some of them."""
    found: set[str] = set()
    ahead = (set(names) & functions.keys()) - without
    while ahead:
        found |= ahead
        used = set().union(*(names_in(functions[name]) for name in ahead))
        ahead = (used & functions.keys()) - found - without
    return found


def _with_places(text: str, places: dict[str, int]) -> str:
    """Let every call of a function call what the table has in its place."""

    def place(found: re.Match[str]) -> str:
        name, bracket, _ = found[0].partition("(")
        if name not in places:
            return found[0]
        assert bracket, f"{name} is a function, which can only be called, and no variable has its name"
        return f"F[{places[name]}]("

    return _NAME.sub(place, text)


def _table(parts: list[list[str]]) -> Iterator[str]:
    """Make the table, with room for all: a look-up that finds nothing makes the group to which the place belongs."""
    at_once, *groups = parts
    yield "F = {"
    yield ",\n".join([*at_once, *["nil"] * sum(map(len, groups))])
    yield "}"
    if groups:
        yield "setmetatable(F, {__index = function(F, at)"
    place = len(at_once) + 1
    for group in groups:
        yield f"if at >= {place} and at < {place + len(group)} then"
        yield from (f"F[{at}] = {made}" for at, made in enumerate(group, place))
        yield "end"
        place += len(group)
    if groups:
        yield "return F[at]"
        yield "end})"
