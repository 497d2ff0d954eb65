"""Computes balances from commits, and compares them with the balances of the stock."""

from collections import Counter

from inventory_service.domain.events import CommitBody, SaleMade
from inventory_service.domain.keys import SaleKey
from inventory_service.domain.sale import SaleRead
from inventory_service.domain.units import held_and_sold
from tests.contract.shards import ShardUnderTest

Balances = dict[tuple[SaleKey, str], Counter[str]]


async def assert_balances_add_up(shard: ShardUnderTest) -> None:
    """Promise 1, at every commit: no account below zero. Then the stock must have the same balances.

    A sale that has left holds nothing.
    """
    balances: Balances = {}
    for commit in await shard.commits():
        apply(balances, commit)
        assert all(units >= 0 for item in balances.values() for units in item.values()), commit
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


def apply(balances: Balances, commit: CommitBody) -> None:
    """Book one commit: what each change takes off and adds; what is discarded leaves the total."""
    for event in commit.events:
        if isinstance(event, SaleMade):
            for sku, total in event.request.items:
                balances[event.request.sale, sku] = Counter(available=total, total=total)
            continue
        after = event.reservation
        for state, lines, sign in ((event.previous_state, event.before, -1), (after.state, after.lines, 1)):
            for units in lines:
                item, (held, sold) = balances[after.sale, units.sku], held_and_sold(units, state)
                item["held"] += sign * held
                item["sold"] += sign * sold
                item["total" if event.discarded else "available"] += sign * (sold if event.discarded else -held - sold)
