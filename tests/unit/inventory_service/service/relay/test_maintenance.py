"""When a relay takes overdue holds back, counts, and rests, on the rule in memory and on a clock of the test's own."""

import asyncio

import pytest
from prometheus_client import CollectorRegistry

from inventory_service import metrics
from inventory_service.domain.backlog import Backlog
from inventory_service.domain.in_memory_stock import InMemoryStock
from inventory_service.domain.keys import SaleKey
from inventory_service.domain.ports import HoldCounts
from inventory_service.domain.reservation import Line
from inventory_service.domain.reserve import Reserve
from inventory_service.domain.sale import CreateSale
from inventory_service.service.relay.maintenance import COUNT_INTERVAL_S, SWEEP_INTERVAL_S, ShardMaintenance
from tests.sales import make_sale

MINUTE_MS = 60_000
SENDS = Backlog(serving=True, sends=True, outbox=0, unsent=0, unsent_s=0.0, unledgered_s=0.0)
SALE = SaleKey("default", "sale-0")


class Shop:
    """A shard's stock, its upkeep, and what was shown of it."""

    def __init__(self) -> None:
        self.now_s = 1_800_000_000.0
        self.stock = InMemoryStock(lambda: round(self.now_s * 1000))
        self.shown: list[HoldCounts] = []
        self.naps: list[float] = []
        self.maintenance = ShardMaintenance(0, self.stock, self, lambda: self.now_s, MINUTE_MS, expiry=True)

    def show(self, shard: int, backlog: Backlog) -> None:
        """The relay shows these."""

    def show_holds(self, shard: int, holds: HoldCounts) -> None:
        self.shown.append(holds)

    async def nap(self, seconds: float) -> None:
        self.naps.append(seconds)

    async def hold(self, count: int, sale: SaleKey = SALE) -> None:
        """Make a sale with holds of a minute."""
        items = (Line("lamp", count),)
        await make_sale(self.stock, CreateSale(sale, "", None, None, MINUTE_MS, MINUTE_MS, 0, items))
        for number in range(count):
            await self.stock.reserve(Reserve(sale, f"r-{number}", "b-1", (Line("lamp", 1),), None))


@pytest.fixture
def shop(monkeypatch: pytest.MonkeyPatch) -> Shop:
    shop = Shop()
    monkeypatch.setattr(asyncio, "sleep", shop.nap)
    return shop


@pytest.mark.parametrize(("sales", "holds"), [(1, 250), (40, 1)], ids=["many holds", "many sales"])
async def test_a_sweep_that_was_cut_goes_on_at_once(shop: Shop, sales: int, holds: int) -> None:
    """A hundred holds of sixteen sales are taken back at a time, and buyers wait for the rest."""
    for number in range(sales):
        await shop.hold(holds, SaleKey("default", f"sale-{number}"))
    shop.now_s += 60

    for _ in range(3):
        assert shop.naps == []
        await shop.maintenance.sweep()

    assert await shop.stock.count_holds(0) == HoldCounts(open=0, overdue=0)
    assert shop.naps == [SWEEP_INTERVAL_S]


async def test_holds_are_counted_while_there_is_more_to_take_back(shop: Shop) -> None:
    """That is when an operator wants to see how many there are."""
    await shop.hold(250)
    shop.now_s += 60

    await shop.maintenance.sweep()
    shop.now_s += COUNT_INTERVAL_S
    await shop.maintenance.sweep()

    assert shop.shown == [HoldCounts(open=0, overdue=150), HoldCounts(open=0, overdue=50)]


async def test_holds_are_counted_now_and_then(shop: Shop) -> None:
    """Counting looks at every sale, so not each sweep does."""
    await shop.hold(2)

    for _ in range(4):
        await shop.maintenance.sweep()
        shop.now_s += COUNT_INTERVAL_S / 2

    assert shop.shown == [HoldCounts(open=2, overdue=0)] * 2


async def test_a_shard_that_is_ours_again_is_counted_at_once(shop: Shop) -> None:
    """While another relay had it, this one showed nothing."""
    await shop.maintenance.sweep()

    shop.maintenance.stand_by()
    await shop.maintenance.sweep()

    assert len(shop.shown) == 2


def test_what_was_counted_is_shown_for_as_long_as_the_shard_is_ours() -> None:
    """And by one relay alone, or a sum over all of them would count a hold twice."""
    registry = CollectorRegistry()
    gauges = metrics.RelayMetrics(registry)

    def are_shown() -> float | None:
        return registry.get_sample_value("holdfast_holds_open", {"shard": "0"})

    gauges.show_holds(0, HoldCounts(open=7, overdue=1))
    gauges.show(0, SENDS)
    ours = are_shown()
    gauges.show(0, SENDS._replace(sends=False))

    assert (ours, are_shown()) == (7, None)
