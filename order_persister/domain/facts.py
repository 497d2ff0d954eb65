"""Turns commits of the journal into facts, the records of the orders topic."""

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from google.protobuf.timestamp_pb2 import Timestamp
from holdfast.inventory.v1.commit_pb2 import CommitBody, ReservationChange
from holdfast.inventory.v1.events_pb2 import ReservationFact
from holdfast.inventory.v1.reservation_pb2 import LedgerState, Position, Reservation

from order_persister.domain.events import reservation_changes
from order_persister.domain.fold import Created
from order_persister.domain.units import (
    COMPENSATED,
    STATE_NAMES,
    ended_by_itself,
    is_confirmed,
    is_returned,
    moved_units,
)

RECORDED = LedgerState.LEDGER_STATE_RECORDED
REFUSED = LedgerState.LEDGER_STATE_REFUSED


class JournalCommit(NamedTuple):
    """A commit that the ledger holds."""

    epoch: int
    seq: int
    body: CommitBody


class RefusedAt(NamedTuple):
    """The position of the change from which an order is refused, and why."""

    epoch: int
    seq: int
    index: int  # type: ignore[assignment]  # tuples have a method of that name
    reason: int  # a CompensationReason


class Fact(NamedTuple):
    """The key and the value of a record of the orders topic."""

    key: bytes
    value: bytes


class NextFacts(NamedTuple):
    """Facts in order, and the position of the last commit that they cover."""

    facts: list[Fact]
    epoch: int
    seq: int


def changes_in(commits: Iterable[JournalCommit]) -> Iterator[tuple[JournalCommit, int, ReservationChange]]:
    """Every change of a reservation, with its commit and its index there."""
    for commit in commits:
        for index, change in reservation_changes(commit.body):
            yield commit, index, change


def created_in(commits: Iterable[JournalCommit]) -> set[Created]:
    """The orders that were created or changed."""
    return {Created(c.created_epoch, c.created_seq, c.created_index) for _, _, c in changes_in(commits)}


def facts_from(shard: int, commits: Iterable[JournalCommit], refused: Mapping[Created, RefusedAt]) -> Iterator[Fact]:
    """One fact a change, in order."""
    for commit, index, change in changes_in(commits):
        refusal = refused.get(Created(change.created_epoch, change.created_seq, change.created_index))
        if refusal is not None and (commit.epoch, commit.seq, index) < refusal[:3]:
            refusal = None
        yield _fact(shard, commit, index, change, refusal)


def _fact(shard: int, commit: JournalCommit, index: int, change: ReservationChange, refusal: RefusedAt | None) -> Fact:
    """One fact, filled in place: building its messages apart and copying them in would take twice the time."""
    claim = change.claim
    fact = ReservationFact(tenant=claim.tenant, previous_state=change.previous_state)
    fact.position.MergeFrom(Position(shard=shard, epoch=commit.epoch, seq=commit.seq, index=index))
    _set_time(fact.time, commit.body.time_ms)
    _fill_reservation(fact.reservation, change)
    reservation = fact.reservation
    reservation.update_time.CopyFrom(fact.time)
    reservation.position.CopyFrom(fact.position)
    # A compensated order was refused, if not by this ledger then by one that was set back since.
    is_refused = refusal is not None and not ended_by_itself(change.state)
    reservation.ledger_state = REFUSED if is_refused or change.state == COMPENSATED else RECORDED
    if refusal is not None:
        reservation.compensation_reason = refusal.reason  # type: ignore[assignment]
    held, sold = moved_units(change.previous_state, change.state)
    for line in claim.lines:
        fact.moved.add(sku=line.sku, held=line.quantity * held, sold=line.quantity * sold)
    return Fact(f"{claim.tenant}/{claim.sale_id}/{claim.reservation_id}".encode(), fact.SerializeToString())


def _fill_reservation(reservation: Reservation, change: ReservationChange) -> None:
    claim, state = change.claim, change.state
    reservation.sale_id = claim.sale_id
    reservation.reservation_id = claim.reservation_id
    reservation.buyer_id = claim.buyer_id
    confirmed, returned = is_confirmed(STATE_NAMES[state]), is_returned(STATE_NAMES[state])
    for line in claim.lines:
        units = line.quantity
        reservation.lines.add(
            sku=line.sku, quantity=units, confirmed_quantity=units * confirmed, returned_quantity=units * returned
        )
    reservation.state = state
    reservation.revision = change.revision
    _set_time(reservation.create_time, change.create_time_ms)
    if change.expire_time_ms:
        _set_time(reservation.expire_time, change.expire_time_ms)
    reservation.compensation_reason = change.compensation_reason
    reservation.note = change.note
    reservation.reference = claim.reference


def _set_time(timestamp: Timestamp, time_ms: int) -> None:
    timestamp.seconds, milliseconds = divmod(time_ms, 1000)
    timestamp.nanos = milliseconds * 1_000_000
