"""A server for tests, and a client of it."""

from collections.abc import Iterator

import pytest
from holdfast.blocking import BlockingClient
from holdfast.testing import InventoryServer


@pytest.fixture
def server() -> Iterator[InventoryServer]:
    """A server that is empty."""
    with InventoryServer() as server:
        yield server


@pytest.fixture
def shop(server: InventoryServer) -> Iterator[BlockingClient]:
    """A client of it, and a sale of ten lamps."""
    with BlockingClient(server.address, channels=1) as shop:
        shop.create_sale("lamps", {"lamp": 10})
        yield shop
