"""Orphans: changes of reservations that callers may have heard of, in commits whose epoch is over."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from google.protobuf.message import DecodeError
from holdfast.inventory.v1.commit_pb2 import CommitBody

from order_persister.domain.chain import ReceivedCommit
from order_persister.domain.events import events_of
from order_persister.domain.units import STATE_NAMES

EPOCH_IS_OVER = "orphaned: its epoch is over"


class Orphan(NamedTuple):
    """One change of a reservation; the fields are in the order of the statement's columns."""

    epoch: int
    seq: int
    index: int  # type: ignore[assignment]  # tuples have a method of that name
    hash: str
    tenant: str
    sale_id: str
    reservation_id: str
    buyer_id: str
    lines: list[tuple[str, int]]
    state: str
    why: str


def orphans_from(commits: Iterable[ReceivedCommit]) -> Iterator[Orphan]:
    """The changes of these commits; one that does not decode has none, and is kept as bytes alone."""
    for commit in commits:
        try:
            body = CommitBody.FromString(commit.payload)
        except DecodeError:
            continue
        for index, change in events_of(body).orders:
            claim = change.claim
            lines = [(line.sku, line.quantity) for line in claim.lines]
            yield Orphan(
                commit.epoch, commit.seq, index, commit.hash, claim.tenant, claim.sale_id, claim.reservation_id,
                claim.buyer_id, lines, STATE_NAMES.get(change.state, str(change.state)), EPOCH_IS_OVER,
            )  # fmt: skip
