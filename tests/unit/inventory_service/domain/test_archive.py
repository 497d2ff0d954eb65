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
    """A reservation in a state, after two changes."""
    where = Position(0, 1, seq, 0)
    return Reservation(SALE, "r-1", "b-1", (Line("lamp", 1),), state, 2, 1, 2, expire_ms, where, where, 1, 0, "")


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


def test_an_overdue_hold_is_seen_expired_and_otherwise_unchanged() -> None:
    """Whether or not it was taken back."""
    hold = reservation(HELD, expire_ms=100)

    assert effective(hold, 99, (0, 0)) == hold
    assert effective(hold, 100, (0, 0)) == hold._replace(state=EXPIRED)


def test_an_older_epoch_is_settled_with_its_last_commit() -> None:
    """Positions of a shard compare as pairs: every commit of a new epoch is above all of the epochs before."""
    assert ledger_state(HELD, 1, 900, (2, 0)) == LedgerState.LEDGER_STATE_RECORDED
    assert ledger_state(HELD, 2, 1, (2, 0)) == LedgerState.LEDGER_STATE_PENDING
    assert ledger_state(HELD, 2, 1, (1, 900)) == LedgerState.LEDGER_STATE_PENDING
    assert ledger_state(COMPENSATED, 1, 1, (1, 900)) == LedgerState.LEDGER_STATE_REFUSED


def test_closed_takes_precedence_over_ended_and_ended_over_paused() -> None:
    """The first state that applies is the sale's."""
    assert sale_state(0, 5, paused=True, closed=True, now_ms=9) == SaleState.SALE_STATE_CLOSED
    assert sale_state(0, 5, paused=True, closed=False, now_ms=5) == SaleState.SALE_STATE_ENDED
    assert sale_state(7, 9, paused=True, closed=False, now_ms=5) == SaleState.SALE_STATE_SCHEDULED
    assert sale_state(0, None, paused=True, closed=False, now_ms=5) == SaleState.SALE_STATE_PAUSED
    assert sale_state(0, 9, paused=False, closed=False, now_ms=5) == SaleState.SALE_STATE_OPEN


def test_a_fingerprint_has_buyer_ttl_and_lines() -> None:
    """The scripts parse it and stored records have it, so its form is fixed."""
    assert fingerprint_of(RESERVE) == "b-1 - lamp=2 shade=1"
    assert fingerprint_of(RESERVE._replace(hold_ttl_ms=5000)) == "b-1 5000 lamp=2 shade=1"
    assert terms_of("b-1 5000 lamp=2 shade=1") == ("b-1", RESERVE.lines)
    assert terms_of("") == ("", ())


def test_sale_fingerprints_differ_by_every_setting_that_was_asked_for() -> None:
    """An unset start or end differs from a set one; equal requests have the same fingerprint in every version."""
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


def test_the_shard_of_a_sale_never_changes() -> None:
    """Keys, partitions and rows depend on it, so the expected number is written down here."""
    assert shard_of(SALE, 16) == 12
    assert {shard_of(SaleKey("default", f"sale-{number}"), 16) for number in range(200)} == set(range(16))
