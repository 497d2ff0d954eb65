"""Reads the files of TLS: the server's certificate and key, its callers' authorities, and their identities."""

from collections.abc import Iterable

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, SECP384R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509 import Certificate, load_pem_x509_certificates

from inventory_service.adapters.reloaded_files import SettingsFile
from inventory_service.domain.identities import BadIdentities, Identities, identities_from_toml
from inventory_service.domain.server_certificate import ServerCertificate

CURVES = (SECP256R1, SECP384R1)
MIN_RSA_BITS = 2048


def read_certificate(
    cert_file: SettingsFile, key_file: SettingsFile, ca_file: SettingsFile | None = None
) -> ServerCertificate:
    """Read what belongs together; UnusableFile if one is broken, or the key is another certificate's."""
    chain, key = cert_file.read(), key_file.read()
    certificates = _certificates(cert_file, chain)
    _check_kind(cert_file, certificates[0])
    _check_key(key_file, key, certificates[0])
    client_ca, ca_expires_at = _read_authorities(ca_file) if ca_file else (None, None)
    return ServerCertificate(
        chain=chain,
        key=key,
        client_ca=client_ca,
        serial=certificates[0].serial_number,
        expires_at=_first_expiry(certificates),
        client_ca_expires_at=ca_expires_at,
    )


def read_identities(file: SettingsFile) -> Identities:
    """Read who the certificates of callers stand for; UnusableFile if the file is broken."""
    try:
        return identities_from_toml(file.read().decode())
    except UnicodeDecodeError:
        raise file.unusable("is not UTF-8") from None
    except BadIdentities as error:
        raise file.unusable(str(error)) from None


def _read_authorities(file: SettingsFile) -> tuple[bytes, float]:
    """The authorities of callers, and when the first of them expires."""
    content = file.read()
    return content, _first_expiry(_certificates(file, content))


def _certificates(file: SettingsFile, content: bytes) -> list[Certificate]:
    try:
        return load_pem_x509_certificates(content)
    except ValueError:
        raise file.unusable("holds no certificate in PEM") from None


def _check_kind(file: SettingsFile, certificate: Certificate) -> None:
    """Reject a key that gRPC takes and with which no gRPC client then connects, such as Ed25519."""
    if not _is_taken(certificate):
        raise file.unusable(f"has a key that is neither RSA of {MIN_RSA_BITS} bits or more nor EC of P-256 or P-384")


def _is_taken(certificate: Certificate) -> bool:
    try:
        key = certificate.public_key()
    except (ValueError, UnsupportedAlgorithm):  # of a kind that the library does not know
        return False
    if isinstance(key, RSAPublicKey):
        return key.key_size >= MIN_RSA_BITS
    return isinstance(key, EllipticCurvePublicKey) and isinstance(key.curve, CURVES)


def _check_key(file: SettingsFile, content: bytes, certificate: Certificate) -> None:
    try:
        key = load_pem_private_key(content, None)
    except TypeError:
        raise file.unusable("holds a key that is encrypted; write it without a password") from None
    except (ValueError, UnsupportedAlgorithm):
        raise file.unusable("holds no private key in PEM") from None
    if key.public_key() != certificate.public_key():
        raise file.unusable("holds the key of another certificate")


def _first_expiry(certificates: Iterable[Certificate]) -> float:
    return min(certificate.not_valid_after_utc.timestamp() for certificate in certificates)
