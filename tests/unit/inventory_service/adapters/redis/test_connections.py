"""A private key with a pass phrase is an error in one line, without a prompt on the terminal."""

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


def test_a_key_with_a_pass_phrase_is_an_error_and_no_prompt(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """OpenSSL by itself asks on the terminal, and the process would look as if it had started."""
    issued = trustme.CA().issue_cert("here")
    certificate, locked = tmp_path / "certificate.pem", tmp_path / "key.pem"
    issued.cert_chain_pems[0].write_to_path(certificate)
    key = load_pem_private_key(issued.private_key_pem.bytes(), None)
    locked.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret")))

    with pytest.raises(ValueError, match="names a certificate or key that cannot be used"):
        check_url(f"rediss://localhost/0?ssl_certfile={certificate}&ssl_keyfile={locked}")

    assert capfd.readouterr().err == ""
