"""Processes killed with SIGKILL in the middle of a sale: nothing acknowledged is lost, nothing is sold twice."""

import pytest

from tests.crowd import Crowd
from tests.faults.proof import find_faults
from tests.faults.world import BRIEF, World
from tests.waiting import eventually

pytestmark = pytest.mark.timeout(300)  # the waits' own deadlines come first, and say more
UNITS = 500


@pytest.mark.parametrize("victim", ["serve", "relay", "persist", "compensate", "valkey", "postgres"])
async def test_a_process_killed_in_mid_sale_costs_nothing(shared: World, victim: str) -> None:
    """Promises 1, 2 and 3: whoever dies, every acknowledged claim ends once and as it may, and no unit has two owners.

    The crowd sells out after the crash, so a unit that came back by mistake would be sold again.
    """
    crowd = Crowd(shared.client, await shared.open_sale(UNITS, BRIEF))

    async with crowd.shopping():
        await eventually(lambda: crowd.was_told(60))
        await shared.kill(victim)

    assert await find_faults(shared, crowd.sale_id, crowd.promises) == []
