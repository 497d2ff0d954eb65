"""Tell the ledger whose orders it is to refuse."""

from inventory_service.adapters.ledger.postgres import LedgerPool

_BLOCK = """
insert into blocked_buyer (tenant, buyer_id, reason) values ($1, $2, $3)
on conflict (tenant, buyer_id) do nothing"""


class LedgerBuyers:
    """Writes a blocked buyer and nothing else; `LedgerUnavailable` if the ledger does not answer."""

    def __init__(self, ledger: LedgerPool) -> None:
        self._ledger = ledger

    async def block_buyer(self, tenant: str, buyer_id: str, reason: str) -> bool:
        """False: this buyer is blocked already, and stays so for the first reason."""
        async with self._ledger.connection() as db:
            return (await db.execute(_BLOCK, tenant, buyer_id, reason)).endswith(" 1")
