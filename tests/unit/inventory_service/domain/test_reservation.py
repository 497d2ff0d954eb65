"""How a reservation stands at a moment, and its ledger state."""

from holdfast.inventory.v1.reservation_pb2 import LedgerState

from inventory_service.domain.keys import Position, SaleKey
from inventory_service.domain.reservation import Reservation, Units, effective, ledger_state, state_at

SALE = SaleKey("default", "lamp-sale")
HELD, CONFIRMED, RELEASED, EXPIRED, COMPENSATED, RETURNED = range(1, 7)


def reservation(state: int, expire_ms: int = 0, seq: int = 5) -> Reservation:
    """A reservation in a state, after two changes."""
    where = Position(0, 1, seq, 0)
    return Reservation(SALE, "r-1", "b-1", (Units("lamp", 1, 0, 0),), state, 2, 1, 2, expire_ms, where, where, 1, 0, "")


def test_an_overdue_hold_is_seen_expired_and_otherwise_unchanged() -> None:
    """Whether or not it was taken back."""
    hold = reservation(HELD, expire_ms=100)

    assert state_at(hold, 99, release_time_ms=0) == HELD
    assert state_at(hold, 100, release_time_ms=0) == EXPIRED
    assert effective(hold, EXPIRED, (0, 0)) == hold._replace(state=EXPIRED)


def test_a_hold_that_stood_when_its_sale_released_all_is_released_for_good() -> None:
    """Also once its own end has come; one that was overdue by then had expired before."""
    hold = reservation(HELD, expire_ms=100)

    assert [state_at(hold, now_ms, release_time_ms=99) for now_ms in (99, 100, 101)] == [RELEASED] * 3
    assert state_at(hold, 100, release_time_ms=100) == EXPIRED
    assert state_at(reservation(CONFIRMED), 101, release_time_ms=99) == CONFIRMED


def test_an_older_epoch_is_settled_with_its_last_commit() -> None:
    """Positions of a shard compare as pairs: every commit of a new epoch is above all of the epochs before."""
    assert ledger_state(HELD, 1, 900, (2, 0)) == LedgerState.LEDGER_STATE_RECORDED
    assert ledger_state(HELD, 2, 1, (2, 0)) == LedgerState.LEDGER_STATE_PENDING
    assert ledger_state(HELD, 2, 1, (1, 900)) == LedgerState.LEDGER_STATE_PENDING
    assert ledger_state(COMPENSATED, 1, 1, (1, 900)) == LedgerState.LEDGER_STATE_REFUSED
