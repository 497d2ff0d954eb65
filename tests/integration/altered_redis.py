"""Changes what a shard's Redis holds, as an older copy of its files or a hand would."""

from holdfast.inventory.v1.commit_pb2 import Claim, CommitBody, Event, ReservationChange
from holdfast.inventory.v1.reservation_pb2 import RESERVATION_STATE_HELD

from inventory_service.adapters.redis.keys import shard_keys
from inventory_service.domain.shards import CommitId, hash_of
from tests.integration.shard_processes import ShardProcesses
from tests.servers import connected


async def change_meta(processes: ShardProcesses, *fields: str | int) -> None:
    async with processes.connections.acquire() as connection:
        await connection.execute("HSET", shard_keys(0).meta, *fields)


async def set_back(processes: ShardProcesses, seq: int, owner: str = "of-the-copy") -> str:
    """Make Redis forget the commits above one, as a copy of that moment would; by default it is another Redis then.

    Returns the hash of its head.
    """
    async with connected(processes.dsn) as db:
        hash = await db.fetchval("select hash from journal where shard = 0 and seq = $1", seq)
    await change_meta(processes, "seq", seq, "hash", hash, "trim_seq", seq, "trim_hash", hash, "owner", owner)
    return str(hash)


async def fork(processes: ShardProcesses, owner: str = "of-the-copy") -> CommitId:
    """Make Redis forget the last commit and make another one: a hold of r-1 that the ledger can never take."""
    epoch = (await processes.status()).epoch
    base = await set_back(processes, 3, owner)
    claim = Claim(tenant="default", sale_id="sale-1", reservation_id="r-1", buyer_id="ann")
    claim.lines.add(sku="lamp", quantity=2)
    change = ReservationChange(claim=claim, state=RESERVATION_STATE_HELD, revision=1)
    payload = CommitBody(time_ms=1, events=[Event(reservation=change)]).SerializeToString()
    head = CommitId(epoch, 4)
    hash = hash_of(base, payload)
    async with processes.connections.acquire() as connection:
        await connection.execute("DEL", shard_keys(0).outbox)
        await connection.execute("XADD", shard_keys(0).outbox, str(head), "p", payload, "h", hash)
    await change_meta(processes, "seq", 4, "hash", hash)
    return head
