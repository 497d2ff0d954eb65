"""Orphans: changes that callers may have heard of, in commits that the ledger never takes."""

from collections.abc import Iterator
from typing import NamedTuple

from google.protobuf.message import DecodeError
from holdfast.inventory.v1.commit_pb2 import CommitBody, Event
from holdfast.inventory.v1.reservation_pb2 import ReservationState

from inventory_service.domain.events import units_of_change
from inventory_service.domain.keys import Position
from inventory_service.domain.reservation import Line
from inventory_service.domain.shards import Commit


class Orphan(NamedTuple):
    """One change: of a reservation, or of a sale, where `reservation_id` and `buyer_id` are ''."""

    position: Position
    hash: str  # of the commit: another one may have had its position
    tenant: str
    sale_id: str
    reservation_id: str
    buyer_id: str
    lines: tuple[Line, ...]
    state: str  # of the reservation after it, without its prefix, or the kind of event
    why: str


def orphans_from(shard: int, commit: Commit, why: str) -> Iterator[Orphan]:
    """The changes of one commit; none of one that does not decode."""
    try:
        body = CommitBody.FromString(commit.payload)
    except DecodeError:
        return
    for index, event in enumerate(body.events):
        yield Orphan(Position(shard, commit.epoch, commit.seq, index), commit.hash, *_described(event), why)


def _described(event: Event) -> tuple[str, str, str, str, tuple[Line, ...], str]:
    """From the tenant to the state; that of an event on a sale, which has no lines, is its kind."""
    kind = str(event.WhichOneof("event"))
    if kind != "reservation":
        about = getattr(event, kind)
        sale_id = about.sale.sale_id if kind == "sale_made" else about.sale_id
        return about.tenant, sale_id, "", "", (), kind.upper()
    claim = event.reservation.claim
    lines = tuple(Line(line.sku, line.claimed) for line in units_of_change(event.reservation)[1])
    state = ReservationState.Name(event.reservation.state).removeprefix("RESERVATION_STATE_")
    return claim.tenant, claim.sale_id, claim.reservation_id, claim.buyer_id, lines, state
