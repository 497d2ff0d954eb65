"""After a PostgreSQL failover no process stays with a server that takes no writes."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import suppress
from functools import partial
from urllib.parse import urlsplit

import pytest
from prometheus_client import CollectorRegistry

from bench.commits import HELD, FakeShard
from holdfast_runtime import postgres
from inventory_service.adapters.ledger import shards
from inventory_service.adapters.ledger.pool import LedgerPool
from inventory_service.adapters.ledger.shards import LedgerShards
from inventory_service.domain.shards import ADOPTED, LedgerRow, LedgerUnavailable
from order_persister.adapters.ledger.postgres import Database
from order_persister.domain.chain import KafkaRecord
from tests.ledgers import ledger_in, open_shards, waits
from tests.servers import connected, new_postgres, started
from tests.shared_database import SharedDatabase
from tests.waiting import LONG_S, eventually

pytestmark = pytest.mark.timeout(120)
ROW = LedgerRow(shard=0, shards=16, epoch=1, seq=0, hash="", settled_epoch=1, settled_seq=0, frozen_reason="")
SOON_S = 10.0
READ_ONLY = "alter role current_user set default_transaction_read_only = on"
WRITABLE = "alter role current_user reset default_transaction_read_only"
END_SESSIONS = "select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid() and usename = user"


@pytest.fixture(scope="module")
def databases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sequence[SharedDatabase]]:
    """One in each of two PostgreSQLs, which share nothing."""
    folders = [tmp_path_factory.mktemp("postgres") for _ in range(2)]
    with started(new_postgres(folders[0])) as first, started(new_postgres(folders[1])) as second:
        yield SharedDatabase(first), SharedDatabase(second)


@pytest.fixture
async def dsns(databases: Sequence[SharedDatabase]) -> AsyncIterator[Sequence[str]]:
    """Two migrated PostgreSQLs with an open shard 0 each; afterwards they take writes again."""
    found = [await database.empty() for database in databases]
    for dsn in found:
        async with connected(dsn) as db:
            await open_shards(db, [0])
    yield found
    for dsn in found:
        await eventually(partial(takes_writes, dsn))


async def takes_writes(dsn: str) -> bool:
    """A new session of it does; what a test has set is taken back."""
    async with connected(dsn) as db:
        if await db.fetchval("show default_transaction_read_only") == "off":
            return True
        await db.execute("set default_transaction_read_only = off")
        await db.execute("alter system reset default_transaction_read_only")
        await db.execute("select pg_reload_conf()")
        await db.execute(WRITABLE)
    return False


async def test_the_ledger_goes_on_soon_after_a_failover(dsns: Sequence[str]) -> None:
    """Sessions that began while the server took no writes would refuse them for ever."""
    registry, database, shard = CollectorRegistry(), Database(dsns[0]), FakeShard()
    shard.open_sale(lamp=1)
    shard.moves(("r-1", HELD))
    async with connected(dsns[0]) as db:
        await db.execute(READ_ONLY)
        await db.execute(END_SESSIONS)
        applying = asyncio.create_task(ledger_in(database, registry).apply([KafkaRecord(0, 0, shard.run(0))]))
        await eventually(lambda: waits(registry, "postgres") > 1)

        await db.execute(WRITABLE)

        await asyncio.wait_for(applying, LONG_S)  # the longest delay between two attempts is 6.25 s
        assert await db.fetchval("select seq from shard_watermark") == 2
    await database.close()


async def test_a_take_over_goes_on_soon_after_a_failover(dsns: Sequence[str]) -> None:
    """The relay writes to the ledger too, through the pool of the inventory service."""
    ledger = LedgerPool(dsns[0])
    async with connected(dsns[0]) as db:
        await db.execute(READ_ONLY)
        with pytest.raises(LedgerUnavailable):
            await LedgerShards(ledger).fence(ROW, above=0, how=ADOPTED)

        await db.execute(WRITABLE)

        assert await LedgerShards(ledger).fence(ROW, above=0, how=ADOPTED) is not None
    await ledger.close()


async def test_a_session_whose_server_no_longer_takes_writes_is_dropped(dsns: Sequence[str]) -> None:
    """It may have begun before the failover, and all idle ones are of the same server."""
    ledger = LedgerPool(several(dsns))
    assert await server_of(ledger) == dsns[0]
    async with connected(dsns[0]) as db:
        await db.execute("alter system set default_transaction_read_only = on")
        await db.execute("select pg_reload_conf()")

        async def is_refused() -> bool:
            """The session has got the new setting."""
            try:
                async with ledger.connection() as session:
                    await session.execute("update shard_watermark set shards = shards")
            except LedgerUnavailable:
                return True
            return False

        await eventually(is_refused)

    assert await LedgerShards(ledger).fence(ROW, above=0, how=ADOPTED) is not None
    assert await server_of(ledger) == dsns[1]
    await ledger.close()


async def test_of_several_hosts_the_one_that_takes_writes_is_used(dsns: Sequence[str]) -> None:
    """The other may be the standby, or the primary of before, and its data old."""
    ledger = LedgerPool(several(dsns))
    async with connected(dsns[0]) as db:
        await db.execute(READ_ONLY)

    assert await server_of(ledger) == dsns[1]
    await ledger.close()


async def test_a_host_that_does_not_answer_leaves_time_for_the_others(
    dsns: Sequence[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The machine of the primary may be gone, and then nothing refuses the connection."""
    monkeypatch.setattr(postgres, "CONNECT_S", 5.0)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        ledger = LedgerPool(several([f"postgresql://127.0.0.1:{silent.getsockname()[1]}", dsns[1]]))

        async def is_connected() -> str:
            """The other one has answered in the half of the time that is left for it."""
            with suppress(LedgerUnavailable):
                return await server_of(ledger)
            return ""

        assert await eventually(is_connected) == dsns[1]
        await ledger.close()


async def test_the_sessions_of_a_machine_that_is_gone_end_soon(dsns: Sequence[str]) -> None:
    """It closes no connection, so the kernel asks whether it is there, and ends those that it does not confirm."""
    ledger = LedgerPool(dsns[0])
    async with ledger.connection() as db:
        connection = db._con._transport.get_extra_info("socket")  # type: ignore[attr-defined]

        idle_s, between_s, probes = (
            connection.getsockopt(socket.IPPROTO_TCP, option)
            for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
        )
        assert connection.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        assert idle_s + between_s * probes <= SOON_S
        assert 0 < connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) <= SOON_S * 1000
    await ledger.close()


async def test_a_take_over_does_not_wait_long_for_a_statement(
    dsns: Sequence[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever holds the ledger up, the next attempt begins soon after it has ended."""
    monkeypatch.setattr(shards, "TIMEOUT_S", 0.2)
    ledger = LedgerPool(dsns[0])
    async with connected(dsns[0]) as db, db.transaction():
        await db.execute("lock table shard_watermark in access exclusive mode")

        async with asyncio.timeout(SOON_S):
            with pytest.raises(LedgerUnavailable):
                await LedgerShards(ledger).row(0)
            with pytest.raises(LedgerUnavailable):
                await LedgerShards(ledger).fence(ROW, above=0, how=ADOPTED)
    await ledger.close()


def several(dsns: Sequence[str]) -> str:
    """One DSN with the hosts of all."""
    hosts = ",".join(urlsplit(dsn).netloc.rpartition("@")[2] for dsn in dsns)
    user, path = urlsplit(dsns[-1]).username, urlsplit(dsns[-1]).path
    return f"postgresql://{user}@{hosts}{path}"


async def server_of(ledger: LedgerPool) -> str:
    """The DSN of the server of the next session."""
    async with ledger.connection() as db:
        address = "select format('postgresql://%s@127.0.0.1:%s/%s', user, inet_server_port(), current_database())"
        return str(await db.fetchval(address))
