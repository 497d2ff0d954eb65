"""Reads lists of what the ledger has, a page at a time."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, Final, TypeVar

from holdfast.inventory.v1.inventory_admin_service_pb2 import DeadLetterState
from holdfast.inventory.v1.reservation_pb2 import ReservationState

from holdfast_runtime.postgres import Connection, Row, transaction
from holdfast_runtime.queries import load_queries
from inventory_service.adapters.ledger.archive import (
    QUESTION_S,
    adjustment_from_row,
    reservation_from_row,
    settings_from_row,
)
from inventory_service.adapters.ledger.dead_letter_rows import dead_letter_from_row
from inventory_service.adapters.ledger.pool import LedgerPool
from inventory_service.domain.dead_letters import DeadLetter
from inventory_service.domain.keys import SaleKey
from inventory_service.domain.lists import (
    AdjustmentSelection,
    BlockedBuyer,
    BlockedBuyerSelection,
    DeadLetterSelection,
    Key,
    Listed,
    PageRequest,
    ReservationSelection,
    SaleSelection,
    Watermark,
    listed_sale_state,
)
from inventory_service.domain.page_tokens import MAX_TIME_US
from inventory_service.domain.reservation import Reservation
from inventory_service.domain.sale import Adjustment, Sale, etag_of
from inventory_service.domain.shards import CommitId

T = TypeVar("T")
MAX_LOOKED_AT: Final = 20_000  # rows that one page looks at, so that no statement is long
SALES_AT_ONCE: Final = 500  # that one statement reads where their states decide
MADE_AT_ONCE: Final = 100  # elements between two waits: no other call waits until a page of 1000 is made
_RESERVATION_STATE: Final = "RESERVATION_STATE_"
_1970: Final = datetime(1970, 1, 1, tzinfo=UTC)
_US: Final = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class ListQueries:
    """One field a statement, in the order of the file, which describes each."""

    plan_for_lists: str
    watermarks: str
    all_watermarks: str
    has_applied: str
    reservations: str
    sales: str
    adjustments: str
    dead_letters: str
    blocked_buyers: str


@cache
def list_queries() -> ListQueries:
    """Every statement of the file, which is read once."""
    return load_queries("inventory_service.adapters.ledger", ListQueries, "lists.sql")


class PostgresLists:
    """Each page is read in one snapshot; `LedgerUnavailable` if the ledger does not answer."""

    def __init__(self, ledger: LedgerPool, max_looked_at: int = MAX_LOOKED_AT) -> None:
        self._ledger = ledger.within(QUESTION_S)
        self._max_looked_at = max_looked_at
        self._sql = list_queries()

    async def reservations(
        self, selection: ReservationSelection, page: PageRequest, shards: Sequence[int], now_ms: Sequence[int]
    ) -> Listed[Reservation]:
        column, value = _indexed(selection)
        statement = self._sql.reservations.replace("{selected}", f"{column} = $2")
        states = _names(ReservationState, _RESERVATION_STATE, selection.states)
        after = _position(page, "", "")
        moments = [_moment(ms * 1000) for ms in now_ms]
        others = states, selection.buyer_id, selection.sale_id, page.size + 1
        async with self._snapshot(shards) as (db, watermarks):
            rows = await db.fetch(statement, selection.tenant, value, *after, self._max_looked_at, moments, *others)
        return await self._listed(rows, page.size, _reservation_key, _listed_reservation, watermarks)

    async def sales(
        self, selection: SaleSelection, page: PageRequest, shards: Sequence[int], now_ms: int
    ) -> Listed[Sale]:
        found: list[tuple[Key, Sale]] = []
        looked_at, at_once = 0, SALES_AT_ONCE if selection.states else page.size + 1
        async with self._snapshot(shards) as (db, watermarks):
            while looked_at < self._max_looked_at:
                rows = await db.fetch(self._sql.sales, selection.tenant, *_position(page, ""), at_once)
                for row in rows:
                    if len(found) == page.size:
                        return Listed(found, found[-1][0], watermarks)
                    page, sale = page._replace(after=_sale_key(row)), _listed_sale(row, now_ms)
                    if not selection.states or sale.state in selection.states:
                        found.append((_sale_key(row), sale))
                looked_at += len(rows)
                if len(rows) < at_once:
                    return Listed(found, None, watermarks)
        return Listed(found, page.after, watermarks)

    async def adjustments(
        self, selection: AdjustmentSelection, page: PageRequest, shards: Sequence[int]
    ) -> Listed[Adjustment]:
        arguments = *_position(page, 0, 0, 0), self._max_looked_at, selection.sku, page.size + 1
        async with self._snapshot(shards) as (db, watermarks):
            rows = await db.fetch(self._sql.adjustments, selection.tenant, selection.sale_id, *arguments)
        return await self._listed(rows, page.size, _adjustment_key, _listed_adjustment, watermarks)

    async def dead_letters(
        self, selection: DeadLetterSelection, page: PageRequest, shards: Sequence[int]
    ) -> Listed[DeadLetter]:
        indexed = "sale_id = $2" if selection.sale_id else "$2 = ''"
        statement = self._sql.dead_letters.replace("{selected}", indexed)
        states = _names(DeadLetterState, "DEAD_LETTER_STATE_", selection.states)
        arguments = *_position(page, 0, 0, 0, 0), self._max_looked_at, states, page.size + 1
        async with self._snapshot(shards) as (db, watermarks):
            rows = await db.fetch(statement, selection.tenant, selection.sale_id, *arguments)
        return await self._listed(rows, page.size, _dead_letter_key, dead_letter_from_row, watermarks)

    async def blocked_buyers(self, selection: BlockedBuyerSelection, page: PageRequest) -> Listed[BlockedBuyer]:
        async with self._snapshot(()) as (db, _):
            rows = await db.fetch(self._sql.blocked_buyers, selection.tenant, *_position(page, ""), page.size + 1)
        elements = [(_buyer_key(row), _blocked_buyer(row)) for row in rows[: page.size]]
        return Listed(elements, elements[-1][0] if len(rows) > page.size else None)

    async def watermarks(self) -> Mapping[int, Watermark]:
        async with self._ledger.connection() as db:
            return _watermarks(await db.fetch(self._sql.all_watermarks))

    async def has_applied(self, shard: int, commit: CommitId) -> bool:
        async with self._ledger.connection() as db:
            return bool(await db.fetchval(self._sql.has_applied, shard, *commit))

    @asynccontextmanager
    async def _snapshot(self, shards: Sequence[int]) -> AsyncIterator[tuple[Connection, Mapping[int, Watermark]]]:
        """A connection whose statements all see one moment, and the shards' watermarks at that moment."""
        async with (
            self._ledger.connection() as db,
            transaction(db, isolation="repeatable_read", readonly=True),
        ):
            await db.execute(self._sql.plan_for_lists)
            yield db, _watermarks(await db.fetch(self._sql.watermarks, shards)) if shards else {}

    async def _listed(
        self,
        rows: Sequence[Row],
        size: int,
        key_of: Callable[[Row], Key],
        value_of: Callable[[Row], T],
        watermarks: Mapping[int, Watermark],
    ) -> Listed[T]:
        """The elements in the rows, one more of which was asked for, and where the next page begins."""
        selected = [row for row in rows if row["is_selected"]]
        elements: list[tuple[Key, T]] = []
        for row in selected[:size]:
            elements.append((key_of(row), value_of(row)))
            if len(elements) % MADE_AT_ONCE == 0:
                await asyncio.sleep(0)
        if len(selected) > size:
            return Listed(elements, elements[-1][0], watermarks)
        may_be_more = rows and rows[-1]["looked_at"] == self._max_looked_at
        return Listed(elements, key_of(rows[-1]) if may_be_more else None, watermarks)


def _indexed(selection: ReservationSelection) -> tuple[str, str]:
    """The column by which an index finds the fewest rows: of a reference one order, of a buyer a few, of a sale all."""
    named = {"reference": selection.reference, "buyer_id": selection.buyer_id, "sale_id": selection.sale_id}
    return next((column, value) for column, value in named.items() if value)


def _names(kind: Any, prefix: str, states: Sequence[int]) -> list[str]:
    """States as the ledger has them, without the prefix of their enum."""
    return [kind.Name(state).removeprefix(prefix) for state in states]


def _position(page: PageRequest, *least: int | str) -> tuple[Any, ...]:
    """Behind what a page begins, as a statement takes it; `least` stands for the end of a key that no element has."""
    time_us, *others = page.after or (MAX_TIME_US, *least)
    return _moment(time_us), *others


def _moment(time_us: Any) -> datetime:
    return _1970 + timedelta(microseconds=time_us)


def _time_us(row: Row) -> int:
    return int((row["create_time"] - _1970) // _US)


def _watermarks(rows: Sequence[Row]) -> Mapping[int, Watermark]:
    return {row["shard"]: Watermark(CommitId(row["epoch"], row["seq"]), row["time_ms"]) for row in rows}


def _reservation_key(row: Row) -> Key:
    return _time_us(row), row["sale_id"], row["reservation_id"]


def _listed_reservation(row: Row) -> Reservation:
    seen_state = ReservationState.Value(_RESERVATION_STATE + row["seen_state"])
    return reservation_from_row(row)._replace(state=seen_state)


def _sale_key(row: Row) -> Key:
    return _time_us(row), row["sale_id"]


def _listed_sale(row: Row, now_ms: int) -> Sale:
    settings = settings_from_row(row)
    return Sale(
        sale=SaleKey(row["tenant"], row["sale_id"]),
        settings=settings,
        state=listed_sale_state(settings, row["has_left"], now_ms),
        items=(),
        etag=etag_of(row["etag_epoch"], row["etag_seq"], row["etag_index"]),
        create_time_ms=row["create_ms"],
        update_time_ms=row["update_ms"],
    )


def _adjustment_key(row: Row) -> Key:
    return _time_us(row), row["epoch"], row["seq"], row["index"]


def _listed_adjustment(row: Row) -> Adjustment:
    return adjustment_from_row(row).adjustment


def _dead_letter_key(row: Row) -> Key:
    return _time_us(row), row["shard"], row["created_epoch"], row["created_seq"], row["created_index"]


def _buyer_key(row: Row) -> Key:
    return _time_us(row), row["buyer_id"]


def _blocked_buyer(row: Row) -> BlockedBuyer:
    return BlockedBuyer(row["buyer_id"], row["reason"], _time_us(row) // 1000, row["actor"])
