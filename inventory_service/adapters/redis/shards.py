"""Reads a shard's state, and changes it: trim, freeze, take-over, lease."""

from collections.abc import Sequence
from typing import Any

from inventory_service.adapters.redis.connection import Argument
from inventory_service.adapters.redis.connections import RENEWAL_INTERVAL_S, SLOW_RENEWAL_INTERVAL_S, RedisConnections
from inventory_service.adapters.redis.keys import blocked_key, shard_keys
from inventory_service.adapters.redis.scripts import RedisScripts, ShardNotServing, unavailable, went_back
from inventory_service.domain.heads import ObservedHeads
from inventory_service.domain.shards import (
    BegunTakeover,
    CommitId,
    Fenced,
    LedgerProgress,
    ShardStatus,
    Trimmed,
)


class RedisShards:
    """Every script that changes a shard gets the epoch that it is about, and does nothing at another.

    So late calls are harmless. `status` observes the head of a shard that serves, and freezes one that went back.
    """

    def __init__(self, connections: RedisConnections, heads: ObservedHeads | None = None) -> None:
        self._connections = connections
        self._scripts = RedisScripts(connections, heads or ObservedHeads())

    async def status(self, shard: int) -> ShardStatus:
        observed = self._scripts.heads.get(shard)  # before the call: the head is never below it then
        status = _status(shard, *await self._run("status", shard))
        if status.serving and status.head < observed:
            reason = went_back(observed, str(status.head))
            await self.freeze(shard, status.epoch, reason)
            status = status._replace(frozen_reason=reason)
        if status.serving:
            self._scripts.heads.observe(shard, status.head)
        else:
            self._connections.renewal.demand(SLOW_RENEWAL_INTERVAL_S if status.owned else RENEWAL_INTERVAL_S)
        return status

    async def trim(self, progress: LedgerProgress) -> Trimmed:
        settled = (progress.settled_epoch, progress.settled_seq)
        reported = (progress.epoch, progress.seq, progress.hash)
        result, reason, epoch, seq = await self._run("trim", progress.shard, *reported, *settled)
        return Trimmed(result.decode(), reason.decode(), CommitId(epoch, seq))

    async def freeze(self, shard: int, epoch: int, reason: str, token: str = "") -> bool:
        result = await self._run("freeze", shard, epoch, reason, token)
        return bool(result[0] == b"FROZEN")

    async def begin_takeover(self, shard: int, token: str, epoch: int, also_serving: bool) -> BegunTakeover | str:
        result, *begun = await self._run("takeover_begin", shard, epoch, token, int(also_serving))
        if result != b"BEGUN":
            return str(result.decode())
        own_epoch, seq, head, identity = begun
        return BegunTakeover(shard, token, identity.decode(), own_epoch, seq, head.decode())

    async def adopt(self, takeover: BegunTakeover, fenced: Fenced) -> bool:
        row = fenced.row
        settled = (row.settled_epoch, row.settled_seq)
        arguments = (row.epoch, takeover.token, takeover.identity, row.hash, row.shards, *settled, *fenced.base)
        result = await self._run("takeover_adopt", takeover.shard, *arguments, keys=[blocked_key(takeover.shard)])
        return bool(result[0] == b"ADOPTED")

    async def lease(self, shard: int, relay: str, priority: int, ms: int) -> bool:
        result = await self._run("lease", shard, relay, priority, ms)
        return bool(result[0] == b"HELD")

    async def _run(self, script: str, shard: int, *arguments: Argument, keys: Sequence[str] = ()) -> Sequence[Any]:
        try:
            return await self._scripts.run(script, shard, [*shard_keys(shard), *keys], arguments)
        except ShardNotServing as error:
            raise unavailable(shard, error) from error


def _status(
    shard: int,
    identity: bytes,
    clock_ms: int,
    time_ms: int,
    outbox_length: int,
    overdue_sales: int,
    meta: Sequence[bytes | None],
) -> ShardStatus:
    values = [(value or b"").decode() for value in meta]
    shards, epoch, seq, head, trim_seq, owner, takeover_token, frozen, parts, base_epoch, base_seq, *others = values
    renewals, blocked = others
    return ShardStatus(
        shard=shard,
        identity=identity.decode(),
        shards=int(shards or 0),
        epoch=int(epoch or 0),
        seq=int(seq or 0),
        hash=head,
        trim_seq=int(trim_seq or 0),
        owner=owner,
        takeover_token=takeover_token,
        frozen_reason=frozen,
        outbox_length=outbox_length,
        overdue_sales=overdue_sales,
        ahead_ms=max(time_ms - clock_ms, 0),
        now_ms=max(time_ms, clock_ms),
        parts=int(parts or 0),
        renewals=int(renewals or 0),
        base=CommitId(int(base_epoch), int(base_seq)) if base_epoch else None,
        blocked_version=int(blocked) if blocked else None,
    )
