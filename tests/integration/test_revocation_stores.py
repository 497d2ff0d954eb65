"""The two stores of revocations on real servers: the ledger's table, and the stream in Redis."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from holdfast.inventory.v1 import inventory_admin_service_pb2 as admin
from redis.asyncio import Redis
from structlog.testing import capture_logs

from inventory_service.adapters.ledger import revocations as ledger_adapter
from inventory_service.adapters.ledger.pool import LedgerPool
from inventory_service.adapters.ledger.revocations import LedgerRevocations
from inventory_service.adapters.redis import revocations as redis_adapter
from inventory_service.adapters.redis.connections import RedisConnections
from inventory_service.adapters.redis.connectors import connections_to
from inventory_service.adapters.redis.keys import REVOCATIONS_KEY
from inventory_service.adapters.redis.revocations import RedisRevocations
from inventory_service.domain.revocations import KEPT_S, Revocation
from inventory_service.domain.shards import RedisUnavailable
from inventory_service.wiring.serve import now_ms
from tests.inventory_server import Caller
from tests.outage_proxy import OutageProxy
from tests.servers import connected


def of_token(jti: str, tenant: str = "acme") -> Revocation:
    return Revocation(tenant, jti, None, "found in a 🛒", "ève", now_ms())


def of_subject(issued_before_s: int, subject: str = "ada") -> Revocation:
    return Revocation("acme", subject, issued_before_s, "left", "", now_ms())


@pytest.fixture
async def connections(valkey: str) -> AsyncIterator[RedisConnections]:
    connections = connections_to(valkey, size=2)
    yield connections
    await connections.close()


@pytest.fixture
async def redis(valkey: str) -> AsyncIterator["Redis"]:
    async with Redis.from_url(valkey) as client:
        yield client


@pytest.fixture
async def table(database: str) -> AsyncIterator[LedgerRevocations]:
    pool = LedgerPool(database)
    yield LedgerRevocations(pool)
    await pool.close()


async def test_each_reader_of_the_stream_reads_each_entry(connections: RedisConnections) -> None:
    """Once, with everything that the table needs of it; a reader that begins later reads them all."""
    first, entries = RedisRevocations(connections), [of_token("t/1 ñ"), of_subject(1_800_000_000)]
    assert list(await first.new()) == []

    for entry in entries:
        assert await first.add(entry) is None

    assert list(await first.new()) == entries
    assert list(await first.new()) == []
    assert list(await RedisRevocations(connections).new()) == entries


async def test_a_long_stream_is_read_in_parts(connections: RedisConnections, monkeypatch: pytest.MonkeyPatch) -> None:
    """No reply keeps Redis or the event loop for long."""
    monkeypatch.setattr(redis_adapter, "ENTRIES_AT_ONCE", 2)
    stream, entries = RedisRevocations(connections), [of_token(f"t-{n}") for n in range(5)]
    for entry in entries:
        await stream.add(entry)

    assert list(await stream.new()) == entries


async def test_a_redis_with_an_older_stream_is_read_from_its_start(connections: RedisConnections, redis: Redis) -> None:
    """Its clock may be behind that of the one before, so its new entries may have ids that are past."""
    stream = RedisRevocations(connections)
    await stream.add(of_token("t-1"))
    await stream.new()
    await redis.delete(REVOCATIONS_KEY)
    await redis.xadd(REVOCATIONS_KEY, fields_of("t-2"), id="5-0")

    assert [entry.name for entry in await stream.new()] == ["t-2"]


async def test_after_a_failure_all_is_read_again(valkey: str) -> None:
    """Another Redis may have taken the place of the one that was read, with other entries before the last one."""
    proxy, entries = OutageProxy(valkey), [of_token("t-1"), of_token("t-2")]
    async with proxy.listening() as url:
        connections = connections_to(url)
        stream = RedisRevocations(connections)
        await stream.add(entries[0])
        assert list(await stream.new()) == entries[:1]

        proxy.take_away()
        with pytest.raises(RedisUnavailable):
            await stream.new()
        failure = await stream.add(entries[1])
        assert failure is not None
        proxy.bring_back()
        assert await stream.add(entries[1]) is None

        assert list(await stream.new()) == entries
        await connections.close()


def fields_of(jti: str) -> dict[Any, Any]:
    entry = of_token(jti)._asdict() | {"issued_before_s": ""}
    return {name: str(value) for name, value in entry.items()}


async def test_entries_leave_the_stream_once_they_are_over(
    connections: RedisConnections, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the next one; and the key goes with the last one."""
    stream = RedisRevocations(connections)
    await redis.xadd(REVOCATIONS_KEY, fields_of("over"), id=f"{now_ms() - KEPT_S * 1000 - 60_000}-0")
    await redis.xadd(REVOCATIONS_KEY, fields_of("alive"), id=f"{now_ms() - KEPT_S * 1000 + 60_000}-0")

    await stream.add(of_token("t-1"))

    assert [entry.name for entry in await stream.new()] == ["alive", "t-1"]
    assert KEPT_S - 60 < await redis.ttl(REVOCATIONS_KEY) <= KEPT_S


async def test_an_entry_of_another_program_is_skipped(connections: RedisConnections, redis: Redis) -> None:
    """And logged; those behind it are read."""
    stream = RedisRevocations(connections)
    await redis.xadd(REVOCATIONS_KEY, {"greeting": b"\xff"})
    await redis.xadd(REVOCATIONS_KEY, {"tenant": "acme"})
    await stream.add(of_token("t-0")._replace(reason="a\0b"))  # which no text of PostgreSQL can have
    await stream.add(of_token("t-0")._replace(create_ms=10**17))  # which is no moment
    await stream.add(of_subject(10**12))
    await stream.add(of_token("t-1"))

    with capture_logs() as logged:
        assert [entry.name for entry in await stream.new()] == ["t-1"]

    assert [line["event"] for line in logged] == ["revocation_unreadable"] * 5


async def test_a_row_is_added_once_and_a_subject_has_its_latest_moment(table: LedgerRevocations) -> None:
    """The first reason and actor stay, unless more tokens are named."""
    token, subject = of_token("t-1"), of_subject(1_800_000_000)

    assert [await table.add(token), await table.add(token._replace(reason="again"))] == [True, False]
    assert await table.add(of_token("t-1", "zenith"))
    assert [await table.add(subject), await table.add(subject._replace(issued_before_s=5, reason="?"))] == [True, False]
    later = subject._replace(issued_before_s=1_800_000_001, reason="back, and left again", actor="eve")
    assert await table.add(later)

    rows = {(row.tenant, row.name): row for row in await table.all()}
    assert rows.keys() == {("acme", "t-1"), ("zenith", "t-1"), ("acme", "ada")}
    assert (rows["acme", "t-1"], rows["acme", "ada"]) == (token, later)


async def test_a_row_comes_back_as_it_was_added(table: LedgerRevocations, monkeypatch: pytest.MonkeyPatch) -> None:
    """Page by page, in whatever order."""
    monkeypatch.setattr(ledger_adapter, "PAGE", 2)
    rows = [*(of_token(f"t-{n}") for n in range(4)), of_subject(1_800_000_000)]
    for row in rows:
        await table.add(row)

    assert {row.name: row for row in await table.all()} == {row.name: row for row in rows}


async def test_rows_that_are_over_are_dropped(table: LedgerRevocations, database: str) -> None:
    """By who reads the table; the token of a `jti` that was given again is revoked anew."""
    over = of_token("t-1")._replace(create_ms=now_ms() - KEPT_S * 1000 - 1000)
    await table.add(over)
    await table.add(of_token("t-2"))

    assert [row.name for row in await table.all()] == ["t-2"]

    async with connected(database) as db:
        assert await db.fetchval("select count(*) from revoked_token") == 1
    assert await table.add(over)
    assert await table.add(of_token("t-1"))
    assert sorted(row.name for row in await table.all()) == ["t-1", "t-2"]


async def test_the_call_tells_a_repeat(caller: Caller, database: str, redis: Redis) -> None:
    """And writes both stores, under the tenant of who calls."""
    request = admin.RevokeTokensRequest(jti="t-1", reason="stolen")

    first = await caller.admin.RevokeTokens(request)
    second = await caller.admin.RevokeTokens(request)

    assert (first.replayed, first.recorded, second.replayed, second.recorded) == (False, True, True, True)
    assert await redis.xlen(REVOCATIONS_KEY) == 2
    async with connected(database) as db:
        rows = await db.fetch("select tenant, kind, name, issued_before, reason, actor from revoked_token")
    assert [tuple(row) for row in rows] == [("default", "JTI", "t-1", None, "stolen", "")]
