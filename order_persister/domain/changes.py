"""A change of a reservation, decoded from its message once for all steps of the persister."""

from collections.abc import Sequence
from typing import NamedTuple

from holdfast.inventory.v1.commit_pb2 import ReservationChange
from holdfast.inventory.v1.commit_pb2 import Units as UnitsMessage
from holdfast.inventory.v1.reservation_pb2 import Line

Quantity = tuple[str, int]  # a SKU, and units of it
Units = tuple[str, int, int, int]  # a SKU, units claimed, of these those sold, of those the ones that came back


class Created(NamedTuple):
    """An order's creation position in its shard. It identifies the order, because a reservation id may be reused."""

    epoch: int
    seq: int
    index: int  # type: ignore[assignment]  # tuples have a method of that name


class Claim(NamedTuple):
    """Whose order it is, and what its Reserve asked for: the same in every change of it."""

    tenant: str
    sale_id: str
    reservation_id: str
    buyer_id: str
    lines: tuple[Quantity, ...]
    asked_hold_ms: int  # 0: no life of the hold was asked for
    reference: str


class Change(NamedTuple):
    """One change of an order; numbers are those of the message's enums."""

    claim: Claim
    created: Created
    previous_state: int
    state: int
    revision: int
    create_time_ms: int
    expire_time_ms: int  # 0: never held
    note: str
    compensation_reason: int
    before: tuple[Units, ...]
    after: tuple[Units, ...]
    discarded: bool

    @property
    def is_usual(self) -> bool:
        """Whether state and claim imply how the order stands with each SKU, before the change and after it."""
        return not self.after  # which is set together with `before`, and never empty then


_make = tuple.__new__  # it takes half the time of a NamedTuple's own


def change_from(message: ReservationChange) -> Change:
    """The change that a message tells of."""
    claim, after = message.claim, message.after
    return _make(
        Change,
        (
            _make(
                Claim,
                (
                    claim.tenant,
                    claim.sale_id,
                    claim.reservation_id,
                    claim.buyer_id,
                    _lines(claim.lines),
                    claim.asked_hold_ms,
                    claim.reference,
                ),
            ),
            _make(Created, (message.created_epoch, message.created_seq, message.created_index)),
            message.previous_state,
            message.state,
            message.revision,
            message.create_time_ms,
            message.expire_time_ms,
            message.note,
            message.compensation_reason,
            tuple(map(_units, message.before)) if after else (),
            tuple(map(_units, after)) if after else (),
            message.discarded,
        ),
    )


def _lines(messages: Sequence[Line]) -> tuple[Quantity, ...]:
    if len(messages) == 1:  # most have one
        line = messages[0]
        return ((line.sku, line.quantity),)
    return tuple([(line.sku, line.quantity) for line in messages])


def _units(message: UnitsMessage) -> Units:
    return message.sku, message.claimed, message.sold, message.came_back
