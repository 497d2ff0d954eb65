"""Servers with TLS and passwords, and Holdfast's processes, which connect to them by settings alone."""

import asyncio
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest
from holdfast_embedded.server import Server

from tests.secured.certificates import Authority
from tests.secured.servers import (
    PASSWORD,
    SHARDS,
    USER,
    LockedPostgres,
    LockedRedis,
    certified_kafka,
    locked_kafka,
)
from tests.stacks import ENVIRONMENT

ENDS_S = 60.0


class Keys(NamedTuple):
    """Who is believed, and who is not."""

    authority: Authority
    stranger: Authority


class Ended(NamedTuple):
    """A process that ended by itself."""

    code: int
    lines: list[str]


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    folder = tmp_path_factory.mktemp("keys")
    return Keys(Authority(folder / "ours"), Authority(folder / "strange"))


@pytest.fixture(scope="session")
def redis(keys: Keys, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LockedRedis]:
    server = LockedRedis(tmp_path_factory.mktemp("redis"), keys.authority)
    with up(server):
        yield server


@pytest.fixture(scope="session")
def postgres(keys: Keys, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LockedPostgres]:
    server = LockedPostgres(tmp_path_factory.mktemp("postgres"), keys.authority)
    with up(server):
        asyncio.run(server.let_in())
        yield server


@pytest.fixture(scope="session")
def kafka(keys: Keys, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the one that wants passwords."""
    server = locked_kafka(tmp_path_factory.mktemp("kafka"), keys.authority)
    with up(server):
        yield server.address


@pytest.fixture(scope="session")
def kafka_for_the_certified(keys: Keys, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the one that wants certificates."""
    server = certified_kafka(tmp_path_factory.mktemp("certified-kafka"), keys.authority)
    with up(server):
        yield server.address


@contextmanager
def up(server: Server) -> Iterator[None]:
    """Run a server; killed at the end, for its data is worth nothing."""
    try:
        server.start()
        yield
    finally:
        server.kill()


@pytest.fixture
def settings(keys: Keys, redis: LockedRedis, postgres: LockedPostgres, kafka: str) -> dict[str, str]:
    """Everything as it must be."""
    return {
        "HOLDFAST_SHARDS": str(SHARDS),
        "HOLDFAST_REDIS_URL": redis.url(ca=keys.authority.file),
        "HOLDFAST_POSTGRES_DSN": postgres.dsn(ca=keys.authority.file),
        "HOLDFAST_KAFKA_BROKERS": kafka,
        "HOLDFAST_KAFKA_SECURITY": "SASL_SSL",
        "HOLDFAST_KAFKA_SASL_MECHANISM": "SCRAM-SHA-512",
        "HOLDFAST_KAFKA_USERNAME": USER,
        "HOLDFAST_KAFKA_PASSWORD": PASSWORD,
        "HOLDFAST_KAFKA_CA_FILE": str(keys.authority.file),
    }


async def run(name: str, settings: Mapping[str, str], ends_s: float = ENDS_S) -> Ended:
    """Run one of our processes until it ends by itself; AssertionError if it does not."""
    service = "order_persister" if name in ("persist", "migrate") else "inventory_service"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", service, name),
        env={**ENVIRONMENT, "HOLDFAST_LISTEN": "127.0.0.1:0", **settings},
        cwd=Path(__file__).parents[2],
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        said, _ = await asyncio.wait_for(process.communicate(), ends_s)
    except TimeoutError:
        raise AssertionError(f"it did not end within {ends_s:g} s") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode is not None
    return Ended(process.returncode, said.decode().splitlines())
