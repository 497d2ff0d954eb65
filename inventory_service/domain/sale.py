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
    generation: str = (
        ""  # of the SaleUnknown after which the ledger was asked and had no such sale; '': it was not asked
    )


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
    title: str
    start_time_ms: int
    end_time_ms: int | None
    hold_ttl_ms: int
    max_hold_ttl_ms: int
    buyer_limit: int
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


def sale_state(start_ms: int, end_ms: int | None, paused: bool, closed: bool, now_ms: int) -> int:
    """The state of a sale at a moment; the first that applies."""
    if closed:
        return SALE_STATE_CLOSED
    if end_ms is not None and now_ms >= end_ms:
        return SALE_STATE_ENDED
    if now_ms < start_ms:
        return SALE_STATE_SCHEDULED
    return SALE_STATE_PAUSED if paused else SALE_STATE_OPEN


def etag_of(epoch: int, seq: int, index: int) -> str:
    """A sale's etag: where its settings were last changed."""
    return f"{epoch}-{seq}-{index}"
