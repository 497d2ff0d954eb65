"""How a server for tests begins and ends, and what it needs."""

import asyncio
import importlib
import sys

import grpc
import pytest
from holdfast.blocking import BlockingClient
from holdfast.client import Client
from holdfast.inventory.v1.inventory_admin_service_pb2 import CreateSaleRequest
from holdfast.inventory.v1.inventory_admin_service_pb2_grpc import InventoryAdminServiceStub
from holdfast.inventory.v1.inventory_service_pb2 import GetSaleRequest, WatchSaleRequest
from holdfast.inventory.v1.inventory_service_pb2_grpc import InventoryServiceStub
from holdfast.testing import InventoryServer

import inventory_service.rpc

ITEMS = [{"sku": "lamp", "total": 1}]


async def test_it_serves_asynchronous_tests_too() -> None:
    """It has a thread of its own, so a test may wait for the clock on the loop of its client."""
    async with InventoryServer() as server, Client(server.address, channels=1) as shop:
        await shop.create_sale("lamps", {"lamp": 1})
        server.advance(seconds=1)
        answer = await shop.reserve("lamps", "r-1", "ann", {"lamp": 1})

    assert answer.HasField("reservation")


def test_two_servers_know_nothing_of_each_other() -> None:
    """Tests that run at the same time have one each."""
    with InventoryServer() as one, InventoryServer() as other:
        assert one.address != other.address
        with BlockingClient(one.address) as shop:
            shop.create_sale("lamps", {"lamp": 1})
        with BlockingClient(other.address) as shop:
            assert not list(shop.list_sales())


async def test_what_is_open_ends_with_the_server() -> None:
    """A watch ends as it does when a real server stops, and calls find no server."""
    server = InventoryServer()
    server.start()
    async with grpc.aio.insecure_channel(server.address) as channel:
        stub = InventoryServiceStub(channel)
        await InventoryAdminServiceStub(channel).CreateSale(
            CreateSaleRequest(sale={"sale_id": "lamps", "items": ITEMS})
        )
        watch = aiter(stub.WatchSale(WatchSaleRequest(sale_id="lamps")))
        await anext(watch)
        await asyncio.to_thread(server.stop)

        with pytest.raises(grpc.aio.AioRpcError) as ended:
            await anext(watch)
        with pytest.raises(grpc.aio.AioRpcError):
            await stub.GetSale(GetSaleRequest(sale_id="lamps"))

    assert b"SERVER_DRAINING" in dict(ended.value.trailing_metadata() or ())["grpc-status-details-bin"]
    server.stop()


def test_a_server_that_has_not_started_or_has_ended_says_so() -> None:
    """In place of a test that waits for ever."""
    server = InventoryServer()
    with pytest.raises(RuntimeError, match="not started"):
        server.advance(seconds=1)
    with server, pytest.raises(RuntimeError, match="once"):
        server.start()
    with pytest.raises(RuntimeError, match="stopped"):
        server.advance(seconds=1)


def test_what_is_missing_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """The plain client is installed without it."""
    monkeypatch.setattr(inventory_service, "rpc", inventory_service.rpc)  # an import that follows would replace it
    for name in [name for name in sys.modules if name.startswith(("holdfast.testing", "inventory_service.rpc"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "grpc_health.v1", None)

    with pytest.raises(ImportError, match=r"needs grpc_health: install Holdfast with its extra \[testing\]"):
        importlib.import_module("holdfast.testing")
