"""A token that is revoked on one server stops on every other one within a second: its calls and its streams."""

import asyncio
import time
from collections.abc import AsyncIterator
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
        assert (await self.one.admin.RevokeTokens(request, metadata=EVE)).recorded
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
            await one.admin.CreateSale(
                admin.CreateSaleRequest(sale=sale), metadata=token("t-setup", "setup", tenant), wait_for_ready=True
            )
        yield Servers(one, other)


async def answer(caller: Caller, metadata: Any) -> Any:
    """OK, or how a call ended."""
    try:
        await caller.stock.GetSale(calls.GetSaleRequest(sale_id=SALE), metadata=metadata)
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
    """Watches, and a StreamReserve in the middle of its requests; a token that ends takes its stream along too."""
    reserved = await servers.one.stock.Reserve(reserve_request("r-1"), metadata=EVE)
    assert reserved.HasField("reservation")
    ann, bob, brief = token("t-1"), token("t-2", "bob"), token("t-3", "bob", lives_s=4)
    watch_sale = servers.other.stock.WatchSale(calls.WatchSaleRequest(sale_id=SALE), metadata=ann)
    watch_reservation = servers.other.stock.WatchReservation(
        calls.WatchReservationRequest(sale_id=SALE, reservation_id="r-1"), metadata=ann
    )
    stream: Any = servers.other.stock.StreamReserve(metadata=ann)
    others = [
        servers.other.stock.WatchSale(calls.WatchSaleRequest(sale_id=SALE), metadata=metadata)
        for metadata in (bob, brief)
    ]
    watches: list[Any] = [watch_sale, watch_reservation, *others]
    for watch in watches:
        await watch.read()
    await stream.write(calls.StreamReserveRequest(correlation_id=1, request=reserve_request("r-2")))
    assert (await stream.read()).correlation_id == 1

    began = await servers.revoke(subject_tokens={"subject": "ann"})
    ends = await asyncio.gather(*(end_of(each, began) for each in (watch_sale, watch_reservation, stream)))

    print("streams ended after", *(f"{took:.2f} s" for _, took in ends))
    assert [ended for ended, _ in ends] == [REVOKED] * 3
    assert min(took for _, took in ends) < WITHIN_S
    ended, _ = await end_of(others[1], began)
    assert ended == (grpc.StatusCode.UNAUTHENTICATED, "TOKEN_INVALID")
    assert not others[0].done()
    others[0].cancel()


async def end_of(stream: Any, began: float) -> tuple[Any, float]:
    """How a stream ended, and so many seconds after the revocation."""
    try:
        async with asyncio.timeout(LONG_S):
            while await stream.read() is not grpc.aio.EOF:
                pass
    except grpc.aio.AioRpcError as error:
        return how(call_error(error)), time.monotonic() - began
    return "OK", time.monotonic() - began
