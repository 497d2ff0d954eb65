"""The two stacks of these tests, as `holdfast up` runs them, each for all tests that leave it as they found it.

`usual_stack` is one of tests/conftest.py, which tests of other folders share.
"""

from collections.abc import AsyncIterator, Iterator

import pytest

from tests.repeated_calls import calling_until_answered
from tests.stack_fixture import StackFixture
from tests.stacks import Running, running

RETENTION_S = "3"  # of the archiving stack; its audit is given it too
OUTBOX_LIMIT = 400  # commits
MEMORY_SHARE = 0.8


@pytest.fixture(scope="session")
def archiving_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A stack that sweeps no overdue holds, archives what has ended after some seconds, and has a small outbox."""
    with running(
        tmp_path_factory.mktemp("archiving"),
        HOLDFAST_SHARDS="4",
        HOLDFAST_EXPIRY="off",
        HOLDFAST_RECORD_RETENTION_S=RETENTION_S,
        HOLDFAST_OUTBOX_LIMIT=str(OUTBOX_LIMIT),
        HOLDFAST_MEMORY_SHARE=str(MEMORY_SHARE),
    ) as started:
        yield started


@pytest.fixture
async def stack(usual_stack: Running) -> AsyncIterator[StackFixture]:
    """The stack with default settings, and a gRPC channel of this test."""
    async with calling_until_answered(usual_stack.stack.addresses.listen) as caller:
        yield StackFixture(usual_stack.stack, caller, usual_stack.log)


@pytest.fixture
async def archiving(archiving_stack: Running) -> AsyncIterator[StackFixture]:
    """The archiving stack, and a gRPC channel of this test."""
    async with calling_until_answered(archiving_stack.stack.addresses.listen) as caller:
        yield StackFixture(archiving_stack.stack, caller, archiving_stack.log)
