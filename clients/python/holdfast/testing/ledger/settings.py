"""The settings of a sale as an audit compares them."""

from holdfast.testing.ledger.tables import SaleRow, SettingsRow
from inventory_service.domain.keys import Position
from inventory_service.domain.sale import Settings
from inventory_service.domain.shard_load import StoredSettings


def stored_settings(sale: SaleRow, row: SettingsRow) -> StoredSettings:
    """Those of one change."""
    return audited_settings(row.settings, row.changed, sale.create_time_ms, row.time_ms, sale.fingerprint)


def audited_settings(
    settings: Settings, changed: Position, create_ms: int, update_ms: int, fingerprint: str
) -> StoredSettings:
    """The settings with everything beside them that is compared."""
    return StoredSettings(
        start_ms=settings.start_time_ms,
        end_ms=-1 if settings.end_time_ms is None else settings.end_time_ms,
        hold_ttl_ms=settings.hold_ttl_ms,
        max_hold_ttl_ms=settings.max_hold_ttl_ms,
        buyer_limit=settings.buyer_limit,
        attempts_per_minute=settings.attempts_per_minute,
        return_window_ms=settings.return_window_ms,
        paused=int(settings.paused),
        close_ms=settings.close_time_ms,
        release_ms=settings.release_time_ms,
        epoch=changed.epoch,
        seq=changed.seq,
        index=changed.index,
        create_ms=create_ms,
        update_ms=update_ms,
        title=settings.title,
        fingerprint=fingerprint,
        release_reason=settings.release_reason,
    )
