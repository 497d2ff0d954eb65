"""Moves of reservations that have left Redis: the table of moves as a pure function."""

import pytest
from holdfast.inventory.v1.error_reason_pb2 import ErrorReason

from inventory_service.domain.archive import move_archived
from inventory_service.domain.keys import Position, SaleKey
from inventory_service.domain.moves import Move, MoveKind
from inventory_service.domain.reservation import Reservation, Units
from inventory_service.domain.results import Failure, Granted

SALE = SaleKey("default", "lamp-sale")
HELD, CONFIRMED, RELEASED, EXPIRED, COMPENSATED, RETURNED = range(1, 7)
CONFIRM = Move(SALE, "r-1", MoveKind.CONFIRM)
RELEASE = Move(SALE, "r-1", MoveKind.RELEASE)
SPEND = Move(SALE, "r-1", MoveKind.SPEND)


def reservation(state: int, expire_ms: int = 0, seq: int = 5) -> Reservation:
    """A reservation in a state, after two changes."""
    where = Position(0, 1, seq, 0)
    return Reservation(SALE, "r-1", "b-1", (Units("lamp", 1, 0, 0),), state, 2, 1, 2, expire_ms, where, where, 1, 0, "")


@pytest.mark.parametrize(
    ("request_", "state", "outcome"),
    [
        (CONFIRM, CONFIRMED, "R"),
        (CONFIRM, RELEASED, "FP"),
        (CONFIRM, EXPIRED, "FP"),
        (CONFIRM, COMPENSATED, "FP"),
        (CONFIRM, RETURNED, "FP"),
        (RELEASE, CONFIRMED, "FP"),
        (RELEASE, RELEASED, "R"),
        (RELEASE, EXPIRED, "R"),
        (RELEASE, COMPENSATED, "R"),
        (RELEASE, RETURNED, "R"),
        (SPEND, CONFIRMED, "FP"),
        (SPEND, RELEASED, "R"),
        (SPEND, RETURNED, "R"),
    ],
)
def test_a_move_of_an_archived_reservation_has_the_outcome_of_the_table(
    request_: Move, state: int, outcome: str
) -> None:
    """The result is the same as that of Redis."""
    found = reservation(state)

    answer = move_archived(request_, found, read_time_ms=9)

    if outcome == "R":
        assert answer == Granted(found, replayed=True, read_time_ms=9)
    else:
        assert isinstance(answer, Failure)
        assert answer.reason == ErrorReason.ERROR_REASON_WRONG_RESERVATION_STATE
        assert answer.reservation == found


@pytest.mark.parametrize("request_", [CONFIRM, RELEASE, SPEND])
def test_a_held_reservation_cannot_have_left_redis(request_: Move) -> None:
    """It was made after Redis was asked, so Redis must be asked again."""
    assert move_archived(request_, reservation(HELD), read_time_ms=9) is None
