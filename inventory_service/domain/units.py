"""In which account the units of a reservation lie, by its state: the only file of this service that says so."""

from collections.abc import Iterable
from typing import Final

from inventory_service.domain.reservation import (
    COMPENSATED,
    CONFIRMED,
    EXPIRED,
    HELD,
    NEW,
    RELEASED,
    RETURNED,
    Line,
)

Accounts = dict[str, int]  # units by account; an item's are available, held and sold, a buyer's are held and sold

_ACCOUNT: Final = {
    NEW: "available",
    HELD: "held",
    CONFIRMED: "sold",
    RELEASED: "available",
    EXPIRED: "available",
    COMPENSATED: "available",
    RETURNED: "available",
}


def account_of(state: int) -> str:
    """The account of its item in which a line's units lie while its reservation is in `state`."""
    return _ACCOUNT[state]


def line_quantities(line: Line, state: int) -> tuple[int, int]:
    """How many units of a line have been confirmed, and how many of those were returned."""
    confirmed = line.quantity if state in (CONFIRMED, RETURNED) else 0
    return confirmed, confirmed if state == RETURNED else 0


def item_accounts(total: int) -> Accounts:
    """The accounts of an item of which nothing is held or sold."""
    return {"available": total, "held": 0, "sold": 0}


def buyer_accounts() -> Accounts:
    """The accounts of a buyer without units; what is available belongs to no buyer."""
    return {"held": 0, "sold": 0}


def transfer(items: dict[str, Accounts], buyer: Accounts, lines: Iterable[Line], previous: int, state: int) -> None:
    """Move the units of lines to where they lie in `state`, from where they lay in `previous`."""
    source, target = account_of(previous), account_of(state)
    for sku, quantity in lines:
        item = items[sku]
        item[source] -= quantity
        item[target] += quantity
        assert item[source] >= 0, "an account below zero"
        if source in buyer:
            buyer[source] -= quantity
        if target in buyer:
            buyer[target] += quantity
