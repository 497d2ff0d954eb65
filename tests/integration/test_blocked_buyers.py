"""Blocked buyers between real servers: the calls, and how the shards' copies of the list follow the ledger."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from holdfast.inventory.v1 import inventory_admin_service_pb2 as admin
from holdfast.inventory.v1 import inventory_service_pb2 as calls
from holdfast.inventory.v1.reservation_pb2 import Line, RejectionReason

from inventory_service.adapters.ledger.buyers import LedgerBuyers
from inventory_service.adapters.ledger.pool import LedgerPool
from inventory_service.adapters.redis.connectors import connections_to
from inventory_service.adapters.redis.shards import RedisShards
from inventory_service.service.relay import blocked_buyers
from tests.fences import fenced
from tests.integration.shard_processes import ShardProcesses
from tests.inventory_server import SHARDS, Caller
from tests.servers import connected
from tests.waiting import eventually

BLOCKED = RejectionReason.REJECTION_REASON_BUYER_BLOCKED
BRIEF = {"nanos": 200_000_000}


async def block(caller: Caller, buyer: str, reason: str = "a bot") -> bool:
    """Block a buyer; whether it was blocked already."""
    return (await caller.admin.BlockBuyer(admin.BlockBuyerRequest(buyer_id=buyer, reason=reason))).replayed


async def unblock(caller: Caller, buyer: str) -> bool:
    """Unblock a buyer; whether it was not blocked."""
    return (await caller.admin.UnblockBuyer(admin.UnblockBuyerRequest(buyer_id=buyer))).replayed


async def ask_for_a_lamp(caller: Caller, buyer: str, name: str) -> calls.ReserveResponse:
    lines = [Line(sku="lamp", quantity=1)]
    request = calls.ReserveRequest(sale_id="lamp-sale", reservation_id=name, buyer_id=buyer, lines=lines)
    return await caller.stock.Reserve(request)


@asynccontextmanager
async def asking_without_pause(caller: Caller, buyer: str) -> AsyncIterator[list[calls.ReserveResponse]]:
    """A buyer asks for the lamp again as soon as it was answered: the answers so far."""
    answers: list[calls.ReserveResponse] = []

    async def ask() -> None:
        for number in itertools.count():
            answers.append(await ask_for_a_lamp(caller, buyer, f"{buyer}-{number}"))

    asking = asyncio.create_task(ask())
    yield answers
    assert not asking.done()
    asking.cancel()


async def test_a_blocked_bot_cannot_keep_a_sale_sold_out(caller: Caller) -> None:
    """It would take the lamp again in the moment in which its hold ends, for the ledger refuses it only afterwards."""
    await caller.create_sale(units=1, hold_ttl=BRIEF)
    async with asking_without_pause(caller, "bot") as answers:
        await eventually(lambda: [answer for answer in answers if answer.HasField("reservation")])

        await block(caller, "bot")
        judged_before = len(answers) + 1  # and one that was under way

        async def is_granted() -> bool:
            """An honest buyer gets the lamp."""
            return (await ask_for_a_lamp(caller, "ann", "a-1")).HasField("reservation")

        await eventually(is_granted)
        later = await eventually(lambda: answers[judged_before:])
    assert {answer.rejection.reason for answer in later} == {BLOCKED}


async def test_both_calls_are_harmless_twice(caller: Caller, database: str) -> None:
    """The first reason stays, and only what changed the list raises its version."""
    await caller.create_sale()

    blocked = [await block(caller, "bob", reason) for reason in ("stolen card", "another word")]
    rejection = (await ask_for_a_lamp(caller, "bob", "r-1")).rejection

    assert (blocked, rejection.reason) == ([False, True], BLOCKED)
    async with connected(database) as ledger:
        rows = await ledger.fetch("select tenant, buyer_id, reason, actor from blocked_buyer")
        assert [tuple(row) for row in rows] == [("default", "bob", "stolen card", "")]
        assert await ledger.fetchval("select previous from blocked_version") == 0
        version = await ledger.fetchval("select version from blocked_version")
        assert [await unblock(caller, "bob"), await unblock(caller, "bob")] == [False, True]
        assert await ledger.fetchval("select previous from blocked_version") == version
    assert (await ask_for_a_lamp(caller, "bob", "r-1")).HasField("reservation")


async def test_a_buyer_is_blocked_in_the_shards_that_serve(caller: Caller, valkey: str) -> None:
    """A shard that does not is brought up to date later, and the call does not fail for it."""
    connections = connections_to(valkey)
    shards = RedisShards(connections)
    assert await shards.freeze(0, 1, "TEST: it does not serve")

    assert not await block(caller, "bob")

    assert [(await shards.status(shard)).blocked_version for shard in range(SHARDS)] == [None, None]
    async with connections.acquire() as connection:
        sizes = [await connection.execute("HGET", f"holdfast:{{{shard}}}:meta", "blocked") for shard in range(SHARDS)]
    assert sizes == [None, b"1"]
    await connections.close()


async def test_a_relay_corrects_a_copy_that_differs(processes: ShardProcesses, monkeypatch: pytest.MonkeyPatch) -> None:
    """A change that reached the ledger alone is in every copy soon."""
    monkeypatch.setattr(blocked_buyers, "COMPARE_INTERVAL_S", 0.1)
    ledger = LedgerBuyers(processes.postgres)

    async def is_copied(size: int) -> bool:
        """Both shards have the list."""
        version = await ledger.blocked_version()
        for shard in range(SHARDS):
            status = await processes.status(shard)
            if (status.blocked_version, await size_of_copy(processes, shard)) != (version, size):
                return False
        return True

    async with processes.relaying():
        await eventually(lambda: is_copied(0))
        await ledger.block_buyer("default", "ann", "a test", actor="")
        await ledger.block_buyer("default", "bob", "a test", actor="")
        await eventually(lambda: is_copied(2))
        await ledger.unblock_buyer("default", "ann")
        await eventually(lambda: is_copied(1))


async def test_a_list_that_was_set_back_never_has_a_version_again(database: str) -> None:
    """The copies that have the list of before would else pass for its equal, and the relay would not correct them."""
    pool = LedgerPool(database)
    ledger = LedgerBuyers(pool)
    lost = [await ledger.block_buyer("default", name, "a test", actor="") for name in ("ann", "bob")]
    async with connected(database) as db:
        await db.execute("delete from blocked_buyer")
        await db.execute("delete from blocked_version")

    anew = [await ledger.block_buyer("default", name, "a test", actor="") for name in ("cid", "dan")]

    assert {change.version for change in lost}.isdisjoint(change.version for change in anew)
    assert [change.before for change in anew] == [0, anew[0].version]
    await pool.close()


async def test_a_copy_is_restored_as_soon_as_its_shard_serves_anew(
    processes: ShardProcesses, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new epoch begins with an empty copy, because the ledger may have been set back."""
    monkeypatch.setattr(blocked_buyers, "COMPARE_INTERVAL_S", 3600.0)
    await LedgerBuyers(processes.postgres).block_buyer("default", "ann", "a test", actor="")

    async def is_copied() -> bool:
        """The shard has the list."""
        return bool((await processes.status()).blocked_version) and await size_of_copy(processes, 0) == 1

    async with processes.relaying(takeover_timeout_s=60.0):  # it leaves the take-over to the test
        await eventually(is_copied)
        takeover = await processes.shards.begin_takeover(0, "test", processes.epoch + 1, True)
        assert not isinstance(takeover, str), takeover
        assert await processes.shards.adopt(takeover, fenced(takeover, processes.epoch + 1, SHARDS))
        await eventually(is_copied)


async def size_of_copy(processes: ShardProcesses, shard: int) -> object:
    async with processes.connections.acquire() as connection:
        return await connection.execute("HLEN", f"holdfast:{{{shard}}}:blocked")
