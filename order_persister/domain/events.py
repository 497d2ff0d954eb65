"""Tells the kinds of event in a commit apart: one iterator for each kind, and `is_known` for the whole commit."""

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


def is_known(body: CommitBody) -> bool:
    """Whether this version knows every kind of event, field and enum value in a commit; drops the fields it does not.

    Booking a commit without a field that it has would book something else.
    """
    size = body.ByteSize()
    body.DiscardUnknownFields()
    return body.ByteSize() == size and all(map(_is_known_event, body.events))


def _is_known_event(event: Event) -> bool:
    kind = event.WhichOneof("event")
    if kind == "reservation":
        change = event.reservation
        moves_all_units = not (change.before or change.after or change.discarded)  # no other change is booked yet
        has_known_states = change.previous_state in _STATES and change.state in _STATES
        return moves_all_units and has_known_states and change.compensation_reason in _REASONS
    return bool(kind == "sale_made")  # which has no enums
