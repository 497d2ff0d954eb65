"""A double of the persister that knows only the chain: it moves the watermark, keeps the journal, and reports.

It accepts and rejects commits as the relay may expect of the ledger; it writes no reservations and refuses no orders.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition
from holdfast.inventory.v1.events_pb2 import LedgerProgress

from holdfast_runtime.kafka import COMMITS, PERSISTER_GROUP, PROGRESS
from inventory_service.domain.shards import Commit, hash_of
from tests.records import commits_from_record
from tests.servers import connected
from tests.shared_kafka import Kafka

REPORT_INTERVAL_S = 0.2
JOURNAL = "insert into journal (shard, epoch, seq, hash, payload) values ($1, $2, $3, $4, $5)"
MOVE = """update shard_watermark set epoch = $2, seq = $3, hash = $4, settled_epoch = $2, settled_seq = $3
           where shard = $1"""
ENTER = """insert into shard_epoch (shard, epoch, base_epoch, base_seq, base_hash, how, known_lost)
           values ($1, $2, $3, $4, $5, 'ADOPTED', false) on conflict do nothing"""
UNREAD = "select read_offset from shard_watermark where shard = $1 and frozen_reason is null"
READ = "update shard_watermark set read_offset = $2 + 1, read_digest = sha256($3) where shard = $1 and read_offset = $2"
SEEN = """update shard_watermark set seen_epoch = $2, seen_seq = $3
           where shard = $1 and greatest((epoch, seq), (seen_epoch, seen_seq)) < ($2::bigint, $3::bigint)"""


class PersisterDouble:
    """Loses or alters commits with given seqs once each, or rejects them for good."""

    def __init__(self, kafka: Kafka, dsn: str, shards: int) -> None:
        self.kafka = kafka
        self._dsn = dsn
        self._shards = shards
        self.lose: set[int] = set()
        self.alter: set[int] = set()
        self.refuse: set[int] = set()
        self.refusals = 0
        self.requests_resend = True
        self.records = 0

    @asynccontextmanager
    async def running(self) -> AsyncIterator["PersisterDouble"]:
        async with connected(self._dsn) as db, asyncio.TaskGroup() as group:
            producer = AIOKafkaProducer(bootstrap_servers=self.kafka.address)
            await producer.start()
            tasks = [
                group.create_task(self._persist(db, producer)),
                group.create_task(self._report_regularly(producer)),
            ]
            try:
                yield self
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
                await producer.stop()

    async def _persist(self, db: asyncpg.Connection, producer: AIOKafkaProducer) -> None:
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self.kafka.address,
            group_id=self.kafka.named(PERSISTER_GROUP),
            enable_auto_commit=False,
            auto_offset_reset="earliest",
        )
        await consumer.start()
        partitions = [TopicPartition(self.kafka.named(COMMITS), shard) for shard in range(self._shards)]
        consumer.assign(partitions)
        try:
            while True:
                for partition in partitions:
                    await self._rewind(db, consumer, partition)
                for records in (await consumer.getmany(timeout_ms=100, max_records=1)).values():
                    await self._read(db, producer, records[0])
                    await consumer.commit()
        finally:
            await consumer.stop()

    async def _rewind(self, db: asyncpg.Connection, consumer: AIOKafkaConsumer, partition: TopicPartition) -> None:
        """Begin where the row has read to, which may have been frozen or set back meanwhile."""
        offset = await db.fetchval(UNREAD, partition.partition)
        if offset is not None and offset < await consumer.position(partition):
            consumer.seek(partition, offset)

    async def _read(self, db: asyncpg.Connection, producer: AIOKafkaProducer, record: ConsumerRecord) -> None:
        """In one transaction, so that a test that ends the double finds a record read as a whole, or not at all."""
        self.records += 1
        async with db.transaction():
            was_frozen = await db.fetchval(UNREAD, record.partition) is None
            missing = await self._apply(db, record)
            if not was_frozen:
                await db.execute(READ, record.partition, record.offset, record.value)
        await self._report(db, producer, record.partition, resend=missing and self.requests_resend)

    async def _apply(self, db: asyncpg.Connection, record: ConsumerRecord) -> bool:
        """Apply a record's commits; whether the last of them is beyond a gap."""
        shard, commits = commits_from_record(record.value)
        missing = False
        await db.execute(SEEN, shard, *commits[-1].commit_id)
        for commit in commits:
            if commit.seq in self.lose:
                self.lose.discard(commit.seq)
                continue
            if commit.seq in self.alter | self.refuse:
                self.alter.discard(commit.seq)
                commit = commit._replace(payload=commit.payload + b"\x12\x00")
            missing = not await self._take(db, shard, commit)
        return missing

    async def _take(self, db: asyncpg.Connection, shard: int, commit: Commit) -> bool:
        """Apply one commit; False if there is a gap before it."""
        row = await db.fetchrow("select * from shard_watermark where shard = $1 for update", shard)
        if row is None or row["frozen_reason"] or (commit.epoch, commit.seq) <= (row["epoch"], row["seq"]):
            return True
        if commit.epoch == row["epoch"] and commit.seq > row["seq"] + 1:
            return False
        is_amid_later_epoch = commit.epoch > row["epoch"] and commit.seq > 1
        if is_amid_later_epoch or commit.hash != hash_of(row["hash"], commit.payload):
            self.refusals += 1
            reason = "CHAIN_BROKEN: a commit does not follow"
            await db.execute("update shard_watermark set frozen_reason = $2 where shard = $1", shard, reason)
            return True
        await db.execute(JOURNAL, shard, commit.epoch, commit.seq, commit.hash, commit.payload)
        await db.execute(ENTER, shard, commit.epoch, row["epoch"], row["seq"], row["hash"])
        await db.execute(MOVE, shard, *commit.commit_id, commit.hash)
        return True

    async def _report_regularly(self, producer: AIOKafkaProducer) -> None:
        async with connected(self._dsn) as db:
            while True:
                for shard in range(self._shards):
                    await self._report(db, producer, shard)
                await asyncio.sleep(REPORT_INTERVAL_S)

    async def _report(
        self, db: asyncpg.Connection, producer: AIOKafkaProducer, shard: int, resend: bool = False
    ) -> None:
        row = await db.fetchrow("select * from shard_watermark where shard = $1", shard)
        if row is not None:
            await publish_progress(producer, self.kafka, progress_from_row(row, resend))


def progress_from_row(row: asyncpg.Record, resend: bool = False) -> LedgerProgress:
    return LedgerProgress(
        shard=row["shard"],
        epoch=row["epoch"],
        seq=row["seq"],
        hash=row["hash"].encode(),
        settled_epoch=row["settled_epoch"],
        settled_seq=row["settled_seq"],
        resend_from_seq=row["seq"] + 1 if resend else 0,
        frozen_reason=row["frozen_reason"] or "",
    )


async def publish_progress(producer: AIOKafkaProducer, kafka: Kafka, progress: LedgerProgress) -> None:
    await producer.send_and_wait(kafka.named(PROGRESS), progress.SerializeToString(), partition=progress.shard)
