"""The fake server for tests of the client and of the command."""

from collections.abc import Iterator

import pytest

from tests.unit.clients.fake_inventory import FakeInventory, running_fake


@pytest.fixture
def fake() -> Iterator[FakeInventory]:
    """A server that gives the replies that the test has set."""
    with running_fake() as inventory:
        yield inventory
