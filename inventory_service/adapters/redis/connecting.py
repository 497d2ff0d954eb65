"""Connects to the Redis at one address, and checks the URL that names it."""

import asyncio
import re
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from redis.asyncio.connection import AbstractConnection, Connection, SSLConnection, parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from inventory_service.adapters.redis.breaker import NO_BREAKER, NoBreaker
from inventory_service.adapters.redis.connection import RedisConnection
from inventory_service.domain.shards import RedisUnavailable

CONNECT_S = 2.0


class RedisIsReplica(RedisUnavailable):
    """It takes no writes and its data may be old. It may be promoted, or the address may lead to its primary later."""


async def connect(url: str, *, may_be_replica: bool = False, breaker: NoBreaker = NO_BREAKER) -> RedisConnection:
    """Connect and wait for a first reply; RedisUnavailable if either fails. So no call is sent to a stuck Redis.

    RedisIsReplica unless it may be one.
    """
    connection, begun = unconnected(url), time.monotonic()
    try:
        return RedisConnection(await _greeted(connection, may_be_replica), begun, breaker)
    except (RedisError, OSError, TimeoutError, RedisIsReplica) as error:
        await connection.disconnect(nowait=True)
        if isinstance(error, RedisIsReplica):
            raise
        raise RedisUnavailable(str(error) or "no connection in time") from error
    except BaseException:  # a cancellation too: nothing else refers to this socket
        await connection.disconnect(nowait=True)
        raise


async def _greeted(connection: AbstractConnection, may_be_replica: bool) -> AbstractConnection:
    async with asyncio.timeout(CONNECT_S):
        await connection.connect()  # type: ignore[no-untyped-call]
        await connection.send_command("INFO", "replication")  # the scripts need the right to run it, too
        primary = _primary_in(await connection.read_response())
    if primary and not may_be_replica:
        raise RedisIsReplica(f"it is a replica of {primary} and takes no writes")
    return connection


def _primary_in(info: bytes) -> str:
    """The address of its primary in a replica's INFO; '' of a primary. RedisError if it is neither of the two."""
    fields = dict(line.split(":", 1) for line in info.decode().splitlines() if ":" in line)
    if "role" not in fields:
        raise RedisError("it is no primary and no replica: of a Sentinel, the URL starts with redis+sentinel://")
    return "" if fields["role"] == "master" else f"{fields.get('master_host')}:{fields.get('master_port')}"


def check_url(url: str) -> None:
    """ValueError, in one sentence without the password, if redis-py cannot parse the URL or ignores a part of it."""
    try:
        parts = urlsplit(url)
        if parts.port == 0:
            raise ValueError
    except ValueError:
        raise ValueError("must have a port from 1 to 65535, or none") from None
    if parts.scheme == "unix" and not parts.path:
        raise ValueError("must name the socket's path after unix://")
    if parts.scheme != "unix" and not re.fullmatch(r"/?\d*", parts.path):
        raise ValueError("must end in the number of a database, such as /0, or in nothing")
    try:
        connection = unconnected(url)
        if isinstance(connection, SSLConnection):
            connection.ssl_context.get()
    except TypeError as error:  # an argument that redis-py's connection does not take, or that `unconnected` sets
        raise ValueError(f"has an option that cannot be set here: {str(error).split(chr(39))[-2]}") from None
    except RedisError as error:
        raise ValueError(f"has an invalid option: {error}") from None
    except OSError as error:
        raise ValueError(f"names a certificate or key that cannot be used: {_why(error)}") from None


def _why(error: OSError) -> str:
    """What is wrong with a file; for one that is no PEM the only message is OpenSSL's."""
    return str(getattr(error, "reason", "") or error.strerror or error)


def unconnected(url: str) -> AbstractConnection:
    """redis-py's connection, not connected yet, which by itself sends nothing again."""
    options: dict[str, Any] = dict(parse_url(url))
    kind: Callable[..., AbstractConnection] = options.pop("connection_class", Connection)
    if kind is SSLConnection:  # without one OpenSSL prompts for the password of an encrypted key on the terminal
        options.setdefault("ssl_password", "")
    no_retry = Retry(NoBackoff(), 0)
    return kind(**options, protocol=2, driver_info=None, retry=no_retry, socket_timeout=None)
