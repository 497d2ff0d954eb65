"""A ledger that was set back judges orders again that another has judged before: blocks of buyers are no commits."""

from collections.abc import Sequence
from random import Random

import pytest

from bench.commits import COMPENSATED, CONFIRMED, HELD, RELEASED, FakeShard
from order_persister.domain.units import STATE_NAMES
from tests.integration.one_shard_ledger import OneShardLedger
from tests.ledger_consistency import inconsistencies
from tests.ledgers import block_buyer

BUYERS = ("ann", "bob", "cat")
MOVES = {0: (HELD, CONFIRMED), HELD: (CONFIRMED, RELEASED)}
BACKED_UP = (
    *("shard_watermark", "journal", "sale", "item", "reservation", "reservation_line", "ledger_entry"),
    *("dead_letter", "compensation"),
)
# As reads report them: a refused order that ended before its compensation reads RECORDED.
ROWS = """
select reservation_id, state,
       case when state in ('RELEASED', 'EXPIRED', 'RETURNED') then 'RECORDED' else ledger_state end,
       case when state = 'COMPENSATED' then compensation_reason end, revision, epoch, seq, index
  from reservation order by reservation_id"""
OWED = """
select d.reservation_id from compensation c join dead_letter d using (shard, created_epoch, created_seq, created_index)
 where not c.done order by 1"""


class History:
    """Orders of a few buyers, who are blocked and unblocked, up to a ledger with no open compensation."""

    def __init__(self, ledger: OneShardLedger, seed: int) -> None:
        self.ledger = ledger
        self.random = Random(seed)

    async def run(self, steps: int, backup_at: int) -> None:
        for number in range(steps):
            if number == backup_at:
                await self._back_up()
            await self.random.choices([self._order, self._block, self._unblock, self._apply], [8, 1, 1, 4])[0]()
        while self.ledger.applied < len(self.ledger.shard.commits):
            await self._apply()

    async def _order(self) -> None:
        """A new order, or the next move of one that is held."""
        shard: FakeShard = self.ledger.shard
        held = [name for name, one in shard.known.items() if one.state == HELD]
        name = self.random.choice([*held, f"r-{len(shard.known)}"])
        state = shard.known[name].state if name in shard.known else 0
        shard.moves((name, self.random.choice(MOVES[state])), buyer=self.random.choice(BUYERS))

    async def _block(self) -> None:
        """From the next commit on."""
        await block_buyer(self.ledger.db, self.random.choice(BUYERS), at_ms=self.ledger.shard.time_ms + 1)

    async def _unblock(self) -> None:
        await self.ledger.db.execute("delete from blocked_buyer where buyer_id = $1", self.random.choice(BUYERS))

    async def _apply(self) -> None:
        if self.ledger.applied < len(self.ledger.shard.commits):
            await self.ledger.apply_new()
            await self._compensate()

    async def _compensate(self) -> None:
        """Do what the compensator does for what the ledger owes."""
        owed = [row[0] for row in await self.ledger.db.fetch(OWED)]
        live = [name for name in owed if self.ledger.shard.known[name].state in (HELD, CONFIRMED)]
        if live:
            self.ledger.shard.moves(*((name, COMPENSATED) for name in live))

    async def _back_up(self) -> None:
        for table in BACKED_UP:
            await self.ledger.db.execute(f"create temporary table backup_{table} as select * from {table}")

    async def restore(self) -> None:
        """Set the ledger back to the backup; the blocks stay as they are."""
        await self.ledger.db.execute(f"truncate {', '.join(BACKED_UP)}")
        for table in BACKED_UP:
            await self.ledger.db.execute(f"insert into {table} select * from backup_{table}")


@pytest.mark.parametrize("seed", range(6))
async def test_any_prefix_of_the_ledger_comes_to_the_same_books(one_shard: OneShardLedger, seed: int) -> None:
    """An order that was recorded stays so, one that was refused ends as it ended, and no units go back twice.

    Read again with the blocks as they are, with all of them lifted, and with everybody blocked since.
    """
    history = History(one_shard, seed)
    await history.run(steps=40, backup_at=history.random.randrange(40))
    books = await reservations(one_shard), await one_shard.item(), await one_shard.compensations_owed()
    assert books[2] == 0
    assert {row[0]: row[1] for row in books[0]} == {
        name: STATE_NAMES[one.state] for name, one in one_shard.shard.known.items()
    }

    for blocked_since in ((), (), BUYERS):
        await history.restore()
        for buyer in blocked_since:
            await block_buyer(one_shard.db, buyer, at_ms=one_shard.shard.time_ms + 1)
        await one_shard.apply(one_shard.shard.run())

        assert await reservations(one_shard) == books[0]
        assert (await one_shard.item(), await one_shard.compensations_owed()) == books[1:]
        assert await inconsistencies(one_shard.db) == []
        await one_shard.db.execute("delete from blocked_buyer")


async def reservations(one_shard: OneShardLedger) -> Sequence[tuple[object, ...]]:
    """Every reservation that the ledger has."""
    return [tuple(row) for row in await one_shard.db.fetch(ROWS)]
