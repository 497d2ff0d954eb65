"""The /metrics page of each process of a stack tells what an operator sets alarms on."""

import time

from tests.e2e.shop import Shop
from tests.waiting import eventually

SHOWS_S = 15.0
COMPARES_S = 30.0  # comparing is less urgent


async def test_a_ledger_that_is_behind_is_seen_on_the_relays_page(shop: Shop) -> None:
    """How long the outbox is and for how long the ledger has been behind, by shard; both fall when it catches up."""
    sale = await shop.open_sale()
    await shop.settled(sale)
    shard = str(shop.shard_of(sale))

    async def owes(commits: int) -> bool:
        """The page shows a backlog of so many commits."""
        length = await shop.shown("relay", "holdfast_outbox_commits", shard=shard)
        lag_s = await shop.shown("relay", "holdfast_ledger_lag_seconds", shard=shard)
        return length == commits and (lag_s > 0) == (commits > 0)

    async with shop.holding("persist"):
        for number in range(3):
            await shop.reserve(sale, f"r-{number}")
        await eventually(lambda: owes(3), SHOWS_S)

    await eventually(lambda: owes(0), SHOWS_S)
    assert await shop.shown("relay", "holdfast_shard_serving", shard=shard) == 1


async def test_holds_are_counted_on_the_relays_page(shop: Shop) -> None:
    """As many as there are; what is bought or given back is none any more."""
    sale = await shop.open_sale()
    shard = str(shop.shard_of(sale))

    async def are_shown() -> float:
        """The holds on the page."""
        return await shop.shown("relay", "holdfast_holds_open", shard=shard)

    async def are(number: int) -> bool:
        """The page shows so many holds."""
        return await are_shown() == number

    before = await are_shown()
    for number in range(3):
        await shop.reserve(sale, f"r-{number}")
    await eventually(lambda: are(round(before) + 3), SHOWS_S)
    await shop.confirm(sale, "r-0")
    await shop.release(sale, "r-1")

    await eventually(lambda: are(round(before) + 1), SHOWS_S)


async def test_drift_is_looked_for(shop: Shop) -> None:
    """A shard that sells says when Redis and the ledger were last compared; here they agree."""
    sale = await shop.open_sale()
    await shop.settled(sale)
    began, shard = time.time(), str(shop.shard_of(sale))

    async def was_compared() -> bool:
        """The shard was compared since."""
        return await shop.shown("relay", "holdfast_audit_time_seconds", shard=shard) > began

    await eventually(was_compared, COMPARES_S)

    assert await shop.shown("relay", "holdfast_audit_drift", shard=shard) == 0


async def test_a_refused_order_is_counted_on_its_way(shop: Shop) -> None:
    """By the persister that refuses it, with the reason, and by the compensator that gives its units back."""
    sale = await shop.open_sale()
    refused, given_back = await refusals(shop), await compensations(shop)
    applied = await shop.shown("persist", "holdfast_ledger_commits_total", outcome="applied")
    await shop.block("mallory")

    await shop.reserve(sale, "r-1", buyer_id="mallory")
    await shop.settled(sale)

    assert await refusals(shop) == refused + 1
    assert await compensations(shop) == given_back + 1
    assert await shop.shown("persist", "holdfast_ledger_commits_total", outcome="applied") >= applied + 2
    assert await shop.shown("serve", "holdfast_outcomes_total", outcome="granted") > 0


async def refusals(shop: Shop) -> float:
    return await shop.shown("persist", "holdfast_ledger_refused_orders_total", reason="BUYER_BLOCKED")


async def compensations(shop: Shop) -> float:
    return await shop.shown("compensate", "holdfast_compensations_total", outcome="given_back")
