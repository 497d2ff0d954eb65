"""Decides which orders are refused for good, at which step, and what a SQLSTATE means.

The ledger writes each order's row as it is after the run and, only if Postgres rejects that row, step by step. So an
order whose last row is rejected is refused, or freezes its shard, as if each step had come in a run of its own. An
order that had a forbidden row in the middle of a run and not at its end is not refused: there the result depends on
how Kafka cut the history. Both results are sound: no forbidden row is stored, and units are booked and given back once.
"""

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from enum import Enum
from typing import NamedTuple, TypeVar

from order_persister.domain.changes import Created
from order_persister.domain.fold import Order, Refusal, first_confirm
from order_persister.domain.units import LIVE

BLOCKED = "BUYER_BLOCKED"
REUSED = "ID_REUSED"
VIOLATED = "CONSTRAINT_VIOLATED"

NOT_NULL_VIOLATED = "23502"
MAX_DETAIL_LENGTH = 256  # the detail becomes the note of the reservation, which is no longer

Row = TypeVar("Row")
Result = TypeVar("Result")


class ErrorKind(Enum):
    """What an error of Postgres means for the rows of the statement."""

    TRANSIENT = "retry"
    PERMANENT = "these rows will always be rejected"


class PermanentError(Exception):
    """Postgres always rejects these values; the message has none of them."""


def classify(sqlstate: str | None) -> ErrorKind:
    """Only bad data (22) and violated constraints (23) are permanent. An unknown SQLSTATE is an outage, no refusal.

    So is a missing value, which no caller can cause: the tables have a column that this version does not know.
    """
    is_bad = (sqlstate or "")[:2] in ("22", "23") and sqlstate != NOT_NULL_VIOLATED
    return ErrorKind.PERMANENT if is_bad else ErrorKind.TRANSIENT


class Block(NamedTuple):
    """Since when a buyer is blocked, in ms since 1970, and why."""

    time_ms: int
    reason: str


def refusals_before_writing(
    orders: Collection[Order], earlier: Mapping[Created, Refusal], blocked: Mapping[tuple[str, str], Block]
) -> dict[Created, Refusal]:
    """Orders that an earlier run refused, whose buyer is blocked, or whose id the run reuses."""
    refusals: dict[Created, Refusal] = {}
    if earlier or blocked:
        refused = ((order.created, earlier.get(order.created) or _blocked(order, blocked)) for order in orders)
        refusals = {created: refusal for created, refusal in refused if refusal is not None}
    created_keys: set[tuple[str, str, str]] = set()
    for order in orders:
        if order.is_new and order.key in created_keys:
            refusals.setdefault(order.created, refusal_for_reused_id())
        elif order.is_new:
            created_keys.add(order.key)
    return refusals


def buyers_to_check(orders: Iterable[Order]) -> set[tuple[str, str]]:
    """The buyers of orders that the run creates or confirms: a block refuses only these."""
    refusable = (order for order in orders if order.is_new or first_confirm(order.steps) is not None)
    return {(order.claim.tenant, order.claim.buyer_id) for order in refusable}


def refusal_for_reused_id() -> Refusal:
    """The refusal of an order whose id belongs to another order."""
    return Refusal(0, REUSED, "the id was used before", at_creation=True)


def refusal_for(order: Order, step: int, error: PermanentError) -> Refusal | None:
    """The refusal of an order whose row is rejected from this step on; None if the step gives units back."""
    detail = str(error)[:MAX_DETAIL_LENGTH]
    if order.is_new and step == 0:
        return Refusal(0, VIOLATED, detail, at_creation=True)
    is_confirm = first_confirm(order.steps) == step
    return Refusal(step, VIOLATED, detail, at_creation=False) if is_confirm else None


async def bisect(
    rows: Sequence[Row], attempt: Callable[[Sequence[Row]], Awaitable[Result]]
) -> tuple[list[Result], list[tuple[Row, PermanentError]]]:
    """Attempt all rows at once and, if that fails, each half; the results of successful attempts, and the bad rows.

    `attempt` writes all of its rows or, raising `PermanentError`, none.
    """
    if not rows:
        return [], []
    try:
        return [await attempt(rows)], []
    except PermanentError as error:
        if len(rows) == 1:
            return [], [(rows[0], error)]
    middle = len(rows) // 2
    left, right = await bisect(rows[:middle], attempt), await bisect(rows[middle:], attempt)
    return left[0] + right[0], left[1] + right[1]


def _blocked(order: Order, blocked: Mapping[tuple[str, str], Block]) -> Refusal | None:
    """A blocked buyer's order is refused when it is created, or when a hold from before the block is confirmed.

    What was done before the block stands: a ledger that was set back meets it again with blocks that came later.
    """
    block = blocked.get((order.claim.tenant, order.claim.buyer_id))
    if block is None:
        return None
    detail = f"the buyer is blocked: {block.reason}"[:MAX_DETAIL_LENGTH]
    first, confirm = order.steps[0], first_confirm(order.steps)
    if order.is_new and first.change.state in LIVE and first.time_ms >= block.time_ms:
        return Refusal(0, BLOCKED, detail, at_creation=True)
    if confirm is not None and order.steps[confirm].time_ms >= block.time_ms:
        return Refusal(confirm, BLOCKED, detail, at_creation=False)
    return None
