"""Lists of what the ledger has: what each selects, in which pages, and up to when it is known to be complete."""

from collections.abc import Mapping, Sequence
from typing import Generic, NamedTuple, TypeVar

from holdfast.inventory.v1.sale_pb2 import SALE_STATE_ARCHIVED

from inventory_service.domain.keys import SaleKey, shard_of
from inventory_service.domain.sale import Settings, sale_state
from inventory_service.domain.shards import CommitId

T = TypeVar("T")

Key = tuple[int | str, ...]  # places an element in its list: when it was made, in us since 1970, then what follows


class ReservationSelection(NamedTuple):
    """Reservations by create time, then sale, then id. At least one of buyer, sale and reference is named."""

    tenant: str
    buyer_id: str  # '': of any, as in each of the others
    sale_id: str
    reference: str
    states: tuple[int, ...]  # ReservationStates, sorted; (): any


class SaleSelection(NamedTuple):
    """Sales by create time, then id."""

    tenant: str
    states: tuple[int, ...]  # SaleStates, sorted; (): any


class AdjustmentSelection(NamedTuple):
    """Adjustments of a sale by create time, then position."""

    tenant: str
    sale_id: str
    sku: str  # '': of any


class DeadLetterSelection(NamedTuple):
    """Dead letters by create time, then the position at which the order was made."""

    tenant: str
    sale_id: str  # '': of any
    states: tuple[int, ...]  # DeadLetterStates, sorted; (): any


class BlockedBuyerSelection(NamedTuple):
    """Blocked buyers by create time, then id."""

    tenant: str


Selection = ReservationSelection | SaleSelection | AdjustmentSelection | DeadLetterSelection | BlockedBuyerSelection


class PageRequest(NamedTuple):
    """Which part of a list."""

    size: int  # elements at most
    after: Key | None  # behind the element that has, or had, this key; None: the first page


class BlockedBuyer(NamedTuple):
    """A buyer whose orders the ledger refuses."""

    buyer_id: str
    reason: str
    create_time_ms: int
    actor: str  # '': authentication was off


class Watermark(NamedTuple):
    """The last commit of a shard that the ledger has applied."""

    commit: CommitId
    time_ms: int  # of that commit, by the shard's clock; 0: there is none


class ShardMoment(NamedTuple):
    """Where a shard stood at a moment of its clock."""

    now_ms: int
    head: CommitId | None  # None: the shard did not serve, so later commits may be elsewhere


class Listed(NamedTuple, Generic[T]):
    """A part of a list, and how far the ledger was in the shards concerned, at one moment."""

    elements: Sequence[tuple[Key, T]]
    last_looked_at: Key | None  # behind it there may be more; None: there is none
    watermarks: Mapping[int, Watermark] = {}


class Page(NamedTuple, Generic[T]):
    """A part of a list, and up to when everything is in it."""

    elements: Sequence[tuple[Key, T]]
    last_looked_at: Key | None
    complete_time_ms: int | None = None  # None: it is not known


def shards_of(tenant: str, sale_id: str, shards: int) -> Sequence[int]:
    """The shards of what is listed: that of the sale or, without one, all."""
    return [shard_of(SaleKey(tenant, sale_id), shards)] if sale_id else range(shards)


def complete_time_ms(moments: Mapping[int, ShardMoment | None], watermarks: Mapping[int, Watermark]) -> int | None:
    """The moment before which each commit of these shards was in the ledger; None if it is not known.

    True only if the shards were asked before the ledger was.
    """
    return min((_complete_ms(moment, watermarks.get(shard)) for shard, moment in moments.items()), default=0) or None


def _complete_ms(moment: ShardMoment | None, watermark: Watermark | None) -> int:
    """The same of one shard, 0 if it is not known. A commit that was made after the head has no earlier time."""
    if watermark is None:
        return 0
    head = moment.head if moment else None
    if moment and head and head.epoch == watermark.commit.epoch and head <= watermark.commit:
        return moment.now_ms
    return watermark.time_ms


def listed_sale_state(settings: Settings, has_left: bool, now_ms: int) -> int:
    """The state of a sale as the ledger has it."""
    return SALE_STATE_ARCHIVED if has_left else sale_state(settings, now_ms)
