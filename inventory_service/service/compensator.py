"""Carries out compensations: gives back the units of orders that the ledger refused.

A compensation may arrive twice, late, or for a shard that does not serve: the script acts once, and only on the
reservation created at that position, and the persister sends it again until the ledger has the commit that ends the
order. So the compensator stores nothing.
"""

from contextlib import aclosing
from functools import partial
from typing import NamedTuple, Protocol

from structlog.typing import FilteringBoundLogger

from holdfast_runtime.retry import Outage, Retrier
from inventory_service.domain.keys import shard_of
from inventory_service.domain.moves import Compensate
from inventory_service.domain.ports import StockMaintenance
from inventory_service.domain.results import Failure
from inventory_service.domain.shard_ports import CompensationTopic


class CompensationCounter(Protocol):
    """Counts compensations by outcome: given_back, nothing_to_give, dropped, misdirected or unreadable."""

    def count(self, outcome: str) -> None: ...


class Dependencies(NamedTuple):
    """What a compensator depends on."""

    compensations: CompensationTopic
    stock: StockMaintenance
    counter: CompensationCounter
    log: FilteringBoundLogger
    shard_count: int
    retrier: Retrier


async def run(dependencies: Dependencies) -> None:
    """Runs until cancelled."""
    await dependencies.retrier.follow_forever(partial(follow, dependencies), dependencies.log)


async def follow(dependencies: Dependencies, outage: Outage) -> None:
    """Handle compensations until Kafka is unavailable; each is acknowledged by the request for a later one."""
    async with aclosing(dependencies.compensations.compensations(partial(outage.recovered, "Kafka"))) as compensations:
        async for compensation in compensations:
            outcome = await handle(dependencies, compensation)
            dependencies.counter.count(outcome)
            outage.recovered()


async def handle(dependencies: Dependencies, compensation: Compensate | None) -> str:
    """Carry out one compensation and return its outcome."""
    if compensation is None:
        dependencies.log.warning("compensation", outcome="unreadable")
        return "unreadable"
    if (
        shard_of(compensation.sale, dependencies.shard_count) != compensation.created.shard
    ):  # written by a ledger with another shard count
        names = {
            "sale": str(compensation.sale),
            "reservation": compensation.reservation_id,
            "shard": compensation.created.shard,
        }
        dependencies.log.error("compensation", outcome="misdirected", **names)
        return "misdirected"
    gave = await dependencies.stock.compensate(compensation)
    if isinstance(gave, Failure):
        outcome, more = "dropped", {"why": gave.reason, **gave.metadata}
    else:
        outcome, more = "given_back" if gave else "nothing_to_give", {}
    dependencies.log.info(
        "compensation", outcome=outcome, sale=str(compensation.sale), reservation=compensation.reservation_id, **more
    )
    return outcome
