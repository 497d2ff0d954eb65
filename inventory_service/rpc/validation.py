"""Check the fields of a request one by one, so that every bad one is named and none is named twice."""

import re
from collections.abc import Mapping, Sequence
from itertools import islice

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from holdfast.inventory.v1 import error_reason_pb2 as reasons
from holdfast.inventory.v1.reservation_pb2 import Line as LineProto
from holdfast.inventory.v1.sale_pb2 import Item as ItemProto

from inventory_service.domain.reservation import Line
from inventory_service.domain.results import Failure
from inventory_service.rpc.status import CallFailed, Violation

LEAST_QUANTITY, MOST_QUANTITY = 1, 1000
MOST_LINES = 20
MOST_ITEMS = 1000
MOST_UNITS = 10**12
MOST_LOOKED_AT = 1000  # elements of one list: a longer one is refused for its length, and the loop must not stall
LONGEST_DURATION_S = 315_576_000_000  # what google.protobuf.Duration may say
LATEST_MOMENT_S = 253_402_300_799  # the last second of the year 9999
NANOS = 1_000_000_000

is_id = re.compile(r"[A-Za-z0-9._:-]{1,64}").fullmatch


def reject_unknown_fields(request: Message) -> None:
    """End a call that changes something if it asks for more than this server knows, at any depth."""
    size = request.ByteSize()
    request.DiscardUnknownFields()
    if request.ByteSize() != size:
        raise CallFailed(Failure(reasons.ERROR_REASON_UNKNOWN_FIELD))


def fail_unimplemented(field: str) -> None:
    """End a call with a field that is known and does nothing yet."""
    raise CallFailed(Failure(reasons.ERROR_REASON_NOT_BUILT, {"field": field}))


class Validator:
    """Collects what is wrong with one request; `raise_if_invalid` ends the call if anything is."""

    def __init__(self) -> None:
        self._bad: dict[str, str] = {}

    def add_violation(self, field: str, description: str) -> None:
        self._bad.setdefault(field, description)

    def raise_if_invalid(self) -> None:
        if self._bad:
            violations = [Violation(field, description) for field, description in self._bad.items()]
            raise CallFailed(Failure(reasons.ERROR_REASON_FIELD_OUT_OF_BOUNDS), violations)

    def id(self, field: str, value: str) -> None:
        if not is_id(value):
            self.add_violation(field, "must be 1 to 64 characters of letters, digits and . _ : -")

    def ids(self, request: Message, *names: str) -> None:
        for name in names:
            self.id(name, getattr(request, name))

    def text(self, field: str, value: str, least: int, most: int) -> None:
        """Text for people. The ledger cannot store the character U+0000, so it is no text here either."""
        if not least <= len(value) <= most:
            self.add_violation(
                field, f"must be {least} to {most} characters" if least else f"must be at most {most} characters"
            )
        elif "\0" in value:
            self.add_violation(field, "must not contain the character U+0000")

    def number(self, field: str, value: int, least: int, most: int) -> None:
        if not least <= value <= most:
            self.add_violation(field, f"must be {least} to {most}")

    def duration_ms(self, field: str, value: Duration, least_ms: int, zero_allowed: bool = False) -> int:
        """Whole milliseconds; the rest is cut off, so that nothing lives longer than asked."""
        if not (0 <= value.seconds <= LONGEST_DURATION_S and 0 <= value.nanos < NANOS):
            self.add_violation(field, "must be a duration that is not negative, with 0 to 999999999 nanos")
            return least_ms
        if zero_allowed and value.seconds == value.nanos == 0:
            return 0
        milliseconds = value.seconds * 1000 + value.nanos // 1_000_000
        if milliseconds < least_ms:
            self.add_violation(field, f"must be {'zero or ' * zero_allowed}at least {least_ms} ms")
        return milliseconds

    def moment_ms(self, field: str, value: Timestamp) -> int:
        """Milliseconds since 1970, finer parts cut off."""
        if not (0 <= value.seconds <= LATEST_MOMENT_S and 0 <= value.nanos < NANOS):
            self.add_violation(field, "must be a moment from 1970 to 9999, with 0 to 999999999 nanos")
        return value.seconds * 1000 + value.nanos // 1_000_000

    def lines(self, lines: Sequence[LineProto]) -> tuple[Line, ...]:
        """Lines to reserve: sorted by SKU, equal SKUs summed."""
        if not 1 <= len(lines) <= MOST_LINES:
            self.add_violation("lines", f"must be 1 to {MOST_LINES} lines")
        sums: dict[str, int] = {}
        for index, line in enumerate(islice(lines, MOST_LOOKED_AT)):
            self.id(f"lines[{index}].sku", line.sku)
            self.number(f"lines[{index}].quantity", line.quantity, LEAST_QUANTITY, MOST_QUANTITY)
            before = sums.get(line.sku, 0)
            sums[line.sku] = before + line.quantity
            if before <= MOST_QUANTITY < sums[line.sku] and line.quantity <= MOST_QUANTITY:
                self.add_violation(
                    f"lines[{index}].quantity", f"takes the lines of its SKU above {MOST_QUANTITY} in sum"
                )
        return sorted_lines(sums)

    def items(self, items: Sequence[ItemProto]) -> tuple[Line, ...]:
        """Items of a new sale: sorted by SKU, each SKU once."""
        if not 1 <= len(items) <= MOST_ITEMS:
            self.add_violation("sale.items", f"must be 1 to {MOST_ITEMS} items")
        totals: dict[str, int] = {}
        for index, item in enumerate(islice(items, MOST_LOOKED_AT)):
            self.id(f"sale.items[{index}].sku", item.sku)
            self.number(f"sale.items[{index}].total", item.total, 0, MOST_UNITS)
            if item.sku in totals and is_id(item.sku):
                self.add_violation(f"sale.items[{index}].sku", "must be unique within the sale")
            totals[item.sku] = item.total
        return sorted_lines(totals)


def sorted_lines(quantities: Mapping[str, int]) -> tuple[Line, ...]:
    """Lines in the one order in which equal bodies look equal."""
    return tuple(Line(sku, quantity) for sku, quantity in sorted(quantities.items()))
