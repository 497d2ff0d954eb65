"""Whole stacks to hurt, as `holdfast up` runs them: one for the tests of a file, or one for a test alone."""

import os
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from holdfast.client import Client
from holdfast_embedded.stack import Stack

from tests.crowd import PATIENCE
from tests.faults.world import SHARDS, World

# These tests end servers, so they take none from the environment.
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("HOLDFAST_")}


@pytest.fixture(scope="module")
def shared_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """One stack for the tests of a file that leave it whole."""
    with running_stack(tmp_path_factory.mktemp("stack")) as stack:
        yield stack


@pytest.fixture
def own_stack(tmp_path: Path) -> Iterator[Stack]:
    """A stack for a test that ruins it."""
    with running_stack(tmp_path) as stack:
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


@contextmanager
def running_stack(folder: Path) -> Iterator[Stack]:
    """A stack that serves; what its processes say is shown with a test that fails."""
    environment = {**ENVIRONMENT, "HOLDFAST_SHARDS": str(SHARDS)}
    with Stack(folder / "data", environment, lambda name, line: print(name, line), "127.0.0.1:0") as stack:
        stack.wait_ready()
        yield stack


def client_of(stack: Stack) -> Client:
    return Client(stack.addresses.listen, channels=4, retry=PATIENCE)
