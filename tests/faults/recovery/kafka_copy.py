"""Reads all that Kafka holds, and puts it back into emptied topics at the same offsets."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from holdfast.inventory.v1.events_pb2 import CommitRun

COMMITS = "holdfast.commits.v1"
TOPICS = (
    COMMITS,
    "holdfast.ledger-progress.v1",
    "holdfast.compensations.v1",
    "holdfast.orders.v1",
    "holdfast.sales.v1",
)
POLL_MS = 50


class Record(NamedTuple):
    """A record, without its place."""

    key: bytes | None
    value: bytes


KafkaCopy = Mapping[TopicPartition, Sequence[Record]]  # the records from offset 0 on


async def read_kafka(brokers: str, shards: int) -> KafkaCopy:
    """Every record of every topic, as far as it is there when its partition is read."""
    partitions = [TopicPartition(topic, shard) for topic in TOPICS for shard in range(shards)]
    # "latest", the default, can win against a seek to the beginning, and then nothing is read.
    async with AIOKafkaConsumer(bootstrap_servers=brokers, auto_offset_reset="earliest") as consumer:
        consumer.assign(partitions)
        begins = await consumer.beginning_offsets(partitions)
        assert not any(begins.values()), f"records were deleted, so that their offsets cannot come again: {begins}"
        ends = await consumer.end_offsets(partitions)
        await consumer.seek_to_beginning(*partitions)
        copy: dict[TopicPartition, list[Record]] = {partition: [] for partition in partitions}
        while any(len(copy[partition]) < ends[partition] for partition in partitions):
            for partition, fetched in (await consumer.getmany(timeout_ms=POLL_MS)).items():
                copy[partition] += [Record(record.key, record.value) for record in fetched]
    return {partition: records[: ends[partition]] for partition, records in copy.items()}


async def write_kafka(brokers: str, copy: KafkaCopy) -> None:
    """Send every record to its partition, which must be empty."""
    async with AIOKafkaProducer(bootstrap_servers=brokers, acks="all") as producer:
        for (topic, shard), records in copy.items():
            for offset, record in enumerate(records):
                sent = await producer.send_and_wait(topic, record.value, key=record.key, partition=shard)
                assert sent.offset == offset, f"{topic} {shard} was not empty: {sent}"


def commits_of(copy: KafkaCopy) -> set[tuple[int, int, int]]:
    """The commits in Kafka: shard, epoch and seq."""
    runs = (CommitRun.FromString(record.value) for record in _of_topic(copy, COMMITS))
    return {(run.shard, run.epoch, run.first_seq + at) for run in runs for at in range(len(run.commits))}


def _of_topic(copy: KafkaCopy, topic: str) -> Iterable[Record]:
    return (record for partition, records in copy.items() if partition.topic == topic for record in records)
