"""A Redis whose data is replaced under the connections of a process is not served as the one that it was."""

from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any
from urllib.parse import urlsplit

import pytest
from holdfast.inventory.v1.error_reason_pb2 import ErrorReason
from redis.asyncio import Redis

from inventory_service.adapters.ledger.shards import LedgerShards
from inventory_service.adapters.redis.connectors import connections_to
from inventory_service.adapters.redis.scripts import RedisScripts
from inventory_service.adapters.redis.shards import RedisShards
from inventory_service.adapters.redis.stock import RedisStock
from inventory_service.domain.heads import ObservedHeads
from inventory_service.domain.keys import SaleKey
from inventory_service.domain.reservation import Line
from inventory_service.domain.reserve import Reserve
from inventory_service.domain.restore import AUTOMATIC, ON_REQUEST
from inventory_service.domain.results import Failure, Granted
from inventory_service.domain.sale import CreateSale, NewItem, SaleRead
from inventory_service.domain.shards import BegunTakeover, CommitId, LedgerRow, LedgerUnavailable
from inventory_service.service.ledger_observer import LedgerObserver
from inventory_service.service.relay.takeover import Ending, ShardTakeover
from inventory_service.settings import Settings
from inventory_service.wiring.servers import takeover
from tests.fences import fenced
from tests.integration.shard_processes import SHARDS, ShardProcesses
from tests.integration.shard_steps import journal_of, serves_anew
from tests.sales import make_sale
from tests.servers import StartValkey
from tests.shared_kafka import Kafka
from tests.switching_proxy import SwitchingProxy
from tests.waiting import eventually

SALE = SaleKey("default", "lamp-sale")
ONE_LAMP = CreateSale(SALE, "Lamps", None, None, 60_000, 60_000, 0, (NewItem("lamp", 1),))
BY_FORCE = ON_REQUEST._replace(force=True)
NOT_SERVING = Failure(ErrorReason.ERROR_REASON_SHARD_NOT_SERVING)


def reserve(reservation_id: str) -> Reserve:
    """A buyer's claim on the one lamp."""
    return Reserve(SALE, reservation_id, f"buyer of {reservation_id}", (Line("lamp", 1),), None)


async def take_over(shards: RedisShards, epoch: int) -> None:
    """Let shard 0 serve under this epoch."""
    begun = await shards.begin_takeover(0, "token", epoch - 1, also_serving=False)
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


async def has_commit(redis: Redis, commit: CommitId) -> bool:
    """The commit arrived in this Redis, as its latest."""
    return list(await redis.hmget("holdfast:{0}:meta", "epoch", "seq")) == [b"%d" % part for part in commit]


def stock_at(url: str, heads: ObservedHeads | None = None) -> RedisStock:
    """The stock as a process has it."""
    return RedisStock(RedisScripts(connections_to(url), heads or ObservedHeads()), shards=1, outbox_limit=1000)


async def test_a_demoted_master_does_not_serve_the_data_of_another_when_promoted_again(
    start_valkey: StartValkey,
) -> None:
    """Promise 7. Its data is replaced by an older copy's while the process lives and its connections stay open.

    The unit that was granted before the failover would be granted once more.
    """
    first, second = start_valkey(), start_valkey()
    shards = RedisShards(connections_to(first.address))
    stock = stock_at(first.address)
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


async def test_a_failover_and_back_that_lost_commits_is_mended_from_the_ledger(
    start_valkey: StartValkey, database: str, kafka: Kafka
) -> None:
    """The ledger has what the copy lacks, so nothing is sold before the shard has it again."""
    first, second = start_valkey(), start_valkey()
    processes = ShardProcesses(first.address, database, kafka)
    await processes.open()
    relaying = processes.at_work(permission=AUTOMATIC["behind"])
    async with relaying, Redis.from_url(first.address) as one, Redis.from_url(second.address) as two:
        await follow(two, first.address)
        await eventually(lambda: serves_anew(processes))
        epoch = (await processes.commit()).epoch
        await eventually(lambda: has_epoch(two, epoch))
        await two.replicaof("NO", "ONE")
        await processes.commit(count=2)
        await eventually(processes.is_drained)

        await follow(one, second.address)
        await one.replicaof("NO", "ONE")

        await eventually(processes.serves)
        status, row = await processes.status(), await processes.ledger.row(0)
        assert row is not None
        assert (status.epoch, status.hash) == (row.epoch, row.hash)
    await processes.close()


async def copy_of(redis: Redis) -> dict[Any, Any]:
    """Every key, as a snapshot of the memory of its machine has it."""
    return {key: await redis.dump(key) for key in await redis.keys("*")}


async def put_back(redis: Redis, copy: dict[Any, Any]) -> None:
    """Let the process continue from a snapshot: neither its identity nor its connections change."""
    async with redis.pipeline(transaction=True) as transaction:
        transaction.flushall()
        for key, value in copy.items():
            transaction.restore(key, 0, value)
        await transaction.execute()


async def test_a_redis_that_went_back_is_stopped_by_the_first_caller_that_knows(start_valkey: StartValkey) -> None:
    """Promise 7. A caller that has just started would be granted the unit of an order that another was told of."""
    server = start_valkey()
    await take_over(RedisShards(connections_to(server.address)), 1)
    stock, newcomer = stock_at(server.address), stock_at(server.address)
    await make_sale(stock, ONE_LAMP)
    async with Redis.from_url(server.address) as redis:
        copy = await copy_of(redis)
        assert isinstance(await stock.reserve(reserve("r-1")), Granted)
        await put_back(redis, copy)

    answers = [await stock.find_sale(SALE), await newcomer.reserve(reserve("r-2"))]

    reason = "WENT_BACK: commit 1-2 was observed, and Redis ends at 1-1"
    assert answers == [NOT_SERVING, NOT_SERVING._replace(metadata={"frozen_reason": reason})]


@pytest.mark.parametrize("ledger_has_it", [False, True], ids=["the ledger lacks the rest", "the ledger has the rest"])
async def test_a_redis_that_went_back_serves_again_only_if_the_ledger_agrees(
    processes: ShardProcesses, ledger_has_it: bool
) -> None:
    """The relay observes each commit, stops the shard, and the take-over holds it against the ledger."""
    async with processes.at_work(), Redis.from_url(processes.redis_url) as redis:
        await processes.commit(count=3)
        await eventually(processes.is_drained)
        copy = await copy_of(redis)
    async with Redis.from_url(processes.redis_url) as redis:
        async with processes.at_work() if ledger_has_it else nullcontext():
            await processes.commit(count=2)
            head = (await processes.status()).head
            if ledger_has_it:
                await eventually(processes.is_drained)
        await put_back(redis, copy)

    found = await processes.status()

    assert found.frozen_reason == f"WENT_BACK: commit {head} was observed, and Redis ends at {processes.epoch}-3"
    async with processes.at_work():
        if ledger_has_it:
            await eventually(lambda: is_frozen(processes, "; NEEDS_RESTORE: "))
            assert not await processes.serves()
        else:
            await eventually(lambda: serves_anew(processes))
            assert await journal_of(processes) == [(processes.epoch, seq) for seq in (1, 2, 3)]


async def is_frozen(processes: ShardProcesses, reason: str) -> bool:
    """The shard is frozen, and this is a part of the reason."""
    return reason in (await processes.status()).frozen_reason


async def test_a_read_reaches_the_redis_that_has_the_address_now(start_valkey: StartValkey) -> None:
    """A failover behind a proxy: the old master still answers on old connections, and says that it is not the owner."""
    old, new = start_valkey(), start_valkey()
    proxy = SwitchingProxy(old.address)
    for server in (old, new):
        await take_over(RedisShards(connections_to(server.address)), 1)
        await make_sale(stock_at(server.address), ONE_LAMP)
    async with proxy.listening() as url, Redis.from_url(old.address) as former:
        stock = stock_at(url)
        assert isinstance(await stock.find_sale(SALE), SaleRead)

        proxy.redis_url = new.address
        await former.replicaof("127.0.0.1", 1)

        await eventually(lambda: is_found(stock))


async def is_found(stock: RedisStock) -> bool:
    """The sale is read; until then the shard does not serve."""
    found = await stock.find_sale(SALE)
    assert isinstance(found, SaleRead) or found == NOT_SERVING
    return isinstance(found, SaleRead)


async def test_the_relay_publishes_from_the_redis_that_has_the_address_now(
    start_valkey: StartValkey, database: str, kafka: Kafka
) -> None:
    """It reads the outbox on connections of its own, on which the old master would go on answering."""
    old, new = start_valkey(), start_valkey()
    proxy = SwitchingProxy(old.address)
    async with proxy.listening() as url, Redis.from_url(old.address) as one, Redis.from_url(new.address) as two:
        processes = ShardProcesses(url, database, kafka)
        await processes.open()
        await follow(two, old.address)
        async with processes.at_work():
            await eventually(processes.serves)
            commit = await processes.commit()
            await eventually(processes.is_drained)
            await eventually(lambda: has_commit(two, commit))

            await two.replicaof("NO", "ONE")
            proxy.redis_url = new.address
            await one.replicaof("127.0.0.1", 1)

            await eventually(processes.serves)
            await processes.commit()
            await eventually(processes.is_drained)
        await processes.close()


async def test_a_relay_loads_the_redis_that_has_the_address_now(
    start_valkey: StartValkey, database: str, kafka: Kafka
) -> None:
    """It loaded the one before, which is still up: a load there would find its take-over gone, again and again."""
    old, new = start_valkey(), start_valkey()
    proxy = SwitchingProxy(old.address)
    async with proxy.listening() as url:
        processes = ShardProcesses(url, database, kafka)
        await processes.open()
        relay = relay_takeover(processes)
        async with processes.persister.running():
            assert (await relay.attempt(0, BY_FORCE)).ending is Ending.LOADED

            proxy.redis_url = new.address
            async with Redis.from_url(new.address) as redis:
                await eventually(lambda: has_identity_of(processes, redis))
                assert (await relay.attempt(0, BY_FORCE)).ending is Ending.LOADED
                assert await redis.hexists("holdfast:{0}:meta", "owner")
        await processes.close()


def relay_takeover(processes: ShardProcesses) -> ShardTakeover:
    """A take-over with the connections that a process has."""
    settings = Settings(redis_url=processes.redis_url, postgres_dsn=processes.dsn, shards=SHARDS)
    renewal = processes.connections.renewal
    parts = processes.shards, processes.outbox, processes.postgres, processes.commit_offsets
    return takeover(settings, *parts, lambda progress: None, renewal)


async def has_identity_of(processes: ShardProcesses, redis: Redis) -> bool:
    """The process asks the Redis that has the address now."""
    processes.connections.renewal.demand()
    return bool((await processes.status()).identity == (await redis.info("replication"))["master_replid"])


async def test_the_ledger_tells_a_server_that_its_redis_is_an_older_one(start_valkey: StartValkey) -> None:
    """The server has just started and has observed nothing; the shard was taken over in another Redis since."""
    server = start_valkey()
    shards = RedisShards(connections_to(server.address))
    await take_over(shards, 1)
    await make_sale(stock_at(server.address), ONE_LAMP)
    heads = ObservedHeads()
    stock = stock_at(server.address, heads)
    assert isinstance(await stock.find_sale(SALE), SaleRead)

    await LedgerObserver(Ledger(epoch=2, seq=0), heads).observe()

    assert await stock.reserve(reserve("r-1")) == NOT_SERVING
    assert (await shards.status(0)).frozen_reason == ""


async def test_a_ledger_that_is_away_stops_no_server(start_valkey: StartValkey) -> None:
    """An outage of the ledger is no reason to refuse a call."""
    heads = ObservedHeads()

    await LedgerObserver(Ledger(error=LedgerUnavailable("away")), heads).observe()

    assert heads.get(0) == (0, 0)


class Ledger(LedgerShards):
    """A ledger with one row."""

    def __init__(self, epoch: int = 0, seq: int = 0, error: LedgerUnavailable | None = None) -> None:
        self._row = LedgerRow(0, 1, epoch, seq, "", 0, 0, "")
        self._error = error

    async def rows(self) -> Mapping[int, LedgerRow]:
        if self._error is not None:
            raise self._error
        return {0: self._row}
