"""How long a statement of an audit may take."""

from inventory_service.adapters.ledger.pool import QUERY_TIMEOUT_S
from inventory_service.adapters.ledger.queries import ledger_queries
from inventory_service.adapters.ledger.snapshots import PostgresSnapshot
from inventory_service.domain.keys import SaleKey


class SlowConnection:
    """Answers after two minutes, without rows."""

    async def execute(self, statement: str) -> None: ...

    async def fetch(self, statement: str, *values: object, timeout: float = QUERY_TIMEOUT_S) -> list[object]:  # noqa: ASYNC109  # as asyncpg's
        if timeout < 120:
            raise TimeoutError
        return []


async def test_the_sums_of_a_large_sale_may_take_minutes() -> None:
    """With the pool's limit the audit would say of every large sale that Postgres does not answer."""
    snapshot = PostgresSnapshot(SlowConnection(), ledger_queries(), 0, None, "")

    assert await snapshot.items(SaleKey("default", "large")) == []
