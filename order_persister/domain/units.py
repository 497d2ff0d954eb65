"""How an order stands with each SKU, and what a change of it moves."""

from collections.abc import Iterable
from functools import lru_cache

from holdfast.inventory.v1.reservation_pb2 import ReservationState

from order_persister.domain.changes import Change, Quantity, Units

NEW = ReservationState.RESERVATION_STATE_UNSPECIFIED  # the previous state of an order's first change
HELD = ReservationState.RESERVATION_STATE_HELD
CONFIRMED = ReservationState.RESERVATION_STATE_CONFIRMED
COMPENSATED = ReservationState.RESERVATION_STATE_COMPENSATED
RETURNED = ReservationState.RESERVATION_STATE_RETURNED
LIVE = frozenset({HELD, CONFIRMED})  # the states in which an order has units

STATE_NAMES = {number: name.removeprefix("RESERVATION_STATE_") for name, number in ReservationState.items()}

Moved = tuple[str, int, int]  # a SKU, how many units more are held, how many more are sold


def units_before(change: Change) -> tuple[Units, ...]:
    """How an order stood with each SKU before a change."""
    return implied_units(change.previous_state, change.claim.lines) if change.is_usual else change.before


def units_after(change: Change) -> tuple[Units, ...]:
    """How an order stands with each SKU after a change."""
    return implied_units(change.state, change.claim.lines) if change.is_usual else change.after


def owned_units(state: int, units: Iterable[Units]) -> list[Quantity]:
    """What an order in this state holds or owns."""
    if state == HELD:
        return [(sku, claimed) for sku, claimed, _, _ in units if claimed]
    if state == CONFIRMED:
        return [(sku, sold - came_back) for sku, _, sold, came_back in units if sold > came_back]
    return []


def moved_units(change: Change) -> tuple[Moved, ...]:
    """What a change moves, sorted by SKU; a SKU of which it moves nothing is left out."""
    previous, state = change.previous_state, change.state
    if change.is_usual:
        return implied_moves(previous, state, change.claim.lines)
    before, after = owned_units(previous, change.before), owned_units(state, change.after)
    held_before, held_after = dict(before if previous == HELD else ()), dict(after if state == HELD else ())
    sold_before, sold_after = dict(before if previous == CONFIRMED else ()), dict(after if state == CONFIRMED else ())
    moved = (
        (sku, held_after.get(sku, 0) - held_before.get(sku, 0), sold_after.get(sku, 0) - sold_before.get(sku, 0))
        for sku in sorted({sku for sku, _ in (*before, *after)})
    )
    return tuple([(sku, held, sold) for sku, held, sold in moved if held or sold])


def ended_by_itself(state: int) -> bool:
    """Whether an order in this state has no units any more, and not because its compensation took them."""
    return state not in LIVE and state != COMPENSATED


@lru_cache(maxsize=4096)  # many orders ask for the same
def implied_units(state: int, claim: tuple[Quantity, ...]) -> tuple[Units, ...]:
    """What a state implies of each SKU that was claimed."""
    was_sold, came_back = state in (CONFIRMED, RETURNED), state == RETURNED
    return tuple([(sku, claimed, claimed * was_sold, claimed * came_back) for sku, claimed in claim])


@lru_cache(maxsize=4096)
def implied_moves(previous: int, state: int, claim: tuple[Quantity, ...]) -> tuple[Moved, ...]:
    """What a usual change between two states moves."""
    held, sold = (state == HELD) - (previous == HELD), (state == CONFIRMED) - (previous == CONFIRMED)
    return tuple([(sku, units * held, units * sold) for sku, units in claim]) if held or sold else ()
