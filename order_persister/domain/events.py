"""Tells the kinds of event in a commit apart: one iterator for each kind, and `is_known` for all."""

from collections.abc import Iterator

from holdfast.inventory.v1.commit_pb2 import CommitBody, Event, ReservationChange, SaleMade
from holdfast.inventory.v1.reservation_pb2 import CompensationReason, ReservationState

_STATES = frozenset(ReservationState.values())
_REASONS = frozenset(CompensationReason.values())


def reservation_changes(body: CommitBody) -> Iterator[tuple[int, ReservationChange]]:
    """Every change of a reservation, with its index in the commit."""
    for index, event in enumerate(body.events):
        if event.HasField("reservation"):
            yield index, event.reservation


def created_sales(body: CommitBody) -> Iterator[tuple[int, SaleMade]]:
    """Every sale that was created, with its index in the commit."""
    for index, event in enumerate(body.events):
        if event.HasField("sale_made"):
            yield index, event.sale_made


def is_known(event: Event) -> bool:
    """Whether this version knows the kind of event and every enum value in it."""
    kind = event.WhichOneof("event")
    if kind == "reservation":
        change = event.reservation
        return change.previous_state in _STATES and change.state in _STATES and change.compensation_reason in _REASONS
    return bool(kind == "sale_made")  # which has no enums
