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
ON, OFF = ("1", "true", "t", "yes", "y", "on"), ("", "0", "false", "f", "no", "n", "off")  # as the command's options

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
    cert_file: str | Path | None = None  # the caller's certificate, where a server or the proxy before it asks for one
    key_file: str | Path | None = None  # and its key

    def credentials(self) -> grpc.ChannelCredentials:
        """What gRPC makes a channel with; raises OSError or ValueError for files with which it cannot.

        gRPC itself ends the process over a certificate without its key, and trusts its own list if `ca_file` is empty.
        """
        if bool(self.cert_file) != bool(self.key_file):
            raise ValueError("a client certificate needs both cert_file and key_file")
        ca, key, cert = map(_content, (self.ca_file, self.key_file, self.cert_file))
        return grpc.ssl_channel_credentials(ca, key, cert)


@dataclass(frozen=True, slots=True)
class Access:
    """Where the servers are and how channels to them are made."""

    address: str  # host:port, or several with commas between them
    channels: int
    use_proxy: bool = False
    tls: Tls | None = None
    user_agent: str = ""  # put before gRPC's own
    interceptors: Sequence[aio.ClientInterceptor] = ()

    def __post_init__(self) -> None:
        servers_of(self.address)  # raises ValueError

    def open_channels(self) -> list[aio.Channel]:
        """Channels to the servers in turn, as many to each, so that neighbours never share one; at least one each."""
        servers = servers_of(self.address)
        rounds = max(1, -(-self.channels // len(servers)))
        # gRPC uses http_proxy even for loopback, which a proxy of the whole machine cannot reach.
        options: list[tuple[str, Any]] = [*CHANNEL_OPTIONS, ("grpc.enable_http_proxy", int(self.use_proxy))]
        if self.user_agent:
            options.append(("grpc.primary_user_agent", self.user_agent))
        more: dict[str, Any] = {"options": options, "interceptors": list(self.interceptors)}
        if self.tls is None:
            return [aio.insecure_channel(server, **more) for server in servers * rounds]
        credentials = self.tls.credentials()
        return [aio.secure_channel(server, credentials, **more) for server in servers * rounds]


def servers_of(address: str) -> list[str]:
    """The servers that an address names; raises ValueError if one of them is no host:port."""
    servers = [server.strip() for server in address.split(",")]
    if not all(":" in server and server.isprintable() for server in servers):
        raise ValueError(f"the address must be host:port, or several with commas between them, and is {address!r}")
    return servers


def with_token(metadata: Metadata, token: Token | None) -> Metadata:
    """The metadata of one attempt: a token that is a function is asked for each, so that it may run out."""
    if token is None:
        return metadata
    text = token if isinstance(token, str) else token()
    if not (text.isascii() and text.isprintable()):
        raise ValueError("it has characters that no header can carry, such as a line break")
    return (*metadata, ("authorization", f"Bearer {text}"))


def from_environment(environment: Mapping[str, str] = os.environ) -> dict[str, Any]:
    """What the variables say, as arguments of a client: the address, the proxy, the token and TLS.

    Raises ValueError for a switch that is neither on nor off, because a token must not go out in plaintext for a typing
    error, and for two tokens.
    """
    get = environment.get
    files = [get(f"HOLDFAST_{name}_FILE") or None for name in ("CA", "CLIENT_CERT", "CLIENT_KEY")]
    return {
        "address": get("HOLDFAST_ADDRESS") or DEFAULT_ADDRESS,
        "use_proxy": _is_on("HOLDFAST_USE_PROXY", get("HOLDFAST_USE_PROXY", "")),
        "token": _token(get("HOLDFAST_TOKEN_FILE", ""), get("HOLDFAST_TOKEN", "")),
        "tls": Tls(*files) if _is_on("HOLDFAST_TLS", get("HOLDFAST_TLS", "")) or any(files) else None,
    }


def _token(file: str, text: str) -> Token | None:
    if file and text:
        raise ValueError("HOLDFAST_TOKEN and HOLDFAST_TOKEN_FILE are both set: which of the two tokens is meant?")
    if file:
        return lambda: Path(file).read_text().strip()
    return text.strip() or None


def _is_on(name: str, text: str) -> bool:
    word = text.strip().lower()
    if word not in (*ON, *OFF):
        raise ValueError(f"{name}: must be 1 or 0, and is {text!r}")
    return word in ON


def _content(path: str | Path | None) -> bytes | None:
    if not path:
        return None
    content = Path(path).read_bytes()
    if not content:
        raise ValueError(f"{path}: the file is empty")
    return content
