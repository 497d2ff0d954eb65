"""What a Reserve comes to whose sale has left Redis: judged by what the ledger holds, in the order of the rule."""

from typing import NamedTuple

from holdfast.inventory.v1.error_reason_pb2 import ERROR_REASON_ITEM_NOT_FOUND, ERROR_REASON_SALE_WITHOUT_HOLDS
from holdfast.inventory.v1.reservation_pb2 import REJECTION_REASON_RESERVATION_ENDED, REJECTION_REASON_SALE_ENDED

from inventory_service.domain.requests import Position, Reserve
from inventory_service.domain.states import CONFIRMED
from inventory_service.domain.stock import id_reused
from inventory_service.domain.verdicts import Failure, Granted, Rejected, Reservation, ReserveResult, Sale


class Known(NamedTuple):
    """What the ledger knows of a reservation, and of its sale, at one moment."""

    has_sale: bool
    reservation: Reservation | None


class PastSale(NamedTuple):
    """A sale as the ledger has it once it has left Redis."""

    sale: Sale
    as_of: Position  # how far the ledger was in its shard; index 0

    def is_over(self, now_ms: int) -> bool:
        """Tell whether it may have left Redis at all."""
        end_ms = self.sale.end_time_ms
        return end_ms is not None and now_ms >= end_ms


def reserve_late(request: Reserve, past: PastSale, known: Reservation | None, now_ms: int) -> ReserveResult:
    """Judge a Reserve of a sale that has left: a repeat hears how it ended, and nothing can be had any more.

    What is known is final, or the sale would not have left.
    """
    if known is not None:
        return _known(request, past, known, now_ms)
    skus = {item.sku for item in past.sale.items}
    for sku, _ in request.lines:
        if sku not in skus:
            return Failure(ERROR_REASON_ITEM_NOT_FOUND, {"sale_id": request.sale.sale_id, "sku": sku})
    if request.hold_ttl_ms is not None and past.sale.hold_ttl_ms == 0:
        return Failure(ERROR_REASON_SALE_WITHOUT_HOLDS)
    return Rejected(REJECTION_REASON_SALE_ENDED, past.as_of, now_ms)


def _known(request: Reserve, past: PastSale, known: Reservation, now_ms: int) -> ReserveResult:
    spent = not known.buyer_id
    if not spent and not _is_same(request, past.sale, known):
        return id_reused(request)
    if known.state == CONFIRMED:
        return Granted(known, replayed=True, read_time_ms=now_ms)
    return Rejected(REJECTION_REASON_RESERVATION_ENDED, past.as_of, now_ms, ended=known, replayed=not spent)


def _is_same(request: Reserve, sale: Sale, known: Reservation) -> bool:
    """Whether this Reserve would have made it. The ledger keeps what a hold got of the life that was asked for it."""
    if (request.buyer_id, request.lines) != (known.buyer_id, known.lines):
        return False
    if not known.expire_time_ms:  # sold at once: no life could be asked for
        return request.hold_ttl_ms is None
    asked_ms = sale.hold_ttl_ms if request.hold_ttl_ms is None else request.hold_ttl_ms
    return known.expire_time_ms - known.create_time_ms == min(asked_ms, sale.max_hold_ttl_ms)
