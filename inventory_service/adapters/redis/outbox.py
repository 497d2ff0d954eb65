"""Reads a shard's outbox: commits in order, from any position that is not trimmed yet."""

from collections.abc import Sequence
from typing import Any

from google.protobuf.message import DecodeError
from holdfast.inventory.v1.commit_pb2 import CommitBody
from redis.exceptions import ResponseError

from inventory_service.adapters.redis.connection import Argument
from inventory_service.adapters.redis.connections import RedisConnections
from inventory_service.adapters.redis.keys import shard_keys
from inventory_service.domain.shards import Commit, CommitId, RedisUnavailable

COMMITS_AT_ONCE = 128  # some hundred KiB under load; XREAD has no limit in bytes
REPLY_TIMEOUT_S = 5.0  # beyond the time that a read may block


class RedisOutbox:
    """Needs a connection for each shard that is read at the same time, because a read blocks its connection."""

    def __init__(self, connections: RedisConnections) -> None:
        self._connections = connections

    async def read_after(self, shard: int, commit_id: CommitId, wait_ms: int) -> Sequence[Commit]:
        """The next commits, in order; waits at most `wait_ms` (1 or more) for one, and then returns none."""
        wait = ("BLOCK", wait_ms, "STREAMS", shard_keys(shard).outbox, str(commit_id))
        reply = await self._execute(
            shard, "XREAD", "COUNT", COMMITS_AT_ONCE, *wait, timeout_s=wait_ms / 1000 + REPLY_TIMEOUT_S
        )
        return [commit_from_entry(entry) for _, entries in reply or () for entry in entries]

    async def find(self, shard: int, commit_id: CommitId) -> Commit | None:
        """One commit, or None if it is trimmed or does not exist."""
        entries = await self._execute(shard, "XRANGE", shard_keys(shard).outbox, str(commit_id), str(commit_id))
        return commit_from_entry(entries[0]) if entries else None

    async def time_after(self, shard: int, commit_id: CommitId) -> int | None:
        """The time of the first commit after `commit_id`, in ms by the shard's clock; None if nothing tells it.

        One that does not decode is the persister's to refuse, and must not end the relay of all other shards.
        """
        entries = await self._execute(shard, "XRANGE", shard_keys(shard).outbox, f"({commit_id}", "+", "COUNT", 1)
        try:
            return CommitBody.FromString(commit_from_entry(entries[0]).payload).time_ms if entries else None
        except DecodeError:
            return None

    async def _execute(self, shard: int, *command: Argument, timeout_s: float = REPLY_TIMEOUT_S) -> Any:
        async with self._connections.acquire(shard) as connection:
            try:
                return await connection.execute(*command, timeout_s=timeout_s)
            except ResponseError as error:
                raise RedisUnavailable(str(error)) from error


def commit_from_entry(entry: Sequence[Any]) -> Commit:
    """Parse a stream entry: its id is `<epoch>-<seq>`, its fields are `p`, the payload, and `h`, the hash."""
    epoch, _, seq = entry[0].partition(b"-")
    name_p, payload, name_h, digest = entry[1]
    assert (name_p, name_h) == (b"p", b"h"), f"an outbox entry with the fields {name_p!r} and {name_h!r}"
    return Commit(int(epoch), int(seq), payload, digest.decode())
