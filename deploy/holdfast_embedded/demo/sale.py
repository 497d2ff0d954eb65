"""The demo's sale from its making to the last commit in the ledger, with the persister killed on the way."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

from holdfast.client import Client

from holdfast_embedded.demo.books import Books
from holdfast_embedded.demo.proof import Evidence
from holdfast_embedded.demo.screen import Screen
from holdfast_embedded.demo.shopper import SKU, Shopper
from holdfast_embedded.demo.tally import Tally
from holdfast_embedded.demo.watch import Watch
from holdfast_embedded.stack import Stack

HOLD_TTL = timedelta(seconds=2.5)
LOOK_EVERY_S = 0.2
SELLING_DEADLINE_S = 120.0
DRAIN_DEADLINE_S = 60.0
VICTIM = "persist"
AT_SHARE = 0.35  # of the units sold: early enough that much is sold while the persister is away
READERS = 50  # reservations read at a time afterwards


class Stuck(RuntimeError):
    """The demo waited in vain; the message says for what."""


@asynccontextmanager
async def deadline(seconds: float, otherwise: str) -> AsyncIterator[None]:
    """Give something so long, or be Stuck."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        raise Stuck(f"{otherwise} after {seconds:g} s") from None


@dataclass(frozen=True)
class Scale:
    """How large the sale is, and which dice its buyers have."""

    units: int
    buyers: int
    blocked: int
    seed: int


class Crash:
    """The accident: the persister is killed once, when enough is sold, and the supervisor brings it back."""

    def __init__(self, stack: Stack, screen: Screen, units: int) -> None:
        self._stack = stack
        self._screen = screen
        self._due_at = AT_SHARE * units
        self.killed = False
        self.mended = False

    async def strike(self, sold: int) -> None:
        """Kill when it is time."""
        if not self.killed and sold >= self._due_at:
            await asyncio.to_thread(self._stack.kill, VICTIM)
            self.killed = True
            self._screen.tell(f"the persister was ended by SIGKILL with {sold:,} units sold; the sale goes on")

    def notice_mending(self) -> None:
        """Say so once when it runs again."""
        if self.killed and not self.mended and self._stack.restarts(VICTIM):
            self.mended = True
            self._screen.tell("the supervisor has started the persister again")


@dataclass
class DemoSale:
    """One sale, its buyers and those who look on."""

    client: Client
    books: Books
    watch: Watch
    screen: Screen
    tally: Tally
    scale: Scale
    crash: Crash
    sale_id: str

    async def run(self) -> tuple[float, float]:
        """Sell out, then let the ledger catch up: how long each took, in seconds."""
        await self._open()
        began = time.monotonic()
        async with deadline(SELLING_DEADLINE_S, "the sale is not over"):
            await self._sell()
        sold_out = time.monotonic()
        self.screen.tell("nothing is left and nothing held; waiting for the ledger to have it all")
        async with deadline(DRAIN_DEADLINE_S, "the ledger does not have it all"):
            await self._drain()
        return sold_out - began, time.monotonic() - sold_out

    async def gather_evidence(self) -> Evidence:
        """Read everything back, from the service and from the ledger."""
        sale = (await self.client.get_sale(self.sale_id)).sale
        return Evidence(
            units=self.scale.units,
            claims=self.tally.claims,
            states=await self._states(list(self.tally.claims)),
            item=sale.items[0],
            rows=await self.books.rows(self.sale_id),
            balance=await self.books.balance(self.sale_id),
        )

    async def _open(self) -> None:
        for shopper in self._shoppers():
            if shopper.blocked:
                await self.client.block_buyer(shopper.buyer_id, "the demo's bots")
        await self.client.create_sale(self.sale_id, {SKU: self.scale.units}, title="Demo", hold_ttl=HOLD_TTL)
        self.screen.tell(
            f"{self.scale.units:,} units, {self.scale.buyers:,} buyers, {self.scale.blocked} of them blocked"
        )

    async def _sell(self) -> None:
        """Let everybody shop while the screen is kept up to date and the persister meets its fate."""
        async with asyncio.TaskGroup() as everything:
            looking = everything.create_task(self._look())
            async with asyncio.TaskGroup() as crowd:
                for shopper in self._shoppers():
                    crowd.create_task(shopper.shop())
            looking.cancel()

    async def _drain(self) -> None:
        """Look on until the ledger has everything, compensations included, and the persister runs again."""
        while not (await self.watch.look() and self.crash.mended):
            self.screen.show()
            await self.crash.strike(self.watch.item.sold)  # here at the latest, if nobody could look while it sold
            self.crash.notice_mending()
            await asyncio.sleep(LOOK_EVERY_S / 4)

    def _shoppers(self) -> Sequence[Shopper]:
        return [
            Shopper(
                self.client,
                self.tally,
                self.sale_id,
                buyer_id=f"{self.sale_id}-b{number}",
                blocked=number < self.scale.blocked,
                dice=random.Random(f"{self.scale.seed}/{number}"),
            )
            for number in range(self.scale.buyers)
        ]

    async def _look(self) -> None:
        while True:
            await self.watch.look()
            self.screen.show()
            await self.crash.strike(self.watch.item.sold)
            self.crash.notice_mending()
            await asyncio.sleep(LOOK_EVERY_S)

    async def _states(self, names: Sequence[str]) -> dict[str, int]:
        """Every reservation as the service reads it back, some at a time."""
        turns = asyncio.Semaphore(READERS)

        async def read(name: str) -> int:
            async with turns:
                return (await self.client.get_reservation(self.sale_id, name)).reservation.state

        return dict(zip(names, await asyncio.gather(*(read(name) for name in names)), strict=True))
