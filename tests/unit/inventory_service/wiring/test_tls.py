"""TLS as the settings say it: what a server starts with, and what its metrics show."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.x509 import load_pem_x509_certificates
from prometheus_client import CollectorRegistry

from holdfast_runtime.settings import BadSettings
from inventory_service.domain.caller import ALL_SCOPES, READ, Caller
from inventory_service.metrics import FileMetrics
from inventory_service.settings import Settings
from inventory_service.wiring.tls import PLAINTEXT, tls_of
from tests.certificates import HOST
from tests.tls_folder import BUYER, READER, TlsFolder


@pytest.fixture
def folder(tmp_path: Path) -> TlsFolder:
    return TlsFolder(tmp_path)


def expiry_of(path: Path) -> float:
    return min(found.not_valid_after_utc.timestamp() for found in load_pem_x509_certificates(path.read_bytes()))


def test_without_files_calls_are_in_plaintext() -> None:
    """And there is no metric of a certificate."""
    registry = CollectorRegistry()

    assert tls_of(Settings(), FileMetrics(registry)) is PLAINTEXT
    assert (PLAINTEXT.mode, PLAINTEXT.certificate, PLAINTEXT.caller, list(PLAINTEXT.watches())) == (
        "off",
        None,
        None,
        [],
    )
    assert not [metric for metric in registry.collect() if metric.samples]


def test_the_metrics_say_when_certificates_expire_and_whether_files_are_in_use(folder: TlsFolder) -> None:
    """Of the server and of the authority of its callers, as they are after the last renewal."""
    registry = CollectorRegistry()
    tls = tls_of(Settings(**folder.settings()), FileMetrics(registry))
    renewed = folder.issue(folder.authority, HOST, not_after=datetime(2030, 1, 1, tzinfo=UTC))
    assert tls.certificates is not None

    def metrics() -> list[float | None]:
        expiry = ({"certificate": name} for name in ("server", "client_ca"))
        ok = ({"files": name} for name in ("certificate", "identities"))
        return [
            *(registry.get_sample_value("holdfast_certificate_expiry_seconds", labels) for labels in expiry),
            *(registry.get_sample_value("holdfast_files_ok", labels) for labels in ok),
        ]

    before = expiry_of(folder.certificate)
    assert metrics() == [before, expiry_of(folder.client_ca), 1, 1]

    folder.put(folder.certificate, renewed.certificate)
    tls.certificates.check()
    assert metrics() == [before, expiry_of(folder.client_ca), 0, 1]

    folder.put(folder.key, renewed.key)
    tls.certificates.check()
    assert metrics() == [expiry_of(renewed.certificate), expiry_of(folder.client_ca), 1, 1]


def test_callers_are_asked_for_certificates_if_authorities_are_set(folder: TlsFolder) -> None:
    """The log says which of both a server does."""
    settings = [Settings(**folder.settings(mutual=mutual)) for mutual in (False, True)]

    modes = [tls_of(each, FileMetrics(CollectorRegistry())).mode for each in settings]

    assert modes == ["server", "mutual"]


def test_a_caller_is_withdrawn_once_the_table_has_it_no_longer(folder: TlsFolder) -> None:
    """Or with other scopes; a caller with a token is no concern of the table."""
    tls = tls_of(Settings(**folder.settings()), FileMetrics(CollectorRegistry()))
    assert tls.identities is not None
    reader = Caller("shop", READER, frozenset({READ}))
    with_token = reader._replace(subject="ann", expires_at=2e9)

    assert not tls.is_withdrawn(reader)
    assert tls.is_withdrawn(reader._replace(scopes=ALL_SCOPES))
    folder.write_identities([BUYER])
    tls.identities.check()

    assert tls.is_withdrawn(reader)
    assert not tls.is_withdrawn(with_token)
    assert not PLAINTEXT.is_withdrawn(reader)


@pytest.mark.parametrize(
    ("broken", "problem"),
    [
        ("certificate", "HOLDFAST_TLS_CERT_FILE: {} holds no certificate in PEM"),
        ("key", "HOLDFAST_TLS_KEY_FILE: {} holds no private key in PEM"),
        ("client_ca", "HOLDFAST_TLS_CLIENT_CA_FILE: {} holds no certificate in PEM"),
        ("identities", "HOLDFAST_TLS_IDENTITIES_FILE: {} has no [[identity]], so no certificate would be accepted"),
    ],
)
def test_a_broken_file_ends_a_server_at_its_start(folder: TlsFolder, broken: str, problem: str) -> None:
    """In one line, with the variable that names the file."""
    file: Path = getattr(folder, broken)
    file.write_bytes(b"")

    with pytest.raises(BadSettings) as raised:
        tls_of(Settings(**folder.settings()), FileMetrics(CollectorRegistry()))

    assert str(raised.value) == problem.format(file)
