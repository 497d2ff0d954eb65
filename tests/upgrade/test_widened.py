"""While a deploy is under way, processes of the release before write to tables that the new one has changed."""

import asyncio
import re
from pathlib import Path

import pytest
from holdfast.inventory.v1.reservation_pb2 import ReservationState
from prometheus_client import CollectorRegistry

from inventory_service.adapters.ledger.history import LedgerHistory
from inventory_service.adapters.ledger.postgres import LedgerPool
from inventory_service.domain.keys import Position, SaleKey
from order_persister.adapters.ledger.migrator import migrate
from order_persister.adapters.ledger.postgres import Database
from order_persister.adapters.ledger.queries import load_queries
from order_persister.adapters.ledger.unpublished import Unpublished
from order_persister.metrics import waits_counter
from order_persister.patience import Patience
from tests.ledgers import waits
from tests.servers import connected
from tests.upgrade.recording import put_back_ledger
from tests.waiting import eventually

RECORDED = sorted(path for path in (Path(__file__).parent / "recorded").iterdir() if path.is_dir())
BEGINS_S = 30.0
NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)
_COLUMNS = """
select format('%s.%s', table_name, column_name) as name,
       is_nullable = 'YES' or column_default is not null as may_be_left
  from information_schema.columns where table_schema = 'public'"""
_WHOLE_LETTER = """
update dead_letter set latest_state = 'HELD', latest_revision = 1, latest_time = create_time, latest_epoch = epoch,
       latest_seq = seq, latest_index = index where reservation_id = 'open'
returning created_epoch, created_seq, created_index"""


@pytest.fixture(params=RECORDED, ids=lambda path: path.name)
async def release(request: pytest.FixtureRequest, empty_database: str) -> Path:
    """The folder of a release whose ledger lies in `empty_database`, not changed yet."""
    folder: Path = request.param
    async with connected(empty_database) as db:
        await put_back_ledger(db, (folder / "ledger.sql").read_text())
    return folder


async def test_the_statements_of_the_release_before_still_run(release: Path, empty_database: str) -> None:
    """Widen before a deploy: what an older persister asks is still there, of the same types."""
    await migrate(empty_database)

    async with connected(empty_database) as db:
        for name, statement in statements(release).items():
            assert await db.prepare(statement), name


async def test_rows_of_the_release_before_still_fit(release: Path, empty_database: str) -> None:
    """What an older persister does not know of, it leaves out: each new column is nullable, or has a default."""
    async with connected(empty_database) as db:
        known = {row["name"] for row in await db.fetch(_COLUMNS)}
    await migrate(empty_database)

    async with connected(empty_database) as db:
        added = {row["name"]: row["may_be_left"] for row in await db.fetch(_COLUMNS) if row["name"] not in known}

    old_tables = {name.partition(".")[0] for name in known}
    assert all(may_be_left for name, may_be_left in added.items() if name.partition(".")[0] in old_tables)


async def test_an_order_that_the_release_before_moved_on_is_told_with_its_state(
    release: Path, empty_database: str
) -> None:
    """It notes the state in a letter of ours and nothing else: what we noted before is out of date, and not told."""
    await migrate(empty_database)
    async with connected(empty_database) as db:
        letter = await db.fetchrow(_WHOLE_LETTER)
        assert letter is not None
        of_old = [[value] for value in (*letter, True, "CONFIRMED")]
        await db.execute(statements(release)["move_letters"], 1, *of_old)
    ledger = LedgerPool(empty_database)

    found = (await LedgerHistory(ledger).find_reservation(SaleKey("default", "lamps"), "open")).reservation

    await ledger.close()
    assert found is not None
    assert (found.state, found.revision) == (ReservationState.RESERVATION_STATE_CONFIRMED, 2)
    assert found.position == found.created == Position(1, *letter)


async def test_a_persister_waits_for_the_tables_of_its_version(release: Path, empty_database: str) -> None:
    """Started before `migrate`, it would write what the tables have no place for; it begins once they have."""
    database, registry = Database(empty_database), CollectorRegistry()
    waiting = asyncio.ensure_future(Unpublished(database, load_queries(), Patience(waits_counter(registry))).migrated())
    await eventually(lambda: waits(registry, "postgres") > 0)
    assert not waiting.done()

    await migrate(empty_database)

    await asyncio.wait_for(waiting, BEGINS_S)
    await database.close()


def statements(release: Path) -> dict[str, str]:
    """The statements of a release, by name."""
    _, *parts = NAME.split((release / "queries.sql").read_text())
    return dict(zip(parts[0::2], parts[1::2], strict=True))
