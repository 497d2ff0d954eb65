"""Dead letters, as operators see them: orders that the ledger refused for good, and how each is named."""

import re
from typing import Final, NamedTuple

from inventory_service.domain.keys import Position, SaleKey
from inventory_service.domain.reservation import Line

_MAX_INTEGER, _MAX_BIGINT = 2**31 - 1, 2**63 - 1
_MOST: Final = Position(_MAX_INTEGER, _MAX_BIGINT, _MAX_BIGINT, _MAX_INTEGER)  # that the ledger's columns take
_NUMBER: Final = r"(0|[1-9][0-9]{0,18})"  # one spelling for each number, so that a dead letter has one id
_is_dead_letter_id = re.compile("-".join([_NUMBER] * 4)).fullmatch


class DeadLetter(NamedTuple):
    """An order that the ledger refused for good, and what has become of it."""

    created: Position  # where the order was made; its id
    sale: SaleKey
    reservation_id: str
    buyer_id: str
    lines: tuple[Line, ...]  # what it claimed, at the refused change or after it; sorted by SKU; empty for a spent id
    reason: int  # a CompensationReason
    detail: str  # what the ledger said
    position: Position  # where the refused change stands
    create_time_ms: int  # when it was refused
    state: int  # a DeadLetterState
    replayed_as: str  # the new reservation, once it is REPLAYED; else ''
    reservation_state: int  # HELD or CONFIRMED while its units are out, then what ended it
    sold: tuple[Line, ...]  # what it owned when its compensation came; sorted by SKU; empty if it was not sold


def dead_letter_id(created: Position) -> str:
    """The id of the dead letter of the order that was made there."""
    return "-".join(map(str, created))


def created_from(dead_letter_id: str) -> Position | None:
    """Where the order of a dead letter was made; None if no dead letter has such an id."""
    parts = _is_dead_letter_id(dead_letter_id)
    if parts is None:
        return None
    created = Position(*map(int, parts.groups()))
    is_stored = all(number <= most for number, most in zip(created, _MOST, strict=True))
    return created if is_stored else None
