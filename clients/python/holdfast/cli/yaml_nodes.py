"""Reads YAML 1.2 as nodes that know their line, and collects everything that is wrong with them."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

import typer

Value = TypeVar("Value")

TAG = "tag:yaml.org,2002:"
SCALARS = {f"{TAG}{kind}" for kind in ("str", "int", "float", "bool", "null", "timestamp")}
NULL, INTEGER = f"{TAG}null", f"{TAG}int"
LONGEST_SHOWN = 40  # characters of a value in a message


class Problems:
    """What is wrong with a file, each with its line."""

    def __init__(self) -> None:
        self._found: list[tuple[int, str]] = []

    def add(self, line: int, message: str) -> None:
        self._found.append((line, message))

    def __bool__(self) -> bool:
        return bool(self._found)

    def lines(self) -> list[str]:
        """One for each, in the order of the file."""
        return [f"line {line}: {message}" for line, message in sorted(self._found, key=lambda each: each[0])]


class Entry(NamedTuple):
    """A value, and the line and the name of what has it."""

    line: int
    name: str
    node: Any


def parse(text: str, problems: Problems) -> Entry | None:
    """The only document of a text; None if there is none, or it cannot be parsed.

    Nothing is made of a node here, and an alias would stand for as much as it pleases: there are none.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError, YAMLError

    try:
        node = YAML(typ="safe", pure=True).compose(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        problems.add(
            mark.line + 1 if mark else 1, f"this is no YAML: {', '.join(filter(None, (error.context, error.problem)))}"
        )
    except YAMLError as error:
        problems.add(1, f"this is no YAML: {str(error).partition(chr(10))[0]}")
    except RecursionError:
        problems.add(1, "this is nested too deeply")
    else:
        return None if node is None else Entry(1, "the file", node)
    return None


def fields_of(entry: Entry, known: Sequence[str], required: Sequence[str], problems: Problems) -> dict[str, Entry]:
    """The fields of a mapping; one that is unknown, doubled or missing is a problem."""
    found: dict[str, Entry] = {}
    if not _is_plain(entry, problems):
        return found
    if _kind(entry) != "map":
        problems.add(entry.line, f"{entry.name} must be a mapping of {', '.join(known)}")
        return found
    for key, value in entry.node.value:
        name, line = str(key.value), key.start_mark.line + 1
        if name not in known:
            problems.add(line, f"{_shown(name)} is no field of {entry.name}; it has {', '.join(known)}")
        elif name in found:
            problems.add(line, f"{name} is given twice")
        else:
            found[name] = Entry(line, name, value)
    for name in required:
        if name not in found:
            problems.add(entry.node.start_mark.line + 1, f"{entry.name} has no {name}")
    return found


def elements_of(entry: Entry, name: str, problems: Problems) -> Iterator[Entry]:
    """The elements of a list, each by this name; an empty list is a problem."""
    if not _is_plain(entry, problems):
        return
    if _kind(entry) != "seq" or not entry.node.value:
        problems.add(entry.line, f"{entry.name} must be a list with at least one element")
        return
    for node in entry.node.value:
        yield Entry(node.start_mark.line + 1, name, node)


def value_of(entry: Entry, read: Callable[[Any], Value], problems: Problems) -> Value | None:
    """What `read` makes of a scalar; None where it is a problem."""
    if not _is_plain(entry, problems):
        return None
    if entry.node.tag not in SCALARS:
        problems.add(entry.line, f"{entry.name} must be a single value without a tag")
        return None
    try:
        return read(entry.node)
    except (ValueError, typer.BadParameter) as error:
        problems.add(entry.line, f"{entry.name}: {getattr(error, 'message', None) or error}")
        return None


def is_null(entry: Entry) -> bool:
    """Whether it is null, or nothing at all."""
    return bool(entry.node.tag == NULL)


def shown(node: Any) -> str:
    """A scalar for a message."""
    return _shown(str(node.value))


def _shown(text: str) -> str:
    return repr(text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}...")


def _kind(entry: Entry) -> str:
    return str(entry.node.tag).removeprefix(TAG)


def _is_plain(entry: Entry, problems: Problems) -> bool:
    """Whether it has no anchor, to which an alias elsewhere would refer."""
    if entry.node.anchor is not None:
        problems.add(entry.node.start_mark.line + 1, f"{entry.name} has an anchor; anchors and aliases are not taken")
    return entry.node.anchor is None
