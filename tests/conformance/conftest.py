"""The servers that are held to the same answers."""

from collections.abc import AsyncIterator

import pytest

from tests.conformance.servers import SHARDS, Double, Processes, ServerUnderTest, calling_processes, running_double
from tests.stacks import Running


@pytest.fixture
async def double() -> AsyncIterator[Double]:
    """The server for tests."""
    async with running_double(SHARDS) as server:
        yield server


@pytest.fixture
async def processes(usual_stack: Running) -> AsyncIterator[Processes]:
    """The processes of a stack."""
    async with calling_processes(usual_stack) as server:
        yield server


@pytest.fixture(params=["double", "processes"])
def server(request: pytest.FixtureRequest) -> ServerUnderTest:
    """One of the two."""
    server: ServerUnderTest = request.getfixturevalue(request.param)
    return server
