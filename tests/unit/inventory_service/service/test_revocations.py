"""What becomes of a revocation while a store is away, and how what one store lacks comes from the other."""

import asyncio
from collections.abc import Sequence

import pytest
from holdfast.inventory.v1 import error_reason_pb2 as reasons
from structlog.testing import capture_logs

from inventory_service.domain.results import Failure
from inventory_service.domain.revocations import KEPT_S, Revocation, Revocations
from inventory_service.domain.shards import LedgerOutcomeUnknown, LedgerUnavailable, RedisUnavailable
from inventory_service.service import revocations as service
from inventory_service.service.bulkhead import Bulkhead
from inventory_service.service.revocations import Revoked, TokenRevocations
from inventory_service.wiring.serve import warn_unless_read

NOW_MS = 1_800_000_000_000
TOKEN = Revocation("acme", "t-1", None, "stolen", "eve", NOW_MS)
ADA = Revocation("acme", "ada", 1_800_000_000, "left", "eve", NOW_MS)
UNREACHABLE = Failure(reasons.ERROR_REASON_STORE_UNREACHABLE)
UNKNOWN = Failure(reasons.ERROR_REASON_OUTCOME_UNKNOWN)


class Table:
    """The ledger's table, which a test can take away."""

    def __init__(self) -> None:
        self.rows = Revocations()
        self.away: LedgerUnavailable | None = None

    async def add(self, revocation: Revocation) -> bool:
        if self.away:
            raise self.away
        is_new = not self.rows.covers(revocation)
        self.rows.add([revocation])
        return is_new

    async def all(self) -> Sequence[Revocation]:
        if self.away:
            raise self.away
        return self.rows.all()


class Stream:
    """The stream in Redis, which a test can take away."""

    def __init__(self) -> None:
        self.entries: list[Revocation] = []
        self.away: Failure | None = None
        self.is_silent = False

    async def add(self, revocation: Revocation) -> Failure | None:
        if self.is_silent:
            await asyncio.Event().wait()
        if self.away is None:
            self.entries.append(revocation)
        return self.away

    async def new(self) -> Sequence[Revocation]:
        if self.away:
            raise RedisUnavailable("away")
        return self.entries


class Server:
    """One server's revocations."""

    def __init__(self, table: Table, stream: Stream) -> None:
        self.now_ms = NOW_MS
        self.reads: list[str] = []
        bulkhead = Bulkhead(1, limit_s=0.5)
        self.revocations = TokenRevocations(Revocations(), table, stream, bulkhead, self, lambda: self.now_ms)

    def read_table(self) -> None:
        self.reads.append("table")

    def read_stream(self) -> None:
        self.reads.append("stream")

    async def revoke(self, revocation: Revocation, left_s: float | None = None) -> Revoked | Failure:
        return await self.revocations.revoke(revocation, lambda: left_s)

    @property
    def known(self) -> list[Revocation]:
        return self.revocations.known.all()


@pytest.fixture
def table() -> Table:
    return Table()


@pytest.fixture
def stream() -> Stream:
    return Stream()


@pytest.fixture
def server(table: Table, stream: Stream) -> Server:
    return Server(table, stream)


async def test_a_revocation_is_in_both_stores_and_a_repeat_is_told(
    server: Server, table: Table, stream: Stream
) -> None:
    """A repeat is sent to the stream again: the call before may have ended between the two."""
    assert await server.revoke(TOKEN) == Revoked(replayed=False, recorded=True)
    assert await server.revoke(TOKEN) == Revoked(replayed=True, recorded=True)

    assert (table.rows.all(), stream.entries, server.known) == ([TOKEN], [TOKEN, TOKEN], [TOKEN])


async def test_a_later_moment_of_a_subject_is_no_repeat(server: Server) -> None:
    """It names more tokens; an earlier one names no more."""
    await server.revoke(ADA)

    assert await server.revoke(ADA._replace(issued_before_s=1_800_000_001)) == Revoked(replayed=False, recorded=True)
    assert await server.revoke(ADA) == Revoked(replayed=True, recorded=True)


async def test_a_server_that_starts_without_the_ledger_warns_of_what_it_may_not_know(
    server: Server, table: Table
) -> None:
    """A token that only the table has is valid meanwhile."""
    table.away = LedgerUnavailable("away")
    with capture_logs() as logged:
        await server.revocations.start()
        warn_unless_read(server.revocations)
        table.away = None
        await server.revocations.start()
        warn_unless_read(server.revocations)

    assert [(event["event"], event["log_level"]) for event in logged] == [("revocations_not_read", "warning")]


@pytest.mark.parametrize("error", [LedgerUnavailable("away"), LedgerOutcomeUnknown("silent")])
async def test_without_the_ledger_the_stream_is_enough(
    server: Server, table: Table, stream: Stream, error: LedgerUnavailable
) -> None:
    """Any server that finds the entry adds it to the table once that answers, and it is known until then."""
    other = Server(table, stream)
    table.away = error

    assert await server.revoke(TOKEN) == Revoked(replayed=False, recorded=False)
    assert await server.revoke(TOKEN) == Revoked(replayed=True, recorded=False)
    await other.revocations.read_stream()
    await other.revocations.read_table()
    assert other.known == [TOKEN]
    table.away = None
    await other.revocations.read_table()

    assert table.rows.all() == [TOKEN]
    assert await server.revoke(TOKEN) == Revoked(replayed=True, recorded=True)


async def test_without_redis_the_ledger_is_enough(server: Server, table: Table, stream: Stream) -> None:
    """Other servers learn of it when they next read the table."""
    other = Server(table, stream)
    stream.away = UNREACHABLE

    assert await server.revoke(TOKEN) == Revoked(replayed=False, recorded=True)
    await other.revocations.read_stream()
    await other.revocations.read_table()

    assert other.known == [TOKEN]
    assert other.reads == ["table"]


@pytest.mark.parametrize(
    ("ledger", "redis", "told"),
    [
        (LedgerUnavailable("away"), UNREACHABLE, UNREACHABLE),
        (LedgerUnavailable("away"), UNKNOWN, UNKNOWN),
        (LedgerOutcomeUnknown("silent"), UNREACHABLE, UNKNOWN),
    ],
)
async def test_without_both_the_call_fails(
    server: Server, table: Table, stream: Stream, ledger: LedgerUnavailable, redis: Failure, told: Failure
) -> None:
    """With the reason that says whether it may have been done, and this server does not act on it."""
    table.away, stream.away = ledger, redis

    assert await server.revoke(TOKEN) == told
    assert server.known == []


async def test_a_silent_redis_holds_up_no_recorded_revocation(
    monkeypatch: pytest.MonkeyPatch, server: Server, stream: Stream, table: Table
) -> None:
    """It has a part of the caller's time; without the ledger it is unknown then whether it was done."""
    monkeypatch.setattr(service, "STREAM_S", 0.01)
    stream.is_silent = True

    assert await server.revoke(TOKEN) == Revoked(replayed=False, recorded=True)
    table.away = LedgerUnavailable("away")
    assert await server.revoke(ADA, left_s=0.02) == UNKNOWN


async def test_a_server_that_starts_with_a_blank_redis_knows_the_table(server: Server, table: Table) -> None:
    """A blank Redis makes no token valid again."""
    table.rows.add([TOKEN, ADA])

    await server.revocations.start()

    assert sorted(server.known) == sorted([TOKEN, ADA])
    assert sorted(server.reads) == ["stream", "table"]


async def test_a_ledger_that_was_set_back_gets_its_revocations_again(server: Server, table: Table) -> None:
    """From whichever server knows them."""
    await server.revoke(TOKEN)
    table.rows = Revocations()

    await server.revocations.read_table()

    assert table.rows.all() == [TOKEN]


async def test_what_is_over_is_dropped_and_comes_from_no_store_again(server: Server, table: Table) -> None:
    """Also while the ledger is away; a stream keeps an entry until the next one is added."""
    await server.revoke(TOKEN)
    server.now_ms += KEPT_S * 1000
    table.away = LedgerUnavailable("away")

    await server.revocations.read_table()
    await server.revocations.read_stream()

    assert server.known == []


async def test_what_is_over_is_not_added_to_a_table_that_lacks_it(server: Server, table: Table) -> None:
    """It was dropped there, by a clock that is a little ahead."""
    await server.revoke(TOKEN)
    server.now_ms += KEPT_S * 1000
    table.rows = Revocations()

    await server.revocations.read_table()

    assert (table.rows.all(), server.known) == ([], [])
