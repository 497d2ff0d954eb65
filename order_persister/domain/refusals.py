"""Decides, without I/O, which orders are refused for good, at which step, and what a SQLSTATE means.

Postgres is shown each order as the run leaves it and, only if it does not take that row, step by step. So an order that
ends in a row that is not taken is refused, or freezes its shard, as if each step had come in a run of its own. One that
passed through such a row and left it within the run is not: there, how Kafka cut the history decides. That harms
nobody: no row that Postgres forbids is kept, and the units of either are booked, and given back, once.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from enum import Enum
from typing import TypeVar

from holdfast.inventory.v1.reservation_pb2 import CompensationReason

from order_persister.domain.fold import Created, Order, Refusal, first_confirm
from order_persister.domain.units import LIVE

BLOCKED = CompensationReason.COMPENSATION_REASON_BUYER_BLOCKED
REUSED = CompensationReason.COMPENSATION_REASON_ID_REUSED
VIOLATED = CompensationReason.COMPENSATION_REASON_CONSTRAINT_VIOLATED

DETAIL_LENGTH = 256  # of a reservation's note, which the detail becomes

Row = TypeVar("Row")
Answer = TypeVar("Answer")


class ErrorKind(Enum):
    """What an error of Postgres means for the rows that it met."""

    TRANSIENT = "wait and try again"
    PERMANENT = "these rows will never be taken"


class PermanentError(Exception):
    """Postgres will never take what it was given; the message holds none of the values."""


def classify(sqlstate: str | None) -> ErrorKind:
    """Only bad data (22) and broken constraints (23) are for good. Anything unheard of is an outage, no refusal."""
    return ErrorKind.PERMANENT if (sqlstate or "")[:2] in ("22", "23") else ErrorKind.TRANSIENT


def refused_without_trying(
    orders: Iterable[Order], earlier: Mapping[Created, Refusal], blocked: Mapping[tuple[str, str], str]
) -> dict[Created, Refusal]:
    """Orders that were refused before, whose buyer is blocked (buyer -> why), or whose id came twice in the run."""
    refusals: dict[Created, Refusal] = {}
    made: set[tuple[str, str, str]] = set()
    for order in orders:
        refusal = earlier.get(order.created) or _blocked(order, blocked)
        if order.is_new:
            refusal = refusal or (reused() if order.key in made else None)
            made.add(order.key)
        if refusal is not None:
            refusals[order.created] = refusal
    return refusals


def blockable(orders: Iterable[Order]) -> set[tuple[str, str]]:
    """The buyers of whom it matters whether they are blocked: those of orders that were made or confirmed here."""
    judged = (order for order in orders if order.is_new or first_confirm(order.steps) is not None)
    return {(order.tenant, order.buyer_id) for order in judged}


def reused() -> Refusal:
    """The refusal of an order whose id the ledger knows from another one."""
    return Refusal(0, REUSED, "the id was used before", at_making=True)


def refusal_for(order: Order, step: int, broken: PermanentError) -> Refusal | None:
    """The refusal of an order whose row breaks from this step on; None if the step may not be refused: a give-back."""
    detail = str(broken)[:DETAIL_LENGTH]
    if order.is_new and step == 0:
        return Refusal(0, VIOLATED, detail, at_making=True)
    is_confirm = first_confirm(order.steps) == step
    return Refusal(step, VIOLATED, detail, at_making=False) if is_confirm else None


async def bisect(
    rows: Sequence[Row], attempt: Callable[[Sequence[Row]], Awaitable[Answer]]
) -> tuple[list[Answer], list[tuple[Row, PermanentError]]]:
    """Attempt all rows at once and, where that breaks, each half: what the attempts that worked answered, the others.

    `attempt` writes all of its rows or, raising `Broken`, none.
    """
    if not rows:
        return [], []
    try:
        return [await attempt(rows)], []
    except PermanentError as broken:
        if len(rows) == 1:
            return [], [(rows[0], broken)]
    middle = len(rows) // 2
    left, right = await bisect(rows[:middle], attempt), await bisect(rows[middle:], attempt)
    return left[0] + right[0], left[1] + right[1]


def _blocked(order: Order, blocked: Mapping[tuple[str, str], str]) -> Refusal | None:
    """A blocked buyer's order is refused at its making, or at the confirm of a hold that was made before the block."""
    why = blocked.get((order.tenant, order.buyer_id))
    if why is None:
        return None
    detail = f"the buyer is blocked: {why}"[:DETAIL_LENGTH]
    if order.is_new:
        first = order.steps[0].change
        return Refusal(0, BLOCKED, detail, at_making=True) if first.state in LIVE else None
    confirm = first_confirm(order.steps)
    return None if confirm is None else Refusal(confirm, BLOCKED, detail, at_making=False)
