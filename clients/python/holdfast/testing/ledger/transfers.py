"""Between which accounts of an item the change of an order moves units."""

from collections.abc import Iterator
from typing import NamedTuple

from holdfast.testing.ledger.tables import AVAILABLE, EXTERNAL, HELD_UNITS, REFUSED_UNITS, SOLD_UNITS
from inventory_service.domain.events import ReservationChange
from inventory_service.domain.reservation import Units
from inventory_service.domain.units import held_and_sold


class OrderAccounts(NamedTuple):
    """Where the units of an order lie while they are held, and while they are sold."""

    held: str
    sold: str


RECORDED = OrderAccounts(HELD_UNITS, SOLD_UNITS)
REFUSED_AT_CREATION = OrderAccounts(REFUSED_UNITS, REFUSED_UNITS)
REFUSED_AT_CONFIRM = OrderAccounts(HELD_UNITS, REFUSED_UNITS)  # from that step on


class Transfer(NamedTuple):
    """Units of an item that go from one account to another."""

    sku: str
    source: str
    target: str
    quantity: int


def transfers_of(change: ReservationChange, accounts: OrderAccounts) -> Iterator[Transfer]:
    """What one change moves."""
    back_to = EXTERNAL if change.discarded else AVAILABLE
    for sku, more_held, more_sold in _moved(change):
        confirmed = max(0, min(-more_held, more_sold))
        wanted = (
            (accounts.held, accounts.sold, confirmed),
            (accounts.held, AVAILABLE, -more_held - confirmed),
            (accounts.sold, back_to, -more_sold),
            (AVAILABLE, accounts.held, more_held),
            (AVAILABLE, accounts.sold, more_sold - confirmed),
        )
        for source, target, quantity in wanted:
            if quantity > 0 and source != target:
                yield Transfer(sku, source, target, quantity)


def _moved(change: ReservationChange) -> Iterator[tuple[str, int, int]]:
    """Each SKU, and how many more of its units are held and sold after the change."""
    before = {units.sku: held_and_sold(units, change.previous_state) for units in change.before}
    after = {units.sku: held_and_sold(units, change.reservation.state) for units in change.reservation.lines}
    for sku in sorted(before.keys() | after.keys()):
        (held_before, sold_before), (held, sold) = before.get(sku, (0, 0)), after.get(sku, (0, 0))
        yield sku, held - held_before, sold - sold_before


def owned_units(lines: tuple[Units, ...], state: int) -> Iterator[tuple[str, int]]:
    """What an order in this state holds or owns, by SKU."""
    for units in lines:
        owned = sum(held_and_sold(units, state))
        if owned:
            yield units.sku, owned
