"""Turns the changes of sales in a run into the rows and transfers that the ledger stores.

Each change has all settings as they are after it, so only the last one of a run is written to a sale's row.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from holdfast.inventory.v1.commit_pb2 import SaleChanged, SaleLeft, SaleMade, StockAdjusted
from holdfast.inventory.v1.sale_pb2 import Item

from order_persister.domain.chain import AcceptedCommit
from order_persister.domain.events import SaleEvent
from order_persister.domain.text import storable
from order_persister.domain.transfers import AVAILABLE, EXTERNAL, Entry

SaleId = tuple[str, str]  # tenant and sale


class ChangedAt(NamedTuple):
    """Position and time of a change of a sale."""

    epoch: int
    seq: int
    index: int  # type: ignore[assignment]  # tuples have a method of that name
    time_ms: int


class Settings(NamedTuple):
    """What a new sale and a change of its settings write alike, in the order of the columns of both statements."""

    tenant: str
    sale_id: str
    title: str
    start_time_ms: int
    end_time_ms: int | None
    hold_ttl_ms: int
    max_hold_ttl_ms: int
    buyer_limit: int
    attempts_per_minute: int
    return_window_ms: int
    etag_epoch: int
    etag_seq: int
    etag_index: int
    time_ms: int


class SaleRow(NamedTuple):
    """A sale as it was made."""

    settings: Settings
    body: str


class SettingsRow(NamedTuple):
    """A sale's settings after their latest change; the fields are in the order of the statement's columns."""

    settings: Settings
    paused: bool
    close_time_ms: int | None
    release_time_ms: int | None
    release_reason: str | None


class SaleChangeRow(NamedTuple):
    """One change of a sale's settings; the fields are in the order of the statement's columns."""

    epoch: int
    seq: int
    index: int  # type: ignore[assignment]  # tuples have a method of that name
    time_ms: int
    tenant: str
    sale_id: str
    reason: str
    actor: str


class ItemRow(NamedTuple):
    """An item as it was made, all its units available; the fields are in the order of the statement's columns."""

    tenant: str
    sale_id: str
    sku: str
    total: int
    buyer_limit: int


class AdjustmentRow(NamedTuple):
    """One adjustment of an item's stock; the fields are in the order of the statement's columns."""

    epoch: int
    seq: int
    index: int  # type: ignore[assignment]  # tuples have a method of that name
    time_ms: int
    tenant: str
    sale_id: str
    adjustment_id: str
    sku: str
    asked_delta: int | None
    asked_total: int | None
    expected_total: int | None
    reason: str
    reference: str
    actor: str
    change: int
    total_after: int


class LeftRow(NamedTuple):
    """A sale that has left Redis; the fields are in the order of the statement's columns."""

    tenant: str
    sale_id: str
    time_ms: int


@dataclass
class SaleRows:
    """What a run did to sales: rows in the order of the changes, and transfers.

    Those of new items are apart, because the items' rows are written with these units in them.
    """

    made: list[SaleRow] = field(default_factory=list)
    settings: dict[SaleId, SettingsRow] = field(default_factory=dict)
    changes: list[SaleChangeRow] = field(default_factory=list)
    items: list[ItemRow] = field(default_factory=list)
    adjustments: list[AdjustmentRow] = field(default_factory=list)
    left: list[LeftRow] = field(default_factory=list)
    entries_of_items: list[Entry] = field(default_factory=list)
    entries_of_adjustments: list[Entry] = field(default_factory=list)


def sale_rows_from(commits: Iterable[AcceptedCommit]) -> SaleRows:
    """Everything that follows from the changes of sales in a run."""
    rows = SaleRows()
    for commit in commits:
        for index, event in commit.events.sales:
            _add(rows, ChangedAt(commit.epoch, commit.seq, index, commit.events.time_ms), event)
    return rows


def _add(rows: SaleRows, at: ChangedAt, event: SaleEvent) -> None:
    match event:
        case SaleMade():
            rows.made.append(_sale_row(at, event))
            _add_items(rows, at, (event.tenant, event.sale.sale_id), event.sale.items)
        case SaleChanged():
            sale = event.tenant, event.sale_id
            rows.settings[sale] = _settings_row(at, event)
            rows.changes.append(SaleChangeRow(*at, *sale, storable(event.reason), storable(event.actor)))
            _add_items(rows, at, sale, event.added)
        case StockAdjusted():
            rows.adjustments.append(_adjustment_row(at, event))
            rows.entries_of_adjustments += _entries_of_adjustment(at, event)
        case SaleLeft():
            rows.left.append(LeftRow(event.tenant, event.sale_id, at.time_ms))


def _add_items(rows: SaleRows, at: ChangedAt, sale: SaleId, items: Iterable[Item]) -> None:
    """Items and their units; an item without units has no transfer."""
    new = [ItemRow(*sale, item.sku, item.total, item.buyer_limit) for item in items]
    rows.items += new
    with_units = (item for item in new if item.total)
    rows.entries_of_items += (
        Entry(*at[:3], line, *sale, item.sku, None, EXTERNAL, AVAILABLE, item.total)
        for line, item in enumerate(with_units)
    )


def _sale_row(at: ChangedAt, event: SaleMade) -> SaleRow:
    sale = event.sale
    hold_ttl_ms = sale.hold_ttl.ToMilliseconds()
    settings = Settings(
        event.tenant,
        sale.sale_id,
        sale.title,
        event.start_time_ms,
        sale.end_time.ToMilliseconds() if sale.HasField("end_time") else None,
        hold_ttl_ms,
        sale.max_hold_ttl.ToMilliseconds() if sale.HasField("max_hold_ttl") else hold_ttl_ms,
        sale.buyer_limit,
        sale.attempts_per_minute,
        sale.return_window.ToMilliseconds(),
        *at,
    )
    return SaleRow(settings, event.body)


def _settings_row(at: ChangedAt, event: SaleChanged) -> SettingsRow:
    """The reason of the change is that of the release if it released the holds: no change follows such a close."""
    settings = Settings(
        event.tenant,
        event.sale_id,
        event.title,
        event.start_time_ms,
        event.end_time_ms or None,
        event.hold_ttl_ms,
        event.max_hold_ttl_ms,
        event.buyer_limit,
        event.attempts_per_minute,
        event.return_window_ms,
        *at,
    )
    return SettingsRow(
        settings,
        event.paused,
        event.close_time_ms or None,
        event.release_time_ms or None,
        storable(event.reason) if event.release_time_ms else None,
    )


def _adjustment_row(at: ChangedAt, event: StockAdjusted) -> AdjustmentRow:
    asked = event.WhichOneof("asked")
    return AdjustmentRow(
        *at,
        event.tenant,
        event.sale_id,
        event.adjustment_id,
        event.sku,
        event.delta if asked == "delta" else None,
        event.new_total if asked == "new_total" else None,
        event.expected_total if event.HasField("expected_total") else None,
        storable(event.reason),
        event.reference,
        storable(event.actor),
        event.change,
        event.total_after,
    )


def _entries_of_adjustment(at: ChangedAt, event: StockAdjusted) -> list[Entry]:
    """One transfer from or to the world around the sale; none if nothing changed."""
    if not event.change:
        return []
    source, target = (EXTERNAL, AVAILABLE) if event.change > 0 else (AVAILABLE, EXTERNAL)
    item = event.tenant, event.sale_id, event.sku
    return [Entry(*at[:3], 0, *item, None, source, target, abs(event.change))]
