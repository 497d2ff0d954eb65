"""A shard is loaded from the ledger: what must be as it was, part by part, and what goes on afterwards."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

import pytest
from holdfast.inventory.v1.reservation_pb2 import REJECTION_REASON_RESERVATION_ENDED

from inventory_service.adapters.ledger import load as ledger_pages
from inventory_service.adapters.redis.connections import Argument, OutcomeUnknown
from inventory_service.adapters.redis.keys import shard_keys
from inventory_service.adapters.redis.load import RedisLoadTarget
from inventory_service.adapters.redis.scripts import RedisScripts
from inventory_service.domain.change_hold import ChangeHold
from inventory_service.domain.keys import SaleKey
from inventory_service.domain.moves import Move, MoveKind
from inventory_service.domain.reservation import EXPIRED, HELD, Line
from inventory_service.domain.reserve import Reserve
from inventory_service.domain.results import Failure, Granted, Rejected, ReservationRead
from inventory_service.domain.sale import (
    ActOnSale,
    AdjustStock,
    CreateSale,
    NewItem,
    SaleAction,
    SaleRead,
    SaleRequest,
    UpdateSale,
)
from inventory_service.domain.shard_load import CannotLoad, LoadSize, SalePart
from inventory_service.domain.shards import LOADED, BegunTakeover, Fenced
from inventory_service.service.relay import loader
from tests.contract.shards import load_script_on_test_clock
from tests.integration.loaded_shard import RETENTION_MS, LoadedShard
from tests.servers import connected

SALE = SaleKey("default", "lamp-sale")
PARTS = SaleKey("default", "parts")
HOLD_MS = 60_000
FOR_EVER_MS = 10**13  # the test's clock is not the ledger's
Story = Callable[[LoadedShard], Awaitable[None]]


@pytest.fixture
async def shard(shared_valkey: str, database: str) -> AsyncIterator[LoadedShard]:
    """A shard with a sale of ten lamps."""
    shard = await LoadedShard.opened(shared_valkey, database)
    await shard.create_sale(sale(lamp=10))
    yield shard
    await shard.close()


def sale(key: SaleKey = SALE, end_ms: int | None = None, hold_ms: int = HOLD_MS, **items: int) -> CreateSale:
    """A sale of these items."""
    new = tuple(NewItem(sku, total, buyer_limit=500) for sku, total in sorted(items.items()))
    return CreateSale(key, "Lámparas", None, end_ms, hold_ms, 2 * hold_ms, 4, new)


def reserve(name: str, buyer: str = "ann", lamps: int = 1, hold_ms: int | None = None) -> Reserve:
    return Reserve(SALE, name, buyer, (Line("lamp", lamps),), hold_ms)


async def hold(shard: LoadedShard, *names: str, buyer: str = "ann") -> None:
    for name in names:
        assert isinstance(await shard.stock.reserve(reserve(name, buyer)), Granted)


async def move(shard: LoadedShard, name: str, kind: MoveKind, note: str = "") -> None:
    assert isinstance(await shard.stock.move(Move(SALE, name, kind, note)), Granted)


async def every_state(shard: LoadedShard) -> None:
    """A hold, one with a life of its own, what was sold, given back with a NUL in the note, and a spent id."""
    await hold(shard, "held", "sold", "released")
    assert isinstance(await shard.stock.reserve(reserve("brief", hold_ms=5000)), Granted)
    await move(shard, "sold", MoveKind.CONFIRM)
    await move(shard, "released", MoveKind.RELEASE, "no\0 more")
    await move(shard, "spent", MoveKind.SPEND, "why")


async def refused_orders(shard: LoadedShard) -> None:
    """One refused when it was made, and one at its confirm; a third was given back."""
    await hold(shard, "confirmed", buyer="bob")
    await shard.drain()
    await shard.block("bob", blocked=True)
    await hold(shard, "given-back", buyer="bob")
    await shard.drain()
    await shard.compensate()
    await move(shard, "confirmed", MoveKind.CONFIRM)
    await hold(shard, "made", buyer="bob")


async def a_reused_id(shard: LoadedShard) -> None:
    """The ledger keeps the first order of the id, Redis has the second, whose units come back."""
    await release_and_archive(shard, "twice")
    await hold(shard, "twice", buyer="bob")


async def a_reused_id_given_back(shard: LoadedShard) -> None:
    """The second order has no row in the ledger, and was final lately."""
    await a_reused_id(shard)
    await shard.drain()
    await shard.compensate()


async def release_and_archive(shard: LoadedShard, name: str) -> None:
    await hold(shard, name)
    await move(shard, name, MoveKind.RELEASE)
    await shard.drain()
    await shard.tick(RETENTION_MS)
    await shard.archive_all()


async def overdue_holds(shard: LoadedShard) -> None:
    """Their end has come, and nobody has taken them back yet."""
    await hold(shard, "overdue")
    await shard.tick(HOLD_MS + 1)


async def a_sale_without_units(shard: LoadedShard) -> None:
    """No entry of the ledger names it."""
    await shard.create_sale(sale(SaleKey("default", "empty"), lamp=0))


async def old_and_not_settled(shard: LoadedShard) -> None:
    """An open refusal below them keeps a reservation and a sale in Redis, however long they have been over."""
    await shard.block("bob", blocked=True)
    await hold(shard, "refused", buyer="bob")
    await shard.create_sale(sale(SaleKey("default", "brief"), end_ms=shard.now_ms + 1, lamp=1))
    await hold(shard, "sold")
    await move(shard, "sold", MoveKind.CONFIRM)
    await shard.drain()
    await shard.tick(10 * RETENTION_MS)


async def over_but_held(shard: LoadedShard) -> None:
    """A sale that ended long ago has a hold that nobody has taken back."""
    key = SaleKey("default", "over")
    await shard.create_sale(sale(key, end_ms=shard.now_ms + 1, lamp=1))
    assert isinstance(await shard.stock.reserve(Reserve(key, "late", "ann", (Line("lamp", 1),), None)), Granted)
    await shard.tick(HOLD_MS + 10 * RETENTION_MS)


async def parts_of_orders(shard: LoadedShard, buyer: str = "ann") -> None:
    """A hold that was changed, one that lives longer, one that was sold in part, and two of which units came back."""
    two, one = (Line("lamp", 2), Line("shade", 1)), (Line("lamp", 1),)
    items = (NewItem("lamp", 50, buyer_limit=20), NewItem("shade", 50))
    await shard.create_sale(sale(PARTS)._replace(buyer_limit=0, items=items))
    for name in ("changed", "extended", "part", "back", "all-back"):
        assert isinstance(await shard.stock.reserve(Reserve(PARTS, name, buyer, two, None)), Granted)
    assert isinstance(await shard.stock.change_hold(ChangeHold(PARTS, "changed", (Line("shade", 3),))), Granted)
    for request in (
        Move(PARTS, "extended", MoveKind.EXTEND, hold_ttl_ms=2 * HOLD_MS),
        Move(PARTS, "part", MoveKind.CONFIRM, lines=one),
        Move(PARTS, "back", MoveKind.CONFIRM),
        Move(PARTS, "back", MoveKind.RETURN, "broken", lines=one),
        Move(PARTS, "all-back", MoveKind.CONFIRM, lines=one),
        Move(PARTS, "all-back", MoveKind.RETURN, "broken", discards=True),
    ):
        assert isinstance(await shard.stock.move(request), Granted)


async def refused_parts(shard: LoadedShard) -> None:
    """The same of a buyer whom the ledger refuses, before it has any of it."""
    await shard.block("bob", blocked=True)
    await parts_of_orders(shard, buyer="bob")


async def refused_parts_given_back(shard: LoadedShard) -> None:
    """Their units come back: what was held, and what was sold and had not come back."""
    await refused_parts(shard)
    await shard.drain()
    await shard.compensate()


async def change(shard: LoadedShard, request: SaleRequest) -> None:
    answer = await shard.stock.change_sale(request)
    assert not isinstance(answer, Failure), answer


async def changed_sales(shard: LoadedShard) -> None:
    """Every setting changed, items added, paused; another one closed; none of it is as it was made."""
    other = SaleKey("default", "other")
    await shard.create_sale(sale(other, lamp=3))
    settings: dict[str, str | int | None] = {
        "title": "Größer",
        "end_time_ms": shard.now_ms + 10**9,
        "hold_ttl_ms": 7000,
        "max_hold_ttl_ms": 8000,
        "buyer_limit": 5,
        "attempts_per_minute": 6,
        "return_window_ms": 9000,
    }
    await shard.tick(5)
    await change(shard, UpdateSale(SALE, settings, (NewItem("vase", 4),), actor="ops"))
    await change(shard, ActOnSale(SALE, SaleAction.PAUSE, reason="why"))
    await change(shard, ActOnSale(other, SaleAction.CLOSE))


async def adjusted_stock(shard: LoadedShard) -> None:
    """Up, down, and not at all; asked for in both ways."""
    adjust = AdjustStock(SALE, "a-1", "lamp", 5, None, 10, "found", "note 7", "ops")
    await change(shard, adjust)
    await hold(shard, "held")
    await shard.tick(5)
    await change(
        shard, adjust._replace(adjustment_id="a-2", delta=None, new_total=2, expected_total=None, reference="")
    )
    await change(shard, adjust._replace(adjustment_id="a-3", delta=None, new_total=2, expected_total=2, actor=""))


async def released_holds(shard: LoadedShard) -> None:
    """The close has taken a hundred of them back, and the sweep none yet; one order was refused."""
    await change(shard, UpdateSale(SALE, {"buyer_limit": 0}))
    await change(shard, AdjustStock(SALE, "more", "lamp", 200, None))
    await shard.block("bob", blocked=True)
    for number in range(105):
        await hold(shard, f"r-{number:03}", buyer="bob" if number == 104 else "ann")
    await change(shard, ActOnSale(SALE, SaleAction.CLOSE_AND_RELEASE, reason="Ausverkauf"))


STORIES = (
    changed_sales,
    adjusted_stock,
    released_holds,
    every_state,
    parts_of_orders,
    refused_parts,
    refused_parts_given_back,
    refused_orders,
    a_reused_id,
    a_reused_id_given_back,
    overdue_holds,
    a_sale_without_units,
    old_and_not_settled,
    over_but_held,
)


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


async def test_a_part_that_comes_twice_is_written_once(shard: LoadedShard) -> None:
    """The reply to the first may have been lost."""
    await shard.drain()
    await shard.lose(blank=True)
    begun, fenced = await shard.begin_takeover()
    async with shard.source.snapshot(fenced) as snapshot:
        await shard.target.begin_load(begun, snapshot.time_ms)
        [settings] = await snapshot.sales()
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
    await shard.lose(blank=True)
    begun, fenced = await shard.begin_takeover()
    async with shard.source.snapshot(fenced) as snapshot:
        await shard.target.begin_load(begun, snapshot.time_ms)

        assert not await shard.target.write_part(begun, 2, [])
        assert not await shard.target.finish_load(begun, fenced, snapshot.time_ms, 2)
        await shard.ask("HDEL", shard_keys(0).meta, "parts")
        assert not await shard.target.write_part(begun, 2, [])

    assert (await shard.shards.status(0)).void


async def test_nothing_that_is_loaded_is_cleared(shard: LoadedShard) -> None:
    """A call to clear the shard that comes late, after a part, finds a load that goes on."""
    await shard.drain()
    await shard.lose(blank=True)
    begun, fenced = await shard.begin_takeover()
    async with shard.source.snapshot(fenced) as snapshot:
        await shard.target.begin_load(begun, snapshot.time_ms)
        [settings] = await snapshot.sales()
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
    begun, _ = await taken_over(shard)

    assert await shard.target.size(begun) == LoadSize(reservations=6, buyers=4)
    assert await shard.source.size(0, FOR_EVER_MS) == LoadSize(reservations=6, buyers=4)
    assert await shard.source.size(0, -FOR_EVER_MS) == LoadSize(reservations=3, buyers=4)
    assert await shard.source.count_buyers(0) == 2


async def taken_over(shard: LoadedShard) -> tuple[BegunTakeover, Fenced]:
    """The shard as it is, in a take-over."""
    await shard.lose(blank=False)
    return await shard.begin_takeover()


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
