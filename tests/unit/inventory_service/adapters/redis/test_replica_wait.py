"""The wait for replicas: what a caller hears where too few have a change, and what is read of the replies."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from inventory_service.adapters.redis.connection import NotReplicated
from inventory_service.adapters.redis.connections import RedisConnections
from inventory_service.adapters.redis.connectors import connections_to
from inventory_service.adapters.redis.replica_wait import ReplicaWait
from inventory_service.adapters.redis.scripts import ACKNOWLEDGED, RedisScripts, ShardNotServing
from inventory_service.domain.heads import ObservedHeads

GREETING = "$11\r\nrole:master\r\n"
HELD, NOT_SERVING = "*1\r\n+HELD\r\n", "*3\r\n+SHARD\r\n+NOT_OWNED\r\n+\r\n"
WAIT = ReplicaWait(2, 500)


@asynccontextmanager
async def replying(*replies: str) -> AsyncIterator[RedisConnections]:
    """A pool of one connection to a Redis that answers each read with the next of these, after its greeting."""
    left = [GREETING, *replies]

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(65536):
            writer.write(left.pop(0).encode())
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        connections = connections_to(f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}", size=1)
        yield connections
        await connections.close()


def scripts(connections: RedisConnections, wait: ReplicaWait = WAIT) -> RedisScripts:
    return RedisScripts(connections, ObservedHeads(), wait=wait)


@pytest.mark.parametrize(
    ("wait", "reply", "why"),
    [
        (WAIT, ":1\r\n", "1 of 2 replicas have it in time"),
        (WAIT, "-UNBLOCKED force unblock from blocking operation\r\n", "WAIT: UNBLOCKED force unblock"),
        (ReplicaWait(1, 500, in_files=True), "*2\r\n:1\r\n:0\r\n", "0 of 1 replicas have it in time"),
        (ReplicaWait(1, 500, in_files=True), "*2\r\n:0\r\n:1\r\n", "it is not on the disk of Redis in time"),
    ],
)
async def test_a_change_that_too_few_replicas_have_has_an_unknown_outcome(
    wait: ReplicaWait, reply: str, why: str
) -> None:
    """Redis has made it, and may lose it in a failover; the connection is used on."""
    async with replying(f"{HELD}:0\r\n{reply}", HELD) as connections:
        with pytest.raises(NotReplicated, match=why):
            await scripts(connections, wait).run("reserve", 0, [])

        assert await scripts(connections, wait).run("read", 0, []) == [b"HELD"]  # which waits for none


async def test_a_change_that_enough_replicas_have_is_told() -> None:
    """More than asked for are no harm."""
    async with replying(f"{HELD}:0\r\n:3\r\n") as connections:
        assert await scripts(connections).run("reserve", 0, []) == [b"HELD"]


async def test_a_shard_that_does_not_serve_says_so_without_its_replicas() -> None:
    """Nothing was done; and the connection to a Redis that was demoted must not be kept for the lack of replicas."""
    async with replying(f"{NOT_SERVING}:0\r\n-ERR WAIT cannot be used with replica instances\r\n") as connections:
        with pytest.raises(ShardNotServing, match="NOT_OWNED"):
            await scripts(connections).run("reserve", 0, [])


async def test_the_replies_to_a_wait_are_read_also_after_an_error() -> None:
    """The script is loaded then, and sent again; no reply is taken for another one's."""
    first = "-NOSCRIPT No matching script\r\n:0\r\n:2\r\n"
    async with replying(first, "+sha\r\n", f"{HELD}:0\r\n:2\r\n") as connections:
        assert await scripts(connections).run("reserve", 0, []) == [b"HELD"]


def test_every_script_whose_reply_a_caller_may_rely_on_is_waited_for() -> None:
    """The others are of the relay, which acknowledges nothing to a caller, or of reads."""
    assert {
        *("reserve", "move", "change_hold", "return_archived"),
        *("create_sale", "change_sale", "adjust_stock"),
    } == ACKNOWLEDGED
