"""Servers with TLS and passwords, and Holdfast's processes, which connect to them by settings alone."""

import asyncio
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest
from holdfast_embedded.server import Server

from tests.certificates import Authority
from tests.secured.servers import (
    PASSWORD,
    SHARDS,
    USER,
    SecuredPostgres,
    SecuredRedis,
    mutual_tls_kafka,
    sasl_kafka,
)
from tests.stacks import ENVIRONMENT

ENDS_S = 60.0


class Authorities(NamedTuple):
    """The authority that servers and clients trust, and another."""

    authority: Authority
    other_authority: Authority


class CommandResult(NamedTuple):
    """A process that ended by itself."""

    code: int
    lines: list[str]


@pytest.fixture(scope="session")
def authorities(tmp_path_factory: pytest.TempPathFactory) -> Authorities:
    folder = tmp_path_factory.mktemp("keys")
    return Authorities(Authority(folder / "trusted"), Authority(folder / "other"))


@pytest.fixture(scope="session")
def redis(authorities: Authorities, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredRedis]:
    server = SecuredRedis(tmp_path_factory.mktemp("redis"), authorities.authority)
    with up(server):
        yield server


@pytest.fixture(scope="session")
def postgres(authorities: Authorities, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredPostgres]:
    server = SecuredPostgres(tmp_path_factory.mktemp("postgres"), authorities.authority)
    with up(server):
        asyncio.run(server.create_user())
        yield server


@pytest.fixture(scope="session")
def kafka(authorities: Authorities, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a Kafka that requires a password."""
    server = sasl_kafka(tmp_path_factory.mktemp("kafka"), authorities.authority)
    with up(server):
        yield server.address


@pytest.fixture(scope="session")
def mutual_tls_kafka_address(authorities: Authorities, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a Kafka that requires client certificates."""
    server = mutual_tls_kafka(tmp_path_factory.mktemp("certified-kafka"), authorities.authority)
    with up(server):
        yield server.address


@contextmanager
def up(server: Server) -> Iterator[None]:
    """Run a server, and kill it at the end."""
    try:
        server.start()
        yield
    finally:
        server.kill()


@pytest.fixture
def settings(authorities: Authorities, redis: SecuredRedis, postgres: SecuredPostgres, kafka: str) -> dict[str, str]:
    """Settings with which every process connects."""
    return {
        "HOLDFAST_SHARDS": str(SHARDS),
        "HOLDFAST_REDIS_URL": redis.url(ca=authorities.authority.file),
        "HOLDFAST_POSTGRES_DSN": postgres.dsn(ca=authorities.authority.file),
        "HOLDFAST_KAFKA_BROKERS": kafka,
        "HOLDFAST_KAFKA_SECURITY": "SASL_SSL",
        "HOLDFAST_KAFKA_SASL_MECHANISM": "SCRAM-SHA-512",
        "HOLDFAST_KAFKA_USERNAME": USER,
        "HOLDFAST_KAFKA_PASSWORD": PASSWORD,
        "HOLDFAST_KAFKA_CA_FILE": str(authorities.authority.file),
    }


async def run(name: str, settings: Mapping[str, str], ends_s: float = ENDS_S) -> CommandResult:
    """Run one of Holdfast's processes until it ends by itself; AssertionError if it does not."""
    service = "order_persister" if name in ("persist", "migrate") else "inventory_service"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", service, name),
        env={**ENVIRONMENT, "HOLDFAST_LISTEN": "127.0.0.1:0", **settings},
        cwd=Path(__file__).parents[2],
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        output, _ = await asyncio.wait_for(process.communicate(), ends_s)
    except TimeoutError:
        raise AssertionError(f"it did not end within {ends_s:g} s") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode is not None
    return CommandResult(process.returncode, output.decode().splitlines())
