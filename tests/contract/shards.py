"""The implementations of the stock behind one interface, on clocks that tests set.

They are the stock in memory, the scripts in a real Redis, and the scripts behind batcher and archive, as in a server.
"""

import asyncio
import hashlib
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, Protocol

import pytest

from inventory_service.adapters.redis.blocked_buyers import RedisBlockedCopies
from inventory_service.adapters.redis.connectors import connections_to
from inventory_service.adapters.redis.keys import SaleKeys, adjustments_key, blocked_key, sale_keys, shard_keys
from inventory_service.adapters.redis.scripts import (
    RedisScripts,
    Script,
    load_script,
    read_lua,
    script_from_text,
)
from inventory_service.adapters.redis.shards import RedisShards
from inventory_service.adapters.redis.stock import RedisStock
from inventory_service.domain.archive import ArchivedReservation, ArchivedSale
from inventory_service.domain.backpressure import Backpressure
from inventory_service.domain.events import CommitBody, commit_from_payload
from inventory_service.domain.heads import ObservedHeads
from inventory_service.domain.in_memory_stock import InMemoryStock
from inventory_service.domain.keys import SaleKey
from inventory_service.domain.moves import Move
from inventory_service.domain.ports import BlockedCopies, ShardStock, StockMaintenance
from inventory_service.domain.reserve import Reserve, ReserveResult
from inventory_service.domain.results import Failure, Granted
from inventory_service.domain.shard_state import StoredAdjustment
from inventory_service.service.archive_fallback import ArchiveFallback
from inventory_service.service.batcher import Batcher
from inventory_service.service.bulkhead import Bulkhead

FIRST_MOMENT_MS = 1_800_000_000_000
CLOCK_KEY = "holdfast:clock-of-the-test"
TEST_CLOCK = f"  return tonumber(redis.call('GET', '{CLOCK_KEY}'))\n"

# A server makes a sale by itself, and its batcher decides which requests share a commit.
NOT_SERVED = pytest.mark.parametrize("each_shard", ["memory", "scripts"], indirect=True)


class WholeStock(ShardStock, StockMaintenance, Protocol):
    """All calls of an implementation, and its backpressure."""

    backpressure: Backpressure


class ShardUnderTest(Protocol):
    """One shard, in epoch 1: its stock, and what a test does to it besides calls of the stock."""

    stock: WholeStock
    copies: BlockedCopies
    now_ms: int

    async def tick(self, ms: int) -> None:
        """Move the wall clock, also backwards."""

    async def settle_up_to(self, seq: int) -> None:
        """Act as if the ledger had settled everything up to here, and trim the outbox so far."""

    async def commits(self) -> list[CommitBody]:
        """Every commit."""

    async def contents(self) -> Any:
        """Everything that is stored, to be compared with an earlier or later state."""

    async def buyers(self, sale: SaleKey) -> dict[str, dict[str, int]]:
        """Units that each buyer holds and owns."""

    async def blocked(self) -> tuple[int | None, set[str]]:
        """The shard's copy of the list of blocked buyers: its version, and their names."""

    async def keeps(self, sale: SaleKey) -> bool:
        """Whether anything of a sale is stored."""


class InMemoryShard:
    """The stock in memory."""

    def __init__(self, outbox_limit: int) -> None:
        self.now_ms = FIRST_MOMENT_MS
        self.memory = InMemoryStock(lambda: self.now_ms, outbox_limit=outbox_limit)
        self.stock: WholeStock = self.memory
        self.copies: BlockedCopies = self.memory

    async def tick(self, ms: int) -> None:
        self.now_ms += ms

    async def settle_up_to(self, seq: int) -> None:
        self.memory.settle_up_to(0, 1, seq)

    async def commits(self) -> list[CommitBody]:
        return list(self.memory.commits())

    async def contents(self) -> Any:
        return repr(self.memory.state())

    async def buyers(self, sale: SaleKey) -> dict[str, dict[str, int]]:
        return self.memory.state().sales[sale].buyers

    async def blocked(self) -> tuple[int | None, set[str]]:
        copy = self.memory.state().blocked
        return copy.version, {str(buyer) for buyer in copy.buyers}

    async def keeps(self, sale: SaleKey) -> bool:
        return sale in self.memory.state().sales


@cache
def load_script_on_test_clock(name: str) -> Script:
    """Load a script whose clock is a key that the test sets."""
    text, clock = load_script(name).text, read_lua("lib/clock").partition("wall_time_ms()\n")[2].removesuffix("end\n")
    assert text.count(clock) == 1 or "wall_time_ms" not in text, f"no clock to swap in {name}.lua"
    return script_from_text(name, text.replace(clock, TEST_CLOCK))


class RedisShard:
    """The scripts on a real Redis."""

    def __init__(self, url: str, outbox_limit: int) -> None:
        self.now_ms = self.latest_ms = FIRST_MOMENT_MS  # callers' clocks do not go back
        self.heads = ObservedHeads()
        self.connections = connections_to(url, size=2)
        scripts = RedisScripts(self.connections, self.heads, load_script_on_test_clock, lambda: self.latest_ms)
        self.watched = RedisStock(scripts, shards=1, outbox_limit=outbox_limit)
        self.stock: WholeStock = self.watched
        self.copies: BlockedCopies = RedisBlockedCopies(scripts)

    async def ask(self, *command: str | bytes | int) -> Any:
        """Send a command of the test's own."""
        async with self.connections.acquire() as connection:
            return await connection.execute(*command)

    async def open_shard(self) -> None:
        """Write what a take-over would write, so that this suite needs no other script."""
        identity = (await RedisShards(self.connections).status(0)).identity
        start = {"shards": 1, "epoch": 1, "seq": 0, "hash": "", "time": 0, "owner": identity, "format": 1}
        ledger = {"trim_seq": 0, "trim_hash": "", "settled_epoch": 0, "settled_seq": 0}
        fields: list[Any] = [word for pair in (start | ledger).items() for word in pair]
        await self.ask("HSET", shard_keys(0).meta, *fields)
        await self.tick(0)

    async def tick(self, ms: int) -> None:
        self.now_ms += ms
        self.latest_ms = max(self.latest_ms, self.now_ms)
        await self.ask("SET", CLOCK_KEY, self.now_ms)

    async def settle_up_to(self, seq: int) -> None:
        await self.ask("HSET", shard_keys(0).meta, "settled_epoch", 1, "settled_seq", seq, "trim_seq", seq)

    async def commits(self) -> list[CommitBody]:
        """Read the outbox; the hashes must chain and the ids be dense."""
        previous, found = "", []
        entries = await self.ask("XRANGE", shard_keys(0).outbox, "-", "+")
        for seq, (entry_id, (_, payload, _, stored_hash)) in enumerate(entries, 1):
            assert entry_id.decode() == f"1-{seq}"
            previous = hashlib.sha1(previous.encode() + payload).hexdigest()
            assert stored_hash.decode() == previous
            found.append(commit_from_payload(payload, shard=0, epoch=1, seq=seq))
        assert (await self.ask("HGET", shard_keys(0).meta, "hash")).decode() == previous
        return found

    async def contents(self) -> Any:
        """The value of every key but the test's clock."""
        keys = sorted(key for key in await self.ask("KEYS", "*") if key != CLOCK_KEY.encode())
        return {key: await self._value(key) for key in keys}

    async def _value(self, key: bytes) -> Any:
        """As Redis dumps it, but for the order of a hash, which reading alone may change."""
        if await self.ask("TYPE", key) not in (b"hash", "hash"):
            return await self.ask("DUMP", key)
        values = await self.ask("HGETALL", key)
        return dict(zip(values[::2], values[1::2], strict=True))

    async def buyers(self, sale: SaleKey) -> dict[str, dict[str, int]]:
        values = await self.ask("HGETALL", self.keys(sale).buyers)
        units = {buyer.decode(): text.split() for buyer, text in zip(values[::2], values[1::2], strict=True)}
        return {buyer: {"held": int(held), "sold": int(sold)} for buyer, (held, sold) in units.items()}

    async def blocked(self) -> tuple[int | None, set[str]]:
        """The hash; meta must have its size, for where that is 0 the hash is not read."""
        version, size = await self.ask("HMGET", shard_keys(0).meta, "blocked_version", "blocked")
        names = await self.ask("HKEYS", blocked_key(0))
        assert int(size or 0) == len(names)
        return int(version) if version else None, {name.decode() for name in names}

    async def keeps(self, sale: SaleKey) -> bool:
        in_directory = await self.ask("ZSCORE", shard_keys(0).due, str(sale))
        keys = *self.keys(sale), adjustments_key(0, sale)
        return bool(await self.ask("EXISTS", *keys)) or in_directory is not None

    async def holds(self, sale: SaleKey) -> dict[str, int]:
        """When each hold ends, also overdue ones."""
        values = await self.ask("ZRANGE", self.keys(sale).expiry, 0, -1, "WITHSCORES")
        return {name.decode(): int(score) for name, score in zip(values[::2], values[1::2], strict=True)}

    async def first_due(self, sale: SaleKey) -> float:
        """When the sale's first hold ends, as the zset `due` has it."""
        return float(await self.ask("ZSCORE", shard_keys(0).due, str(sale)))

    def keys(self, sale: SaleKey) -> SaleKeys:
        return sale_keys(0, sale)


class EmptyLedger:
    """A ledger without sales and reservations, so that what Redis does not have is unknown."""

    async def find_reservation(self, sale: SaleKey, reservation_id: str) -> ArchivedReservation:
        return ArchivedReservation(has_sale=False, reservation=None)

    async def sale_exists(self, sale: SaleKey) -> bool:
        return False

    async def find_sale(self, sale: SaleKey) -> ArchivedSale | None:
        return None

    async def find_adjustment(self, sale: SaleKey, adjustment_id: str) -> StoredAdjustment | None:
        return None


class ServedShard(RedisShard):
    """The scripts as a server has them: archive around batcher around Redis."""

    def __init__(self, url: str, outbox_limit: int) -> None:
        super().__init__(url, outbox_limit)
        self.stock = _served(self.stock, lambda: self.now_ms)


def _served(redis: WholeStock, now_ms: Callable[[], int]) -> WholeStock:
    batcher = Batcher(redis, shard_of=lambda sale: 0, observe=lambda kind, requests, seconds: None)
    archive = EmptyLedger()
    served: Any = _Overlay(ArchiveFallback(batcher, archive, archive, Bulkhead(1), now_ms), redis)
    return served  # type: ignore[no-any-return]


class _Overlay:
    """The upper stock's methods, and the lower one's where it has none; many requests go one by one."""

    def __init__(self, upper: ArchiveFallback, lower: WholeStock) -> None:
        self._upper = upper
        self._lower = lower

    def __getattr__(self, name: str) -> Any:
        return getattr(self._upper, name, None) or getattr(self._lower, name)

    async def reserve_many(self, shard: int, requests: Sequence[Reserve]) -> Sequence[ReserveResult]:
        return await asyncio.gather(*(self._upper.reserve(request) for request in requests))

    async def move_many(self, shard: int, requests: Sequence[Move]) -> Sequence[Granted | Failure]:
        return await asyncio.gather(*(self._upper.move(request) for request in requests))
