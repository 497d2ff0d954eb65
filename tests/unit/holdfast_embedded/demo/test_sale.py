"""The demo kills the persister in every run, even if the sale ended before the first poll."""

from typing import Any, cast

from holdfast.inventory.v1.sale_pb2 import Item
from holdfast_embedded.demo.sale import DemoSale, PersisterCrash, SaleSize

UNITS = 100


class FakeStack:
    """A stack whose killed persister is restarted at once."""

    kills = 0

    def kill(self, name: str) -> None:
        self.kills += 1

    def restarts(self, name: str) -> int:
        return self.kills


class SoldOutMonitor:
    """A monitor of a sale that is sold out and wholly in the ledger."""

    item = Item(sku="lamp", sold=UNITS)

    async def poll(self) -> bool:
        return True


class NullDisplay:
    """A display that shows nothing."""

    def refresh(self) -> None: ...

    def log(self, event: str) -> None: ...


async def test_the_persister_is_killed_after_the_sale_if_no_poll_came_in_time() -> None:
    """It is killed once, and the demo waits until it runs again before it verifies anything."""
    stack, display = FakeStack(), NullDisplay()
    crash = PersisterCrash(cast(Any, stack), cast(Any, display), UNITS)
    unused = cast(Any, None)
    size = SaleSize(UNITS, buyers=1, blocked=0, seed=1)
    sale = DemoSale(unused, unused, cast(Any, SoldOutMonitor()), cast(Any, display), unused, size, crash, "sale")

    await sale._wait_for_ledger()

    assert (stack.kills, crash.killed, crash.restarted) == (1, True, True)
