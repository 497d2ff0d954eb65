"""The state of a sale at a moment."""

from holdfast.inventory.v1.sale_pb2 import SaleState

from inventory_service.domain.sale import Settings, sale_state


def state(now_ms: int, start_ms: int, end_ms: int | None, paused: bool = False, close_ms: int = 0) -> int:
    """The state of a sale with these settings."""
    settings = Settings("", start_ms, end_ms, 0, 0, 0, paused=paused, close_time_ms=close_ms)
    return sale_state(settings, now_ms)


def test_closed_takes_precedence_over_ended_and_ended_over_paused() -> None:
    """The first state that applies is the sale's."""
    assert state(9, 0, 5, paused=True, close_ms=1) == SaleState.SALE_STATE_CLOSED
    assert state(5, 0, 5, paused=True) == SaleState.SALE_STATE_ENDED
    assert state(5, 7, 9, paused=True) == SaleState.SALE_STATE_SCHEDULED
    assert state(5, 0, None, paused=True) == SaleState.SALE_STATE_PAUSED
    assert state(5, 0, 9) == SaleState.SALE_STATE_OPEN
