"""The /metrics page of each process of a stack has the metrics that alarms use."""

import time

from tests.stack_fixture import StackFixture
from tests.waiting import eventually

COMPARES_S = 60.0  # the relay compares at long intervals


async def test_the_relays_page_shows_a_ledger_that_is_behind(stack: StackFixture) -> None:
    """How long the outbox is and for how long the ledger has been behind, by shard; both fall when it catches up."""
    sale = await stack.open_sale()
    await stack.settled(sale)
    shard = str(stack.shard_of(sale))

    async def has_backlog(at_least: int) -> bool:
        """The page shows these commits, and those by which holds of other tests may end meanwhile."""
        commits = await stack.outbox_length(int(shard))
        assert commits >= at_least
        length = await stack.metric("relay", "holdfast_outbox_commits", shard=shard)
        lag_s = await stack.metric("relay", "holdfast_ledger_lag_seconds", shard=shard)
        return length == commits and (lag_s > 0) == (commits > 0)

    async def has_none() -> bool:
        """The page shows no backlog."""
        return await stack.outbox_length(int(shard)) == 0 and await has_backlog(0)

    async def is_served() -> bool:
        """The page shows that the shard serves; a relay that was halted for seconds has its lease again."""
        return await stack.metric("relay", "holdfast_shard_serving", shard=shard) == 1

    async with stack.halted("persist"):
        for number in range(3):
            await stack.reserve(sale, f"r-{number}")
        await eventually(lambda: has_backlog(3))

    await eventually(has_none)
    await eventually(is_served)


async def test_holds_are_counted_on_the_relays_page(stack: StackFixture) -> None:
    """Confirmed and released reservations are not counted any more."""
    sale = await stack.open_sale()
    shard = stack.shard_of(sale)

    async def shows_holds(number: int) -> bool:
        """The page shows so many holds of this sale, and those that other tests have left, which end by and by."""
        others = await stack.open_holds(shard, but_of=sale)
        return await stack.metric("relay", "holdfast_holds_open", shard=str(shard)) == others + number

    for number in range(3):
        await stack.reserve(sale, f"r-{number}")
    await eventually(lambda: shows_holds(3))
    await stack.confirm(sale, "r-0")
    await stack.release(sale, "r-1")

    await eventually(lambda: shows_holds(1))


async def test_the_relay_compares_redis_with_the_ledger(stack: StackFixture) -> None:
    """A shard that sells says when Redis and the ledger were last compared; here they agree."""
    sale = await stack.open_sale()
    await stack.settled(sale)
    began, shard = time.time(), str(stack.shard_of(sale))

    async def agrees() -> bool:
        """The shard was compared since, and nothing differs; a comparison that another test disturbed may end late."""
        assert await stack.metric("relay", "holdfast_audit_last_run_timestamp_seconds", shard=shard) > began
        return await stack.metric("relay", "holdfast_audit_drift_items", shard=shard) == 0

    await eventually(agrees, COMPARES_S)


async def test_a_refused_order_is_counted_by_persister_and_compensator(stack: StackFixture) -> None:
    """By the persister that refuses it, with the reason, and by the compensator that gives its units back."""
    sale = await stack.open_sale()
    refused, given_back = await refusals(stack), await compensations(stack)
    applied = await stack.metric("persist", "holdfast_ledger_commits_total", outcome="applied")
    await stack.refuse_orders_of("counted-buyer")

    async def is_counted() -> bool:
        """Each process counts it after the work is done, some moments later; so it does those of earlier tests."""
        assert await refusals(stack) >= refused + 1
        assert await compensations(stack) >= given_back + 1
        assert await stack.metric("persist", "holdfast_ledger_commits_total", outcome="applied") >= applied + 2
        return await stack.metric("serve", "holdfast_reserve_outcomes_total", outcome="granted") > 0

    await stack.reserve(sale, "r-1", buyer_id="counted-buyer")
    await stack.settled(sale)

    await eventually(is_counted)


async def refusals(stack: StackFixture) -> float:
    return await stack.metric("persist", "holdfast_ledger_refused_orders_total", reason="BUYER_BLOCKED")


async def compensations(stack: StackFixture) -> float:
    return await stack.metric("compensate", "holdfast_compensations_total", outcome="given_back")
