"""Kafka brokers that authenticate clients by certificate (mutual TLS) instead of by password."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.persister_process import StartPersister, persisters
from tests.secured.conftest import Authorities, run
from tests.secured.servers import SHARDS, SecuredPostgres
from tests.waiting import eventually

JOIN_S = 120.0


@pytest.fixture
def certificate_settings(authorities: Authorities, mutual_tls_kafka_address: str, tmp_path: Path) -> dict[str, str]:
    """The settings of a client with a certificate."""
    issued = authorities.authority.issue(tmp_path / "client", "holdfast.example")
    return {
        "HOLDFAST_SHARDS": str(SHARDS),
        "HOLDFAST_KAFKA_BROKERS": mutual_tls_kafka_address,
        "HOLDFAST_KAFKA_SECURITY": "SSL",
        "HOLDFAST_KAFKA_CA_FILE": str(authorities.authority.file),
        "HOLDFAST_KAFKA_CERT_FILE": str(issued.certificate),
        "HOLDFAST_KAFKA_KEY_FILE": str(issued.key),
    }


@pytest.fixture
def start_persister(tmp_path: Path) -> Iterator[StartPersister]:
    with persisters(tmp_path) as start:
        yield start


async def test_a_client_with_a_certificate_is_accepted(certificate_settings: dict[str, str]) -> None:
    """aiokafka, in the command that creates or checks the topics, sends its certificate."""
    ended = await run("topics", certificate_settings)

    assert ended.code == 0, ended


async def test_a_persister_with_a_certificate_is_accepted(
    authorities: Authorities,
    postgres: SecuredPostgres,
    certificate_settings: dict[str, str],
    start_persister: StartPersister,
) -> None:
    """Faust configures TLS differently from aiokafka."""
    dsn = postgres.dsn(ca=authorities.authority.file)
    assert (await run("migrate", {"HOLDFAST_POSTGRES_DSN": dsn})).code == 0

    brokers = certificate_settings.pop("HOLDFAST_KAFKA_BROKERS")
    persister = start_persister(brokers, dsn, **certificate_settings)

    await eventually(lambda: persister.has_logged("persisting"), JOIN_S)


@pytest.mark.parametrize("certificate", ["none", "of another authority"])
async def test_a_missing_client_certificate_is_named(
    authorities: Authorities, certificate_settings: dict[str, str], tmp_path: Path, certificate: str
) -> None:
    """The broker rejects it during the TLS handshake, which aiokafka reports as a lost connection."""
    untrusted = authorities.other_authority.issue(tmp_path / "other", "holdfast.example")
    certificate_settings |= {
        "HOLDFAST_KAFKA_CERT_FILE": str(untrusted.certificate),
        "HOLDFAST_KAFKA_KEY_FILE": str(untrusted.key),
    }
    if certificate == "none":
        del certificate_settings["HOLDFAST_KAFKA_CERT_FILE"], certificate_settings["HOLDFAST_KAFKA_KEY_FILE"]

    ended = await run("topics", certificate_settings)

    [line] = ended.lines
    assert line.startswith("HOLDFAST_KAFKA_CERT_FILE: Kafka at ")
    assert "it requires a client certificate" in line
    assert ended.code == 2
