"""Answer for what Redis has forgotten: the ledger is asked, and while it is away nothing is called unknown."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from holdfast.inventory.v1 import error_reason_pb2 as reasons

from inventory_service.domain.late import Known, PastSale, reserve_late
from inventory_service.domain.ports import History, PastSales, Stock
from inventory_service.domain.requests import Confirm, CreateSale, Release, Reserve, SaleKey
from inventory_service.domain.sales import sale_id_reused
from inventory_service.domain.states import HELD, reservation_not_found, settle_late
from inventory_service.domain.verdicts import (
    Failure,
    Found,
    Granted,
    Reservation,
    ReserveResult,
    SaleFound,
    SaleUnknown,
)
from inventory_service.rpc.lately import Lately
from inventory_service.rpc.turns import Turns
from inventory_service.rpc.unanswered import asked

_SALE_NOT_FOUND = reasons.ERROR_REASON_SALE_NOT_FOUND
_RESERVATION_NOT_FOUND = reasons.ERROR_REASON_RESERVATION_NOT_FOUND
REMEMBERED = 64  # sales that have left Redis and never change, of up to a thousand items each
LOOKS = 5  # at Redis and the ledger in turn, if sales leave the shard between the two each time
_UNKNOWN = (_SALE_NOT_FOUND, _RESERVATION_NOT_FOUND)
# Redis and the ledger tell different things of it: no answer is better than a wrong one.
_UNSETTLED = Failure(reasons.ERROR_REASON_SHARD_NOT_SERVING)

Asked = TypeVar("Asked")


class Past:
    """Each method takes what the store refused, and answers better where the ledger knows better."""

    def __init__(
        self, stock: Stock, history: History, sales: PastSales, turns: Turns, now_ms: Callable[[], int]
    ) -> None:
        self._stock = stock
        self._history = history
        self._sales = sales
        self._turns = turns
        self._lately: Lately[SaleKey, PastSale] = Lately(REMEMBERED)
        self._now_ms = now_ms  # of this server: what is past has no shard whose clock could be asked

    async def create_sale(self, request: CreateSale) -> SaleFound | Failure:
        """Make a sale, unless its id was ever taken: Redis must not know it, nor then the ledger.

        A sale leaves Redis only once the ledger has it, so the ledger is asked after Redis. The store makes the sale
        only while its "unknown" still holds for the past too; what left meanwhile is asked for again.
        """
        answer = await self._stock.create_sale(request)
        for _ in range(LOOKS):
            if not isinstance(answer, SaleUnknown):
                return answer
            if await asked(self._sales.sale_exists(request.sale)):  # made a moment ago, or it has left
                answer = await self._stock.create_sale(request)
                return sale_id_reused(request.sale) if isinstance(answer, SaleUnknown) else answer
            answer = await self._stock.create_sale(request, answer)
        return _UNSETTLED if isinstance(answer, SaleUnknown) else answer

    async def reserve(self, request: Reserve, refusal: Failure) -> ReserveResult:
        """Judge a Reserve of a sale that has left Redis."""
        past: ReserveResult | PastSale = await self._left(request.sale, refusal, lambda: self._stock.reserve(request))
        if not isinstance(past, PastSale):
            return past
        known = (await self._known(request.sale, request.reservation_id)).reservation
        if known is not None and known.state == HELD:
            return _UNSETTLED
        return reserve_late(request, past, known, self._now_ms())

    async def find_sale(self, sale: SaleKey, refusal: Failure) -> SaleFound | Failure:
        """Read a sale that has left Redis."""
        past = await self._left(sale, refusal, lambda: self._stock.find_sale(sale))
        return SaleFound(past.sale, past.as_of, self._now_ms()) if isinstance(past, PastSale) else past

    async def find_reservation(self, sale: SaleKey, reservation_id: str, refusal: Failure) -> Found | Failure:
        """Read a reservation that has left Redis."""
        found = await self._find(sale, reservation_id, refusal)
        return found if isinstance(found, Failure) else Found(found, self._now_ms())

    async def settle(self, request: Confirm | Release, refusal: Failure) -> Granted | Failure:
        """Judge a move on what left Redis; what the ledger holds as live has not left, so Redis is asked once more."""
        found = await self._find(request.sale, request.reservation_id, refusal)
        if isinstance(found, Failure):
            return found
        late = settle_late(request, found, self._now_ms())
        if late is not None:
            return late
        return _if_known(
            await (self._stock.confirm(request) if isinstance(request, Confirm) else self._stock.release(request))
        )

    async def spend(self, request: Release, refusal: Failure) -> Granted | Failure:
        """End an id of which Redis knows nothing, unless the ledger does: it may have been sold and forgotten.

        An id of a sale that has left Redis needs no end: nothing can be had under it any more, and it is not found.
        """
        plain = request._replace(spend_id=False)
        judged = await self.settle(plain, refusal)
        if not (isinstance(judged, Failure) and judged.reason == _RESERVATION_NOT_FOUND):
            return judged
        spent = await self._stock.release(request)
        if isinstance(spent, Failure) and await self._past_sale(request.sale, spent):
            return judged
        return _if_known(spent)

    async def _left(
        self, sale: SaleKey, refusal: Failure, ask: Callable[[], Awaitable[Asked | Failure]]
    ) -> Asked | PastSale | Failure:
        """The sale, if it has left Redis; one that the ledger knows may be new, so Redis is asked once more first."""
        if refusal.reason != _SALE_NOT_FOUND:
            return refusal
        if (known := self._lately.get(sale)) is not None:
            return known
        if not await self._turns.ask(lambda: self._sales.sale_exists(sale)):
            return refusal
        again = await ask()
        if not isinstance(again, Failure):
            return again
        past = await self._past_sale(sale, again)
        return _if_known(again) if past is None else past

    async def _past_sale(self, sale: SaleKey, refusal: Failure) -> PastSale | None:
        """A sale that Redis does not know, as it stays: read after Redis was asked, when nothing of it could move."""
        if refusal.reason != _SALE_NOT_FOUND:
            return None
        past = await self._turns.ask(lambda: self._read(sale))
        if past is None or not past.is_over(self._now_ms()):
            return None
        self._lately.put(sale, past)
        return past

    async def _read(self, sale: SaleKey) -> PastSale | None:
        """Somebody may have read it while this question waited for its turn."""
        return self._lately.get(sale) or await self._sales.find_sale(sale)

    async def _known(self, sale: SaleKey, reservation_id: str) -> Known:
        return await self._turns.ask(lambda: self._history.find_reservation(sale, reservation_id))

    async def _find(self, sale: SaleKey, reservation_id: str, refusal: Failure) -> Reservation | Failure:
        if refusal.reason not in _UNKNOWN:
            return refusal
        known = await self._known(sale, reservation_id)
        if known.reservation is not None:
            return known.reservation
        if refusal.reason == _SALE_NOT_FOUND and known.has_sale:
            return reservation_not_found(sale, reservation_id)
        return refusal


def _if_known(answer: Asked | Failure) -> Asked | Failure:
    return _UNSETTLED if isinstance(answer, Failure) and answer.reason in _UNKNOWN else answer
