"""A broker and a ledger around a persister: sends one shard's commits and reads the topics that it publishes to."""

from collections import defaultdict
from dataclasses import dataclass, field

import asyncpg
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from holdfast.inventory.v1.events_pb2 import ReservationFact

from bench.commits import FakeShard
from holdfast_runtime.kafka import COMMITS, ORDERS
from tests.shared_kafka import Kafka
from tests.waiting import eventually

SHARDS = 16
JOIN_S = 45.0


@dataclass(repr=False)
class PersisterFixture:
    """A shard whose commits are sent to Kafka, and a consumer of the other topics."""

    kafka: Kafka
    dsn: str
    shard: FakeShard
    db: "asyncpg.Connection[asyncpg.Record]"
    producer: AIOKafkaProducer
    consumer: AIOKafkaConsumer
    sent: int = 0
    buffered: defaultdict[str, list[bytes]] = field(default_factory=lambda: defaultdict(list))

    async def send(self, first: int | None = None) -> None:
        """Send what the shard did since the last time (or from a commit on), a record for every ten commits."""
        first = self.sent if first is None else first
        for start in range(first, len(self.shard.commits), 10):
            await self.send_value(self.shard.run(start, start + 10))
        self.sent = len(self.shard.commits)

    async def send_value(self, value: bytes) -> None:
        await self.producer.send_and_wait(self.kafka.named(COMMITS), value, partition=self.shard.shard)

    async def end(self) -> int:
        """The offset of the shard's next record."""
        partition = TopicPartition(self.kafka.named(COMMITS), self.shard.shard)
        return int((await self.consumer.end_offsets([partition]))[partition])

    async def seq(self) -> int:
        return int(await self.db.fetchval("select seq from shard_watermark where shard = $1", self.shard.shard))

    async def is_applied(self) -> bool:
        return await self.seq() == len(self.shard.commits)

    async def is_published(self) -> bool:
        query = "select facts_seq from shard_watermark where shard = $1"
        return bool(await self.db.fetchval(query, self.shard.shard) == len(self.shard.commits))

    async def receive(self, topic: str) -> list[bytes]:
        """The records of a topic that have come since the last call for it."""
        for tp, records in (await self.consumer.getmany(timeout_ms=200)).items():
            self.buffered[tp.topic.removeprefix(self.kafka.prefix)] += [record.value for record in records]
        return self.buffered.pop(topic, [])

    async def facts(self) -> list[ReservationFact]:
        """Every fact on the topic, repeats included, up to the last change of the shard."""
        facts: list[ReservationFact] = []

        async def are_all_there() -> bool:
            facts.extend(map(ReservationFact.FromString, await self.receive(ORDERS)))
            return bool(facts) and facts[-1].position.seq == self.shard.seq

        await eventually(are_all_there, JOIN_S)
        return facts


async def is_value(db: "asyncpg.Connection[asyncpg.Record]", query: str, value: object) -> bool:
    return bool(await db.fetchval(query) == value)
