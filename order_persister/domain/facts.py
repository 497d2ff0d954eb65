"""Turns commits of the journal, without I/O, into the facts that everyone may read."""

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from google.protobuf.timestamp_pb2 import Timestamp
from holdfast.inventory.v1.commit_pb2 import CommitBody, ReservationChange
from holdfast.inventory.v1.events_pb2 import ReservationFact
from holdfast.inventory.v1.reservation_pb2 import LedgerState, Position, Reservation

from order_persister.domain.events import changes_in
from order_persister.domain.fold import Created
from order_persister.domain.units import line_quantities

RECORDED = LedgerState.LEDGER_STATE_RECORDED
REFUSED = LedgerState.LEDGER_STATE_REFUSED


class JournalCommit(NamedTuple):
    """A commit that the ledger holds."""

    epoch: int
    seq: int
    body: CommitBody


class RefusedAt(NamedTuple):
    """The step from which an order is refused, and why."""

    epoch: int
    seq: int
    index: int  # type: ignore[assignment]  # tuples have a method of that name
    reason: int  # a CompensationReason


class Fact(NamedTuple):
    """A record of the orders topic."""

    key: bytes
    value: bytes


def created_in(commits: Iterable[JournalCommit]) -> set[Created]:
    """The orders that were made or moved."""
    return {Created(c.created_epoch, c.created_seq, c.created_index) for _, _, c in changes_in(commits)}


def facts_from(shard: int, commits: Iterable[JournalCommit], refused: Mapping[Created, RefusedAt]) -> Iterator[Fact]:
    """One fact a change, in order."""
    for commit, index, change in changes_in(commits):
        at = refused.get(Created(change.created_epoch, change.created_seq, change.created_index))
        if at is not None and (commit.epoch, commit.seq, index) < at[:3]:
            at = None
        yield _fact(shard, commit, index, change, at)


def _fact(shard: int, commit: JournalCommit, index: int, change: ReservationChange, at: RefusedAt | None) -> Fact:
    """One fact, its parts filled in place: made apart and copied in, they would take twice the time."""
    claim = change.claim
    fact = ReservationFact(tenant=claim.tenant, previous_state=change.previous_state)
    fact.position.MergeFrom(Position(shard=shard, epoch=commit.epoch, seq=commit.seq, index=index))
    _set_time(fact.time, commit.body.time_ms)
    _fill_reservation(fact.reservation, change)
    reservation = fact.reservation
    reservation.update_time.CopyFrom(fact.time)
    reservation.position.CopyFrom(fact.position)
    reservation.ledger_state = RECORDED if at is None else REFUSED
    if at is not None:
        reservation.compensation_reason = at.reason  # type: ignore[assignment]
    return Fact(f"{claim.tenant}/{claim.sale_id}/{claim.reservation_id}".encode(), fact.SerializeToString())


def _fill_reservation(reservation: Reservation, change: ReservationChange) -> None:
    claim, state = change.claim, change.state
    reservation.sale_id = claim.sale_id
    reservation.reservation_id = claim.reservation_id
    reservation.buyer_id = claim.buyer_id
    for line in claim.lines:
        units = line.quantity
        confirmed, returned = line_quantities(units, state)
        reservation.lines.add(sku=line.sku, quantity=units, confirmed_quantity=confirmed, returned_quantity=returned)
    reservation.state = state
    reservation.revision = change.revision
    _set_time(reservation.create_time, change.create_time_ms)
    if change.expire_time_ms:
        _set_time(reservation.expire_time, change.expire_time_ms)
    reservation.compensation_reason = change.compensation_reason
    reservation.note = change.note


def _set_time(timestamp: Timestamp, time_ms: int) -> None:
    timestamp.seconds, milliseconds = divmod(time_ms, 1000)
    timestamp.nanos = milliseconds * 1_000_000
