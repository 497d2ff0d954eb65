"""Whole stacks to hurt, as `holdfast up` runs them: one for the tests of a file, or one for a test alone."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from holdfast.client import Client
from holdfast_embedded.stack import Stack

from tests.crowd import PATIENCE
from tests.faults.world import SHARDS, World
from tests.stacks import running_stack


@pytest.fixture(scope="module")
def shared_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """One stack for the tests of a file that leave it whole."""
    with running_stack(tmp_path_factory.mktemp("stack"), HOLDFAST_SHARDS=str(SHARDS)) as stack:
        yield stack


@pytest.fixture
def own_stack(tmp_path: Path) -> Iterator[Stack]:
    """A stack for a test that ruins it."""
    with running_stack(tmp_path, HOLDFAST_SHARDS=str(SHARDS)) as stack:
        yield stack


@pytest.fixture
async def shared(shared_stack: Stack) -> AsyncIterator[World]:
    """The file's stack, and a client of this test."""
    async with client_of(shared_stack) as client:
        yield World(shared_stack, client)


@pytest.fixture
async def own(own_stack: Stack) -> AsyncIterator[World]:
    """This test's stack, and a client."""
    async with client_of(own_stack) as client:
        yield World(own_stack, client)


def client_of(stack: Stack) -> Client:
    """A client that waits out a crash."""
    return Client(stack.addresses.listen, channels=4, retry=PATIENCE)
