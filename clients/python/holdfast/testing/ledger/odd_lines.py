"""Which reservations of the ledger in memory have lines that cannot be those of their state."""

from holdfast.inventory.v1.reservation_pb2 import ReservationState
from inventory_service.domain.reservation import CONFIRMED, HELD, RETURNED, Reservation


def is_odd(order: Reservation, has_left: bool) -> bool:
    """Whether its lines and its state contradict each other; a sale that has left the stock holds nothing."""
    if not order.lines:
        return False
    claimed = sum(units.claimed for units in order.lines)
    sold = sum(units.sold for units in order.lines)
    came_back = sum(units.came_back for units in order.lines)
    nested = all(0 <= units.came_back <= units.sold <= units.claimed for units in order.lines)
    match order.state:
        case state if state == CONFIRMED:
            return not (nested and sold > came_back)
        case state if state == RETURNED:
            return not (nested and sold == came_back > 0)
        case state if state == HELD:
            return has_left or bool(sold or came_back) or not claimed
        case _:
            return bool(sold or came_back)


def state_name(order: Reservation) -> str:
    """A state as the ledger has it."""
    return ReservationState.Name(ReservationState.ValueType(order.state)).removeprefix("RESERVATION_STATE_")


def spelled(order: Reservation) -> str:
    """Its lines, for an operator."""
    return "; ".join(f"{sku} {n} claimed, {sold} sold, {back} came back" for sku, n, sold, back in order.lines)
