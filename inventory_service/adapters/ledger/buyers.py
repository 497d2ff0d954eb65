"""Changes and reads the ledger's list of blocked buyers, whose orders it refuses."""

from collections.abc import Sequence

from holdfast_runtime.postgres import transaction
from inventory_service.adapters.ledger.pool import LedgerPool
from inventory_service.adapters.ledger.queries import ledger_queries
from inventory_service.domain.blocked_buyers import BlockChange
from inventory_service.domain.keys import BuyerKey
from inventory_service.domain.shards import LedgerOutcomeUnknown, LedgerUnavailable

TIMEOUT_S = 5.0  # each statement changes one row or reads a page
PAGE = 1000


class LedgerBuyers:
    """The list; a change of it raises its version in the same transaction."""

    def __init__(self, ledger: LedgerPool) -> None:
        self._ledger = ledger.within(TIMEOUT_S)
        self._sql = ledger_queries()

    async def block_buyer(self, tenant: str, buyer_id: str, reason: str, actor: str) -> BlockChange:
        """Insert a row; one that is there stays, with its reason and its actor."""
        return await self._change(BuyerKey(tenant, buyer_id), True, self._sql.block_buyer, reason, actor)

    async def unblock_buyer(self, tenant: str, buyer_id: str) -> BlockChange:
        """Delete the row, if there is one."""
        return await self._change(BuyerKey(tenant, buyer_id), False, self._sql.unblock_buyer)

    async def blocked_version(self) -> int:
        async with self._ledger.connection() as db:
            return int(await db.fetchval(self._sql.blocked_version))

    async def blocked_page(self, after: BuyerKey | None) -> Sequence[BuyerKey]:
        async with self._ledger.connection() as db:
            rows = await db.fetch(self._sql.blocked_page, *(after or BuyerKey("", "")), PAGE)
        return [BuyerKey(*row) for row in rows]

    async def _change(self, buyer: BuyerKey, is_blocked: bool, statement: str, *values: str) -> BlockChange:
        """`LedgerOutcomeUnknown` if the ledger stops answering once the statement was sent. Harmless twice."""
        sent = False
        try:
            async with self._ledger.connection() as db, transaction(db):
                # Read first: a version that is read after the statement may be that of a change which it did not find.
                version = before = int(await db.fetchval(self._sql.blocked_version))
                sent = True
                if (await db.execute(statement, *buyer, *values)).endswith(" 1"):
                    raised = await db.fetchrow(self._sql.raise_blocked_version)
                    assert raised is not None, "an insert or update of one row returns it"
                    version, before = raised
        except LedgerUnavailable as error:
            if not sent:
                raise
            raise LedgerOutcomeUnknown(str(error)) from error
        return BlockChange(buyer, is_blocked, before, version)
