"""Where the units of an order's lines lie, by its state: beside `update_line_quantities` in queries.sql the only place of it."""

from holdfast.inventory.v1.reservation_pb2 import ReservationState

HELD = ReservationState.RESERVATION_STATE_HELD
CONFIRMED = ReservationState.RESERVATION_STATE_CONFIRMED
RETURNED = ReservationState.RESERVATION_STATE_RETURNED
COMPENSATED = ReservationState.RESERVATION_STATE_COMPENSATED
LIVE = frozenset({HELD, CONFIRMED})


def account_of(state: int, is_refused: bool) -> str:
    """The account of the item in which the units lie while the order is in a state."""
    if state not in LIVE:
        return "available"
    if is_refused:
        return "refused"
    return "held" if state == HELD else "sold"


def line_quantities(quantity: int, state: int) -> tuple[int, int]:
    """How many of a line's units have been confirmed, and how many of those were returned."""
    confirmed = quantity if state in (CONFIRMED, RETURNED) else 0
    return confirmed, confirmed if state == RETURNED else 0


def moves_lines(state: int) -> bool:
    """Whether the quantities of the lines may differ in this state from those of a hold."""
    return state in (CONFIRMED, RETURNED, COMPENSATED)
