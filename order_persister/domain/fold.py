"""Folds a run of commits, without I/O, into final rows, transfers between accounts, and moves of dead letters.

Every order (a reservation, named by where it was created) is folded alone, so what was refused of one never touches
another, and for the same refusals folding a run at once equals folding it commit by commit. (What Postgres refuses may
depend on how a run was cut; see refusals.py.)
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from holdfast.inventory.v1.commit_pb2 import Claim, ReservationChange, SaleMade
from holdfast.inventory.v1.reservation_pb2 import CompensationReason, ReservationState

from order_persister.domain.chain import AcceptedCommit
from order_persister.domain.events import changes_in, sales_made_in
from order_persister.domain.units import CONFIRMED, HELD, LIVE, account_of

UNMADE = ReservationState.RESERVATION_STATE_UNSPECIFIED

STATE_NAMES = {number: name.removeprefix("RESERVATION_STATE_") for name, number in ReservationState.items()}
REASON_NAMES = {number: name.removeprefix("COMPENSATION_REASON_") for name, number in CompensationReason.items()}

EARLIER_RUN = -1  # the `step` of a refusal that an earlier run brought


class Created(NamedTuple):
    """An order's creation position: where in its shard it was made. It names the order, for an id may come twice."""

    epoch: int
    seq: int
    index: int  # type: ignore[assignment]  # tuples have a method of that name


class Step(NamedTuple):
    """One change of an order, and where it stands."""

    epoch: int
    seq: int
    index: int  # type: ignore[assignment]  # tuples have a method of that name
    time_ms: int
    change: ReservationChange


@dataclass(slots=True)
class Order:
    """All changes of one reservation within a run, in order."""

    created: Created
    tenant: str
    sale_id: str
    reservation_id: str
    buyer_id: str
    lines: list[tuple[str, int]]  # sku, quantity
    steps: list[Step] = field(default_factory=list)

    @property
    def key(self) -> tuple[str, str, str]:
        return self.tenant, self.sale_id, self.reservation_id

    @property
    def is_new(self) -> bool:
        """Whether this run made it."""
        return self.steps[0].change.previous_state == UNMADE


class Refusal(NamedTuple):
    """What the ledger will never take: an order, from the step at this index on (BEFORE: since an earlier run)."""

    step: int
    reason: int  # a CompensationReason
    detail: str
    at_making: bool


Refusals = Mapping[Created, Refusal]


class OpenedSale(NamedTuple):
    """A sale that was made, and where."""

    epoch: int
    seq: int
    index: int  # type: ignore[assignment]  # tuples have a method of that name
    time_ms: int
    made: SaleMade


class Entry(NamedTuple):
    """One transfer; the fields stand in the order of the statement's columns."""

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
    """A dead letter that this run brought; all fields but the last stand in the order of the statement's columns."""

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
    is_open: bool
    reservation_state: str
    latest_revision: int
    latest_time_ms: int
    latest_epoch: int
    latest_seq: int
    latest_index: int
    needs_compensation: bool


class DeadLetterUpdate(NamedTuple):
    """What a run brought to an order that was refused before; the fields stand in the order of the statement."""

    created_epoch: int
    created_seq: int
    created_index: int
    is_open: bool
    reservation_state: str
    latest_revision: int
    latest_time_ms: int
    latest_epoch: int
    latest_seq: int
    latest_index: int


def orders_from(commits: Iterable[AcceptedCommit]) -> dict[Created, Order]:
    """Gather the changes of a run by order, in the order in which each first appears."""
    orders: dict[Created, Order] = {}
    for commit, index, change in changes_in(commits):
        created = Created(change.created_epoch, change.created_seq, change.created_index)
        order = orders.get(created)
        if order is None:
            order = orders[created] = _order(created, change.claim)
        order.steps.append(Step(commit.epoch, commit.seq, index, commit.body.time_ms, change))
    return orders


def sales_from(commits: Iterable[AcceptedCommit]) -> list[OpenedSale]:
    """The sales that a run made."""
    return [
        OpenedSale(commit.epoch, commit.seq, index, commit.body.time_ms, made)
        for commit, index, made in sales_made_in(commits)
    ]


def entries_of_sales(sales: Iterable[OpenedSale]) -> Iterator[Entry]:
    """The stock that came in from outside; an item without units moves none."""
    for sale in sales:
        for line, item in enumerate(sale.made.sale.items):
            if item.total > 0:
                yield Entry(
                    sale.epoch, sale.seq, sale.index, line, sale.made.tenant, sale.made.sale.sale_id, item.sku, None,
                    "external", "available", item.total,
                )  # fmt: skip


def entries_of_orders(orders: Iterable[Order], refusals: Refusals) -> Iterator[Entry]:
    """The transfers of every step. From the refused step until they go back, a refused order's units are `refused`."""
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
    """What the transfers come to: item -> account -> change."""
    deltas: dict[tuple[str, str, str], dict[str, int]] = {}
    for entry in entries:
        item = deltas.setdefault((entry.tenant, entry.sale_id, entry.sku), {})
        item[entry.from_account] = item.get(entry.from_account, 0) - entry.quantity
        item[entry.to_account] = item.get(entry.to_account, 0) + entry.quantity
    return deltas


def dead_letters_from(orders: Iterable[Order], refusals: Refusals) -> list[DeadLetter]:
    """The dead letters that this run brings. One whose order has ended by now is born settled."""
    letters = []
    for order in orders:
        refusal = refusals.get(order.created)
        if refusal is None or refusal.step == EARLIER_RUN:
            continue
        refused, move = order.steps[refusal.step], _move_of(order)
        letters.append(
            DeadLetter(
                *order.created, *order.key, order.buyer_id, order.lines, REASON_NAMES[refusal.reason], refusal.detail,
                refused.epoch, refused.seq, refused.index, move.is_open, move.reservation_state, move.latest_revision,
                move.latest_time_ms, move.latest_epoch, move.latest_seq, move.latest_index,
                needs_compensation=refused.change.state in LIVE,
            )
        )  # fmt: skip
    return letters


def dead_letter_updates_from(orders: Iterable[Order], refusals: Refusals) -> list[DeadLetterUpdate]:
    """What became of orders that an earlier run refused."""
    refused = ((order, refusals.get(order.created)) for order in orders)
    return [_move_of(order) for order, refusal in refused if refusal is not None and refusal.step == EARLIER_RUN]


def _move_of(order: Order) -> DeadLetterUpdate:
    """What an order's dead letter says after its latest step; the letter is open while the order holds units."""
    step = order.steps[-1]
    return DeadLetterUpdate(
        *order.created, step.change.state in LIVE, STATE_NAMES[step.change.state], step.change.revision,
        step.time_ms, step.epoch, step.seq, step.index,
    )  # fmt: skip


def _order(created: Created, claim: Claim) -> Order:
    lines = [(line.sku, line.quantity) for line in claim.lines]
    return Order(created, claim.tenant, claim.sale_id, claim.reservation_id, claim.buyer_id, lines)


def first_confirm(steps: Sequence[Step]) -> int | None:
    """The step that confirmed a hold, if one did."""
    for number, step in enumerate(steps):
        if step.change.state == CONFIRMED and step.change.previous_state == HELD:
            return number
    return None
