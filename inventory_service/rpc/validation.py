"""Validates the fields of a request one by one: every bad field is reported, each once."""

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
from inventory_service.domain.sale import NewItem
from inventory_service.rpc.status import CallFailed, Violation

MIN_QUANTITY, MAX_QUANTITY = 1, 1000
MAX_LINES = 20
MAX_ITEMS = 1000
MAX_UNITS = 10**12
MAX_BUYER_LIMIT = 2**53  # Lua's numbers are exact up to here
MAX_TEXT = 256
MIN_HOLD_TTL_MS = 1000
MAX_HOLD_TTL_MS = 10**13  # three centuries; Lua writes numbers from 10^14 on in another form
MAX_CHECKED = 1000  # elements of one list: a longer one is rejected for its length, and the event loop must not stall
MAX_DURATION_S = 315_576_000_000  # the bound of google.protobuf.Duration
MAX_TIMESTAMP_S = 253_402_300_799  # the last second of the year 9999
NANOS = 1_000_000_000

is_id = re.compile(r"[A-Za-z0-9._:-]{1,64}").fullmatch


def reject_unknown_fields(request: Message) -> None:
    """Fail a call that changes something if it has a field that this server does not know, at any depth."""
    size = request.ByteSize()
    request.DiscardUnknownFields()
    if request.ByteSize() != size:
        raise CallFailed(Failure(reasons.ERROR_REASON_UNKNOWN_FIELD))


class Validator:
    """Collects the violations of one request; `raise_if_invalid` fails the call if there is any."""

    def __init__(self) -> None:
        self._violations: dict[str, str] = {}

    def add_violation(self, field: str, description: str) -> None:
        self._violations.setdefault(field, description)

    def raise_if_invalid(self) -> None:
        if self._violations:
            violations = [Violation(field, description) for field, description in self._violations.items()]
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

    def revision(self, value: int) -> None:
        if value < 1:
            self.add_violation("expected_revision", "must be at least 1")

    def duration_ms(self, field: str, value: Duration, least_ms: int, zero_allowed: bool = False) -> int:
        """Whole milliseconds; the rest is cut off, so that no hold lasts longer than asked."""
        if not (0 <= value.seconds <= MAX_DURATION_S and 0 <= value.nanos < NANOS):
            self.add_violation(field, "must be a duration that is not negative, with 0 to 999999999 nanos")
            return least_ms
        if zero_allowed and value.seconds == value.nanos == 0:
            return 0
        milliseconds = value.seconds * 1000 + value.nanos // 1_000_000
        if milliseconds < least_ms:
            self.add_violation(field, f"must be {'zero or ' * zero_allowed}at least {least_ms} ms")
        return milliseconds

    def hold_ttl_ms(self, value: Duration) -> int:
        """The life of a hold, whole milliseconds; the sale's longest cuts what is beyond three centuries anyway."""
        return min(self.duration_ms("hold_ttl", value, MIN_HOLD_TTL_MS), MAX_HOLD_TTL_MS)

    def moment_ms(self, field: str, value: Timestamp) -> int:
        """Milliseconds since 1970, finer parts cut off."""
        if not (0 <= value.seconds <= MAX_TIMESTAMP_S and 0 <= value.nanos < NANOS):
            self.add_violation(field, "must be a moment from 1970 to 9999, with 0 to 999999999 nanos")
        return value.seconds * 1000 + value.nanos // 1_000_000

    def lines(self, field: str, lines: Sequence[LineProto]) -> tuple[Line, ...]:
        """Lines of a reservation: sorted by SKU, equal SKUs summed."""
        if not 1 <= len(lines) <= MAX_LINES:
            self.add_violation(field, f"must be 1 to {MAX_LINES} lines")
        sums: dict[str, int] = {}
        for index, line in enumerate(islice(lines, MAX_CHECKED)):
            self.id(f"{field}[{index}].sku", line.sku)
            self.number(f"{field}[{index}].quantity", line.quantity, MIN_QUANTITY, MAX_QUANTITY)
            before = sums.get(line.sku, 0)
            sums[line.sku] = before + line.quantity
            if before <= MAX_QUANTITY < sums[line.sku] and line.quantity <= MAX_QUANTITY:
                self.add_violation(
                    f"{field}[{index}].quantity", f"takes the lines of its SKU above {MAX_QUANTITY} in sum"
                )
        return sorted_lines(sums)

    def items(self, items: Sequence[ItemProto]) -> tuple[NewItem, ...]:
        """Items of a new sale: sorted by SKU, each SKU once."""
        if not 1 <= len(items) <= MAX_ITEMS:
            self.add_violation("sale.items", f"must be 1 to {MAX_ITEMS} items")
        made: dict[str, NewItem] = {}
        for index, item in enumerate(islice(items, MAX_CHECKED)):
            self.id(f"sale.items[{index}].sku", item.sku)
            self.number(f"sale.items[{index}].total", item.total, 0, MAX_UNITS)
            self.number(f"sale.items[{index}].buyer_limit", item.buyer_limit, 0, MAX_BUYER_LIMIT)
            if item.sku in made and is_id(item.sku):
                self.add_violation(f"sale.items[{index}].sku", "must be unique within the sale")
            made[item.sku] = NewItem(item.sku, item.total, item.buyer_limit)
        return tuple(made[sku] for sku in sorted(made))


def sorted_lines(quantities: Mapping[str, int]) -> tuple[Line, ...]:
    """Lines sorted by SKU, so that equal requests have equal fingerprints."""
    return tuple(Line(sku, quantity) for sku, quantity in sorted(quantities.items()))
