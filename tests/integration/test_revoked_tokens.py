"""A token that is revoked on one server stops on every other one within a second: its calls and its streams."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, NamedTuple

import grpc
import pytest
from holdfast.inventory.v1 import inventory_admin_service_pb2 as admin
from holdfast.inventory.v1 import inventory_service_pb2 as calls
from holdfast.inventory.v1.sale_pb2 import Item, Sale

from tests.inventory_server import (
    Caller,
    CallError,
    call_error,
    calling,
    open_shards,
    reserve_request,
    running_server_process,
    until_judged,
)
from tests.tokens import SECRET, claims, secret_token
from tests.waiting import LONG_S, eventually

SALE = "lamp-sale"
ALL = "inventory.read inventory.reserve inventory.admin"
REVOKED = (grpc.StatusCode.UNAUTHENTICATED, "TOKEN_REVOKED")
WITHIN_S = 1.0


def token(jti: str, subject: str = "ann", tenant: str = "acme", lives_s: float = 3600) -> list[tuple[str, str]]:
    """The metadata of a call with a token that was made a minute ago."""
    now_s = int(time.time())
    moments = {"iat": now_s - 60, "exp": now_s + lives_s}
    made = secret_token(claims(**moments, sub=subject, tenant=tenant, jti=jti, scope=ALL))
    return [("authorization", f"Bearer {made}")]


EVE = token("t-eve", "eve")


class Servers(NamedTuple):
    """Two server processes of one installation."""

    one: Caller
    other: Caller

    async def revoke(self, **fields: Any) -> float:
        """Revoke tokens on the one: when it was answered, by the monotonic clock."""
        request = admin.RevokeTokensRequest(reason="stolen", **fields)
        await self.one.admin.RevokeTokens(request, metadata=EVE)
        return time.monotonic()


@pytest.fixture
async def servers(valkey: str, database: str, tmp_path: Path) -> AsyncIterator[Servers]:
    await open_shards(valkey)
    secret = tmp_path / "secret"
    secret.write_bytes(SECRET)
    secret.chmod(0o600)
    settings = {"HOLDFAST_AUTH_SECRET_FILE": str(secret), "HOLDFAST_AUTH_LEEWAY_S": "0"}
    async with AsyncExitStack() as stack:
        starting = [running_server_process(valkey, database, **settings) for _ in range(2)]
        started = await asyncio.gather(*map(stack.enter_async_context, starting))
        one, other = [await stack.enter_async_context(calling(server.address)) for server in started]
        for tenant in ("acme", "zenith"):
            sale = Sale(sale_id=SALE, items=[Item(sku="lamp", total=10)])
            request, metadata = admin.CreateSaleRequest(sale=sale), token("t-setup", "setup", tenant)
            await until_judged(lambda: one.admin.CreateSale(request, metadata=metadata, wait_for_ready=True))  # noqa: B023
        yield Servers(one, other)


async def answer(caller: Caller, metadata: Any) -> Any:
    """OK, or how a call ended."""
    try:
        await until_judged(lambda: caller.stock.GetSale(calls.GetSaleRequest(sale_id=SALE), metadata=metadata))
    except grpc.aio.AioRpcError as error:
        return how(call_error(error))
    return "OK"


def how(error: CallError) -> tuple[grpc.StatusCode, str]:
    return error.code, error.reason


async def test_a_revoked_token_is_refused_by_every_server_within_a_second(servers: Servers) -> None:
    """Also one that was valid a moment ago; and no other token is refused."""
    took_s = []
    for jti in ("t-1", "t-2", "t-3"):
        stolen = token(jti)
        assert await answer(servers.other, stolen) == "OK"
        began = await servers.revoke(jti=jti)
        assert await answer(servers.one, stolen) == REVOKED

        async def is_refused(stolen: Any = stolen) -> bool:
            return bool(await answer(servers.other, stolen) == REVOKED)

        await eventually(is_refused)
        took_s.append(time.monotonic() - began)

    print("refused elsewhere after", *(f"{took:.2f} s" for took in took_s))
    assert min(took_s) < WITHIN_S  # one may be late where the machine is
    assert await answer(servers.other, token("t-4")) == "OK"
    assert await answer(servers.other, token("t-1", tenant="zenith")) == "OK"


async def test_running_streams_end_with_their_token(servers: Servers) -> None:
    """Watches, and a StreamReserve in the middle of its requests; those with another token go on."""
    reserved = await until_judged(lambda: servers.one.stock.Reserve(reserve_request("r-1"), metadata=EVE))
    assert reserved.HasField("reservation")
    other = servers.other.stock.WatchSale(calls.WatchSaleRequest(sale_id=SALE), metadata=token("t-2", "bob"))
    await other.read()

    took_s: list[float] = []
    for subject in ("ann", "cid", "dan"):
        streams = await opened_with(servers.other, token(f"t-{subject}", subject))
        began = await servers.revoke(subject_tokens={"subject": subject})
        ends = await asyncio.gather(*(end_of(each, began) for each in streams))
        assert [ended for ended, _ in ends] == [REVOKED] * 3
        took_s += [took for _, took in ends]

    print("streams ended after", *(f"{took:.2f} s" for took in took_s))
    assert min(took_s) < WITHIN_S  # some may be late where the machine is
    assert not other.done()
    other.cancel()


async def opened_with(caller: Caller, metadata: Any) -> Sequence[Any]:
    """Two watches and a stream of requests, each of which has had a message."""
    watches: list[Any] = [
        caller.stock.WatchSale(calls.WatchSaleRequest(sale_id=SALE), metadata=metadata),
        caller.stock.WatchReservation(
            calls.WatchReservationRequest(sale_id=SALE, reservation_id="r-1"), metadata=metadata
        ),
    ]
    for watch in watches:
        await watch.read()
    stream: Any = caller.stock.StreamReserve(metadata=metadata)
    await stream.write(calls.StreamReserveRequest(correlation_id=1, request=reserve_request("r-2")))
    assert (await stream.read()).correlation_id == 1
    return [*watches, stream]


async def test_a_token_that_ends_takes_its_stream_along(servers: Servers) -> None:
    """One that has begun, and has had a message."""

    async def end_of_a_brief_one() -> Any:
        """It began while its token was valid."""
        brief = servers.other.stock.WatchSale(
            calls.WatchSaleRequest(sale_id=SALE), metadata=token("t-3", "bob", lives_s=3)
        )
        try:
            await brief.read()
        except grpc.aio.AioRpcError:
            return None
        return await end_of(brief, time.monotonic())

    ended, _ = await eventually(end_of_a_brief_one)

    assert ended == (grpc.StatusCode.UNAUTHENTICATED, "TOKEN_INVALID")


async def end_of(stream: Any, began: float) -> tuple[Any, float]:
    """How a stream ended, and so many seconds after the revocation."""
    try:
        async with asyncio.timeout(LONG_S):
            while await stream.read() is not grpc.aio.EOF:
                pass
    except grpc.aio.AioRpcError as error:
        return how(call_error(error)), time.monotonic() - began
    return "OK", time.monotonic() - began
