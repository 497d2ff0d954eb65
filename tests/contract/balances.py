"""Computes balances from commits, and compares them with the balances of the stock."""

from collections import Counter
from collections.abc import Sequence

from inventory_service.domain.events import CommitBody, ReservationChange, SaleChanged, SaleMade, StockAdjusted
from inventory_service.domain.keys import SaleKey
from inventory_service.domain.sale import NewItem, SaleRead
from inventory_service.domain.units import held_and_sold
from tests.contract.shards import ShardUnderTest

Balances = dict[tuple[SaleKey, str], Counter[str]]


async def assert_balances_add_up(shard: ShardUnderTest) -> None:
    """Promise 1, at every commit: no account below zero. Then the stock must have the same balances.

    A sale that has left holds nothing.
    """
    balances = balances_of(await shard.commits())
    for sale in {sale for sale, _ in balances}:
        if not await shard.keeps(sale):
            assert not any(item["held"] for (of, _), item in balances.items() if of == sale)
            continue
        found = await shard.stock.find_sale(sale)
        assert isinstance(found, SaleRead)
        for item in found.sale.items:
            computed = balances[sale, item.sku]
            assert (item.available, item.held, item.sold) == (computed["available"], computed["held"], computed["sold"])
            assert item.total == computed["total"]


def balances_of(commits: Sequence[CommitBody]) -> Balances:
    """The balances of every item after all commits; none is below zero after any of them."""
    balances: Balances = {}
    for commit in commits:
        apply(balances, commit)
        assert all(units >= 0 for item in balances.values() for units in item.values()), commit
    return balances


def apply(balances: Balances, commit: CommitBody) -> None:
    """Book one commit."""
    for event in commit.events:
        if isinstance(event, SaleMade):
            _add_items(balances, event.request.sale, event.request.items)
        elif isinstance(event, SaleChanged):
            _add_items(balances, event.sale, event.added)
        elif isinstance(event, StockAdjusted):
            item = balances[event.request.sale, event.request.sku]
            item["total"] += event.change
            item["available"] += event.change
            assert item["total"] == event.total_after, event
        elif isinstance(event, ReservationChange):
            _move_units(balances, event)


def _add_items(balances: Balances, sale: SaleKey, items: tuple[NewItem, ...]) -> None:
    for sku, total, _ in items:
        assert (sale, sku) not in balances or not any(balances[sale, sku].values()), "an item was made twice"
        balances[sale, sku] = Counter(available=total, total=total)


def _move_units(balances: Balances, event: ReservationChange) -> None:
    """What the change takes off and adds; what is discarded leaves the total."""
    after = event.reservation
    for state, lines, sign in ((event.previous_state, event.before, -1), (after.state, after.lines, 1)):
        for units in lines:
            item, (held, sold) = balances[after.sale, units.sku], held_and_sold(units, state)
            item["held"] += sign * held
            item["sold"] += sign * sold
            item["total" if event.discarded else "available"] += sign * (sold if event.discarded else -held - sold)
