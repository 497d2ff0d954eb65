"""What a shard keeps, in memory: stock, reservations, buyers' units, and the commits that tell of every change."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from inventory_service.domain.bodies import parse_reserve_body
from inventory_service.domain.requests import CreateSale, Position, SaleKey
from inventory_service.domain.states import ACCOUNT, EXPIRED, HELD, as_seen, is_overdue
from inventory_service.domain.verdicts import Reservation

MOST_EXPIRIES = 100  # holds taken back by one call, so that no call blocks the shard for long
SALES_AT_ONCE = 16  # that one call of a sweep or a count looks at, for the same reason


class Change(NamedTuple):
    """An event: a reservation was made or moved on."""

    previous_state: int
    reservation: Reservation


class SaleMade(NamedTuple):
    """An event: a sale was made."""

    request: CreateSale
    start_time_ms: int


class CommitBody(NamedTuple):
    """Everything that one call did."""

    seq: int
    time_ms: int
    events: tuple[Change | SaleMade, ...]


class Record(NamedTuple):
    """A reservation and the body that asked for it; '' if its id was spent."""

    reservation: Reservation
    body: str


@dataclass
class SaleBook:
    """One sale. Its accounts, and a buyer's, are dicts by name: available, held, sold."""

    request: CreateSale
    body: str
    start_time_ms: int
    made: Position
    create_time_ms: int
    items: dict[str, dict[str, int]]
    paused: bool = False
    closed: bool = False
    records: dict[str, Record] = field(default_factory=dict)
    buyers: dict[str, dict[str, int]] = field(default_factory=dict)

    def units_of(self, buyer_id: str) -> dict[str, int]:
        """Units that a buyer holds and owns over all items."""
        return self.buyers.get(buyer_id, {"held": 0, "sold": 0})

    def live_holds(self, now_ms: int) -> list[Reservation]:
        """Holds that still stand."""
        return [r for r, _ in self.records.values() if r.state == HELD and not is_overdue(r, now_ms)]

    def overdue(self, now_ms: int) -> list[Reservation]:
        """Holds whose end has come and that were not taken back, the longest overdue first."""
        found = [r for r, _ in self.records.values() if is_overdue(r, now_ms)]
        return sorted(found, key=lambda r: (r.expire_time_ms, r.reservation_id))


@dataclass
class ShardBook:
    """One shard; all of its changes are in `commits`."""

    number: int
    epoch: int = 1
    seq: int = 0
    time_ms: int = 0
    trim_seq: int = 0
    settled: tuple[int, int] = (0, 0)  # epoch and seq up to which no refused order is open
    sales_left: int = 0
    sales: dict[SaleKey, SaleBook] = field(default_factory=dict)
    commits: list[CommitBody] = field(default_factory=list)


class Call:
    """One call to a shard: one moment, and one commit if it changes anything."""

    def __init__(self, shard: ShardBook, clock_ms: Callable[[], int]) -> None:
        self.shard = shard
        self.now_ms = max(clock_ms(), shard.time_ms)  # never before the last commit
        self.expired = 0
        self._events: list[Change | SaleMade] = []
        self._none_overdue: dict[SaleKey, bool] = {}

    def next_position(self) -> Position:
        """Where the next change will stand."""
        return Position(self.shard.number, self.shard.epoch, self.shard.seq + 1, len(self._events))

    def as_of(self) -> Position:
        """The last commit that an answer given now has seen: this call's, once it has changed something."""
        return Position(self.shard.number, self.shard.epoch, self.shard.seq + bool(self._events), 0)

    def seen(self, reservation: Reservation) -> Reservation:
        """The reservation as everyone sees it at this call's moment."""
        return as_seen(reservation, self.now_ms, self.shard.settled)

    def tell(self, event: Change | SaleMade) -> None:
        """Add an event to this call's commit."""
        self._events.append(event)

    def move(self, sale: SaleBook, record: Record, state: int, note: str, reason: int = 0) -> Reservation:
        """Move a reservation on (or make it, from UNMADE): the one place where units change account."""
        before = record.reservation
        after = before._replace(
            state=state,
            revision=before.revision + 1,
            update_time_ms=self.now_ms,
            position=self.next_position(),
            note=note,
            compensation_reason=reason,
        )
        _carry(sale, record.body, ACCOUNT[before.state], ACCOUNT[state])
        sale.records[after.reservation_id] = Record(after, record.body)
        self.tell(Change(before.state, after))
        return self.seen(after)

    def must_wait(self, sale: SaleKey) -> bool:
        """Tell whether more of a sale is overdue than this call can take back; its later requests may not overtake."""
        return self._none_overdue.get(sale) is False

    def take_back(self, key: SaleKey) -> bool:
        """Take back overdue holds of a sale; False if this call has no room for all of them."""
        if key not in self._none_overdue:
            sale = self.shard.sales[key]
            overdue = sale.overdue(self.now_ms)
            room = MOST_EXPIRIES - self.expired
            for reservation in overdue[:room]:
                self.move(sale, sale.records[reservation.reservation_id], EXPIRED, reservation.note)
            self.expired += len(overdue[:room])
            self._none_overdue[key] = len(overdue) <= room
        return self._none_overdue[key]

    def due(self) -> list[SaleKey]:
        """Sales that have overdue holds, the longest due first."""
        overdue = {key: found for key, sale in self.shard.sales.items() if (found := sale.overdue(self.now_ms))}
        return sorted(overdue, key=lambda key: (overdue[key][0].expire_time_ms, str(key)))

    def commit(self) -> None:
        """Tell what this call did; nothing, if it changed nothing."""
        if self._events:
            self.shard.seq += 1
            self.shard.time_ms = self.now_ms
            self.shard.commits.append(CommitBody(self.shard.seq, self.now_ms, tuple(self._events)))


def _carry(sale: SaleBook, body: str, source: str, target: str) -> None:
    buyer_id, lines = parse_reserve_body(body)
    for sku, quantity in lines:
        item = sale.items[sku]
        item[source] -= quantity
        item[target] += quantity
        assert item[source] >= 0, "an account below zero"
    if buyer_id:
        _carry_buyer(sale, buyer_id, sum(line.quantity for line in lines), source, target)


def _carry_buyer(sale: SaleBook, buyer_id: str, quantity: int, source: str, target: str) -> None:
    units = dict(sale.units_of(buyer_id), available=0)  # what is not the buyer's is not counted
    units[source] -= quantity
    units[target] += quantity
    sale.buyers[buyer_id] = {"held": units["held"], "sold": units["sold"]}
    if not units["held"] and not units["sold"]:
        del sale.buyers[buyer_id]
