"""Redis connections: commands sent once, replies matched to commands; scripts on the real clock."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partialmethod

import pytest
from holdfast.inventory.v1.error_reason_pb2 import ErrorReason
from holdfast_embedded.ports import free_port
from redis.asyncio import Redis

from inventory_service.adapters.redis import connecting
from inventory_service.adapters.redis.connecting import connect
from inventory_service.adapters.redis.connection import OutcomeUnknown, RedisConnection
from inventory_service.adapters.redis.connectors import connections_to
from inventory_service.adapters.redis.keys import shard_keys
from inventory_service.adapters.redis.scripts import RedisScripts, ScriptFailed, load_script, script_from_text
from inventory_service.adapters.redis.shards import RedisShards
from inventory_service.adapters.redis.stock import RedisStock
from inventory_service.domain.heads import ObservedHeads
from inventory_service.domain.keys import SaleKey
from inventory_service.domain.reservation import Line
from inventory_service.domain.reserve import Reserve
from inventory_service.domain.results import Failure, Granted
from inventory_service.domain.sale import CreateSale, NewItem
from inventory_service.domain.shards import RedisUnavailable
from tests.lossy_proxy import LossyProxy
from tests.sales import make_sale
from tests.servers import StartValkey
from tests.waiting import eventually

SALE = SaleKey("default", "lamp-sale")
LAMPS = CreateSale(SALE, "Lamps", None, None, 60_000, 60_000, 0, (NewItem("lamp", 10),))
RESERVE = Reserve(SALE, "r-1", "b-1", (Line("lamp", 1),), None)
BUSY_S = 40.0


async def open_shard(url: str) -> None:
    """Let shard 0 serve for the Redis at `url`."""
    connections = connections_to(url)
    identity = (await RedisShards(connections).status(0)).identity
    async with connections.acquire() as connection:
        await connection.execute("HSET", shard_keys(0).meta, "epoch", 1, "seq", 0, "owner", identity, "format", 1)
    await connections.close()


def stock_at(url: str) -> RedisStock:
    """The stock of one shard."""
    return RedisStock(RedisScripts(connections_to(url, size=2), ObservedHeads()), shards=1, outbox_limit=1000)


@contextmanager
def no_reply_comes(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A short reply timeout, for a call that is not answered."""
    with monkeypatch.context() as patched:
        patched.setattr(RedisConnection, "execute", partialmethod(RedisConnection.execute, timeout_s=0.5))
        yield


async def test_a_lost_reply_is_outcome_unknown_and_the_command_is_not_resent(
    valkey: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Redis has done it; the caller gets OUTCOME_UNKNOWN, repeats with the same id, and gets the first result."""
    await open_shard(valkey)
    proxy = LossyProxy(RESERVE.reservation_id.encode(), "is silent")
    async with proxy.to(valkey) as url:
        stock = stock_at(url)
        await make_sale(stock, LAMPS)
        await stock.reserve(RESERVE._replace(reservation_id="r-0"))  # Redis has the script now

        with no_reply_comes(monkeypatch):
            lost = await stock.reserve(RESERVE)
        await eventually(lambda: proxy.lost)  # Redis has done it
        sent = proxy.marked
        again = await stock.reserve(RESERVE)

    assert lost == Failure(ErrorReason.ERROR_REASON_OUTCOME_UNKNOWN)
    assert sent == 1
    assert isinstance(again, Granted)
    assert again.replayed


async def test_a_read_without_a_reply_is_store_unreachable(valkey: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """OUTCOME_UNKNOWN is for calls that may have changed something."""
    await open_shard(valkey)
    await stock_at(valkey).find_sale(SALE)  # Redis has the script now
    proxy = LossyProxy(SALE.sale_id.encode(), "is silent")
    async with proxy.to(valkey) as url:
        with no_reply_comes(monkeypatch):
            assert await stock_at(url).find_sale(SALE) == Failure(ErrorReason.ERROR_REASON_STORE_UNREACHABLE)


async def test_a_refused_connection_is_store_unreachable(valkey: str) -> None:
    """STORE_UNREACHABLE, for every kind of call."""
    stock = stock_at(f"redis://127.0.0.1:{free_port()}/0")

    unreachable = Failure(ErrorReason.ERROR_REASON_STORE_UNREACHABLE)
    assert await stock.reserve(RESERVE) == unreachable
    assert await stock.find_sale(SALE) == unreachable
    assert await stock.expire(0) == unreachable


async def test_a_reply_that_is_late_ends_the_connection(valkey: str) -> None:
    """The late reply must not be read as the answer to the next call."""
    connections = connections_to(valkey, size=1)
    async with connections.acquire() as connection:
        await connection.execute("SET", "answer", "stored")

    with pytest.raises(OutcomeUnknown):
        async with connections.acquire() as connection:
            await connection.execute("BLPOP", "never", "0.2", timeout_s=0.05)

    async with connections.acquire() as connection:
        assert await connection.execute("GET", "answer") == b"stored"


@pytest.mark.parametrize("moment", ["before it is begun", "while it is sent", "while Redis runs it"])
async def test_a_cancelled_call_leaves_no_connection_out_of_step(valkey: str, moment: str) -> None:
    """A call may be cancelled at any moment; its reply is not taken for that of the next call."""
    connections = connections_to(valkey, size=1)

    async def ask(*command: str) -> object:
        async with connections.acquire() as connection:
            return await connection.execute(*command)

    async with Redis.from_url(valkey) as other:
        slow = asyncio.create_task(ask("BLPOP", "late", "30"))
        if moment == "while it is sent":
            await asyncio.sleep(0)
        if moment == "while Redis runs it":
            await eventually(lambda: has_blocked_clients(other))
        slow.cancel()
        await other.rpush("late", "an answer")

        assert await ask("ECHO", "own") == b"own"


async def has_blocked_clients(redis: Redis) -> bool:
    """A call waits in Redis."""
    return bool((await redis.info("clients"))["blocked_clients"] > 0)


async def test_a_restarted_redis_is_not_serving(start_valkey: StartValkey) -> None:
    """Dead idle connections are replaced before they are used, and the new identity does not own the shard."""
    server = start_valkey()
    await open_shard(server.address)
    stock = stock_at(server.address)
    await make_sale(stock, LAMPS)

    await asyncio.to_thread(server.kill)
    await asyncio.to_thread(server.start)

    assert await stock.reserve(RESERVE) == Failure(ErrorReason.ERROR_REASON_SHARD_NOT_SERVING)


async def test_a_script_error_raises(valkey: str) -> None:
    """A bug in a script is not a failure to return; the connection stays usable, because Redis replied."""
    await open_shard(valkey)
    broken = script_from_text("broken", "#!lua\nerror('no')")
    connections = connections_to(valkey, size=1)
    scripts = RedisScripts(connections, ObservedHeads(), load=lambda name: broken)

    with pytest.raises(ScriptFailed, match=r"broken\.lua"):
        await scripts.run("broken", 0, shard_keys(0))


async def test_a_busy_redis_is_store_unreachable(valkey: str) -> None:
    """While a script runs too long, Redis answers other commands with BUSY."""
    await open_shard(valkey)
    connections = connections_to(valkey, size=2)
    async with connections.acquire() as connection:
        await connection.execute("CONFIG", "SET", "busy-reply-threshold", 1)
    endless = asyncio.create_task(_run_endlessly(valkey))
    try:
        refusal = await _first_refusal(stock_at(valkey))
    finally:
        async with connections.acquire() as connection:
            await connection.execute("SCRIPT", "KILL")
            await endless
            await connection.execute("CONFIG", "SET", "busy-reply-threshold", 5000)

    assert refusal == Failure(ErrorReason.ERROR_REASON_STORE_UNREACHABLE)


async def _run_endlessly(url: str) -> None:
    connection = await connect(url)
    with pytest.raises(Exception, match=r"(?i)killed"):
        await connection.execute("EVAL", "while true do end", 0, timeout_s=BUSY_S)
    await connection.close()


async def _first_refusal(stock: RedisStock) -> object:
    deadline = time.monotonic() + BUSY_S / 2
    while time.monotonic() < deadline:
        answer = await stock.find_sale(SALE)
        if answer != Failure(ErrorReason.ERROR_REASON_SALE_NOT_FOUND, {"sale_id": SALE.sale_id}):
            return answer
    raise AssertionError("Redis never became busy")


@asynccontextmanager
async def server_replying(error: str | None) -> AsyncIterator[str]:
    """A server that answers every script with this error, or closes the connection when one is loaded: its URL."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while asked := await reader.read(65536):
            if b"\r\nINFO\r\n" in asked:
                writer.write(b"$11\r\nrole:master\r\n")
            elif b"EVALSHA" in asked:
                writer.write(f"-{error or 'NOSCRIPT No matching script.'}\r\n".encode())
            else:
                break
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0"


@pytest.mark.parametrize(
    "error",
    [
        "NOAUTH Authentication required.",
        "NOPERM User default has no permissions to run the 'evalsha' command",
        "WRONGPASS invalid username-password pair or user is disabled.",
        "MOVED 3999 127.0.0.1:6381",
        "ASK 3999 127.0.0.1:6381",
        "CROSSSLOT Keys in request don't hash to the same slot",
        "LOADING Redis is loading the dataset in memory",
        "READONLY You can't write against a read only replica.",
    ],
)
async def test_a_script_that_redis_rejects_is_redis_unavailable(error: str) -> None:
    """Time or an operator resolves it; the error has Redis' message, and ends no process."""
    async with server_replying(error) as url:
        scripts = RedisScripts(connections_to(url, size=1), ObservedHeads())

        with pytest.raises(RedisUnavailable, match=error.partition(" ")[0]) as raised:
            await scripts.run("read", 0, shard_keys(0))

    assert not isinstance(raised.value, OutcomeUnknown)


async def test_a_script_that_was_stopped_midway_raises() -> None:
    """Its earlier writes stay, so the error must not say that nothing was done."""
    error = f"NOPERM ACL failure in script: no permission. script: {load_script('read').sha}, on @user_script:9."
    async with server_replying(error) as url:
        scripts = RedisScripts(connections_to(url, size=1), ObservedHeads())

        with pytest.raises(ScriptFailed):
            await scripts.run("read", 0, shard_keys(0))


async def test_a_connection_lost_while_a_script_is_loaded_is_redis_unavailable() -> None:
    """The call that needs the script was not sent, whether or not Redis loaded it."""
    async with server_replying(None) as url:
        scripts = RedisScripts(connections_to(url, size=1), ObservedHeads())

        with pytest.raises(RedisUnavailable) as raised:
            await scripts.run("read", 0, shard_keys(0))

    assert not isinstance(raised.value, OutcomeUnknown)


@pytest.mark.parametrize("by", ["the server", "its owner"])
async def test_a_closed_connection_never_connects_anew(valkey: str, by: str) -> None:
    """Another Redis may have the address by now, and its caller would take it for the first one."""
    connection = await connect(valkey)
    number = await connection.execute("CLIENT", "ID")
    async with Redis.from_url(valkey) as client:
        connected = await client.info("stats")
        if by == "the server":
            await client.client_kill_filter(_id=str(number))
            with pytest.raises(OutcomeUnknown):
                await connection.execute("PING")
        else:
            await connection.close()

        with pytest.raises(RedisUnavailable) as raised:
            await connection.execute("PING")

        after = await client.info("stats")
    assert not isinstance(raised.value, OutcomeUnknown)
    assert after["total_connections_received"] == connected["total_connections_received"]
    assert not await connection.is_usable()


async def test_connecting_times_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that accepts and never replies must not block its caller for ever."""
    monkeypatch.setattr(connecting, "CONNECT_S", 0.1)

    async def say_nothing(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read()

    silent = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
    async with silent:
        with pytest.raises(RedisUnavailable):
            await connect(f"redis://127.0.0.1:{silent.sockets[0].getsockname()[1]}/0")


async def test_the_scripts_take_the_time_from_redis(valkey: str) -> None:
    """The shard's time is the clock of the Redis server."""
    await open_shard(valkey)
    stock = stock_at(valkey)
    await make_sale(stock, LAMPS)
    before = time.time() * 1000

    held = await stock.reserve(RESERVE)

    assert isinstance(held, Granted)
    assert before - 2 <= held.read_time_ms <= time.time() * 1000 + 2
    assert held.reservation.expire_time_ms == held.read_time_ms + 60_000
