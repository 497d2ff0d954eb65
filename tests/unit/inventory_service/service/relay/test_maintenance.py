"""When a relay expires overdue holds, counts holds and pauses, with a stock in memory and a clock of the test."""

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
from inventory_service.domain.sale import CreateSale, NewItem
from inventory_service.service.relay.maintenance import COUNT_INTERVAL_S, SWEEP_INTERVAL_S, ShardMaintenance
from tests.sales import make_sale

MINUTE_MS = 60_000
WITH_LEASE = Backlog(serving=True, sends=True, outbox=0, unsent=0, unsent_s=0.0, unledgered_s=0.0, ahead_s=0.0)
SALE = SaleKey("default", "sale-0")


class MaintenanceFixture:
    """A shard's stock, its maintenance, and the exported counts."""

    def __init__(self) -> None:
        self.now_s = 1_800_000_000.0
        self.stock = InMemoryStock(lambda: round(self.now_s * 1000))
        self.shown: list[HoldCounts] = []
        self.pauses: list[float] = []
        self.maintenance = ShardMaintenance(0, self.stock, self, lambda: self.now_s, MINUTE_MS, expiry=True)

    def show(self, shard: int, backlog: Backlog) -> None:
        """Not used here: the relay exports these."""

    def show_holds(self, shard: int, holds: HoldCounts) -> None:
        self.shown.append(holds)

    async def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)

    async def hold(self, count: int, sale: SaleKey = SALE) -> None:
        """Make a sale with holds of a minute."""
        items = (NewItem("lamp", count),)
        await make_sale(self.stock, CreateSale(sale, "", None, None, MINUTE_MS, MINUTE_MS, 0, items))
        for number in range(count):
            await self.stock.reserve(Reserve(sale, f"r-{number}", "b-1", (Line("lamp", 1),), None))


@pytest.fixture
def fixture(monkeypatch: pytest.MonkeyPatch) -> MaintenanceFixture:
    fixture = MaintenanceFixture()
    monkeypatch.setattr(asyncio, "sleep", fixture.pause)
    return fixture


@pytest.mark.parametrize(("sales", "holds"), [(1, 250), (40, 1)], ids=["many holds", "many sales"])
async def test_a_sweep_that_reaches_its_limit_is_followed_by_another_at_once(
    fixture: MaintenanceFixture, sales: int, holds: int
) -> None:
    """One call expires a hundred holds of sixteen sales, and buyers wait for the rest."""
    for number in range(sales):
        await fixture.hold(holds, SaleKey("default", f"sale-{number}"))
    fixture.now_s += 60

    for _ in range(3):
        assert fixture.pauses == []
        await fixture.maintenance.sweep()

    assert await fixture.stock.count_holds(0) == HoldCounts(open=0, overdue=0)
    assert fixture.pauses == [SWEEP_INTERVAL_S]


async def test_holds_are_counted_while_more_are_overdue(fixture: MaintenanceFixture) -> None:
    """An operator needs the count most when many are overdue."""
    await fixture.hold(250)
    fixture.now_s += 60

    await fixture.maintenance.sweep()
    fixture.now_s += COUNT_INTERVAL_S
    await fixture.maintenance.sweep()

    assert fixture.shown == [HoldCounts(open=0, overdue=150), HoldCounts(open=0, overdue=50)]


async def test_holds_are_counted_at_intervals(fixture: MaintenanceFixture) -> None:
    """Counting reads every sale, so not every sweep counts."""
    await fixture.hold(2)

    for _ in range(4):
        await fixture.maintenance.sweep()
        fixture.now_s += COUNT_INTERVAL_S / 2

    assert fixture.shown == [HoldCounts(open=2, overdue=0)] * 2


async def test_a_shard_is_counted_at_once_when_the_lease_is_regained(fixture: MaintenanceFixture) -> None:
    """While another relay had the lease, this one exported no count."""
    await fixture.maintenance.sweep()

    fixture.maintenance.stand_by()
    await fixture.maintenance.sweep()

    assert len(fixture.shown) == 2


def test_the_count_is_exported_only_while_this_relay_has_the_lease() -> None:
    """If two relays exported it, a sum over all of them would count a hold twice."""
    registry = CollectorRegistry()
    gauges = metrics.RelayMetrics(registry)

    def exported() -> float | None:
        return registry.get_sample_value("holdfast_holds_open", {"shard": "0"})

    gauges.show_holds(0, HoldCounts(open=7, overdue=1))
    gauges.show(0, WITH_LEASE)
    while_held = exported()
    gauges.show(0, WITH_LEASE._replace(sends=False))

    assert (while_held, exported()) == (7, None)
