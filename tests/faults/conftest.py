"""A whole stack for the tests of a file; each injects faults and leaves every process running."""

from collections.abc import AsyncIterator, Iterator

import pytest
from holdfast.client import Client
from holdfast_embedded.stack import Stack

from tests.crowd import CRASH_RETRY
from tests.fault_stack import SHARDS, FaultStack
from tests.stacks import running_stack


@pytest.fixture(scope="module")
def shared_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """One stack for the tests of a file."""
    with running_stack(tmp_path_factory.mktemp("stack"), HOLDFAST_SHARDS=str(SHARDS)) as stack:
        yield stack


@pytest.fixture
async def stack(shared_stack: Stack) -> AsyncIterator[FaultStack]:
    """The file's stack, and a client of this test."""
    async with client_of(shared_stack) as client:
        yield FaultStack(shared_stack, client)


def client_of(stack: Stack) -> Client:
    """A client that retries through a crash."""
    return Client(stack.addresses.listen, channels=4, retry=CRASH_RETRY)
