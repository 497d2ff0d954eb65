"""The settings of the inventory service."""

from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from holdfast_runtime.settings import PREFIX, Address, RedisUrl, SharedSettings
from inventory_service.domain.revocations import LONGEST_LEEWAY_S

MOST_WORKERS = 64


class Settings(SharedSettings):
    """The settings of all processes of the inventory service; each field is one HOLDFAST_ variable."""

    redis_url: RedisUrl = Field("redis://127.0.0.1:6379/0", repr=False, description="Redis, a URL")
    redis_wait: int = Field(
        0,
        ge=0,
        description="replicas of Redis that must have a change before its caller hears of it; fewer in time:"
        " OUTCOME_UNKNOWN",
    )
    redis_wait_aof: int = Field(
        0,
        ge=0,
        description="replicas that must have it on disk, in the same way: Redis 7.2 or later, or Valkey",
    )
    redis_wait_ms: int = Field(500, ge=1, le=60_000, description="milliseconds for which to wait for these replicas")
    listen: Address = Field(
        "127.0.0.1:50051", description="the address for gRPC calls, host:port; port 0: a free one, see the log"
    )
    share_port: Literal["0", "1"] = Field(
        "0", description="1: other servers of the same installation may listen on that address too; 0: it must be free"
    )
    workers: int = Field(
        1, ge=1, le=MOST_WORKERS, description="server processes on that address; of several, one more supervises them"
    )
    listeners: int = Field(8, ge=1, le=64, description="gRPC server objects on that address, of each server process")
    tls_cert_file: str = Field(
        "", description="the server's certificate and its chain, a PEM file; empty: calls are in plaintext"
    )
    tls_key_file: str = Field("", description="the key of that certificate, a PEM file")
    tls_client_ca_file: str = Field(
        "",
        description="the authorities of callers' certificates, a PEM file; without such a certificate no connection is"
        " made; empty: none is asked for",
    )
    tls_identities_file: str = Field(
        "", description="the tenant and scopes of each caller by a name in its certificate, a TOML file"
    )
    queue_limit: int = Field(
        4096,
        ge=1,
        description="requests for units that may wait for one shard, and as many moves; further ones fail with"
        " OVERLOADED",
    )
    rate_per_s: float = Field(
        0, ge=0, le=1_000_000, description="calls a second that each caller may make in the long run; 0: no limit"
    )
    rate_burst: int = Field(
        0, ge=0, description="calls that a caller may make at once if it made none for long; 0: those of one second"
    )
    record_retention_s: int = Field(
        86_400,
        ge=0,
        description="seconds for which Redis keeps a reservation after its last change, and a sale once it is over",
    )
    outbox_limit: int = Field(
        1_000_000,
        ge=1,
        description="commits that a shard may be ahead of the ledger; beyond, Reserve fails with LEDGER_BEHIND",
    )
    memory_share: float = Field(
        0.9, gt=0, le=1, description="share of Redis' maxmemory in use from which on Reserve fails with LEDGER_BEHIND"
    )
    max_clock_ahead_s: float = Field(
        5,
        ge=0.1,
        description="seconds by which a shard's time may be ahead of a process' clock; beyond, calls fail with"
        " SHARD_NOT_SERVING",
    )
    redis_failover_s: float = Field(
        5,
        gt=0,
        description="seconds after the loss of Redis' primary from which on a replica may be promoted, for the doctor: "
        "Sentinel's down-after-milliseconds",
    )
    relay_window_bytes: int = Field(
        67_108_864,
        ge=262_144,
        description="bytes of commits that a shard's relay may publish ahead of the ledger; at least one Kafka record",
    )
    expiry: Literal["on", "off"] = Field(
        "on", description="on or off: whether the relay expires overdue holds; off is for tests"
    )
    restore: Literal["behind", "ask", "always"] = Field(
        "behind",
        description="what relays load from the ledger by themselves: behind (a Redis that has an older state), ask"
        " (none: run holdfast restore) or always (a blank Redis as well)",
    )
    drain_s: float = Field(
        10, ge=0, le=3600, description="seconds for which a stopping server waits for calls in flight"
    )

    auth_secret_file: str = Field(
        "", description="the secret that tokens are signed with by HS256, a file of at least 32 bytes; empty: none"
    )
    auth_jwks_file: str = Field(
        "",
        description="the public keys of tokens that are signed by RS256, ES256 or EdDSA, a JWKS file; empty: none",
    )
    auth_issuer: str = Field("", description="what a token's `iss` must be; empty: anything")
    auth_audience: str = Field("", description="what a token's `aud` must be, or have among others; empty: anything")
    auth_tenant_claim: str = Field("tenant", min_length=1, description="the claim of a token that names its tenant")
    auth_leeway_s: float = Field(
        5,
        ge=0,
        le=LONGEST_LEEWAY_S,
        description="seconds by which the clocks of those who make tokens may differ from this one",
    )
    auth_allow_default_tenant: Literal["true", "false"] = Field(
        "false",
        description="true: a token may name the tenant `default`, which is that of calls without authentication;"
        " false: it may not",
    )
    insecure: Literal["true", "false"] = Field(
        "false",
        description="true: listen beyond loopback though neither tokens nor client certificates say who calls; false:"
        " end instead",
    )

    @property
    def has_token_keys(self) -> bool:
        """Whether tokens say who calls."""
        return bool(self.auth_secret_file or self.auth_jwks_file)

    @property
    def authenticates(self) -> bool:
        """Whether each call must say who makes it, by a token or by the certificate of its connection."""
        return self.has_token_keys or bool(self.tls_client_ca_file)

    def contradictions(self) -> Iterator[str]:
        """Those of both services, files of TLS that need another one, and what has no use with or without tokens."""
        yield from super().contradictions()
        for name, needed in TLS_NEEDS:
            if getattr(self, name) and not getattr(self, needed):
                yield f"{PREFIX}{name.upper()}: has no use without {PREFIX}{needed.upper()}"
        if self.tls_client_ca_file and not (self.tls_identities_file or self.has_token_keys):
            yield "HOLDFAST_TLS_CLIENT_CA_FILE: lets in no caller without HOLDFAST_TLS_IDENTITIES_FILE or token keys"
        for name in TOKEN_RULES if not self.has_token_keys else ():
            if name in self.model_fields_set and getattr(self, name) != Settings.model_fields[name].default:
                yield f"{PREFIX}{name.upper()}: has no use without HOLDFAST_AUTH_SECRET_FILE or HOLDFAST_AUTH_JWKS_FILE"
        if self.redis_wait and self.redis_wait_aof:
            yield "HOLDFAST_REDIS_WAIT: has no use with HOLDFAST_REDIS_WAIT_AOF, which waits for the same and the disk"
        if self.insecure == "true" and self.authenticates:
            yield "HOLDFAST_INSECURE: has no use where tokens or client certificates say who calls"


TLS_FILES = ("tls_cert_file", "tls_key_file", "tls_client_ca_file", "tls_identities_file")
TLS_NEEDS = (
    ("tls_cert_file", "tls_key_file"),
    ("tls_key_file", "tls_cert_file"),
    ("tls_client_ca_file", "tls_cert_file"),
    ("tls_identities_file", "tls_client_ca_file"),
)
TOKEN_RULES = ("auth_issuer", "auth_audience", "auth_tenant_claim", "auth_leeway_s", "auth_allow_default_tenant")
TOKENS = ("auth_secret_file", "auth_jwks_file", *TOKEN_RULES)
