"""What a revocation does while the ledger or Redis is away, on real servers: two servers of one installation."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import NamedTuple

import grpc
import pytest
from holdfast.inventory.v1.inventory_admin_service_pb2 import RevokeTokensRequest
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis

from holdfast_runtime.instruments import Instruments
from holdfast_runtime.retry import Outages
from inventory_service.adapters.ledger.pool import LedgerPool
from inventory_service.adapters.redis.keys import REVOCATIONS_KEY
from inventory_service.domain.caller import Caller as TokenCaller
from inventory_service.domain.heads import ObservedHeads
from inventory_service.service import revocations as service
from inventory_service.service.revocations import TokenRevocations
from inventory_service.settings import Settings
from inventory_service.wiring import serve
from inventory_service.wiring.serve import build_server, now_ms, token_revocations
from tests.inventory_server import (
    SHARDS,
    Caller,
    calling,
    error_of,
    open_shards,
    running_server_process,
)
from tests.outage_proxy import OutageProxy
from tests.servers import connected
from tests.waiting import eventually


class Running(NamedTuple):
    """A server, and what it knows."""

    caller: Caller
    revocations: TokenRevocations

    async def revoke(self, jti: str) -> tuple[bool, bool]:
        """Whether it was revoked before, and whether the ledger has it."""
        answer = await self.caller.admin.RevokeTokens(RevokeTokensRequest(jti=jti, reason="stolen"), timeout=20)
        return answer.replayed, answer.recorded

    def refuses(self, jti: str) -> bool:
        return self.revocations.known.revoked(token(jti))


def token(jti: str) -> TokenCaller:
    return TokenCaller("default", "ann", frozenset(), jti, now_ms() / 1000, now_ms() / 1000 + 3600)


class Installation:
    """Redis and the ledger, each behind a proxy, and servers on them."""

    def __init__(self, redis_url: str, dsn: str, stack: AsyncExitStack) -> None:
        self.redis, self.ledger = OutageProxy(redis_url), OutageProxy(dsn)
        self.redis_url, self.dsn = redis_url, dsn  # without the proxies
        self._stack = stack

    async def listen(self) -> None:
        self._urls = [await self._stack.enter_async_context(proxy.listening()) for proxy in (self.redis, self.ledger)]

    async def start_server(self) -> Running:
        """One more server, as `serve` starts it."""
        redis_url, dsn = self._urls
        settings = Settings(redis_url=redis_url, postgres_dsn=dsn, shards=SHARDS, listeners=1)
        registry, ledger = CollectorRegistry(), LedgerPool(dsn, 4)
        instruments = Instruments(registry, Outages(registry))
        revocations = token_revocations(settings, instruments, ledger)
        server = build_server(settings, instruments, ledger, ObservedHeads(), revocations)
        await revocations.start()
        for read in (revocations.read_stream_forever, revocations.read_table_forever):
            self._stack.callback(asyncio.create_task(read()).cancel)
        self._stack.push_async_callback(ledger.close)
        address = await server.start("127.0.0.1:0")
        self._stack.push_async_callback(server.stop)
        return Running(await self._stack.enter_async_context(calling(address)), revocations)

    async def rows(self) -> list[str]:
        """The names in the ledger's table."""
        async with connected(self.dsn) as db:
            return [row["name"] for row in await db.fetch("select name from revoked_token order by name")]


@pytest.fixture
async def installation(valkey: str, database: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Installation]:
    monkeypatch.setattr(service, "TABLE_INTERVAL_S", 0.3)
    monkeypatch.setattr(service, "TABLE_RETRY_S", 0.1)
    await open_shards(valkey)
    async with AsyncExitStack() as stack:
        installation = Installation(valkey, database, stack)
        await installation.listen()
        yield installation


@pytest.mark.parametrize("how", ["away", "silent"])
async def test_without_the_ledger_it_takes_effect_and_is_recorded_later(
    installation: Installation, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """By whichever server finds it in the stream; and by then a Redis that lost everything brings nothing back."""
    if how == "silent":
        monkeypatch.setattr(serve, "LEDGER_S", 2.0)  # for which each call waits here
    one, other = await installation.start_server(), await installation.start_server()
    installation.ledger.take_away() if how == "away" else installation.ledger.halt()

    assert await one.revoke("t-1") == (False, False)
    assert await one.revoke("t-1") == (True, False)
    await eventually(lambda: other.refuses("t-1"))
    assert await installation.rows() == []

    installation.ledger.bring_back()
    await eventually(installation.rows)
    await eventually(lambda: is_recorded(other, "t-1"))
    async with Redis.from_url(installation.redis_url) as redis:
        await redis.flushall()
    later = await installation.start_server()
    assert [server.refuses("t-1") for server in (one, other, later)] == [True, True, True]


async def is_recorded(server: Running, jti: str) -> bool:
    """A repeat hears that the ledger has it, if that answers in time."""
    return await server.revoke(jti) == (True, True)


async def test_without_redis_it_is_recorded_and_servers_find_it_in_the_table(installation: Installation) -> None:
    """Tokens that were revoked before stay revoked; and the stream works again when Redis is back."""
    one, other = await installation.start_server(), await installation.start_server()
    await one.revoke("before")
    await eventually(lambda: other.refuses("before"))
    installation.redis.take_away()

    assert await one.revoke("t-1") == (False, True)
    await eventually(lambda: other.refuses("t-1"))
    assert other.refuses("before")
    assert not other.refuses("another")

    installation.redis.bring_back()
    installation.ledger.take_away()
    assert await eventually(lambda: revoked_by_the_stream(one, "t-2")) == (False, False)
    await eventually(lambda: other.refuses("t-2"))


async def revoked_by_the_stream(server: Running, jti: str) -> tuple[bool, bool] | None:
    """The connections may not have been made anew yet."""
    try:
        return await server.revoke(jti)
    except grpc.aio.AioRpcError:
        return None


async def test_without_both_it_fails_and_nothing_is_revoked(installation: Installation) -> None:
    """With a reason by which the caller repeats it."""
    one = await installation.start_server()
    installation.ledger.take_away()
    installation.redis.take_away()

    error = await error_of(one.revoke("t-1"))

    assert (error.code, error.retries) == (grpc.StatusCode.UNAVAILABLE, True)
    assert error.reason in ("STORE_UNREACHABLE", "OUTCOME_UNKNOWN")  # the latter: what was sent to one got no answer
    assert not one.refuses("t-1")


async def test_a_repeat_heals_what_a_killed_server_left_between_the_stores(installation: Installation) -> None:
    """The row is there, and the entry is not: the repeat is told, and sends it."""
    redis_url, dsn = installation._urls
    async with (
        running_server_process(redis_url, dsn) as server,
        calling(server.address) as caller,
        Redis.from_url(installation.redis_url) as redis,
    ):
        other = await installation.start_server()
        installation.redis.halt()
        request = RevokeTokensRequest(jti="t-1", reason="stolen")
        cut = asyncio.ensure_future(caller.admin.RevokeTokens(request, timeout=20))
        await eventually(installation.rows)
        server.process.kill()
        await asyncio.gather(cut, return_exceptions=True)  # it waits for Redis for two seconds
        assert await server.ended() == -9
        installation.redis.take_away()  # what was held back is lost
        installation.redis.bring_back()
        assert await redis.xlen(REVOCATIONS_KEY) == 0

        async def is_sent() -> bool:
            """A repeat is in the stream."""
            assert await other.revoke("t-1") == (True, True)
            return await redis.xlen(REVOCATIONS_KEY) > 0

        await eventually(is_sent)
