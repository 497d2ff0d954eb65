"""ArchiveFallback makes no sale twice, whatever happens between the steps of CreateSale; stock and ledger in memory."""

from collections.abc import Awaitable, Callable, Iterator

import pytest
from holdfast.inventory.v1 import error_reason_pb2 as reasons

from inventory_service.domain.archive import ArchivedReservation, ArchivedSale
from inventory_service.domain.events import SaleMade
from inventory_service.domain.in_memory_stock import InMemoryStock
from inventory_service.domain.keys import SaleKey
from inventory_service.domain.results import Failure
from inventory_service.domain.sale import CreateSale, NewItem, SaleRead
from inventory_service.domain.sales import sale_id_reused
from inventory_service.domain.shards import LedgerUnavailable
from inventory_service.service.archive_fallback import MAX_ROUNDS, ArchiveFallback
from inventory_service.service.bulkhead import Bulkhead
from tests.sales import make_sale

SALE, OTHER = SaleKey("default", "lamp-sale"), SaleKey("default", "sofa-sale")
NOW_MS = 1000
# Its window is over, so the sale may be archived as soon as the ledger has settled it.
REQUEST = CreateSale(SALE, "Lamps", 0, NOW_MS - 1, 0, 0, 0, (NewItem("lamp", 10),))
REUSED = sale_id_reused(SALE)

Action = Callable[[], Awaitable[None]]


class StockAndLedger:
    """A stock of one shard, a ledger that has all its commits, and actions that run before the steps of a call."""

    def __init__(self) -> None:
        self.stock = InMemoryStock(lambda: NOW_MS)
        self.actions: Iterator[Action] = iter(())
        self.ledger_is_down = False
        self.fallback = ArchiveFallback(self, self, self, Bulkhead(1), lambda: NOW_MS)  # type: ignore[arg-type]  # what only CreateSale asks

    async def change_sale(self, request: CreateSale) -> object:
        await self._run_next_action()
        return await self.stock.change_sale(request)

    async def sale_exists(self, sale: SaleKey) -> bool:
        await self._run_next_action()
        if self.ledger_is_down:
            raise LedgerUnavailable("down")
        return self.times_made(sale) > 0

    async def find_sale(self, sale: SaleKey) -> ArchivedSale | None:
        raise AssertionError(f"CreateSale does not look up {sale}")

    async def find_reservation(self, sale: SaleKey, reservation_id: str) -> ArchivedReservation:
        raise AssertionError(f"CreateSale does not look up {reservation_id} of {sale}")

    def times_made(self, sale: SaleKey = SALE) -> int:
        """Return how many commits make the sale."""
        events = [event for commit in self.stock.commits() for event in commit.events]
        return [event.request.sale for event in events if isinstance(event, SaleMade)].count(sale)

    async def make(self, sale: SaleKey = SALE) -> None:
        """Make the sale, as another caller does."""
        await make_sale(self.stock, REQUEST._replace(sale=sale))

    async def archive(self, sale: SaleKey = SALE) -> None:
        """Remove the sale from the stock, once the ledger has settled every commit."""
        self.stock.settle_up_to(0, 1, len(self.stock.commits()))
        await self.stock.archive(sale, 0)

    async def make_and_archive(self, sale: SaleKey = SALE) -> None:
        """Make the sale, and archive it at once."""
        await self.make(sale)
        await self.archive(sale)

    async def _run_next_action(self) -> None:
        action = next(self.actions, None)
        if action is not None:
            await action()


async def no_action() -> None:
    """Let the next step run undisturbed."""


@pytest.fixture
def stores() -> StockAndLedger:
    """An empty stock and an empty ledger."""
    return StockAndLedger()


async def test_a_repeat_is_replayed_without_the_ledger(stores: StockAndLedger) -> None:
    """The stock still has the sale, so an outage of the ledger does not matter."""
    first = await stores.fallback.change_sale(REQUEST)
    stores.ledger_is_down = True
    again = await stores.fallback.change_sale(REQUEST)

    assert [found.replayed for found in (first, again) if isinstance(found, SaleRead)] == [False, True]


@pytest.mark.parametrize("steps_before", range(3))
async def test_a_sale_made_and_archived_between_two_steps_is_not_made_again(
    stores: StockAndLedger, steps_before: int
) -> None:
    """Before Redis is asked, before the ledger is, and before the sale would be made."""
    stores.actions = iter([no_action] * steps_before + [stores.make_and_archive])

    assert await stores.fallback.change_sale(REQUEST) == REUSED
    assert stores.times_made() == 1


@pytest.mark.parametrize("steps_before", range(3))
async def test_a_sale_archived_between_two_steps_is_not_made_again(stores: StockAndLedger, steps_before: int) -> None:
    """A repeat during the archiving gets the sale as it was, or the error that its id is taken."""
    await stores.make()
    stores.actions = iter([no_action] * steps_before + [stores.archive])

    result = await stores.fallback.change_sale(REQUEST)

    assert result == REUSED or (isinstance(result, SaleRead) and result.replayed)
    assert stores.times_made() == 1


@pytest.mark.parametrize("steps_before", range(3))
async def test_of_two_concurrent_calls_one_makes_the_sale(stores: StockAndLedger, steps_before: int) -> None:
    """The other call gets the same sale as a replay."""
    stores.actions = iter([no_action] * steps_before + [stores.make])

    result = await stores.fallback.change_sale(REQUEST)

    assert isinstance(result, SaleRead)
    assert result.replayed
    assert stores.times_made() == 1


async def test_another_sale_that_is_archived_only_delays_the_call(stores: StockAndLedger) -> None:
    """The shard counts archived sales without their names, so the ledger is asked once more."""
    stores.actions = iter([no_action, no_action, lambda: stores.make_and_archive(OTHER)])

    result = await stores.fallback.change_sale(REQUEST)

    assert isinstance(result, SaleRead)
    assert not result.replayed


async def test_a_shard_that_archives_sales_all_the_time_fails_the_call(stores: StockAndLedger) -> None:
    """The number of rounds is limited; the caller may repeat the call, for no sale was made."""

    async def make_and_archive_another() -> None:
        await stores.make_and_archive(SaleKey("default", f"sale-{len(stores.stock.commits())}"))

    stores.actions = iter([make_and_archive_another] * (2 * MAX_ROUNDS + 2))

    assert await stores.fallback.change_sale(REQUEST) == Failure(reasons.ERROR_REASON_SHARD_NOT_SERVING)
    assert stores.times_made() == 0


async def test_no_sale_is_made_while_the_ledger_is_down(stores: StockAndLedger) -> None:
    """Its id may be that of an archived sale."""
    stores.ledger_is_down = True

    assert await stores.fallback.change_sale(REQUEST) == Failure(reasons.ERROR_REASON_LEDGER_UNREACHABLE)
    assert stores.times_made() == 0
