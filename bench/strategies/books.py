"""The books of a sale: what callers were told, what is in PostgreSQL, and what the counter says that sells."""

from dataclasses import dataclass
from datetime import timedelta

from holdfast.blocking import BlockingClient
from holdfast.retry import RetryPolicy
from holdfast_bench.load import SKU

from bench.strategies.callers import Outcome
from bench.strategies.system import System

PATIENT = RetryPolicy(overall_s=60.0, attempt_s=10.0)
HOLD_TTL = timedelta(hours=1)  # no hold expires meanwhile


@dataclass(frozen=True)
class Books:
    """Units of one sale, once nothing is under way any more. Every reservation is for one unit."""

    stock: int
    told: int  # units that callers were told to have
    recorded: int  # orders in PostgreSQL
    counted: int  # units that the counter which decides says are sold
    lost: int  # orders that were acknowledged and are not in PostgreSQL
    unanswered: int  # orders in PostgreSQL whose callers heard of no success

    @property
    def divergence(self) -> int:
        """Units by which the counter and the orders differ."""
        return abs(self.counted - self.recorded)

    @property
    def units_lost(self) -> int:
        """Units that are neither for sale nor in an order."""
        return max(0, self.counted - self.recorded)

    @property
    def oversold(self) -> int:
        """Units that were promised or recorded beyond the stock."""
        return max(0, self.told - self.stock, self.recorded - self.stock)

    @property
    def are_clean(self) -> bool:
        """Nothing was lost, sold twice, or counted otherwise than it was recorded."""
        return not (self.divergence or self.oversold or self.lost)


def create_sale(system: System, sale_id: str, units: int) -> None:
    """Put so many units of the one item on sale."""
    with _client(system) as client:
        client.create_sale(sale_id, {SKU: units}, hold_ttl=HOLD_TTL, max_hold_ttl=HOLD_TTL)


def counted(system: System, sale_id: str, stock: int) -> int:
    """The units that the counter which decides says are sold."""
    with _client(system) as client:
        (item,) = client.get_sale(sale_id).sale.items
        return stock - item.available


def count(system: System, sale_id: str, stock: int, outcome: Outcome, drain_s: float) -> Books:
    """Wait until every order is recorded, then count; NotReady if some are not in time."""
    system.drain(sale_id, drain_s)
    told, recorded = set(outcome.accepted), system.recorded(sale_id)
    return Books(
        stock=stock,
        told=len(told),
        recorded=len(recorded),
        counted=counted(system, sale_id, stock),
        lost=len(told - recorded),
        unanswered=len(recorded - told),
    )


def _client(system: System) -> BlockingClient:
    return BlockingClient(system.address, channels=1, retry=PATIENT)
