"""The settings of the inventory service."""

from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from holdfast_runtime.settings import Address, RedisUrl, SharedSettings


class Settings(SharedSettings):
    """The settings of all processes of the inventory service; each field is one HOLDFAST_ variable."""

    redis_url: RedisUrl = Field("redis://127.0.0.1:6379/0", description="Redis, a URL")
    listen: Address = Field(
        "127.0.0.1:50051", description="the address for gRPC calls, host:port; port 0: a free one, see the log"
    )
    share_port: Literal["0", "1"] = Field(
        "0", description="1: other servers of the same installation may listen on that address too; 0: it must be free"
    )
    listeners: int = Field(8, ge=1, le=64, description="gRPC server objects on that address")
    queue_limit: int = Field(
        4096, ge=1, description="requests that may wait for one shard; further ones fail with OVERLOADED"
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
        description="the public keys that tokens are signed with by RS256, ES256 or EdDSA, a JWKS file; empty: none",
    )
    auth_issuer: str = Field("", description="what `iss` must be in each token; empty: anything")
    auth_audience: str = Field("", description="what `aud` must be, or have among others; empty: anything")
    auth_tenant_claim: str = Field("tenant", min_length=1, description="the claim of a token that names its tenant")
    auth_leeway_s: float = Field(
        5, ge=0, le=300, description="seconds by which the clock of who makes tokens may differ from this one"
    )
    auth_allow_default_tenant: Literal["true", "false"] = Field(
        "false",
        description="true: a token may name the tenant `default`, which is that of callers without tokens; false: not",
    )
    insecure: Literal["true", "false"] = Field(
        "false",
        description="true: listen beyond loopback though neither tokens nor client certificates say who calls; false:"
        " only on loopback",
    )

    @property
    def has_token_keys(self) -> bool:
        """Whether each call needs a token."""
        return bool(self.auth_secret_file or self.auth_jwks_file)

    def contradictions(self) -> Iterator[str]:
        """Settings that are set and would be unused."""
        yield from super().contradictions()
        if not self.has_token_keys:
            needed = "has no use without HOLDFAST_AUTH_SECRET_FILE or HOLDFAST_AUTH_JWKS_FILE"
            yield from (f"HOLDFAST_{name.upper()}: {needed}" for name in TOKEN_RULES if name in self.model_fields_set)
        elif self.insecure == "true":
            yield "HOLDFAST_INSECURE: has no use where token keys are set: each call needs a token then"


TOKEN_RULES = ("auth_issuer", "auth_audience", "auth_tenant_claim", "auth_leeway_s", "auth_allow_default_tenant")
TOKENS = ("auth_secret_file", "auth_jwks_file", *TOKEN_RULES)
