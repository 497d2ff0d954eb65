"""Orphans: changes of reservations that callers may have heard of, in commits that the ledger never takes."""

from collections.abc import Iterator
from typing import NamedTuple

from google.protobuf.message import DecodeError
from holdfast.inventory.v1.commit_pb2 import CommitBody
from holdfast.inventory.v1.reservation_pb2 import ReservationState

from inventory_service.domain.events import units_of_change
from inventory_service.domain.keys import Position
from inventory_service.domain.reservation import Line
from inventory_service.domain.shards import Commit


class Orphan(NamedTuple):
    """One change of a reservation; `state` is the name of the one after it, without its prefix."""

    position: Position
    hash: str  # of the commit: another one may have had its position
    tenant: str
    sale_id: str
    reservation_id: str
    buyer_id: str
    lines: tuple[Line, ...]
    state: str
    why: str


def orphans_from(shard: int, commit: Commit, why: str) -> Iterator[Orphan]:
    """The changes of one commit; none of one that does not decode."""
    try:
        body = CommitBody.FromString(commit.payload)
    except DecodeError:
        return
    for index, event in enumerate(body.events):
        if event.HasField("reservation"):
            claim = event.reservation.claim
            yield Orphan(
                Position(shard, commit.epoch, commit.seq, index),
                commit.hash,
                claim.tenant,
                claim.sale_id,
                claim.reservation_id,
                claim.buyer_id,
                tuple(Line(line.sku, line.claimed) for line in units_of_change(event.reservation)[1]),
                ReservationState.Name(event.reservation.state).removeprefix("RESERVATION_STATE_"),
                why,
            )
