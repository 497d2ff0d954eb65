"""Commits are lost, repeated or altered between Redis and the ledger, and the ledger detects it.

The relay is down, and the test sends the commits of the outbox to Kafka itself.
"""

from collections.abc import Sequence
from typing import Any

import asyncpg
import pytest
from holdfast.errors import OutcomeUnknown, ShardNotServing, StoreUnreachable
from holdfast.inventory.v1.events_pb2 import Commit, CommitRun
from holdfast.inventory.v1.inventory_service_pb2 import ReserveResponse
from redis.asyncio import Redis

from tests.crowd import SKU, Acknowledged
from tests.fault_stack import FaultStack, client_without_retries, shard_of
from tests.promise_checks import find_violations
from tests.servers import connected
from tests.topics import Topics
from tests.waiting import eventually

pytestmark = pytest.mark.timeout(300)  # the waits' own deadlines come first, and say more
UNITS, ORDERS = 20, 4
SEEN_S = SERVES_S = 60.0


async def test_a_commit_lost_before_the_ledger_is_sent_again(stack: FaultStack) -> None:
    """Promise 2: nothing beyond the gap is applied, and the ledger requests the missing commit and gets it."""
    await stack.take_down("relay")
    sale_id = await stack.open_sale(UNITS)
    acknowledged, shard = await stack.sell(sale_id, ORDERS), shard_of(sale_id)
    before, lost, *after = await commits_in_redis(stack, shard)

    async with Topics.of(stack.running.addresses.kafka_brokers) as topics:
        for run in (before, *after):
            await topics.send(shard, run)
        await eventually(lambda: is_resend_requested(topics, lost), SEEN_S)
    assert (await stack.watermark(shard)).seq == before.first_seq

    await stack.bring_up("relay")
    assert await find_violations(stack, sale_id, acknowledged) == []


async def test_repeated_and_reordered_commits_are_applied_once(stack: FaultStack) -> None:
    """Promise 3: the ledger drops commits that it has applied, so no unit is granted or given back twice."""
    await stack.take_down("relay")
    sale_id = await stack.open_sale(UNITS)
    acknowledged, shard = await stack.sell(sale_id, ORDERS), shard_of(sale_id)
    runs = await commits_in_redis(stack, shard)

    async with Topics.of(stack.running.addresses.kafka_brokers) as topics:
        for run in [*reversed(runs), *(run for run in runs for _ in range(2)), *reversed(runs)]:
            await topics.send(shard, run)
    await eventually(lambda: has_applied(stack, shard, runs[-1]), SEEN_S)

    await stack.bring_up("relay")
    assert await find_violations(stack, sale_id, acknowledged) == []


async def test_a_commit_that_cannot_be_read_is_quarantined_and_sent_again(stack: FaultStack) -> None:
    """Promise 2: the damaged record is kept for an operator, and the original commit is sent again."""
    await stack.take_down("relay")
    sale_id = await stack.open_sale(UNITS)
    acknowledged, shard = await stack.sell(sale_id, ORDERS), shard_of(sale_id)
    before, lost, *_ = await commits_in_redis(stack, shard)
    damaged = altered(lost, payload=lost.commits[0].payload[:-1])

    async with Topics.of(stack.running.addresses.kafka_brokers) as topics:
        for run in (before, damaged):
            await topics.send(shard, run)
        await eventually(lambda: is_resend_requested(topics, lost), SEEN_S)
    async with connected(stack.running.addresses.postgres_dsn) as db:
        kept = await db.fetchval("select payload from quarantined_record where shard = $1", shard)
    assert kept == damaged.commits[0].payload

    await stack.bring_up("relay")
    assert await find_violations(stack, sale_id, acknowledged) == []


async def test_a_shard_with_a_failing_give_back_serves_again_after_a_repair(stack: FaultStack) -> None:
    """Promise 4: a shard serves no call while the ledger cannot record a give-back; the reason names the constraint."""
    sale_id = await stack.open_sale(UNITS)
    shard, hold = shard_of(sale_id), "to-be-released"
    acknowledged = await stack.sell(sale_id, ORDERS)
    await stack.client.reserve(sale_id, hold, "buyer", {SKU: 1})
    async with connected(stack.running.addresses.postgres_dsn) as db:
        await eventually(lambda: is_in_ledger(db, sale_id, hold))
        await db.execute("alter table reservation add constraint a_mistake check (state <> 'RELEASED') not valid")
        released = await stack.client.release(sale_id, hold)
        await eventually(lambda: is_frozen_in_redis(stack, shard), SEEN_S)
        refusal = await eventually(lambda: not_serving_error(stack, sale_id), SEEN_S)
        assert refusal.metadata["frozen_reason"].startswith("GIVE_BACK_REFUSED: ")
        assert "a_mistake" in refusal.metadata["frozen_reason"]

        await db.execute("alter table reservation drop constraint a_mistake")

    await eventually(lambda: serves_again(stack, shard), SERVES_S)
    acknowledged[hold] = Acknowledged(hold, 1, blocked=False, state=released.reservation.state)
    assert await find_violations(stack, sale_id, acknowledged) == []


async def commits_in_redis(stack: FaultStack, shard: int) -> Sequence[CommitRun]:
    """The outbox as records of one commit each; its entries are `<epoch>-<seq>` with payload and hash."""
    async with Redis.from_url(stack.running.addresses.redis_url) as redis:
        entries: Any = await redis.xrange(f"holdfast:{{{shard}}}:outbox")
    runs = []
    for position, fields in entries:
        epoch, seq = map(int, position.split(b"-"))
        commit = Commit(payload=fields[b"p"], hash=fields[b"h"])
        runs.append(CommitRun(shard=shard, epoch=epoch, first_seq=seq, commits=[commit]))
    return runs


def altered(run: CommitRun, payload: bytes) -> CommitRun:
    """The same record with another payload."""
    changed = Commit(payload=payload, hash=run.commits[0].hash)
    return CommitRun(shard=run.shard, epoch=run.epoch, first_seq=run.first_seq, commits=[changed])


async def is_resend_requested(topics: Topics, run: CommitRun) -> bool:
    """The ledger requests this commit again."""
    reports = await topics.reports(run.shard)
    return any((report.epoch, report.resend_from_seq) == (run.epoch, run.first_seq) for report in reports)


async def has_applied(stack: FaultStack, shard: int, run: CommitRun) -> bool:
    """The ledger holds everything up to this commit."""
    mark = await stack.watermark(shard)
    return (mark.epoch, mark.seq) >= (run.epoch, run.first_seq)


async def is_in_ledger(db: "asyncpg.Connection[asyncpg.Record]", sale_id: str, reservation_id: str) -> bool:
    """The ledger has a row of the reservation."""
    query = "select count(*) from reservation where sale_id = $1 and reservation_id = $2"
    return bool(await db.fetchval(query, sale_id, reservation_id))


async def is_frozen_in_redis(stack: FaultStack, shard: int) -> bool:
    """Redis has the shard frozen."""
    return "frozen" in await stack.meta(shard)


async def serves_again(stack: FaultStack, shard: int) -> bool:
    """Neither Redis nor the ledger has the shard frozen."""
    return (
        not {"frozen", "takeover_token"} & set(await stack.meta(shard))
        and not (await stack.watermark(shard)).frozen_reason
    )


async def not_serving_error(stack: FaultStack, sale_id: str) -> ShardNotServing | None:
    """The error of a Reserve once it names the reason of the freeze; None before."""
    async with client_without_retries(stack.running) as client:
        try:
            answer: ReserveResponse = await client.reserve(sale_id, "late", "late", {SKU: 1})
        except ShardNotServing as refusal:
            return refusal if "frozen_reason" in refusal.metadata else None
        except (StoreUnreachable, OutcomeUnknown):
            return None
    raise AssertionError(f"it was served: {answer}")
