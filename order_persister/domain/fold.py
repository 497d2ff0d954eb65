"""Folds a run of commits into orders: each has its changes, in order.

Each order (a reservation, identified by its creation position) is folded alone, so the refusal of one never affects
another, and for the same refusals folding a run at once equals folding it commit by commit. (What Postgres refuses may
depend on how a run was cut; see refusals.py.)
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from holdfast.inventory.v1.reservation_pb2 import CompensationReason

from order_persister.domain.chain import AcceptedCommit
from order_persister.domain.changes import Change, Claim, Created
from order_persister.domain.units import CONFIRMED, HELD, NEW

REASONS = {name.removeprefix("COMPENSATION_REASON_"): number for name, number in CompensationReason.items()}
REASON_NAMES = {number: name for name, number in REASONS.items()}

EARLIER_RUN = -1  # the `step` of a refusal that an earlier run decided


class Step(NamedTuple):
    """One change of an order, with its position and time."""

    epoch: int
    seq: int
    index: int  # type: ignore[assignment]  # tuples have a method of that name
    time_ms: int
    change: Change


@dataclass(slots=True)
class Order:
    """One reservation and its changes within a run, in order."""

    created: Created
    claim: Claim
    is_new: bool  # whether this run created it
    is_usual: bool = True  # whether states and claim imply its units at every step
    steps: list[Step] = field(default_factory=list)

    @property
    def key(self) -> tuple[str, str, str]:
        """Tenant, sale and reservation id."""
        return self.claim[:3]


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
        time_ms = commit.events.time_ms
        for index, change in commit.events.orders:
            order = orders.get(change.created)
            if order is None:
                is_new = change.previous_state == NEW
                order = orders[change.created] = Order(change.created, change.claim, is_new)
            if not change.is_usual:
                order.is_usual = False
            order.steps.append(Step(commit.epoch, commit.seq, index, time_ms, change))
    return orders


def first_confirm(steps: Sequence[Step]) -> int | None:
    """The index of the step that confirmed a hold, if one did."""
    for number, step in enumerate(steps):
        if step.change.state == CONFIRMED and step.change.previous_state == HELD:
            return number
    return None
