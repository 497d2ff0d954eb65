"""A load of its own: buyers who reserve, confirm, release or leave holds, and remember every answer that they got."""

import asyncio
import random
import uuid
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta

from holdfast.client import Client
from holdfast.errors import (
    ReservationNotFound,
    SaleNotFound,
    TryLater,
    WrongReservationState,
)
from holdfast.inventory.v1.reservation_pb2 import Reservation, ReservationState

CONFIRMS, RELEASES = 0.55, 0.15  # shares of the holds; the others are left open, and some of them expire
PACE_S = (0.05, 0.2)  # between a buyer's steps
AFTER_REJECTION_S = 0.3
MAX_QUANTITY = 1000  # of a line
MAX_HOLD_TTL = timedelta(minutes=10)  # of the sales, and of a hold that must not expire before it is confirmed
CONFIRMED = ReservationState.RESERVATION_STATE_CONFIRMED


@dataclass(frozen=True)
class Answer:
    """A state of a reservation that a caller was told. `seq` and `index` place the change in its shard's epoch."""

    sale_id: str
    reservation_id: str
    buyer_id: str
    units: tuple[tuple[str, int], ...]  # SKU and quantity, sorted
    state: int
    revision: int
    shard: int
    epoch: int
    seq: int
    index: int

    @property
    def key(self) -> tuple[str, str]:
        """Sale and reservation."""
        return (self.sale_id, self.reservation_id)

    @property
    def commit(self) -> tuple[int, int, int]:
        """The commit of the change: shard, epoch and seq."""
        return (self.shard, self.epoch, self.seq)


class Load:
    """Buyers of some sales. They repeat a call until it is answered, so a fault only makes them wait."""

    def __init__(self, client: Client, sales: Mapping[str, Sequence[str]], buyers: Iterable[str], seed: str) -> None:
        self.answers: list[Answer] = []  # in the order in which they came
        self.not_found: set[tuple[str, str]] = set()  # sale and reservation that had an answer, and are unknown now
        self._client = client
        self.sales = sales  # id -> SKUs
        self._buyers = list(buyers)
        self._seed = seed
        self._is_over = False
        self._tasks: list[asyncio.Task[None]] = []

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Buyers call inside the block. At its end calls without an answer are given up."""
        self._tasks = [asyncio.create_task(self._buy_repeatedly(buyer)) for buyer in self._buyers]
        try:
            yield
        finally:
            for task in self._tasks:
                task.cancel()
            ended = await asyncio.gather(*self._tasks, return_exceptions=True)
        for error in ended:
            if isinstance(error, Exception):
                raise error

    async def end(self) -> None:
        """Let each buyer end the purchase at which it is, and buy no more."""
        self._is_over = True
        await asyncio.gather(*self._tasks)

    def count(self, shard: int) -> int:
        """How many answers came about reservations of a shard."""
        return sum(answer.shard == shard for answer in self.answers)

    async def buy_the_rest(self, sale_id: str) -> None:
        """Sell every unit that is available: one that an older state offers again would be sold twice now."""
        try:
            sale = (await self._client.get_sale(sale_id)).sale
        except SaleNotFound:  # all is lost
            return
        for item in sale.items:
            for bought in range(0, item.available, MAX_QUANTITY):
                await self._buy_all(sale_id, item.sku, min(item.available - bought, MAX_QUANTITY))

    async def _buy_all(self, sale_id: str, sku: str, units: int) -> None:
        reservation_id = f"rest-{uuid.uuid4().hex[:12]}"
        buyer, lines = "who-buys-the-rest", {sku: units}
        answer = await self._client.reserve(sale_id, reservation_id, buyer, lines, hold_ttl=MAX_HOLD_TTL)
        if answer.HasField("reservation"):
            self._remember(answer.reservation)
            self._remember((await self._client.confirm(sale_id, reservation_id)).reservation)

    async def _buy_repeatedly(self, buyer: str) -> None:
        rng = random.Random(f"{self._seed} {buyer}")
        while not self._is_over:
            await asyncio.sleep(rng.uniform(*PACE_S))
            try:
                await self._buy(buyer, rng)
            except (TryLater, SaleNotFound):  # not within the client's time; or all is lost, and so is the sale
                await asyncio.sleep(AFTER_REJECTION_S)

    async def _buy(self, buyer: str, rng: random.Random) -> None:
        sale_id = rng.choice(list(self.sales))
        reservation_id = uuid.UUID(int=rng.getrandbits(128)).hex
        skus = rng.sample(self.sales[sale_id], rng.randint(1, len(self.sales[sale_id])))
        answer = await self._client.reserve(sale_id, reservation_id, buyer, {sku: rng.randint(1, 3) for sku in skus})
        if answer.HasField("reservation"):
            self._remember(answer.reservation)
            await asyncio.sleep(rng.uniform(*PACE_S))
            await self._end(sale_id, reservation_id, rng.random())
        elif answer.rejection.HasField("ended"):  # held by a call whose answer was lost, and over since
            self._remember(answer.rejection.ended)
        else:
            await asyncio.sleep(AFTER_REJECTION_S)

    async def _end(self, sale_id: str, reservation_id: str, draw: float) -> None:
        """Confirm it, release it, or leave it."""
        try:
            if draw < CONFIRMS:
                self._remember((await self._client.confirm(sale_id, reservation_id)).reservation)
            elif draw < CONFIRMS + RELEASES:
                self._remember((await self._client.release(sale_id, reservation_id)).reservation)
        except WrongReservationState as ended:  # it expired or was compensated meanwhile
            if ended.reservation is not None:
                self._remember(ended.reservation)
        except ReservationNotFound:
            self.not_found.add((sale_id, reservation_id))

    def _remember(self, reservation: Reservation) -> None:
        position = reservation.position
        self.answers.append(
            Answer(
                reservation.sale_id,
                reservation.reservation_id,
                reservation.buyer_id,
                tuple(sorted((line.sku, line.quantity) for line in reservation.lines)),
                reservation.state,
                reservation.revision,
                position.shard,
                position.epoch,
                position.seq,
                position.index,
            )
        )
