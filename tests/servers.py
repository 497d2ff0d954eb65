"""What the fixtures of the three servers are made of: empty Valkeys and fresh databases.

Everything here takes an address, so a real server may stand behind it as well as an embedded one.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from urllib.parse import urlsplit, urlunsplit

import asyncpg
from holdfast_embedded.broker import Broker
from holdfast_embedded.postgres import Postgres
from holdfast_embedded.valkey import Valkey
from redis.asyncio import Redis

from order_persister.ledger.migrator import migrate

TEMPLATE = "holdfast_migrated"
CONNECT_S = 10.0

StartValkey = Callable[[], Valkey]
StartPostgres = Callable[[], Postgres]
StartBroker = Callable[..., Broker]


async def flush(redis_url: str) -> None:
    """Empty a Valkey: data and scripts."""
    async with Redis.from_url(redis_url) as client:
        await client.flushall()
        await client.script_flush()


async def make_template(dsn: str) -> None:
    """Make the migrated database of which each test gets a copy, for copying is quicker than migrating."""
    async with connected(dsn) as admin:
        await admin.execute(f"drop database if exists {TEMPLATE} with (force)")
        await admin.execute(f"create database {TEMPLATE}")
    await migrate(database_dsn(dsn, TEMPLATE))


@asynccontextmanager
async def fresh_database(dsn: str, name: str, template: str) -> AsyncIterator[str]:
    """Yield the DSN of a new copy of a template; it is dropped afterwards, whoever is still connected."""
    async with connected(dsn) as admin:
        await admin.execute(f"drop database if exists {name} with (force)")
        await admin.execute(f"create database {name} template {template} strategy file_copy")
    try:
        yield database_dsn(dsn, name)
    finally:
        async with connected(dsn) as admin:
            await admin.execute(f"drop database {name} with (force)")


@asynccontextmanager
async def connected(dsn: str) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    """Yield one connection that is closed afterwards."""
    connection = await asyncpg.connect(dsn, timeout=CONNECT_S)
    try:
        yield connection
    finally:
        await connection.close(timeout=CONNECT_S)


def database_dsn(dsn: str, database: str) -> str:
    """Return the DSN of another database on the same server."""
    return urlunsplit(urlsplit(dsn)._replace(path=f"/{database}"))
