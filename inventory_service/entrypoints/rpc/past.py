"""Answer for what Redis has forgotten: the ledger is asked, and while it is away nothing is called unknown."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from holdfast.inventory.v1 import error_reason_pb2 as reasons

from inventory_service.domain.ports import History, Stock
from inventory_service.domain.requests import Confirm, Release, SaleKey
from inventory_service.domain.states import reservation_not_found, settle_late
from inventory_service.domain.verdicts import Found, Granted, Refusal, Reservation
from inventory_service.entrypoints.rpc.unanswered import asked

_SALE_NOT_FOUND = reasons.ERROR_REASON_SALE_NOT_FOUND
_RESERVATION_NOT_FOUND = reasons.ERROR_REASON_RESERVATION_NOT_FOUND
_UNKNOWN = (_SALE_NOT_FOUND, _RESERVATION_NOT_FOUND)
# Redis and the ledger tell different things of it: no answer is better than a wrong one.
_UNSETTLED = Refusal(reasons.ERROR_REASON_SHARD_NOT_SERVING)

Asked = TypeVar("Asked")


class Past:
    """Each method takes what the store refused, and answers better where the ledger knows better."""

    def __init__(self, stock: Stock, history: History, now_ms: Callable[[], int]) -> None:
        self._stock = stock
        self._history = history
        self._now_ms = now_ms  # of this server: what is past has no shard whose clock could be asked

    async def find_reservation(self, sale: SaleKey, reservation_id: str, refusal: Refusal) -> Found | Refusal:
        """Read what left Redis."""
        found = await self._find(sale, reservation_id, refusal)
        return found if isinstance(found, Refusal) else Found(found, self._now_ms())

    async def settle(self, request: Confirm | Release, refusal: Refusal) -> Granted | Refusal:
        """Judge a move on what left Redis; what the ledger holds as live has not left, so Redis is asked once more."""
        found = await self._find(request.sale, request.reservation_id, refusal)
        if isinstance(found, Refusal):
            return found
        late = settle_late(request, found, self._now_ms())
        if late is not None:
            return late
        return _if_known(
            await (self._stock.confirm(request) if isinstance(request, Confirm) else self._stock.release(request))
        )

    async def spend(self, request: Release, refusal: Refusal) -> Granted | Refusal:
        """End an id of which Redis knows nothing, unless the ledger does: it may have been sold and forgotten."""
        plain = request._replace(spend_id=False)
        judged = await self.settle(plain, refusal)
        if isinstance(judged, Refusal) and judged.reason == _RESERVATION_NOT_FOUND:
            return _if_known(await self._stock.release(request))
        return judged

    async def ask_again(
        self, sale: SaleKey, refusal: Refusal, ask: Callable[[], Awaitable[Asked | Refusal]]
    ) -> Asked | Refusal:
        """Ask Redis once more about a sale that the ledger knows: it was made after Redis was asked.

        None leaves Redis yet, so what Redis still does not know then is no answer to give.
        """
        if refusal.reason == _SALE_NOT_FOUND and await asked(self._history.sale_exists(sale)):
            return _if_known(await ask())
        return refusal

    async def _find(self, sale: SaleKey, reservation_id: str, refusal: Refusal) -> Reservation | Refusal:
        if refusal.reason not in _UNKNOWN:
            return refusal
        found = await asked(self._history.find_reservation(sale, reservation_id))
        if found is not None:
            return found
        if refusal.reason == _SALE_NOT_FOUND and await asked(self._history.sale_exists(sale)):
            return reservation_not_found(sale, reservation_id)
        return refusal


def _if_known(answer: Asked | Refusal) -> Asked | Refusal:
    return _UNSETTLED if isinstance(answer, Refusal) and answer.reason in _UNKNOWN else answer
