"""Carry out compensations: give the units back of orders that the ledger refused.

One may come twice, late, or for a shard that does not serve: the script acts only on the reservation made at that
position, and once; and the ledger repeats it until it holds the commit that carried it out. So none is kept here.
"""

from collections.abc import Callable
from contextlib import aclosing
from functools import partial
from typing import NamedTuple, Protocol

from structlog.typing import FilteringBoundLogger

from inventory_service.domain.keys import shard_of
from inventory_service.domain.moves import Compensate
from inventory_service.domain.ports import StockMaintenance
from inventory_service.domain.results import Failure
from inventory_service.domain.shard_ports import CompensationTopic
from inventory_service.entrypoints.patience import repeat


class CompensationCounter(Protocol):
    """Counts compensations by what became of them: given_back, nothing_to_give, dropped, misdirected or unreadable."""

    def count(self, outcome: str) -> None: ...


class Parts(NamedTuple):
    """Everything a compensator works with."""

    compensations: CompensationTopic
    stock: StockMaintenance
    counter: CompensationCounter
    log: FilteringBoundLogger
    shard_count: int
    waited: Callable[[str], None]  # hears the name of a server that was away, for each attempt


async def run(parts: Parts) -> None:
    """Runs until cancelled."""
    await repeat(partial(follow, parts), parts.log, parts.waited)


async def follow(parts: Parts) -> None:
    """Handle compensations until Kafka goes away; asking for the next says that the last was handled."""
    async with aclosing(parts.compensations.compensations()) as compensations:
        async for compensation in compensations:
            outcome = await handle(parts, compensation)
            parts.counter.count(outcome)


async def handle(parts: Parts, compensation: Compensate | None) -> str:
    """Give back, and say what became of it."""
    if compensation is None:
        parts.log.warning("compensation", outcome="unreadable")
        return "unreadable"
    if shard_of(compensation.sale, parts.shard_count) != compensation.created.shard:  # a ledger of another N wrote it
        names = {
            "sale": str(compensation.sale),
            "reservation": compensation.reservation_id,
            "shard": compensation.created.shard,
        }
        parts.log.error("compensation", outcome="misdirected", **names)
        return "misdirected"
    gave = await parts.stock.compensate(compensation)
    if isinstance(gave, Failure):
        outcome, more = "dropped", {"why": gave.reason, **gave.metadata}
    else:
        outcome, more = "given_back" if gave else "nothing_to_give", {}
    parts.log.info(
        "compensation", outcome=outcome, sale=str(compensation.sale), reservation=compensation.reservation_id, **more
    )
    return outcome
