"""Turns commits of the journal, without I/O, into the facts that everyone may read."""

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from google.protobuf.timestamp_pb2 import Timestamp
from holdfast.inventory.v1.commit_pb2 import CommitBody, ReservationChange
from holdfast.inventory.v1.events_pb2 import ReservationFact
from holdfast.inventory.v1.reservation_pb2 import LedgerState, Position, Reservation, ReservationLine

from order_persister.fold import CONFIRMED, RETURNED, Created

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


def changes_in(commits: Iterable[JournalCommit]) -> Iterator[tuple[JournalCommit, int, ReservationChange]]:
    """Every change of a reservation, with its commit and its index there."""
    for commit in commits:
        for index, event in enumerate(commit.body.events):
            if event.HasField("reservation"):
                yield commit, index, event.reservation


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
    claim = change.claim
    position = Position(shard=shard, epoch=commit.epoch, seq=commit.seq, index=index)
    time = _timestamp(commit.body.time_ms)
    fact = ReservationFact(
        tenant=claim.tenant,
        position=position,
        time=time,
        previous_state=change.previous_state,
        reservation=Reservation(
            sale_id=claim.sale_id,
            reservation_id=claim.reservation_id,
            buyer_id=claim.buyer_id,
            lines=[_line(line.sku, line.quantity, change.state) for line in claim.lines],
            state=change.state,
            revision=change.revision,
            create_time=_timestamp(change.create_time_ms),
            update_time=time,
            expire_time=_timestamp(change.expire_time_ms) if change.expire_time_ms else None,
            position=position,
            ledger_state=RECORDED if at is None else REFUSED,
            compensation_reason=change.compensation_reason if at is None else at.reason,  # type: ignore[arg-type]
            note=change.note,
        ),
    )
    return Fact(f"{claim.tenant}/{claim.sale_id}/{claim.reservation_id}".encode(), fact.SerializeToString())


def _line(sku: str, quantity: int, state: int) -> ReservationLine:
    sold = quantity if state in (CONFIRMED, RETURNED) else 0
    back = quantity if state == RETURNED else 0
    return ReservationLine(sku=sku, quantity=quantity, confirmed_quantity=sold, returned_quantity=back)


def _timestamp(time_ms: int) -> Timestamp:
    return Timestamp(seconds=time_ms // 1000, nanos=time_ms % 1000 * 1_000_000)
