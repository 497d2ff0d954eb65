"""Commits of a shard to Kafka records: each holds a run of whole commits."""

from collections.abc import Iterable
from typing import NamedTuple

from holdfast.inventory.v1 import events_pb2

from inventory_service.domain.shards import Commit

RECORD_BYTES = 256 * 1024
_COMMIT_OVERHEAD = 60  # the hash, and tags and lengths around it and the payload


class Run(NamedTuple):
    """Commits of one shard and epoch without a gap between them, and the record that holds them."""

    shard: int
    commits: tuple[Commit, ...]  # never empty
    value: bytes


def runs_from_commits(shard: int, commits: Iterable[Commit], limit: int = RECORD_BYTES) -> list[Run]:
    """Runs of at most `limit` bytes, in order; a commit that is larger makes a run of its own, for none is ever cut."""
    runs: list[list[Commit]] = []
    room = 0
    for commit in commits:
        size = len(commit.payload) + _COMMIT_OVERHEAD
        if not runs or size > room or not _follows(runs[-1][-1], commit):
            runs.append([])
            room = limit
        runs[-1].append(commit)
        room -= size
    return [_run(shard, run) for run in runs]


def _follows(before: Commit, commit: Commit) -> bool:
    return commit.epoch == before.epoch and commit.seq == before.seq + 1


def _run(shard: int, commits: list[Commit]) -> Run:
    record = events_pb2.CommitRun(
        shard=shard,
        epoch=commits[0].epoch,
        first_seq=commits[0].seq,
        commits=[events_pb2.Commit(payload=commit.payload, hash=commit.hash.encode()) for commit in commits],
    )
    return Run(shard, tuple(commits), record.SerializeToString())
