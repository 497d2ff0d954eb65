"""Writes one run of commits of one shard inside an open transaction: rows, balances, transfers and dead letters."""

import json
from collections.abc import Mapping, Sequence

from holdfast.inventory.v1.reservation_pb2 import CompensationReason

from order_persister.chain import Taken
from order_persister.fold import (
    BEFORE,
    Created,
    Letter,
    LetterMove,
    OpenedSale,
    Refusal,
    deltas_from,
    entries_of_orders,
    entries_of_sales,
    letter_moves_from,
    letters_from,
    orders_from,
    sales_from,
)
from order_persister.postgres import Row, Transaction
from order_persister.queries import load_queries
from order_persister.refusals import Broken, blame, blockable, refused_without_trying, reused, sift
from order_persister.rows import Mark, ReservationRow, Rows, columns, final_rows, lines_of, moves_lines

ACCOUNTS = ("available", "held", "sold", "refused")

queries = load_queries()


class Contradiction(Exception):
    """The run cannot be what Redis did, or we cannot book it. The message is why the shard freezes."""


class Booking:
    """One run, within one transaction. Whatever it raises, the caller rolls the transaction back."""

    def __init__(self, db: Transaction, shard: int, commits: Sequence[Taken]) -> None:
        self._db = db
        self._shard = shard
        self._commits = commits
        self._orders = orders_from(commits)
        self._sales = sales_from(commits)

    async def write(self) -> list[Letter]:
        """Write everything that the run comes to; the dead letters that it brought."""
        try:
            return await self._write()
        except Broken as broken:
            raise Contradiction(f"GIVE_BACK_REFUSED: {broken}") from broken

    async def _write(self) -> list[Letter]:
        await self._insert_sales()
        orders = self._orders.values()
        refusals = refused_without_trying(orders, await self._refused_before(), await self._blocked())
        late = await self._write_rows(final_rows(orders, refusals))
        refusals |= late
        await self._write_rows_of_refused(final_rows([self._orders[created] for created in late], refusals))
        entries = [*entries_of_sales(self._sales), *entries_of_orders(orders, refusals)]
        await self._add_to_items(deltas_from(entry for entry in entries if entry.from_account != "external"))
        if entries:
            await self._db.execute(queries.insert_entries, self._shard, *columns(entries))
        letters = letters_from(orders, refusals)
        await self._insert_letters(letters)
        await self._move_letters(letter_moves_from(orders, refusals))
        return letters

    # What is refused without trying

    async def _refused_before(self) -> dict[Created, Refusal]:
        """The open dead letters among the orders that this run moves on."""
        moved = [order.created for order in self._orders.values() if not order.is_new]
        if not moved:
            return {}
        found = await self._db.fetch(queries.open_letters, self._shard, *columns(moved))
        return {_created(letter): _earlier_refusal(letter) for letter in found}

    async def _blocked(self) -> Mapping[tuple[str, str], str]:
        """The blocked ones among the buyers of orders that were made or confirmed, and why."""
        buyers = sorted(blockable(self._orders.values()))
        if not buyers:
            return {}
        found = await self._db.fetch(queries.blocked_buyers, *columns(buyers))
        return {(tenant, buyer_id): reason for tenant, buyer_id, reason in found}

    # Rows of sales and reservations

    async def _insert_sales(self) -> None:
        for opened in self._sales:
            made, sale = opened.made, opened.made.sale
            await self._db.execute(queries.insert_sale, self._shard, *_sale_row(opened))
            skus, totals = [item.sku for item in sale.items], [item.total for item in sale.items]
            await self._db.execute(queries.insert_items, made.tenant, sale.sale_id, skus, totals)

    async def _write_rows(self, rows: Rows) -> dict[Created, Refusal]:
        """Write the rows of all orders that are not refused yet; the refusals of those that cannot be written."""
        await self._write_rows_of_refused(Rows(marked=rows.marked, closed=rows.closed))
        late: dict[Created, Refusal] = {}

        async def attempt(some: Sequence[tuple[bool, ReservationRow]]) -> None:
            async with self._db.savepoint():
                made = await self._insert([row for is_new, row in some if is_new])
                await self._update([row for is_new, row in some if not is_new])
            late.update((row.created, reused()) for is_new, row in some if is_new and row.created not in made)

        tried = sorted([*((True, row) for row in rows.made), *((False, row) for row in rows.moved)], key=_by_key)
        for (_, row), broken in await sift(tried, attempt) if tried else []:
            late[row.created] = self._refusal_of(row, broken)
        return late

    def _refusal_of(self, row: ReservationRow, broken: Broken) -> Refusal:
        refusal = None if row.compensation_reason else blame(self._orders[row.created], broken)
        if refusal is None:
            raise Contradiction(f"GIVE_BACK_REFUSED: {row.sale_id}/{row.reservation_id}: {broken}")
        return refusal

    async def _write_rows_of_refused(self, rows: Rows) -> None:
        """Nothing is left to refuse here but the rows of orders that have ended: those are a record for people only."""
        await self._update(rows.moved)
        await self._mark(rows.marked)

        async def attempt(some: Sequence[ReservationRow]) -> None:
            async with self._db.savepoint():
                await self._insert(some)

        if rows.closed:
            await sift(rows.closed, attempt)

    async def _insert(self, rows: Sequence[ReservationRow]) -> set[Created]:
        """Insert those whose id is free, with their lines; which they were."""
        if not rows:
            return set()
        made = {Created(*row) for row in await self._db.fetch(queries.insert_reservations, self._shard, *columns(rows))}
        lines = lines_of([row for row in rows if row.created in made], self._orders)
        if lines:
            await self._db.execute(queries.insert_lines, *columns(lines))
        return made

    async def _update(self, rows: Sequence[ReservationRow]) -> None:
        if not rows:
            return
        found = await self._db.execute(queries.update_reservations, self._shard, *columns(rows))
        if found != len(rows):
            raise Contradiction("GIVE_BACK_REFUSED: a reservation moved that the ledger does not hold")
        sold = [(*row[:3], row.state) for row in rows if moves_lines(row)]
        if sold:
            await self._db.execute(queries.settle_lines, *columns(sold))

    async def _mark(self, marks: Sequence[Mark]) -> None:
        if marks:
            await self._db.execute(queries.mark_reservations, self._shard, *columns(marks))

    # Balances and dead letters

    async def _add_to_items(self, deltas: Mapping[tuple[str, str, str], Mapping[str, int]]) -> None:
        """Balances are applied whole and never blamed on an order."""
        rows = sorted((*item, *(delta.get(account, 0) for account in ACCOUNTS)) for item, delta in deltas.items())
        if not rows:
            return
        try:
            found = {tuple(row) for row in await self._db.fetch(queries.add_to_items, *columns(rows))}
        except Broken as broken:
            raise Contradiction(f"NEGATIVE_BALANCE: {broken}") from broken
        missing = sorted(deltas.keys() - found)
        if missing:
            raise Contradiction(f"NEGATIVE_BALANCE: there is no item {missing[0][2]} in sale {missing[0][1]}")

    async def _insert_letters(self, letters: Sequence[Letter]) -> None:
        if not letters:
            return
        rows = [(*letter[:7], _as_json(letter.lines), *letter[8:15]) for letter in letters]
        await self._db.execute(queries.insert_letters, self._shard, *columns(rows))
        owed = [(*letter[:3], not letter.is_open) for letter in letters if letter.needs_compensation]
        if owed:
            await self._db.execute(queries.insert_compensations, self._shard, *columns(owed))

    async def _move_letters(self, moves: Sequence[LetterMove]) -> None:
        if not moves:
            return
        await self._db.execute(queries.move_letters, self._shard, *columns(moves))
        ended = [move[:3] for move in moves if not move.is_open]
        if ended:
            await self._db.execute(queries.end_compensations, self._shard, *columns(ended))


def _created(letter: Row) -> Created:
    return Created(letter["created_epoch"], letter["created_seq"], letter["created_index"])


def _earlier_refusal(letter: Row) -> Refusal:
    reason = CompensationReason.Value(f"COMPENSATION_REASON_{letter['reason']}")
    at_making = _created(letter) == (letter["epoch"], letter["seq"], letter["index"])
    return Refusal(BEFORE, reason, letter["detail"], at_making)


def _sale_row(opened: OpenedSale) -> tuple[object, ...]:
    made, sale = opened.made, opened.made.sale
    hold_ttl_ms = sale.hold_ttl.ToMilliseconds()
    return (
        made.tenant,
        sale.sale_id,
        sale.title,
        made.start_time_ms,
        sale.end_time.ToMilliseconds() if sale.HasField("end_time") else None,
        hold_ttl_ms,
        sale.max_hold_ttl.ToMilliseconds() if sale.HasField("max_hold_ttl") else hold_ttl_ms,
        sale.buyer_limit,
        opened.time_ms,
    )


def _as_json(lines: Sequence[tuple[str, int]]) -> str:
    return json.dumps([{"sku": sku, "quantity": quantity} for sku, quantity in lines])


def _by_key(tried: tuple[bool, ReservationRow]) -> tuple[str, str, str]:
    return tried[1][:3]
