"""Reads the settings of Postgres on which the guarantees rest, in a session like those of every process."""

import time
from typing import Any, NamedTuple

from inventory_service.adapters.ledger.pool import LedgerPool
from inventory_service.adapters.ledger.queries import ledger_queries
from inventory_service.server_checks.clocks import Reading
from inventory_service.server_checks.postgres import SETTINGS, PostgresConfig, PostgresSetting

CLOCK_READINGS = 3  # of which the fastest is the most exact


class PostgresAnswer(NamedTuple):
    """The settings, and readings of the server's clock."""

    config: PostgresConfig
    clock: tuple[Reading, ...]


class LedgerServerConfig:
    """Reads the settings of a ledger's Postgres."""

    def __init__(self, ledger: LedgerPool) -> None:
        self._ledger = ledger
        self._sql = ledger_queries()

    async def ask(self) -> PostgresAnswer:
        """Settings and clock; `LedgerUnavailable` if Postgres does not answer."""
        async with self._ledger.connection() as db:
            settings = {
                row["name"]: PostgresSetting(row["setting"], row["source"])
                for row in await db.fetch(self._sql.server_settings, SETTINGS)
            }
            state = await db.fetchrow(self._sql.server_state)
            assert state is not None, "a select without a from answers one row"
            config = PostgresConfig(
                settings=settings,
                user=state["user"],
                database=state["database"],
                is_standby=state["is_standby"],
                standbys=state["standbys"],
                migration=await db.fetchval(self._sql.latest_migration) if state["is_migrated"] else 0,
                unlogged=[row["relname"] for row in await db.fetch(self._sql.unlogged_tables)],
                other_roles=[row["rolname"] for row in await db.fetch(self._sql.roles_with_asynchronous_commit)],
            )
            return PostgresAnswer(config, tuple([await self._read_clock(db) for _ in range(CLOCK_READINGS)]))

    async def _read_clock(self, db: Any) -> Reading:
        before_s = time.time()
        server_s = await db.fetchval(self._sql.server_time)
        return Reading(before_s, server_s, time.time())
