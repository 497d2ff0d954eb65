"""What the ledger holds and has not told yet: facts above their mark, and compensations that are due."""

from collections.abc import Iterable, Sequence
from functools import partial
from typing import NamedTuple

from holdfast.inventory.v1.commit_pb2 import CommitBody
from holdfast.inventory.v1.events_pb2 import Compensation
from holdfast.inventory.v1.reservation_pb2 import CompensationReason, Position

from holdfast_runtime.connection_errors import TransientError
from holdfast_runtime.postgres import Row
from holdfast_runtime.retry import Retrier
from order_persister.adapters.ledger.migrator import migrations
from order_persister.adapters.ledger.postgres import Database, Transaction
from order_persister.adapters.ledger.queries import Queries
from order_persister.domain.facts import Fact, JournalCommit, RefusedAt, created_in, facts_from
from order_persister.domain.fold import Created
from order_persister.domain.rows import columns
from order_persister.domain.shards import ShardRow

COMMITS_AT_ONCE = 64
COMPENSATIONS_AT_ONCE = 200


class NextFacts(NamedTuple):
    """Facts in order, and the position of the last commit that is in them."""

    facts: list[Fact]
    epoch: int
    seq: int


class Unpublished:
    """Reads what is to be told, and notes what was. Every method waits out whatever passes."""

    def __init__(self, database: Database, queries: Queries, retrier: Retrier) -> None:
        self._database = database
        self._sql = queries
        self._retrier = retrier

    async def rows(self, shards: Iterable[int]) -> dict[int, ShardRow]:
        """The rows of some shards, those that there are."""
        return await self._retrier.retry("Postgres", partial(self._rows, sorted(shards)))

    async def migrated(self) -> None:
        """Return once the tables are those of this version, or of a newer one."""
        await self._retrier.retry("Postgres", self._migrated)

    async def shard_counts(self) -> set[int]:
        """The number of shards that the ledger was made for; empty before `holdfast init`."""
        return await self._retrier.retry("Postgres", self._shard_counts)

    async def facts_after(self, shard: int, mark: tuple[int, int], watermark: tuple[int, int]) -> NextFacts | None:
        """The next facts above the mark, at most up to the watermark; None if there are none."""
        return await self._retrier.retry("Postgres", partial(self._facts_after, shard, mark, watermark))

    async def raise_mark(self, shard: int, epoch: int, seq: int) -> None:
        """Note that all facts up to this commit are on Kafka."""
        await self._retrier.retry("Postgres", partial(self._raise_mark, shard, epoch, seq))

    async def due_compensations(self, shard: int) -> list[Compensation]:
        """Some compensations that are to be sent now; they come again until the ledger has seen the order end."""
        return await self._retrier.retry("Postgres", partial(self._due_compensations, shard))

    async def open_compensations(self, shards: Iterable[int]) -> dict[int, int]:
        """How many refused orders of some shards still hold units; shards without any are left out."""
        return await self._retrier.retry("Postgres", partial(self._open_compensations, sorted(shards)))

    async def _rows(self, shards: Sequence[int]) -> dict[int, ShardRow]:
        async with self._database.transaction() as db:
            return {shard: ShardRow(*row) for shard, *row in await db.fetch(self._sql.rows, shards)}

    async def _migrated(self) -> None:
        async with self._database.transaction() as db:
            ran = {row["number"] for row in await db.fetch(self._sql.migrations_run)}
        missing = [migration.name for migration in migrations() if migration.number not in ran]
        if missing:
            raise TransientError(f"the ledger's tables lack {', '.join(missing)}: run `holdfast migrate`")

    async def _shard_counts(self) -> set[int]:
        async with self._database.transaction() as db:
            return {row["shards"] for row in await db.fetch(self._sql.shard_counts)}

    async def _facts_after(self, shard: int, mark: tuple[int, int], watermark: tuple[int, int]) -> NextFacts | None:
        async with self._database.transaction() as db:
            found = await db.fetch(self._sql.journal_after, shard, *mark, *watermark, COMMITS_AT_ONCE)
            if not found:
                return None
            commits = [JournalCommit(epoch, seq, CommitBody.FromString(payload)) for epoch, seq, payload in found]
            refused = await self._refused(db, shard, created_in(commits))
        return NextFacts(list(facts_from(shard, commits, refused)), commits[-1].epoch, commits[-1].seq)

    async def _raise_mark(self, shard: int, epoch: int, seq: int) -> None:
        async with self._database.transaction() as db:
            await db.execute(self._sql.raise_facts_mark, shard, epoch, seq)

    async def _due_compensations(self, shard: int) -> list[Compensation]:
        async with self._database.transaction() as db:
            due = await db.fetch(self._sql.due_compensations, shard, COMPENSATIONS_AT_ONCE)
        return [_compensation(shard, row) for row in due]

    async def _open_compensations(self, shards: Sequence[int]) -> dict[int, int]:
        async with self._database.transaction() as db:
            return {shard: count for shard, count in await db.fetch(self._sql.open_compensations, shards)}  # noqa: C416

    async def _refused(self, db: Transaction, shard: int, orders: Iterable[Created]) -> dict[Created, RefusedAt]:
        """Which of these orders were refused, from where on, and why."""
        asked = sorted(orders)
        if not asked:
            return {}
        return {
            Created(*created): RefusedAt(epoch, seq, index, CompensationReason.Value(f"COMPENSATION_REASON_{reason}"))
            for *created, epoch, seq, index, reason in await db.fetch(self._sql.letters, shard, *columns(asked))
        }


def _compensation(shard: int, row: Row) -> Compensation:
    return Compensation(
        compensation_id=row["compensation_id"],
        tenant=row["tenant"],
        sale_id=row["sale_id"],
        reservation_id=row["reservation_id"],
        created=Position(shard=shard, epoch=row["created_epoch"], seq=row["created_seq"], index=row["created_index"]),
        reason=f"COMPENSATION_REASON_{row['reason']}",
        detail=row["detail"],
    )
