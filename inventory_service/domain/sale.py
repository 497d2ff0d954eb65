"""A sale: what an operator asks for, and how it stands at a moment."""

from typing import NamedTuple

from holdfast.inventory.v1.sale_pb2 import (
    SALE_STATE_CLOSED,
    SALE_STATE_ENDED,
    SALE_STATE_OPEN,
    SALE_STATE_PAUSED,
    SALE_STATE_SCHEDULED,
)

from inventory_service.domain.keys import Position, SaleKey
from inventory_service.domain.reservation import Line


class CreateSale(NamedTuple):
    """Make a sale, all settings spelled out but the start."""

    sale: SaleKey
    title: str
    start_time_ms: int | None  # None: when the shard's clock makes it
    end_time_ms: int | None  # None: until closed
    hold_ttl_ms: int  # 0: no holds, every Reserve is a purchase
    max_hold_ttl_ms: int
    buyer_limit: int  # 0: none
    items: tuple[Line, ...]  # sorted by SKU; quantity is the total, 0 allowed
    attempts_per_minute: int = 0  # of one buyer; 0: no limit
    return_window_ms: int = 0  # 0: as long as reservations are kept
    generation: str = (
        ""  # of the SaleUnknown after which the ledger was asked and had no such sale; '': it was not asked
    )


class Settings(NamedTuple):
    """The settings of a sale: what an operator can change of it, apart from its stock."""

    title: str
    start_time_ms: int
    end_time_ms: int | None
    hold_ttl_ms: int  # 0: no holds
    max_hold_ttl_ms: int
    buyer_limit: int  # 0: none
    attempts_per_minute: int = 0  # of one buyer; 0: no limit
    return_window_ms: int = 0  # how long it stays after it is over; 0: as long as reservations are kept
    paused: bool = False
    close_time_ms: int = 0  # 0: not closed
    release_time_ms: int = 0  # when all of its holds were released, with the close; 0: they were not
    release_reason: str = ""  # of that close: the note of each hold that it released


class Item(NamedTuple):
    """The stock of one item; `total` is the sum of the others today."""

    sku: str
    total: int
    available: int
    held: int
    sold: int


class Sale(NamedTuple):
    """A sale as it stands at the moment of reading."""

    sale: SaleKey
    settings: Settings
    state: int  # a SaleState, by the shard's clock
    items: tuple[Item, ...]  # sorted by SKU
    etag: str
    create_time_ms: int
    update_time_ms: int


class SaleRead(NamedTuple):
    """A sale, read or changed."""

    sale: Sale
    as_of: Position  # the last commit that is in it; index 0
    read_time_ms: int
    replayed: bool = False


class SaleUnknown(NamedTuple):
    """The store has no such sale, so the ledger must be asked before it is made."""

    generation: str  # changes as soon as any sale leaves the shard


def sale_state(settings: Settings, now_ms: int) -> int:
    """The state of a sale at a moment; the first that applies."""
    if settings.close_time_ms:
        return SALE_STATE_CLOSED
    if settings.end_time_ms is not None and now_ms >= settings.end_time_ms:
        return SALE_STATE_ENDED
    if now_ms < settings.start_time_ms:
        return SALE_STATE_SCHEDULED
    return SALE_STATE_PAUSED if settings.paused else SALE_STATE_OPEN


def settings_at_creation(request: CreateSale, start_time_ms: int) -> Settings:
    """The settings of a sale that begins as it was asked for."""
    return Settings(
        title=request.title,
        start_time_ms=start_time_ms,
        end_time_ms=request.end_time_ms,
        hold_ttl_ms=request.hold_ttl_ms,
        max_hold_ttl_ms=request.max_hold_ttl_ms,
        buyer_limit=request.buyer_limit,
        attempts_per_minute=request.attempts_per_minute,
        return_window_ms=request.return_window_ms,
    )


def etag_of(epoch: int, seq: int, index: int) -> str:
    """A sale's etag: where its settings were last changed."""
    return f"{epoch}-{seq}-{index}"
