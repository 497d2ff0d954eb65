"""A sale: what an operator asks for, and how it stands at a moment."""

from enum import StrEnum
from typing import Final, NamedTuple

from holdfast.inventory.v1.sale_pb2 import (
    SALE_STATE_CLOSED,
    SALE_STATE_ENDED,
    SALE_STATE_OPEN,
    SALE_STATE_PAUSED,
    SALE_STATE_SCHEDULED,
)

from inventory_service.domain.keys import Position, SaleKey


class NewItem(NamedTuple):
    """An item of which nothing is held or sold."""

    sku: str
    total: int  # 0 is allowed
    buyer_limit: int = 0  # units of it that one buyer may hold and own; 0: no limit


class CreateSale(NamedTuple):
    """Make a sale, all settings spelled out but the start."""

    sale: SaleKey
    title: str
    start_time_ms: int | None  # None: when the shard's clock makes it
    end_time_ms: int | None  # None: until closed
    hold_ttl_ms: int  # 0: no holds, every Reserve is a purchase
    max_hold_ttl_ms: int
    buyer_limit: int  # 0: none
    items: tuple[NewItem, ...]  # sorted by SKU
    attempts_per_minute: int = 0  # of one buyer; 0: no limit
    return_window_ms: int = 0  # 0: as long as reservations are kept
    generation: str = (
        ""  # of the SaleUnknown after which the ledger was asked and had no such sale; '': it was not asked
    )


class SaleAction(StrEnum):
    """What an operator does to a sale as a whole; change_sale.lua has the same words."""

    PAUSE = "PAUSE"
    RESUME = "RESUME"
    CLOSE = "CLOSE"
    CLOSE_AND_RELEASE = "CLOSE_AND_RELEASE"  # every hold of the sale is released at that moment


class ActOnSale(NamedTuple):
    """Pause, resume or close a sale."""

    sale: SaleKey
    action: SaleAction
    etag: str = ""  # if set, must be the sale's
    reason: str = ""
    actor: str = ""  # '': authentication is off


class UpdateSale(NamedTuple):
    """Change settings of a sale, and add items to it; whatever is not named stays."""

    sale: SaleKey
    settings: dict[str, str | int | None]  # by field of Settings; None: what an unset field means at creation
    items: tuple[NewItem, ...] = ()  # sorted by SKU; those that the sale has already stay as they are
    etag: str = ""  # if set, must be the sale's
    actor: str = ""


class AdjustStock(NamedTuple):
    """Change how many units of an item are on sale. Either `delta` or `new_total` is given."""

    sale: SaleKey
    adjustment_id: str
    sku: str
    delta: int | None  # units to add or, below 0, to take away
    new_total: int | None  # units on sale afterwards
    expected_total: int | None = None  # the total that must be found; None: any
    reason: str = ""
    reference: str = ""
    actor: str = ""


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

    @property
    def over_time_ms(self) -> int | None:
        """When the sale is over for its buyers: at its end or its close, whichever comes first; None: never yet."""
        ends = [ms for ms in (self.end_time_ms, self.close_time_ms or None) if ms is not None]
        return min(ends, default=None)


class Item(NamedTuple):
    """The stock of one item; `total` is the sum of the others today."""

    sku: str
    total: int
    available: int
    held: int
    sold: int
    buyer_limit: int = 0  # 0: none


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


class Adjustment(NamedTuple):
    """A change of how many units of an item are on sale, as it was made."""

    sale: SaleKey
    adjustment_id: str
    sku: str
    delta: int  # units that were added or, below 0, taken away; 0: the total was right already
    total_after: int
    reason: str
    reference: str
    actor: str
    create_time_ms: int
    position: Position


class Adjusted(NamedTuple):
    """The stock of an item was adjusted, now or by the call that this one repeats."""

    adjustment: Adjustment
    item: Item  # as it stands
    replayed: bool = False


class SaleUnknown(NamedTuple):
    """The store has no such sale, so the ledger must be asked before it is made."""

    generation: str  # changes as soon as any sale leaves the shard


SaleRequest = CreateSale | ActOnSale | UpdateSale | AdjustStock
SaleResult = SaleRead | SaleUnknown | Adjusted

MAX_ITEMS: Final = 1000  # of one sale
MAX_TOTAL: Final = 10**12  # units of one item


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
