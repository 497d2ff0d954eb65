"""No sale is made twice, whatever happens between the steps of CreateSale, by a stock and a ledger in memory."""

from collections.abc import Awaitable, Callable, Iterator

import pytest
from holdfast.inventory.v1 import error_reason_pb2 as reasons

from inventory_service.domain.archive import ArchivedReservation, ArchivedSale
from inventory_service.domain.events import SaleMade
from inventory_service.domain.in_memory_stock import InMemoryStock
from inventory_service.domain.keys import SaleKey
from inventory_service.domain.reservation import Line
from inventory_service.domain.results import Failure
from inventory_service.domain.sale import CreateSale, SaleRead
from inventory_service.domain.sales import sale_id_reused
from inventory_service.domain.shards import LedgerUnavailable
from inventory_service.service.archive_fallback import MAX_ROUNDS, ArchiveFallback
from inventory_service.service.bulkhead import Bulkhead
from tests.sales import make_sale

SALE, OTHER = SaleKey("default", "lamp-sale"), SaleKey("default", "sofa-sale")
NOW_MS = 1000
OVER = CreateSale(SALE, "Lamps", 0, NOW_MS - 1, 0, 0, 0, (Line("lamp", 10),))  # may leave as soon as it is settled
REUSED = sale_id_reused(SALE)

Step = Callable[[], Awaitable[None]]


class World:
    """A store of one shard, a ledger that holds all that was told, and something that happens before each step."""

    def __init__(self) -> None:
        self.stock = InMemoryStock(lambda: NOW_MS)
        self.between: Iterator[Step] = iter(())
        self.is_away = False
        self.served = ArchiveFallback(self, self, self, Bulkhead(1), lambda: NOW_MS)  # type: ignore[arg-type]  # what only CreateSale asks

    async def change_sale(self, request: CreateSale) -> object:
        await self._something()
        return await self.stock.change_sale(request)

    async def sale_exists(self, sale: SaleKey) -> bool:
        await self._something()
        if self.is_away:
            raise LedgerUnavailable("away")
        return self.times_made(sale) > 0

    async def find_sale(self, sale: SaleKey) -> ArchivedSale | None:
        raise AssertionError(sale)  # not asked here

    async def find_reservation(self, sale: SaleKey, reservation_id: str) -> ArchivedReservation:
        raise AssertionError(sale)  # not asked here

    def times_made(self, sale: SaleKey = SALE) -> int:
        """How often the ledger was told of the making of a sale."""
        events = [event for commit in self.stock.commits() for event in commit.events]
        return [event.request.sale for event in events if isinstance(event, SaleMade)].count(sale)

    async def make(self, sale: SaleKey = SALE) -> None:
        """Another caller makes a sale that is over."""
        await make_sale(self.stock, OVER._replace(sale=sale))

    async def leave(self, sale: SaleKey = SALE) -> None:
        """The ledger has judged everything, and the relay lets the sale leave."""
        self.stock.settle_up_to(0, 1, len(self.stock.commits()))
        await self.stock.archive(sale, 0)

    async def come_and_go(self, sale: SaleKey = SALE) -> None:
        """A whole life."""
        await self.make(sale)
        await self.leave(sale)

    async def _something(self) -> None:
        step = next(self.between, None)
        if step is not None:
            await step()


async def nothing() -> None:
    """Let the next step be taken undisturbed."""


@pytest.fixture
def world() -> World:
    """Nothing was made yet."""
    return World()


async def test_a_sale_is_made_and_its_repeat_replayed(world: World) -> None:
    """The repeat needs no ledger."""
    first = await world.served.change_sale(OVER)
    world.is_away = True
    again = await world.served.change_sale(OVER)

    assert [found.replayed for found in (first, again) if isinstance(found, SaleRead)] == [False, True]


@pytest.mark.parametrize("undisturbed", range(3))
async def test_a_sale_that_comes_and_goes_between_two_steps_is_not_made_again(world: World, undisturbed: int) -> None:
    """Before Redis is asked, before the ledger is, and before the sale would be made."""
    world.between = iter([nothing] * undisturbed + [world.come_and_go])

    assert await world.served.change_sale(OVER) == REUSED
    assert world.times_made() == 1


@pytest.mark.parametrize("undisturbed", range(3))
async def test_a_sale_that_leaves_between_two_steps_is_not_made_again(world: World, undisturbed: int) -> None:
    """A repeat just when its sale leaves hears how it stood, or that its id is taken."""
    await world.make()
    world.between = iter([nothing] * undisturbed + [world.leave])

    answer = await world.served.change_sale(OVER)

    assert answer == REUSED or (isinstance(answer, SaleRead) and answer.replayed)
    assert world.times_made() == 1


@pytest.mark.parametrize("undisturbed", range(3))
async def test_of_two_at_once_one_makes_the_sale(world: World, undisturbed: int) -> None:
    """And the other hears of it."""
    world.between = iter([nothing] * undisturbed + [world.make])

    answer = await world.served.change_sale(OVER)

    assert isinstance(answer, SaleRead)
    assert answer.replayed
    assert world.times_made() == 1


async def test_another_sale_that_leaves_delays_the_making_only(world: World) -> None:
    """The shard cannot tell which one left, so the ledger is asked once more."""
    world.between = iter([nothing, nothing, lambda: world.come_and_go(OTHER)])

    answer = await world.served.change_sale(OVER)

    assert isinstance(answer, SaleRead)
    assert not answer.replayed


async def test_a_shard_that_sales_leave_all_the_time_makes_the_caller_come_again(world: World) -> None:
    """An end of the looking, and nothing was made."""

    async def another() -> None:
        await world.come_and_go(SaleKey("default", f"sale-{len(world.stock.commits())}"))

    world.between = iter([another] * (2 * MAX_ROUNDS + 2))

    assert await world.served.change_sale(OVER) == Failure(reasons.ERROR_REASON_SHARD_NOT_SERVING)
    assert world.times_made() == 0


async def test_no_sale_is_made_while_the_ledger_is_away(world: World) -> None:
    """Its id may be one of the past."""
    world.is_away = True

    assert await world.served.change_sale(OVER) == Failure(reasons.ERROR_REASON_LEDGER_UNREACHABLE)
    assert world.times_made() == 0
