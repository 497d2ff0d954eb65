"""A ledger and a Redis without servers, to load from one into the other."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from inventory_service.domain.keys import SaleKey
from inventory_service.domain.load_ports import RecordOfSale
from inventory_service.domain.reservation import HELD
from inventory_service.domain.shard_load import LoadedBuyer, LoadedRecord, LoadSize, SalePart, StoredSettings
from inventory_service.domain.shards import BegunTakeover, CommitId, Fenced, LedgerRow, RedisUnavailable, ShardStatus
from inventory_service.service.relay.load_progress import LoadProgress
from inventory_service.service.relay.loader import LoaderPorts, ShardLoader

SALE = SaleKey("default", "lamp-sale")
BLANK = BegunTakeover(0, "token", "redis", 0, 0, "")
FENCED = Fenced(LedgerRow(0, 2, 2, 0, "a", 1, 9, ""), CommitId(1, 9))
PAGE = 5000


async def nothing_happens() -> None:
    """The default of what a test does between two pages."""


class FakeLedger:
    """Two pages of holds of one shard, each of another buyer; between the pages a test may do something."""

    time_ms = 1

    def __init__(self, between: Callable[[], Awaitable[None]] = nothing_happens, buyers: int = 2 * PAGE) -> None:
        self._between = between
        self._buyers = buyers

    @asynccontextmanager
    async def snapshot(self, fenced: Fenced) -> AsyncIterator["FakeLedger"]:
        yield self

    async def check(self, fenced: Fenced) -> None:
        pass

    async def size(self, shard: int, retention_ms: int) -> LoadSize:
        return LoadSize(2 * PAGE, 2 * PAGE)

    async def count_buyers(self, shard: int) -> int:
        return self._buyers

    async def sales(self) -> Sequence[tuple[SaleKey, StoredSettings]]:
        return [(SALE, StoredSettings(*(0 for _ in StoredSettings._fields)))]  # type: ignore[arg-type]

    async def items(self, sales: Sequence[SaleKey]) -> Sequence[Any]:
        return []

    async def holds(self, sales: Sequence[SaleKey]) -> AsyncGenerator[Sequence[RecordOfSale], None]:
        yield holds(0)
        await self._between()
        yield holds(PAGE)

    async def buyers(self, sales: Sequence[SaleKey]) -> AsyncGenerator[Sequence[tuple[SaleKey, LoadedBuyer]], None]:
        yield [(SALE, LoadedBuyer(f"b-{number}", 1, 0)) for number in range(2 * PAGE)]

    async def nothing(self, *_: object) -> AsyncGenerator[Any, None]:
        for page in list[Any]():
            yield page

    final_records = refused = adjustments = nothing


class FakeRedis:
    """Takes parts and remembers their sizes; another shard of it serves or not."""

    def __init__(self, other_serves: bool = False, room: int | None = None, before: LoadSize | None = None) -> None:
        self.other_serves = other_serves
        self.sizes: list[int] = []
        self.renewals = 0
        self.answers_renewals = True
        self._room = room
        self._before = before

    async def status(self, shard: int) -> ShardStatus:
        owner = "redis" if self.other_serves else "one before"
        return ShardStatus(shard, "redis", 2, 1, 0, "", 0, owner, "", "", 0)

    async def room(self) -> int | None:
        return self._room

    async def renew(self, takeover: BegunTakeover) -> bool:
        self.renewals += 1
        if not self.answers_renewals:
            raise RedisUnavailable("no reply in time")
        return True

    async def size(self, takeover: BegunTakeover) -> LoadSize | None:
        return self._before

    async def begin_load(self, takeover: BegunTakeover, time_ms: int) -> int | None:
        return 10

    async def clear(self, takeover: BegunTakeover) -> bool:
        return True

    async def write_part(self, takeover: BegunTakeover, number: int, sales: Sequence[SalePart]) -> bool:
        assert number == len(self.sizes) + 1
        self.sizes.append(sum(part.size for part in sales))
        await asyncio.sleep(0)  # other tasks run meanwhile
        return True

    async def finish_load(self, takeover: BegunTakeover, fenced: Fenced, time_ms: int, parts: int) -> bool:
        return parts == len(self.sizes)


def holds(first: int) -> list[RecordOfSale]:
    """A page of them."""
    return [(SALE, record(f"r-{number}")) for number in range(first, first + PAGE)]


def record(name: str) -> LoadedRecord:
    return LoadedRecord(name, HELD, 1, 0, 0, 0, 1, 1, 0, 1, 1, 0, 0, "", "", b"", "")


def loader_of(ledger: FakeLedger, redis: FakeRedis, told: list[LoadProgress] | None = None) -> ShardLoader:
    """A loader from one into the other."""
    progress = [] if told is None else told
    return ShardLoader(LoaderPorts(ledger, redis, redis, redis, 0, progress.append))  # type: ignore[arg-type]
