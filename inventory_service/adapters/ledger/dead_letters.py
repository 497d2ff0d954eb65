"""Reads a dead letter, and begins or undoes its replay: the one part of it that servers write."""

import asyncpg

from inventory_service.adapters.ledger.dead_letter_rows import dead_letter_from_row
from inventory_service.adapters.ledger.pool import LedgerPool
from inventory_service.adapters.ledger.queries import ledger_queries
from inventory_service.domain.dead_letters import DeadLetter, DeadLetterRead
from inventory_service.domain.events import ReservationChange, event_at
from inventory_service.domain.keys import Position
from inventory_service.domain.shards import LedgerOutcomeUnknown, LedgerUnavailable

TIMEOUT_S = 5.0  # each statement reads or changes one row by its key


class LedgerDeadLetters:
    """The dead letters that servers read one by one."""

    def __init__(self, ledger: LedgerPool) -> None:
        self._ledger = ledger.within(TIMEOUT_S)
        self._sql = ledger_queries()

    async def find(self, tenant: str, created: Position) -> DeadLetterRead | None:
        """A dead letter of a tenant. The reference of its order is in the journal alone."""
        async with self._ledger.connection() as db:
            row = await db.fetchrow(self._sql.dead_letter, *created, tenant)
        if row is None:
            return None
        latest = Position(row["shard"], row["latest_epoch"], row["latest_seq"], row["latest_index"])
        change = event_at(row["latest_commit"], latest)
        assert isinstance(change, ReservationChange), "a dead letter names the latest change of its order"
        return DeadLetterRead(dead_letter_from_row(row), change.reservation.reference, bool(row["sale_has_left"]))

    async def begin_replay(self, created: Position, reservation_id: str) -> DeadLetter | None:
        """One statement; of two at a time with one id, for two dead letters of a sale, an index lets one through."""
        try:
            return await self._change(self._sql.begin_replay, created, reservation_id)
        except asyncpg.UniqueViolationError:
            return None

    async def undo_replay(self, created: Position, reservation_id: str) -> DeadLetter | None:
        """One statement; harmless twice."""
        return await self._change(self._sql.undo_replay, created, reservation_id)

    async def _change(self, statement: str, created: Position, reservation_id: str) -> DeadLetter | None:
        """`LedgerOutcomeUnknown` if the ledger stops answering once the statement was sent."""
        sent = False
        try:
            async with self._ledger.connection() as db:
                sent = True
                row = await db.fetchrow(statement, *created, reservation_id)
        except LedgerUnavailable as error:
            if not sent:
                raise
            raise LedgerOutcomeUnknown(str(error)) from error
        return None if row is None else dead_letter_from_row(row)
