"""Changes and replaces the shards' copies of the list of blocked buyers, by set_blocked.lua."""

from collections.abc import Sequence

from inventory_service.adapters.redis.connection import Argument
from inventory_service.adapters.redis.keys import blocked_key, shard_keys
from inventory_service.adapters.redis.scripts import RedisScripts, ShardNotServing, unavailable
from inventory_service.domain.blocked_buyers import BlockChange
from inventory_service.domain.keys import BuyerKey


class RedisBlockedCopies:
    """The copies of all shards; `RedisUnavailable` also for a shard that does not serve, whose copy stays as it is."""

    def __init__(self, scripts: RedisScripts) -> None:
        self._scripts = scripts

    async def change(self, shard: int, change: BlockChange) -> bool:
        step = "BLOCK" if change.is_blocked else "UNBLOCK"
        return (await self._run(shard, step, change.version, change.before, str(change.buyer)))[0] == b"DONE"

    async def begin(self, shard: int, version: int, seen: int | None) -> None:
        await self._run(shard, "BEGIN", version, seen or 0)

    async def add(self, shard: int, version: int, buyers: Sequence[BuyerKey]) -> bool:
        return (await self._run(shard, "ADD", version, *map(str, buyers)))[0] == b"DONE"

    async def drop_others(self, shard: int, version: int) -> bool:
        cursor = "0"
        while True:
            result, next_cursor = await self._run(shard, "DROP", version, cursor)
            cursor = next_cursor.decode()
            if result != b"DONE" or cursor == "0":
                return result == b"DONE"

    async def _run(self, shard: int, step: str, *arguments: Argument) -> tuple[bytes, bytes]:
        keys = (*shard_keys(shard), blocked_key(shard))
        try:
            result, cursor = await self._scripts.run("set_blocked", shard, keys, (step, *arguments))
        except ShardNotServing as error:
            raise unavailable(shard, error) from error
        return result, cursor
