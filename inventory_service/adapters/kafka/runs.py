"""Groups the commits of a shard into Kafka records, each with a run of whole commits."""

from collections.abc import Iterable
from typing import NamedTuple

from holdfast.inventory.v1 import events_pb2

from inventory_service.domain.shards import Commit

RECORD_BYTES = 256 * 1024
_COMMIT_OVERHEAD = 60  # bytes of the hash, and of the tags and lengths of both fields


class Run(NamedTuple):
    """Commits of one shard and epoch without a gap between them, and the record that holds them."""

    shard: int
    commits: tuple[Commit, ...]  # at least one
    value: bytes


def runs_from_commits(shard: int, commits: Iterable[Commit], limit: int = RECORD_BYTES) -> list[Run]:
    """Runs of at most `limit` bytes, in order; a larger commit is a run of its own, because no commit is ever split."""
    runs: list[list[Commit]] = []
    bytes_left = 0
    for commit in commits:
        size = len(commit.payload) + _COMMIT_OVERHEAD
        if not runs or size > bytes_left or not _follows(runs[-1][-1], commit):
            runs.append([])
            bytes_left = limit
        runs[-1].append(commit)
        bytes_left -= size
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
