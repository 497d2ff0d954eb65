"""Reads what the ledger holds and Kafka may lack: facts above the published position, and due compensations."""

from collections.abc import Iterable, Sequence
from functools import partial

import structlog
from holdfast.inventory.v1.commit_pb2 import CommitBody
from holdfast.inventory.v1.events_pb2 import Compensation
from holdfast.inventory.v1.reservation_pb2 import Position

from holdfast_runtime.connection_errors import TransientError
from holdfast_runtime.postgres import Row
from holdfast_runtime.retry import Retrier
from order_persister.adapters.ledger.migrator import migrations
from order_persister.adapters.ledger.postgres import Database, Transaction
from order_persister.adapters.ledger.queries import Queries
from order_persister.adapters.ledger.transaction import columns
from order_persister.domain.chain import AcceptedCommit
from order_persister.domain.changes import Created
from order_persister.domain.events import known_events
from order_persister.domain.facts import NextFacts, RefusedAt, created_in, order_facts, unpublished_of
from order_persister.domain.fold import REASONS
from order_persister.domain.ports import OpenCompensations
from order_persister.domain.sale_facts import sale_facts
from order_persister.domain.shards import ShardRow

MAX_COMMITS = 64
MAX_COMPENSATIONS = 200
STALLED_SENDS = 10  # which take four minutes; one that can succeed does so within seconds, where its shard serves

log = structlog.get_logger()


class Unpublished:
    """Reads what is to be published, and stores what was. Every method retries transient errors."""

    def __init__(self, database: Database, queries: Queries, retrier: Retrier) -> None:
        self._database = database
        self._sql = queries
        self._retrier = retrier
        self._waits_at: dict[int, tuple[int, int]] = {}  # the facts mark, by shard

    async def shard_rows(self, shards: Iterable[int]) -> dict[int, ShardRow]:
        """The rows of those of these shards that have one."""
        return await self._retrier.retry("Postgres", partial(self._shard_rows, sorted(shards)))

    async def wait_until_migrated(self) -> None:
        """Return once every migration of this version has run."""
        await self._retrier.retry("Postgres", self._check_migrated)

    async def shard_counts(self) -> set[int]:
        """The number of shards that the ledger was made for; empty before `holdfast init`."""
        return await self._retrier.retry("Postgres", self._shard_counts)

    async def next_facts(self, shard: int, applied: Sequence[AcceptedCommit] = ()) -> NextFacts | None:
        """The next facts above the shard's facts mark, which may be none; `applied` saves reading the journal.

        None if the mark is at the watermark, or if this version does not know all of the next commit.
        """
        return await self._retrier.retry("Postgres", partial(self._next_facts, shard, applied))

    async def record_published(self, shard: int, facts: NextFacts) -> bool:
        """Store that these are on Kafka; False if the mark was moved, or the ledger was set back, meanwhile."""
        return await self._retrier.retry("Postgres", partial(self._record_published, shard, facts))

    async def due_compensations(self, shard: int, only_new: bool) -> list[Compensation]:
        """Some compensations that are due; each is due again later until the ledger has the end of its order.

        Not those whose reason only a later version knows, which sends them.
        """
        return await self._retrier.retry("Postgres", partial(self._due_compensations, shard, only_new))

    async def open_compensations(self, shards: Iterable[int]) -> dict[int, OpenCompensations]:
        """The refused orders of each shard that still have units; a shard without any is left out."""
        return await self._retrier.retry("Postgres", partial(self._open_compensations, sorted(shards)))

    async def _shard_rows(self, shards: Sequence[int]) -> dict[int, ShardRow]:
        async with self._database.transaction() as db:
            return await self._rows(db, shards)

    async def _rows(self, db: Transaction, shards: Sequence[int]) -> dict[int, ShardRow]:
        return {shard: ShardRow(*row) for shard, *row in await db.fetch(self._sql.shard_rows, shards)}

    async def _check_migrated(self) -> None:
        async with self._database.transaction() as db:
            ran = {row["number"] for row in await db.fetch(self._sql.migration_numbers)}
        missing = [migration.name for migration in migrations() if migration.number not in ran]
        if missing:
            raise TransientError(f"the ledger's tables lack {', '.join(missing)}: run `holdfast migrate`")

    async def _shard_counts(self) -> set[int]:
        async with self._database.transaction() as db:
            return {row["shards"] for row in await db.fetch(self._sql.shard_counts)}

    async def _next_facts(self, shard: int, applied: Sequence[AcceptedCommit]) -> NextFacts | None:
        """Read mark, watermark and journal in one transaction: a fail-over or a restore ends it, so they agree."""
        async with self._database.transaction() as db:
            found = await db.fetch_one(self._sql.facts_row, shard)
            if found is None:
                return None
            *values, has_refused = found
            row = ShardRow(*values)
            mark, watermark = row.facts_position, row.position
            if mark >= watermark:
                return None
            commits: Sequence[AcceptedCommit] | None = unpublished_of(row, applied)
            commits = commits or await self._journal_after(db, shard, mark, watermark)
            refused = await self._refused(db, shard, created_in(commits)) if commits and has_refused else {}
        if commits is None or not all(one.reason for one in refused.values()):
            self._tell_unknown(shard, mark)
            return None
        orders, sales = list(order_facts(shard, commits, refused)), list(sale_facts(shard, commits))
        # With no commits in between, the watermark is the start of an epoch that a take-over has opened.
        last = commits[-1][:2] if commits else watermark
        return NextFacts(orders, sales, mark, last, last == watermark)

    async def _journal_after(
        self, db: Transaction, shard: int, mark: tuple[int, int], watermark: tuple[int, int]
    ) -> list[AcceptedCommit] | None:
        """Some commits up to the watermark, of these those that this version knows; None if it knows none of them."""
        found = await db.fetch(self._sql.journal_after, shard, *mark, *watermark, MAX_COMMITS)
        commits = _known_commits(found)
        return commits if commits or not found else None

    def _tell_unknown(self, shard: int, mark: tuple[int, int]) -> None:
        """Log once that the facts above a mark wait for a later version of the persister."""
        if self._waits_at.get(shard) != mark:
            self._waits_at[shard] = mark
            why = "a later version wrote what comes next, and publishes it: upgrade the persister"
            log.error("facts_unknown", shard=shard, after="{}-{}".format(*mark), why=why)

    async def _record_published(self, shard: int, facts: NextFacts) -> bool:
        async with self._database.transaction() as db:
            return bool(await db.execute(self._sql.raise_facts_position, shard, *facts.mark, *facts.last))

    async def _due_compensations(self, shard: int, only_new: bool) -> list[Compensation]:
        async with self._database.transaction() as db:
            due = await db.fetch(self._sql.due_compensations, shard, only_new, MAX_COMPENSATIONS, list(REASONS))
        for row in due:
            if row["sent_count"] == STALLED_SENDS:
                order = {"sale": f"{row['tenant']}/{row['sale_id']}", "reservation": row["reservation_id"]}
                log.warning("compensation_stalled", shard=shard, sent=STALLED_SENDS, **order)
        return [_compensation(shard, row) for row in due]

    async def _open_compensations(self, shards: Sequence[int]) -> dict[int, OpenCompensations]:
        async with self._database.transaction() as db:
            found = await db.fetch(self._sql.open_compensations, shards, STALLED_SENDS)
        return {shard: OpenCompensations(*counts) for shard, *counts in found}

    async def _refused(self, db: Transaction, shard: int, orders: Iterable[Created]) -> dict[Created, RefusedAt]:
        """Those of these orders that were refused: where and why; 0 stands for a reason of a later version."""
        wanted = sorted(orders)
        if not wanted:
            return {}
        return {
            Created(*created): RefusedAt(epoch, seq, index, REASONS.get(reason, 0))
            for *created, epoch, seq, index, reason in await db.fetch(self._sql.dead_letters, shard, *columns(wanted))
        }


def _known_commits(found: Iterable[Row]) -> list[AcceptedCommit]:
    """The commits before the first one that this version does not know whole."""
    commits = []
    for epoch, seq, hash, payload in found:
        events = known_events(CommitBody.FromString(payload))
        if events is None:
            break
        commits.append(AcceptedCommit(epoch, seq, payload, hash, events))
    return commits


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
