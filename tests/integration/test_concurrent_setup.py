"""Ten concurrent `migrate` or `init` on the same servers: the work is done once, and all of them succeed."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import pytest
import structlog

from inventory_service.domain.shards import LedgerRow, ShardStatus
from inventory_service.service import init
from order_persister.adapters.ledger.migrator import migrate, migrations
from tests.integration.shard_processes import SHARDS, ShardProcesses
from tests.servers import connected
from tests.shared_kafka import Kafka
from tests.waiting import eventually

TEN = 10


@pytest.fixture
async def operators(valkey: str, database: str, kafka: Kafka) -> AsyncIterator[Sequence[ShardProcesses]]:
    """Ten with connections and take-over tokens of their own; no shard is open yet."""
    all_processes = [ShardProcesses(valkey, database, kafka) for _ in range(TEN)]
    yield all_processes
    for processes in all_processes:
        await processes.close()


async def open_at_once(operators: Sequence[ShardProcesses]) -> Sequence[int]:
    """The exit codes of ten `init`."""
    log = structlog.get_logger()
    return await asyncio.gather(
        *(
            init.run(SHARDS, operator.shards, operator.ledger, operator.commit_offsets, operator.takeover(), log)
            for operator in operators
        )
    )


async def test_ten_concurrent_migrations_make_the_tables_once(empty_database: str) -> None:
    """One runs the migrations, and nine wait for it and have nothing left to run."""
    ran = await asyncio.gather(*(migrate(empty_database) for _ in range(TEN)))

    everything = [migration.name for migration in migrations()]
    assert sorted(map(len, ran)) == [0] * (TEN - 1) + [len(everything)]
    async with connected(empty_database) as db:
        noted = await db.fetch("select name from migration order by number")
    assert [row["name"] for row in noted] == everything


async def test_ten_concurrent_inits_open_every_shard_once(operators: Sequence[ShardProcesses]) -> None:
    """They overtake one another, and the last one finds open shards: every exit code is 0."""
    async with operators[0].persister.running():
        assert await open_at_once(operators) == [0] * TEN

    for shard in range(SHARDS):
        status, row = await operators[0].status(shard), await operators[0].ledger.row(shard)
        assert status.serving
        assert row is not None
        assert (row.epoch, row.seq, row.hash) == (status.epoch, 0, "")


async def test_init_does_not_change_an_open_shard(operators: Sequence[ShardProcesses]) -> None:
    """It has commits, some not in the ledger yet: its state is unchanged, epoch and owner too."""
    processes = operators[0]
    await processes.open()
    async with processes.at_work():
        await processes.commit(count=3)
        await eventually(processes.is_drained)
    await processes.commit(count=2)
    before = [await processes.status(shard) for shard in range(SHARDS)]

    codes = await open_at_once(operators)

    assert codes == [0] * TEN
    assert [await processes.status(shard) for shard in range(SHARDS)] == before
    assert before[0].outbox_length == 2


async def test_init_does_not_take_a_shard_opened_meanwhile_for_a_lost_one(
    operators: Sequence[ShardProcesses],
) -> None:
    """Redis is read before, and the ledger after: that looks like a used ledger whose Redis lost its data."""
    processes, slow = operators[0], operators[1]

    class Slow:
        """Opens the shard and commits to it between the two reads."""

        is_first = True

        async def rows(self) -> Mapping[int, LedgerRow]:
            if self.is_first:
                self.is_first = False
                await processes.open()
                async with processes.at_work():
                    await processes.commit()
                    await eventually(processes.is_drained)
            return await slow.ledger.rows()

    statuses: list[ShardStatus] = [await slow.status(shard) for shard in range(SHARDS)]
    assert all(status.blank for status in statuses)

    ledger: Any = Slow()
    code = await init.run(SHARDS, slow.shards, ledger, slow.commit_offsets, slow.takeover(), structlog.get_logger())

    assert code == 0
