"""What tests do to the processes of a shard and ask of them: crashes, first steps of a take-over, where it stands."""

import asyncio
import shutil
from pathlib import Path

from aiokafka import AIOKafkaConsumer, TopicPartition
from holdfast_embedded.valkey import Valkey

from holdfast_runtime.kafka import COMMITS
from inventory_service.domain.shards import BegunTakeover, Commit, LedgerRow, RedisUnavailable
from inventory_service.service.relay.catch_up import CatchUp
from inventory_service.service.relay.takeover import ShardTakeover
from tests.integration.shard_processes import ShardProcesses
from tests.records import commits_from_record
from tests.servers import connected
from tests.waiting import eventually


async def serves_anew(processes: ShardProcesses) -> bool:
    """The shard was taken over."""
    try:
        status = await processes.status()
    except RedisUnavailable as error:  # it waits for a busy disk
        raise AssertionError(f"Redis does not answer: {error}") from error
    return status.serving and status.epoch > processes.epoch


async def journal_of(processes: ShardProcesses) -> list[tuple[int, int]]:
    """The commits that the ledger holds."""
    async with connected(processes.dsn) as db:
        return [tuple(row) for row in await db.fetch("select epoch, seq from journal where shard = 0 order by 1, 2")]


async def sent_to_kafka(processes: ShardProcesses) -> list[Commit]:
    """Every commit of shard 0 that Kafka holds."""
    kafka = processes.kafka
    consumer, partition = AIOKafkaConsumer(bootstrap_servers=kafka.address), TopicPartition(kafka.named(COMMITS), 0)
    await consumer.start()
    consumer.assign([partition])
    await consumer.seek_to_beginning(partition)
    commits: list[Commit] = []
    end = (await processes.commit_offsets.offsets(0)).end
    while await consumer.position(partition) < end:
        commits += commits_from_record((await consumer.getone()).value)[1]
    await consumer.stop()
    return commits


async def first_steps(takeover: ShardTakeover, count: int) -> tuple[LedgerRow, BegunTakeover]:
    """The first steps of a take-over of shard 0, as before a crash."""
    row = await takeover.read_row(0)
    begun = BegunTakeover(0, "", "", 0, 0, "")
    if count >= 2:
        answer = await takeover.begin(0, row)
        assert isinstance(answer, BegunTakeover)
        begun = answer
    if count >= 3:
        caught_up, read = await takeover.catch_up(begun)
        assert caught_up is CatchUp.DONE
        row = read or row
    if count >= 4:
        assert await takeover.fence(begun, row)
    return row, begun


async def crash(processes: ShardProcesses, server: Valkey) -> None:
    """Kill and restart Redis; returns when a connection to the new process answers."""
    server.kill()
    server.start()
    await eventually(lambda: answers(processes))


async def restart_from_copy(processes: ShardProcesses, server: Valkey, copy: Path) -> None:
    """Restart Redis from an older copy of its files."""
    server.kill()
    shutil.rmtree(server.data_dir)
    shutil.copytree(copy, server.data_dir)
    server.start()
    await eventually(lambda: answers(processes))


async def answers(processes: ShardProcesses) -> bool:
    """Redis answers on every connection that was left idle."""
    try:
        await asyncio.gather(*(processes.status() for _ in range(8)))
    except RedisUnavailable:
        return False
    return True


def is_sent(processes: ShardProcesses, commits: int) -> bool:
    """So many commits are in the outbox, and Kafka has them all."""
    backlog = processes.gauges.shown.get(0)
    return backlog is not None and (backlog.sends, backlog.outbox, backlog.unsent) == (True, commits, 0)


async def is_in_kafka(processes: ShardProcesses) -> bool:
    """Kafka holds a record of the shard."""
    return (await processes.commit_offsets.offsets(0)).end > 0


async def frozen(processes: ShardProcesses, words: str) -> bool:
    """The shard is frozen, for this among other reasons."""
    return words in (await processes.status()).frozen_reason
