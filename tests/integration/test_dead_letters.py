"""What the server tells of an order that the ledger refused at its making, while its dead letter alone knows of it."""

from holdfast.inventory.v1.reservation_pb2 import LedgerState, ReservationState

from inventory_service.adapters.ledger import Ledger
from inventory_service.domain.requests import Line, Position, SaleKey
from order_persister.ledger.postgres import Database
from order_persister.rule.chain import Record
from tests.commits import HELD, SALE, TENANT, FakeShard
from tests.ledgers import ledger_in, open_shards
from tests.servers import connected

REFUSED = LedgerState.LEDGER_STATE_REFUSED


async def test_a_refused_order_is_told_as_it_was_made(database: str) -> None:
    """When it was made and ends is in the journal, and no moment of the ledger's own is passed off for it."""
    shard = FakeShard()
    shard.open_sale(lamp=10)
    made = shard.moves(("r-1", HELD), buyer="bob", lamp=2)
    known = shard.known["r-1"]
    async with connected(database) as db:
        await open_shards(db, [0])
        await db.execute("insert into blocked_buyer (tenant, buyer_id, reason) values ($1, 'bob', 'a test')", TENANT)
        store = Database(database)
        await ledger_in(store).apply([Record(0, 0, shard.run(0))])
        await store.close()
    history = Ledger(database)

    found = await history.find_reservation(SaleKey(TENANT, SALE), "r-1")

    await history.close()
    assert found is not None
    assert (found.state, found.ledger_state) == (ReservationState.RESERVATION_STATE_HELD, REFUSED)
    assert (found.buyer_id, found.lines, found.revision) == ("bob", (Line("lamp", 2),), 1)
    assert (found.create_time_ms, found.update_time_ms) == (known.create_time_ms, known.create_time_ms)
    assert found.expire_time_ms > found.create_time_ms
    assert found.created == found.position == Position(0, 1, made.seq, 0)
