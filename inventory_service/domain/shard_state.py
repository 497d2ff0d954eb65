"""The state of a shard in memory: stock, reservations, buyers' units, and the commits that record every change."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from inventory_service.domain.attempts import Attempts
from inventory_service.domain.blocked_buyers import BlockedCopy
from inventory_service.domain.events import CommitBody, Event, ReservationChange
from inventory_service.domain.fingerprints import terms_of
from inventory_service.domain.keys import Position, SaleKey
from inventory_service.domain.reservation import HELD, RELEASED, Reservation, Units, effective, state_at
from inventory_service.domain.sale import Adjustment, NewItem, Settings
from inventory_service.domain.shards import CommitId
from inventory_service.domain.units import (
    Accounts,
    book,
    buyer_accounts,
    held_and_sold,
    item_accounts,
    name_of_limited,
)

MAX_EXPIRIES = 100  # holds taken back by one call, so that no call blocks the shard for long
SALES_PER_CALL = 16  # of a sweep or a count, for the same reason


class StoredReservation(NamedTuple):
    """A reservation and the fingerprint of the Reserve that made it; '' if its id was spent."""

    reservation: Reservation
    fingerprint: str


class StoredAdjustment(NamedTuple):
    """An adjustment of stock, and what a repeat of its request asks for too."""

    adjustment: Adjustment
    body: str


@dataclass
class StoredSale:
    """One sale: its settings, the accounts of its items and buyers, and its reservations."""

    key: SaleKey
    settings: Settings
    fingerprint: str  # of the request that made it
    changed: Position  # where its settings were last changed
    create_time_ms: int
    update_time_ms: int  # of its settings
    items: dict[str, Accounts]
    item_limits: dict[str, int] = field(default_factory=dict)  # SKU -> units that one buyer may hold and own
    reservations: dict[str, StoredReservation] = field(default_factory=dict)
    attempts: Attempts = field(default_factory=Attempts)
    buyers: dict[str, Accounts] = field(default_factory=dict)  # by buyer, and of limited items by `name_of_limited`
    adjustments: dict[str, StoredAdjustment] = field(default_factory=dict)
    adjusted: Position | None = None  # where the latest of them stands

    def add_items(self, items: Iterable[NewItem]) -> None:
        """Make items."""
        for sku, total, limit in items:
            self.items[sku] = item_accounts(total)
            if limit:
                self.item_limits[sku] = limit

    def units_of(self, name: str) -> Accounts:
        """Units that a buyer holds and owns: over all items or, under `name_of_limited`, of a limited one."""
        return self.buyers.get(name, buyer_accounts())

    def set_units(self, name: str, accounts: Accounts) -> None:
        """Keep the units of a buyer, if there are any."""
        if any(accounts.values()):
            self.buyers[name] = accounts
        else:
            self.buyers.pop(name, None)

    def live_holds(self, now_ms: int) -> list[Reservation]:
        """Holds that still stand."""
        return [r for r in self._holds() if self.state_of(r, now_ms) == HELD]

    def overdue(self, now_ms: int) -> list[Reservation]:
        """Holds whose end has come, or that were released, and that were not taken back, the longest overdue first."""
        found = [r for r in self._holds() if self.state_of(r, now_ms) != HELD]
        return sorted(found, key=lambda r: (r.expire_time_ms, r.reservation_id))

    def due_since(self, overdue: list[Reservation]) -> int:
        """Since when the sale has had something to take back: at least one is overdue."""
        return self.settings.release_time_ms or overdue[0].expire_time_ms

    def state_of(self, reservation: Reservation, now_ms: int) -> int:
        """The state of a reservation at a moment, as every call sees it."""
        return state_at(reservation, now_ms, self.settings.release_time_ms)

    def _holds(self) -> list[Reservation]:
        return [r for r, _ in self.reservations.values() if r.state == HELD]


@dataclass
class ShardState:
    """One shard; all of its changes are in `commits`."""

    number: int
    epoch: int = 1
    seq: int = 0
    time_ms: int = 0
    trim_seq: int = 0
    settled: tuple[int, int] = (0, 0)  # epoch and seq up to which no refused order is open
    sales_left: int = 0
    blocked: BlockedCopy = field(default_factory=BlockedCopy)
    archived: tuple[int, int] = (0, 0)  # epoch and seq of the highest change of a reservation that has left
    sales: dict[SaleKey, StoredSale] = field(default_factory=dict)
    commits: list[CommitBody] = field(default_factory=list)
    committed: Callable[[], None] = field(default=lambda: None, repr=False, compare=False)  # called after each of them


class Transaction:
    """One call to a shard: one moment, and one commit if it changes anything."""

    def __init__(self, shard: ShardState, clock_ms: Callable[[], int]) -> None:
        self.shard = shard
        self.now_ms = max(clock_ms(), shard.time_ms)  # never before the last commit
        self.expired = 0
        self._events: list[Event] = []
        self._overdue_cleared: dict[SaleKey, bool] = {}

    def next_position(self) -> Position:
        """Where the next change will stand."""
        return Position(self.shard.number, self.shard.epoch, self.shard.seq + 1, len(self._events))

    def as_of(self) -> Position:
        """The last commit that a result takes into account: this call's, once it has changed something."""
        return Position(self.shard.number, self.shard.epoch, self.shard.seq + bool(self._events), 0)

    def head(self) -> CommitId:
        """The last commit before this call."""
        return CommitId(self.shard.epoch, self.shard.seq)

    def effective(self, sale: StoredSale, reservation: Reservation) -> Reservation:
        """A reservation of a sale as it stands at this call's moment, whether or not its hold was taken back yet."""
        if reservation.state == HELD and sale.state_of(reservation, self.now_ms) == RELEASED:
            reservation = reservation._replace(note=sale.settings.release_reason)
        return effective(reservation, sale.state_of(reservation, self.now_ms), self.shard.settled)

    def add_event(self, event: Event) -> None:
        """Add an event to this call's commit."""
        self._events.append(event)

    def move(
        self,
        sale: StoredSale,
        stored: StoredReservation,
        state: int,
        lines: tuple[Units, ...],
        note: str,
        reason: int = 0,
        discarded: bool = False,
    ) -> Reservation:
        """Move a reservation on (or make it, from NEW) to these units: the one place where units change account."""
        before = stored.reservation
        after = before._replace(
            state=state,
            lines=lines,
            revision=before.revision + 1,
            update_time_ms=self.now_ms,
            position=self.next_position(),
            note=note,
            compensation_reason=reason,
        )
        terms = terms_of(stored.fingerprint)
        _transfer(sale, before, after, discarded)
        sale.reservations[after.reservation_id] = StoredReservation(after, stored.fingerprint)
        change = ReservationChange(before.state, before.lines, after, terms.lines, terms.hold_ttl_ms or 0, discarded)
        self.add_event(change)
        return self.effective(sale, after)

    def must_wait(self, sale: SaleKey) -> bool:
        """Whether more of a sale is overdue than this call may take back: its later requests must not overtake then."""
        return self._overdue_cleared.get(sale) is False

    def expire_overdue(self, key: SaleKey) -> bool:
        """Take back overdue and released holds of a sale; False if they are more than one call may take back."""
        if key not in self._overdue_cleared:
            sale = self.shard.sales[key]
            overdue = sale.overdue(self.now_ms)
            room = MAX_EXPIRIES - self.expired
            for reservation in overdue[:room]:
                stored = sale.reservations[reservation.reservation_id]
                state = sale.state_of(reservation, self.now_ms)
                note = sale.settings.release_reason if state == RELEASED else reservation.note
                self.move(sale, stored, state, reservation.lines, note)
            self.expired += len(overdue[:room])
            self._overdue_cleared[key] = len(overdue) <= room
        return self._overdue_cleared[key]

    def due(self) -> list[SaleKey]:
        """Sales that have overdue or released holds, the longest due first."""
        overdue = {key: found for key, sale in self.shard.sales.items() if (found := sale.overdue(self.now_ms))}
        return sorted(overdue, key=lambda key: (self.shard.sales[key].due_since(overdue[key]), str(key)))

    def commit(self) -> None:
        """Write what this call did; nothing, if it changed nothing."""
        if self._events:
            self.shard.seq += 1
            self.shard.time_ms = self.now_ms
            self.shard.commits.append(CommitBody(self.shard.seq, self.now_ms, tuple(self._events)))
            self.shard.committed()


def _transfer(sale: StoredSale, before: Reservation, after: Reservation, discarded: bool) -> None:
    buyer = dict(sale.units_of(after.buyer_id))
    book(sale.items, buyer, before.lines, before.state, -1, discarded)
    book(sale.items, buyer, after.lines, after.state, 1, discarded)
    sale.set_units(after.buyer_id, buyer)
    _book_limited(sale, before, -1)
    _book_limited(sale, after, 1)


def _book_limited(sale: StoredSale, reservation: Reservation, sign: int) -> None:
    """Add what a reservation has of limited items to its buyer's accounts of them; where `sign` is -1, take it off."""
    for units in reservation.lines:
        if units.sku in sale.item_limits:
            name = name_of_limited(reservation.buyer_id, units.sku)
            held, sold = held_and_sold(units, reservation.state)
            before = sale.units_of(name)
            sale.set_units(name, {"held": before["held"] + sign * held, "sold": before["sold"] + sign * sold})
