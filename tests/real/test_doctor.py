"""The doctor's checks of a Redis and a PostgreSQL with settings that break promises."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from order_persister.adapters.ledger.migrator import migrate
from tests.integration.test_doctor import CLOSED_PORT, doctor, line_of, off
from tests.real.debian_postgres import DebianPostgres
from tests.real.redis_server import RedisServer
from tests.servers import started
from tests.waiting import eventually

pytestmark = pytest.mark.timeout(300)
BROKEN_REDIS = {
    "appendonly": "no",
    "appendfsync": "everysec",
    "no-appendfsync-on-rewrite": "yes",
    "maxmemory": "100mb",
    "maxmemory-policy": "allkeys-lru",
    "min-replicas-to-write": "1",
}
BROKEN_POSTGRES = {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off"}


@pytest.fixture
def broken_redis(tmp_path: Path) -> Iterator[str]:
    """Debian's Redis, as for a cache: its URL."""
    with started(RedisServer(tmp_path / "redis", settings=BROKEN_REDIS)) as address:
        yield address


@pytest.fixture
def broken_postgres(tmp_path: Path) -> Iterator[str]:
    """Debian's PostgreSQL, as for a benchmark: its DSN."""
    with started(DebianPostgres(tmp_path / "postgres", settings=BROKEN_POSTGRES)) as address:
        yield address


async def test_unsafe_settings_are_reported_line_by_line(broken_redis: str, broken_postgres: str) -> None:
    """Each setting has a line of its own, with the change that fits how it was set."""
    await migrate(broken_postgres)

    in_redis = ["appendonly", "appendfsync", "no-appendfsync-on-rewrite", "maxmemory-policy", "min-replicas-to-write"]

    async def all_are_reported() -> list[str]:
        """Every check fails; a server that is halted for seconds shows none of its settings."""
        code, output = await doctor(broken_redis, broken_postgres, CLOSED_PORT)
        assert off(output) == [*in_redis, "fsync", "full_page_writes", "synchronous_commit"]
        assert code == 1
        return output

    output = await eventually(all_are_reported)
    assert "--appendfsync always" in line_of(output, "Redis", "appendfsync")
    assert "command line" in line_of(output, "Postgres", "fsync")
    assert "too few replicas" in line_of(output, "Redis", "min-replicas-to-write")
