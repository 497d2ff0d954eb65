"""Reads a file that describes sales: all of it, and every error in it, before anything is sent."""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, NamedTuple, NoReturn

from holdfast.calls.sales import SaleSettings
from holdfast.cli.fail import fail
from holdfast.cli.input_files import name_of, text_of
from holdfast.cli.parsing import duration
from holdfast.cli.terminal import messages, printable
from holdfast.cli.yaml_nodes import (
    INTEGER,
    NULL,
    Entry,
    Problems,
    elements_of,
    fields_of,
    is_null,
    parse,
    shown,
    value_of,
)

MOST_BYTES = 4 << 20
MOST_SHOWN = 50  # errors
MOST_ITEMS = 1000
ID = re.compile(r"[A-Za-z0-9._:-]{1,64}")
MILLISECOND = timedelta(milliseconds=1)
WHOLE_NUMBER = re.compile(r"0|[1-9][0-9]{0,18}")


class State(StrEnum):
    """What a sale is to do, as far as an operator decides it."""

    OPEN = "open"
    PAUSED = "paused"
    CLOSED = "closed"


class WantedItem(NamedTuple):
    """An item; what is None is left open by the file."""

    sku: str
    total: int | None
    buyer_limit: int | None


class WantedSale(NamedTuple):
    """A sale as the file describes it. It has the settings that are given; None is one that is given as null."""

    sale_id: str
    settings: SaleSettings
    items: Mapping[str, WantedItem]
    state: State | None


def read_sales(file: str, *, as_json: bool) -> list[WantedSale]:
    """All sales of a file. If anything is wrong with it every error is printed, and the command ends."""
    problems = Problems()
    sales = _sales(text_of(file, MOST_BYTES), problems)
    if problems:
        _fail(name_of(file), problems.lines(), as_json)
    return sales


def _fail(name: str, lines: list[str], as_json: bool) -> NoReturn:
    if as_json:
        fail(f"{name}: nothing was sent: {'; '.join(lines[:MOST_SHOWN])}")
    for line in lines[:MOST_SHOWN]:
        messages.print(printable(f"{name}, {line}"))
    count = "an error" if len(lines) == 1 else f"{len(lines)} errors"
    more = f", of which the first {MOST_SHOWN} are shown" if len(lines) > MOST_SHOWN else ""
    fail(f"{name}: has {count}{more}; nothing was sent")


def _sales(text: str, problems: Problems) -> list[WantedSale]:
    document = parse(text, problems)
    if document is None:
        if not problems:
            problems.add(1, "the file is empty; it must have sales")
        return []
    found: dict[str, WantedSale] = {}
    top = fields_of(document, ("sales",), ("sales",), problems)
    for entry in elements_of(top["sales"], "the sale", problems) if "sales" in top else ():
        sale = _sale(entry, problems)
        if sale.sale_id in found:
            problems.add(entry.line, f"sale {sale.sale_id} is described twice")
        if sale.sale_id:
            found[sale.sale_id] = sale
    return list(found.values())


def _sale(entry: Entry, problems: Problems) -> WantedSale:
    fields = fields_of(entry, ("sale_id", *SETTINGS, "items", "state"), ("sale_id",), problems)
    sale_id = value_of(fields["sale_id"], _id, problems) if "sale_id" in fields else None
    settings: dict[str, Any] = {
        name: None if is_null(fields[name]) else value_of(fields[name], read, problems)
        for name, read in SETTINGS.items()
        if name in fields
    }
    _check_together(settings, fields, problems)
    state = value_of(fields["state"], _state, problems) if "state" in fields else None
    items = _items(fields["items"], problems) if "items" in fields else {}
    return WantedSale(sale_id or "", SaleSettings(**settings), items, state)  # type: ignore[typeddict-item]


def _check_together(settings: Mapping[str, Any], fields: Mapping[str, Entry], problems: Problems) -> None:
    start, end, hold, longest = (settings.get(name) for name in ("start_time", "end_time", "hold_ttl", "max_hold_ttl"))
    if start is not None and end is not None and end <= start:
        problems.add(fields["end_time"].line, "end_time: must be after start_time")
    if hold is not None and longest is not None and longest < hold:
        problems.add(fields["max_hold_ttl"].line, "max_hold_ttl: must be at least hold_ttl")


def _items(entry: Entry, problems: Problems) -> dict[str, WantedItem]:
    found: dict[str, WantedItem] = {}
    for element in elements_of(entry, "the item", problems):
        fields = fields_of(element, ("sku", "total", "buyer_limit"), ("sku",), problems)
        sku = value_of(fields["sku"], _id, problems) if "sku" in fields else None
        total = value_of(fields["total"], number(10**12), problems) if "total" in fields else None
        limit = value_of(fields["buyer_limit"], number(2**53), problems) if "buyer_limit" in fields else None
        item = WantedItem(sku or "", total, limit)
        if item.sku in found:
            problems.add(element.line, f"item {item.sku} is described twice")
        if item.sku:
            found[item.sku] = item
    if len(found) > MOST_ITEMS:
        problems.add(entry.line, f"items: has {len(found):,}, and a sale at most {MOST_ITEMS:,}")
    return found


def _id(node: Any) -> str:
    text = str(node.value)
    if node.tag == NULL or not ID.fullmatch(text):
        raise ValueError(f"{shown(node)} is no id: it must be 1 to 64 characters of letters, digits and . _ : -")
    return text


def _title(node: Any) -> str:
    text = str(node.value)
    if len(text) > 200 or "\0" in text:
        raise ValueError("must be at most 200 characters, without U+0000")
    return text


def _state(node: Any) -> State:
    try:
        return State(node.value)
    except ValueError:
        raise ValueError(f"{shown(node)} is no state; it is one of {', '.join(State)}") from None


def _moment(node: Any) -> datetime:
    """A moment of RFC 3339, cut to milliseconds as a server does. Without a zone it would be another one elsewhere."""
    try:
        time = datetime.fromisoformat(node.value)
        if time.tzinfo is None:
            raise ValueError
        time = time.astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError(
            f"{shown(node)} is no moment with its zone; write it as 2026-11-27T10:00:00Z or 2026-11-27T10:00:00+01:00"
        ) from None
    if time.year < 1970:
        raise ValueError("must be from 1970 to 9999")
    return time.replace(microsecond=time.microsecond // 1000 * 1000)


def number(most: int) -> Callable[[Any], int]:
    """What reads a whole number from 0 to `most`; one in quotes is a text."""

    def read(node: Any) -> int:
        if node.tag != INTEGER or not WHOLE_NUMBER.fullmatch(node.value) or int(node.value) > most:
            raise ValueError(f"{shown(node)} is no whole number from 0 to {most}")
        return int(node.value)

    return read


def length(most: str) -> Callable[[Any], timedelta]:
    """What reads a duration up to `most`, cut to milliseconds."""

    def read(node: Any) -> timedelta:
        found = duration(str(node.value))
        if found > duration(most):
            raise ValueError(f"{shown(node)} is longer than {most}")
        if timedelta(0) < found < MILLISECOND:
            raise ValueError(f"{shown(node)} is shorter than 1ms, and only 0 is none at all")
        return found - found % MILLISECOND

    return read


SETTINGS: Mapping[str, Callable[[Any], Any]] = {
    "title": _title,
    "start_time": _moment,
    "end_time": _moment,
    "hold_ttl": length("24h"),
    "max_hold_ttl": length("24h"),
    "buyer_limit": number(2**53),
    "attempts_per_minute": number(600),
    "return_window": length("90d"),
}
