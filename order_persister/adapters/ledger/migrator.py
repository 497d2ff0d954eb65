"""Brings the ledger's tables up to date: numbered changes, each run once and noted."""

from importlib.resources import files
from typing import NamedTuple

import asyncpg

CONNECT_S = 10.0
# Names our migrations among all advisory locks of the database; any other number would do as well.
_LOCK = 0x486F6C646661
_NOTEBOOK = """
create table if not exists migration (
    number   integer primary key,
    name     text not null,
    run_time timestamptz not null default now()
)"""


class Migration(NamedTuple):
    """One numbered change."""

    number: int
    name: str
    sql: str


def migrations() -> list[Migration]:
    """All changes that this version knows, in order."""
    folder = files("order_persister").joinpath("migrations")
    names = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".sql"))
    return [Migration(int(name[:4]), name, folder.joinpath(name).read_text(encoding="utf-8")) for name in names]


async def migrate(dsn: str) -> list[str]:
    """Run what has not run yet, all or nothing, and return the names.

    The lock belongs to the transaction, not to the session, so it works behind PgBouncer; whoever comes second waits
    and then finds nothing left to do.
    """
    connection = await asyncpg.connect(dsn, timeout=CONNECT_S, statement_cache_size=0)
    try:
        async with connection.transaction():
            await connection.execute("select pg_advisory_xact_lock($1)", _LOCK)
            await connection.execute(_NOTEBOOK)
            done = {row["number"] for row in await connection.fetch("select number from migration")}
            missing = [migration for migration in migrations() if migration.number not in done]
            for migration in missing:
                await connection.execute(migration.sql)
                await connection.execute(
                    "insert into migration (number, name) values ($1, $2)", migration.number, migration.name
                )
            return [migration.name for migration in missing]
    finally:
        await connection.close(timeout=CONNECT_S)
