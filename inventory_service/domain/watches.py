"""What watches are sent: a sale or a reservation as it was read last, and at which poll each part of it changed.

A poll has a number, which rises. A watch keeps the number of the poll whose news it was sent, and is sent what came
after it.
"""

from typing import Final, NamedTuple

from holdfast.inventory.v1.reservation_pb2 import LEDGER_STATE_PENDING
from holdfast.inventory.v1.sale_pb2 import SALE_STATE_ARCHIVED, SALE_STATE_CLOSED

from inventory_service.domain.keys import Position
from inventory_service.domain.reservation import COMPENSATED, HELD
from inventory_service.domain.results import ReservationRead
from inventory_service.domain.sale import Sale, SaleRead, sale_state
from inventory_service.domain.shards import CommitId
from inventory_service.domain.versions import LOADED, ShardVersions

NEVER: Final = 0  # what a watch was sent that was sent nothing: polls are numbered from 1


class SaleUpdate(NamedTuple):
    """One message of a sale's watch."""

    sale: Sale  # with the items that changed, or all of them
    is_snapshot: bool  # all items are there
    read_time_ms: int
    as_of: Position  # the last commit that is in it; index 0
    lag_ms: int | None  # since the oldest commit of the shard was made that the ledger has not reported


class SaleView:
    """A sale as watches are sent it. `changed` is the poll at which it changed last."""

    def __init__(self) -> None:
        self.changed = NEVER
        self._read: SaleRead | None = None
        self._lag_ms: int | None = None
        self._items_changed: dict[str, int] = {}  # SKU -> poll
        self._replaced = NEVER  # the poll at which it was read first, or lacked an item that it had had

    @property
    def is_over(self) -> bool:
        """Whether a watch ends with the next message: nothing is held any more, and nothing can be."""
        if self._read is None:
            return False
        sale = self._read.sale
        is_closed = sale.state == SALE_STATE_CLOSED and not any(item.held for item in sale.items)
        return is_closed or sale.state == SALE_STATE_ARCHIVED

    @property
    def items(self) -> int:
        """How many items it has."""
        return len(self._read.sale.items) if self._read else 0

    def is_stale(self, shard: ShardVersions, version: CommitId | None) -> bool:
        """Whether it must be read: it never was, or it changed, or it has left Redis, or a take-over came between."""
        if self._read is None:
            return True
        if version is None:
            return self._read.sale.state != SALE_STATE_ARCHIVED
        as_of = self._read.as_of
        return shard.head.epoch != as_of.epoch or version > CommitId(as_of.epoch, as_of.seq)

    def confirm(self, poll: int, shard: ShardVersions) -> None:
        """It is as it was read, up to the shard's last commit; only its state may be another by now."""
        read = self._read
        if read is None or read.sale.state == SALE_STATE_ARCHIVED:
            return
        sale = read.sale._replace(state=sale_state(read.sale.settings, shard.now_ms))
        self._set(poll, SaleRead(sale, shard.head, shard.now_ms), shard.lag_ms)

    def update(self, poll: int, read: SaleRead, shard: ShardVersions) -> None:
        """It was read, after the shard was."""
        before = {item.sku: item for item in self._read.sale.items} if self._read else {}
        changed = [item.sku for item in read.sale.items if before.get(item.sku) != item]
        self._items_changed |= dict.fromkeys(changed, poll)
        if not before or before.keys() - {item.sku for item in read.sale.items}:
            self._replaced = poll
        if changed:
            self.changed = poll
        self._set(poll, read, shard.lag_ms)

    def since(self, sent: int) -> SaleUpdate:
        """What is newer than what was sent at that poll; everything, if it is the first message or the last."""
        assert self._read is not None, "a sale is sent once it was read"
        sale, as_of, read_time_ms, _ = self._read
        is_snapshot = sent < self._replaced or self.is_over
        if not is_snapshot:
            sale = sale._replace(items=tuple(item for item in sale.items if self._items_changed[item.sku] > sent))
        return SaleUpdate(sale, is_snapshot, read_time_ms, as_of, self._lag_ms)

    def _set(self, poll: int, read: SaleRead, lag_ms: int | None) -> None:
        if self._read is None or self._read.sale._replace(items=()) != read.sale._replace(items=()):
            self.changed = poll
        self._read, self._lag_ms = read, lag_ms


class ReservationView:
    """A reservation as watches are sent it. `changed` is the poll at which it changed last."""

    def __init__(self) -> None:
        self.changed = NEVER
        self._read: ReservationRead | None = None
        self._version: CommitId | None = LOADED  # of its sale, before it was read
        self._epoch = 0  # of its shard

    @property
    def is_over(self) -> bool:
        """Whether a watch ends with the next message: the ledger has its end, or has refused it."""
        if self._read is None:
            return False
        found = self._read.reservation
        is_recorded = found.ledger_state != LEDGER_STATE_PENDING and not self._read.is_overdue
        return found.state == COMPENSATED or (found.state != HELD and is_recorded)

    @property
    def ends_ms(self) -> int | None:
        """When its hold ends, so that it must be read although nothing was written; None: it holds nothing."""
        found = self._read.reservation if self._read else None
        return found.expire_time_ms if found and found.state == HELD else None

    def is_stale(self, shard: ShardVersions, version: CommitId | None) -> bool:
        """Whether it must be read: its sale changed, its hold ended, or the ledger has judged its latest change."""
        if self._read is None or (version, shard.head.epoch) != (self._version, self._epoch):
            return True
        if self.ends_ms is not None and shard.now_ms >= self.ends_ms:
            return True
        found = self._read.reservation
        changed = CommitId(found.position.epoch, found.position.seq)
        return found.ledger_state == LEDGER_STATE_PENDING and shard.settled >= changed

    def update(self, poll: int, read: ReservationRead, shard: ShardVersions, version: CommitId | None) -> None:
        """It was read, after the shard and its sale's version were."""
        if self._read is None or _state_of(self._read) != _state_of(read):
            self.changed = poll
        self._read, self._version, self._epoch = read, version, shard.head.epoch

    def latest(self) -> ReservationRead:
        """As it was read last."""
        assert self._read is not None, "a reservation is sent once it was read"
        return self._read


def _state_of(read: ReservationRead) -> tuple[int, int, int]:
    """What a message is sent for when it has changed: revision, state and the ledger's state."""
    found = read.reservation
    return found.revision, found.state, found.ledger_state
