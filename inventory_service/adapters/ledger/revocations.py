"""Writes and reads the ledger's table of revoked tokens."""

from collections.abc import Sequence

from holdfast_runtime.postgres import Row
from inventory_service.adapters.ledger.pool import LedgerPool
from inventory_service.adapters.ledger.queries import ledger_queries
from inventory_service.domain.revocations import Revocation
from inventory_service.domain.shards import LedgerOutcomeUnknown, LedgerUnavailable

TIMEOUT_S = 5.0  # for a change of one row, or for the whole table
PAGE = 1000  # rows; the event loop must not stall


class LedgerRevocations:
    """The table. A statement that finds rows which are over has them dropped."""

    def __init__(self, ledger: LedgerPool) -> None:
        self._ledger = ledger.within(TIMEOUT_S)
        self._sql = ledger_queries()

    async def add(self, revocation: Revocation) -> bool:
        """`LedgerOutcomeUnknown` if the ledger stops answering once the statement was sent. Harmless twice."""
        sent = False
        try:
            async with self._ledger.connection() as db:
                sent = True
                return (await db.execute(self._sql.revoke, *revocation, revocation.expires_ms)).endswith(" 1")
        except LedgerUnavailable as error:
            if not sent:
                raise
            raise LedgerOutcomeUnknown(str(error)) from error

    async def all(self) -> Sequence[Revocation]:
        rows: list[Row] = []
        async with self._ledger.connection() as db:
            while True:
                behind = (rows[-1]["tenant"], rows[-1]["kind"], rows[-1]["name"]) if rows else ("", "", "")
                page = await db.fetch(self._sql.revocations_page, *behind, PAGE)
                rows.extend(page)
                if len(page) < PAGE:
                    break
            if any(row["is_over"] for row in rows):
                await db.execute(self._sql.drop_revocations)
        return [_revocation_from(row) for row in rows if not row["is_over"]]


def _revocation_from(row: Row) -> Revocation:
    names = ("tenant", "name", "issued_before_s", "reason", "actor", "create_ms")
    return Revocation(*(row[name] for name in names))
