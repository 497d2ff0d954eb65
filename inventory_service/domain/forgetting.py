"""The rule of what leaves a shard, and when; the ledger answers for it from then on. The reference for forget.lua."""

from inventory_service.domain.requests import Position, SaleKey
from inventory_service.domain.shard_book import Call
from inventory_service.domain.states import HELD
from inventory_service.domain.verdicts import ArchiveStep


def forget(call: Call, key: SaleKey, retention_ms: int) -> ArchiveStep:
    """Drop records that are final, settled and old; then the sale, if it has none left and has been over as long.

    No unit moves: while the sale is here, what was sold is still sold and still counts for its buyer.
    """
    leaving, sale = _Leaving(call, retention_ms), call.shard.sales.get(key)
    if sale is None:
        return ArchiveStep(cursor=0, dropped=0, sale_left=False, wait_ms=leaving.wait_ms)
    final = [reservation for reservation, _ in sale.records.values() if reservation.state != HELD]
    gone = [r.reservation_id for r in final if leaving.may_leave(r.update_time_ms, r.position)]
    for reservation_id in gone:
        del sale.records[reservation_id]
    end_ms = sale.request.end_time_ms
    sale_leaves = not sale.records and end_ms is not None and leaving.may_leave(end_ms, sale.made)
    if sale_leaves:
        del call.shard.sales[key]
        call.shard.sales_left += 1  # so that it is not made again by who asked the ledger before
    return ArchiveStep(cursor=0, dropped=len(gone), sale_left=sale_leaves, wait_ms=leaving.wait_ms)


class _Leaving:
    """Judges what may leave at a call's moment, and remembers how soon the next of it may."""

    def __init__(self, call: Call, retention_ms: int) -> None:
        self._call = call
        self._retention_ms = retention_ms
        self.wait_ms = retention_ms  # nothing that is not final yet leaves any sooner

    def may_leave(self, end_ms: int, change: Position) -> bool:
        """Tell whether something may leave that ended at `end_ms` and changed last at `change`."""
        left_ms = end_ms + self._retention_ms - self._call.now_ms
        is_settled = change[1:3] <= self._call.shard.settled  # above, a compensation may still come
        if left_ms <= 0 and is_settled:
            return True
        self.wait_ms = min(self.wait_ms, max(left_ms, 0))
        return False
