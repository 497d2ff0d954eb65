"""The files of TLS are checked before gRPC gets them: it takes some with which no caller can connect."""

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509 import load_pem_x509_certificates

from inventory_service.adapters.reloaded_files import SettingsFile, UnusableFile
from inventory_service.adapters.tls_files import read_certificate, read_identities
from tests.certificates import Authority, Files


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def issued(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Files:
    return authority.issue(tmp_path_factory.mktemp("issued"))


def named(path: Path) -> SettingsFile:
    return SettingsFile("HOLDFAST_ANY", str(path))


def problem_of(certificate: Path, key: Path, authority: Path | None = None) -> str:
    """Why they cannot be used."""
    with pytest.raises(UnusableFile) as raised:
        read_certificate(named(certificate), named(key), named(authority) if authority else None)
    return str(raised.value)


def test_a_certificate_is_read_with_its_key_and_the_authorities_of_callers(authority: Authority, issued: Files) -> None:
    """The expiry that counts is that of the first of a chain, or of several authorities, that expires."""
    [own] = load_pem_x509_certificates(issued.certificate.read_bytes())
    [ca] = load_pem_x509_certificates(authority.file.read_bytes())

    read = read_certificate(named(issued.certificate), named(issued.key), named(authority.file))

    assert (read.chain, read.key) == (issued.certificate.read_bytes(), issued.key.read_bytes())
    assert (read.client_ca, read.serial) == (authority.file.read_bytes(), own.serial_number)
    assert read.expires_at == own.not_valid_after_utc.timestamp()
    assert read.client_ca_expires_at == ca.not_valid_after_utc.timestamp()
    assert "PRIVATE" not in repr(read)


def test_a_key_and_its_certificate_may_be_in_one_file(issued: Files) -> None:
    """As some tools write them."""
    assert read_certificate(named(issued.both), named(issued.both)).client_ca is None


def test_the_key_of_another_certificate_is_found(authority: Authority, issued: Files, tmp_path: Path) -> None:
    """So it is between the moments at which a new certificate and its key are put in place."""
    other = authority.issue(tmp_path)

    assert (
        problem_of(other.certificate, issued.key) == f"HOLDFAST_ANY: {issued.key} holds the key of another certificate"
    )


def test_files_that_hold_something_else_are_named(authority: Authority, issued: Files, tmp_path: Path) -> None:
    """Before a server takes a call, and not by the first caller that cannot connect."""
    key = load_pem_private_key(issued.key.read_bytes(), None)
    encrypted = tmp_path / "encrypted"
    encrypted.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")))
    empty = tmp_path / "empty"
    empty.touch()

    assert "holds no certificate in PEM" in problem_of(issued.key, issued.key)
    assert "holds no private key in PEM" in problem_of(issued.certificate, issued.certificate)
    assert "is encrypted" in problem_of(issued.certificate, encrypted)
    assert "holds no certificate in PEM" in problem_of(issued.certificate, issued.key, empty)
    assert "cannot be read" in problem_of(tmp_path / "none", issued.key)


@pytest.mark.parametrize("key", [ed25519.Ed25519PrivateKey.generate(), ec.generate_private_key(ec.SECP521R1())])
def test_a_kind_of_key_that_grpcs_clients_do_not_take_is_rejected(
    authority: Authority, key: ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey, tmp_path: Path
) -> None:
    """gRPC's server takes it, and every handshake with a client of gRPC fails."""
    issued = authority.issue(tmp_path, key=key)

    assert "has a key that is neither RSA" in problem_of(issued.certificate, issued.key)


def test_identities_that_are_broken_are_named_with_their_file(tmp_path: Path) -> None:
    """What is wrong comes from the table itself."""
    file = tmp_path / "identities.toml"
    for content, problem in ((b"\xff", "is not UTF-8"), (b"", "has no [[identity]]")):
        file.write_bytes(content)
        with pytest.raises(UnusableFile) as raised:
            read_identities(named(file))
        assert str(raised.value).startswith(f"HOLDFAST_ANY: {file} {problem}")
