"""Tells the events of a commit apart, and whether this version knows all that is in them."""

from typing import NamedTuple

from holdfast.inventory.v1.commit_pb2 import (
    CommitBody,
    SaleChanged,
    SaleLeft,
    SaleMade,
    StockAdjusted,
)
from holdfast.inventory.v1.reservation_pb2 import CompensationReason, ReservationState
from holdfast.inventory.v1.sale_pb2 import SaleState

from order_persister.domain.changes import Change, change_from

SaleEvent = SaleMade | SaleChanged | StockAdjusted | SaleLeft

_STATES = frozenset(ReservationState.values())
_REASONS = frozenset(CompensationReason.values())
_SALE_STATES = frozenset(SaleState.values())


class Events(NamedTuple):
    """The events of one commit by what they change, each with its index."""

    time_ms: int
    orders: list[tuple[int, Change]]
    sales: list[tuple[int, SaleEvent]]


def events_of(body: CommitBody) -> Events:
    """The events of a commit; one of a kind that this version does not know is left out."""
    events = Events(body.time_ms, [], [])
    for index, event in enumerate(body.events):
        if event.HasField("reservation"):
            events.orders.append((index, change_from(event.reservation)))
        elif (kind := event.WhichOneof("event")) is not None:
            events.sales.append((index, getattr(event, kind)))
    return events


def known_events(body: CommitBody) -> Events | None:
    """The events of a commit; None if it has a kind of event, a field or an enum value that this version does not know.

    Booking a commit without a field that it has would book something else.
    """
    size = body.ByteSize()
    body.DiscardUnknownFields()
    if body.ByteSize() != size:
        return None
    events = events_of(body)
    are_known = len(events.orders) + len(events.sales) == len(body.events) and (
        all(map(_has_known_values, events.orders))
        and all(event.sale.state in _SALE_STATES for _, event in events.sales if isinstance(event, SaleMade))
    )
    return events if are_known else None


def _has_known_values(order: tuple[int, Change]) -> bool:
    change = order[1]
    return change.state in _STATES and change.previous_state in _STATES and change.compensation_reason in _REASONS
