"""The table of moves as a pure function, for the states that Redis no longer has, and the words of the rule."""

import pytest
from holdfast.inventory.v1.error_reason_pb2 import ErrorReason
from holdfast.inventory.v1.reservation_pb2 import LedgerState
from holdfast.inventory.v1.sale_pb2 import SaleState

from inventory_service.domain.archive import move_archived
from inventory_service.domain.fingerprints import sale_fingerprint, terms_of
from inventory_service.domain.keys import Position, SaleKey, shard_of
from inventory_service.domain.moves import Move, MoveKind
from inventory_service.domain.reservation import Line, Reservation, effective, ledger_state
from inventory_service.domain.reserve import Reserve, fingerprint_of
from inventory_service.domain.results import Failure, Granted
from inventory_service.domain.sale import CreateSale, sale_state

SALE = SaleKey("default", "lamp-sale")
HELD, CONFIRMED, RELEASED, EXPIRED, COMPENSATED, RETURNED = range(1, 7)
CONFIRM = Move(SALE, "r-1", MoveKind.CONFIRM)
RELEASE = Move(SALE, "r-1", MoveKind.RELEASE)
SPEND = Move(SALE, "r-1", MoveKind.SPEND)
RESERVE = Reserve(SALE, "r-1", "b-1", (Line("lamp", 2), Line("shade", 1)), None)
LAMPS = CreateSale(SALE, "Lamps", None, None, 1000, 1000, 0, (Line("lamp", 1),))


def reservation(state: int, expire_ms: int = 0, seq: int = 5) -> Reservation:
    """A reservation in a state, which two commits have told of."""
    where = Position(0, 1, seq, 0)
    return Reservation(SALE, "r-1", "b-1", (Line("lamp", 1),), state, 2, 1, 2, expire_ms, where, where, 1, 0, "")


@pytest.mark.parametrize(
    ("request_", "state", "comes_to"),
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
def test_a_move_on_a_reservation_that_left_comes_to_what_the_table_says(
    request_: Move, state: int, comes_to: str
) -> None:
    """A caller cannot tell whether Redis or the ledger answered."""
    found = reservation(state)

    answer = move_archived(request_, found, read_time_ms=9)

    if comes_to == "R":
        assert answer == Granted(found, replayed=True, read_time_ms=9)
    else:
        assert isinstance(answer, Failure)
        assert answer.reason == ErrorReason.ERROR_REASON_WRONG_RESERVATION_STATE
        assert answer.reservation == found


@pytest.mark.parametrize("request_", [CONFIRM, RELEASE, SPEND])
def test_a_hold_has_not_left(request_: Move) -> None:
    """The ledger may learn of a Reserve between the question to Redis and that to the ledger: Redis is asked again."""
    assert move_archived(request_, reservation(HELD), read_time_ms=9) is None


def test_an_overdue_hold_is_seen_expired_and_otherwise_unchanged() -> None:
    """Swept or not."""
    hold = reservation(HELD, expire_ms=100)

    assert effective(hold, 99, (0, 0)) == hold
    assert effective(hold, 100, (0, 0)) == hold._replace(state=EXPIRED)


def test_an_older_epoch_is_settled_with_its_last_commit() -> None:
    """Positions of a shard compare as pairs: a take-over's epoch stands above all of the one before."""
    assert ledger_state(HELD, 1, 900, (2, 0)) == LedgerState.LEDGER_STATE_RECORDED
    assert ledger_state(HELD, 2, 1, (2, 0)) == LedgerState.LEDGER_STATE_PENDING
    assert ledger_state(HELD, 2, 1, (1, 900)) == LedgerState.LEDGER_STATE_PENDING
    assert ledger_state(COMPENSATED, 1, 1, (1, 900)) == LedgerState.LEDGER_STATE_REFUSED


def test_closed_comes_before_ended_and_both_before_paused() -> None:
    """The first that applies."""
    assert sale_state(0, 5, paused=True, closed=True, now_ms=9) == SaleState.SALE_STATE_CLOSED
    assert sale_state(0, 5, paused=True, closed=False, now_ms=5) == SaleState.SALE_STATE_ENDED
    assert sale_state(7, 9, paused=True, closed=False, now_ms=5) == SaleState.SALE_STATE_SCHEDULED
    assert sale_state(0, None, paused=True, closed=False, now_ms=5) == SaleState.SALE_STATE_PAUSED
    assert sale_state(0, 9, paused=False, closed=False, now_ms=5) == SaleState.SALE_STATE_OPEN


def test_a_fingerprint_says_buyer_ttl_and_lines() -> None:
    """The scripts read the lines from it, so its form is fixed: records of the last day hold it."""
    assert fingerprint_of(RESERVE) == "b-1 - lamp=2 shade=1"
    assert fingerprint_of(RESERVE._replace(hold_ttl_ms=5000)) == "b-1 5000 lamp=2 shade=1"
    assert terms_of("b-1 5000 lamp=2 shade=1") == ("b-1", RESERVE.lines)
    assert terms_of("") == ("", ())


def test_a_sales_fingerprint_tells_now_from_a_moment_and_no_end_from_an_end() -> None:
    """And has one form for one request, whenever it was stored, whatever the ledger was asked before."""
    fingerprints = {
        sale_fingerprint(LAMPS),
        sale_fingerprint(LAMPS._replace(start_time_ms=0)),
        sale_fingerprint(LAMPS._replace(end_time_ms=0)),
        sale_fingerprint(LAMPS._replace(title='Lamps", null')),
        sale_fingerprint(LAMPS._replace(items=(Line("lamp", 1), Line("shade", 0)))),
    }

    assert len(fingerprints) == 5
    assert sale_fingerprint(LAMPS) == "f3b700db124f06c8a4f62fb302cf9df33d895dfcea647d40def99eb50b386281"
    assert sale_fingerprint(LAMPS._replace(generation="1-0")) == sale_fingerprint(LAMPS)
    assert sale_fingerprint(LAMPS) == sale_fingerprint(CreateSale(*LAMPS))


def test_a_sales_shard_is_for_good() -> None:
    """Keys, partitions and rows rest on it; this number was computed once, by hand."""
    assert shard_of(SALE, 16) == 12
    assert {shard_of(SaleKey("default", f"sale-{number}"), 16) for number in range(200)} == set(range(16))
