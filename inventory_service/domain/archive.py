"""The archive: what leaves a shard and when, and how calls about it are judged afterwards, by what the ledger holds.

The first half is the reference for lua/archive.lua, the end for lua/return_archived.lua.
"""

from typing import NamedTuple

from holdfast.inventory.v1.error_reason_pb2 import ERROR_REASON_SALE_WITHOUT_HOLDS, ERROR_REASON_SHARD_NOT_SERVING
from holdfast.inventory.v1.reservation_pb2 import REJECTION_REASON_RESERVATION_ENDED, REJECTION_REASON_SALE_ENDED
from holdfast.inventory.v1.sale_pb2 import SALE_STATE_ARCHIVED

from inventory_service.domain.adjustments import adjustment_id_reused
from inventory_service.domain.events import SaleLeft
from inventory_service.domain.fingerprints import adjustment_body
from inventory_service.domain.keys import Position, SaleKey
from inventory_service.domain.moves import Move, Step, is_unknown, judge_move, move_stored
from inventory_service.domain.reservation import CONFIRMED, HELD, Reservation
from inventory_service.domain.reserve import Reserve, ReserveResult, fingerprint_of
from inventory_service.domain.results import (
    Failure,
    Granted,
    Rejected,
    item_not_found,
    reservation_id_reused,
    reservation_not_found,
    sale_not_found,
    wrong_sale_state,
)
from inventory_service.domain.sale import Adjusted, AdjustStock, Sale
from inventory_service.domain.shard_state import StoredAdjustment, StoredReservation, StoredSale, Transaction
from inventory_service.domain.shards import CommitId


class ArchiveStep(NamedTuple):
    """One step of a walk over a sale's reservations."""

    cursor: int  # where the next step begins; 0: the walk is over
    dropped: int  # how many reservations
    sale_left: bool  # the sale too, after its last reservation
    wait_ms: int  # nothing that this step looked at can leave before


def archive(transaction: Transaction, key: SaleKey, retention_ms: int) -> ArchiveStep:
    """Drop reservations that are final, settled and old; then the sale, if it has none left and was over long ago.

    No unit moves: while the sale is here, what was sold is still sold and still counts for its buyer.
    """
    leaving, sale = _Leaving(transaction, retention_ms), transaction.shard.sales.get(key)
    if sale is None:
        return ArchiveStep(cursor=0, dropped=0, sale_left=False, wait_ms=leaving.wait_ms)
    final = [reservation for reservation, _ in sale.reservations.values() if reservation.state != HELD]
    gone = [r.reservation_id for r in final if leaving.may_leave(r.update_time_ms, r.position)]
    for reservation_id in gone:
        left = sale.reservations.pop(reservation_id).reservation.position
        transaction.shard.archived = max(transaction.shard.archived, (left.epoch, left.seq))
    sale_leaves = not sale.reservations and leaving.sale_may_leave(sale)
    if sale_leaves:
        transaction.add_event(SaleLeft(key))
        del transaction.shard.sales[key]
        transaction.shard.sales_left += 1  # so that a caller that asked the ledger before does not make it again
    return ArchiveStep(cursor=0, dropped=len(gone), sale_left=sale_leaves, wait_ms=leaving.wait_ms)


class _Leaving:
    """Decides what may leave at a call's moment, and computes how soon something more may."""

    def __init__(self, transaction: Transaction, retention_ms: int) -> None:
        self._transaction = transaction
        self._retention_ms = retention_ms
        self.wait_ms = retention_ms  # a reservation that is not final yet leaves no sooner

    def sale_may_leave(self, sale: StoredSale) -> bool:
        """Tell whether a sale without reservations may leave: none returns what was sold any more."""
        over_ms, keep_ms = sale.settings.over_time_ms, max(self._retention_ms, sale.settings.return_window_ms)
        latest = max(sale.changed, sale.adjusted or sale.changed)
        return over_ms is not None and self.may_leave(over_ms, latest, keep_ms)

    def may_leave(self, end_ms: int, change: Position, keep_ms: int | None = None) -> bool:
        """Tell whether something may leave that ended at `end_ms` and changed last at `change`."""
        left_ms = end_ms + (self._retention_ms if keep_ms is None else keep_ms) - self._transaction.now_ms
        is_settled = change[1:3] <= self._transaction.shard.settled  # above, a compensation may still come
        if left_ms <= 0 and is_settled:
            return True
        self.wait_ms = min(self.wait_ms, max(left_ms, 0))
        return False


class ArchivedReservation(NamedTuple):
    """What the ledger knows of a reservation, and of its sale, at one moment."""

    has_sale: bool
    reservation: Reservation | None
    fingerprint: str = ""  # of the Reserve that made it; '' if its id was spent, or there is none
    watermark: CommitId = CommitId(0, 0)  # of its shard in the ledger
    lost: str = ""  # if there is none: a commit, epoch-seq, that had one and that the ledger never takes

    @property
    def found(self) -> Reservation:
        """The reservation, where there must be one."""
        assert self.reservation is not None, "unknown is a failure"
        return self.reservation


class ArchivedSale(NamedTuple):
    """A sale as the ledger has it once it has left Redis."""

    sale: Sale
    as_of: Position  # how far the ledger was in its shard; index 0
    has_left: bool = True  # the ledger knows that too, so that no load brings the sale back to Redis

    def is_over(self, now_ms: int) -> bool:
        """Tell whether it may have left Redis at all."""
        over_ms = self.sale.settings.over_time_ms
        return over_ms is not None and now_ms >= over_ms


def reserve_archived(
    request: Reserve, archived: ArchivedSale, known: ArchivedReservation, now_ms: int
) -> ReserveResult:
    """Judge a Reserve of a sale that has left: a repeat gets its reservation as it ended, any other no units.

    A known reservation is final, or the sale would not have left.
    """
    if known.reservation is not None:
        return judge_repeat(request, archived.as_of, known.reservation, known.fingerprint, now_ms)
    skus = {item.sku for item in archived.sale.items}
    for sku, _ in request.lines:
        if sku not in skus:
            return item_not_found(request.sale, sku)
    if request.hold_ttl_ms is not None and archived.sale.settings.hold_ttl_ms == 0:
        return Failure(ERROR_REASON_SALE_WITHOUT_HOLDS)
    return Rejected(REJECTION_REASON_SALE_ENDED, archived.as_of, now_ms)


def judge_repeat(request: Reserve, as_of: Position, known: Reservation, fingerprint: str, now_ms: int) -> ReserveResult:
    """Judge a Reserve of an id whose reservation the ledger knows; `known` is as it stands."""
    spent = not fingerprint
    if not spent and fingerprint != fingerprint_of(request):
        return reservation_id_reused(request.sale, request.reservation_id)
    if known.state in (HELD, CONFIRMED):
        return Granted(known, replayed=True, read_time_ms=now_ms)
    return Rejected(REJECTION_REASON_RESERVATION_ENDED, as_of, now_ms, ended=known, replayed=not spent)


def adjust_archived(request: AdjustStock, archived: ArchivedSale, known: StoredAdjustment | None) -> Adjusted | Failure:
    """Judge an AdjustStock of a sale that has left: a repeat gets its adjustment, any other finds the sale archived."""
    if known is None:
        return wrong_sale_state(SALE_STATE_ARCHIVED)
    if known.body != adjustment_body(request):
        return adjustment_id_reused(request)
    (item,) = (item for item in archived.sale.items if item.sku == request.sku)
    return Adjusted(known.adjustment, item, replayed=True)


def move_archived(request: Move, found: Reservation, read_time_ms: int) -> Granted | Failure | Step | None:
    """Judge a move of a reservation that left Redis and was read from the ledger.

    It left because it is final, so at most sold units can come back: then a Step says what the return leads to. None
    says that it has not left: it is held, made after Redis was asked, and Redis must be asked again.
    """
    if found.state == HELD:
        return None
    step = judge_move(found, request, max_hold_ttl_ms=0)
    return Granted(found, replayed=True, read_time_ms=read_time_ms) if step is None else step


class ReturnArchived(NamedTuple):
    """Take back sold units of a reservation that has left a sale that has not."""

    move: Move  # a RETURN
    head: CommitId  # of the shard, before a call that did not find the reservation
    watermark: CommitId  # of the shard in the ledger, when the reservation was read there, after that call
    reservation: Reservation  # as the ledger has it
    fingerprint: str  # of the Reserve that made it


def return_archived(transaction: Transaction, request: ReturnArchived) -> Granted | Failure:
    """Store the reservation again as the ledger has it, and move it.

    It is done once: whatever was stored of the reservation after `head` is there, or its position is at most that of
    the highest record that has left, which is above `head` then. So this needs no clock.
    """
    move, key = request.move, request.reservation.reservation_id
    sale = transaction.shard.sales.get(move.sale)
    if sale is None:
        return sale_not_found(move.sale)
    stored = sale.reservations.get(key)
    if stored is not None and not is_unknown(stored.reservation):
        return move_stored(transaction, sale, stored, move)
    if request.head.epoch != transaction.shard.epoch or request.head < transaction.shard.archived:
        return reservation_not_found(move.sale, key, transaction.head())
    if request.watermark < CommitId(transaction.shard.epoch, transaction.shard.trim_seq):
        return Failure(ERROR_REASON_SHARD_NOT_SERVING)  # the ledger has lost commits that it had reported
    return move_stored(transaction, sale, StoredReservation(request.reservation, request.fingerprint), move)
