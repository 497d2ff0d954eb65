"""What the fixtures of the three servers are made of: which servers, empty Valkeys and fresh databases.

HOLDFAST_TEST_SERVERS chooses for all tests, and is read here alone: `embedded`, or `real` for Redis, PostgreSQL and
Apache Kafka as tests/real installs them.
"""

import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
from holdfast_embedded.broker import Broker, topics_with
from holdfast_embedded.postgres import Postgres
from holdfast_embedded.server import KafkaServer
from holdfast_embedded.server_factories import EMBEDDED_BROKER_SETTINGS, ServerFactories
from holdfast_embedded.valkey import Valkey
from redis.asyncio import Redis

from order_persister.adapters.ledger.migrator import migrate
from tests.real.apache_kafka import ApacheKafka
from tests.real.debian_postgres import DebianPostgres
from tests.real.redis_server import RedisServer

KIND = os.environ.get("HOLDFAST_TEST_SERVERS", "embedded")
assert KIND in ("embedded", "real"), f"HOLDFAST_TEST_SERVERS is embedded or real, and not {KIND!r}"
REAL = KIND == "real"
PARTITIONS = 16
TEMPLATE = "holdfast_migrated"
CONNECT_S = 30.0

StartValkey = Callable[[], Valkey]
StartPostgres = Callable[[], Postgres]
StartBroker = Callable[..., KafkaServer]


def new_valkey(folder: Path) -> Valkey:
    """A Valkey, or Redis, with its data in a folder."""
    return RedisServer(folder) if REAL else Valkey(folder)


def new_postgres(folder: Path) -> Postgres:
    """A PostgreSQL with its data in a folder."""
    return DebianPostgres(folder) if REAL else Postgres(folder)


def new_broker(folder: Path, partitions: int = PARTITIONS, prefix: str = "") -> KafkaServer:
    """A broker with our topics."""
    return ApacheKafka(folder, partitions, topics=topics_with(prefix)) if REAL else Broker(folder, partitions, prefix)


# Nobody should wait long for a killed consumer; Apache Kafka needs nothing else to be told.
REAL_BROKER_SETTINGS = {"HOLDFAST_KAFKA_SESSION_TIMEOUT_S": "3"}
FACTORIES = ServerFactories(
    new_valkey, new_postgres, new_broker, REAL_BROKER_SETTINGS if REAL else EMBEDDED_BROKER_SETTINGS
)


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
