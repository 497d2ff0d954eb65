"""Turns folded orders, without I/O, into the rows that Postgres shall hold of them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from order_persister.domain import units
from order_persister.domain.fold import (
    REASON_NAMES,
    STATE_NAMES,
    Created,
    Order,
    Refusal,
    Refusals,
)
from order_persister.domain.units import LIVE, line_quantities

RECORDED = "RECORDED"
REFUSED = "REFUSED"


class ReservationRow(NamedTuple):
    """A reservation as it stands after the run; the fields stand in the order of the statements' columns."""

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

    @property
    def created(self) -> Created:
        return Created(self.created_epoch, self.created_seq, self.created_index)


class LineRow(NamedTuple):
    """A line of a reservation; the fields stand in the order of the statement's columns."""

    tenant: str
    sale_id: str
    reservation_id: str
    sku: str
    quantity: int
    confirmed_quantity: int
    returned_quantity: int


class RefusedConfirm(NamedTuple):
    """The row of an order that was refused at its confirm and still holds its units."""

    tenant: str
    sale_id: str
    reservation_id: str
    created_epoch: int
    created_seq: int
    created_index: int
    compensation_reason: str


@dataclass
class Rows:
    """What is to be written, each list sorted by key, so that no two transactions lock rows crosswise."""

    made: list[ReservationRow] = field(default_factory=list)
    moved: list[ReservationRow] = field(default_factory=list)
    refused_confirms: list[RefusedConfirm] = field(default_factory=list)
    closed: list[ReservationRow] = field(default_factory=list)  # ended, and had no row while their refusal was open


def final_rows(orders: Iterable[Order], refusals: Refusals) -> Rows:
    """The final row of each order. One that is refused at its making has none before its units are back."""
    rows = Rows()
    for order in orders:
        refusal = refusals.get(order.created)
        if refusal is None:
            (rows.made if order.is_new else rows.moved).append(_row(order, len(order.steps) - 1, None))
        elif refusal.at_making:
            if _has_ended(order):
                rows.closed.append(_row(order, len(order.steps) - 1, refusal))
        else:
            _add_refused_at_confirm(rows, order, refusal)
    for found in (rows.made, rows.moved, rows.refused_confirms, rows.closed):
        found.sort(key=_key)
    return rows


def rows_by_step(order: Order) -> list[ReservationRow]:
    """The rows that an order would have after each step, were it not refused."""
    return [_row(order, number, None) for number in range(len(order.steps))]


def lines_of(rows: Iterable[ReservationRow], orders: dict[Created, Order]) -> list[LineRow]:
    """The lines of new rows, sorted by key as the rows are."""
    return [
        LineRow(
            row.tenant, row.sale_id, row.reservation_id, sku, quantity,
            *line_quantities(quantity, _STATES[row.state]),
        )
        for row in rows
        for sku, quantity in orders[row.created].lines
    ]  # fmt: skip


def columns(rows: Sequence[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Rows as columns, which is what `unnest` takes."""
    return list(zip(*rows, strict=True))


def moves_lines(row: ReservationRow) -> bool:
    """Whether the quantities of the row's lines may differ from those of a hold."""
    return units.moves_lines(_STATES[row.state])


_STATES = {name: number for number, name in STATE_NAMES.items()}


def _add_refused_at_confirm(rows: Rows, order: Order, refusal: Refusal) -> None:
    """Its row stays as it was before the refused step, and says so, until the order ends."""
    if _has_ended(order):
        rows.moved.append(_row(order, len(order.steps) - 1, refusal))
        return
    if refusal.step > 0:
        rows.moved.append(_row(order, refusal.step - 1, refusal))
    elif refusal.step == 0:
        rows.refused_confirms.append(RefusedConfirm(*order.key, *order.created, REASON_NAMES[refusal.reason]))


def _has_ended(order: Order) -> bool:
    return order.steps[-1].change.state not in LIVE


def _row(order: Order, number: int, refusal: Refusal | None) -> ReservationRow:
    step = order.steps[number]
    change = step.change
    return ReservationRow(
        order.tenant,
        order.sale_id,
        order.reservation_id,
        order.buyer_id,
        STATE_NAMES[change.state],
        change.revision,
        change.create_time_ms,
        step.time_ms,
        change.expire_time_ms or None,
        *order.created,
        step.epoch,
        step.seq,
        step.index,
        RECORDED if refusal is None else REFUSED,
        _reason_name(change.compensation_reason if refusal is None else refusal.reason),
        change.note.replace("\0", "\N{REPLACEMENT CHARACTER}"),  # Postgres takes no NUL, and a note refuses no order
    )


def _reason_name(reason: int) -> str | None:
    return REASON_NAMES[reason] if reason else None


def _key(row: ReservationRow | RefusedConfirm) -> tuple[str, str, str]:
    return row[:3]
