"""Kafka loses a broker, a topic or the oldest records in mid-sale: every commit still reaches the ledger, and once."""

import asyncio
from collections.abc import Callable
from functools import partial

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from tests.cluster.conftest import have_topics_made
from tests.crowd import Crowd
from tests.faults.proof import count_refusals, find_faults
from tests.faults.topics import COMMITS
from tests.faults.world import BRIEF, World, shard_of
from tests.real.kafka_cluster import KafkaCluster
from tests.waiting import eventually

pytestmark = pytest.mark.timeout(500)  # the waits' own deadlines come first, and say more
PLENTY = 100_000
RUN_UP, MEANWHILE = 60, 100  # claims
BOOKED_S, CUT_S = 90.0, 90.0
TOPICS = ("holdfast.commits.v1", "holdfast.ledger-progress.v1", "holdfast.compensations.v1", "holdfast.orders.v1")
WEEK_MS = str(7 * 24 * 3600 * 1000)


async def test_each_broker_may_be_lost_for_a_while(world: World, cluster: KafkaCluster) -> None:
    """Promises 2 and 5: with two of three brokers the ledger goes on, whoever led, coordinated or controlled."""
    crowd = Crowd(world.client, await world.open_sale(PLENTY, BRIEF))
    shard = shard_of(crowd.sale_id)

    async with crowd.shopping():
        await eventually(lambda: is_under_way(world, crowd), BOOKED_S)
        for node, broker in cluster.brokers.items():
            broker.kill()
            await eventually(told_more(crowd))
            meta = await world.meta(shard)
            head = int(meta["epoch"]), int(meta["seq"])
            await eventually(partial(has_booked, world, shard, head), BOOKED_S)
            await asyncio.to_thread(cluster.start_again, node)
        crowd.close_doors()

    assert await find_faults(world, crowd.sale_id, crowd.promises) == []


async def test_one_broker_alone_takes_nothing_and_nothing_is_lost(world: World, cluster: KafkaCluster) -> None:
    """Promise 5: what nobody can confirm waits in Redis, buyers wait for nobody, and the backlog drains afterwards."""
    crowd = Crowd(world.client, await world.open_sale(PLENTY, BRIEF), blocked=0)

    async with crowd.shopping():
        await eventually(lambda: is_under_way(world, crowd), BOOKED_S)
        for node in (1, 2):
            cluster.brokers[node].kill()
        await eventually(told_more(crowd))
        for node in (1, 2):
            await asyncio.to_thread(cluster.start_again, node)
        await eventually(told_more(crowd))
        crowd.close_doors()

    assert await find_faults(world, crowd.sale_id, crowd.promises) == []
    assert await count_refusals(world, crowd.sale_id) == 0


@pytest.mark.parametrize("topic", TOPICS)
async def test_a_topic_deleted_and_made_again_loses_nothing(world: World, cluster: KafkaCluster, topic: str) -> None:
    """Promise 2: none of the topics is a place where anything is kept.

    Nobody but `holdfast topics` makes it again: Kafka itself would, for whoever asks, with a single partition.
    """
    crowd = Crowd(world.client, await world.open_sale(PLENTY, BRIEF))

    async with crowd.shopping():
        await eventually(lambda: is_under_way(world, crowd), BOOKED_S)
        await asyncio.to_thread(cluster.admin.delete_topics, [topic])
        await eventually(told_more(crowd))
        await have_topics_made(cluster)
        await eventually(told_more(crowd))
        crowd.close_doors()

    assert await find_faults(world, crowd.sale_id, crowd.promises) == []


async def test_commits_that_nobody_had_read_when_their_topic_went_come_again(
    world: World, cluster: KafkaCluster
) -> None:
    """Promise 2: the persister is halted, so it wakes to a topic that has its name, other records and other offsets."""
    crowd = Crowd(world.client, await world.open_sale(PLENTY, BRIEF))
    shard = shard_of(crowd.sale_id)

    async with crowd.shopping():
        await eventually(lambda: is_under_way(world, crowd), BOOKED_S)
        with world.halted("persist"):
            unread = await end_of_commits(cluster, shard)
            await eventually(told_more(crowd))
            await asyncio.to_thread(cluster.admin.delete_topics, [COMMITS])
            await have_topics_made(cluster)
            await eventually(lambda: ends_after(cluster, shard, unread), CUT_S)
        await eventually(told_more(crowd))
        crowd.close_doors()

    assert await find_faults(world, crowd.sale_id, crowd.promises) == []


async def test_what_retention_took_comes_again_from_the_outbox(world: World, cluster: KafkaCluster) -> None:
    """Promise 2: Kafka forgot commits before a persister came to read them; Redis keeps what the ledger lacks."""
    crowd = Crowd(world.client, await world.open_sale(PLENTY, BRIEF))
    shard = shard_of(crowd.sale_id)

    async with crowd.shopping():
        await eventually(lambda: is_under_way(world, crowd), BOOKED_S)
        await world.take_down("persist")
        unread = await end_of_commits(cluster, shard)
        await eventually(told_more(crowd))
        await asyncio.to_thread(cluster.admin.set_topic, COMMITS, {"retention.ms": "1"})
        await eventually(lambda: begins_after(cluster, shard, unread), CUT_S)
        await asyncio.to_thread(cluster.admin.set_topic, COMMITS, {"retention.ms": WEEK_MS})
        await world.bring_up("persist")
        await eventually(told_more(crowd))
        crowd.close_doors()

    assert await find_faults(world, crowd.sale_id, crowd.promises) == []


async def is_under_way(world: World, crowd: Crowd) -> bool:
    """Many claims were acknowledged, and the ledger has begun to take them."""
    return crowd.was_told(RUN_UP) and (await world.watermark(shard_of(crowd.sale_id))).seq > 0


def told_more(crowd: Crowd) -> Callable[[], bool]:
    """A condition: many more claims were acknowledged since."""
    told = len(crowd.promises)
    return lambda: crowd.was_told(told + MEANWHILE)


async def has_booked(world: World, shard: int, head: tuple[int, int]) -> bool:
    """The ledger holds everything that Redis held a while ago."""
    mark = await world.watermark(shard)
    return (mark.epoch, mark.seq) >= head


async def end_of_commits(cluster: KafkaCluster, shard: int) -> int:
    """The offset that a shard's next record will get."""
    partition = TopicPartition(COMMITS, shard)
    async with AIOKafkaConsumer(bootstrap_servers=cluster.address) as consumer:
        return int((await consumer.end_offsets([partition]))[partition])


async def ends_after(cluster: KafkaCluster, shard: int, offset: int) -> bool:
    """A topic made anew holds more than the old one did when the persister read it last."""
    return await end_of_commits(cluster, shard) > offset


async def begins_after(cluster: KafkaCluster, shard: int, offset: int) -> bool:
    """Kafka has lost at least one record that nobody had read."""
    partition = TopicPartition(COMMITS, shard)
    async with AIOKafkaConsumer(bootstrap_servers=cluster.address) as consumer:
        return int((await consumer.beginning_offsets([partition]))[partition]) > offset
