"""Random histories of a sale on the ledger's real tables: however they are cut into runs, the rows are the same."""

from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

import pytest

from bench.commits import SALE
from tests.integration.one_shard_ledger import OneShardLedger
from tests.ledger_consistency import inconsistencies
from tests.ledgers import block_buyer, open_shards
from tests.sale_histories import REFUSED_BUYER, SaleHistory

POISON = """
alter table reservation add constraint poison check (reservation_id not like 'poison%' or state <> 'CONFIRMED')"""
OPEN = "select created_epoch, created_seq, created_index from dead_letter where state = 'OPEN'"
STOCK = "select sku, total, held + sold + refused from item where sale_id = $1"
# By table: columns that are not the same each time, for they have the ledger's own clock.
TABLES = {
    "sale": "", "item": "", "sale_change": "", "adjustment": "", "reservation": "", "ledger_entry": "",
    "dead_letter": "create_time", "compensation": "next_send_time", "journal": "",
}  # fmt: skip
# What was added to a hold and dropped again has a row only if both came in runs of their own, and it says nothing.
LINES = "select * from reservation_line where (quantity, asked_quantity) <> (0, 0) order by 1, 2, 3, 4"


async def contents(ledger: OneShardLedger) -> Mapping[str, Sequence[Mapping[str, Any]]]:
    """Every row of every table that the persister writes."""
    found = {"reservation_line": [dict(row) for row in await ledger.db.fetch(LINES)]}
    for table, column in TABLES.items():
        rows = [dict(row) for row in await ledger.db.fetch(f"select * from {table}")]
        for row in rows:
            row.pop(column, None)
        found[table] = sorted(rows, key=repr)
    return found


async def empty(ledger: OneShardLedger) -> None:
    """Have the ledger begin again before the shard's first commit."""
    await ledger.db.execute(f"truncate shard_watermark, reservation_line, {', '.join(TABLES)}")
    await open_shards(ledger.db, [0])


@pytest.mark.parametrize("poison", [False, True], ids=["a blocked buyer", "a constraint too"])
@pytest.mark.parametrize("seed", range(2))
async def test_a_history_leaves_the_same_rows_however_it_is_cut(
    one_shard: OneShardLedger, seed: int, poison: bool
) -> None:
    """Which orders break a constraint depends on the cuts (a forbidden row may be passed over), their units do not."""
    random = Random(seed)
    history, ledger = SaleHistory(random), one_shard
    if poison:
        await ledger.db.execute(POISON)
    await block_buyer(ledger.db, REFUSED_BUYER, at_ms=history.shard.time_ms + random.randint(1, 60))
    for made in history.commits(60):
        outcome = await ledger.apply_commits(made)
        assert (outcome.row.seq, outcome.row.frozen_reason) == (made.seq, "")
        history.refused = {tuple(row) for row in await ledger.db.fetch(OPEN)}
    one_by_one = await contents(ledger)
    assert one_by_one["dead_letter"]
    await check_books(ledger, history)

    for cuts in ((), sorted(random.sample(range(1, len(history.shard.commits)), k=5))):
        await empty(ledger)
        for first, last in zip((0, *cuts), (*cuts, None), strict=True):
            await ledger.apply(history.shard.run(first, last))
        await check_books(ledger, history)
        assert poison or await contents(ledger) == one_by_one


async def check_books(ledger: OneShardLedger, history: SaleHistory) -> None:
    """The items are those of Redis, and agree with entries, lines and dead letters."""
    found = {sku: (total, taken) for sku, total, taken in await ledger.db.fetch(STOCK, SALE)}
    assert found == history.stock()
    assert await inconsistencies(ledger.db) == []
