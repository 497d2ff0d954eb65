"""Makes the servers of the fixtures: embedded or real ones, empty Valkeys and fresh databases.

HOLDFAST_TEST_SERVERS chooses for all tests, and is read here alone: `embedded`, or `real` for Redis, PostgreSQL and
Apache Kafka as tests/real installs them.
"""

import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from functools import cache
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit, urlunsplit

import asyncpg
from holdfast_embedded.broker import Broker, topics_with
from holdfast_embedded.postgres import Postgres
from holdfast_embedded.server import KafkaServer, Server
from holdfast_embedded.server_factories import EMBEDDED_BROKER_SETTINGS, ServerFactories
from holdfast_embedded.valkey import Valkey
from redis.asyncio import Redis

from tests.real.apache_kafka import ApacheKafka
from tests.real.debian_postgres import DebianPostgres
from tests.real.redis_server import RedisServer

KIND = os.environ.get("HOLDFAST_TEST_SERVERS", "embedded")
assert KIND in ("embedded", "real"), f"HOLDFAST_TEST_SERVERS is embedded or real, and not {KIND!r}"
REAL = KIND == "real"
PARTITIONS = 16
CONNECT_S = 30.0

AnyServer = TypeVar("AnyServer", bound=Server)
StartValkey = Callable[[], Valkey]
StartPostgres = Callable[[], Postgres]
StartBroker = Callable[..., KafkaServer]


def new_valkey(folder: Path) -> Valkey:
    """A Valkey, or Redis, with its data in a folder."""
    return RedisServer(folder) if REAL else Valkey(folder)


class CopiedEmbeddedPostgres(Postgres):
    """The wheel's PostgreSQL on a copy of a cluster that was made once."""

    def _create_cluster(self) -> None:
        copy_cluster(super()._create_cluster, self.cluster)


class CopiedDebianPostgres(DebianPostgres):
    """Debian's PostgreSQL on a copy of a cluster that was made once."""

    def _create_cluster(self) -> None:
        copy_cluster(super()._create_cluster, self.cluster)


def copy_cluster(make: Callable[[], None], cluster: Path) -> None:
    """Put a new cluster in its place: the first one of this process is made and kept, each other one is its copy."""
    kept = Path(kept_files().name) / "cluster"
    if not kept.exists():
        make()
        shutil.copytree(cluster, kept)
    else:
        shutil.copytree(kept, cluster)


@cache
def kept_files() -> "tempfile.TemporaryDirectory[str]":
    """A folder that lasts as long as this process."""
    return tempfile.TemporaryDirectory(prefix="holdfast-tests-")


def new_postgres(folder: Path) -> Postgres:
    """A PostgreSQL with its data in a folder."""
    return CopiedDebianPostgres(folder) if REAL else CopiedEmbeddedPostgres(folder)


def new_broker(folder: Path, partitions: int = PARTITIONS, prefix: str = "") -> KafkaServer:
    """A broker with Holdfast's topics."""
    return ApacheKafka(folder, partitions, topics=topics_with(prefix)) if REAL else Broker(folder, partitions, prefix)


# A killed consumer's partitions are reassigned soon; Apache Kafka needs no other setting.
REAL_BROKER_SETTINGS = {"HOLDFAST_KAFKA_SESSION_TIMEOUT_S": "3"}
FACTORIES = ServerFactories(
    new_valkey, new_postgres, new_broker, REAL_BROKER_SETTINGS if REAL else EMBEDDED_BROKER_SETTINGS
)


@contextmanager
def started(server: Server) -> Iterator[str]:
    """A server that runs meanwhile: its address."""
    server.start()
    try:
        yield server.address
    finally:
        server.stop()


@contextmanager
def starting(new: Callable[..., AnyServer], folder: Path, name: str) -> Iterator[Callable[..., AnyServer]]:
    """A function that starts servers, each on an empty folder of its own; all of them are killed in the end."""
    with ExitStack() as servers:

        def start(**options: int) -> AnyServer:
            server = new(folder / f"{name}-{len(list(folder.iterdir()))}", **options)
            servers.callback(server.kill)
            server.start()
            return server

        yield start


async def flush(redis_url: str) -> None:
    """Empty a Valkey: data and scripts."""
    async with Redis.from_url(redis_url) as client:
        await client.flushall()
        await client.script_flush()


@asynccontextmanager
async def fresh_database(dsn: str, name: str, template: str) -> AsyncIterator[str]:
    """Yield the DSN of a new copy of a template; it is dropped afterwards, with any connection to it."""
    async with connected(dsn) as admin:
        await admin.execute(f"drop database if exists {name} with (force)")
        await admin.execute(f"create database {name} template {template}")
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
