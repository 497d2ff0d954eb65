"""A certificate authority for tests, and the files with its certificates for servers and clients."""

from pathlib import Path
from typing import NamedTuple

import trustme
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

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

    def issue(self, folder: Path, name: str = HOST) -> Files:
        """Issue one; no other user may read the keys, or PostgreSQL refuses them."""
        folder.mkdir(parents=True, exist_ok=True)
        issued = self._authority.issue_cert(name)
        chain = b"".join(blob.bytes() for blob in issued.cert_chain_pems)
        key = load_pem_private_key(issued.private_key_pem.bytes(), None)
        key_pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        files = Files(folder / "certificate.pem", folder / "key.pem", folder / "both.pem")
        for file, content in zip(files, (chain, key_pem, key_pem + chain), strict=True):
            file.touch(mode=0o600)
            file.write_bytes(content)
        return files
