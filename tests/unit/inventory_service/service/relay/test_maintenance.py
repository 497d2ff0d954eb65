"""When a relay expires overdue holds, counts holds and waits, with a stock in memory and a clock of the test."""

import asyncio

import pytest
from prometheus_client import CollectorRegistry

from inventory_service import metrics
from inventory_service.domain.backlog import Backlog
from inventory_service.domain.in_memory_stock import InMemoryStock
from inventory_service.domain.keys import SaleKey
from inventory_service.domain.ports import ExpireStep, HoldCounts
from inventory_service.domain.reservation import Line
from inventory_service.domain.reserve import Reserve
from inventory_service.domain.results import Failure
from inventory_service.domain.sale import CreateSale, NewItem
from inventory_service.domain.shards import ShardStatus
from inventory_service.service.relay.maintenance import COUNT_INTERVAL_S, ShardMaintenance
from tests.sales import make_sale

MINUTE_MS = 60_000
WITH_LEASE = Backlog(serving=True, sends=True, outbox=0, unsent=0, unsent_s=0.0, unledgered_s=0.0, ahead_s=0.0)
SALE = SaleKey("default", "sale-0")
QUIET = ShardStatus(0, "redis", 1, 1, 0, "", 0, "redis", "", "", outbox_length=0)


class MaintenanceFixture:
    """A shard's stock, its maintenance, and the exported counts."""

    def __init__(self) -> None:
        self.now_s = 1_800_000_000.0
        self.stock = InMemoryStock(lambda: round(self.now_s * 1000))
        self.shown: list[HoldCounts] = []
        self.maintenance = ShardMaintenance(0, self.stock, self, lambda: self.now_s, MINUTE_MS, expiry=True)

    def show(self, shard: int, backlog: Backlog) -> None:
        """Not used here: the relay exports these."""

    def show_holds(self, shard: int, holds: HoldCounts) -> None:
        self.shown.append(holds)

    async def sweep(self) -> None:
        await self.maintenance.wait()
        await self.maintenance.sweep()

    def on_status(self, overdue_sales: int = 0) -> None:
        self.maintenance.on_status(QUIET._replace(overdue_sales=overdue_sales))

    async def waits(self) -> bool:
        """Whether the next sweep does not begin by itself."""
        waiting = asyncio.ensure_future(self.maintenance.wait())
        await asyncio.sleep(0)
        is_waiting = waiting.cancel()
        await asyncio.wait([waiting])
        return is_waiting

    async def hold(self, count: int, sale: SaleKey = SALE) -> None:
        """Make a sale with holds of a minute."""
        items = (NewItem("lamp", count),)
        await make_sale(self.stock, CreateSale(sale, "", None, None, MINUTE_MS, MINUTE_MS, 0, items))
        for number in range(count):
            await self.stock.reserve(Reserve(sale, f"r-{number}", "b-1", (Line("lamp", 1),), None))


@pytest.fixture
def fixture() -> MaintenanceFixture:
    return MaintenanceFixture()


@pytest.mark.parametrize(("sales", "holds"), [(1, 250), (40, 1)], ids=["many holds", "many sales"])
async def test_a_sweep_that_reaches_its_limit_is_followed_by_another_at_once(
    fixture: MaintenanceFixture, sales: int, holds: int
) -> None:
    """One call expires a hundred holds of sixteen sales, and buyers wait for the rest."""
    for number in range(sales):
        await fixture.hold(holds, SaleKey("default", f"sale-{number}"))
    fixture.now_s += 60

    fixture.on_status(overdue_sales=sales)
    for _ in range(3):
        assert not await fixture.waits()
        await fixture.sweep()

    assert await fixture.stock.count_holds(0) == HoldCounts(open=0, overdue=0)
    assert await fixture.waits()


async def test_a_sweep_of_a_shard_without_overdue_holds_does_not_ask_for_them(
    fixture: MaintenanceFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The status has told it, for all shards twice a second; when a hold becomes overdue the next status does."""
    asked: list[int] = []
    expire = fixture.stock.expire

    async def expire_and_note(shard: int) -> ExpireStep | Failure:
        asked.append(shard)
        return await expire(shard)

    monkeypatch.setattr(fixture.stock, "expire", expire_and_note)
    await fixture.hold(1)
    fixture.on_status()
    await fixture.sweep()
    assert asked == []

    fixture.now_s += 60
    fixture.on_status(overdue_sales=1)
    await fixture.sweep()

    assert await fixture.stock.count_holds(0) == HoldCounts(open=0, overdue=0)


async def test_holds_are_counted_while_more_are_overdue(fixture: MaintenanceFixture) -> None:
    """An operator needs the count most when many are overdue."""
    await fixture.hold(250)
    fixture.now_s += 60
    fixture.on_status(overdue_sales=1)

    await fixture.sweep()
    fixture.now_s += COUNT_INTERVAL_S
    await fixture.sweep()

    assert fixture.shown == [HoldCounts(open=0, overdue=150), HoldCounts(open=0, overdue=50)]


async def test_holds_are_counted_at_intervals(fixture: MaintenanceFixture) -> None:
    """Counting reads every sale, so not every sweep counts."""
    await fixture.hold(2)

    for _ in range(4):
        fixture.on_status()
        await fixture.sweep()
        fixture.now_s += COUNT_INTERVAL_S / 2

    assert fixture.shown == [HoldCounts(open=2, overdue=0)] * 2


async def test_a_shard_is_counted_at_once_when_the_lease_is_regained(fixture: MaintenanceFixture) -> None:
    """While another relay had the lease, this one exported no count."""
    fixture.on_status()
    await fixture.sweep()

    fixture.maintenance.stand_by()
    fixture.on_status()
    await fixture.sweep()

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
