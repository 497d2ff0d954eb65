"""A certificate authority for tests, and the files with its certificates for servers and clients."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import trustme
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from cryptography.x509 import load_pem_x509_certificates
from cryptography.x509.oid import NameOID

HOST = "127.0.0.1"  # the only name in the servers' certificates: `localhost` reaches them and does not match


class Files(NamedTuple):
    """One certificate: with its chain, its key, and both in one file, as Java requires."""

    certificate: Path
    key: Path
    both: Path


class Authority:
    """Issues certificates into a folder."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._authority = trustme.CA()
        self.file = folder / "authority.pem"
        self._authority.cert_pem.write_to_path(self.file)

    def issue(self, folder: Path, *names: str | x509.GeneralName, key: Any = None, **options: Any) -> Files:
        """Issue one for HOST, or for names, URIs, entries; no other user may read the keys, or PostgreSQL refuses them.

        A key is made unless there is one; the options are trustme's: `common_name`, `not_after`.
        """
        folder.mkdir(parents=True, exist_ok=True)
        hosts = [name for name in names if isinstance(name, str) and "://" not in name]
        if key is None and len(hosts) == len(names):
            chain, key = self._issued(hosts if hosts or options else (HOST,), options)
        else:
            chain, key = self._signed(names, key or ec.generate_private_key(ec.SECP256R1()))
        key_pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        files = Files(folder / "certificate.pem", folder / "key.pem", folder / "both.pem")
        for file, content in zip(files, (chain, key_pem, key_pem + chain), strict=True):
            file.touch(mode=0o600)
            file.write_bytes(content)
        return files

    def _issued(self, names: Sequence[str], options: Mapping[str, Any]) -> tuple[bytes, Any]:
        issued = self._authority.issue_cert(*names, **options)
        chain = b"".join(blob.bytes() for blob in issued.cert_chain_pems)
        return chain, load_pem_private_key(issued.private_key_pem.bytes(), None)

    def _signed(self, names: Sequence[str | x509.GeneralName], key: Any) -> tuple[bytes, Any]:
        """What trustme does not issue: one for URIs or other entries, or with a key of another kind."""
        [authority] = load_pem_x509_certificates(self._authority.cert_pem.bytes())
        authority_key: Any = load_pem_private_key(self._authority.private_key_pem.bytes(), None)
        kinds = [_entry(name) for name in names]
        subject = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "a test")])
        builder = x509.CertificateBuilder(authority.subject, subject, key.public_key(), x509.random_serial_number())
        builder = builder.not_valid_before(authority.not_valid_before_utc)
        builder = builder.not_valid_after(authority.not_valid_after_utc)
        if kinds:
            builder = builder.add_extension(x509.SubjectAlternativeName(kinds), critical=False)
        return builder.sign(authority_key, SHA256()).public_bytes(Encoding.PEM), key


def _entry(name: str | x509.GeneralName) -> x509.GeneralName:
    if isinstance(name, x509.GeneralName):
        return name
    return x509.UniformResourceIdentifier(name) if "://" in name else x509.DNSName(name)
