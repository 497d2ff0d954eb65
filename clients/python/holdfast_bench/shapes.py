"""The shape of a load, from a TOML file: what is on sale, what a call asks for, and when calls are sent."""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, TypeVar

FOLDER = Path(__file__).with_name("shapes")
MOST_ITEMS, MOST_LINES, MOST_QUANTITY, MOST_UNITS = 1000, 20, 1000, 10**12  # as a server has them
CONNECTIONS = 10  # over which callers are shared out evenly
MOST_SALES, MOST_RATE, MOST_CALLERS, MOST_SECONDS = 10_000, 100_000, 10_000, 3600
Part = TypeVar("Part", "Sales", "Request", "Stretch")


class BadShape(ValueError):
    """A file is no shape; the message says where and why."""


@dataclass(frozen=True)
class Sales:
    """What is on sale."""

    count: int = 1  # sales
    items: int = 1  # of each sale
    units: int = 10_000_000  # of each item


@dataclass(frozen=True)
class Request:
    """What one call asks for."""

    lines: int = 1  # each of another item
    quantity: int = 1  # units of each


@dataclass(frozen=True)
class Stretch:
    """Calls for some time: at a rate, whether or not they are answered, or by callers that wait for each answer."""

    seconds: float = 0.0
    after_s: float = 0.0  # since the shape's beginning
    callers: int = 0
    rate: float = 0.0  # calls a second
    to_rate: float = 0.0  # to which it changes each second, from the first to the end; 0: it stays


@dataclass(frozen=True)
class Shape:
    """A load on a server."""

    name: str
    title: str
    summary: str
    sales: Sales
    request: Request
    stretches: Sequence[Stretch]

    @property
    def seconds(self) -> float:
        """How long it takes."""
        return max(stretch.after_s + stretch.seconds for stretch in self.stretches)

    def scaled(self, load: float = 1.0, seconds: float | None = None) -> "Shape":
        """The same with `load` times the callers and rates, and in so many seconds in all."""
        slower = 1.0 if seconds is None else seconds / self.seconds
        return replace(self, stretches=[_scaled(stretch, load, slower) for stretch in self.stretches])


def _scaled(stretch: Stretch, load: float, slower: float) -> Stretch:
    return Stretch(
        seconds=stretch.seconds * slower,
        after_s=stretch.after_s * slower,
        callers=_evenly_shared(stretch.callers * load) if stretch.callers else 0,
        rate=max(1.0, stretch.rate * load) if stretch.rate else 0.0,
        to_rate=max(1.0, stretch.to_rate * load) if stretch.to_rate else 0.0,
    )


def _evenly_shared(callers: float) -> int:
    """The nearest number of callers of which each connection has as many as the others."""
    return max(1, round(callers)) if callers < CONNECTIONS else round(callers / CONNECTIONS) * CONNECTIONS


def all_shapes() -> list[Shape]:
    """Those that come with Holdfast, by name."""
    return [read_shape(file) for file in sorted(FOLDER.glob("*.toml"))]


def find_shape(name_or_file: str) -> Shape:
    """A shape that comes with Holdfast, or that of a file; BadShape if it is neither."""
    known = {file.stem: file for file in sorted(FOLDER.glob("*.toml"))}
    file = known.get(name_or_file, Path(name_or_file))
    if not file.is_file():
        raise BadShape(f"{name_or_file}: is neither a file nor a shape; there are {', '.join(known)}")
    return read_shape(file)


def read_shape(file: Path) -> Shape:
    """The shape of a file; BadShape if it is none."""
    try:
        return shape_from(file.stem, tomllib.loads(file.read_text()))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, BadShape) as error:
        raise BadShape(f"{file}: {error}") from None


def shape_from(name: str, table: Mapping[str, Any]) -> Shape:
    """A shape from its table; BadShape if it is none."""
    _check_keys("the file", table, ["title", "summary", "sales", "request", "load"])
    loads = table.get("load")
    if not isinstance(loads, list) or not loads:
        raise BadShape("[[load]] must be there at least once")
    shape = Shape(
        name,
        _text(table, "title"),
        _text(table, "summary"),
        _part(Sales, "[sales]", table.get("sales", {})),
        _part(Request, "[request]", table.get("request", {})),
        [_part(Stretch, f"[[load]] {number}", load) for number, load in enumerate(loads, 1)],
    )
    _check(shape)
    return shape


BOUNDS: Mapping[str, tuple[float, float]] = {
    "count": (1, MOST_SALES),
    "items": (1, MOST_ITEMS),
    "units": (1, MOST_UNITS),
    "lines": (1, MOST_LINES),
    "quantity": (1, MOST_QUANTITY),
    "seconds": (0.1, MOST_SECONDS),
    "after_s": (0, MOST_SECONDS),
    "callers": (1, MOST_CALLERS),
    "rate": (1, MOST_RATE),
    "to_rate": (1, MOST_RATE),
}


def _part(kind: type[Part], where: str, table: object) -> Part:
    if not isinstance(table, Mapping):
        raise BadShape(f"{where} must be a table")
    kinds = {field.name: type(field.default) for field in fields(kind)}
    _check_keys(where, table, list(kinds))
    return kind(**{key: _number(where, key, value, kinds[key], *BOUNDS[key]) for key, value in table.items()})


def _number(where: str, key: str, value: object, kind: type, least: float, most: float) -> Any:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or (kind is int and not isinstance(value, int)):
        raise BadShape(f"{where}: {key} must be a {'whole number' if kind is int else 'number'}, and is {value!r}")
    assert isinstance(value, int | float)
    if not least <= value <= most:
        raise BadShape(f"{where}: {key} must be {least:g} to {most:,}, and is {value:g}")
    return kind(value)


def _text(table: Mapping[str, Any], key: str) -> str:
    value = table.get(key)
    if not isinstance(value, str) or not value:
        raise BadShape(f"the file: {key} must be a text")
    return value


def _check_keys(where: str, table: Mapping[str, object], known: Sequence[str]) -> None:
    if unknown := sorted(set(table) - set(known)):
        raise BadShape(f"{where}: {unknown[0]} is unknown; there are {', '.join(known)}")


def _check(shape: Shape) -> None:
    """What no field says alone."""
    if shape.request.lines > shape.sales.items:
        raise BadShape(f"[request]: {shape.request.lines} lines need as many items, and a sale has {shape.sales.items}")
    for number, stretch in enumerate(shape.stretches, 1):
        if not stretch.seconds:
            raise BadShape(f"[[load]] {number}: seconds must be given")
        if bool(stretch.callers) == bool(stretch.rate):
            raise BadShape(f"[[load]] {number}: either callers or rate must be given")
        if stretch.callers > CONNECTIONS and stretch.callers % CONNECTIONS:
            raise BadShape(f"[[load]] {number}: callers above {CONNECTIONS} must be a multiple of it: its connections")
        if stretch.to_rate and not stretch.rate:
            raise BadShape(f"[[load]] {number}: to_rate needs rate")
