"""The kinds of event in a commit: the only code of this service that tells them apart."""

from collections.abc import Iterable, Iterator
from typing import Protocol, TypeVar

from holdfast.inventory.v1.commit_pb2 import CommitBody, Event, ReservationChange, SaleMade
from holdfast.inventory.v1.reservation_pb2 import CompensationReason, ReservationState

_STATES = frozenset(ReservationState.values())
_REASONS = frozenset(CompensationReason.values())


class Decoded(Protocol):
    """A commit of which the body is decoded."""

    @property
    def body(self) -> CommitBody: ...


C = TypeVar("C", bound=Decoded)


def changes_in(commits: Iterable[C]) -> Iterator[tuple[C, int, ReservationChange]]:
    """Every change of a reservation, with its commit and its index there."""
    for commit in commits:
        for index, event in enumerate(commit.body.events):
            if event.HasField("reservation"):
                yield commit, index, event.reservation


def sales_made_in(commits: Iterable[C]) -> Iterator[tuple[C, int, SaleMade]]:
    """Every making of a sale, with its commit and its index there."""
    for commit in commits:
        for index, event in enumerate(commit.body.events):
            if event.HasField("sale_made"):
                yield commit, index, event.sale_made


def is_known(event: Event) -> bool:
    """Whether this version knows the kind of event, and every value in it."""
    kind = event.WhichOneof("event")
    if kind == "reservation":
        change = event.reservation
        return {change.previous_state, change.state} <= _STATES and change.compensation_reason in _REASONS
    return kind is not None
