"""Kafka loses a broker, a topic or the oldest records during a sale: the ledger applies every commit once."""

import asyncio
from collections.abc import Callable
from functools import partial

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from tests.cluster.conftest import make_topics_again
from tests.crowd import Crowd
from tests.fault_stack import BRIEF, FaultStack, shard_of
from tests.promise_checks import count_refusals, find_violations
from tests.real.kafka_cluster import KafkaCluster
from tests.servers import connected
from tests.topics import COMMITS
from tests.waiting import eventually

pytestmark = pytest.mark.timeout(500)  # the waits' own deadlines come first, and say more
PLENTY = 100_000
FIRST_CLAIMS, MORE_CLAIMS = 60, 100  # claims
APPLIED_S, CUT_S = 90.0, 90.0
TOPICS = (
    "holdfast.commits.v1",
    "holdfast.ledger-progress.v1",
    "holdfast.compensations.v1",
    "holdfast.orders.v1",
    "holdfast.sales.v1",
)
WEEK_MS = str(7 * 24 * 3600 * 1000)


async def test_each_broker_may_be_lost_for_a_while(stack: FaultStack, cluster: KafkaCluster) -> None:
    """Promises 2 and 5: two of three brokers are enough, whichever of them was leader, coordinator or controller."""
    crowd = Crowd(stack.client, stack.dsn, await stack.open_sale(PLENTY, BRIEF))
    shard = shard_of(crowd.sale_id)

    async with crowd.buying():
        await eventually(lambda: is_under_way(stack, crowd), APPLIED_S)
        for node, broker in cluster.brokers.items():
            broker.kill()
            await eventually(acknowledges_more(crowd), APPLIED_S)
            meta = await stack.meta(shard)
            head = int(meta["epoch"]), int(meta["seq"])
            await eventually(partial(has_applied, stack, shard, head), APPLIED_S)
            await asyncio.to_thread(cluster.start_again, node)
        crowd.stop_buying()

    assert await find_violations(stack, crowd.sale_id, crowd.acknowledged) == []


async def test_a_single_broker_confirms_nothing_and_no_commit_is_lost(stack: FaultStack, cluster: KafkaCluster) -> None:
    """Promise 5: unconfirmed commits stay in Redis, no call waits for them, and the backlog drains afterwards."""
    crowd = Crowd(stack.client, stack.dsn, await stack.open_sale(PLENTY, BRIEF), blocked=0)

    async with crowd.buying():
        await eventually(lambda: is_under_way(stack, crowd), APPLIED_S)
        for node in (1, 2):
            cluster.brokers[node].kill()
        await eventually(acknowledges_more(crowd), APPLIED_S)
        for node in (1, 2):
            await asyncio.to_thread(cluster.start_again, node)
        await eventually(acknowledges_more(crowd), APPLIED_S)
        crowd.stop_buying()

    assert await find_violations(stack, crowd.sale_id, crowd.acknowledged) == []
    assert await count_refusals(stack, crowd.sale_id) == 0


@pytest.mark.parametrize("topic", TOPICS)
async def test_a_topic_deleted_and_made_again_loses_nothing(
    stack: FaultStack, cluster: KafkaCluster, topic: str
) -> None:
    """Promise 2: no topic is the only place of a record.

    Only `holdfast topics` makes it again: the processes ask for no auto-creation, which would make a single partition.
    """
    crowd = Crowd(stack.client, stack.dsn, await stack.open_sale(PLENTY, BRIEF))

    async with crowd.buying():
        await eventually(lambda: is_under_way(stack, crowd), APPLIED_S)
        await asyncio.to_thread(cluster.admin.delete_topics, [topic])
        await eventually(acknowledges_more(crowd), APPLIED_S)
        await make_topics_again(cluster)
        await eventually(acknowledges_more(crowd), APPLIED_S)
        crowd.stop_buying()

    assert await find_violations(stack, crowd.sale_id, crowd.acknowledged) == []


async def test_unread_commits_of_a_deleted_topic_are_sent_again(stack: FaultStack, cluster: KafkaCluster) -> None:
    """Promise 2: the persister is halted, and continues on a topic of the same name with other records and offsets."""
    crowd = Crowd(stack.client, stack.dsn, await stack.open_sale(PLENTY, BRIEF))
    shard = shard_of(crowd.sale_id)

    async with crowd.buying():
        await eventually(lambda: is_under_way(stack, crowd), APPLIED_S)
        with stack.halted("persist"):
            unread = await end_of_commits(cluster, shard)
            await eventually(acknowledges_more(crowd), APPLIED_S)
            await asyncio.to_thread(cluster.admin.delete_topics, [COMMITS])
            await make_topics_again(cluster)
            await eventually(lambda: ends_after(cluster, shard, unread), CUT_S)
        await eventually(acknowledges_more(crowd), APPLIED_S)
        crowd.stop_buying()

    assert await find_violations(stack, crowd.sale_id, crowd.acknowledged) == []


async def test_commits_removed_by_retention_are_sent_again_from_the_outbox(
    stack: FaultStack, cluster: KafkaCluster
) -> None:
    """Promise 2: Kafka deleted commits that no persister had read; the outbox keeps what the ledger lacks."""
    crowd = Crowd(stack.client, stack.dsn, await stack.open_sale(PLENTY, BRIEF))
    shard = shard_of(crowd.sale_id)

    async with crowd.buying():
        await eventually(lambda: is_under_way(stack, crowd), APPLIED_S)
        await stack.take_down("persist")
        unread = await end_of_commits(cluster, shard)
        await eventually(acknowledges_more(crowd), APPLIED_S)
        await asyncio.to_thread(cluster.admin.set_topic, COMMITS, {"retention.ms": "1"})
        await eventually(lambda: begins_after(cluster, shard, unread), CUT_S)
        await asyncio.to_thread(cluster.admin.set_topic, COMMITS, {"retention.ms": WEEK_MS})
        await stack.bring_up("persist")
        await eventually(acknowledges_more(crowd), APPLIED_S)
        crowd.stop_buying()

    assert await find_violations(stack, crowd.sale_id, crowd.acknowledged) == []
    await eventually(lambda: has_read_everything(stack, cluster, shard), APPLIED_S)


async def has_read_everything(stack: FaultStack, cluster: KafkaCluster, shard: int) -> bool:
    """The ledger counts as read what Kafka has deleted, so the next take-over has nothing to doubt."""
    async with connected(stack.running.addresses.postgres_dsn) as db:
        read_offset = await db.fetchval("select read_offset from shard_watermark where shard = $1", shard)
    return bool(read_offset == await end_of_commits(cluster, shard))


async def is_under_way(stack: FaultStack, crowd: Crowd) -> bool:
    """Many claims were acknowledged, and the ledger has begun to apply them."""
    return crowd.has_acknowledged(FIRST_CLAIMS) and (await stack.watermark(shard_of(crowd.sale_id))).seq > 0


def acknowledges_more(crowd: Crowd) -> Callable[[], bool]:
    """A condition: many more claims were acknowledged since."""
    acknowledged = len(crowd.acknowledged)
    return lambda: crowd.has_acknowledged(acknowledged + MORE_CLAIMS)


async def has_applied(stack: FaultStack, shard: int, head: tuple[int, int]) -> bool:
    """The ledger has applied everything up to this commit."""
    mark = await stack.watermark(shard)
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
    """Kafka has lost at least one record that no consumer had read."""
    partition = TopicPartition(COMMITS, shard)
    async with AIOKafkaConsumer(bootstrap_servers=cluster.address) as consumer:
        return int((await consumer.beginning_offsets([partition]))[partition]) > offset
