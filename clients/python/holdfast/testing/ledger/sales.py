"""Books what changes sales: settings, items and their balances, adjustments."""

from collections.abc import Iterable

from holdfast.testing.ledger.tables import ACCOUNTS, AVAILABLE, EXTERNAL, Entry, SaleRow, SettingsRow, Tables
from inventory_service.domain.events import SaleChanged, SaleLeft, SaleMade, StockAdjusted
from inventory_service.domain.fingerprints import adjustment_body
from inventory_service.domain.keys import Position, SaleKey
from inventory_service.domain.sale import Adjustment, NewItem, settings_at_creation
from inventory_service.domain.shard_state import StoredAdjustment
from inventory_service.domain.shards import CommitId


class SaleBooking:
    """Applies the events of sales to the tables."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def book(self, event: SaleMade | SaleChanged | StockAdjusted | SaleLeft, at: Position, time_ms: int) -> None:
        """Book one event."""
        match event:
            case SaleMade():
                self._make(event, at, time_ms)
            case SaleChanged():
                sale = self._tables.sales[event.sale]
                sale.settings = sale.changes[at] = SettingsRow(event.settings, at, time_ms)
                self._add_items(sale, event.added, at)
            case StockAdjusted():
                self._adjust(event, at, time_ms)
            case SaleLeft():
                self._tables.sales[event.sale].has_left = True

    def add(self, key: SaleKey, entry: Entry) -> None:
        """Book a transfer: balances are the sums of their entries."""
        sale = self._tables.sales[key]
        sale.entries.append(entry)
        balance = sale.balances[entry.sku]
        for account, change in ((entry.source, -entry.quantity), (entry.target, entry.quantity)):
            if account != EXTERNAL:
                balance[account] += change
                assert balance[account] >= 0, f"{account} of {entry.sku} is below zero"

    def _make(self, event: SaleMade, at: Position, time_ms: int) -> None:
        request = event.request
        made = SettingsRow(settings_at_creation(request, event.start_time_ms), at, time_ms)
        sale = SaleRow(request.sale, time_ms, event.fingerprint, made, changes={at: made})
        self._tables.sales[request.sale] = sale
        self._add_items(sale, request.items, at)

    def _add_items(self, sale: SaleRow, items: Iterable[NewItem], at: Position) -> None:
        for sku, total, limit in items:
            sale.limits[sku] = limit
            sale.balances[sku] = dict.fromkeys(ACCOUNTS, 0)
            if total:
                self.add(sale.key, Entry(CommitId(at.epoch, at.seq), sku, EXTERNAL, AVAILABLE, total))

    def _adjust(self, event: StockAdjusted, at: Position, time_ms: int) -> None:
        request = event.request
        adjustment = Adjustment(
            sale=request.sale,
            adjustment_id=request.adjustment_id,
            sku=request.sku,
            delta=event.change,
            total_after=event.total_after,
            reason=request.reason,
            reference=request.reference,
            actor=request.actor,
            create_time_ms=time_ms,
            position=at,
        )
        stored = StoredAdjustment(adjustment, adjustment_body(request))
        self._tables.sales[request.sale].adjustments[request.adjustment_id] = stored
        if event.change:
            source, target = (EXTERNAL, AVAILABLE) if event.change > 0 else (AVAILABLE, EXTERNAL)
            entry = Entry(CommitId(at.epoch, at.seq), request.sku, source, target, abs(event.change))
            self.add(request.sale, entry)
