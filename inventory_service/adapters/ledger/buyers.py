"""Writes blocked buyers, whose orders the ledger refuses."""

from inventory_service.adapters.ledger.pool import LedgerPool
from inventory_service.adapters.ledger.queries import ledger_queries


class LedgerBuyers:
    """Writes a blocked buyer and nothing else; `LedgerUnavailable` if the ledger does not answer."""

    def __init__(self, ledger: LedgerPool) -> None:
        self._ledger = ledger
        self._sql = ledger_queries()

    async def block_buyer(self, tenant: str, buyer_id: str, reason: str) -> bool:
        """False: this buyer is blocked already, and stays so for the first reason."""
        async with self._ledger.connection() as db:
            return (await db.execute(self._sql.block_buyer, tenant, buyer_id, reason)).endswith(" 1")
