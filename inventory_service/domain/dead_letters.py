"""Dead letters, as operators see them: orders that the ledger refused for good, their ids, and what may be replayed."""

import re
from typing import Final, NamedTuple

from holdfast.inventory.v1.error_reason_pb2 import (
    ERROR_REASON_DEAD_LETTER_NOT_FOUND,
    ERROR_REASON_WRONG_DEAD_LETTER_STATE,
)
from holdfast.inventory.v1.inventory_admin_service_pb2 import (
    DEAD_LETTER_STATE_REPLAYED,
    DEAD_LETTER_STATE_SETTLED,
    DeadLetterState,
)
from holdfast.inventory.v1.reservation_pb2 import ReservationState
from holdfast.inventory.v1.sale_pb2 import SALE_STATE_ARCHIVED

from inventory_service.domain.keys import Position, SaleKey
from inventory_service.domain.reservation import RELEASED, RETURNED, Line
from inventory_service.domain.reserve import Replay, Reserve
from inventory_service.domain.results import Failure, wrong_sale_state

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
    position: Position  # of the refused change
    create_time_ms: int  # when it was refused
    state: int  # a DeadLetterState
    replayed_as: str  # the new reservation, once it is REPLAYED; else ''
    reservation_state: int  # HELD or CONFIRMED while its units are out, then what ended it
    sold: tuple[Line, ...]  # what it owned when its compensation came; sorted by SKU; empty if it was not sold


class DeadLetterRead(NamedTuple):
    """A dead letter, and what only its replay needs."""

    letter: DeadLetter
    reference: str  # of the order; '': it had none
    sale_has_left: bool  # its sale has left Redis


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


def is_replayed_as(letter: DeadLetter, reservation_id: str) -> bool:
    """Whether a replay under this id was begun, and perhaps not finished."""
    return letter.state == DEAD_LETTER_STATE_REPLAYED and letter.replayed_as == reservation_id


def judge_dead_letter(found: DeadLetterRead) -> Failure | None:
    """What keeps a replay from beginning: an order that its caller ended is not reserved anew. None: it may begin."""
    letter = found.letter
    ended_by_caller = letter.reservation_state in (RELEASED, RETURNED)
    if letter.state != DEAD_LETTER_STATE_SETTLED or not letter.lines or ended_by_caller:
        return _wrong_dead_letter_state(letter)
    return wrong_sale_state(SALE_STATE_ARCHIVED) if found.sale_has_left else None


def replay_of(found: DeadLetterRead, reservation_id: str) -> Replay:
    """What is asked of the stock: units that had been sold are sold at once, else all lines are held."""
    letter = found.letter
    lines = letter.sold or letter.lines
    claim = Reserve(letter.sale, reservation_id, letter.buyer_id, lines, None, found.reference)
    return Replay(claim, sells=bool(letter.sold))


def dead_letter_not_found(dead_letter_id: str) -> Failure:
    """The tenant has no dead letter of this id."""
    return Failure(ERROR_REASON_DEAD_LETTER_NOT_FOUND, {"dead_letter_id": dead_letter_id})


def _wrong_dead_letter_state(letter: DeadLetter) -> Failure:
    about = {
        "dead_letter_id": dead_letter_id(letter.created),
        "state": DeadLetterState.Name(DeadLetterState.ValueType(letter.state)),
        "reservation_state": ReservationState.Name(ReservationState.ValueType(letter.reservation_state)),
    }
    if letter.replayed_as:
        about["replayed_as"] = letter.replayed_as
    return Failure(ERROR_REASON_WRONG_DEAD_LETTER_STATE, about)
