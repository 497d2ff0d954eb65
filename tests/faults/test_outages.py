"""PostgreSQL or the broker goes away in mid-sale: nobody waits for it, and nothing is missing afterwards."""

import asyncio
import signal
from statistics import quantiles

import pytest

from tests.crowd import Crowd
from tests.faults.proof import count_refusals, find_faults
from tests.faults.topics import Topics
from tests.faults.world import World, shard_of
from tests.waiting import eventually

pytestmark = pytest.mark.timeout(150)  # the waits' own deadlines come first, and say more
OUTAGE_S = 10.0
PLENTY = 100_000
SLOWEST_S = 0.5  # of 99 in 100 calls, on machines that do much else
BACKLOG = 40  # commits


async def test_ten_seconds_without_postgres_cost_nobody_an_order(shared: World) -> None:
    """Promise 5: Reserve answers as quickly as ever, nothing is compensated, and the backlog drains afterwards."""
    crowd = Crowd(shared.client, await shared.open_sale(PLENTY), blocked=0)
    shard = shard_of(crowd.sale_id)

    async with crowd.shopping():
        await eventually(lambda: crowd.was_told(60))
        await shared.take_down("postgres")
        before, calls = len(crowd.promises), len(crowd.reserve_times_s)
        await asyncio.sleep(OUTAGE_S)
        told, times_s = len(crowd.promises) - before, crowd.reserve_times_s[calls:]
        backlog = await shared.outbox_length(shard)
        await shared.bring_up("postgres")
        crowd.close_doors()

    assert told > 100
    assert quantiles(times_s, n=100)[98] < SLOWEST_S
    assert backlog > BACKLOG
    assert await find_faults(shared, crowd.sale_id, crowd.promises) == []
    assert await count_refusals(shared, crowd.sale_id) == 0


async def test_a_broker_wiped_in_mid_sale_loses_nothing(shared: World) -> None:
    """Promise 2: commits that were in Kafka alone, as it seemed, are sent again from Redis.

    The persister is halted, so the wipe destroys records that nobody has read.
    """
    crowd = Crowd(shared.client, await shared.open_sale(PLENTY))
    shard = shard_of(crowd.sale_id)

    async with crowd.shopping():
        await eventually(lambda: crowd.was_told(60))
        shared.stack.process("persist").signal(signal.SIGSTOP)
        await backlog_in_kafka(shared, shard)
        await asyncio.to_thread(shared.stack.wipe_broker)
        shared.stack.process("persist").signal(signal.SIGCONT)
        told = len(crowd.promises)
        await eventually(lambda: crowd.was_told(told + 100))
        crowd.close_doors()

    assert await find_faults(shared, crowd.sale_id, crowd.promises) == []


async def test_a_broker_killed_in_mid_sale_loses_nothing(shared: World) -> None:
    """Promises 2 and 5: the new broker knows nothing, and every commit that the ledger lacks is still in Redis."""
    crowd = Crowd(shared.client, await shared.open_sale(PLENTY))
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
