"""PostgreSQL or the broker goes away in mid-sale: nobody waits for it, and nothing is missing afterwards."""

import asyncio
import signal

import pytest

from tests.crowd import Crowd
from tests.faults.pace import Pace, slower_than, writing
from tests.faults.proof import count_refusals, find_faults
from tests.faults.topics import Topics
from tests.faults.world import BRIEF, World, shard_of
from tests.waiting import eventually

pytestmark = pytest.mark.timeout(300)  # the waits' own deadlines come first, and say more
OUTAGE_S = 10.0
PLENTY = 100_000
USUAL, USUAL_S = 500, 60.0  # claims that tell how quick the machine is
BACKLOG = 40  # commits


@pytest.mark.parametrize("away", ["postgres", "broker"])
async def test_ten_seconds_of_an_outage_cost_nobody_an_order(shared: World, away: str) -> None:
    """Promise 5: Reserve answers as quickly as ever, nothing is compensated, and the backlog drains afterwards."""
    crowd = Crowd(shared.client, await shared.open_sale(PLENTY, BRIEF), blocked=0)
    shard = shard_of(crowd.sale_id)

    async with crowd.shopping(), writing(shared) as writes_s:
        await eventually(lambda: crowd.was_told(60))  # all are in, and nothing is done for the first time
        calls_s, told = crowd.reserve_times_s, len(crowd.promises)
        calls, writes = len(calls_s), len(writes_s)
        await eventually(lambda: crowd.was_told(told + USUAL), USUAL_S)
        usual, told = Pace(calls_s[calls:], writes_s[writes:]), len(crowd.promises)
        calls, writes = len(calls_s), len(writes_s)
        await shared.take_down(away)
        await asyncio.sleep(OUTAGE_S)
        outage, told = Pace(calls_s[calls:], writes_s[writes:]), len(crowd.promises) - told
        backlog = await shared.outbox_length(shard)
        await shared.bring_up(away)
        crowd.close_doors()

    assert told > 100
    assert slower_than(usual, outage) == []
    assert backlog > BACKLOG
    assert await find_faults(shared, crowd.sale_id, crowd.promises) == []
    assert await count_refusals(shared, crowd.sale_id) == 0


async def test_a_broker_wiped_in_mid_sale_loses_nothing(shared: World) -> None:
    """Promise 2: commits that were in Kafka alone, as it seemed, are sent again from Redis.

    The persister is halted, so the wipe destroys records that nobody has read.
    """
    crowd = Crowd(shared.client, await shared.open_sale(PLENTY, BRIEF))
    shard = shard_of(crowd.sale_id)

    async with crowd.shopping():
        await eventually(lambda: crowd.was_told(60))
        shared.stack.process("persist").signal(signal.SIGSTOP)
        await backlog_in_kafka(shared, shard)
        await asyncio.to_thread(shared.stack.reset_topics)
        shared.stack.process("persist").signal(signal.SIGCONT)
        told = len(crowd.promises)
        await eventually(lambda: crowd.was_told(told + 100))
        crowd.close_doors()

    assert await find_faults(shared, crowd.sale_id, crowd.promises) == []


async def test_a_broker_killed_in_mid_sale_loses_nothing(shared: World) -> None:
    """Promises 2 and 5: the new broker knows nothing, and every commit that the ledger lacks is still in Redis."""
    crowd = Crowd(shared.client, await shared.open_sale(PLENTY, BRIEF))
    shard = shard_of(crowd.sale_id)

    async with crowd.shopping():
        await eventually(lambda: crowd.was_told(60))
        shared.stack.process("persist").signal(signal.SIGSTOP)
        await backlog_in_kafka(shared, shard)
        await shared.take_down("broker")
        shared.stack.process("persist").signal(signal.SIGCONT)
        await shared.bring_up("broker")
        told = len(crowd.promises)
        await eventually(lambda: crowd.was_told(told + 100))
        crowd.close_doors()

    assert await find_faults(shared, crowd.sale_id, crowd.promises) == []


async def backlog_in_kafka(world: World, shard: int) -> None:
    """Return when Kafka holds many commits that the ledger lacks."""
    async with Topics.of(world.stack.addresses.kafka_brokers) as topics:

        async def holds_many() -> bool:
            """Kafka has many commits above the watermark."""
            mark = await world.watermark(shard)
            runs = await topics.runs(shard)
            return any((run.epoch, run.first_seq + len(run.commits)) > (mark.epoch, mark.seq + BACKLOG) for run in runs)

        await eventually(holds_many)
