"""The files of a server that speaks TLS, and of its callers, in one folder."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import grpc
from cryptography.x509 import GeneralName

from inventory_service.domain.caller import ALL_SCOPES, READ, RESERVE
from tests.certificates import HOST, Authority, Files

BUYER, READER, OPERATOR, OTHER = "spiffe://shop/checkout", "reports.example", "operator.example", "other.example"
SCOPES = {BUYER: {READ, RESERVE}, READER: {READ}, OPERATOR: ALL_SCOPES, OTHER: ALL_SCOPES}
TENANTS = {BUYER: "shop", READER: "shop", OPERATOR: "shop", OTHER: "elsewhere"}


class TlsFolder:
    """A server's certificate, the authority of its callers, and the table of their identities."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._issued = 0
        self.authority = Authority(folder / "authority")  # of the server's certificates
        self.client_authority = Authority(folder / "client-authority")
        self.server = self.issue(self.authority, HOST)
        self.certificate, self.key = folder / "tls.crt", folder / "tls.key"
        self.client_ca, self.identities = folder / "client-ca.pem", folder / "identities.toml"
        self.put(self.certificate, self.server.certificate)
        self.put(self.key, self.server.key)
        self.put(self.client_ca, self.client_authority.file)
        self.write_identities(SCOPES)

    def issue(self, authority: Authority, *names: str | GeneralName, **options: Any) -> Files:
        """A new certificate."""
        self._issued += 1
        return authority.issue(self._folder / str(self._issued), *names, **options)

    def put(self, path: Path, *sources: Path) -> None:
        """Put files in the place of one, one behind the other, in one moment."""
        new = path.with_suffix(".new")
        new.write_bytes(b"".join(source.read_bytes() for source in sources))
        new.replace(path)

    def write_identities(self, names: Sequence[str] | Mapping[str, object]) -> None:
        """Write the table of these callers."""
        entries = (
            f'[[identity]]\nsan = "{name}"\ntenant = "{TENANTS[name]}"\nscopes = {sorted(SCOPES[name])}\n'
            for name in names
        )
        new = self.identities.with_suffix(".new")
        new.write_text("\n".join(entries))
        new.replace(self.identities)

    def settings(self, *, mutual: bool = True) -> dict[str, Any]:
        """What a server is set to, by field."""
        own = {"tls_cert_file": str(self.certificate), "tls_key_file": str(self.key)}
        if not mutual:
            return own
        return {**own, "tls_client_ca_file": str(self.client_ca), "tls_identities_file": str(self.identities)}

    def variables(self) -> dict[str, str]:
        """The same as variables."""
        return {f"HOLDFAST_{name.upper()}": value for name, value in self.settings().items()}

    def caller(self, *names: str | GeneralName) -> grpc.ChannelCredentials:
        """What a caller with a new certificate for these names connects with."""
        return self.credentials(self.issue(self.client_authority, *names))

    def credentials(self, client: Files | None = None) -> grpc.ChannelCredentials:
        """What a caller with a certificate, or with none, connects with."""
        pair = (client.key.read_bytes(), client.certificate.read_bytes()) if client else (None, None)
        return grpc.ssl_channel_credentials(self.authority.file.read_bytes(), *pair)
