"""Turns commits of the journal into facts about sales, the records of the sales topic."""

from collections.abc import Iterable, Iterator

from google.protobuf.timestamp_pb2 import Timestamp
from holdfast.inventory.v1.commit_pb2 import SaleChanged, SaleLeft, SaleMade, StockAdjusted
from holdfast.inventory.v1.events_pb2 import SaleDeparture, SaleFact, SaleSettingsChange
from holdfast.inventory.v1.reservation_pb2 import Position
from holdfast.inventory.v1.sale_pb2 import Adjustment, Sale

from order_persister.domain.chain import AcceptedCommit
from order_persister.domain.events import SaleEvent
from order_persister.domain.facts import Fact


def sale_facts(shard: int, commits: Iterable[AcceptedCommit]) -> Iterator[Fact]:
    """One fact a change, in order."""
    for commit in commits:
        for index, event in commit.events.sales:
            fact = SaleFact(
                tenant=event.tenant,
                position=Position(shard=shard, epoch=commit.epoch, seq=commit.seq, index=index),
            )
            _set_time(fact.time, commit.events.time_ms)
            _fill(fact, event)
            yield Fact(f"{fact.tenant}/{fact.sale_id}".encode(), fact.SerializeToString())


def _fill(fact: SaleFact, event: SaleEvent) -> None:
    """The sale and what happened to it; position and time are there."""
    match event:
        case SaleMade():
            fact.sale_id = event.sale.sale_id
            fact.made.CopyFrom(_made(fact, event))
        case SaleChanged():
            fact.sale_id = event.sale_id
            fact.settings.CopyFrom(_settings(fact, event))
        case StockAdjusted():
            fact.sale_id = event.sale_id
            fact.adjusted.CopyFrom(_adjusted(fact, event))
        case SaleLeft():
            fact.sale_id = event.sale_id
            fact.left.CopyFrom(SaleDeparture())


def _made(fact: SaleFact, event: SaleMade) -> Sale:
    """What was asked for, with what the moment of creation added."""
    sale = Sale()
    sale.CopyFrom(event.sale)
    if not sale.HasField("max_hold_ttl"):
        sale.max_hold_ttl.CopyFrom(sale.hold_ttl)
    _set_time(sale.start_time, event.start_time_ms)
    _set_time(sale.create_time, fact.time.ToMilliseconds())
    return _changed_now(sale, fact)


def _settings(fact: SaleFact, event: SaleChanged) -> SaleSettingsChange:
    sale = Sale(
        sale_id=event.sale_id,
        title=event.title,
        buyer_limit=event.buyer_limit,
        attempts_per_minute=event.attempts_per_minute,
        paused=event.paused,
        items=event.added,
    )
    _set_time(sale.start_time, event.start_time_ms)
    sale.hold_ttl.FromMilliseconds(event.hold_ttl_ms)  # also where it is zero, which is not the same as unset
    sale.max_hold_ttl.FromMilliseconds(event.max_hold_ttl_ms)
    if event.end_time_ms:
        _set_time(sale.end_time, event.end_time_ms)
    if event.return_window_ms:
        sale.return_window.FromMilliseconds(event.return_window_ms)
    if event.close_time_ms:
        _set_time(sale.close_time, event.close_time_ms)
    change = SaleSettingsChange(sale=_changed_now(sale, fact), reason=event.reason, actor=event.actor)
    if event.release_time_ms:
        _set_time(change.release_time, event.release_time_ms)
    return change


def _adjusted(fact: SaleFact, event: StockAdjusted) -> Adjustment:
    return Adjustment(
        adjustment_id=event.adjustment_id,
        sale_id=event.sale_id,
        sku=event.sku,
        delta=event.change,
        total_after=event.total_after,
        reason=event.reason,
        reference=event.reference,
        actor=event.actor,
        create_time=fact.time,
        position=fact.position,
    )


def _changed_now(sale: Sale, fact: SaleFact) -> Sale:
    """The sale, with the etag and the update time of this change of its settings."""
    at = fact.position
    sale.etag = f"{at.epoch}-{at.seq}-{at.index}"
    sale.update_time.CopyFrom(fact.time)
    return sale


def _set_time(timestamp: Timestamp, time_ms: int) -> None:
    """Set a message's time, in milliseconds since 1970."""
    timestamp.seconds, milliseconds = divmod(time_ms, 1000)
    timestamp.nanos = milliseconds * 1_000_000
