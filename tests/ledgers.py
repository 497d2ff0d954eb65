"""Builds the persister's ledger for tests, with metrics of its own that a test may read."""

from prometheus_client import CollectorRegistry

from order_persister.ledger.apply import Ledger
from order_persister.ledger.postgres import Database
from order_persister.ledger.queries import load_queries
from order_persister.metrics import LedgerMetrics, waits_counter
from order_persister.patience import Patience


def ledger_in(database: Database, registry: CollectorRegistry | None = None) -> Ledger:
    """The ledger in a database."""
    registry = registry or CollectorRegistry()
    return Ledger(database, load_queries(), LedgerMetrics(registry), Patience(waits_counter(registry)))


def waits(registry: CollectorRegistry, on: str) -> float:
    """How often a server was waited for."""
    return registry.get_sample_value("holdfast_ledger_waits_total", {"on": on}) or 0.0
