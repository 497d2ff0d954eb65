"""Brokers that know their clients by certificates instead of passwords."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.persister_process import StartPersister, persisters
from tests.secured.conftest import Keys, run
from tests.secured.servers import SHARDS, LockedPostgres
from tests.waiting import eventually

JOIN_S = 120.0


@pytest.fixture
def certified(keys: Keys, kafka_for_the_certified: str, tmp_path: Path) -> dict[str, str]:
    """What a client with a certificate is set to."""
    ours = keys.authority.issue(tmp_path / "client", "holdfast.example")
    return {
        "HOLDFAST_SHARDS": str(SHARDS),
        "HOLDFAST_KAFKA_BROKERS": kafka_for_the_certified,
        "HOLDFAST_KAFKA_SECURITY": "SSL",
        "HOLDFAST_KAFKA_CA_FILE": str(keys.authority.file),
        "HOLDFAST_KAFKA_CERT_FILE": str(ours.certificate),
        "HOLDFAST_KAFKA_KEY_FILE": str(ours.key),
    }


@pytest.fixture
def start_persister(tmp_path: Path) -> Iterator[StartPersister]:
    with persisters(tmp_path) as start:
        yield start


async def test_a_client_with_a_certificate_is_let_in(certified: dict[str, str]) -> None:
    """By aiokafka, in a process that makes or checks the topics."""
    ended = await run("topics", certified)

    assert ended.code == 0, ended


async def test_a_persister_with_a_certificate_is_let_in(
    keys: Keys, postgres: LockedPostgres, certified: dict[str, str], start_persister: StartPersister
) -> None:
    """By Faust, which has words of its own for it."""
    dsn = postgres.dsn(ca=keys.authority.file)
    assert (await run("migrate", {"HOLDFAST_POSTGRES_DSN": dsn})).code == 0

    brokers = certified.pop("HOLDFAST_KAFKA_BROKERS")
    persister = start_persister(brokers, dsn, **certified)

    await eventually(lambda: persister.has_said("persisting"), JOIN_S)


@pytest.mark.parametrize("whose", ["nobody", "a stranger"])
async def test_a_client_without_a_certificate_is_told_so(
    keys: Keys, certified: dict[str, str], tmp_path: Path, whose: str
) -> None:
    """The broker says it in the middle of TLS, where aiokafka sees a lost connection."""
    strange = keys.stranger.issue(tmp_path / "stranger", "holdfast.example")
    certified |= {"HOLDFAST_KAFKA_CERT_FILE": str(strange.certificate), "HOLDFAST_KAFKA_KEY_FILE": str(strange.key)}
    if whose == "nobody":
        del certified["HOLDFAST_KAFKA_CERT_FILE"], certified["HOLDFAST_KAFKA_KEY_FILE"]

    ended = await run("topics", certified)

    [line] = ended.lines
    assert line.startswith("HOLDFAST_KAFKA_CERT_FILE: Kafka at ")
    assert "it requires a client certificate" in line
    assert ended.code == 2
