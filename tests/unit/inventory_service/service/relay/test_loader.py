"""How large the parts of a load are, and when Redis has no room for one, without servers."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from inventory_service.domain.keys import SaleKey
from inventory_service.domain.load_ports import RecordOfSale
from inventory_service.domain.reservation import HELD
from inventory_service.domain.shard_load import LoadedRecord, SalePart
from inventory_service.domain.shards import VOID, BegunTakeover, CommitId, Fenced, LedgerRow, ShardStatus
from inventory_service.service.relay import loader
from inventory_service.service.relay.loader import (
    BYTES_PER_HOLD,
    PART_SIZE,
    PART_SIZE_OF_IDLE_REDIS,
    CannotLoad,
    ShardLoader,
)
from tests.waiting import eventually

SALE = SaleKey("default", "lamp-sale")
BLANK = BegunTakeover(0, "token", "redis", 0, 0, "")
FENCED = Fenced(LedgerRow(0, 2, 2, 0, "a", 1, 9, ""), CommitId(1, 9))
PAGE = 5000
Between = Callable[[], Any]


class Ledger:
    """Two pages of holds of one shard; between them a test may do something."""

    time_ms = 1

    def __init__(self, between: Between | None = None) -> None:
        self._between = between

    @asynccontextmanager
    async def snapshot(self, fenced: Fenced) -> AsyncIterator["Ledger"]:
        yield self

    async def check(self, fenced: Fenced) -> None:
        pass

    async def count_holds(self, shard: int = 0) -> int:
        return 2 * PAGE

    async def count_commits(self, cutoff_ms: int) -> int:
        return 0

    async def sales(self, cutoff_ms: int, also: Sequence[SaleKey]) -> Sequence[Any]:
        return [SalePart(SALE)]  # of a sale's settings the loader reads the name alone

    async def items(self, sales: Sequence[SaleKey]) -> Sequence[Any]:
        return []

    async def holds(self, sales: Sequence[SaleKey]) -> AsyncGenerator[Sequence[RecordOfSale], None]:
        yield holds(0)
        if self._between is not None:
            await self._between()
        yield holds(PAGE)

    async def nothing(self, *_: object) -> AsyncGenerator[Any, None]:
        for page in list[Any]():
            yield page

    final_records = buyers = refused = nothing


class Redis:
    """Takes parts and remembers their sizes; another shard of it serves or not."""

    def __init__(self, other_serves: bool, room: int | None = None) -> None:
        self.other_serves = other_serves
        self.sizes: list[int] = []
        self._room = room

    async def status(self, shard: int) -> ShardStatus:
        owner = "redis" if self.other_serves else "one before"
        return ShardStatus(shard, "redis", 2, 1, 0, "", 0, owner, "", "", 0)

    async def room(self) -> int | None:
        return self._room

    async def begin_load(self, takeover: BegunTakeover, time_ms: int) -> int | None:
        return 10

    async def clear(self, takeover: BegunTakeover) -> bool:
        return True

    async def write_part(self, takeover: BegunTakeover, number: int, sales: Sequence[SalePart]) -> bool:
        self.sizes.append(sum(part.size for part in sales))
        return True

    async def finish_load(self, takeover: BegunTakeover, fenced: Fenced, time_ms: int, parts: int) -> bool:
        return parts == len(self.sizes)


def holds(first: int) -> list[RecordOfSale]:
    """A page of them."""
    return [(SALE, record(f"r-{number}")) for number in range(first, first + PAGE)]


def record(name: str) -> LoadedRecord:
    return LoadedRecord(name, HELD, 1, 0, 0, 0, 1, 1, 0, 1, 1, 0, 0, "", "", b"", "")


def loads_from(ledger: Ledger, redis: Redis) -> ShardLoader:
    return ShardLoader(ledger, redis, redis, redis, 0, lambda progress: None)  # type: ignore[arg-type]


@pytest.mark.parametrize(("other_serves", "size"), [(True, PART_SIZE), (False, PART_SIZE_OF_IDLE_REDIS)])
async def test_parts_are_small_while_another_shard_of_that_redis_serves(other_serves: bool, size: int) -> None:
    """A part stops Redis while it is written, for all shards; where none serves, nobody waits for it."""
    redis = Redis(other_serves)

    assert await loads_from(Ledger(), redis).load(BLANK, FENCED)

    assert (max(redis.sizes), sum(redis.sizes)) == (size, 2 * PAGE)


async def test_parts_become_small_once_another_shard_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    """After the loss of a whole Redis the first shard that is loaded serves while the others are being loaded."""
    monkeypatch.setattr(loader, "RENEW_S", 0.001)
    redis = Redis(other_serves=False)

    async def other_shard_opens() -> None:
        await eventually(lambda: sum(redis.sizes) == PAGE)
        redis.other_serves = True
        renewed = len(redis.sizes) + 2  # an empty part each: the second was decided on after the other shard served
        await eventually(lambda: len(redis.sizes) >= renewed)

    assert await loads_from(Ledger(other_shard_opens), redis).load(BLANK, FENCED)

    sizes = [size for size in redis.sizes if size]
    assert sizes[:2] == [PART_SIZE_OF_IDLE_REDIS, PAGE - PART_SIZE_OF_IDLE_REDIS]
    assert (max(sizes[2:]), sum(sizes[2:])) == (PART_SIZE, PAGE)


@pytest.mark.parametrize("room", [None, 2 * PAGE * BYTES_PER_HOLD])
async def test_a_redis_with_room_enough_may_be_loaded(room: int | None) -> None:
    """Or without a limit."""
    await loads_from(Ledger(), Redis(False, room)).check_room(BLANK)


async def test_a_blank_redis_without_room_is_not_loaded() -> None:
    """The scripts of a load write also above `maxmemory`, and nothing could be sold there afterwards."""
    no_room = loads_from(Ledger(), Redis(False, 2 * PAGE * BYTES_PER_HOLD - 1))

    with pytest.raises(CannotLoad, match=r"may take 4 MiB more, and 10,000 holds need about 4\.9 MiB: raise"):
        await no_room.check_room(BLANK)


@pytest.mark.parametrize("takeover", [BLANK._replace(epoch=1, hash="a"), BLANK._replace(hash=VOID)])
async def test_a_redis_that_has_an_older_state_gives_its_room_to_the_load(takeover: BegunTakeover) -> None:
    """Or the parts of a load that was cut off, before which it was asked."""
    await loads_from(Ledger(), Redis(False, room=0)).check_room(takeover)
