"""Which functions of a script a call makes: none that the script cannot reach, rare ones when one of them is called.

To Lua a function is a value, which each call of a script makes anew: a thousand instructions and more for each.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence

_LATER = re.compile(r"^Later +([a-z_ ]+(?:\n +[a-z_ ]+)*)", re.MULTILINE)
_FUNCTION = re.compile(r"^local function (\w+)\(.*?^end$", re.MULTILINE | re.DOTALL)  # one at the beginning of a line
_NAME = re.compile(r"--\[\[.*?\]\]|--[^\n]*|'[^'\n]*'|(?<![.\w])[a-z_]\w*\b\(?", re.DOTALL)  # or a comment or a string


def with_needed_functions(text: str) -> str:
    """Leave out the functions that nothing calls, and make each group that a header names as `Later` when it is needed.

    What only the functions of one group reach is made with them: by `make_later_1`, in the place of the last of them.
    """
    groups = [names.split() for names in _LATER.findall(text)]
    later = {name: f"make_later_{number}" for number, names in enumerate(groups, 1) for name in names}
    functions = {found[1]: found[0] for found in _FUNCTION.finditer(text)}
    assert functions.keys() >= later.keys(), f"no function: {later.keys() - functions.keys()}"
    reached = [_reachable(functions, names, set(later) - set(names)) for names in groups]
    users = Counter(name for names in reached for name in names)
    shared = {name for name, number in users.items() if number > 1}
    at_once = _reachable(functions, names_in(_FUNCTION.sub("", text)) | shared, set(later))
    groups = [[name for name in functions if name in names - at_once] for names in reached]
    makers = {names[-1]: _maker(f"make_later_{at}", names, functions, later) for at, names in enumerate(groups, 1)}

    def place(found: re.Match[str]) -> str:
        return _guarded(found[0], later) if found[1] in at_once else makers.get(found[1], "")

    if not later:
        return _FUNCTION.sub(place, text)
    between = _FUNCTION.split(text)[::2]
    placed = [place(found) for found in _FUNCTION.finditer(text)]
    first, _, rest = _guarded(between[0], later).partition("\n")
    others = [_guarded(part, later) for part in between[1:]]
    variables = ", ".join(sorted({*later, *later.values()}))
    return f"{first}\nlocal {variables}\n{rest}" + "".join(a + b for a, b in zip(placed, others, strict=True))


def names_in(text: str) -> set[str]:
    """The names that a piece of a script uses, but for those of fields."""
    return {name.removesuffix("(") for name in _NAME.findall(text)}


def _reachable(functions: dict[str, str], names: Iterable[str], without: set[str]) -> set[str]:
    """The functions that these names reach, themselves too, but not by way of some of them."""
    found: set[str] = set()
    ahead = (set(names) & functions.keys()) - without
    while ahead:
        found |= ahead
        used = set().union(*(names_in(functions[name]) for name in ahead))
        ahead = (used & functions.keys()) - found - without
    return found


def _guarded(text: str, later: dict[str, str]) -> str:
    """Let every call of these functions make them, if they were not made yet."""

    def guard(found: re.Match[str]) -> str:
        name, before = found[0].removesuffix("("), text[: found.start()]
        if name not in later or before.endswith("function "):
            return found[0]
        assert found[0] != name, f"{name} is made later, and can only be called"
        begins_line = not before.rpartition("\n")[2].strip()
        # where a line begins, a bracket would go on with the line before
        return f"{'do end ' if begins_line else ''}({name} or {later[name]}() or {name})("

    return _NAME.sub(guard, text)


def _maker(maker: str, names: Sequence[str], functions: dict[str, str], later: dict[str, str]) -> str:
    """The function that makes a group; those that are called from outside are variables of the script."""
    made = (_guarded(functions[name], later) for name in names)
    texts = (text.removeprefix("local ") if name in later else text for name, text in zip(names, made, strict=True))
    return "\n".join([f"function {maker}()", *texts, "end"])
