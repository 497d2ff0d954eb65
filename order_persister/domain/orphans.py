"""Orphans: changes that callers may have heard of, in commits whose epoch is over."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from google.protobuf.message import DecodeError
from holdfast.inventory.v1.commit_pb2 import CommitBody, Event

from order_persister.domain.chain import ReceivedCommit
from order_persister.domain.changes import Change, Quantity, change_from
from order_persister.domain.units import LIVE, STATE_NAMES, owned_units, units_after

EPOCH_IS_OVER = "orphaned: its epoch is over"


class Orphan(NamedTuple):
    """One change: of a reservation, or of a sale, where `reservation_id` and `buyer_id` are ''.

    The fields are in the order of the statement's columns.
    """

    epoch: int
    seq: int
    index: int  # type: ignore[assignment]  # tuples have a method of that name
    hash: str
    tenant: str
    sale_id: str
    reservation_id: str
    buyer_id: str
    lines: list[Quantity]  # what the reservation holds or owns after the change; once it has ended, what it claimed
    state: str
    why: str


def orphans_from(commits: Iterable[ReceivedCommit]) -> Iterator[Orphan]:
    """The changes of these commits. What does not decode, or is of an unknown kind, is kept as bytes alone."""
    for commit in commits:
        try:
            body = CommitBody.FromString(commit.payload)
        except DecodeError:
            continue
        for index, event in enumerate(body.events):
            if kind := event.WhichOneof("event"):
                described = _described(kind, event)
                yield Orphan(commit.epoch, commit.seq, index, commit.hash, *described, EPOCH_IS_OVER)


def _described(kind: str, event: Event) -> tuple[str, str, str, str, list[Quantity], str]:
    """The columns from the tenant to the state: of an event on a sale, which has no lines, that is its kind."""
    if kind != "reservation":
        about = getattr(event, kind)
        sale_id = about.sale.sale_id if kind == "sale_made" else about.sale_id
        return about.tenant, sale_id, "", "", [], kind.upper()
    change = change_from(event.reservation)
    state = STATE_NAMES.get(change.state, str(change.state))
    return *change.claim[:4], _lines(change), state


def _lines(change: Change) -> list[Quantity]:
    units = units_after(change)
    return (
        owned_units(change.state, units) if change.state in LIVE else [(sku, claimed) for sku, claimed, _, _ in units]
    )
