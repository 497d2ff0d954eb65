"""A shard is loaded from the ledger: what must be as it was, part by part, and what goes on afterwards."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from holdfast.inventory.v1.reservation_pb2 import REJECTION_REASON_RESERVATION_ENDED

from inventory_service.adapters.ledger import load as ledger_pages
from inventory_service.adapters.redis.connection import Argument, OutcomeUnknown
from inventory_service.adapters.redis.keys import sale_keys, shard_keys
from inventory_service.adapters.redis.load import RedisLoadTarget
from inventory_service.adapters.redis.scripts import RedisScripts
from inventory_service.domain.keys import SaleKey
from inventory_service.domain.load_ports import LoadSnapshot
from inventory_service.domain.moves import Move, MoveKind
from inventory_service.domain.reservation import EXPIRED, HELD, Line
from inventory_service.domain.reserve import Reserve
from inventory_service.domain.results import Granted, Rejected, ReservationRead
from inventory_service.domain.sale import SaleRead
from inventory_service.domain.shard_load import CannotLoad, LoadSize, SalePart
from inventory_service.domain.shards import LOADED, BegunTakeover, Fenced
from inventory_service.service.relay import loader
from tests.contract.shards import load_script_on_test_clock
from tests.integration.audit_amid_changes import differences
from tests.integration.load_stories import HOLD_MS, SALE, STORIES, Story, every_state, hold, move, reserve, sale
from tests.integration.loaded_shard import RETENTION_MS, LoadedShard
from tests.servers import connected

FOR_EVER_MS = 10**13  # the test's clock is not the ledger's


@pytest.fixture
async def shard(shared_valkey: str, database: str) -> AsyncIterator[LoadedShard]:
    """A shard with a sale of ten lamps."""
    shard = await LoadedShard.opened(shared_valkey, database)
    await shard.create_sale(sale(lamp=10))
    yield shard
    await shard.close()


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.__name__)
async def test_every_field_is_as_it_was(shard: LoadedShard, story: Story) -> None:
    """What a script wrote is read back from the ledger, in the usual cases as in the rare ones."""
    await story(shard)
    await shard.drain()
    await shard.archive_all()
    await shard.drain()
    before = await shard.stored()

    await shard.load(blank=True)

    assert await shard.stored() == before
    assert await differences(shard, SALE) == ()


async def test_what_was_too_old_to_be_loaded_is_missed_by_no_audit(shard: LoadedShard) -> None:
    """It is final, and had left Redis or was about to; only a record that is younger must be there."""
    await hold(shard, "old")
    await move(shard, "old", MoveKind.CONFIRM)
    await shard.drain()
    await shard.tick(RETENTION_MS + 1)
    await shard.load(blank=True)
    await hold(shard, "young")
    await move(shard, "young", MoveKind.CONFIRM)
    await shard.drain()
    loaded = await shard.ask("HKEYS", sale_keys(0, SALE).reservations)

    found = await differences(shard, SALE)
    await shard.ask("HDEL", sale_keys(0, SALE).reservations, "young")
    lost = await differences(shard, SALE)

    assert (loaded, found) == ([b"young"], ())
    assert [each.subject for each in lost] == ["reservation young"]


async def test_a_load_in_many_parts_is_whole(shard: LoadedShard, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages of the ledger and parts in Redis end at any record."""
    monkeypatch.setattr(ledger_pages, "ROWS_PER_PAGE", 7)
    monkeypatch.setattr(ledger_pages, "COMMITS_PER_PAGE", 3)
    monkeypatch.setattr(loader, "PART_SIZE_OF_IDLE_REDIS", 4)
    monkeypatch.setattr(loader, "SALES_AT_ONCE", 2)
    for number in range(5):
        key = SaleKey("default", f"sale-{number}")
        await shard.create_sale(sale(key, lamp=50, shade=50))
        lines = (Line("lamp", 1), Line("shade", 1))
        held = [Reserve(key, f"r-{one}", f"b-{one}", lines, None) for one in range(20)]
        await shard.stock.reserve_many(0, held)
        await shard.stock.move_many(0, [Move(key, f"r-{one}", MoveKind.CONFIRM) for one in range(0, 20, 3)])
    await shard.drain()
    before = await shard.stored()

    await shard.load(blank=True)

    assert await shard.stored() == before


async def test_a_sale_goes_on_after_a_load(shard: LoadedShard) -> None:
    """Nothing is sold twice, repeats get their results, holds keep their own end, and the ledger takes what follows."""
    await hold(shard, "r-1", "r-2", "r-3", "r-4")
    await hold(shard, "r-5", "r-6", "r-7", "r-8", buyer="bob")
    await move(shard, "r-2", MoveKind.RELEASE)
    await shard.drain()
    await shard.load(blank=True)

    repeated = await shard.stock.reserve(reserve("r-1"))
    ended = await shard.stock.reserve(reserve("r-2"))
    over_limit = await shard.stock.reserve(reserve("r-9", "bob"))
    sold_out = await shard.stock.reserve(reserve("r-10", "cid", lamps=4))
    await move(shard, "r-1", MoveKind.CONFIRM)
    await shard.tick(HOLD_MS)
    await shard.stock.expire(0)
    await shard.drain()

    assert isinstance(repeated, Granted)
    assert (repeated.replayed, repeated.reservation.state) == (True, HELD)
    assert isinstance(ended, Rejected)
    assert ended.reason == REJECTION_REASON_RESERVATION_ENDED
    assert isinstance(over_limit, Rejected)
    assert isinstance(sold_out, Rejected)
    found = await shard.stock.find_reservation(SALE, "r-3")
    assert isinstance(found, ReservationRead)
    assert found.reservation.state == EXPIRED
    assert await available(shard) == 9


async def test_the_time_of_a_loaded_shard_never_goes_back(shard: LoadedShard) -> None:
    """A hold that was taken back in time would else be open again on a Redis whose clock is behind."""
    await hold(shard, "r-1")
    made_ms = shard.now_ms
    await shard.drain()
    await shard.tick(-HOLD_MS)

    await shard.load(blank=True)

    read = await shard.stock.find_sale(SALE)
    assert isinstance(read, SaleRead)
    assert read.read_time_ms == made_ms


async def test_a_ledger_of_a_later_version_is_not_loaded(shard: LoadedShard) -> None:
    """This one would serve the shard without what it does not know, and move other units than the ledger."""
    await hold(shard, "r-1")
    await shard.drain()
    async with connected(shard.dsn) as db:
        await db.execute("insert into migration (number, name) values (9999, 'of a later version')")
        with pytest.raises(CannotLoad, match="tables are of version 9999, and this Holdfast knows 1: load the shard"):
            await shard.load(blank=True)
        await db.execute("delete from migration where number = 9999")

    assert not (await shard.shards.status(0)).serving


class LosesReplies(RedisScripts):
    """Runs each script of a load, and loses the first reply to each call, of a renewal all of them."""

    def __init__(self, shard: LoadedShard) -> None:
        super().__init__(shard.connections, shard.target_scripts.heads, load_script_on_test_clock)
        self._answered: set[object] = set()

    async def run(self, name: str, shard: int, keys: Sequence[str], arguments: Sequence[Argument] = ()) -> list[Any]:
        reply = await super().run(name, shard, keys, arguments)
        call = (name, *arguments)
        if call in self._answered and name != "takeover_renew":
            return reply
        self._answered.add(call)
        raise OutcomeUnknown(f"the reply of {name} is lost")


async def test_no_lost_reply_leaves_anything_out(shard: LoadedShard, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever script it was of, also where renewals come between."""
    monkeypatch.setattr(loader, "RENEW_S", 0.0)
    monkeypatch.setattr(loader, "PART_SIZE_OF_IDLE_REDIS", 1)
    await every_state(shard)
    await shard.drain()
    before = await shard.stored()
    await shard.lose(blank=True)
    begun, fenced = await shard.begin_takeover()

    assert await shard.load_in(begun, fenced, RedisLoadTarget(LosesReplies(shard)))

    assert await shard.stored() == before


@asynccontextmanager
async def begun_load(shard: LoadedShard) -> AsyncIterator[tuple[BegunTakeover, Fenced, LoadSnapshot]]:
    """A load of a blank Redis, of which no part is written yet."""
    await shard.lose(blank=True)
    begun, fenced = await shard.begin_takeover()
    async with shard.source.snapshot(fenced) as snapshot:
        await shard.target.begin_load(begun, snapshot.time_ms)
        yield begun, fenced, snapshot


async def test_a_part_that_comes_twice_is_written_once(shard: LoadedShard) -> None:
    """The reply to the first may have been lost."""
    await shard.drain()
    async with begun_load(shard) as (begun, fenced, snapshot):
        [(_, settings)] = await snapshot.sales()
        part = SalePart(SALE, settings=settings, items=[item for _, item in await snapshot.items([SALE])])

        assert await shard.target.write_part(begun, 1, [part])
        written = await shard.stored()
        assert await shard.target.write_part(begun, 1, [part])
        assert await shard.stored() == written
        assert await shard.target.finish_load(begun, fenced, snapshot.time_ms, 1)
        assert await shard.target.finish_load(begun, fenced, snapshot.time_ms, 1)

    assert await available(shard) == 10


async def test_no_part_is_left_out(shard: LoadedShard) -> None:
    """Neither a part that comes too early nor an end that comes too early is taken: Redis forgot what lies between."""
    async with begun_load(shard) as (begun, fenced, snapshot):
        assert not await shard.target.write_part(begun, 2, [])
        assert not await shard.target.finish_load(begun, fenced, snapshot.time_ms, 2)
        await shard.ask("HDEL", shard_keys(0).meta, "parts")
        assert not await shard.target.write_part(begun, 2, [])

    assert (await shard.shards.status(0)).void


async def test_nothing_that_is_loaded_is_cleared(shard: LoadedShard) -> None:
    """A call to clear the shard that comes late, after a part, finds a load that goes on."""
    await shard.drain()
    async with begun_load(shard) as (begun, _, snapshot):
        [(_, settings)] = await snapshot.sales()
        assert await shard.target.clear(begun)
        await shard.target.write_part(begun, 1, [SalePart(SALE, settings=settings)])
        written = await shard.stored()

        assert not await shard.target.clear(begun)

    assert await shard.stored() == written


async def test_what_a_load_brings_and_takes_is_counted(shard: LoadedShard) -> None:
    """Redis has the same before and after, and the ledger tells it beforehand; of buyers, how many they are at most.

    Redis has two for each here, one of the lamps, which are limited.
    """
    await every_state(shard)
    await hold(shard, "of-bob", buyer="bob")
    await shard.drain()
    await shard.lose(blank=False)
    begun, _ = await shard.begin_takeover()

    assert await shard.target.size(begun) == LoadSize(reservations=6, buyers=4)
    assert await shard.source.size(0, FOR_EVER_MS) == LoadSize(reservations=6, buyers=4)
    assert await shard.source.size(0, -FOR_EVER_MS) == LoadSize(reservations=3, buyers=4)
    assert await shard.source.count_buyers(0) == 2


async def test_a_ledger_that_moved_loads_nothing(shard: LoadedShard) -> None:
    """It was set back, or another take-over has fenced it: Redis keeps what it has."""
    await hold(shard, "r-1")
    await shard.drain()
    await shard.lose(blank=False)
    begun, fenced = await shard.begin_takeover()
    before = await shard.stored()
    assert await shard.ledger.fence(await shard.row(), begun.epoch, LOADED)

    assert not await shard.load_in(begun, fenced)

    assert await shard.stored() == before


async def available(shard: LoadedShard) -> int:
    read = await shard.stock.find_sale(SALE)
    assert isinstance(read, SaleRead)
    return read.sale.items[0].available
