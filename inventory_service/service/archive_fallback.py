"""A stock that asks the ledger about what the stock behind it does not know, for it may have left Redis.

While the ledger is unreachable no call is answered NOT_FOUND.
"""

from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from holdfast.inventory.v1 import error_reason_pb2 as reasons
from holdfast.inventory.v1.sale_pb2 import SALE_STATE_ARCHIVED

from inventory_service.domain.archive import (
    ArchivedReservation,
    ArchivedSale,
    ReturnArchived,
    adjust_archived,
    judge_repeat,
    move_archived,
    reserve_archived,
)
from inventory_service.domain.change_hold import ChangeHold, ChangeResult
from inventory_service.domain.keys import SaleKey
from inventory_service.domain.moves import Move, MoveKind, Step, is_unknown
from inventory_service.domain.plain_reserve import PlainHold, PlainReserve, PlainResult
from inventory_service.domain.ports import ReservationArchive, SaleArchive, StoredStock
from inventory_service.domain.reservation import HELD
from inventory_service.domain.reserve import Reserve, ReserveResult
from inventory_service.domain.results import (
    Failure,
    Granted,
    Rejected,
    ReservationRead,
    reservation_not_found,
    wrong_sale_state,
    wrong_state,
)
from inventory_service.domain.sale import (
    ActOnSale,
    AdjustStock,
    CreateSale,
    SaleRead,
    SaleRequest,
    SaleResult,
    SaleUnknown,
    UpdateSale,
)
from inventory_service.domain.sales import sale_id_reused
from inventory_service.service.bulkhead import Bulkhead
from inventory_service.service.lru_cache import LruCache

_SALE_NOT_FOUND: Final = reasons.ERROR_REASON_SALE_NOT_FOUND
_RESERVATION_NOT_FOUND: Final = reasons.ERROR_REASON_RESERVATION_NOT_FOUND
_UNKNOWN: Final = (_SALE_NOT_FOUND, _RESERVATION_NOT_FOUND)
# Redis and the ledger contradict each other: a failure is better than a wrong answer.
_INCONSISTENT: Final = Failure(reasons.ERROR_REASON_SHARD_NOT_SERVING)
CACHED_SALES = 64  # that have left Redis and never change, of up to a thousand items each
MAX_ROUNDS = 5  # of asking Redis and the ledger in turn, if sales leave the shard between the two each time

Result = TypeVar("Result")


class ArchiveFallback:
    """A Stock around a Stock; what the inner one answers is passed on, unless it is that something is unknown."""

    def __init__(
        self,
        stock: StoredStock,
        reservations: ReservationArchive,
        sales: SaleArchive,
        bulkhead: Bulkhead,
        now_ms: Callable[[], int],
    ) -> None:
        self._stock = stock
        self._reservations = reservations
        self._sales = sales
        self._bulkhead = bulkhead
        self._cache: LruCache[SaleKey, ArchivedSale] = LruCache(CACHED_SALES)
        self._now_ms = now_ms  # of this server: a sale in the archive has no shard whose clock could be asked

    async def reserve(self, request: Reserve) -> ReserveResult:
        """Judge a Reserve, by the ledger if its sale or the first reservation of its id has left Redis."""
        result = await self._stock.reserve(request)
        return await self.judge_archived(request, result) if may_have_left(result) else result

    async def reserve_plain(self, request: PlainReserve) -> PlainResult:
        """The same for a Reserve of the usual shape."""
        result = await self._stock.reserve_plain(request)
        if isinstance(result, PlainHold) or not may_have_left(result):
            return result
        return await self.judge_archived(request.general(), result)

    async def judge_archived(self, request: Reserve, result: ReserveResult) -> ReserveResult:
        """Judge a Reserve that the stock behind this one answered so, where that `may_have_left`."""
        if isinstance(result, Rejected):
            return await self._judge_first(request, result)
        assert isinstance(result, Failure), "units that were granted have not left"
        archived: ReserveResult | ArchivedSale
        archived = await self._archived_sale(request.sale, result, lambda: self._stock.reserve(request))
        if not isinstance(archived, ArchivedSale):
            return archived
        known = await self._ask_for_reservation(request.sale, request.reservation_id)
        if isinstance(known, Failure):
            return known
        if known.reservation is not None and known.reservation.state == HELD:
            return _INCONSISTENT
        return reserve_archived(request, archived, known, self._now_ms())

    async def _judge_first(self, request: Reserve, refused: Rejected) -> ReserveResult:
        """Judge a Reserve of a reservation that had left; the repeat before was granted and then refused for that."""
        known = await self._ask_for_reservation(request.sale, request.reservation_id)
        if isinstance(known, Failure) or known.reservation is None:
            return known if isinstance(known, Failure) else refused
        if known.reservation.state == HELD:
            return _INCONSISTENT
        return judge_repeat(request, refused.as_of, known.reservation, known.fingerprint, self._now_ms())

    async def move(self, request: Move) -> Granted | Failure:
        """Judge a move, by the ledger if Redis does not know the reservation; an id is spent if neither does."""
        if request.kind != MoveKind.SPEND:
            return await self._move_if_known(request)
        result = await self._move_if_known(request._replace(kind=MoveKind.RELEASE))
        if not (isinstance(result, Failure) and result.reason == _RESERVATION_NOT_FOUND):
            return result
        spent = await self._stock.move(request)
        if isinstance(spent, Failure) and spent.reason == _SALE_NOT_FOUND:
            # An id of a sale that has left Redis need not be spent: no Reserve gets units under it any more.
            archived = await self._find_archived_sale(request.sale)
            if archived is not None:
                return archived if isinstance(archived, Failure) else result
        return _not_unknown(spent)

    async def change_sale(self, request: SaleRequest) -> SaleResult | Failure:
        """Make or change a sale; one that has left Redis is judged by the ledger. SaleUnknown is never the answer."""
        return await (self._make_sale(request) if isinstance(request, CreateSale) else self._change_sale(request))

    async def _make_sale(self, request: CreateSale) -> SaleResult | Failure:
        """Make a sale, unless its id was ever taken: Redis must not know it, nor then the ledger.

        A sale leaves Redis only once the ledger has it, so the ledger is asked after Redis. The stock makes the sale
        only while its generation is the one in which the ledger was asked; if a sale left meanwhile, both are asked
        again.
        """
        result = await self._stock.change_sale(request)
        for _ in range(MAX_ROUNDS):
            if not isinstance(result, SaleUnknown):
                return result
            exists = await self._bulkhead.ask(lambda: self._sales.sale_exists(request.sale))
            if isinstance(exists, Failure):
                return exists
            if exists:  # made a moment ago, or it has left
                result = await self._stock.change_sale(request)
                return sale_id_reused(request.sale) if isinstance(result, SaleUnknown) else result
            result = await self._stock.change_sale(request._replace(generation=result.generation))
        return _INCONSISTENT if isinstance(result, SaleUnknown) else result

    async def _change_sale(self, request: ActOnSale | UpdateSale | AdjustStock) -> SaleResult | Failure:
        result = await self._stock.change_sale(request)
        if not (isinstance(result, Failure) and result.reason == _SALE_NOT_FOUND):
            return result
        archived: SaleResult | ArchivedSale | Failure
        archived = await self._archived_sale(request.sale, result, lambda: self._stock.change_sale(request))
        if not isinstance(archived, ArchivedSale):
            return archived
        if not isinstance(request, AdjustStock):
            return wrong_sale_state(SALE_STATE_ARCHIVED)
        known = await self._bulkhead.ask(lambda: self._sales.find_adjustment(request.sale, request.adjustment_id))
        return known if isinstance(known, Failure) else adjust_archived(request, archived, known)

    async def find_reservation(self, sale: SaleKey, reservation_id: str) -> ReservationRead | Failure:
        """Read a reservation, from the ledger if Redis does not know it; what that has as held has not left."""
        result = await self._stock.find_reservation(sale, reservation_id)
        if not isinstance(result, Failure):
            return result
        known = await self._find_archived(sale, reservation_id, result)
        if isinstance(known, Failure):
            return known
        if known.found.state != HELD:
            return ReservationRead(known.found, self._now_ms())
        return _not_unknown(await self._stock.find_reservation(sale, reservation_id))

    async def find_sale(self, sale: SaleKey) -> SaleRead | Failure:
        """Read a sale, from the ledger if it has left Redis."""
        result = await self._stock.find_sale(sale)
        if not (isinstance(result, Failure) and result.reason == _SALE_NOT_FOUND):
            return result
        archived = await self._archived_sale(sale, result, lambda: self._stock.find_sale(sale))
        if not isinstance(archived, ArchivedSale):
            return archived
        return SaleRead(archived.sale, archived.as_of, self._now_ms())

    async def change_hold(self, request: ChangeHold) -> ChangeResult:
        """Judge a change of a hold; what has left is none, and what the ledger has as held has not left."""
        result = await self._stock.change_hold(request)
        if not isinstance(result, Failure) or result.reason not in _UNKNOWN:
            return result
        known = await self._find_archived(request.sale, request.reservation_id, result)
        if isinstance(known, Failure):
            return known
        if known.found.state != HELD:
            return wrong_state(known.found)
        return _not_unknown(await self._stock.change_hold(request))

    async def _move_if_known(self, request: Move) -> Granted | Failure:
        """Judge a move that makes nothing; what the ledger has as held has not left, so Redis is asked once more.

        Sold units of a reservation that has left come back to its sale in Redis; in turn with the ledger, which must be
        asked again if reservations have left since Redis was asked.
        """
        result = await self._stock.move(request)
        for _ in range(MAX_ROUNDS):
            if not isinstance(result, Failure) or result.reason not in _UNKNOWN:
                return result
            known = await self._find_archived(request.sale, request.reservation_id, result)
            if isinstance(known, Failure):
                return known
            judged = move_archived(request, known.found, self._now_ms())
            if judged is None:
                return _not_unknown(await self._stock.move(request))
            if not isinstance(judged, Step):
                return judged
            if result.head is None:  # there is no such sale in Redis
                return await self._judge_left_sale(request.sale)
            found = ReturnArchived(request, result.head, known.watermark, known.found, known.fingerprint)
            result = await self._stock.return_archived(found)
        return _INCONSISTENT if isinstance(result, Failure) and result.reason in _UNKNOWN else result

    async def _judge_left_sale(self, sale: SaleKey) -> Failure:
        """Nothing can be changed in a sale that has left."""
        archived = await self._find_archived_sale(sale)
        if isinstance(archived, Failure):
            return archived
        return _INCONSISTENT if archived is None else wrong_sale_state(archived.sale.state)

    async def _archived_sale(
        self, sale: SaleKey, failure: Failure, repeat: Callable[[], Awaitable[Result | Failure]]
    ) -> Result | ArchivedSale | Failure:
        """A sale that Redis does not know; one that the ledger knows may be new, so Redis is asked once more first."""
        if (cached := self._cache.get(sale)) is not None:
            return cached
        exists = await self._bulkhead.ask(lambda: self._sales.sale_exists(sale))
        if isinstance(exists, Failure) or not exists:
            return exists if isinstance(exists, Failure) else failure
        again = await repeat()
        if not (isinstance(again, Failure) and again.reason == _SALE_NOT_FOUND):
            return _not_unknown(again)
        archived = await self._find_archived_sale(sale)
        return _INCONSISTENT if archived is None else archived

    async def _find_archived_sale(self, sale: SaleKey) -> ArchivedSale | Failure | None:
        """An archived sale, read after Redis was asked; None: it cannot have left Redis.

        It never changes again once the ledger knows that it has left.
        """
        archived = await self._bulkhead.ask(lambda: self._read_sale(sale))
        if archived is None or isinstance(archived, Failure):
            return archived
        if not archived.is_over(self._now_ms()):
            return None
        if archived.has_left:
            self._cache.put(sale, archived)
        return archived

    async def _read_sale(self, sale: SaleKey) -> ArchivedSale | None:
        """Another call may have read it into the cache while this one waited for its turn."""
        return self._cache.get(sale) or await self._sales.find_sale(sale)

    async def _ask_for_reservation(self, sale: SaleKey, reservation_id: str) -> ArchivedReservation | Failure:
        return await self._bulkhead.ask(lambda: self._reservations.find_reservation(sale, reservation_id))

    async def _find_archived(
        self, sale: SaleKey, reservation_id: str, failure: Failure
    ) -> ArchivedReservation | Failure:
        """A reservation that Redis does not know, or which of the two names the ledger does not know either."""
        if failure.reason not in _UNKNOWN:
            return failure
        known = await self._ask_for_reservation(sale, reservation_id)
        if isinstance(known, Failure):
            return known
        if known.reservation is not None:
            return known
        if failure.reason == _SALE_NOT_FOUND and known.has_sale:
            failure = reservation_not_found(sale, reservation_id)
        if known.lost:
            failure = failure._replace(metadata=failure.metadata | {"lost": known.lost})
        return failure


def may_have_left(result: ReserveResult) -> bool:
    """Whether the result of a Reserve is that its sale is unknown, or the first reservation of its id."""
    if isinstance(result, Rejected):
        return result.ended is not None and is_unknown(result.ended)
    return isinstance(result, Failure) and result.reason == _SALE_NOT_FOUND


def _not_unknown(result: Result | Failure) -> Result | Failure:
    """The result, unless it denies what the ledger has."""
    return _INCONSISTENT if isinstance(result, Failure) and result.reason in _UNKNOWN else result
