"""When a relay walks over which sale, on a clock of the test's own and a stock in memory that counts the walks."""

from collections import Counter

import pytest
from holdfast.inventory.v1.error_reason_pb2 import ERROR_REASON_SHARD_NOT_SERVING

from inventory_service.domain.archive import ArchiveStep
from inventory_service.domain.in_memory_stock import InMemoryStock
from inventory_service.domain.keys import SaleKey
from inventory_service.domain.moves import Move, MoveKind
from inventory_service.domain.reservation import Line
from inventory_service.domain.reserve import Reserve
from inventory_service.domain.results import Failure
from inventory_service.domain.sale import CreateSale
from inventory_service.service.relay.archiver import MAX_STEPS, Archiver
from tests.sales import make_sale

HOUR_S = 3600
DAY_MS = 24 * HOUR_S * 1000
SALES = [SaleKey("default", f"sale-{number}") for number in range(3)]
REFUSED = Failure(ERROR_REASON_SHARD_NOT_SERVING)


class Stock(InMemoryStock):
    """Counts the walks over each sale; may refuse, or have walks of many steps."""

    def __init__(self) -> None:
        super().__init__(lambda: round(self.now_s * 1000))
        self.now_s = 1_800_000_000.0
        self.walks: Counter[str] = Counter()
        self.refuses = False
        self.refusals = 0
        self.steps = 1

    async def archive(self, sale: SaleKey, retention_ms: int, cursor: int = 0) -> ArchiveStep | Failure:
        if self.refuses:
            self.refusals += 1
            return REFUSED
        self.walks[sale.sale_id] += 1
        if cursor + 1 < self.steps:
            return ArchiveStep(cursor + 1, 0, sale_left=False, wait_ms=retention_ms)
        return await super().archive(sale, retention_ms)

    async def open_sale(self, sale: SaleKey, end_time_ms: int | None = None) -> None:
        items = (Line("lamp", 100),)
        await make_sale(self, CreateSale(sale, "", None, end_time_ms, DAY_MS, DAY_MS, 0, items))

    async def hold(self, sale: SaleKey, name: str) -> None:
        await self.reserve(Reserve(sale, name, "b-1", (Line("lamp", 1),), None))

    async def end(self, sale: SaleKey, name: str) -> None:
        await self.move(Move(sale, name, MoveKind.RELEASE))

    def settle(self) -> None:
        """Let the ledger have judged everything."""
        self.settle_up_to(0, 1, len(self.commits()))


@pytest.fixture
async def stock() -> Stock:
    """Three sales without a record."""
    stock = Stock()
    for sale in SALES:
        await stock.open_sale(sale)
    return stock


@pytest.fixture
def archiver(stock: Stock) -> Archiver:
    return Archiver(0, stock, lambda: stock.now_s, DAY_MS)


async def look_for(hours: float, stock: Stock, archiver: Archiver) -> None:
    """Look each minute, as often as the relay does or less."""
    for _ in range(round(hours * 60)):
        await archiver.run()
        stock.now_s += 60


async def test_a_sale_in_which_nothing_ends_is_walked_over_once_a_retention(stock: Stock, archiver: Archiver) -> None:
    """Not each minute for nothing."""
    await stock.hold(SALES[0], "held")

    await look_for(23.9, stock, archiver)
    on_the_first_day = dict(stock.walks)
    await look_for(24, stock, archiver)

    assert on_the_first_day == {"sale-0": 1, "sale-1": 1, "sale-2": 1}
    assert stock.walks.total() == 6


async def test_what_ends_all_day_long_leaves_within_an_hour_of_its_time(stock: Stock, archiver: Archiver) -> None:
    """Gathered: the sale is walked over once an hour and not for each record."""
    for minute in range(120):
        await stock.hold(SALES[0], f"r-{minute}")
        await stock.end(SALES[0], f"r-{minute}")
        await look_for(1 / 60, stock, archiver)
    stock.settle()
    await look_for(22, stock, archiver)
    stock.walks.clear()

    await look_for(3.1, stock, archiver)

    assert not stock.state().sales[SALES[0]].reservations
    assert stock.walks["sale-0"] <= 4


async def test_what_the_ledger_has_not_judged_is_tried_again(stock: Stock, archiver: Archiver) -> None:
    """An hour later, and then it leaves."""
    await stock.hold(SALES[0], "r-1")
    await stock.end(SALES[0], "r-1")
    await look_for(25, stock, archiver)
    assert stock.state().sales[SALES[0]].reservations

    stock.settle()
    await look_for(1.1, stock, archiver)

    assert not stock.state().sales[SALES[0]].reservations


async def test_a_sale_that_is_over_leaves_in_time(stock: Stock, archiver: Archiver) -> None:
    """A day after its end, and within the hour; it is not asked for again."""
    over = SaleKey("default", "over")
    await stock.open_sale(over, end_time_ms=round(stock.now_s * 1000) + 5 * HOUR_S * 1000)
    stock.settle()

    await look_for(29, stock, archiver)
    assert over in stock.state().sales
    await look_for(1.1, stock, archiver)
    stock.walks.clear()
    await look_for(24, stock, archiver)

    assert over not in stock.state().sales
    assert "over" not in stock.walks


async def test_a_long_walk_is_taken_in_parts(stock: Stock, archiver: Archiver) -> None:
    """So that holds are taken back meanwhile; the next look goes on where the last one was."""
    stock.steps = 2 * MAX_STEPS

    await archiver.run()
    first = dict(stock.walks)
    await archiver.run()

    assert first == {"sale-0": MAX_STEPS}
    assert stock.walks == {"sale-0": 2 * MAX_STEPS}


async def test_a_shard_that_refuses_is_asked_once_a_look(stock: Stock, archiver: Archiver) -> None:
    """And the walk goes on once it serves again."""
    stock.refuses = True
    await archiver.run()
    stock.refuses = False

    await archiver.run()

    assert stock.refusals == 1
    assert stock.walks.total() == len(SALES)
