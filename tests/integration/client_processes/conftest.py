"""The fake server of the client's unit tests, for clients that run as processes or take seconds."""

import threading
from collections.abc import Iterator

import pytest

from tests.unit.clients.fake_inventory import FakeInventory, running_fake


@pytest.fixture
def fake() -> Iterator[FakeInventory]:
    """A server that gives the replies that the test has set."""
    with running_fake() as inventory:
        yield inventory


@pytest.fixture
def hanging() -> Iterator[threading.Event]:
    """A step of the fake that comes once the test has ended, whatever its end."""
    ended = threading.Event()
    yield ended
    ended.set()
