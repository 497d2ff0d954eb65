"""The state of a shard in memory: stock, reservations, buyers' units, and the commits that record every change."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from inventory_service.domain.blocked_buyers import BlockedCopy
from inventory_service.domain.events import CommitBody, Event, ReservationChange
from inventory_service.domain.fingerprints import Terms, terms_of
from inventory_service.domain.keys import Position, SaleKey
from inventory_service.domain.reservation import EXPIRED, HELD, Reservation, effective, is_overdue
from inventory_service.domain.sale import CreateSale
from inventory_service.domain.units import Accounts, buyer_accounts, transfer

MAX_EXPIRIES = 100  # holds taken back by one call, so that no call blocks the shard for long
SALES_PER_CALL = 16  # of a sweep or a count, for the same reason


class StoredReservation(NamedTuple):
    """A reservation and the fingerprint of the Reserve that made it; '' if its id was spent."""

    reservation: Reservation
    fingerprint: str


@dataclass
class StoredSale:
    """One sale: its settings, the accounts of its items and buyers, and its reservations."""

    request: CreateSale
    fingerprint: str
    start_time_ms: int
    made: Position
    create_time_ms: int
    items: dict[str, Accounts]
    paused: bool = False
    closed: bool = False
    reservations: dict[str, StoredReservation] = field(default_factory=dict)
    buyers: dict[str, Accounts] = field(default_factory=dict)

    def units_of(self, buyer_id: str) -> Accounts:
        """Units that a buyer holds and owns over all items."""
        return self.buyers.get(buyer_id, buyer_accounts())

    def live_holds(self, now_ms: int) -> list[Reservation]:
        """Holds that still stand."""
        return [r for r, _ in self.reservations.values() if r.state == HELD and not is_overdue(r, now_ms)]

    def overdue(self, now_ms: int) -> list[Reservation]:
        """Holds whose end has come and that were not taken back, the longest overdue first."""
        found = [r for r, _ in self.reservations.values() if is_overdue(r, now_ms)]
        return sorted(found, key=lambda r: (r.expire_time_ms, r.reservation_id))


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
    sales: dict[SaleKey, StoredSale] = field(default_factory=dict)
    commits: list[CommitBody] = field(default_factory=list)


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

    def effective(self, reservation: Reservation) -> Reservation:
        """The reservation as it stands at this call's moment."""
        return effective(reservation, self.now_ms, self.shard.settled)

    def add_event(self, event: Event) -> None:
        """Add an event to this call's commit."""
        self._events.append(event)

    def move(self, sale: StoredSale, stored: StoredReservation, state: int, note: str, reason: int = 0) -> Reservation:
        """Move a reservation on (or make it, from NEW): the one place where units change account."""
        before = stored.reservation
        after = before._replace(
            state=state,
            revision=before.revision + 1,
            update_time_ms=self.now_ms,
            position=self.next_position(),
            note=note,
            compensation_reason=reason,
        )
        terms = terms_of(stored.fingerprint)
        _transfer(sale, terms, before.state, state)
        sale.reservations[after.reservation_id] = StoredReservation(after, stored.fingerprint)
        self.add_event(ReservationChange(before.state, after, terms.hold_ttl_ms or 0))
        return self.effective(after)

    def must_wait(self, sale: SaleKey) -> bool:
        """Whether more of a sale is overdue than this call may take back: its later requests must not overtake then."""
        return self._overdue_cleared.get(sale) is False

    def expire_overdue(self, key: SaleKey) -> bool:
        """Take back overdue holds of a sale; False if they are more than one call may take back."""
        if key not in self._overdue_cleared:
            sale = self.shard.sales[key]
            overdue = sale.overdue(self.now_ms)
            room = MAX_EXPIRIES - self.expired
            for reservation in overdue[:room]:
                self.move(sale, sale.reservations[reservation.reservation_id], EXPIRED, reservation.note)
            self.expired += len(overdue[:room])
            self._overdue_cleared[key] = len(overdue) <= room
        return self._overdue_cleared[key]

    def due(self) -> list[SaleKey]:
        """Sales that have overdue holds, the longest due first."""
        overdue = {key: found for key, sale in self.shard.sales.items() if (found := sale.overdue(self.now_ms))}
        return sorted(overdue, key=lambda key: (overdue[key][0].expire_time_ms, str(key)))

    def commit(self) -> None:
        """Write what this call did; nothing, if it changed nothing."""
        if self._events:
            self.shard.seq += 1
            self.shard.time_ms = self.now_ms
            self.shard.commits.append(CommitBody(self.shard.seq, self.now_ms, tuple(self._events)))


def _transfer(sale: StoredSale, terms: Terms, previous: int, state: int) -> None:
    buyer = dict(sale.units_of(terms.buyer_id))
    transfer(sale.items, buyer, terms.lines, previous, state)
    if any(buyer.values()):
        sale.buyers[terms.buyer_id] = buyer
    else:
        sale.buyers.pop(terms.buyer_id, None)
