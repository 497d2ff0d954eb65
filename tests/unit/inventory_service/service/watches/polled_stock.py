"""A stock that watches poll, on a clock of the test's own, and streams that keep what they were sent."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from contextlib import AbstractContextManager, suppress
from typing import Any

from holdfast.inventory.v1 import error_reason_pb2 as reasons
from holdfast.inventory.v1 import inventory_service_pb2 as calls

from inventory_service.domain.events import CommitBody
from inventory_service.domain.in_memory_stock import InMemoryStock
from inventory_service.domain.keys import Position, SaleKey
from inventory_service.domain.results import Failure, ReservationRead
from inventory_service.domain.sale import CreateSale, SaleRead
from inventory_service.domain.shards import CommitId
from inventory_service.domain.versions import ShardVersions
from inventory_service.rpc.calls.watches import WatchMessages
from inventory_service.service.watches.watched import Watch
from inventory_service.service.watches.watches import POLL_S, Watches
from tests.contract.requests import SALE, create
from tests.sales import make_sale

UNREACHABLE = Failure(reasons.ERROR_REASON_STORE_UNREACHABLE)
LEDGER_UNREACHABLE = Failure(reasons.ERROR_REASON_LEDGER_UNREACHABLE)


class PolledStock:
    """A stock in memory, read as Redis is. It can be away, and counts what is read of it."""

    def __init__(self) -> None:
        self.now_s = 1_000_000.0
        self.memory = InMemoryStock(lambda: round(self.now_s * 1000))
        self.is_away = False
        self.replies = asyncio.Event()  # while it is set, a sale that was read is answered at once
        self.replies.set()
        self.reads: Counter[str] = Counter()  # by the sale or the reservation, `calls` and `polls`
        self._last_seqs: dict[SaleKey, int] = {}  # the last commit about each sale
        self._known_commits = 0

    async def read_versions(self, shard: int, sales: Sequence[SaleKey]) -> ShardVersions | Failure:
        self.reads["polls"] += 1
        if self.is_away:
            return UNREACHABLE
        state = self.memory.state()
        head = Position(0, state.epoch, state.seq, 0)
        versions = [self._version(sale) for sale in sales]
        return ShardVersions(round(self.now_s * 1000), head, CommitId(*state.settled), None, versions)

    def _version(self, sale: SaleKey) -> CommitId | None:
        if sale not in self.memory.state().sales:
            return None
        for commit in self.memory.commits()[self._known_commits :]:
            self._known_commits += 1
            self._last_seqs.update(dict.fromkeys(sales_of(commit), commit.seq))
        return CommitId(1, self._last_seqs[sale])

    async def find_sale(self, sale: SaleKey) -> SaleRead | Failure:
        self.reads[sale.sale_id] += 1
        found = UNREACHABLE if self.is_away else await self.memory.find_sale(sale)
        await self.replies.wait()
        return found

    async def find_reservations(self, sale: SaleKey, ids: Sequence[str]) -> Sequence[ReservationRead | Failure]:
        self.reads["calls"] += 1
        self.reads.update(ids)
        return [UNREACHABLE if self.is_away else await self.memory.find_reservation(sale, each) for each in ids]


class Archive:
    """Answers for what the stock does not know, as the stock does, unless the ledger is away or knows better."""

    def __init__(self, stock: PolledStock) -> None:
        self._stock = stock
        self.is_away = False
        self.questions = 0
        self.known: ReservationRead | SaleRead | None = None

    async def find_sale(self, sale: SaleKey) -> Any:
        return self._answer(await self._stock.memory.find_sale(sale))

    async def find_reservation(self, sale: SaleKey, reservation_id: str) -> Any:
        return self._answer(await self._stock.memory.find_reservation(sale, reservation_id))

    def _answer(self, of_stock: Any) -> Any:
        self.questions += 1
        return LEDGER_UNREACHABLE if self.is_away else self.known or of_stock


def sales_of(commit: CommitBody) -> set[SaleKey]:
    """The sales that a commit is about."""
    about: list[Any] = [getattr(event, "request", getattr(event, "reservation", event)) for event in commit.events]
    return {each.sale for each in about}


class Stream:
    """A stream of a watch: what it was sent, with the time, and how it ended."""

    def __init__(self, opened: AbstractContextManager[Watch], response: Any, stock: PolledStock) -> None:
        self.sent: list[Any] = []
        self.at_s: list[float] = []
        self.failure: Failure | None = None
        self.is_over = False
        self.reads = asyncio.Event()  # while it is set, its caller reads
        self.reads.set()
        self._opened, self._response, self._stock = opened, response, stock
        self.task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        with self._opened as watch:
            while (message := await watch.next()) is not None:
                if isinstance(message, Failure):
                    self.failure = message
                    return
                self.sent.append(self._response.FromString(message))
                self.at_s.append(self._stock.now_s)
                await self.reads.wait()
        self.is_over = True

    async def close(self) -> None:
        self.task.cancel()
        with suppress(asyncio.CancelledError):
            await self.task


class Polled:
    """Watches of a stock, whose time goes on by polls."""

    def __init__(self) -> None:
        self.stock = PolledStock()
        self.messages = 0
        self._ticks: asyncio.Queue[None] = asyncio.Queue()
        self.archive = Archive(self.stock)
        archive: Any = self.archive
        self.watches = Watches(
            self.stock, archive, lambda sale: 0, WatchMessages(), self._count, lambda: self.stock.now_s, self._sleep
        )

    @property
    def is_polling(self) -> bool:
        """Whether a loop waits for the next poll: without one a poll that was due is still to come."""
        return self._ticks.empty()

    def _count(self, messages: float) -> None:
        self.messages += round(messages)

    async def _sleep(self, seconds: float) -> None:
        await self._ticks.get()

    async def make_sale(self, request: CreateSale | None = None) -> None:
        await make_sale(self.stock.memory, request or create())

    def sale(self, key: SaleKey = SALE) -> Stream:
        return Stream(self.watches.sale(key), calls.WatchSaleResponse, self.stock)

    def reservation(self, reservation_id: str, key: SaleKey = SALE) -> Stream:
        return Stream(self.watches.reservation(key, reservation_id), calls.WatchReservationResponse, self.stock)

    async def polls(self, count: int = 1) -> None:
        """Let so many polls run to their ends, each with all that it sends."""
        for _ in range(count):
            await _until_idle()
            self.stock.now_s += POLL_S
            self._ticks.put_nowait(None)
            await _until_idle()


async def _until_idle() -> None:
    """Let every task go on until it waits for the clock: nothing else here takes time."""
    for _ in range(30):
        await asyncio.sleep(0)
