"""Redis, PostgreSQL and Kafka each untouched, restarted, set back or blank, at one moment under load.

Every combination: `make test` runs those of SELECTION, `make faults` all of them.
"""

from collections.abc import Collection, Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from tests.faults.recovery.reopening import Opening
from tests.faults.recovery.scenario import StackLender, run_scenario
from tests.faults.recovery.stores import Fate, Fates

pytestmark = pytest.mark.timeout(400)  # the waits' own deadlines come first, and say more

# What has to be done so that every shard serves again. Copies are taken in the order Redis, PostgreSQL, Kafka, and a
# blank PostgreSQL is migrated. Kafka keeps all records since `init`. Where Redis and Kafka are replaced, and the ledger
# knows of commits that it had not applied, their loss has to be accepted too.
#   itself    nothing: no commit that is known to have been is missing, and none of the stores is blank
#   restore   `holdfast restore`: nothing known is lost, but a blank store may be the wrong address or volume; two are
#             rebuilt from Kafka
#   accept    `holdfast restore --accept-loss`: Redis holds what the ledger cannot take, what lies between is nowhere
#   init      `holdfast init`: all three are empty
OPENINGS = """
redis      postgres    kafka: untouched  restarted  set-back  blank
untouched  untouched          itself     itself     itself    itself
untouched  restarted          itself     itself     itself    itself
untouched  set-back           itself     itself     accept    accept
untouched  blank              restore    restore    accept    accept
restarted  untouched          itself     itself     itself    itself
restarted  restarted          itself     itself     itself    itself
restarted  set-back           itself     itself     accept    accept
restarted  blank              restore    restore    accept    accept
set-back   untouched          itself     itself     itself    itself
set-back   restarted          itself     itself     itself    itself
set-back   set-back           itself     itself     itself    itself
set-back   blank              restore    restore    restore   accept
blank      untouched          restore    restore    restore   restore
blank      restarted          restore    restore    restore   restore
blank      set-back           restore    restore    restore   restore
blank      blank              restore    restore    restore   init
"""
WORDS = {
    "itself": Opening.BY_ITSELF,
    "restore": Opening.RESTORE,
    "accept": Opening.ACCEPT_LOSS,
    "init": Opening.INIT,
}
FATES = {fate.value.replace(" ", "-"): fate for fate in Fate}
# Those of most value, for each run of the tests: Redis, PostgreSQL and Kafka; each takes six seconds by itself.
SELECTION = {
    ("set-back", "untouched", "untouched"),
    ("blank", "untouched", "untouched"),
    ("untouched", "set-back", "untouched"),
    ("set-back", "set-back", "set-back"),
}
# The same, and every process starts anew: the ledger alone tells then how far it had read what Kafka has.
SITE_SELECTION = {("set-back", "set-back", "untouched")}
LOST_REDIS = Fates(Fate.BLANK, Fate.UNTOUCHED, Fate.UNTOUCHED)


def combinations(selection: Collection[tuple[str, str, str]]) -> Iterator[Any]:
    """A parameter for each combination: what happens to the stores, and what opens the shards again."""
    rows = {tuple(row.split()[:2]): row.split()[2:] for row in OPENINGS.strip().splitlines()[1:]}
    for redis, postgres, (at, kafka) in product(FATES, FATES, enumerate(FATES)):
        fates = Fates(FATES[redis], FATES[postgres], FATES[kafka])
        marks = [] if (redis, postgres, kafka) in selection else [pytest.mark.every_combination]
        opening = WORDS[rows[redis, postgres][at]]
        yield pytest.param(fates, opening, id=f"redis-{redis} postgres-{postgres} kafka-{kafka}", marks=marks)


@pytest.fixture(scope="module")
def stacks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StackLender]:
    """A stack for the tests of this file, replaced by a new one after a test that fails."""
    lender = StackLender(tmp_path_factory)
    yield lender
    lender.stop()


@pytest.mark.parametrize(("fates", "opening"), list(combinations(SELECTION)))
async def test_no_unit_is_sold_twice_and_no_order_lost_in_silence(
    fates: Fates, opening: Opening, stacks: StackLender, tmp_path: Path
) -> None:
    """Promises 1, 2, 7 and 8: the shards serve again, by themselves or by the one command that the log names.

    Every order that the ledger had recorded, or that any of the stores still has, is there afterwards; if a loss has to
    be accepted, it is listed as an orphan or an epoch of its shard says that commits were lost.
    """
    async with stacks.lent(fresh=fates.postgres is Fate.BLANK) as stack:
        assert await run_scenario(stack, fates, opening, tmp_path) == []


@pytest.mark.parametrize(
    ("fates", "opening"),
    [one for one in combinations(SITE_SELECTION) if one.values[0].postgres is Fate.SET_BACK],
)
async def test_nothing_is_lost_when_every_process_starts_anew_beside_an_older_ledger(
    fates: Fates, opening: Opening, stacks: StackLender, tmp_path: Path
) -> None:
    """Promises 1, 2, 7 and 8: a whole site comes back, and no process remembers how far anything was."""
    async with stacks.lent() as stack:
        assert await run_scenario(stack, fates, opening, tmp_path, site=True) == []


@pytest.mark.every_combination
async def test_a_load_killed_half_way_serves_no_call_and_is_begun_anew(stacks: StackLender, tmp_path: Path) -> None:
    """Promises 1, 2, 7 and 8: `holdfast restore` is killed while it loads, then the relay is. Buyers go on."""
    async with stacks.lent() as stack:
        assert await run_scenario(stack, LOST_REDIS, Opening.RESTORE, tmp_path, kills=True) == []
