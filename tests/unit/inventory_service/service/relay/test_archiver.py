"""When a relay scans which sale, on a clock that the test sets and a stock in memory that counts the scans."""

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
from inventory_service.domain.sale import CreateSale, NewItem
from inventory_service.service.relay.archiver import MAX_STEPS, Archiver
from tests.sales import make_sale

HOUR_S = 3600
DAY_MS = 24 * HOUR_S * 1000
SALES = [SaleKey("default", f"sale-{number}") for number in range(3)]
NOT_SERVING = Failure(ERROR_REASON_SHARD_NOT_SERVING)


class CountingStock(InMemoryStock):
    """Counts the steps over each sale; may not serve, or need many steps for a scan."""

    def __init__(self) -> None:
        super().__init__(lambda: round(self.now_s * 1000))
        self.now_s = 1_800_000_000.0
        self.steps_taken: Counter[str] = Counter()
        self.is_not_serving = False
        self.failed_calls = 0
        self.steps = 1

    async def archive(self, sale: SaleKey, retention_ms: int, cursor: int = 0) -> ArchiveStep | Failure:
        if self.is_not_serving:
            self.failed_calls += 1
            return NOT_SERVING
        self.steps_taken[sale.sale_id] += 1
        if cursor + 1 < self.steps:
            return ArchiveStep(cursor + 1, 0, sale_left=False, wait_ms=retention_ms)
        return await super().archive(sale, retention_ms)

    async def open_sale(self, sale: SaleKey, end_time_ms: int | None = None) -> None:
        items = (NewItem("lamp", 100),)
        await make_sale(self, CreateSale(sale, "", None, end_time_ms, DAY_MS, DAY_MS, 0, items))

    async def hold(self, sale: SaleKey, name: str) -> None:
        await self.reserve(Reserve(sale, name, "b-1", (Line("lamp", 1),), None))

    async def end(self, sale: SaleKey, name: str) -> None:
        await self.move(Move(sale, name, MoveKind.RELEASE))

    def settle(self) -> None:
        """Act as if the ledger had settled everything."""
        self.settle_up_to(0, 1, len(self.commits()))


@pytest.fixture
async def stock() -> CountingStock:
    """Three sales without a record."""
    stock = CountingStock()
    for sale in SALES:
        await stock.open_sale(sale)
    return stock


@pytest.fixture
def archiver(stock: CountingStock) -> Archiver:
    return Archiver(0, stock, lambda: stock.now_s, DAY_MS)


async def run_for(hours: float, stock: CountingStock, archiver: Archiver) -> None:
    """Run the archiver each minute."""
    for _ in range(round(hours * 60)):
        await archiver.run()
        stock.now_s += 60


async def test_a_sale_in_which_nothing_ends_is_scanned_once_per_retention(
    stock: CountingStock, archiver: Archiver
) -> None:
    """A scan that cannot find anything only costs time."""
    await stock.hold(SALES[0], "held")

    await run_for(23.9, stock, archiver)
    on_the_first_day = dict(stock.steps_taken)
    await run_for(24, stock, archiver)

    assert on_the_first_day == {"sale-0": 1, "sale-1": 1, "sale-2": 1}
    assert stock.steps_taken.total() == 6


async def test_records_leave_within_an_hour_after_their_retention(stock: CountingStock, archiver: Archiver) -> None:
    """The sale is scanned once an hour and not for each record."""
    for minute in range(120):
        await stock.hold(SALES[0], f"r-{minute}")
        await stock.end(SALES[0], f"r-{minute}")
        await run_for(1 / 60, stock, archiver)
    stock.settle()
    await run_for(22, stock, archiver)
    stock.steps_taken.clear()

    await run_for(3.1, stock, archiver)

    assert not stock.state().sales[SALES[0]].reservations
    assert stock.steps_taken["sale-0"] <= 4


async def test_a_record_that_is_not_settled_is_scanned_again(stock: CountingStock, archiver: Archiver) -> None:
    """It leaves with the first scan after the ledger has settled it."""
    await stock.hold(SALES[0], "r-1")
    await stock.end(SALES[0], "r-1")
    await run_for(25, stock, archiver)
    assert stock.state().sales[SALES[0]].reservations

    stock.settle()
    await run_for(1.1, stock, archiver)

    assert not stock.state().sales[SALES[0]].reservations


async def test_a_sale_leaves_within_an_hour_after_its_retention(stock: CountingStock, archiver: Archiver) -> None:
    """A day after its end; it is not scanned again."""
    over = SaleKey("default", "over")
    await stock.open_sale(over, end_time_ms=round(stock.now_s * 1000) + 5 * HOUR_S * 1000)
    stock.settle()

    await run_for(29, stock, archiver)
    assert over in stock.state().sales
    await run_for(1.1, stock, archiver)
    stock.steps_taken.clear()
    await run_for(24, stock, archiver)

    assert over not in stock.state().sales
    assert "over" not in stock.steps_taken


async def test_a_long_scan_is_continued_by_the_next_run(stock: CountingStock, archiver: Archiver) -> None:
    """Holds are expired between two runs."""
    stock.steps = 2 * MAX_STEPS

    await archiver.run()
    first = dict(stock.steps_taken)
    await archiver.run()

    assert first == {"sale-0": MAX_STEPS}
    assert stock.steps_taken == {"sale-0": 2 * MAX_STEPS}


async def test_a_shard_that_does_not_serve_is_called_once_per_run(stock: CountingStock, archiver: Archiver) -> None:
    """The scan continues once the shard serves again."""
    stock.is_not_serving = True
    await archiver.run()
    stock.is_not_serving = False

    await archiver.run()

    assert stock.failed_calls == 1
    assert stock.steps_taken.total() == len(SALES)
