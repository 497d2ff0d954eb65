"""Runs the migrations of the ledger's tables: numbered SQL files, each run once."""

from importlib.resources import files
from typing import NamedTuple

from holdfast_runtime.postgres import connect

CONNECT_S = 10.0
# The key of an advisory lock that no other application uses by chance.
_LOCK_KEY = 0x486F6C646661
_MIGRATION_TABLE = """
create table if not exists migration (
    number   integer primary key,
    name     text not null,
    run_time timestamptz not null default now()
)"""


class Migration(NamedTuple):
    """One numbered SQL file."""

    number: int
    name: str
    sql: str


def migrations() -> list[Migration]:
    """All migrations of this version, in order."""
    folder = files("order_persister").joinpath("migrations")
    names = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".sql"))
    return [Migration(int(name[:4]), name, folder.joinpath(name).read_text(encoding="utf-8")) for name in names]


async def migrate(dsn: str) -> list[str]:
    """Run the migrations that have not run yet, all or none, and return their names.

    The lock belongs to the transaction, not to the session, so it works behind PgBouncer; a second process waits for it
    and then has nothing to run.
    """
    connection = await connect(dsn, timeout=CONNECT_S, statement_cache_size=0)
    try:
        async with connection.transaction():
            await connection.execute("select pg_advisory_xact_lock($1)", _LOCK_KEY)
            await connection.execute(_MIGRATION_TABLE)
            ran = {row["number"] for row in await connection.fetch("select number from migration")}
            missing = [migration for migration in migrations() if migration.number not in ran]
            for migration in missing:
                await connection.execute(migration.sql)
                await connection.execute(
                    "insert into migration (number, name) values ($1, $2)", migration.number, migration.name
                )
            return [migration.name for migration in missing]
    finally:
        await connection.close(timeout=CONNECT_S)
