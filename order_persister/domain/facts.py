"""Turns commits of the journal into facts about orders, the records of the orders topic.

A fact is written as protobuf's bytes, part by part, and the parts that many facts have in common are cached.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from holdfast.inventory.v1.reservation_pb2 import LedgerState

from order_persister.domain.chain import AcceptedCommit
from order_persister.domain.changes import Change, Created, Quantity, Units
from order_persister.domain.shards import ShardRow
from order_persister.domain.units import (
    COMPENSATED,
    Moved,
    ended_by_itself,
    implied_moves,
    implied_units,
    moved_units,
    units_after,
)
from order_persister.domain.wire import cached, head, message_field, number_field, text_field, time_field

RECORDED = LedgerState.LEDGER_STATE_RECORDED
REFUSED = LedgerState.LEDGER_STATE_REFUSED


class RefusedAt(NamedTuple):
    """The position of the change from which an order is refused, and why."""

    epoch: int
    seq: int
    index: int  # type: ignore[assignment]  # tuples have a method of that name
    reason: int  # a CompensationReason


class Fact(NamedTuple):
    """The key and the value of a record of the orders topic or the sales topic."""

    key: bytes
    value: bytes


class NextFacts(NamedTuple):
    """Facts about orders and about sales, each in order, of the commits above `mark` up to `last` (epoch, seq)."""

    orders: list[Fact]
    sales: list[Fact]
    mark: tuple[int, int]
    last: tuple[int, int]
    reaches_watermark: bool = False  # so there was nothing more to publish when these were read


def unpublished_of(row: ShardRow, applied: Sequence[AcceptedCommit]) -> Sequence[AcceptedCommit]:
    """Of commits that were applied one after the other, those above the row's facts mark.

    None of them unless they are all that the ledger has above it. So the last one must be the row's watermark, by its
    hash, which covers every commit before it; and the first must follow the mark.
    """
    if not applied or applied[-1][:2] != row.position or applied[-1].hash != row.hash:
        return ()
    mark = row.facts_position
    above = next((at for at, commit in enumerate(applied) if commit[:2] > mark), len(applied))
    if above == 0 and applied[0][:2] != (mark[0], mark[1] + 1):
        return ()
    return applied[above:]


def changes_in(commits: Iterable[AcceptedCommit]) -> Iterator[tuple[AcceptedCommit, int, Change]]:
    """Every change of a reservation, with its commit and its index there."""
    for commit in commits:
        for index, change in commit.events.orders:
            yield commit, index, change


def created_in(commits: Iterable[AcceptedCommit]) -> set[Created]:
    """The orders that were created or changed."""
    return {change.created for _, _, change in changes_in(commits)}


def order_facts(shard: int, commits: Iterable[AcceptedCommit], refused: Mapping[Created, RefusedAt]) -> Iterator[Fact]:
    """One fact a change, in order."""
    for commit in commits:
        position, time_ms = _position(shard, commit), commit.events.time_ms
        for index, change in commit.events.orders:
            refusal = refused.get(change.created) if refused else None
            if refusal is not None and (commit.epoch, commit.seq, index) < refusal[:3]:
                refusal = None
            yield _fact(position + number_field(4, index), time_ms, change, refusal)


def _position(shard: int, commit: AcceptedCommit) -> bytes:
    """A `Position` up to its index."""
    return number_field(1, shard) + number_field(2, commit.epoch) + number_field(3, commit.seq)


def _fact(position: bytes, time_ms: int, change: Change, refusal: RefusedAt | None) -> Fact:
    """A `ReservationFact`: numbers are those of its fields."""
    claim, previous, state = change.claim, change.previous_state, change.state
    reservation_id = claim.reservation_id.encode()
    key, tenant, sale_id = _sale_fields(claim.tenant, claim.sale_id)
    lines, moved = _units_fields(change)
    reservation = b"".join(
        (
            sale_id,
            head(2, len(reservation_id)),
            reservation_id,
            text_field(3, claim.buyer_id),
            lines,
            _state_fields(state, change.revision, change.create_time_ms, time_ms, change.expire_time_ms),
            head(10, len(position)),
            position,
            _ledger_fields(state, change.compensation_reason, None if refusal is None else refusal.reason),
            text_field(13, change.note),
            text_field(14, claim.reference),
        )
    )
    in_front = tenant, head(2, len(position)), position, time_field(3, time_ms), number_field(4, previous)
    value = b"".join((*in_front, head(5, len(reservation)), reservation, moved))
    return Fact(key + reservation_id, value)


@cached
def _sale_fields(tenant: str, sale_id: str) -> tuple[bytes, bytes, bytes]:
    """The key up to the reservation's id, the tenant of a `ReservationFact`, and the sale of a `Reservation`."""
    return f"{tenant}/{sale_id}/".encode(), text_field(1, tenant), text_field(1, sale_id)


@cached
def _state_fields(state: int, revision: int, create_time_ms: int, update_time_ms: int, expire_time_ms: int) -> bytes:
    """The fields of a `Reservation` from its state to its times."""
    times = time_field(7, create_time_ms) + time_field(8, update_time_ms)
    expires = time_field(9, expire_time_ms) if expire_time_ms else b""
    return number_field(5, state) + number_field(6, revision) + times + expires


@cached
def _ledger_fields(state: int, compensation_reason: int, refusal_reason: int | None) -> bytes:
    """What a `Reservation` tells of the ledger; `refusal_reason`: that of a refusal by this ledger.

    A compensated order was refused, if not by this ledger then by one that was set back since.
    """
    is_refused = state == COMPENSATED or (refusal_reason is not None and not ended_by_itself(state))
    reason = compensation_reason if refusal_reason is None else refusal_reason
    return number_field(11, REFUSED if is_refused else RECORDED) + number_field(12, reason)


def _units_fields(change: Change) -> tuple[bytes, bytes]:
    """The lines of a reservation after a change, and what the change moved: what Redis did, refused or not."""
    if change.is_usual and not change.discarded:
        return _implied_fields(change.previous_state, change.state, change.claim.lines)
    return _lines(units_after(change)), _moved(moved_units(change), change.discarded)


@cached
def _implied_fields(previous: int, state: int, claim: tuple[Quantity, ...]) -> tuple[bytes, bytes]:
    return _lines(implied_units(state, claim)), _moved(implied_moves(previous, state, claim), discarded=False)


def _lines(units: Iterable[Units]) -> bytes:
    return b"".join(
        message_field(4, text_field(1, sku) + number_field(2, claimed) + number_field(3, sold) + number_field(4, back))
        for sku, claimed, sold, back in units
    )


def _moved(moved: Iterable[Moved], discarded: bool) -> bytes:
    """The `UnitsMoved`; units that were sold and discarded have left the sale."""
    return b"".join(
        message_field(
            6,
            text_field(1, sku)
            + number_field(2, held)
            + number_field(3, sold)
            + number_field(4, sold if discarded and sold < 0 else 0),
        )
        for sku, held, sold in moved
    )
