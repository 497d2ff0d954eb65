"""A persister that is halted in the middle of a transaction: its shards must not wait for it."""

import pytest

from bench.commits import HELD, FakeShard
from holdfast_runtime.connection_errors import TransientError
from order_persister.adapters.ledger import postgres
from order_persister.adapters.ledger.postgres import Database
from order_persister.adapters.ledger.queries import ledger_queries
from order_persister.domain.chain import KafkaRecord
from tests.ledgers import ledger_in, open_shards
from tests.servers import connected


@pytest.mark.parametrize("where", ["between statements", "within a statement"])
async def test_a_halted_transaction_is_ended_and_another_persister_takes_the_shard(
    database: str, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Postgres ends it, another persister takes the shard, and the halted one gets a transient error."""
    for timeout in ("LOCK_S", "IDLE_IN_TRANSACTION_S"):
        monkeypatch.setattr(postgres, timeout, 0.3)
    halted, other = Database(database), Database(database)
    shard = FakeShard()
    shard.open_sale(lamp=1)
    shard.moves(("r-1", HELD))
    async with connected(database) as db:
        await open_shards(db, [0])

    begun = False

    async def is_halted_while_the_other_works() -> None:
        nonlocal begun
        async with halted.transaction() as transaction:
            await transaction.fetch(ledger_queries().lock_shard, 0)
            if where == "within a statement":  # it was sent and is not executed yet
                await transaction._connection.prepare("select 1")
            begun = True
            await ledger_in(other).apply([KafkaRecord(0, 0, shard.run(0))])
            await transaction.execute("update shard_watermark set seq = 99")

    while not begun:  # on a halted machine, Postgres may end the transaction before it has locked the shard
        with pytest.raises(TransientError):
            await is_halted_while_the_other_works()

    async with connected(database) as db:
        assert await db.fetchval("select seq from shard_watermark where shard = 0") == 2
    await halted.close()
    await other.close()
