"""Turns what a run did into transfers between the accounts of items: this file alone says in which account units lie.

The units of an order lie in `held` or `sold`. From the step at which the ledger refuses it, `refused` stands for `sold`
and, if that is the step that made it, for `held` too; what it gives back goes to `available` as of any other order.
"""

from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import NamedTuple

from order_persister.domain.fold import Order, Refusal, Refusals
from order_persister.domain.units import Moved, moved_units

EXTERNAL = "external"  # the world around the sale: what an item has in all is what came from there
AVAILABLE = "available"
HELD = "held"
SOLD = "sold"
REFUSED = "refused"
ACCOUNTS = (AVAILABLE, HELD, SOLD, REFUSED)  # the balances of an item

Transfer = tuple[str, str, str, int]  # a SKU, from an account, to an account, units


class Entry(NamedTuple):
    """One transfer between two accounts; the fields are in the order of the statement's columns."""

    epoch: int
    seq: int
    index: int  # type: ignore[assignment]  # tuples have a method of that name
    line: int  # counts the transfers of the change
    tenant: str
    sale_id: str
    sku: str
    reservation_id: str | None
    from_account: str
    to_account: str
    quantity: int


def entries_from_orders(orders: Iterable[Order], refusals: Refusals) -> Iterator[Entry]:
    """The transfers of every step."""
    for order in orders:
        refusal = refusals.get(order.created)
        tenant, sale_id, reservation_id = order.key
        for number, step in enumerate(order.steps):
            held, sold = (HELD, SOLD) if refusal is None else _accounts(refusal, number)
            back_to = EXTERNAL if step.change.discarded else AVAILABLE
            transfers = _transfers(moved_units(step.change), held, sold, back_to)
            for line, (sku, source, target, quantity) in enumerate(transfers):
                yield Entry(
                    step.epoch, step.seq, step.index, line, tenant, sale_id, sku, reservation_id,
                    source, target, quantity,
                )  # fmt: skip


def deltas_from(entries: Iterable[Entry]) -> dict[tuple[str, str, str], dict[str, int]]:
    """The sums of the transfers: item -> account -> change."""
    deltas: dict[tuple[str, str, str], dict[str, int]] = {}
    for entry in entries:
        item = deltas.setdefault((entry.tenant, entry.sale_id, entry.sku), {})
        item[entry.from_account] = item.get(entry.from_account, 0) - entry.quantity
        item[entry.to_account] = item.get(entry.to_account, 0) + entry.quantity
    return deltas


def _accounts(refusal: Refusal, number: int) -> tuple[str, str]:
    """Where a refused order's units lie at this step while they are held, and while they are sold."""
    if number < refusal.step:
        return HELD, SOLD
    return (REFUSED if refusal.at_creation else HELD), REFUSED


@lru_cache(maxsize=1024)  # the orders of a run move in a few ways
def _transfers(moved: tuple[Moved, ...], held: str, sold: str, back_to: str) -> tuple[Transfer, ...]:
    """What these differences come to: sold out of what was held, given back, returned, taken."""
    transfers: list[Transfer] = []
    for sku, more_held, more_sold in moved:
        confirmed = max(0, min(-more_held, more_sold))
        transfers += (
            (sku, held, sold, confirmed),
            (sku, held, AVAILABLE, -more_held - confirmed),
            (sku, sold, back_to, -more_sold),
            (sku, AVAILABLE, held, more_held),
            (sku, AVAILABLE, sold, more_sold - confirmed),
        )
    return tuple([each for each in transfers if each[3] > 0 and each[1] != each[2]])
