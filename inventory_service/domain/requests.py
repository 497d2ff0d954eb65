"""What the rule can be asked: plain values, already checked and normalised by whoever made them."""

import zlib
from functools import lru_cache
from typing import NamedTuple


class SaleKey(NamedTuple):
    """Names a sale of a tenant; its text form also decides the shard."""

    tenant: str
    sale_id: str

    def __str__(self) -> str:
        return f"{self.tenant}/{self.sale_id}"


class Line(NamedTuple):
    """Units of one item."""

    sku: str
    quantity: int


class Position(NamedTuple):
    """Where a change stands; compares in the order of its shard."""

    shard: int
    epoch: int
    seq: int
    index: int  # type: ignore[assignment]  # hides tuple.index, which nobody needs here


class Reserve(NamedTuple):
    """Hold (or, in a sale without holds, buy) all lines or none."""

    sale: SaleKey
    reservation_id: str
    buyer_id: str
    lines: tuple[Line, ...]  # sorted by SKU, equal SKUs summed
    hold_ttl_ms: int | None  # as asked; None: the sale's


class Confirm(NamedTuple):
    """Sell everything that is held."""

    sale: SaleKey
    reservation_id: str


class Release(NamedTuple):
    """Give everything back; with `spend_id`, end an id that was never judged."""

    sale: SaleKey
    reservation_id: str
    reason: str
    spend_id: bool


class Compensate(NamedTuple):
    """Give back what the ledger refused: acts only on the reservation created at `created`."""

    sale: SaleKey
    reservation_id: str
    created: Position
    reason: int  # a CompensationReason
    detail: str


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


@lru_cache(maxsize=4096)  # asked for every call
def shard_of(sale: SaleKey, shards: int) -> int:
    """The shard in which a sale lives, for good; `shards` is N."""
    return zlib.crc32(str(sale).encode()) % shards
