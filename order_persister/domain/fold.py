"""Folds a run of commits into orders, transfers between accounts, and changes of dead letters.

Each order (a reservation, identified by its creation position) is folded alone, so the refusal of one never affects
another, and for the same refusals folding a run at once equals folding it commit by commit. (What Postgres refuses may
depend on how a run was cut; see refusals.py.)
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from holdfast.inventory.v1.commit_pb2 import Claim, ReservationChange, SaleMade
from holdfast.inventory.v1.reservation_pb2 import CompensationReason

from order_persister.domain.chain import AcceptedCommit
from order_persister.domain.events import created_sales, reservation_changes
from order_persister.domain.units import (
    AVAILABLE,
    COMPENSATED,
    CONFIRMED,
    EXTERNAL,
    HELD,
    LIVE,
    NEW,
    STATE_NAMES,
    account_of,
)

REASON_NAMES = {number: name.removeprefix("COMPENSATION_REASON_") for name, number in CompensationReason.items()}

EARLIER_RUN = -1  # the `step` of a refusal that an earlier run decided


class Created(NamedTuple):
    """An order's creation position in its shard. It identifies the order, because a reservation id may be reused."""

    epoch: int
    seq: int
    index: int  # type: ignore[assignment]  # tuples have a method of that name


class Step(NamedTuple):
    """One change of an order, with its position and time."""

    epoch: int
    seq: int
    index: int  # type: ignore[assignment]  # tuples have a method of that name
    time_ms: int
    change: ReservationChange


@dataclass(slots=True)
class Order:
    """One reservation and its changes within a run, in order."""

    created: Created
    tenant: str
    sale_id: str
    reservation_id: str
    buyer_id: str
    lines: list[tuple[str, int]]  # sku, quantity
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
    reason: int  # a CompensationReason
    detail: str
    at_creation: bool


Refusals = Mapping[Created, Refusal]


class CreatedSale(NamedTuple):
    """A sale that was created, with its position and time."""

    epoch: int
    seq: int
    index: int  # type: ignore[assignment]  # tuples have a method of that name
    time_ms: int
    event: SaleMade


class Entry(NamedTuple):
    """One transfer between two accounts; the fields are in the order of the statement's columns."""

    epoch: int
    seq: int
    index: int  # type: ignore[assignment]  # tuples have a method of that name
    line: int
    tenant: str
    sale_id: str
    sku: str
    reservation_id: str | None
    from_account: str
    to_account: str
    quantity: int


class DeadLetter(NamedTuple):
    """The dead letter of an order that this run refused; all fields but the last are in the order of the columns."""

    created_epoch: int
    created_seq: int
    created_index: int
    tenant: str
    sale_id: str
    reservation_id: str
    buyer_id: str
    lines: list[tuple[str, int]]
    reason: str
    detail: str
    epoch: int
    seq: int
    index: int  # type: ignore[assignment]  # tuples have a method of that name
    create_time_ms: int
    is_open: bool
    reservation_state: str
    expire_time_ms: int | None
    latest_revision: int
    latest_time_ms: int
    latest_epoch: int
    latest_seq: int
    latest_index: int
    outstanding: list[tuple[str, int]]
    sold: list[tuple[str, int]]
    needs_compensation: bool


class DeadLetterUpdate(NamedTuple):
    """The latest change of an order that an earlier run refused; the fields are in the order of the columns."""

    created_epoch: int
    created_seq: int
    created_index: int
    is_open: bool
    reservation_state: str
    expire_time_ms: int | None
    latest_revision: int
    latest_time_ms: int
    latest_epoch: int
    latest_seq: int
    latest_index: int
    outstanding: list[tuple[str, int]]  # what the order holds or owns after the change
    sold: list[tuple[str, int]]  # what it owned before, if the change is its compensation


def orders_from(commits: Iterable[AcceptedCommit]) -> dict[Created, Order]:
    """Group the changes of a run by order, in the order in which each first appears."""
    orders: dict[Created, Order] = {}
    for commit in commits:
        time_ms = commit.body.time_ms
        for index, change in reservation_changes(commit.body):
            created = Created(change.created_epoch, change.created_seq, change.created_index)
            order = orders.get(created)
            if order is None:
                order = orders[created] = _new_order(created, change.claim)
            order.steps.append(Step(commit.epoch, commit.seq, index, time_ms, change))
    return orders


def sales_from(commits: Iterable[AcceptedCommit]) -> list[CreatedSale]:
    """The sales that a run created."""
    return [
        CreatedSale(commit.epoch, commit.seq, index, commit.body.time_ms, event)
        for commit in commits
        for index, event in created_sales(commit.body)
    ]


def entries_from_sales(sales: Iterable[CreatedSale]) -> Iterator[Entry]:
    """The transfers of new stock; an item without units has none."""
    for sale in sales:
        for line, item in enumerate(sale.event.sale.items):
            if item.total > 0:
                yield Entry(
                    sale.epoch, sale.seq, sale.index, line, sale.event.tenant, sale.event.sale.sale_id, item.sku, None,
                    EXTERNAL, AVAILABLE, item.total,
                )  # fmt: skip


def entries_from_orders(orders: Iterable[Order], refusals: Refusals) -> Iterator[Entry]:
    """The transfers of every step. A refused order's units are `refused` from the refused step until they go back."""
    for order in orders:
        refusal = refusals.get(order.created)
        refused_from = len(order.steps) if refusal is None else refusal.step
        for number, step in enumerate(order.steps):
            source = account_of(step.change.previous_state, number > refused_from)
            target = account_of(step.change.state, number >= refused_from)
            if source != target:
                for line, (sku, quantity) in enumerate(order.lines):
                    yield Entry(
                        step.epoch, step.seq, step.index, line, order.tenant, order.sale_id, sku, order.reservation_id,
                        source, target, quantity,
                    )  # fmt: skip


def deltas_from(entries: Iterable[Entry]) -> dict[tuple[str, str, str], dict[str, int]]:
    """The sums of the transfers: item -> account -> change."""
    deltas: dict[tuple[str, str, str], dict[str, int]] = {}
    for entry in entries:
        item = deltas.setdefault((entry.tenant, entry.sale_id, entry.sku), {})
        item[entry.from_account] = item.get(entry.from_account, 0) - entry.quantity
        item[entry.to_account] = item.get(entry.to_account, 0) + entry.quantity
    return deltas


def dead_letters_from(orders: Iterable[Order], refusals: Refusals) -> list[DeadLetter]:
    """The dead letters of orders that this run refused. One whose order ended within the run is settled at once."""
    dead_letters = []
    for order in orders:
        refusal = refusals.get(order.created)
        if refusal is None or refusal.step == EARLIER_RUN:
            continue
        refused, latest = order.steps[refusal.step], _update_from(order)
        dead_letters.append(
            DeadLetter(
                *order.created, *order.key, order.buyer_id, order.lines, REASON_NAMES[refusal.reason], refusal.detail,
                refused.epoch, refused.seq, refused.index, refused.change.create_time_ms, latest.is_open,
                latest.reservation_state, latest.expire_time_ms, latest.latest_revision, latest.latest_time_ms,
                latest.latest_epoch, latest.latest_seq, latest.latest_index, latest.outstanding, latest.sold,
                needs_compensation=refused.change.state in LIVE,
            )
        )  # fmt: skip
    return dead_letters


def dead_letter_updates_from(orders: Iterable[Order], refusals: Refusals) -> list[DeadLetterUpdate]:
    """The latest changes of orders that an earlier run refused."""
    refused = ((order, refusals.get(order.created)) for order in orders)
    return [_update_from(order) for order, refusal in refused if refusal is not None and refusal.step == EARLIER_RUN]


def _update_from(order: Order) -> DeadLetterUpdate:
    """The latest step of an order, as its dead letter stores it; the letter is open while the order has units."""
    step = order.steps[-1]
    change, is_open = step.change, step.change.state in LIVE
    is_compensated_sale = change.state == COMPENSATED and change.previous_state == CONFIRMED
    return DeadLetterUpdate(
        *order.created, is_open, STATE_NAMES[change.state], change.expire_time_ms or None, change.revision,
        step.time_ms, step.epoch, step.seq, step.index,
        outstanding=order.lines if is_open else [], sold=order.lines if is_compensated_sale else [],
    )  # fmt: skip


def _new_order(created: Created, claim: Claim) -> Order:
    lines = [(line.sku, line.quantity) for line in claim.lines]
    return Order(
        created, claim.tenant, claim.sale_id, claim.reservation_id, claim.buyer_id, lines,
        claim.asked_hold_ms, claim.reference,
    )  # fmt: skip


def first_confirm(steps: Sequence[Step]) -> int | None:
    """The index of the step that confirmed a hold, if one did."""
    for number, step in enumerate(steps):
        if step.change.state == CONFIRMED and step.change.previous_state == HELD:
            return number
    return None
