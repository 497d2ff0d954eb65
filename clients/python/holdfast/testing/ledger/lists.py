"""Lists of what the ledger in memory has, newest first."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

from holdfast.testing.ledger.archive import as_told, sale_from_row
from holdfast.testing.ledger.tables import Tables
from inventory_service.domain.dead_letters import DeadLetter
from inventory_service.domain.keys import SaleKey, shard_of
from inventory_service.domain.lists import (
    AdjustmentSelection,
    BlockedBuyer,
    BlockedBuyerSelection,
    DeadLetterSelection,
    Key,
    Listed,
    PageRequest,
    ReservationSelection,
    SaleSelection,
    Watermark,
    listed_sale_state,
)
from inventory_service.domain.reservation import Reservation, state_at
from inventory_service.domain.sale import Adjustment, Sale
from inventory_service.domain.shards import CommitId

T = TypeVar("T")


class InMemoryLists:
    """The port `LedgerLists`."""

    def __init__(self, tables: Tables, shards: int) -> None:
        self._tables = tables
        self._shards = shards

    async def reservations(
        self, selection: ReservationSelection, page: PageRequest, shards: Sequence[int], now_ms: Sequence[int]
    ) -> Listed[Reservation]:
        found = (self._as_seen(order, now_ms) for order in self._selected(selection))
        seen = [order for order in found if not selection.states or order.state in selection.states]
        keyed = (((each.create_time_ms * 1000, each.sale.sale_id, each.reservation_id), each) for each in seen)
        return self._listed(keyed, page, shards)

    async def sales(
        self, selection: SaleSelection, page: PageRequest, shards: Sequence[int], now_ms: int
    ) -> Listed[Sale]:
        rows = [row for row in self._tables.sales.values() if row.key.tenant == selection.tenant]
        sales = [sale_from_row(row, listed_sale_state(row.settings.settings, row.has_left, now_ms)) for row in rows]
        kept = [sale for sale in sales if not selection.states or sale.state in selection.states]
        return self._listed((((sale.create_time_ms * 1000, sale.sale.sale_id), sale) for sale in kept), page, shards)

    async def adjustments(
        self, selection: AdjustmentSelection, page: PageRequest, shards: Sequence[int]
    ) -> Listed[Adjustment]:
        sale = self._tables.sales.get(SaleKey(selection.tenant, selection.sale_id))
        made = [stored.adjustment for stored in sale.adjustments.values()] if sale is not None else []
        kept = [each for each in made if selection.sku in ("", each.sku)]
        return self._listed((((each.create_time_ms * 1000, *each.position[1:]), each) for each in kept), page, shards)

    async def dead_letters(
        self, selection: DeadLetterSelection, page: PageRequest, shards: Sequence[int]
    ) -> Listed[DeadLetter]:
        kept = [
            row.letter
            for row in self._tables.letters.values()
            if row.letter.sale.tenant == selection.tenant
            and selection.sale_id in ("", row.letter.sale.sale_id)
            and (not selection.states or row.letter.state in selection.states)
        ]
        return self._listed((((each.create_time_ms * 1000, *each.created), each) for each in kept), page, shards)

    async def blocked_buyers(self, selection: BlockedBuyerSelection, page: PageRequest) -> Listed[BlockedBuyer]:
        kept = [buyer for key, buyer in self._tables.blocked.items() if key.tenant == selection.tenant]
        return self._listed((((each.create_time_ms * 1000, each.buyer_id), each) for each in kept), page, ())

    async def watermarks(self) -> Mapping[int, Watermark]:
        return dict(self._tables.watermarks)

    async def has_applied(self, shard: int, commit: CommitId) -> bool:
        return commit <= self._tables.watermarks[shard].commit

    def _selected(self, selection: ReservationSelection) -> Iterable[Reservation]:
        """Those of any state."""
        for sale, rows in self._tables.reservations.items():
            if sale.tenant != selection.tenant or selection.sale_id not in ("", sale.sale_id):
                continue
            for order, _ in rows.values():
                if selection.buyer_id in ("", order.buyer_id) and selection.reference in ("", order.reference):
                    yield order

    def _as_seen(self, order: Reservation, now_ms: Sequence[int]) -> Reservation:
        """A reservation as every caller sees it, swept or not."""
        release_ms = self._tables.sales[order.sale].settings.settings.release_time_ms
        state = state_at(order, now_ms[shard_of(order.sale, self._shards)], release_ms)
        return as_told(order)._replace(state=state)

    def _listed(self, keyed: Iterable[tuple[Key, T]], page: PageRequest, shards: Sequence[int]) -> Listed[T]:
        after = page.after
        found = sorted((each for each in keyed if after is None or each[0] < after), key=lambda each: each[0])
        newest = found[::-1][: page.size]
        watermarks = {shard: self._tables.watermarks[shard] for shard in shards}
        return Listed(newest, newest[-1][0] if len(found) > page.size else None, watermarks)
