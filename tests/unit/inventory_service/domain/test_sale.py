"""The state of a sale at a moment."""

from holdfast.inventory.v1.sale_pb2 import SaleState

from inventory_service.domain.sale import sale_state


def test_closed_takes_precedence_over_ended_and_ended_over_paused() -> None:
    """The first state that applies is the sale's."""
    assert sale_state(0, 5, paused=True, closed=True, now_ms=9) == SaleState.SALE_STATE_CLOSED
    assert sale_state(0, 5, paused=True, closed=False, now_ms=5) == SaleState.SALE_STATE_ENDED
    assert sale_state(7, 9, paused=True, closed=False, now_ms=5) == SaleState.SALE_STATE_SCHEDULED
    assert sale_state(0, None, paused=True, closed=False, now_ms=5) == SaleState.SALE_STATE_PAUSED
    assert sale_state(0, 9, paused=False, closed=False, now_ms=5) == SaleState.SALE_STATE_OPEN
