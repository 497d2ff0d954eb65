"""Carry out the ledger's orders to give a refused order's units back.

An order may come twice, late, or for a shard that does not serve: the script acts only on the reservation made at that
position, and once; and the ledger repeats an order until it holds the commit that carried it out. So none is kept here.
"""

from contextlib import aclosing
from functools import partial
from typing import NamedTuple, Protocol

from structlog.typing import FilteringBoundLogger

from inventory_service.domain.ports import Housekeeping
from inventory_service.domain.requests import Compensate, shard_of
from inventory_service.domain.shard_ports import CompensationTopic
from inventory_service.domain.verdicts import Refusal
from inventory_service.entrypoints.patience import repeat


class CompensationCounter(Protocol):
    """Counts orders by what became of them: given_back, nothing_to_give, dropped, misdirected or unreadable."""

    def count(self, outcome: str) -> None: ...


class Parts(NamedTuple):
    """Everything a compensator works with."""

    orders: CompensationTopic
    stock: Housekeeping
    counter: CompensationCounter
    log: FilteringBoundLogger
    shard_count: int


async def run(parts: Parts) -> None:
    """Runs until cancelled."""
    await repeat(partial(follow_orders, parts), parts.log)


async def follow_orders(parts: Parts) -> None:
    """Handle orders until Kafka goes away; asking for the next says that the last was handled."""
    async with aclosing(parts.orders.orders()) as orders:
        async for order in orders:
            outcome = await handle(parts, order)
            parts.counter.count(outcome)


async def handle(parts: Parts, order: Compensate | None) -> str:
    """Give back, and say what became of it."""
    if order is None:
        parts.log.warning("compensation", outcome="unreadable")
        return "unreadable"
    if shard_of(order.sale, parts.shard_count) != order.created.shard:  # a ledger of another N wrote it
        names = {"sale": str(order.sale), "reservation": order.reservation_id, "shard": order.created.shard}
        parts.log.error("compensation", outcome="misdirected", **names)
        return "misdirected"
    gave = await parts.stock.compensate(order)
    if isinstance(gave, Refusal):
        outcome, more = "dropped", {"why": gave.reason, **gave.metadata}
    else:
        outcome, more = "given_back" if gave else "nothing_to_give", {}
    parts.log.info("compensation", outcome=outcome, sale=str(order.sale), reservation=order.reservation_id, **more)
    return outcome
