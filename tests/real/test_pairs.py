"""Every pair of a stack's processes is killed with SIGKILL at once during a sale.

Real servers only: the embedded broker loses its records when it is killed.
"""

from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from itertools import combinations

import pytest
from holdfast.client import Client
from holdfast_embedded.stack import Stack

from tests.crowd import CRASH_RETRY, Crowd
from tests.fault_stack import SHARDS, FaultStack
from tests.promise_checks import audit_violations, find_violations_of_sale
from tests.stacks import running_stack
from tests.waiting import eventually

pytestmark = pytest.mark.timeout(300)  # the waits' own deadlines come first, and say more
UNITS, BUYERS = 150, 15
HOLD_TTL = timedelta(seconds=1)
PROCESSES = ("serve", "relay", "persist", "compensate", "valkey", "postgres", "broker")


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """One stack for all pairs, so that each pair also runs on the state that the one before left."""
    with running_stack(tmp_path_factory.mktemp("stack"), HOLDFAST_SHARDS=str(SHARDS)) as stack:
        yield stack


@pytest.fixture
async def stack(running: Stack) -> AsyncIterator[FaultStack]:
    """The stack, and a client that retries through a crash."""
    async with Client(running.addresses.listen, channels=4, retry=CRASH_RETRY) as client:
        yield FaultStack(running, client)


@pytest.mark.parametrize("pair", list(combinations(PROCESSES, 2)), ids=" and ".join)
async def test_two_processes_killed_at_once_lose_nothing(stack: FaultStack, pair: tuple[str, str]) -> None:
    """Promises 1, 2 and 3: every acknowledged claim ends once, in a state that it may end in.

    The crowd sells out after the crash, so a unit that came back by mistake would be sold again.
    """
    crowd = Crowd(stack.client, stack.dsn, await stack.open_sale(UNITS, HOLD_TTL), buyers=BUYERS)

    async with crowd.buying():
        await eventually(lambda: crowd.has_acknowledged(30))
        await stack.crash(*pair)

    assert await find_violations_of_sale(stack, crowd.sale_id, crowd.acknowledged) == []


async def test_the_audit_finds_no_difference_at_the_end(stack: FaultStack) -> None:
    """Promise 4: the product's own audit of all the sales finds no difference either."""
    assert await audit_violations(stack) == []
