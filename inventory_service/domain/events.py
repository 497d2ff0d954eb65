"""The kinds of event in a commit, as values, and the only code of this service that decodes them."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, NamedTuple

from holdfast.inventory.v1 import commit_pb2, sale_pb2
from holdfast.inventory.v1.reservation_pb2 import LEDGER_STATE_PENDING

from inventory_service.domain.keys import Position, SaleKey
from inventory_service.domain.reservation import Line, Reservation, Units
from inventory_service.domain.sale import AdjustStock, CreateSale, NewItem, Settings
from inventory_service.domain.units import usual_units


class ReservationChange(NamedTuple):
    """A reservation was made or moved on."""

    previous_state: int
    before: tuple[Units, ...]  # its units before the change
    reservation: Reservation  # after it
    asked: tuple[Line, ...]  # what the Reserve asked for
    asked_hold_ms: int = 0  # the life of the hold as the Reserve asked for it; 0: it asked for none
    discarded: bool = False  # whether what came back left the sale


class SaleMade(NamedTuple):
    """A sale was made."""

    request: CreateSale
    start_time_ms: int
    fingerprint: str  # of the request


class SaleChanged(NamedTuple):
    """A sale's settings were changed, or items were added to it."""

    sale: SaleKey
    settings: Settings  # all of them, after the change
    added: tuple[NewItem, ...]
    reason: str
    actor: str


class StockAdjusted(NamedTuple):
    """The stock of an item was adjusted."""

    request: AdjustStock
    change: int
    total_after: int


class SaleLeft(NamedTuple):
    """A sale left Redis, with its last reservation."""

    sale: SaleKey


Event = ReservationChange | SaleMade | SaleChanged | StockAdjusted | SaleLeft


class CommitBody(NamedTuple):
    """Everything that one call did."""

    seq: int
    time_ms: int
    events: tuple[Event, ...]


def commit_from_payload(payload: bytes, shard: int, epoch: int, seq: int) -> CommitBody:
    """Decode a commit; an unknown kind of event is a KeyError."""
    body = commit_pb2.CommitBody.FromString(payload)
    positions = (Position(shard, epoch, seq, index) for index in range(len(body.events)))
    events = (_decode(body, position) for position in positions)
    return CommitBody(seq, body.time_ms, tuple(events))


def event_at(payload: bytes, position: Position) -> Event:
    """Decode one event of a commit."""
    return _decode(commit_pb2.CommitBody.FromString(payload), position)


def sales_made(payload: bytes) -> Iterator[SaleKey]:
    """The keys of the sales that a commit makes; the rest of it is not decoded further."""
    for event in commit_pb2.CommitBody.FromString(payload).events:
        if event.WhichOneof("event") == "sale_made":
            yield SaleKey(event.sale_made.tenant, event.sale_made.sale.sale_id)


def _decode(body: commit_pb2.CommitBody, position: Position) -> Event:
    event = body.events[position.index]
    return _DECODERS[str(event.WhichOneof("event"))](event, position, body.time_ms)


def _reservation_change(event: commit_pb2.Event, position: Position, time_ms: int) -> ReservationChange:
    change = event.reservation
    claim = change.claim
    asked = tuple(Line(line.sku, line.quantity) for line in claim.lines)
    before, after = units_of_change(change)
    reservation = Reservation(
        sale=SaleKey(claim.tenant, claim.sale_id),
        reservation_id=claim.reservation_id,
        buyer_id=claim.buyer_id,
        lines=after,
        state=change.state,
        revision=change.revision,
        create_time_ms=change.create_time_ms,
        update_time_ms=time_ms,
        expire_time_ms=change.expire_time_ms,
        created=Position(position.shard, change.created_epoch, change.created_seq, change.created_index),
        position=position,
        ledger_state=LEDGER_STATE_PENDING,
        compensation_reason=change.compensation_reason,
        note=change.note,
        reference=claim.reference,
    )
    return ReservationChange(change.previous_state, before, reservation, asked, claim.asked_hold_ms, change.discarded)


def units_of_change(change: commit_pb2.ReservationChange) -> tuple[tuple[Units, ...], tuple[Units, ...]]:
    """The units before and after a change: those that it names, or else what states and claim imply."""
    if change.before or change.after:
        return _units(change.before), _units(change.after)
    return _usual(change, change.previous_state), _usual(change, change.state)


def has_usual_units(change: commit_pb2.ReservationChange) -> bool:
    """Whether state and claim imply the units after a change."""
    return not change.after or _units(change.after) == _usual(change, change.state)


def _usual(change: commit_pb2.ReservationChange, state: int) -> tuple[Units, ...]:
    return usual_units((Line(line.sku, line.quantity) for line in change.claim.lines), state)


def _units(lines: Iterable[commit_pb2.Units]) -> tuple[Units, ...]:
    return tuple(Units(line.sku, line.claimed, line.sold, line.came_back) for line in lines)


def _new_items(items: Iterable[sale_pb2.Item]) -> tuple[NewItem, ...]:
    return tuple(NewItem(item.sku, item.total, item.buyer_limit) for item in items)


def _sale_made(event: commit_pb2.Event, position: Position, time_ms: int) -> SaleMade:
    made = event.sale_made
    sale = made.sale
    request = CreateSale(
        sale=SaleKey(made.tenant, sale.sale_id),
        title=sale.title,
        start_time_ms=sale.start_time.ToMilliseconds() if sale.HasField("start_time") else None,
        end_time_ms=sale.end_time.ToMilliseconds() if sale.HasField("end_time") else None,
        hold_ttl_ms=sale.hold_ttl.ToMilliseconds(),
        max_hold_ttl_ms=sale.max_hold_ttl.ToMilliseconds(),
        buyer_limit=sale.buyer_limit,
        items=_new_items(sale.items),
        attempts_per_minute=sale.attempts_per_minute,
        return_window_ms=sale.return_window.ToMilliseconds(),
    )
    return SaleMade(request, made.start_time_ms, made.body)


def _sale_changed(event: commit_pb2.Event, position: Position, time_ms: int) -> SaleChanged:
    changed = event.sale_changed
    settings = Settings(
        title=changed.title,
        start_time_ms=changed.start_time_ms,
        end_time_ms=changed.end_time_ms or None,
        hold_ttl_ms=changed.hold_ttl_ms,
        max_hold_ttl_ms=changed.max_hold_ttl_ms,
        buyer_limit=changed.buyer_limit,
        attempts_per_minute=changed.attempts_per_minute,
        return_window_ms=changed.return_window_ms,
        paused=changed.paused,
        close_time_ms=changed.close_time_ms,
        release_time_ms=changed.release_time_ms,
        release_reason=changed.reason if changed.release_time_ms else "",  # nothing changes a sale after its release
    )
    added = _new_items(changed.added)
    return SaleChanged(SaleKey(changed.tenant, changed.sale_id), settings, added, changed.reason, changed.actor)


def _stock_adjusted(event: commit_pb2.Event, position: Position, time_ms: int) -> StockAdjusted:
    adjusted = event.stock_adjusted
    request = AdjustStock(
        sale=SaleKey(adjusted.tenant, adjusted.sale_id),
        adjustment_id=adjusted.adjustment_id,
        sku=adjusted.sku,
        delta=adjusted.delta if adjusted.HasField("delta") else None,
        new_total=adjusted.new_total if adjusted.HasField("new_total") else None,
        expected_total=adjusted.expected_total if adjusted.HasField("expected_total") else None,
        reason=adjusted.reason,
        reference=adjusted.reference,
        actor=adjusted.actor,
    )
    return StockAdjusted(request, adjusted.change, adjusted.total_after)


def _sale_left(event: commit_pb2.Event, position: Position, time_ms: int) -> SaleLeft:
    return SaleLeft(SaleKey(event.sale_left.tenant, event.sale_left.sale_id))


_DECODERS: Final[dict[str, Callable[[Any, Position, int], Event]]] = {
    "reservation": _reservation_change,
    "sale_made": _sale_made,
    "sale_changed": _sale_changed,
    "stock_adjusted": _stock_adjusted,
    "sale_left": _sale_left,
}
