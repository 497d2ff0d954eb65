"""Tells the kinds of event in a commit apart; a new kind begins with a row of `_HAS_KNOWN_VALUES`."""

from collections.abc import Callable, Iterator, Mapping

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
    has_known_values = _HAS_KNOWN_VALUES.get(event.WhichOneof("event") or "")
    return has_known_values is not None and has_known_values(event)


def _change_has_known_values(event: Event) -> bool:
    change = event.reservation
    return {change.previous_state, change.state} <= _STATES and change.compensation_reason in _REASONS


_HAS_KNOWN_VALUES: Mapping[str, Callable[[Event], bool]] = {
    "reservation": _change_has_known_values,
    "sale_made": lambda _: True,  # it has no enums
}
