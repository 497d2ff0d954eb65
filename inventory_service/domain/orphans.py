"""Orphans: changes that callers may have heard of, in commits that the ledger never takes."""

from collections.abc import Iterator
from typing import NamedTuple

from google.protobuf.message import DecodeError
from holdfast.inventory.v1.commit_pb2 import CommitBody, Event, ReservationChange
from holdfast.inventory.v1.reservation_pb2 import ReservationState

from inventory_service.domain.events import units_of_change
from inventory_service.domain.keys import Position
from inventory_service.domain.reservation import CONFIRMED, HELD, Line
from inventory_service.domain.shards import Commit
from inventory_service.domain.units import held_and_sold

_STATES = {number: name.removeprefix("RESERVATION_STATE_") for name, number in ReservationState.items()}


class Orphan(NamedTuple):
    """One change: of a reservation, or of a sale, where `reservation_id` and `buyer_id` are ''."""

    position: Position
    hash: str  # of the commit: another one may have had its position
    tenant: str
    sale_id: str
    reservation_id: str
    buyer_id: str
    lines: tuple[Line, ...]  # what it holds or owns after the change; once it has ended, what it claimed
    state: str  # of the reservation after it, without its prefix, or the kind of event
    why: str


def orphans_from(shard: int, commit: Commit, why: str) -> Iterator[Orphan]:
    """The changes of one commit, of the kinds that this version knows; none of a commit that does not decode."""
    try:
        body = CommitBody.FromString(commit.payload)
    except DecodeError:
        return
    for index, event in enumerate(body.events):
        if kind := event.WhichOneof("event"):
            position = Position(shard, commit.epoch, commit.seq, index)
            yield Orphan(position, commit.hash, *_described(kind, event), why)


def _described(kind: str, event: Event) -> tuple[str, str, str, str, tuple[Line, ...], str]:
    """From the tenant to the state; that of an event on a sale, which has no lines, is its kind."""
    if kind != "reservation":
        about = getattr(event, kind)
        sale_id = about.sale.sale_id if kind == "sale_made" else about.sale_id
        return about.tenant, sale_id, "", "", (), kind.upper()
    change, claim = event.reservation, event.reservation.claim
    state = _STATES.get(change.state, str(change.state))
    return claim.tenant, claim.sale_id, claim.reservation_id, claim.buyer_id, _lines(change), state


def _lines(change: ReservationChange) -> tuple[Line, ...]:
    units, state = units_of_change(change)[1], change.state
    if state not in (HELD, CONFIRMED):
        return tuple(Line(one.sku, one.claimed) for one in units)
    owned = (Line(one.sku, sum(held_and_sold(one, state))) for one in units)
    return tuple(line for line in owned if line.quantity)
