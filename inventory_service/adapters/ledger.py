"""Questions to Postgres, and four small writes: a take-over's fence and thaw, a shard's first row, a blocked buyer.

Nothing depends on a session (no prepared statement outlives its transaction), so PgBouncer in transaction mode may
stand in front. Only the persister writes anything else.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from inspect import signature
from typing import Any, NamedTuple, cast

import asyncpg
from asyncpg import connect_utils
from holdfast.inventory.v1.commit_pb2 import CommitBody, ReservationChange
from holdfast.inventory.v1.reservation_pb2 import CompensationReason, LedgerState, ReservationState

from inventory_service.domain.requests import Line, Position, SaleKey
from inventory_service.domain.shards import LedgerRow, LedgerUnreachable
from inventory_service.domain.verdicts import Reservation

CONNECT_S = 5.0
ANSWER_S = 15.0
POOL_SIZE = 4
# Bad data and broken constraints: what we asked is wrong, and asking again mends nothing. All else is an outage.
_FOR_GOOD = ("22", "23")
_NOT_MADE = ("3D000", "42P01", "42703")  # a ledger that lacks a database, a table or a column of ours
# InternalClientError: Postgres had said goodbye on a connection that lay idle, and asyncpg used it once more.
_ASYNCPG_ERRORS = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)

_ROW = "shard, shards, epoch, seq, hash, settled_epoch, settled_seq, coalesce(frozen_reason, '') as frozen_reason"
_FENCE = """
update shard_watermark set epoch = epoch + 1, seq = 0, frozen_reason = null
 where shard = $1 and epoch = $2 and hash = $3 and shards = $4
returning epoch"""
_THAW = """
update shard_watermark set frozen_reason = null
 where shard = $1 and epoch = $2 and seq = $3 and hash = $4 and frozen_reason = $5
returning epoch"""
_FIRST_ROW = """
insert into shard_watermark (shard, shards, epoch, seq, hash, settled_epoch, settled_seq, facts_epoch, facts_seq)
values ($1, $2, 1, 0, '', 1, 0, 1, 0) on conflict do nothing
returning epoch"""
_RESERVATION = """
select r.*, (select json_agg(json_build_array(sku, quantity) order by sku) from reservation_line l
              where (l.tenant, l.sale_id, l.reservation_id) = (r.tenant, r.sale_id, r.reservation_id)) as lines
  from reservation r where tenant = $1 and sale_id = $2 and reservation_id = $3"""
_DEAD_LETTER = """
select d.tenant, d.sale_id, d.reservation_id, d.buyer_id, d.lines, d.reason, d.detail, d.shard, d.created_epoch,
       d.created_seq, d.created_index, d.epoch, d.seq, d.index, d.reservation_state, d.latest_state, d.latest_revision,
       d.latest_time, d.latest_epoch, d.latest_seq, d.latest_index, j.payload as making
  from dead_letter d join journal j on (j.shard, j.epoch, j.seq) = (d.shard, d.created_epoch, d.created_seq)
 where tenant = $1 and sale_id = $2 and reservation_id = $3
 order by created_epoch desc, created_seq desc, created_index desc limit 1"""
_BLOCK = """
insert into blocked_buyer (tenant, buyer_id, reason) values ($1, $2, $3)
on conflict (tenant, buyer_id) do nothing"""


class Ledger:
    """A small pool of connections, made when first needed, so that a process may start while Postgres is away."""

    def __init__(self, dsn: str, pool_size: int = POOL_SIZE) -> None:
        self._dsn = dsn
        self._pool_size = pool_size
        self._pool: asyncpg.Pool[asyncpg.Record] | None = None
        self._making = asyncio.Lock()

    async def row(self, shard: int) -> LedgerRow | None:
        async with self.connection() as db:
            found = await db.fetchrow(f"select {_ROW} from shard_watermark where shard = $1", shard)
        return LedgerRow(**found) if found else None

    async def rows(self) -> Mapping[int, LedgerRow]:
        async with self.connection() as db:
            found = await db.fetch(f"select {_ROW} from shard_watermark order by shard")
        return {row["shard"]: LedgerRow(**row) for row in found}

    async def fence(self, shard: int, shards: int, epoch: int, hash: str) -> int | None:
        """One compare-and-set, so that two take-overs never draw the same epoch; None if the row is not as expected.

        A fence whose answer got lost is harmless: whoever asks again reads the row anew and draws the next epoch.
        """
        async with self.connection() as db:
            if epoch == 0:
                drawn = await db.fetchval(_FIRST_ROW, shard, shards) if hash == "" else None
            else:
                drawn = await db.fetchval(_FENCE, shard, epoch, hash, shards)
        return cast("int | None", drawn)

    async def thaw(self, row: LedgerRow) -> bool:
        """One compare-and-set on all of the row, so that a reason nobody has read yet is never cleared."""
        async with self.connection() as db:
            thawed = await db.fetchval(_THAW, row.shard, row.epoch, row.seq, row.hash, row.frozen_reason)
        return thawed is not None

    async def find_reservation(self, sale: SaleKey, reservation_id: str) -> Reservation | None:
        """What the ledger knows of an id: its row, or else the latest order of it that was refused at its making."""
        async with self.connection() as db:
            row = await db.fetchrow(_RESERVATION, *sale, reservation_id)
            if row is not None:
                return reservation_from_row(row)
            letter = await db.fetchrow(_DEAD_LETTER, *sale, reservation_id)
        return reservation_from_dead_letter(letter) if letter is not None else None

    async def sale_exists(self, sale: SaleKey) -> bool:
        async with self.connection() as db:
            return await db.fetchval("select 1 from sale where tenant = $1 and sale_id = $2", *sale) is not None

    async def block_buyer(self, tenant: str, buyer_id: str, reason: str) -> bool:
        """False: this buyer is blocked already, and stays so for the first reason."""
        async with self.connection() as db:
            return (await db.execute(_BLOCK, tenant, buyer_id, reason)).endswith(" 1")

    @asynccontextmanager
    async def connection(self) -> "AsyncIterator[asyncpg.pool.PoolConnectionProxy[asyncpg.Record]]":
        """A connection for one question; every way of not getting an answer is `LedgerUnreachable`."""
        try:
            pool = await self._ready_pool()
            async with pool.acquire(timeout=CONNECT_S + 1) as db:
                yield db
        except (OSError, TimeoutError, *_ASYNCPG_ERRORS) as error:
            meaning = what_it_means(error)
            if meaning is error:
                raise
            raise meaning from error

    async def close(self) -> None:
        if self._pool is not None:
            self._pool.terminate()

    async def _ready_pool(self) -> "asyncpg.Pool[asyncpg.Record]":
        async with self._making:
            if self._pool is None:
                self._pool = await asyncpg.create_pool(
                    self._dsn,
                    min_size=0,
                    max_size=self._pool_size,
                    timeout=CONNECT_S,
                    command_timeout=ANSWER_S,
                    statement_cache_size=0,
                )
            return self._pool


def what_it_means(error: Exception) -> Exception:
    """`LedgerUnreachable`, or the error itself where waiting mends nothing."""
    sqlstate = str(getattr(error, "sqlstate", None) or "")
    if sqlstate in _NOT_MADE:
        return LedgerUnreachable("the ledger's tables are missing, or older than this version: run `holdfast migrate`")
    if sqlstate.startswith(_FOR_GOOD):
        return error
    return LedgerUnreachable(f"{type(error).__name__}: {error}")


def check_dsn(dsn: str) -> None:
    """ValueError, in one sentence that names no password, if asyncpg cannot read it; by itself it says so too late."""
    parse = connect_utils._parse_connect_dsn_and_args  # type: ignore[attr-defined]  # there is no public way to ask
    try:
        addresses, _ = parse(**{**dict.fromkeys(signature(parse).parameters), "dsn": dsn})
    except asyncpg.InterfaceError as error:
        raise ValueError(str(error).partition("\n")[0]) from None
    except OSError as error:
        problem = getattr(error, "reason", "") or error.strerror or error
        raise ValueError(f"names a certificate or key that cannot be used: {problem}") from None
    except ValueError:
        raise ValueError("must be postgresql://user:password@host:port/database, with a number for a port") from None
    if not all(1 <= address[1] <= 65535 for address in addresses if isinstance(address, tuple)):
        raise ValueError("must have a port from 1 to 65535")


def reservation_from_row(row: asyncpg.Record) -> Reservation:
    return Reservation(
        sale=SaleKey(row["tenant"], row["sale_id"]),
        reservation_id=row["reservation_id"],
        buyer_id=row["buyer_id"],
        lines=_lines(json.loads(row["lines"] or "[]")),
        state=ReservationState.Value(f"RESERVATION_STATE_{row['state']}"),
        revision=row["revision"],
        create_time_ms=_ms(row["create_time"]),
        update_time_ms=_ms(row["update_time"]),
        expire_time_ms=_ms(row["expire_time"]) if row["expire_time"] else 0,
        created=_created(row),
        position=Position(row["shard"], row["epoch"], row["seq"], row["index"]),
        ledger_state=LedgerState.Value(f"LEDGER_STATE_{row['ledger_state']}"),
        compensation_reason=_reason(row["compensation_reason"]),
        note=row["note"],
    )


def reservation_from_dead_letter(letter: asyncpg.Record) -> Reservation:
    """An order refused at its making has no row until it is closed, or ever if its id was taken.

    The commit that made it tells when it was made and was to end, and the letter how it stands.
    """
    made = CommitBody.FromString(letter["making"]).events[letter["created_index"]].reservation
    latest = _latest_change(letter, made)
    return Reservation(
        sale=SaleKey(letter["tenant"], letter["sale_id"]),
        reservation_id=letter["reservation_id"],
        buyer_id=letter["buyer_id"],
        lines=_lines([(line["sku"], line["quantity"]) for line in json.loads(letter["lines"])]),
        state=latest.state,
        revision=latest.revision,
        create_time_ms=made.create_time_ms,
        update_time_ms=latest.time_ms,
        expire_time_ms=made.expire_time_ms,
        created=_created(letter),
        position=latest.position,
        ledger_state=LedgerState.LEDGER_STATE_REFUSED,
        compensation_reason=_reason(letter["reason"]),
        note=letter["detail"],
    )


class _Latest(NamedTuple):
    """How a refused order stands."""

    state: int
    revision: int
    time_ms: int
    position: Position


def _latest_change(letter: asyncpg.Record, made: ReservationChange) -> _Latest:
    """What the letter says of the order's latest change.

    An older persister noted the state alone, whenever the order was moved on: then the rest is as of the refused
    change, and the revision the least that there can be.
    """
    state = ReservationState.Value(f"RESERVATION_STATE_{letter['reservation_state']}")
    if letter["latest_state"] == letter["reservation_state"]:
        at = Position(letter["shard"], letter["latest_epoch"], letter["latest_seq"], letter["latest_index"])
        return _Latest(state, letter["latest_revision"], _ms(letter["latest_time"]), at)
    refused_at = Position(letter["shard"], letter["epoch"], letter["seq"], letter["index"])
    return _Latest(state, made.revision + (state != made.state), made.create_time_ms, refused_at)


def _created(row: asyncpg.Record) -> Position:
    return Position(row["shard"], row["created_epoch"], row["created_seq"], row["created_index"])


def _lines(pairs: Sequence[Sequence[Any]]) -> tuple[Line, ...]:
    return tuple(Line(sku, quantity) for sku, quantity in pairs)


def _reason(name: str | None) -> int:
    return CompensationReason.Value(f"COMPENSATION_REASON_{name}") if name else 0


def _ms(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)
