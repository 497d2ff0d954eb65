"""The fixtures of the three servers. Each test starts with empty ones: shared, or its own to kill and restart.

`valkey` (redis URL), `database` (DSN of a migrated database), `empty_database` (not migrated) and `kafka` (a bootstrap
address and a prefix) are of servers that all tests of a worker share. `start_valkey`, `start_postgres` and
`start_broker` give a test servers of its own, and so does `broker`.
"""

import gc
from collections.abc import AsyncIterator, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from tests.servers import (
    StartBroker,
    StartPostgres,
    StartValkey,
    flush,
    fresh_database,
    new_broker,
    new_postgres,
    new_valkey,
    started,
    starting,
)
from tests.shared_database import SharedDatabase
from tests.shared_kafka import Kafka, SharedBroker
from tests.xdist_groups import SharedFixtureScheduling


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> SharedFixtureScheduling:
    """Run tests that share an expensive fixture in one worker."""
    return SharedFixtureScheduling(config, log)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """What is imported here stays to the end: garbage collection skips it, which saves a sixth of unit tests' time."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def plain_tracebacks() -> None:
    """Those of structlog's default show each local value, and take half a second."""
    *others, _ = structlog.get_config()["processors"]
    renderer = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    structlog.configure(processors=[*others, renderer])


@pytest.fixture(scope="session")
def shared_valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One Valkey for the whole run: its URL."""
    with started(new_valkey(tmp_path_factory.mktemp("valkey"))) as address:
        yield address


@pytest.fixture
async def valkey(shared_valkey: str) -> str:
    """An empty Valkey: its URL."""
    await flush(shared_valkey)
    return shared_valkey


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One PostgreSQL for the whole run: its DSN, for administration."""
    with started(new_postgres(tmp_path_factory.mktemp("postgres"))) as address:
        yield address


@pytest.fixture(scope="session")
def shared_database(postgres: str) -> SharedDatabase:
    """One migrated database for the whole run."""
    return SharedDatabase(postgres)


@pytest.fixture
async def database(shared_database: SharedDatabase) -> str:
    """A migrated database without a row: its DSN."""
    return await shared_database.empty()


@pytest.fixture
async def empty_database(postgres: str) -> AsyncIterator[str]:
    """A database without a table, of this test alone: its DSN."""
    async with fresh_database(postgres, "holdfast_empty", "template0") as dsn:
        yield dsn


@pytest.fixture(scope="session")
def shared_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SharedBroker]:
    """One broker for the whole run."""
    broker = SharedBroker(tmp_path_factory.mktemp("broker"))
    yield broker
    broker.stop()


@pytest.fixture
def kafka(shared_broker: SharedBroker) -> Kafka:
    """Empty topics, and groups without members, of this test alone."""
    return shared_broker.for_next_test()


@pytest.fixture
def broker(start_broker: StartBroker) -> str:
    """A broker of this test alone, whose topics have no prefix: its bootstrap address."""
    return start_broker().address


@pytest.fixture(scope="session")
def usual_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A stack with the default settings, `tests.stacks.Running`, for all tests that leave it as they found it."""
    from tests.stacks import running  # takes a while, and most tests need none of it

    with running(tmp_path_factory.mktemp("usual")) as started:
        yield started


@pytest.fixture
def start_valkey(tmp_path: Path) -> Iterator[StartValkey]:
    """Start Valkeys of this test alone, which it may kill and restart, and whose files it may delete."""
    with starting(new_valkey, tmp_path, "valkey") as start:
        yield start


@pytest.fixture
def start_postgres(tmp_path: Path) -> Iterator[StartPostgres]:
    """Start PostgreSQLs of this test alone, which it may kill and restart; not migrated."""
    with starting(new_postgres, tmp_path, "postgres") as start:
        yield start


@pytest.fixture
def start_broker(tmp_path: Path) -> Iterator[StartBroker]:
    """Start brokers of this test alone, which it may kill, wipe and take down."""
    with starting(new_broker, tmp_path, "broker") as start:
        yield start
