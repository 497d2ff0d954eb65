"""A key that is locked by a pass phrase is refused in a line, and nobody at a terminal is asked for it."""

from pathlib import Path

import pytest
import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from inventory_service.adapters.redis.connections import check_url


def test_a_process_does_not_wait_for_a_pass_phrase(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """It would look as if it had started; without one, OpenSSL asks whoever is there."""
    issued = trustme.CA().issue_cert("here")
    certificate, locked = tmp_path / "certificate.pem", tmp_path / "key.pem"
    issued.cert_chain_pems[0].write_to_path(certificate)
    key = load_pem_private_key(issued.private_key_pem.bytes(), None)
    locked.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")))

    with pytest.raises(ValueError, match="names a certificate or key that cannot be used"):
        check_url(f"rediss://localhost/0?ssl_certfile={certificate}&ssl_keyfile={locked}")

    assert capfd.readouterr().err == ""
