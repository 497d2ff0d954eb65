"""What moves do to the units of a reservation, to the stock and to the end of a hold, on each implementation."""

from inventory_service.domain.ports import ExpireStep
from inventory_service.domain.reservation import HELD, RETURNED, Units
from inventory_service.domain.results import Granted, ReservationRead
from inventory_service.domain.sale import SaleRead
from inventory_service.domain.units import Accounts
from tests.contract.requests import MINUTE_MS, SALE, compensate, extend, give_back
from tests.contract.shards import ShardUnderTest
from tests.contract.states import ID, bring_to


async def units_of(shard: ShardUnderTest, lines: tuple[Units, ...]) -> tuple[Accounts, Accounts, dict[str, Accounts]]:
    """The accounts of lamps, of shades and of the buyers; the reservation must stand with these units."""
    found, sale = await shard.stock.find_reservation(SALE, ID), await shard.stock.find_sale(SALE)
    assert isinstance(found, ReservationRead)
    assert isinstance(sale, SaleRead)
    assert found.reservation.lines == lines
    lamps, shades = ({"available": item.available, "held": item.held, "sold": item.sold} for item in sale.sale.items)
    return lamps, shades, await shard.buyers(SALE)


def accounts(available: int, held: int = 0, sold: int = 0) -> Accounts:
    """The accounts of an item."""
    return {"available": available, "held": held, "sold": sold}


async def test_a_partial_confirm_sells_what_it_names_and_gives_back_the_rest(shard: ShardUnderTest) -> None:
    """In one step, so that no other buyer gets the rest before the part is sold. A line that was not sold stays."""
    await bring_to(shard, "PARTLY-SOLD")

    lines = (Units("lamp", 2, 1, 0), Units("shade", 1, 0, 0))

    assert await units_of(shard, lines) == (accounts(9, sold=1), accounts(10), {"b-1": {"held": 0, "sold": 1}})


async def test_returns_say_what_has_come_back_in_all(shard: ShardUnderTest) -> None:
    """What has come back never becomes less, items that are not named stay, and the buyer's limit has room again."""
    await bring_to(shard, "PARTLY-BACK")
    some = (Units("lamp", 2, 2, 1), Units("shade", 1, 1, 0))
    assert await units_of(shard, some) == (accounts(9, sold=1), accounts(9, sold=1), {"b-1": {"held": 0, "sold": 2}})

    more = await shard.stock.move(give_back(ID, shade=1))
    again = await shard.stock.move(give_back(ID, lamp=1, shade=1))
    last = await shard.stock.move(give_back(ID, lamp=2))

    assert isinstance(more, Granted)
    assert again == Granted(more.reservation, replayed=True, read_time_ms=shard.now_ms)
    assert isinstance(last, Granted)
    assert (last.reservation.state, last.reservation.note) == (RETURNED, "broken")
    everything = (Units("lamp", 2, 2, 2), Units("shade", 1, 1, 1))
    assert await units_of(shard, everything) == (accounts(10), accounts(10), {})


async def test_what_is_discarded_leaves_the_sale(shard: ShardUnderTest) -> None:
    """A damaged unit must not be sold again between the return and a later change of the stock."""
    await bring_to(shard, "PARTLY-BACK")

    await shard.stock.move(give_back(ID, discards=True))

    everything = (Units("lamp", 2, 2, 2), Units("shade", 1, 1, 1))
    assert await units_of(shard, everything) == (accounts(9), accounts(9), {})


async def test_a_compensation_gives_back_what_has_not_come_back(shard: ShardUnderTest) -> None:
    """A refused order may have been sold in part and have come back in part: no unit is given back twice."""
    created = await bring_to(shard, "PARTLY-BACK")

    assert await shard.stock.compensate(compensate(ID, created)) is True

    nothing = (Units("lamp", 2, 0, 0), Units("shade", 1, 0, 0))
    assert await units_of(shard, nothing) == (accounts(10), accounts(10), {})


async def test_an_extended_hold_ends_later(shard: ShardUnderTest) -> None:
    """The life is counted from the creation, cut to the sale's longest, and by it the hold is taken back."""
    await bring_to(shard, "HELD")
    await shard.tick(9 * MINUTE_MS)

    longest = await shard.stock.move(extend(ID, 90 * MINUTE_MS))

    assert isinstance(longest, Granted)
    assert longest.reservation.expire_time_ms == longest.reservation.create_time_ms + 30 * MINUTE_MS
    assert (longest.reservation.state, longest.reservation.revision) == (HELD, 2)
    await shard.tick(20 * MINUTE_MS)
    assert await shard.stock.expire(0) == ExpireStep(0, more_is_due=False)
    await shard.tick(MINUTE_MS)
    assert await shard.stock.expire(0) == ExpireStep(1, more_is_due=False)
