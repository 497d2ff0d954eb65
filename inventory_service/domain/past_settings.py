"""A sale's settings as one commit left them, for the audit of a sale whose settings have changed since."""

from inventory_service.domain.events import SaleChanged, SaleMade, commit_from_payload
from inventory_service.domain.keys import Position, SaleKey
from inventory_service.domain.sale import Settings, settings_at_creation
from inventory_service.domain.shard_load import StoredSettings


def settings_from_commit(payload: bytes, sale: SaleKey, place: Position, row: StoredSettings) -> StoredSettings | None:
    """The settings that the event at `place` made, and from the row what never changes; None: it made none of it."""
    body = commit_from_payload(payload, place.shard, place.epoch, place.seq)
    settings: Settings
    match body.events[place.index : place.index + 1]:
        case (SaleMade() as made,) if made.request.sale == sale:
            settings = settings_at_creation(made.request, made.start_time_ms)
        case (SaleChanged() as changed,) if changed.sale == sale:
            settings = changed.settings
        case _:
            return None
    return StoredSettings(
        start_ms=settings.start_time_ms,
        end_ms=-1 if settings.end_time_ms is None else settings.end_time_ms,
        hold_ttl_ms=settings.hold_ttl_ms,
        max_hold_ttl_ms=settings.max_hold_ttl_ms or settings.hold_ttl_ms,
        buyer_limit=settings.buyer_limit,
        attempts_per_minute=settings.attempts_per_minute,
        return_window_ms=settings.return_window_ms,
        paused=int(settings.paused),
        close_ms=settings.close_time_ms,
        release_ms=settings.release_time_ms,
        epoch=place.epoch,
        seq=place.seq,
        index=place.index,
        create_ms=row.create_ms,
        update_ms=body.time_ms,
        title=settings.title,
        fingerprint=row.fingerprint,
        release_reason=settings.release_reason,
    )
