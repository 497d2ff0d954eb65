"""One migrated database for all tests of a worker: emptying its tables takes a hundredth of the time of a new copy."""

import asyncpg

from order_persister.adapters.ledger.migrator import migrate
from tests.servers import connected, database_dsn

NAME = "holdfast_test"
DISCONNECTS_MS = 30_000

_DISCONNECT = "select pg_terminate_backend(pid, $1) from pg_stat_activity where datname = $2"
_TABLES = "select tablename from pg_tables where schemaname = 'public' and tablename <> 'migration'"
# Whatever alters a table, a constraint, a setting of the database or the list of migrations adds a row to one of these
# or takes one away.
_CATALOGUES = ("pg_class", "pg_attribute", "pg_constraint", "pg_db_role_setting", "migration")
_SCHEMA = " union all ".join(f"select count(*), max(xmin::text::bigint) from {name}" for name in _CATALOGUES)


class SharedDatabase:
    """The database, on the server with this DSN for administration."""

    def __init__(self, server: str) -> None:
        self._server = server
        self._dsn = database_dsn(server, NAME)
        self._schema: list[tuple[int, ...]] = []

    async def empty(self) -> str:
        """Return the DSN; no client is connected, every table is as the migrations made it and has no row."""
        async with connected(self._server) as admin:
            await admin.execute(_DISCONNECT, DISCONNECTS_MS, NAME)
        if not self._schema or not await self._is_emptied():
            await self._make()
        return self._dsn

    async def _is_emptied(self) -> bool:
        """Delete every row; False if a test has altered more than rows."""
        async with connected(self._dsn) as db:
            if await schema_of(db) != self._schema:
                return False
            tables = [row["tablename"] for row in await db.fetch(_TABLES)]
            await db.execute(
                "set session_replication_role = replica"
            )  # foreign keys are not checked, so the order does not matter
            await db.execute("; ".join(f'delete from "{table}"' for table in tables))
        return True

    async def _make(self) -> None:
        async with connected(self._server) as admin:
            await admin.execute(f"drop database if exists {NAME} with (force)")
            await admin.execute(f"create database {NAME}")
        await migrate(self._dsn)
        async with connected(self._dsn) as db:
            self._schema = await schema_of(db)


async def schema_of(db: "asyncpg.Connection[asyncpg.Record]") -> list[tuple[int, ...]]:
    """A fingerprint of the schema, which changes if a test alters more than rows."""
    return [tuple(row) for row in await db.fetch(_SCHEMA)]
