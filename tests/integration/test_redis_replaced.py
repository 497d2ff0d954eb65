"""A Redis whose data is replaced under the connections of a process is not served as the one that it was."""

from urllib.parse import urlsplit

from holdfast.inventory.v1.error_reason_pb2 import ErrorReason
from redis.asyncio import Redis

from inventory_service.adapters.redis.connections import RedisConnections
from inventory_service.adapters.redis.scripts import RedisScripts
from inventory_service.adapters.redis.shards import RedisShards
from inventory_service.adapters.redis.stock import RedisStock
from inventory_service.domain.heads import ObservedHeads
from inventory_service.domain.keys import SaleKey
from inventory_service.domain.reservation import Line
from inventory_service.domain.reserve import Reserve
from inventory_service.domain.results import Failure, Granted
from inventory_service.domain.sale import CreateSale
from inventory_service.domain.shards import BegunTakeover
from tests.fences import fenced
from tests.sales import make_sale
from tests.servers import StartValkey
from tests.waiting import eventually

SALE = SaleKey("default", "lamp-sale")
ONE_LAMP = CreateSale(SALE, "Lamps", None, None, 60_000, 60_000, 0, (Line("lamp", 1),))
NOT_SERVING = Failure(ErrorReason.ERROR_REASON_SHARD_NOT_SERVING)


def reserve(reservation_id: str) -> Reserve:
    """A buyer's claim on the one lamp."""
    return Reserve(SALE, reservation_id, f"buyer of {reservation_id}", (Line("lamp", 1),), None)


async def take_over(shards: RedisShards, epoch: int) -> None:
    """Let shard 0 serve under this epoch."""
    begun = await shards.begin_takeover(0, "token", epoch - 1, ledger_frozen=False)
    assert isinstance(begun, BegunTakeover)
    assert await shards.adopt(begun, fenced(begun, epoch))


async def follow(replica: Redis, master: str) -> None:
    """Make one Redis the replica of another, and wait until it has the other's data."""
    address = urlsplit(master)
    async with Redis.from_url(master) as other:
        await other.config_set("repl-diskless-sync-delay", 0)
    await replica.replicaof(address.hostname, address.port)

    async def is_in_step() -> bool:
        found = await replica.info("replication")
        return bool(found["master_link_status"] == "up" and not found["master_sync_in_progress"])

    await eventually(is_in_step)


async def has_epoch(redis: Redis, epoch: int) -> bool:
    """The take-over arrived in this Redis."""
    return bool(await redis.hget("holdfast:{0}:meta", "epoch") == str(epoch).encode())


async def test_a_demoted_master_does_not_serve_the_data_of_another_when_promoted_again(
    start_valkey: StartValkey,
) -> None:
    """Its data is replaced by an older copy's while the process lives and its connections stay open.

    The unit that was granted before the failover would be granted once more.
    """
    first, second = start_valkey(), start_valkey()
    shards = RedisShards(RedisConnections(first.address))
    stock = RedisStock(RedisScripts(RedisConnections(first.address), ObservedHeads()), shards=1, outbox_limit=1000)
    await take_over(shards, 1)
    await make_sale(stock, ONE_LAMP)
    async with Redis.from_url(first.address) as one, Redis.from_url(second.address) as two:
        await follow(two, first.address)
        await take_over(shards, 2)  # the identity of a master changes with its first replica
        await eventually(lambda: has_epoch(two, 2))
        await two.replicaof("NO", "ONE")
        assert isinstance(await stock.reserve(reserve("r-1")), Granted)

        await follow(one, second.address)
        while_replica = await stock.find_sale(SALE)
        await one.replicaof("NO", "ONE")

        answers = [await stock.reserve(reserve("r-2")), await stock.find_sale(SALE)]
        status = await shards.status(0)

    assert while_replica == NOT_SERVING
    assert answers == [NOT_SERVING, NOT_SERVING]
    assert (status.serving, status.frozen_reason) == (False, "")
