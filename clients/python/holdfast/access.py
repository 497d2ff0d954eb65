"""How a client gets to its servers: addresses, TLS, the token of each call, and what every channel is told."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
from grpc import aio

Token = str | Callable[[], str]
Metadata = Sequence[tuple[str, str | bytes]]

DEFAULT_ADDRESS = "127.0.0.1:50051"

# A server process accepts calls connection by connection, and gRPC lets channels to one address share a connection
# unless each has a pool of its own. gRPC's pause before it reconnects grows to two minutes unless it is capped, and its
# own retries do not read Holdfast's error reasons. A server takes a ping each ten seconds: it keeps what is on the way
# from dropping an idle connection, and finds a connection that is dead.
CHANNEL_OPTIONS = (
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_retries", 0),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2000),
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
)


@dataclass(frozen=True, slots=True)
class Tls:
    """The files with which a connection is encrypted, in PEM; each is read anew whenever channels are made."""

    ca_file: str | Path | None = None  # those who may sign a server's certificate; gRPC's own list if not given
    cert_file: str | Path | None = None  # the caller's certificate, where servers ask for one
    key_file: str | Path | None = None  # and its key

    def credentials(self) -> grpc.ChannelCredentials:
        """What gRPC makes a channel with."""
        ca, key, cert = (path and Path(path).read_bytes() for path in (self.ca_file, self.key_file, self.cert_file))
        return grpc.ssl_channel_credentials(ca or None, key or None, cert or None)


@dataclass(frozen=True, slots=True)
class Access:
    """Where the servers are and how channels to them are made."""

    address: str  # host:port, or several with commas between them
    channels: int
    use_proxy: bool = False
    tls: Tls | None = None
    user_agent: str = ""  # put before gRPC's own
    interceptors: Sequence[aio.ClientInterceptor] = ()

    def open_channels(self) -> list[aio.Channel]:
        """Channels to the servers in turn, as many to each, so that neighbours never share one; at least one each."""
        servers = self.address.split(",")
        rounds = -(-self.channels // len(servers))
        # gRPC uses http_proxy even for loopback, which a proxy of the whole machine cannot reach.
        options: list[tuple[str, Any]] = [*CHANNEL_OPTIONS, ("grpc.enable_http_proxy", int(self.use_proxy))]
        if self.user_agent:
            options.append(("grpc.primary_user_agent", self.user_agent))
        more: dict[str, Any] = {"options": options, "interceptors": list(self.interceptors)}
        if self.tls is None:
            return [aio.insecure_channel(server, **more) for server in servers * rounds]
        credentials = self.tls.credentials()
        return [aio.secure_channel(server, credentials, **more) for server in servers * rounds]


def with_token(metadata: Metadata, token: Token | None) -> Metadata:
    """The metadata of one attempt: a token that is a function is asked for each, so that it may run out."""
    if token is None:
        return metadata
    return (*metadata, ("authorization", f"Bearer {token if isinstance(token, str) else token()}"))


def from_environment(environment: Mapping[str, str] = os.environ) -> dict[str, Any]:
    """What the variables say, as arguments of a client: the address, the proxy, the token and TLS."""
    get = environment.get
    files = [get(f"HOLDFAST_{name}_FILE") or None for name in ("CA", "CLIENT_CERT", "CLIENT_KEY")]
    token_file = get("HOLDFAST_TOKEN_FILE")
    return {
        "address": get("HOLDFAST_ADDRESS") or DEFAULT_ADDRESS,
        "use_proxy": _is_on(get("HOLDFAST_USE_PROXY", "")),
        "token": (lambda: Path(token_file).read_text().strip()) if token_file else get("HOLDFAST_TOKEN") or None,
        "tls": Tls(*files) if any(files) or _is_on(get("HOLDFAST_TLS", "")) else None,
    }


def _is_on(text: str) -> bool:
    return text.lower() in ("1", "true", "yes", "on")
