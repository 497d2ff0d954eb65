"""Folds a run of commits into orders: each has its changes, in order.

Each order (a reservation, identified by its creation position) is folded alone, so the refusal of one never affects
another, and for the same refusals folding a run at once equals folding it commit by commit. (What Postgres refuses may
depend on how a run was cut; see refusals.py.)
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from holdfast.inventory.v1.commit_pb2 import Claim, ReservationChange
from holdfast.inventory.v1.reservation_pb2 import CompensationReason

from order_persister.domain.chain import AcceptedCommit
from order_persister.domain.units import CONFIRMED, HELD, NEW, Quantity, is_usual

REASONS = {name.removeprefix("COMPENSATION_REASON_"): number for name, number in CompensationReason.items()}
REASON_NAMES = {number: name for name, number in REASONS.items()}

EARLIER_RUN = -1  # the `step` of a refusal that an earlier run decided


class Created(NamedTuple):
    """An order's creation position in its shard. It identifies the order, because a reservation id may be reused."""

    epoch: int
    seq: int
    index: int  # type: ignore[assignment]  # tuples have a method of that name


def created_of(change: ReservationChange) -> Created:
    """The order that a change belongs to."""
    return Created(change.created_epoch, change.created_seq, change.created_index)


class Step(NamedTuple):
    """One change of an order, with its position and time."""

    epoch: int
    seq: int
    index: int  # type: ignore[assignment]  # tuples have a method of that name
    time_ms: int
    change: ReservationChange
    is_usual: bool  # whether state and claim imply its units


@dataclass(slots=True)
class Order:
    """One reservation and its changes within a run, in order."""

    created: Created
    tenant: str
    sale_id: str
    reservation_id: str
    buyer_id: str
    claim: list[Quantity]  # what its Reserve asked for
    asked_hold_ms: int  # 0: the Reserve asked for no life of the hold
    reference: str
    steps: list[Step] = field(default_factory=list)

    @property
    def key(self) -> tuple[str, str, str]:
        return self.tenant, self.sale_id, self.reservation_id

    @property
    def is_new(self) -> bool:
        """Whether this run created it."""
        return self.steps[0].change.previous_state == NEW


class Refusal(NamedTuple):
    """The ledger never accepts an order from the step at this index on (`EARLIER_RUN`: since an earlier run)."""

    step: int
    reason: str  # a CompensationReason without its prefix; of an earlier run perhaps one of a later version
    detail: str
    at_creation: bool


Refusals = Mapping[Created, Refusal]


def orders_from(commits: Iterable[AcceptedCommit]) -> dict[Created, Order]:
    """Group the changes of a run by order, in the order in which each first appears."""
    orders: dict[Created, Order] = {}
    for commit in commits:
        for index, change in commit.events.orders:
            created = created_of(change)
            order = orders.get(created)
            if order is None:
                order = orders[created] = _new_order(created, change.claim)
            order.steps.append(Step(commit.epoch, commit.seq, index, commit.events.time_ms, change, is_usual(change)))
    return orders


def first_confirm(steps: Sequence[Step]) -> int | None:
    """The index of the step that confirmed a hold, if one did."""
    for number, step in enumerate(steps):
        if step.change.state == CONFIRMED and step.change.previous_state == HELD:
            return number
    return None


def _new_order(created: Created, claim: Claim) -> Order:
    lines = [(line.sku, line.quantity) for line in claim.lines]
    return Order(
        created, claim.tenant, claim.sale_id, claim.reservation_id, claim.buyer_id, lines,
        claim.asked_hold_ms, claim.reference,
    )  # fmt: skip
