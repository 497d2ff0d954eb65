"""Two processes killed with SIGKILL at once, in the middle of a sale, each two that there are."""

from datetime import timedelta
from itertools import combinations

import pytest

from tests.crowd import Crowd
from tests.faults.proof import faults_of_audit, find_faults_of
from tests.faults.world import World
from tests.waiting import eventually

pytestmark = pytest.mark.timeout(150)  # the waits' own deadlines come first, and say more
UNITS, BUYERS = 150, 15
HOLD_TTL = timedelta(seconds=1)
EVERYBODY = ("serve", "relay", "persist", "compensate", "valkey", "postgres", "broker")


@pytest.mark.parametrize("pair", list(combinations(EVERYBODY, 2)), ids=" and ".join)
async def test_two_killed_at_once_cost_nothing(shared: World, pair: tuple[str, str]) -> None:
    """Promises 1, 2 and 3: neither can lean on the other, and still every acknowledged claim ends once and as it may.

    The crowd sells out after the crash, so a unit that came back by mistake would be sold again.
    """
    crowd = Crowd(shared.client, await shared.open_sale(UNITS, HOLD_TTL), buyers=BUYERS)

    async with crowd.shopping():
        await eventually(lambda: crowd.was_told(30))
        await shared.crash(*pair)

    assert await find_faults_of(shared, crowd.sale_id, crowd.promises) == []


async def test_the_books_agree_after_all_of_it(shared: World) -> None:
    """Promise 4: the product's own audit comes to the same, of all the sales at once."""
    assert await faults_of_audit(shared) == []
