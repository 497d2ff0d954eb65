"""Turns folded orders into the rows of reservations and lines that the ledger stores."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from operator import itemgetter
from typing import NamedTuple

from order_persister.domain.changes import Created
from order_persister.domain.fold import REASON_NAMES, Order, Refusal, Refusals
from order_persister.domain.text import storable
from order_persister.domain.units import COMPENSATED, LIVE, STATE_NAMES, units_after, units_before

KEY = itemgetter(0, 1, 2)  # of a row: tenant, sale and reservation id
RECORDED = "RECORDED"
REFUSED = "REFUSED"


class LineRow(NamedTuple):
    """How a reservation stands with one SKU; the fields are in the order of the statement's columns."""

    tenant: str
    sale_id: str
    reservation_id: str
    sku: str
    quantity: int  # 0: a change of the hold dropped the SKU
    confirmed_quantity: int
    returned_quantity: int
    asked_quantity: int  # 0: a change of the hold added the SKU


class ReservationRow(NamedTuple):
    """A reservation after the run; all fields but the last are in the order of the statements' columns."""

    tenant: str
    sale_id: str
    reservation_id: str
    buyer_id: str
    state: str
    revision: int
    create_time_ms: int
    update_time_ms: int
    expire_time_ms: int | None
    created_epoch: int
    created_seq: int
    created_index: int
    epoch: int
    seq: int
    index: int  # type: ignore[assignment]  # tuples have a method of that name
    ledger_state: str
    compensation_reason: str | None
    note: str
    asked_hold_ms: int
    reference: str
    lines: list[LineRow]  # to write with it: every one, or none if the ledger has them so already

    @property
    def created(self) -> Created:
        return Created(self.created_epoch, self.created_seq, self.created_index)

    @property
    def identity(self) -> tuple[str, str, str, int, int, int]:
        """Its key and its creation position."""
        return *self[:3], *self.created


class RefusedConfirm(NamedTuple):
    """An order that was refused at its confirm and still has its units; the fields are in the order of the columns."""

    tenant: str
    sale_id: str
    reservation_id: str
    created_epoch: int
    created_seq: int
    created_index: int
    compensation_reason: str


@dataclass
class Rows:
    """The rows to write, each list sorted by key, so that transactions lock rows in one order and never deadlock."""

    new: list[ReservationRow] = field(default_factory=list)
    changed: list[ReservationRow] = field(default_factory=list)
    refused_confirms: list[RefusedConfirm] = field(default_factory=list)
    refused_ended: list[ReservationRow] = field(default_factory=list)  # refused when created, so without a row so far


def final_rows(orders: Iterable[Order], refusals: Refusals, are_written: bool = False) -> Rows:
    """The final row of each order. One that is refused when it is created has none before it ends.

    `are_written`: the orders have a row by now that may be of any of their steps.
    """
    rows = Rows()
    for order in orders:
        refusal, target = refusals.get(order.created), rows.new if order.is_new and not are_written else rows.changed
        if refusal is None:
            target.append(_row(order, len(order.steps) - 1, None))
        elif refusal.at_creation:
            if _has_ended(order):
                rows.refused_ended.append(_row(order, len(order.steps) - 1, refusal))
        else:
            _add_refused_at_confirm(rows, target, order, refusal)
    for each in (rows.new, rows.changed, rows.refused_confirms, rows.refused_ended):
        each.sort(key=KEY)
    return rows


def rows_by_step(order: Order) -> list[ReservationRow]:
    """The row of an order after each step, refused or not, each with all its lines."""
    return [_row(order, number, None, has_all_lines=True) for number in range(len(order.steps))]


def _add_refused_at_confirm(rows: Rows, target: list[ReservationRow], order: Order, refusal: Refusal) -> None:
    """The row stays as it was before the refused step, with the refusal in it, until the order ends."""
    if _has_ended(order):
        target.append(_row(order, len(order.steps) - 1, refusal))
    elif refusal.step > 0:
        target.append(_row(order, refusal.step - 1, refusal))
    elif refusal.step == 0:
        rows.refused_confirms.append(RefusedConfirm(*order.key, *order.created, refusal.reason))


def _has_ended(order: Order) -> bool:
    return order.steps[-1].change.state not in LIVE


def _row(order: Order, number: int, refusal: Refusal | None, has_all_lines: bool = False) -> ReservationRow:
    """The row after one step. A compensated order was refused, if not by this ledger then by one set back since.

    Of a refused order the ledger may have lines of any earlier step, so all are written.
    """
    step = order.steps[number]
    change, claim = step.change, order.claim
    return ReservationRow(
        *claim[:4],
        STATE_NAMES[change.state],
        change.revision,
        change.create_time_ms,
        step.time_ms,
        change.expire_time_ms or None,
        *order.created,
        step.epoch,
        step.seq,
        step.index,
        RECORDED if refusal is None and change.state != COMPENSATED else REFUSED,
        _reason_name(change.compensation_reason) if refusal is None else refusal.reason,
        storable(change.note) if change.note else "",
        claim.asked_hold_ms,
        claim.reference,
        _lines(order, number, has_all_lines or refusal is not None),
    )


def _lines(order: Order, number: int, is_complete: bool) -> list[LineRow]:
    """Every line after one step; none if they are as the run has found them, unless `is_complete`."""
    units = units_after(order.steps[number].change)
    if not is_complete and not order.is_new and units == units_before(order.steps[0].change):
        return []
    tenant, sale_id, reservation_id = order.key
    if order.is_usual:
        return [
            LineRow(tenant, sale_id, reservation_id, sku, claimed, sold, came_back, claimed)
            for sku, claimed, sold, came_back in units
        ]
    unusual = [each.change for each in order.steps if not each.change.is_usual]
    asked, counts = dict(order.claim.lines), {one[0]: one[1:] for one in units}
    named = {one[0] for change in unusual for one in (*change.before, *change.after)}
    return [
        LineRow(tenant, sale_id, reservation_id, sku, *counts.get(sku, (0, 0, 0)), asked.get(sku, 0))
        for sku in sorted(asked.keys() | named)
    ]


def _reason_name(reason: int) -> str | None:
    return REASON_NAMES[reason] if reason else None
