"""How an order stands with each SKU, and what a change of it moves."""

from collections.abc import Iterable, Sequence

from holdfast.inventory.v1.commit_pb2 import ReservationChange
from holdfast.inventory.v1.commit_pb2 import Units as UnitsMessage
from holdfast.inventory.v1.reservation_pb2 import ReservationState

NEW = ReservationState.RESERVATION_STATE_UNSPECIFIED  # the previous state of an order's first change
HELD = ReservationState.RESERVATION_STATE_HELD
CONFIRMED = ReservationState.RESERVATION_STATE_CONFIRMED
COMPENSATED = ReservationState.RESERVATION_STATE_COMPENSATED
RETURNED = ReservationState.RESERVATION_STATE_RETURNED
LIVE = frozenset({HELD, CONFIRMED})  # the states in which an order has units

STATE_NAMES = {number: name.removeprefix("RESERVATION_STATE_") for name, number in ReservationState.items()}

Quantity = tuple[str, int]  # a SKU, and units of it
Units = tuple[str, int, int, int]  # a SKU, units claimed, of these those sold, of those the ones that came back
Moved = tuple[str, int, int]  # a SKU, how many units more are held, how many more are sold


def is_usual(change: ReservationChange) -> bool:
    """Whether state and claim imply how the order stands with each SKU, before the change and after it."""
    return not change.after  # which is set together with `before`, and never empty then


def units_before(change: ReservationChange, usual: bool, claim: Sequence[Quantity]) -> list[Units]:
    """How an order stood with each SKU before a change, which `is_usual` or not; `claim` are the lines of its claim."""
    return implied_units(change.previous_state, claim) if usual else _units(change.before)


def units_after(change: ReservationChange, usual: bool, claim: Sequence[Quantity]) -> list[Units]:
    """How an order stands with each SKU after a change."""
    return implied_units(change.state, claim) if usual else _units(change.after)


def owned_units(state: int, units: Iterable[Units]) -> list[Quantity]:
    """What an order in this state holds or owns."""
    if state == HELD:
        return [(sku, claimed) for sku, claimed, _, _ in units if claimed]
    if state == CONFIRMED:
        return [(sku, sold - came_back) for sku, _, sold, came_back in units if sold > came_back]
    return []


def moved_units(change: ReservationChange, usual: bool, claim: Sequence[Quantity]) -> list[Moved]:
    """What a change moves, sorted by SKU; a SKU of which it moves nothing is left out."""
    previous, state = change.previous_state, change.state
    if usual:
        return implied_moves(previous, state, claim)
    before, after = owned_units(previous, _units(change.before)), owned_units(state, _units(change.after))
    held_before, held_after = dict(before if previous == HELD else ()), dict(after if state == HELD else ())
    sold_before, sold_after = dict(before if previous == CONFIRMED else ()), dict(after if state == CONFIRMED else ())
    moved = (
        (sku, held_after.get(sku, 0) - held_before.get(sku, 0), sold_after.get(sku, 0) - sold_before.get(sku, 0))
        for sku in sorted({sku for sku, _ in (*before, *after)})
    )
    return [(sku, held, sold) for sku, held, sold in moved if held or sold]


def ended_by_itself(state: int) -> bool:
    """Whether an order in this state has no units any more, and not because its compensation took them."""
    return state not in LIVE and state != COMPENSATED


def implied_units(state: int, claim: Sequence[Quantity]) -> list[Units]:
    """What a state implies of each SKU that was claimed."""
    was_sold, came_back = state in (CONFIRMED, RETURNED), state == RETURNED
    return [(sku, claimed, claimed * was_sold, claimed * came_back) for sku, claimed in claim]


def implied_moves(previous: int, state: int, claim: Sequence[Quantity]) -> list[Moved]:
    """What a usual change between two states moves."""
    held, sold = (state == HELD) - (previous == HELD), (state == CONFIRMED) - (previous == CONFIRMED)
    return [(sku, units * held, units * sold) for sku, units in claim] if held or sold else []


def _units(messages: Iterable[UnitsMessage]) -> list[Units]:
    return [(one.sku, one.claimed, one.sold, one.came_back) for one in messages]
