"""The stock in memory: the reference with which the Lua scripts are compared, and the fake for all tests."""

from collections.abc import Callable, Sequence

from inventory_service.domain.adjustments import adjust_stock
from inventory_service.domain.archive import ArchiveStep, ReturnArchived, archive, return_archived
from inventory_service.domain.backpressure import Backpressure
from inventory_service.domain.blocked_buyers import BlockChange
from inventory_service.domain.call_again import CallAgain, until_judged
from inventory_service.domain.change_hold import ChangeHold, ChangeResult, change_hold
from inventory_service.domain.events import CommitBody
from inventory_service.domain.keys import BuyerKey, SaleKey, shard_of
from inventory_service.domain.moves import Compensate, Move, compensate, is_unknown, move
from inventory_service.domain.plain_reserve import PlainReserve, general
from inventory_service.domain.ports import ExpireStep, HoldCounts
from inventory_service.domain.reserve import Replay, Reserve, ReserveResult, replay, reserve
from inventory_service.domain.results import Failure, Granted, ReservationRead, reservation_not_found, sale_not_found
from inventory_service.domain.sale import AdjustStock, CreateSale, SaleRead, SaleRequest, SaleResult
from inventory_service.domain.sale_changes import change_sale
from inventory_service.domain.sales import create_sale, read_sale
from inventory_service.domain.shard_state import SALES_PER_CALL, ShardState, Transaction


class InMemoryStock:
    """Every shard of a stock. `clock_ms` is the wall clock; a shard's own time never goes back behind a commit."""

    def __init__(self, clock_ms: Callable[[], int], shards: int = 1, outbox_limit: int = 1_000_000) -> None:
        self._clock_ms = clock_ms
        self.backpressure = Backpressure(outbox_limit)
        self._shards = [ShardState(number) for number in range(shards)]

    # ------------------------------------------------------------------------------------------------- Stock

    async def reserve(self, request: Reserve) -> ReserveResult:
        """Judge one Reserve."""
        return (await self.reserve_many(self._number(request.sale), [request]))[0]

    async def reserve_plain(self, request: PlainReserve) -> ReserveResult:
        """The same for one of the usual shape, which is nothing special here."""
        return await self.reserve(request.general())

    async def move(self, request: Move) -> Granted | Failure:
        """Judge one move."""
        return (await self.move_many(self._number(request.sale), [request]))[0]

    async def change_hold(self, request: ChangeHold) -> ChangeResult:
        """Set what a hold holds."""
        shard = self._number(request.sale)

        async def judge_one(some: Sequence[ChangeHold]) -> Sequence[ChangeResult | CallAgain]:
            transaction = self._begin(shard)
            result = change_hold(transaction, request, self._is_full(shard))
            transaction.commit()
            return [result]

        results: list[ChangeResult] = await until_judged([request], judge_one)
        return results[0]

    async def return_archived(self, request: ReturnArchived) -> Granted | Failure:
        """Take back sold units of a reservation that has left."""
        transaction = self._begin(self._number(request.move.sale))
        result = return_archived(transaction, request)
        transaction.commit()
        return result

    async def replay(self, request: Replay) -> ReserveResult:
        """Reserve anew what a refused order had."""
        shard = self._number(request.claim.sale)

        async def judge_one(some: Sequence[Replay]) -> Sequence[ReserveResult | CallAgain]:
            transaction = self._begin(shard)
            result = replay(transaction, request, self._is_full(shard))
            transaction.commit()
            return [result]

        results: list[ReserveResult] = await until_judged([request], judge_one)
        return results[0]

    async def change_sale(self, request: SaleRequest) -> SaleResult | Failure:
        """Make a sale that the ledger does not know, change one, or read how it stands."""

        async def judge_one(some: Sequence[SaleRequest]) -> Sequence[SaleResult | Failure | CallAgain]:
            transaction = self._begin(self._number(request.sale))
            result = _judge_sale_request(transaction, request)
            transaction.commit()
            return [result]

        results: list[SaleResult | Failure] = await until_judged([request], judge_one)
        return results[0]

    async def find_reservation(self, sale: SaleKey, reservation_id: str) -> ReservationRead | Failure:
        """Read one reservation."""
        transaction = self._begin(self._number(sale))
        stored_sale = transaction.shard.sales.get(sale)
        if stored_sale is None:
            return sale_not_found(sale)
        stored = stored_sale.reservations.get(reservation_id)
        if stored is None or is_unknown(stored.reservation):
            return reservation_not_found(sale, reservation_id)
        found = transaction.effective(stored_sale, stored.reservation)
        return ReservationRead(found, transaction.now_ms, is_overdue=found.state != stored.reservation.state)

    async def find_sale(self, sale: SaleKey) -> SaleRead | Failure:
        """Read a sale."""
        transaction = self._begin(self._number(sale))
        stored = transaction.shard.sales.get(sale)
        return read_sale(transaction, stored) if stored else sale_not_found(sale)

    # -------------------------------------------------------------------------------------------- ShardStock

    async def reserve_many(self, shard: int, requests: Sequence[Reserve | PlainReserve]) -> Sequence[ReserveResult]:
        """Judge Reserves in order, each seeing the ones before it."""

        async def judge_some(some: Sequence[Reserve]) -> Sequence[ReserveResult | CallAgain]:
            transaction, is_full = self._begin(shard), self._is_full(shard)
            results = [reserve(transaction, request, is_full) for request in some]
            transaction.commit()
            return results

        return await until_judged([general(request) for request in requests], judge_some)

    async def move_many(self, shard: int, requests: Sequence[Move]) -> Sequence[Granted | Failure]:
        """Judge moves in order, each seeing the ones before it."""
        transaction = self._begin(shard)
        results = [move(transaction, request) for request in requests]
        transaction.commit()
        return results

    # -------------------------------------------------------------------------------------- StockMaintenance

    async def expire(self, shard: int) -> ExpireStep | Failure:
        """Take back what is overdue, at most 100 holds, of the 16 sales that are due the longest."""
        transaction = self._begin(shard)
        for key in sorted(transaction.due()[:SALES_PER_CALL]):
            transaction.expire_overdue(key)
        transaction.commit()
        return ExpireStep(transaction.expired, more_is_due=bool(transaction.due()))

    async def compensate(self, request: Compensate) -> bool | Failure:
        """Give a refused order's units back; False: there was nothing to give."""
        transaction = self._begin(self._number(request.sale))
        given_back = compensate(transaction, request)
        transaction.commit()
        return given_back

    async def count_holds(self, shard: int) -> HoldCounts | Failure:
        """Count a shard's holds, swept or not."""
        transaction = self._begin(shard)
        sales = transaction.shard.sales.values()
        overdue = sum(len(sale.overdue(transaction.now_ms)) for sale in sales)
        return HoldCounts(sum(len(sale.live_holds(transaction.now_ms)) for sale in sales), overdue)

    async def list_sales(self, shard: int) -> Sequence[SaleKey] | Failure:
        """Name every sale of a shard."""
        return list(self._shards[shard].sales)

    async def archive(self, sale: SaleKey, retention_ms: int, cursor: int = 0) -> ArchiveStep | Failure:
        """Drop what is final, settled and older than `retention_ms`; here a walk has one step."""
        transaction = self._begin(self._number(sale))
        step = archive(transaction, sale, retention_ms)
        transaction.commit()
        return step

    # ---------------------------------------------------------------------------------------- BlockedCopies

    async def change(self, shard: int, change: BlockChange) -> bool:
        """Make one change of the list of blocked buyers."""
        return self._shards[shard].blocked.change(change)

    async def begin(self, shard: int, version: int, seen: int | None) -> None:
        """Begin to replace a shard's copy of that list."""
        self._shards[shard].blocked.begin(version, seen)

    async def add(self, shard: int, version: int, buyers: Sequence[BuyerKey]) -> bool:
        """Add buyers of that list."""
        return self._shards[shard].blocked.add(version, buyers)

    async def drop_others(self, shard: int, version: int) -> bool:
        """Drop who was not added."""
        return self._shards[shard].blocked.drop_others(version)

    # -------------------------------------------------------------------------------------------- for tests

    def commits(self, shard: int = 0) -> list[CommitBody]:
        """Every commit of a shard."""
        return self._shards[shard].commits

    def state(self, shard: int = 0) -> ShardState:
        """Everything that a shard keeps."""
        return self._shards[shard]

    def settle_up_to(self, shard: int, epoch: int, seq: int) -> None:
        """Act as if the ledger had settled everything up to here, and the outbox were trimmed so far."""
        self._shards[shard].settled = (epoch, seq)
        self._shards[shard].trim_seq = seq

    def _number(self, sale: SaleKey) -> int:
        return shard_of(sale, len(self._shards))

    def _begin(self, shard: int) -> Transaction:
        return Transaction(self._shards[shard], self._clock_ms)

    def _is_full(self, shard: int) -> bool:
        state = self._shards[shard]
        return state.seq - state.trim_seq >= self.backpressure.max_commits_ahead


def _judge_sale_request(transaction: Transaction, request: SaleRequest) -> SaleResult | Failure | CallAgain:
    if isinstance(request, CreateSale):
        return create_sale(transaction, request)
    if isinstance(request, AdjustStock):
        return adjust_stock(transaction, request)
    return change_sale(transaction, request)
