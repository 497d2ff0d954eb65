"""Where the client connects: several servers, one that is down, and a proxy that the environment names."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from holdfast import errors
from holdfast.client import Client
from holdfast.inventory.v1.inventory_service_pb2 import GetSaleResponse, ReserveResponse
from holdfast.inventory.v1.reservation_pb2 import Reservation
from holdfast.retry import RetryPolicy

from tests.unit.clients.fake_inventory import FakeInventory, running_fake
from tests.waiting import LONG_S

HELD = ReserveResponse(reservation=Reservation(reservation_id="r-1"))
LONG_POLICY = RetryPolicy(overall_s=40, attempt_s=20, first_delay_s=0.001)
NO_REPEAT_POLICY = RetryPolicy(overall_s=20, attempt_s=20, first_delay_s=60)


async def test_a_refused_connection_is_no_answer() -> None:
    """It has an error class of its own, as every other failure."""
    async with Client("127.0.0.1:1", channels=1, retry=NO_REPEAT_POLICY) as client:
        assert not await client.reach(within_s=0.1)
        with pytest.raises(errors.NoAnswer):
            await client.get_sale("lamps")


async def test_several_servers_are_called_in_turn(fake: FakeInventory) -> None:
    """Each takes its part of the calls."""
    with running_fake() as other:
        fake.will_answer("GetSale", *[GetSaleResponse()] * 2)
        other.will_answer("GetSale", *[GetSaleResponse()] * 2)

        async with Client(f"{fake.address},{other.address}", channels=2, retry=LONG_POLICY) as client:
            for _ in range(4):
                await client.get_sale("lamps")

        assert (len(fake.asked), len(other.asked)) == (2, 2)


async def test_each_of_more_servers_than_channels_is_called(fake: FakeInventory) -> None:
    """A server without a channel would never be asked, not even while all others are down."""
    with running_fake() as other:
        fake.will_answer("GetSale", GetSaleResponse())
        other.will_answer("GetSale", GetSaleResponse())

        async with Client(f"{fake.address},{other.address}", channels=1, retry=LONG_POLICY) as client:
            for _ in range(2):
                await client.get_sale("lamps")

        assert (len(fake.asked), len(other.asked)) == (1, 1)


async def test_a_server_that_is_down_costs_one_attempt(fake: FakeInventory) -> None:
    """The repeat goes to the next with the same ids, so nothing is done twice if the first had done it."""
    fake.will_answer("Reserve", HELD)

    async with Client(f"127.0.0.1:1,{fake.address}", channels=2, retry=LONG_POLICY) as client:
        assert await client.reach(within_s=LONG_POLICY.attempt_s)
        assert await client.reserve("lamps", "r-1", "ada", {"lamp": 2}) == HELD


@asynccontextmanager
async def proxy(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator["asyncio.Queue[bytes]"]:
    """An HTTP proxy that the environment names: the first line of every request that it gets."""
    lines: asyncio.Queue[bytes] = asyncio.Queue()

    async def note(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        lines.put_nowait(await reader.readline())
        writer.close()

    for variable in ("no_proxy", "no_grpc_proxy", "grpc_proxy", "https_proxy"):
        monkeypatch.delenv(variable, raising=False)
    server = await asyncio.start_server(note, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{port}")
        yield lines


async def test_a_proxy_of_the_environment_is_not_used(fake: FakeInventory, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy for web pages does not know the service, and gRPC would send it even the calls to loopback."""
    fake.will_answer("GetSale", GetSaleResponse())

    async with proxy(monkeypatch) as lines, Client(fake.address, channels=1, retry=NO_REPEAT_POLICY) as client:
        assert await client.get_sale("lamps") == GetSaleResponse()

        assert lines.empty()


async def test_a_proxy_is_used_if_asked_for(fake: FakeInventory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where servers can be reached through the proxy alone."""
    async with proxy(monkeypatch) as lines, Client(fake.address, channels=1, use_proxy=True) as client:
        connecting = asyncio.ensure_future(client.reach(within_s=LONG_S))

        async with asyncio.timeout(LONG_S):
            assert (await lines.get()).startswith(f"CONNECT {fake.address} ".encode())
        connecting.cancel()
