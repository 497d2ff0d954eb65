"""Compares one sale in Redis with the ledger while both go on: what differs, and what has to be read again.

Redis is read first, and the ledger once it has applied all that Redis had. What has changed in the ledger after that
reading is not compared but read again, so a difference is never one of work under way.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from holdfast.inventory.v1.reservation_pb2 import ReservationState

from inventory_service.domain.keys import Position
from inventory_service.domain.reconciliation import ItemInRedis, RefusedOrder, ReservationSnapshot
from inventory_service.domain.reservation import HELD, Units
from inventory_service.domain.sale import etag_of
from inventory_service.domain.shard_load import StoredSettings
from inventory_service.domain.shards import CommitId

MISSING = "missing"
NONE = "none"
_LAST_MS = 253_402_300_799_999  # of the year 9999
_TIMES = {
    "start_ms": "start_time",
    "end_ms": "end_time",
    "close_ms": "close_time",
    "release_ms": "release_time",
    "create_ms": "create_time",
    "update_ms": "update_time",
}
_VALUES = {
    "title": "title",
    "hold_ttl_ms": "hold_ttl in ms",
    "max_hold_ttl_ms": "max_hold_ttl in ms",
    "buyer_limit": "buyer_limit",
    "attempts_per_minute": "attempts_per_minute",
    "return_window_ms": "return_window in ms",
    "paused": "paused",
    "release_reason": "release reason",
    "fingerprint": "body as created",
}


class AuditDifference(NamedTuple):
    """A subject of which the two sides differ."""

    subject: str
    redis: str  # for the ledger against itself, what its balance or row says
    ledger: str  # for the ledger against itself, what its entries or lines add up to


class SaleRow(NamedTuple):
    """A sale in the ledger."""

    settings: StoredSettings
    has_left: bool  # Redis


class ItemAtCommit(NamedTuple):
    """An item's units in the ledger after one commit."""

    sku: str
    buyer_limit: int
    total: int
    available: int
    held: int
    sold: int
    refused: int


class TakenUnits(NamedTuple):
    """Units that some orders hold and own."""

    held: int = 0
    sold: int = 0

    def __add__(self, other: "TakenUnits") -> "TakenUnits":  # type: ignore[override]  # not as tuples do
        return TakenUnits(self.held + other.held, self.sold + other.sold)


class LedgerOrder(NamedTuple):
    """An order as the ledger has it: its row or, where it is refused and has no newer row, its dead letter."""

    order: ReservationSnapshot
    is_open: bool  # refused, and its units are still to be given back
    is_dead_letter: bool  # which of the units knows those claimed and those owned

    def must_be_in_redis(self, archived: CommitId) -> bool:
        """Whether Redis must have it: only what is final, settled and not above `archived` leaves."""
        return self.is_open or self.order.state == HELD or _commit_of(self.order.position) > archived


OrdersOfId = Mapping[Position, LedgerOrder]  # by where each was made, for an id may be used again


class SaleAudit(NamedTuple):
    """What the comparison of a sale found."""

    as_of: Position  # the commit at which the stock was compared; index 0
    differences: Sequence[AuditDifference]
    is_truncated: bool  # there are more differences
    items: int  # that were compared
    reservations: int


class Judged(NamedTuple):
    """What differs in some reservations or buyers, how many Redis has of those compared, and which to read again."""

    differences: list[AuditDifference]
    compared: int
    again: list[str]


def sale_differences(redis: StoredSettings | None, row: SaleRow | None) -> Iterator[AuditDifference]:
    """All settings must be equal, with the etag; None: there is no such sale."""
    if redis is None or row is None or row.has_left:
        yield AuditDifference("sale", _presence(redis), "has left Redis" if row and row.has_left else _presence(row))
        return
    ledger = row.settings
    if _etag(redis) != _etag(ledger):
        yield AuditDifference("sale etag", _etag(redis), _etag(ledger))
    for field, name in _TIMES.items():
        if getattr(redis, field) != getattr(ledger, field):
            yield AuditDifference(f"sale {name}", _moment(getattr(redis, field)), _moment(getattr(ledger, field)))
    for field, name in _VALUES.items():
        if getattr(redis, field) != getattr(ledger, field):
            yield AuditDifference(f"sale {name}", str(getattr(redis, field)), str(getattr(ledger, field)))


def stock_differences(
    redis: Sequence[ItemInRedis], ledger: Sequence[ItemAtCommit], refused: Mapping[str, TakenUnits] | None
) -> Iterator[AuditDifference]:
    """Units must be equal: the ledger's account `refused` has what refused orders hold and own in Redis.

    `refused` None: it is not known how much of that is held, so only the sum of held and sold is compared.
    """
    in_redis, in_ledger = {item.sku: item for item in redis}, {item.sku: item for item in ledger}
    for sku in sorted(in_redis.keys() | in_ledger.keys()):
        stored, recorded = in_redis.get(sku), in_ledger.get(sku)
        if stored is None or recorded is None:
            yield AuditDifference(f"item {sku}", MISSING if stored is None else "present", _presence(recorded))
            continue
        taken = None if refused is None else refused.get(sku, TakenUnits())
        for name, redis_value, ledger_value in _accounts(stored, recorded, taken):
            if redis_value != ledger_value:
                yield AuditDifference(f"item {sku} {name}", str(redis_value), str(ledger_value))


def _accounts(stored: ItemInRedis, recorded: ItemAtCommit, taken: TakenUnits | None) -> Iterator[tuple[str, int, int]]:
    yield "buyer_limit", stored.buyer_limit, recorded.buyer_limit
    yield "total", stored.available + stored.held + stored.sold, recorded.total
    yield "available", stored.available, recorded.available
    if taken is None:
        yield "held and sold", stored.held + stored.sold, recorded.held + recorded.sold + recorded.refused
        return
    yield "held", stored.held, recorded.held + taken.held
    yield "sold", stored.sold, recorded.sold + taken.sold
    yield "refused", taken.held + taken.sold, recorded.refused


def orders_by_id(
    reservations: Mapping[str, ReservationSnapshot], dead_letters: Iterable[RefusedOrder]
) -> Mapping[str, OrdersOfId]:
    """What the ledger has of each id, from its row and its dead letters.

    The row of an order that was refused stays behind until the order has ended, or is that of another one.
    """
    found: dict[str, dict[Position, LedgerOrder]] = {
        id: {row.created: LedgerOrder(row, is_open=False, is_dead_letter=False)} for id, row in reservations.items()
    }
    for letter in dead_letters:
        orders, created = found.setdefault(letter.order.reservation_id, {}), letter.order.created
        if letter.is_open or created not in orders:
            orders[created] = LedgerOrder(letter.order, letter.is_open, is_dead_letter=True)
    return found


def judge_reservations(
    ids: Iterable[str],
    redis: Mapping[str, ReservationSnapshot],
    ledger: Mapping[str, OrdersOfId],
    head: CommitId,
    archived: CommitId,
) -> Judged:
    """Compare what Redis had of these ids at `head` with a ledger that has applied that commit, and perhaps more."""
    judged = Judged([], 0, [])
    compared = 0
    for id in ids:
        record, orders = redis.get(id), ledger.get(id, {})
        if any(_commit_of(order.order.position) > head for order in orders.values()):
            judged.again.append(id)
            continue
        compared += record is not None
        judged.differences.extend(_differences_of(id, record, orders, archived))
    return judged._replace(compared=compared)


def _differences_of(
    id: str, record: ReservationSnapshot | None, orders: OrdersOfId, archived: CommitId
) -> Iterator[AuditDifference]:
    subject = f"reservation {id}"
    if record is not None and record.created not in orders:
        yield AuditDifference(subject, f"{_state(record)}, made at {_place(record.created)}", MISSING)
    for created, order in orders.items():
        if record is not None and record.created == created:
            yield from _field_differences(subject, record, order)
        elif order.must_be_in_redis(archived):
            yield AuditDifference(subject, MISSING, f"{_state(order.order)}, made at {_place(created)}")


def _field_differences(subject: str, record: ReservationSnapshot, recorded: LedgerOrder) -> Iterator[AuditDifference]:
    order = recorded.order
    fields = (
        ("state", _state(record), _state(order)),
        ("revision", str(record.revision), str(order.revision)),
        ("position", _place(record.position), _place(order.position)),
        ("buyer", record.buyer_id, order.buyer_id),
        ("expire_time", _moment(record.expire_time_ms), _moment(order.expire_time_ms)),
        ("due time", _moment(record.due_ms), _moment(order.due_ms)),
    )
    for name, redis_value, ledger_value in fields:
        if redis_value != ledger_value:
            yield AuditDifference(f"{subject} {name}", redis_value, ledger_value)
    lines = [_owned(units) for units in record.lines] if recorded.is_dead_letter else record.lines
    in_redis, in_ledger = ({units.sku: units for units in each} for each in (lines, order.lines))
    for sku in sorted(in_redis.keys() | in_ledger.keys()):
        if in_redis.get(sku) != in_ledger.get(sku):
            yield AuditDifference(f"{subject} item {sku}", _units(in_redis.get(sku)), _units(in_ledger.get(sku)))


def _etag(settings: StoredSettings) -> str:
    return etag_of(settings.epoch, settings.seq, settings.index)


def etag_commit(settings: StoredSettings) -> CommitId:
    """The commit that changed a sale's settings last."""
    return CommitId(settings.epoch, settings.seq)


def _commit_of(position: Position) -> CommitId:
    return CommitId(position.epoch, position.seq)


def _presence(found: object) -> str:
    return MISSING if found is None else "present"


def _state(reservation: ReservationSnapshot) -> str:
    state = ReservationState.Name(ReservationState.ValueType(reservation.state))
    return state.removeprefix("RESERVATION_STATE_")


def _place(position: Position) -> str:
    return f"{position.epoch}-{position.seq}-{position.index}"


def _moment(ms: int) -> str:
    """As the API spells moments; 0 and below: there is none."""
    if ms <= 0:
        return NONE
    if ms > _LAST_MS:
        return f"{ms} ms"
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _owned(units: Units) -> Units:
    """Units as a dead letter knows them."""
    return Units(units.sku, units.claimed, units.sold - units.came_back, 0)


def _units(units: Units | None) -> str:
    return NONE if units is None else f"{units.claimed} claimed, {units.sold} sold, {units.came_back} came back"
