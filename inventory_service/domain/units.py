"""The units of reservations: which of them are held and sold in each state, and the accounts in which they lie.

The reference for lua/lib/record.lua and lua/lib/move.lua.
"""

from collections.abc import Iterable
from typing import Final

from inventory_service.domain.reservation import CONFIRMED, HELD, RETURNED, Units

Accounts = dict[str, int]  # units by account; an item's are available, held and sold, a buyer's are held and sold

_SOLD: Final = (CONFIRMED, RETURNED)  # the states in which units count as sold, until they have come back


def usual_units(claimed: Iterable[tuple[str, int]], state: int) -> tuple[Units, ...]:
    """The units that state and claim imply: all of the claim sold, or come back, or none."""
    sold, came_back = state in _SOLD, state == RETURNED
    return tuple([Units(sku, n, n if sold else 0, n if came_back else 0) for sku, n in claimed])


def units_in(units: Iterable[Units], state: int) -> tuple[Units, ...]:
    """Units once all that is claimed of them has gone to `state`."""
    return usual_units([(sku, claimed) for sku, claimed, _, _ in units], state)


def held_and_sold(units: Units, state: int) -> tuple[int, int]:
    """How many units a reservation holds and owns of one item while it is in `state`."""
    if state == HELD:
        return units.claimed, 0
    return 0, units.sold - units.came_back if state == CONFIRMED else 0


def item_accounts(total: int) -> Accounts:
    """The accounts of an item of which nothing is held or sold."""
    return {"available": total, "held": 0, "sold": 0}


def name_of_limited(buyer_id: str, sku: str) -> str:
    """The name under which a buyer's units of a limited item are kept; no id holds a '/'."""
    return f"{buyer_id}/{sku}"


def buyer_accounts() -> Accounts:
    """The accounts of a buyer without units; what is available belongs to no buyer."""
    return {"held": 0, "sold": 0}


def book(
    items: dict[str, Accounts], buyer: Accounts, lines: Iterable[Units], state: int, sign: int, discarded: bool = False
) -> None:
    """Add what a reservation in `state` has to the accounts of items and buyer, or take it off where `sign` is -1.

    What is `discarded` leaves the sale: it is not available then.
    """
    for units in lines:
        item = items[units.sku]
        held, sold = held_and_sold(units, state)
        for account, count in (("held", sign * held), ("sold", sign * sold)):
            item[account] += count
            buyer[account] += count
            item["available"] -= 0 if discarded else count
        assert min(item.values()) >= 0 <= min(buyer.values()), "an account below zero"
