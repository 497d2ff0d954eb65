"""Who serves a shard, who sends its outbox, and what of that the ledger holds: each question one script."""

from collections.abc import Sequence
from typing import Any

from redis.exceptions import ResponseError

from inventory_service.adapters.redis.connections import Argument, RedisConnections
from inventory_service.adapters.redis.keys import shard_keys
from inventory_service.adapters.redis.scripts import Epochs, RedisScripts
from inventory_service.domain.shards import CommitId, LedgerProgress, RedisUnavailable, ShardStatus, Takeover, Trimmed

_FIELDS = ("shards", "epoch", "seq", "hash", "trim_seq", "owner", "claim", "frozen")


class RedisShards:
    """Every script here names the epoch that it speaks of, and does nothing at another: late news is harmless."""

    def __init__(self, connections: RedisConnections) -> None:
        self._connections = connections
        self._scripts = RedisScripts(connections, Epochs())

    async def status(self, shard: int) -> ShardStatus:
        keys = shard_keys(shard)
        async with self._connections.acquire() as connection:
            try:
                values: Any = await connection.ask("HMGET", keys.meta, *_FIELDS)
                length: Any = await connection.ask("XLEN", keys.outbox)
            except ResponseError as error:
                raise RedisUnavailable(str(error)) from error
        return _status(shard, connection.run_id, [value.decode() if value else "" for value in values], length)

    async def trim(self, report: LedgerProgress) -> Trimmed:
        settled = (report.settled_epoch, report.settled_seq)
        verdict, reason, epoch, seq = await self._run(
            "trim", report.shard, report.epoch, report.seq, report.hash, *settled
        )
        return Trimmed(verdict.decode(), reason.decode(), CommitId(epoch, seq))

    async def freeze(self, shard: int, epoch: int, reason: str, token: str = "") -> bool:
        verdict = await self._run("freeze", shard, epoch, reason, token)
        return bool(verdict[0] == b"FROZEN")

    async def claim(self, shard: int, token: str, epoch: int, ledger_frozen: bool) -> Takeover | str:
        verdict, *claimed = await self._run("claim", shard, epoch, token, int(ledger_frozen))
        if verdict != b"CLAIMED":
            return str(verdict.decode())
        own_epoch, seq, head, run_id = claimed
        return Takeover(shard, token, run_id.decode(), own_epoch, seq, head.decode())

    async def adopt(self, claimed: Takeover, epoch: int, shards: int) -> bool:
        verdict = await self._run("adopt", claimed.shard, epoch, claimed.token, claimed.run_id, claimed.hash, shards)
        return bool(verdict[0] == b"ADOPTED")

    async def lease(self, shard: int, relay: str, priority: int, ms: int) -> bool:
        verdict = await self._run("lease", shard, 0, relay, priority, ms)
        return bool(verdict[0] == b"HELD")

    async def _run(self, script: str, shard: int, epoch: int, *arguments: Argument) -> Sequence[Any]:
        return await self._scripts.run_under(epoch, script, shard_keys(shard), arguments)


def _status(shard: int, run_id: str, values: Sequence[str], outbox_length: int) -> ShardStatus:
    shards, epoch, seq, head, trim_seq, owner, claim, frozen = values
    return ShardStatus(
        shard=shard,
        run_id=run_id,
        shards=int(shards or 0),
        epoch=int(epoch or 0),
        seq=int(seq or 0),
        hash=head,
        trim_seq=int(trim_seq or 0),
        owner=owner,
        claim=claim,
        frozen_reason=frozen,
        outbox_length=outbox_length,
    )
