"""Kafka records back to the commits that the relay put into them."""

from collections.abc import Sequence

from holdfast.inventory.v1.events_pb2 import CommitRun

from inventory_service.domain.shards import Commit


def commits_from_record(value: bytes) -> tuple[int, Sequence[Commit]]:
    """The shard and the commits of a record; raises `google.protobuf.message.DecodeError`."""
    record = CommitRun.FromString(value)
    commits = [
        Commit(record.epoch, seq, commit.payload, commit.hash.decode())
        for seq, commit in enumerate(record.commits, start=record.first_seq)
    ]
    return record.shard, commits
