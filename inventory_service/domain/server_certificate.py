"""The certificate with which a server answers, its key, and the authorities of its callers' certificates."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class ServerCertificate:
    """What belongs together, in PEM; moments are in seconds since 1970."""

    chain: bytes  # the server's own certificate first
    key: bytes = field(repr=False)
    client_ca: bytes | None  # None: callers need no certificate
    serial: int  # of the server's own certificate
    expires_at: float  # of the first of the chain that does
    client_ca_expires_at: float | None  # of the first of the authorities that does
