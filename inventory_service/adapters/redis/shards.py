"""Reads a shard's state, and changes it: trim, freeze, take-over, lease."""

from collections.abc import Sequence
from typing import Any

from redis.exceptions import ResponseError

from inventory_service.adapters.redis.connections import Argument, RedisConnections
from inventory_service.adapters.redis.keys import shard_keys
from inventory_service.adapters.redis.scripts import Epochs, RedisScripts
from inventory_service.domain.shards import (
    BegunTakeover,
    CommitId,
    LedgerProgress,
    RedisUnavailable,
    ShardStatus,
    Trimmed,
)

_FIELDS = ("shards", "epoch", "seq", "hash", "trim_seq", "owner", "takeover_token", "frozen")


class RedisShards:
    """Every script here gets the epoch that the call is about, and does nothing at another: late calls are harmless."""

    def __init__(self, connections: RedisConnections) -> None:
        self._connections = connections
        self._scripts = RedisScripts(connections, Epochs())

    async def status(self, shard: int) -> ShardStatus:
        keys = shard_keys(shard)
        async with self._connections.acquire() as connection:
            try:
                values: Any = await connection.execute("HMGET", keys.meta, *_FIELDS)
                length: Any = await connection.execute("XLEN", keys.outbox)
            except ResponseError as error:
                raise RedisUnavailable(str(error)) from error
        return _status(shard, connection.run_id, [value.decode() if value else "" for value in values], length)

    async def trim(self, progress: LedgerProgress) -> Trimmed:
        settled = (progress.settled_epoch, progress.settled_seq)
        result, reason, epoch, seq = await self._run(
            "trim", progress.shard, progress.epoch, progress.seq, progress.hash, *settled
        )
        return Trimmed(result.decode(), reason.decode(), CommitId(epoch, seq))

    async def freeze(self, shard: int, epoch: int, reason: str, token: str = "") -> bool:
        result = await self._run("freeze", shard, epoch, reason, token)
        return bool(result[0] == b"FROZEN")

    async def begin_takeover(self, shard: int, token: str, epoch: int, ledger_frozen: bool) -> BegunTakeover | str:
        result, *begun = await self._run("takeover_begin", shard, epoch, token, int(ledger_frozen))
        if result != b"BEGUN":
            return str(result.decode())
        own_epoch, seq, head, run_id = begun
        return BegunTakeover(shard, token, run_id.decode(), own_epoch, seq, head.decode())

    async def adopt(self, takeover: BegunTakeover, epoch: int, shards: int) -> bool:
        arguments = (takeover.token, takeover.run_id, takeover.hash, shards)
        result = await self._run("takeover_adopt", takeover.shard, epoch, *arguments)
        return bool(result[0] == b"ADOPTED")

    async def lease(self, shard: int, relay: str, priority: int, ms: int) -> bool:
        result = await self._run("lease", shard, 0, relay, priority, ms)
        return bool(result[0] == b"HELD")

    async def _run(self, script: str, shard: int, epoch: int, *arguments: Argument) -> Sequence[Any]:
        return await self._scripts.run_under(epoch, script, shard_keys(shard), arguments)


def _status(shard: int, run_id: str, values: Sequence[str], outbox_length: int) -> ShardStatus:
    shards, epoch, seq, head, trim_seq, owner, takeover_token, frozen = values
    return ShardStatus(
        shard=shard,
        run_id=run_id,
        shards=int(shards or 0),
        epoch=int(epoch or 0),
        seq=int(seq or 0),
        hash=head,
        trim_seq=int(trim_seq or 0),
        owner=owner,
        takeover_token=takeover_token,
        frozen_reason=frozen,
        outbox_length=outbox_length,
    )
