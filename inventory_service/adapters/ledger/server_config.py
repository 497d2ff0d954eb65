"""Asks Postgres for the settings on which the promises rest, in a session like those of every process."""

import time
from typing import Any, NamedTuple

from inventory_service.adapters.ledger.postgres import LedgerPool
from inventory_service.server_checks.clocks import Reading
from inventory_service.server_checks.postgres import SETTINGS, PostgresConfig, PostgresSetting

LOOKS = 3  # at the clock; the quickest tells most

# A setting of a role or database shows in the session; `source` says where it came from.
_SETTINGS = "select name, setting, source from pg_settings where name = any($1)"
_SELF = """
select current_user::text as user, current_database()::text as database, pg_is_in_recovery() as is_standby,
       (select count(*) from pg_stat_replication) as standbys,
       to_regclass('migration') is not null as is_migrated"""
_MIGRATION = "select coalesce(max(number), 0) from migration"
_UNLOGGED = """
select relname::text from pg_class
 where relkind = 'r' and relpersistence = 'u' and relnamespace = current_schema()::regnamespace order by 1"""
_OTHERS = """
select distinct rolname::text from pg_db_role_setting s join pg_roles r on r.oid = s.setrole
 where setdatabase in (0, (select oid from pg_database where datname = current_database()))
   and rolname <> current_user
   and exists (select from unnest(setconfig) one where one ~* '^synchronous_commit=(off|false|no|0)$') order by 1"""
_CLOCK = "select extract(epoch from clock_timestamp())::float8"


class PostgresAnswer(NamedTuple):
    """All that was asked at once."""

    facts: PostgresConfig
    clock: tuple[Reading, ...]


class LedgerServerConfig:
    """Asks the Postgres of a ledger."""

    def __init__(self, ledger: LedgerPool) -> None:
        self._ledger = ledger

    async def ask(self) -> PostgresAnswer:
        """What it says; LedgerUnavailable if it says nothing."""
        async with self._ledger.connection() as db:
            settings = {
                row["name"]: PostgresSetting(row["setting"], row["source"])
                for row in await db.fetch(_SETTINGS, SETTINGS)
            }
            itself = await db.fetchrow(_SELF)
            assert itself is not None, "a select without a from answers one row"
            facts = PostgresConfig(
                settings=settings,
                user=itself["user"],
                database=itself["database"],
                is_standby=itself["is_standby"],
                standbys=itself["standbys"],
                migration=await db.fetchval(_MIGRATION) if itself["is_migrated"] else 0,
                unlogged=[row["relname"] for row in await db.fetch(_UNLOGGED)],
                other_roles=[row["rolname"] for row in await db.fetch(_OTHERS)],
            )
            return PostgresAnswer(facts, tuple([await _reading(db) for _ in range(LOOKS)]))


async def _reading(db: Any) -> Reading:
    before_s = time.time()
    server_s = await db.fetchval(_CLOCK)
    return Reading(before_s, server_s, time.time())
