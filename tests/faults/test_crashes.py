"""Processes killed with SIGKILL in the middle of a sale: nothing acknowledged is lost, nothing is sold twice."""

import pytest

from tests.crowd import Crowd
from tests.fault_stack import BRIEF, FaultStack
from tests.promise_checks import find_violations
from tests.waiting import eventually

pytestmark = pytest.mark.timeout(300)  # the waits' own deadlines come first, and say more
UNITS = 300


@pytest.mark.parametrize("victim", ["serve", "relay", "persist", "compensate", "valkey", "postgres"])
async def test_a_process_killed_in_mid_sale_loses_nothing(stack: FaultStack, victim: str) -> None:
    """Promises 1, 2 and 3: whichever process dies, every acknowledged claim ends once, and no unit has two owners.

    The crowd sells out after the crash, so a unit that came back by mistake would be sold again.
    """
    crowd = Crowd(stack.client, stack.dsn, await stack.open_sale(UNITS, BRIEF))

    async with crowd.buying():
        await eventually(lambda: crowd.has_acknowledged(60))
        await stack.kill(victim)

    assert await find_violations(stack, crowd.sale_id, crowd.acknowledged) == []
