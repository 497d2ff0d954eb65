"""The stock in memory: the rule's own body, by which the scripts are judged, and the fake for everyone's tests."""

from collections.abc import Callable, Sequence

from inventory_service.domain import sales, stock
from inventory_service.domain.forgetting import forget
from inventory_service.domain.requests import Compensate, Confirm, CreateSale, Release, Reserve, SaleKey, shard_of
from inventory_service.domain.room import Room
from inventory_service.domain.shard_book import SALES_AT_ONCE, Call, CommitBody, ShardBook
from inventory_service.domain.states import reservation_not_found
from inventory_service.domain.verdicts import (
    ArchiveStep,
    Failure,
    Found,
    Granted,
    Holds,
    ReserveResult,
    SaleFound,
    SaleUnknown,
    TakenBack,
)


class Shelf:
    """Every shard of a stock. `clock_ms` is the world's clock; each shard's own never goes back behind a commit."""

    def __init__(self, clock_ms: Callable[[], int], shards: int = 1, outbox_limit: int = 1_000_000) -> None:
        self._clock_ms = clock_ms
        self.room = Room(outbox_limit)
        self._shards = [ShardBook(number) for number in range(shards)]

    # ------------------------------------------------------------------------------------------------- Stock

    async def reserve(self, request: Reserve) -> ReserveResult:
        """Judge one Reserve."""
        return (await self.reserve_many(self._number(request.sale), [request]))[0]

    async def confirm(self, request: Confirm) -> Granted | Failure:
        """Sell what is held."""
        return (await self.move_many(self._number(request.sale), [request]))[0]

    async def release(self, request: Release) -> Granted | Failure:
        """Give back what is held."""
        return (await self.move_many(self._number(request.sale), [request]))[0]

    async def create_sale(
        self, request: CreateSale, unknown: SaleUnknown | None = None
    ) -> SaleFound | SaleUnknown | Failure:
        """Make a sale that was `unknown`, or say how it stands."""
        call = self._call(self._number(request.sale))
        answer = sales.create_sale(call, request, unknown)
        call.commit()
        return answer

    async def find_reservation(self, sale: SaleKey, reservation_id: str) -> Found | Failure:
        """Read one reservation."""
        call = self._call(self._number(sale))
        book = call.shard.sales.get(sale)
        if book is None:
            return stock.sale_not_found(sale)
        record = book.records.get(reservation_id)
        if record is None:
            return reservation_not_found(sale, reservation_id)
        return Found(call.seen(record.reservation), call.now_ms)

    async def find_sale(self, sale: SaleKey) -> SaleFound | Failure:
        """Read a sale."""
        call = self._call(self._number(sale))
        book = call.shard.sales.get(sale)
        return sales.found_sale(call, book) if book else stock.sale_not_found(sale)

    # -------------------------------------------------------------------------------------------- ShardStock

    async def reserve_many(self, shard: int, requests: Sequence[Reserve]) -> Sequence[ReserveResult]:
        """Judge Reserves in order, each seeing the ones before it."""

        async def judge(some: Sequence[Reserve]) -> Sequence[ReserveResult | None]:
            call, is_behind = self._call(shard), self._is_behind(shard)
            answers = [stock.reserve(call, request, is_behind) for request in some]
            call.commit()
            return answers

        return await stock.until_judged(requests, judge)

    async def move_many(self, shard: int, requests: Sequence[Confirm | Release]) -> Sequence[Granted | Failure]:
        """Confirm and release in order, each seeing the ones before it."""
        call = self._call(shard)
        answers = [stock.settle(call, request) for request in requests]
        call.commit()
        return answers

    # ------------------------------------------------------------------------------------------ Housekeeping

    async def expire(self, shard: int) -> TakenBack | Failure:
        """Take back what is overdue, at most 100 holds, of the 16 sales that are due the longest."""
        call = self._call(shard)
        for key in sorted(call.due()[:SALES_AT_ONCE]):
            call.take_back(key)
        call.commit()
        return TakenBack(call.expired, more_is_due=bool(call.due()))

    async def compensate(self, request: Compensate) -> bool | Failure:
        """Give a refused order's units back; False: there was nothing to give."""
        call = self._call(self._number(request.sale))
        given = stock.compensate(call, request)
        call.commit()
        return given

    async def holds(self, shard: int) -> Holds | Failure:
        """Count a shard's holds, swept or not."""
        call = self._call(shard)
        books = call.shard.sales.values()
        overdue = sum(len(book.overdue(call.now_ms)) for book in books)
        return Holds(sum(len(book.live_holds(call.now_ms)) for book in books), overdue)

    async def sales(self, shard: int) -> Sequence[SaleKey] | Failure:
        """Name every sale of a shard."""
        return list(self._shards[shard].sales)

    async def forget(self, sale: SaleKey, retention_ms: int, cursor: int = 0) -> ArchiveStep | Failure:
        """Drop what is final, settled and older than `retention_ms`; here a walk has one step."""
        return forget(self._call(self._number(sale)), sale, retention_ms)

    # ------------------------------------------------------------------------------- what only tests may ask

    def commits(self, shard: int = 0) -> list[CommitBody]:
        """Everything that a shard has told."""
        return self._shards[shard].commits

    def book(self, shard: int = 0) -> ShardBook:
        """Everything that a shard keeps."""
        return self._shards[shard]

    def settle_up_to(self, shard: int, epoch: int, seq: int) -> None:
        """Let the ledger have judged everything up to here, and the outbox be trimmed so far."""
        self._shards[shard].settled = (epoch, seq)
        self._shards[shard].trim_seq = seq

    def _number(self, sale: SaleKey) -> int:
        return shard_of(sale, len(self._shards))

    def _call(self, shard: int) -> Call:
        return Call(self._shards[shard], self._clock_ms)

    def _is_behind(self, shard: int) -> bool:
        book = self._shards[shard]
        return book.seq - book.trim_seq >= self.room.commits
