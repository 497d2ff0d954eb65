"""In which account the units of an order lie, by the state of its reservation: the only file here that says so."""

from holdfast.inventory.v1.reservation_pb2 import ReservationState

NEW = ReservationState.RESERVATION_STATE_UNSPECIFIED  # the previous state of an order's first change
HELD = ReservationState.RESERVATION_STATE_HELD
CONFIRMED = ReservationState.RESERVATION_STATE_CONFIRMED
COMPENSATED = ReservationState.RESERVATION_STATE_COMPENSATED
RETURNED = ReservationState.RESERVATION_STATE_RETURNED
LIVE = frozenset({HELD, CONFIRMED})  # the states in which an order has units

STATE_NAMES = {number: name.removeprefix("RESERVATION_STATE_") for name, number in ReservationState.items()}

EXTERNAL = "external"  # where the units of a new item come from; it has no balance
AVAILABLE = "available"
ACCOUNTS = (AVAILABLE, "held", "sold", "refused")  # the balances of an item

_CONFIRMED_NAMES = frozenset({"CONFIRMED", "RETURNED"})  # a return leaves the confirmed quantity as it was
_NOT_AS_HELD = _CONFIRMED_NAMES | {"COMPENSATED"}


def account_of(state: int, is_refused: bool) -> str:
    """The account of an order's units while its reservation is in this state."""
    if state not in LIVE:
        return AVAILABLE
    if is_refused:
        return "refused"
    return "held" if state == HELD else "sold"


def moved_units(previous: int, state: int) -> tuple[int, int]:
    """How many units more are held, and how many more are sold, for each unit of an order that changes so."""
    return (state == HELD) - (previous == HELD), (state == CONFIRMED) - (previous == CONFIRMED)


def ended_by_itself(state: int) -> bool:
    """Whether an order in this state has no units any more, and not because its compensation took them."""
    return state not in LIVE and state != COMPENSATED


def is_confirmed(state_name: str) -> bool:
    """Whether the lines' units count as confirmed."""
    return state_name in _CONFIRMED_NAMES


def is_returned(state_name: str) -> bool:
    """Whether the lines' units count as returned."""
    return state_name == "RETURNED"


def may_differ_from_hold(state_name: str) -> bool:
    """Whether an order that comes to this state may have had other confirmed or returned quantities before, or now."""
    return state_name in _NOT_AS_HELD
