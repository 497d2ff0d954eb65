"""What happens in a shard before it is loaded: stories that leave every kind of row in the ledger."""

from collections.abc import Awaitable, Callable

from inventory_service.domain.change_hold import ChangeHold
from inventory_service.domain.keys import SaleKey
from inventory_service.domain.moves import Move, MoveKind
from inventory_service.domain.reservation import Line
from inventory_service.domain.reserve import Reserve
from inventory_service.domain.results import Failure, Granted
from inventory_service.domain.sale import (
    ActOnSale,
    AdjustStock,
    CreateSale,
    NewItem,
    SaleAction,
    SaleRequest,
    UpdateSale,
)
from tests.integration.loaded_shard import RETENTION_MS, LoadedShard

SALE = SaleKey("default", "lamp-sale")
PARTS = SaleKey("default", "parts")
HOLD_MS = 60_000
Story = Callable[[LoadedShard], Awaitable[None]]


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
    """Their end has come, and the relay has not expired them yet."""
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
    """A sale that ended long ago has a hold that the relay has not expired."""
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
