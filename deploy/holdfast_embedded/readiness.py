"""Finds out whether calls for every sale can be answered: the server listens, and every shard is served."""

import contextlib
import socket
import ssl
from typing import Any, cast
from urllib.parse import parse_qs, unquote, urlsplit

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry
from redis.sentinel import Sentinel

DEADLINE_S = 5.0
SENTINEL_PORT = 26379
SILENCE_S = 1.0  # after which a server is taken for one with TLS, which waits for its client to speak
# The one key that is repeated here, for the stack shares no code with the services: the state of a shard.
META = "holdfast:{{{shard}}}:meta"


def not_ready_reason(redis_url: str, listen: str, shards: int) -> str | None:
    """Return why calls cannot be answered yet; None if they can."""
    if not is_answering(listen):
        return f"no server listens on {listen}"
    try:
        unserved = find_unserved(redis_url, shards)
    except (RedisError, OSError) as error:
        return f"Redis does not answer: {error}"
    if not unserved:
        return None
    shard, reason = min(unserved.items())
    return f"{len(unserved)} of {shards} shards are not served; shard {shard} {reason}"


def find_unserved(redis_url: str, shards: int) -> dict[int, str]:
    """Return the shards that are not served and why: blank, frozen, or owned by an earlier run of Redis."""
    with redis_client(redis_url) as redis:
        identity = cast(dict[str, Any], redis.info("replication"))["master_replid"]
        unserved = {}
        for shard in range(shards):
            fields = redis.hmget(META.format(shard=shard), ["owner", "takeover_token", "frozen"])
            owner, takeover_token, frozen = cast(list[str | None], fields)
            if frozen:
                unserved[shard] = f"is frozen: {frozen}"
            elif owner is None:
                unserved[shard] = "is blank"
            elif owner != identity or takeover_token:
                unserved[shard] = "waits to be taken over"
        return unserved


def is_listening(address: str) -> bool:
    """Return whether host:port accepts a connection."""
    with contextlib.suppress(OSError), connect(address):
        return True
    return False


def is_answering(address: str) -> bool:
    """Return whether a gRPC server accepts connections at host:port: it speaks first, or by TLS once it is greeted.

    A server that starts listens a moment before, to have the address for itself, and closes connections made by then.
    """
    try:
        with connect(address) as connection:
            connection.settimeout(SILENCE_S)
            return connection.recv(1) != b""
    except TimeoutError:
        return accepts_tls(address)
    except OSError:
        return False


def accepts_tls(address: str) -> bool:
    """Return whether a TLS handshake succeeds, whatever the certificate: it is this machine's own server."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    with contextlib.suppress(OSError), connect(address) as connection, context.wrap_socket(connection):
        return True
    return False


def connect(address: str) -> socket.socket:
    """Return a connection to host:port."""
    host, _, port = address.rpartition(":")
    return socket.create_connection((host.strip("[]"), int(port)), timeout=DEADLINE_S)


def redis_client(url: str) -> Redis:
    """Return a client with a short time-out that never retries."""
    options: dict[str, Any] = {"decode_responses": True, "retry": Retry(NoBackoff(), 0), "socket_timeout": DEADLINE_S}
    return of_sentinels(url, options) if "+sentinel:" in url else Redis.from_url(url, **options)


def of_sentinels(url: str, options: dict[str, Any]) -> Redis:
    """Return a client of the primary that the Sentinels of a redis+sentinel:// URL name."""
    parts = urlsplit(url)
    query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    user, _, hosts = parts.netloc.rpartition("@")
    name, _, password = user.partition(":")
    tls: dict[str, Any] = {name: value for name, value in query.items() if name.startswith("ssl_")}
    if parts.scheme.startswith("rediss"):
        tls["ssl"] = True
    sentinel = Sentinel(  # type: ignore[no-untyped-call]
        [sentinel_address(each) for each in hosts.split(",")],
        sentinel_kwargs={
            "username": query.get("sentinel_user"),
            "password": query.get("sentinel_password"),
            "socket_timeout": DEADLINE_S,
            **tls,
        },
    )
    own = {"db": int(query.get("db", 0)), "username": unquote(name) or None, "password": unquote(password) or None}
    primary = sentinel.master_for(parts.path.strip("/"), **options, **own, **tls)  # type: ignore[no-untyped-call]
    return cast(Redis, primary)


def sentinel_address(text: str) -> tuple[str, int]:
    """Return host and port of one Sentinel, whose port may be left out."""
    parts = urlsplit(f"//{text}")
    return str(parts.hostname), parts.port or SENTINEL_PORT
