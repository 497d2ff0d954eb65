"""The demo's sale, from CreateSale to the last commit in the ledger, with the persister killed in between."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

from holdfast.client import Client

from holdfast_embedded.demo.buyer import SKU, SimulatedBuyer
from holdfast_embedded.demo.buyer_results import BuyerResults
from holdfast_embedded.demo.ledger_reader import LedgerReader
from holdfast_embedded.demo.progress_display import ProgressDisplay
from holdfast_embedded.demo.sale_monitor import SaleMonitor
from holdfast_embedded.demo.verification import FinalState
from holdfast_embedded.stack import Stack

HOLD_TTL = timedelta(seconds=2.5)
POLL_S = 0.2
SELLING_DEADLINE_S = 120.0
CATCH_UP_DEADLINE_S = 60.0
KILLED_PROGRAM = "persist"
KILL_AT_SHARE = 0.35  # of the units sold: early enough that much is sold while the persister is down
CONCURRENT_READS = 50


class DemoTimeout(RuntimeError):
    """A step of the demo took too long; the message says which."""


@asynccontextmanager
async def deadline(seconds: float, message: str) -> AsyncIterator[None]:
    """Raise DemoTimeout with a message if the block takes longer."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        raise DemoTimeout(f"{message} after {seconds:g} s") from None


@dataclass(frozen=True)
class SaleSize:
    """The number of units and buyers, and the seed of the buyers' choices."""

    units: int
    buyers: int
    blocked: int
    seed: int


class PersisterCrash:
    """Kills the persister once, when enough units are sold, and notices that the supervisor has restarted it."""

    def __init__(self, stack: Stack, display: ProgressDisplay, units: int) -> None:
        self._stack = stack
        self._display = display
        self._kill_at = KILL_AT_SHARE * units
        self.killed = False
        self.restarted = False

    async def kill_if_due(self, sold: int) -> None:
        """Kill the persister if enough units are sold and it was not killed before."""
        if not self.killed and sold >= self._kill_at:
            await asyncio.to_thread(self._stack.kill, KILLED_PROGRAM)
            self.killed = True
            self._display.log(f"the persister was ended by SIGKILL with {sold:,} units sold; the sale goes on")

    def check_restarted(self) -> None:
        """Log once that the persister runs again."""
        if self.killed and not self.restarted and self._stack.restarts(KILLED_PROGRAM):
            self.restarted = True
            self._display.log("the supervisor has restarted the persister")


@dataclass
class DemoSale:
    """One sale with its buyers, its monitor and its display."""

    client: Client
    ledger: LedgerReader
    monitor: SaleMonitor
    display: ProgressDisplay
    results: BuyerResults
    size: SaleSize
    crash: PersisterCrash
    sale_id: str

    async def run(self) -> tuple[float, float]:
        """Sell out, then let the ledger catch up; return how long each took, in seconds."""
        await self._create()
        began = time.monotonic()
        async with deadline(SELLING_DEADLINE_S, "the sale is not sold out"):
            await self._sell()
        sold_out = time.monotonic()
        self.display.log("every unit is sold and none is held; waiting for the ledger to have every commit")
        async with deadline(CATCH_UP_DEADLINE_S, "the ledger does not have every commit"):
            await self._wait_for_ledger()
        return sold_out - began, time.monotonic() - sold_out

    async def read_final_state(self) -> FinalState:
        """Read everything back, from the service and from the ledger."""
        sale = (await self.client.get_sale(self.sale_id)).sale
        return FinalState(
            units=self.size.units,
            acknowledged=self.results.acknowledged,
            states=await self._read_states(list(self.results.acknowledged)),
            item=sale.items[0],
            ledger_reservations=await self.ledger.reservations(self.sale_id),
            ledger_item=await self.ledger.item(self.sale_id),
        )

    async def _create(self) -> None:
        await self.client.create_sale(self.sale_id, {SKU: self.size.units}, title="Demo", hold_ttl=HOLD_TTL)
        size = self.size
        self.display.log(f"{size.units:,} units, {size.buyers:,} buyers, of whom {size.blocked} will be blocked")

    async def _sell(self) -> None:
        """Run every buyer, and the monitor beside them."""
        async with asyncio.TaskGroup() as tasks:
            monitoring = tasks.create_task(self._poll_forever())
            async with asyncio.TaskGroup() as buying:
                for buyer in self._buyers():
                    buying.create_task(buyer.run())
            monitoring.cancel()

    async def _wait_for_ledger(self) -> None:
        """Poll until the ledger has everything, compensations included, and the persister runs again."""
        while not (await self.monitor.poll() and self.crash.restarted):
            self.display.refresh()
            # On a busy machine the sale may end without a poll in it: the persister is killed here then.
            await self.crash.kill_if_due(self.monitor.item.sold)
            self.crash.check_restarted()
            await asyncio.sleep(POLL_S / 4)

    def _buyers(self) -> Sequence[SimulatedBuyer]:
        return [
            SimulatedBuyer(
                self.client,
                self.results,
                self.sale_id,
                buyer_id=f"{self.sale_id}-b{number}",
                blocked=number < self.size.blocked,
                rng=random.Random(f"{self.size.seed}/{number}"),
            )
            for number in range(self.size.buyers)
        ]

    async def _poll_forever(self) -> None:
        while True:
            await self.monitor.poll()
            self.display.refresh()
            await self.crash.kill_if_due(self.monitor.item.sold)
            self.crash.check_restarted()
            await asyncio.sleep(POLL_S)

    async def _read_states(self, reservation_ids: Sequence[str]) -> dict[str, int]:
        """Read the state of every reservation, CONCURRENT_READS at a time."""
        limit = asyncio.Semaphore(CONCURRENT_READS)

        async def read(reservation_id: str) -> int:
            async with limit:
                return (await self.client.get_reservation(self.sale_id, reservation_id)).reservation.state

        states = await asyncio.gather(*(read(reservation_id) for reservation_id in reservation_ids))
        return dict(zip(reservation_ids, states, strict=True))
