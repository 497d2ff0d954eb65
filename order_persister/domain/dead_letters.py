"""Turns folded orders that the ledger refused into their dead letters, and later changes of them into updates."""

from collections.abc import Iterable
from typing import NamedTuple

from order_persister.domain.changes import Quantity
from order_persister.domain.fold import EARLIER_RUN, Order, Refusals
from order_persister.domain.units import (
    COMPENSATED,
    CONFIRMED,
    LIVE,
    STATE_NAMES,
    owned_units,
    units_after,
    units_before,
)


class DeadLetterUpdate(NamedTuple):
    """The latest change of an order that was refused; the fields are in the order of the statement's columns."""

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
    lines: list[Quantity]  # what the order claims after the change
    outstanding: list[Quantity]  # what it holds or owns after the change
    sold: list[Quantity]  # what it owned before, if the change is its compensation


class DeadLetter(NamedTuple):
    """The dead letter of an order that this run refused; all but the last two are in the order of the columns."""

    created_epoch: int
    created_seq: int
    created_index: int
    tenant: str
    sale_id: str
    reservation_id: str
    buyer_id: str
    reason: str
    detail: str
    epoch: int
    seq: int
    index: int  # type: ignore[assignment]  # tuples have a method of that name
    create_time_ms: int
    latest: DeadLetterUpdate
    needs_compensation: bool


def dead_letters_from(orders: Iterable[Order], refusals: Refusals) -> list[DeadLetter]:
    """The dead letters of orders that this run refused. One whose order ended within the run is settled at once."""
    dead_letters = []
    for order in orders:
        refusal = refusals.get(order.created)
        if refusal is None or refusal.step == EARLIER_RUN:
            continue
        refused = order.steps[refusal.step]
        dead_letters.append(
            DeadLetter(
                *order.created, *order.claim[:4], refusal.reason, refusal.detail,
                refused.epoch, refused.seq, refused.index, refused.change.create_time_ms, _update_from(order),
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
    change = step.change
    units = units_after(change)
    owned_before = owned_units(change.previous_state, units_before(change))
    return DeadLetterUpdate(
        *order.created, change.state in LIVE, STATE_NAMES[change.state], change.expire_time_ms or None, change.revision,
        step.time_ms, step.epoch, step.seq, step.index,
        lines=[(sku, claimed) for sku, claimed, _, _ in units if claimed],
        outstanding=owned_units(change.state, units),
        sold=owned_before if change.state == COMPENSATED and change.previous_state == CONFIRMED else [],
    )  # fmt: skip
