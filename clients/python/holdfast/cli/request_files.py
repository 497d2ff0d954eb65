"""Reads requests of `reserve` from a file: JSON, an object a line, or CSV; all of them before any is sent."""

import csv
import io
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import typer
from google.protobuf.json_format import ParseDict, ParseError

from holdfast.cli.fail import fail
from holdfast.cli.input_files import name_of, text_of
from holdfast.cli.parsing import duration, units
from holdfast.inventory.v1.inventory_service_pb2 import ReserveRequest
from holdfast.messages import reserve_request

REQUIRED = ("sale_id", "reservation_id", "buyer_id", "lines")
COLUMNS = (*REQUIRED, "hold_ttl", "reference")


class NumberedRequest(NamedTuple):
    """A request, and the line of the file in which it stands."""

    line: int
    request: ReserveRequest


def read_requests(file: str, sale_id: str) -> list[NumberedRequest]:
    """All requests of a file; those that name no sale are of `sale_id`. A line that cannot be read ends the command."""
    text = text_of(file)
    if text.lstrip().startswith("["):
        fail(f"{name_of(file)}: is a JSON array; write an object a line")
    rows, to_request = (_json_rows, _from_json) if text.lstrip().startswith("{") else (_csv_rows, _from_csv)
    try:
        found = [
            NumberedRequest(line, _request(f"{name_of(file)}, line {line}", row, to_request, sale_id))
            for line, row in rows(text)
        ]
    except csv.Error as error:
        fail(f"{name_of(file)}: the CSV is malformed: {error}")
    return found or fail(f"{name_of(file)}: has no requests")


def _request(where: str, row: Any, to_request: Callable[[Any], ReserveRequest], sale_id: str) -> ReserveRequest:
    try:
        request = to_request(row)
    except typer.BadParameter as error:
        fail(f"{where}: {error.message}")
    except (ValueError, ParseError) as error:
        fail(f"{where}: {' '.join(str(error).split())}")
    request.sale_id = request.sale_id or sale_id
    if missing := [field for field in REQUIRED if not getattr(request, field)]:
        fail(f"{where}: has no {' and no '.join(missing)}")
    return request


def _json_rows(text: str) -> Iterator[tuple[int, str]]:
    return ((line, row) for line, row in enumerate(text.split("\n"), start=1) if row.strip())


def _from_json(row: str) -> ReserveRequest:
    """An object in the proto's own JSON form, fields by either of their names."""
    fields = json.loads(row)
    if not isinstance(fields, dict):
        raise ValueError("is no JSON object")
    return ParseDict(fields, ReserveRequest())


def _csv_rows(text: str) -> Iterator[tuple[int, Mapping[str | None, Any]]]:
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    if unknown := [column for column in reader.fieldnames or () if column not in COLUMNS]:
        raise csv.Error(f"it has a column {unknown[0]!r}; its first line names columns of {', '.join(COLUMNS)}")
    for row in reader:
        yield reader.line_num, row


def _from_csv(row: Mapping[str | None, Any]) -> ReserveRequest:
    if None in row:
        raise ValueError("has more cells than there are columns")
    cells = {column: (row.get(column) or "").strip() for column in COLUMNS}
    return reserve_request(
        cells["sale_id"],
        cells["reservation_id"],
        cells["buyer_id"],
        units(cells["lines"].split()),
        hold_ttl=duration(cells["hold_ttl"]) if cells["hold_ttl"] else None,
        reference=cells["reference"],
    )
