"""The /metrics page of each process of a stack tells what an operator sets alarms on."""

import time

from tests.e2e.shop import Shop
from tests.waiting import eventually

COMPARES_S = 60.0  # comparing is less urgent


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

    async def is_served() -> bool:
        """The page shows that the shard serves; a relay that was halted for seconds has it to itself again."""
        return await shop.shown("relay", "holdfast_shard_serving", shard=shard) == 1

    async with shop.holding("persist"):
        for number in range(3):
            await shop.reserve(sale, f"r-{number}")
        await eventually(lambda: owes(3))

    await eventually(lambda: owes(0))
    await eventually(is_served)


async def test_holds_are_counted_on_the_relays_page(shop: Shop) -> None:
    """As many as there are; what is bought or given back is none any more."""
    sale = await shop.open_sale()
    shard = str(shop.shard_of(sale))

    async def are(number: int) -> bool:
        """The page shows so many holds."""
        return await shop.shown("relay", "holdfast_holds_open", shard=shard) == number

    before = await shop.open_holds(shop.shard_of(sale))  # of other tests
    for number in range(3):
        await shop.reserve(sale, f"r-{number}")
    await eventually(lambda: are(before + 3))
    await shop.confirm(sale, "r-0")
    await shop.release(sale, "r-1")

    await eventually(lambda: are(before + 1))


async def test_drift_is_looked_for(shop: Shop) -> None:
    """A shard that sells says when Redis and the ledger were last compared; here they agree."""
    sale = await shop.open_sale()
    await shop.settled(sale)
    began, shard = time.time(), str(shop.shard_of(sale))

    async def agrees() -> bool:
        """The shard was compared since, and nothing differs; a comparison that another test disturbed may end late."""
        assert await shop.shown("relay", "holdfast_audit_last_run_timestamp_seconds", shard=shard) > began
        return await shop.shown("relay", "holdfast_audit_drift_items", shard=shard) == 0

    await eventually(agrees, COMPARES_S)


async def test_a_refused_order_is_counted_on_its_way(shop: Shop) -> None:
    """By the persister that refuses it, with the reason, and by the compensator that gives its units back."""
    sale = await shop.open_sale()
    refused, given_back = await refusals(shop), await compensations(shop)
    applied = await shop.shown("persist", "holdfast_ledger_commits_total", outcome="applied")
    await shop.block("mallory")

    async def is_counted() -> bool:
        """Each process has come to the line that counts it, which comes after the deed."""
        assert await refusals(shop) == refused + 1
        assert await compensations(shop) == given_back + 1
        assert await shop.shown("persist", "holdfast_ledger_commits_total", outcome="applied") >= applied + 2
        return await shop.shown("serve", "holdfast_reserve_outcomes_total", outcome="granted") > 0

    await shop.reserve(sale, "r-1", buyer_id="mallory")
    await shop.settled(sale)

    await eventually(is_counted)


async def refusals(shop: Shop) -> float:
    return await shop.shown("persist", "holdfast_ledger_refused_orders_total", reason="BUYER_BLOCKED")


async def compensations(shop: Shop) -> float:
    return await shop.shown("compensate", "holdfast_compensations_total", outcome="given_back")
