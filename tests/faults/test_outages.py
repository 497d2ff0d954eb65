"""PostgreSQL or the broker is down during a sale: no call waits for it, and no order is lost."""

import asyncio
import signal

import pytest

from tests.crowd import Crowd
from tests.fault_stack import BRIEF, FaultStack, shard_of
from tests.faults.call_times import CallTimes, slower_than, timing_writes
from tests.promise_checks import count_refusals, find_violations
from tests.topics import Topics
from tests.waiting import eventually

pytestmark = pytest.mark.timeout(300)  # the waits' own deadlines come first, and say more
OUTAGE_S, LONGEST_S = 10.0, 60.0
ENOUGH = 100  # claims in an outage, which lasts longer where a machine halts for seconds
PLENTY = 100_000
BUYERS = 12  # enough for a call each hundredth of a second
USUAL, USUAL_S = 250, 60.0  # claims by which the usual duration is measured
BACKLOG = 40  # commits


@pytest.mark.parametrize("server", ["postgres", "broker"])
async def test_ten_seconds_of_an_outage_lose_no_order(stack: FaultStack, server: str) -> None:
    """Promise 5: Reserve answers as quickly as before, nothing is compensated, and the backlog drains afterwards."""
    crowd = Crowd(stack.client, stack.dsn, await stack.open_sale(PLENTY, BRIEF), buyers=BUYERS, blocked=0)
    shard = shard_of(crowd.sale_id)

    async with crowd.buying(), timing_writes(stack) as writes_s:
        await eventually(
            lambda: crowd.has_acknowledged(60)
        )  # every buyer has started, and connections and caches are warm
        calls_s, before = crowd.reserve_times_s, len(crowd.acknowledged)
        calls, writes = len(calls_s), len(writes_s)
        await eventually(lambda: crowd.has_acknowledged(before + USUAL), USUAL_S)
        usual, before = CallTimes(calls_s[calls:], writes_s[writes:]), len(crowd.acknowledged)
        calls, writes = len(calls_s), len(writes_s)
        await stack.take_down(server)
        await asyncio.sleep(OUTAGE_S)
        await eventually(lambda: crowd.has_acknowledged(before + ENOUGH), LONGEST_S)
        outage = CallTimes(calls_s[calls:], writes_s[writes:])
        backlog = await stack.outbox_length(shard)
        await stack.bring_up(server)
        crowd.stop_buying()

    assert slower_than(usual, outage) == []
    assert backlog > BACKLOG
    assert await find_violations(stack, crowd.sale_id, crowd.acknowledged) == []
    assert await count_refusals(stack, crowd.sale_id) == 0


async def test_a_broker_wiped_in_mid_sale_loses_nothing(stack: FaultStack) -> None:
    """Promise 2: commits that Kafka had confirmed are sent again from Redis.

    The persister is halted, so the wipe deletes unread records.
    """
    crowd = Crowd(stack.client, stack.dsn, await stack.open_sale(PLENTY, BRIEF))
    shard = shard_of(crowd.sale_id)

    async with crowd.buying():
        await eventually(lambda: crowd.has_acknowledged(60))
        stack.running.process("persist").signal(signal.SIGSTOP)
        await backlog_in_kafka(stack, shard)
        await asyncio.to_thread(stack.running.reset_topics)
        stack.running.process("persist").signal(signal.SIGCONT)
        before = len(crowd.acknowledged)
        await eventually(lambda: crowd.has_acknowledged(before + 100), LONGEST_S)
        crowd.stop_buying()

    assert await find_violations(stack, crowd.sale_id, crowd.acknowledged) == []


async def test_a_broker_killed_in_mid_sale_loses_nothing(stack: FaultStack) -> None:
    """Promises 2 and 5: the new broker knows nothing, and every commit that the ledger lacks is still in Redis."""
    crowd = Crowd(stack.client, stack.dsn, await stack.open_sale(PLENTY, BRIEF))
    shard = shard_of(crowd.sale_id)

    async with crowd.buying():
        await eventually(lambda: crowd.has_acknowledged(60))
        stack.running.process("persist").signal(signal.SIGSTOP)
        await backlog_in_kafka(stack, shard)
        await stack.take_down("broker")
        stack.running.process("persist").signal(signal.SIGCONT)
        await stack.bring_up("broker")
        before = len(crowd.acknowledged)
        await eventually(lambda: crowd.has_acknowledged(before + 100), LONGEST_S)
        crowd.stop_buying()

    assert await find_violations(stack, crowd.sale_id, crowd.acknowledged) == []


async def backlog_in_kafka(stack: FaultStack, shard: int) -> None:
    """Return when Kafka holds many commits that the ledger lacks."""
    async with Topics.of(stack.running.addresses.kafka_brokers) as topics:

        async def holds_many() -> bool:
            """Kafka has many commits above the watermark."""
            mark = await stack.watermark(shard)
            runs = await topics.runs(shard)
            return any((run.epoch, run.first_seq + len(run.commits)) > (mark.epoch, mark.seq + BACKLOG) for run in runs)

        await eventually(holds_many, LONGEST_S)
