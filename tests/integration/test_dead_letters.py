"""Reads of an order that the ledger refused when it was made, of which there is only a dead letter."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
from holdfast.inventory.v1.reservation_pb2 import CompensationReason, LedgerState, ReservationState

from bench.commits import CONFIRMED, HELD, HOLD_MS, RELEASED, SALE, TENANT, FakeShard
from inventory_service.adapters.ledger.archive import LedgerArchive
from inventory_service.adapters.ledger.pool import LedgerPool
from inventory_service.domain.keys import Position, SaleKey
from inventory_service.domain.reservation import Reservation, Units
from order_persister.adapters.ledger.postgres import Database
from order_persister.domain.chain import KafkaRecord
from order_persister.service.apply import LedgerWriter
from tests.ledgers import block_buyer, ledger_in, open_shards
from tests.servers import connected

REFUSED = LedgerState.LEDGER_STATE_REFUSED
_LATEST = """
select reservation_state, latest_revision, latest_epoch, latest_seq, latest_index from dead_letter
 where reservation_id = $1"""


@dataclass
class RefusingLedger:
    """A ledger that refuses bob's orders, the Redis that it follows, and the server's archive on it."""

    ledger: LedgerWriter
    shard: FakeShard
    archive: LedgerArchive
    applied: int = 0

    async def apply_new(self) -> None:
        """Apply what the shard did since the last time, in one run."""
        run, self.applied = self.shard.run(self.applied), len(self.shard.commits)
        await self.ledger.apply([KafkaRecord(0, 0, run)])

    async def find(self, reservation_id: str) -> Reservation:
        found = (await self.archive.find_reservation(SaleKey(TENANT, SALE), reservation_id)).reservation
        assert found is not None
        return found


@pytest.fixture
async def refusing(database: str) -> AsyncIterator[RefusingLedger]:
    async with connected(database) as db:
        await open_shards(db, [0])
        await block_buyer(db, "bob", "a test")
    store, pool, shard = Database(database), LedgerPool(database), FakeShard()
    shard.open_sale(lamp=10)
    yield RefusingLedger(ledger_in(store), shard, LedgerArchive(pool))
    await store.close()
    await pool.close()


async def test_a_refused_order_is_read_as_it_was_made(refusing: RefusingLedger) -> None:
    """Its create and expire times are those of the reservation, from the dead letter, and not the ledger's clock."""
    made = refusing.shard.moves(("r-0", HELD), ("r-1", HELD), buyer="bob", reference="cart-7", lamp=2)
    known = refusing.shard.known["r-1"]
    await refusing.apply_new()

    archived = await refusing.archive.find_reservation(SaleKey(TENANT, SALE), "r-1")
    found = archived.reservation

    assert found is not None
    assert archived.fingerprint == "bob - lamp=2 #cart-7"
    assert (found.state, found.ledger_state) == (ReservationState.RESERVATION_STATE_HELD, REFUSED)
    assert (found.buyer_id, found.revision, found.reference) == ("bob", 1, "cart-7")
    assert found.lines == (Units("lamp", 2, 0, 0),)
    assert (found.create_time_ms, found.update_time_ms) == (known.create_time_ms, known.create_time_ms)
    assert found.expire_time_ms == known.create_time_ms + HOLD_MS
    assert found.created == found.position == Position(0, 1, made.seq, 1)


@pytest.mark.parametrize("cut", [False, True], ids=["in one run", "in runs of their own"])
async def test_a_refused_order_that_changed_is_read_in_its_latest_state(refusing: RefusingLedger, cut: bool) -> None:
    """Revision, update time and position are those of its latest change, however its commits are batched."""
    made = refusing.shard.moves(("r-1", HELD), ("r-2", HELD), buyer="bob")
    if cut:
        await refusing.apply_new()
    confirmed = refusing.shard.moves(("other", HELD), ("r-1", CONFIRMED), ("r-2", CONFIRMED), buyer="bob")
    confirmed_ms = refusing.shard.time_ms
    await refusing.apply_new()

    found = await refusing.find("r-1")

    assert (found.state, found.revision) == (ReservationState.RESERVATION_STATE_CONFIRMED, 2)
    assert found.create_time_ms < found.update_time_ms == confirmed_ms
    assert found.expire_time_ms == found.create_time_ms + HOLD_MS
    assert (found.created, found.position) == (Position(0, 1, made.seq, 0), Position(0, 1, confirmed.seq, 1))


async def test_a_refused_order_that_was_released_is_read_as_recorded(refusing: RefusingLedger) -> None:
    """Its units came back with the release; like Redis, the archive returns it as RECORDED, but with the reason."""
    refusing.shard.moves(("r-1", HELD), buyer="bob")
    await refusing.apply_new()
    refusing.shard.moves(("r-1", RELEASED))
    await refusing.apply_new()

    found = await refusing.find("r-1")

    assert (found.state, found.ledger_state) == (
        ReservationState.RESERVATION_STATE_RELEASED,
        LedgerState.LEDGER_STATE_RECORDED,
    )
    assert found.compensation_reason == CompensationReason.COMPENSATION_REASON_BUYER_BLOCKED


async def test_a_reused_id_is_read_as_the_first_order(refusing: RefusingLedger, database: str) -> None:
    """Of two orders of one id, a read returns the recorded one, and the dead letter has the end of the other."""
    refusing.shard.moves(("r-1", CONFIRMED), buyer="ann")
    refusing.shard.archive("r-1")
    refusing.shard.moves(("r-1", HELD), buyer="carl")
    ended = refusing.shard.moves(("r-1", RELEASED))
    await refusing.apply_new()

    found = await refusing.find("r-1")
    async with connected(database) as db:
        dead_letter = await db.fetchrow(_LATEST, "r-1")

    assert (found.buyer_id, found.state) == ("ann", ReservationState.RESERVATION_STATE_CONFIRMED)
    assert dead_letter is not None
    assert tuple(dead_letter) == ("RELEASED", 2, ended.epoch, ended.seq, 0)
