"""Writes one run of commits of one shard inside an open transaction: rows, balances, transfers and dead letters."""

import json
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from holdfast.inventory.v1.reservation_pb2 import CompensationReason

from holdfast_runtime.postgres import Row
from order_persister.adapters.ledger.postgres import Transaction
from order_persister.adapters.ledger.queries import Queries
from order_persister.domain.chain import AcceptedCommit
from order_persister.domain.fold import (
    EARLIER_RUN,
    Created,
    DeadLetter,
    DeadLetterUpdate,
    OpenedSale,
    Order,
    Refusal,
    Refusals,
    dead_letter_updates_from,
    dead_letters_from,
    deltas_from,
    entries_of_orders,
    entries_of_sales,
    orders_from,
    sales_from,
)
from order_persister.domain.refusals import (
    PermanentError,
    bisect,
    blockable,
    refusal_for,
    refused_without_trying,
    reused,
)
from order_persister.domain.rows import ReservationRow, Rows, columns, final_rows, lines_of, moves_lines, rows_by_step

ACCOUNTS = ("available", "held", "sold", "refused")


class BrokenInvariant(Exception):
    """The run cannot be what Redis did, or we cannot book it. The message is why the shard freezes."""


class Tried(NamedTuple):
    """A row that may yet break a constraint, and whether this run made it."""

    row: ReservationRow
    is_new: bool


class Booking:
    """One run, within one transaction. Whatever it raises, the caller rolls the transaction back."""

    def __init__(self, db: Transaction, queries: Queries, shard: int, commits: Sequence[AcceptedCommit]) -> None:
        self._db = db
        self._sql = queries
        self._shard = shard
        self._orders = orders_from(commits)
        self._sales = sales_from(commits)

    async def write(self) -> list[DeadLetter]:
        """Write everything that the run comes to; the dead letters that it brought."""
        try:
            return await self._write()
        except PermanentError as broken:
            raise BrokenInvariant(f"GIVE_BACK_REFUSED: {broken}") from broken

    async def _write(self) -> list[DeadLetter]:
        await self._insert_sales()
        refusals = await self._write_reservations()
        orders = self._orders.values()
        entries = [*entries_of_sales(self._sales), *entries_of_orders(orders, refusals)]
        await self._add_to_items(deltas_from(entry for entry in entries if entry.from_account != "external"))
        if entries:
            await self._db.execute(self._sql.insert_entries, self._shard, *columns(entries))
        letters = dead_letters_from(orders, refusals)
        await self._insert_letters(letters)
        await self._move_letters(dead_letter_updates_from(orders, refusals))
        return letters

    async def _write_reservations(self) -> dict[Created, Refusal]:
        """Write a row for every order that has one; what is refused, before the trying and by it."""
        orders = self._orders.values()
        refusals = refused_without_trying(orders, await self._refused_before(), await self._blocked())
        rows = final_rows(orders, refusals)
        late = await self._try_rows(rows, refusals)
        await self._write_refused(rows)  # only now, for an id belongs to the order that is not refused
        refusals |= late
        rest = final_rows([self._orders[created] for created in late], refusals)
        await self._update(rest.moved)  # back to what they were before the refused step
        await self._write_refused(rest)
        return refusals

    # What is refused without trying

    async def _refused_before(self) -> dict[Created, Refusal]:
        """The open dead letters among the orders that this run moves on."""
        moved = [order.created for order in self._orders.values() if not order.is_new]
        if not moved:
            return {}
        found = await self._db.fetch(self._sql.open_letters, self._shard, *columns(moved))
        return {_created(letter): _earlier_refusal(letter) for letter in found}

    async def _blocked(self) -> Mapping[tuple[str, str], str]:
        """The blocked ones among the buyers of orders that were made or confirmed, and why."""
        buyers = sorted(blockable(self._orders.values()))
        if not buyers:
            return {}
        found = await self._db.fetch(self._sql.blocked_buyers, *columns(buyers))
        return {(tenant, buyer_id): reason for tenant, buyer_id, reason in found}

    # Rows of sales and reservations

    async def _insert_sales(self) -> None:
        for opened in self._sales:
            made, sale = opened.made, opened.made.sale
            await self._db.execute(self._sql.insert_sale, self._shard, *_sale_row(opened))
            skus, totals = [item.sku for item in sale.items], [item.total for item in sale.items]
            await self._db.execute(self._sql.insert_items, made.tenant, sale.sale_id, skus, totals)

    async def _try_rows(self, rows: Rows, refusals: Refusals) -> dict[Created, Refusal]:
        """Write all rows but those of refused orders that have none; the refusals of what cannot be written."""
        tried = sorted(
            [*(Tried(row, True) for row in rows.made), *(Tried(row, False) for row in rows.moved)], key=_by_key
        )
        taken_ids, broken = await bisect(tried, self._write_some)
        late = {created: reused() for some in taken_ids for created in some}
        for one, why in broken:
            if one.row.created in refusals:
                raise give_back_refused(one.row, why)
            refusal = await self._refused_step(self._orders[one.row.created])
            if refusal is not None:
                late[one.row.created] = refusal
        return late

    async def _write_some(self, tried: Sequence[Tried]) -> set[Created]:
        """Write all, or none if one of them breaks a constraint; the new ones that were left out, their ids taken."""
        new = [one.row for one in tried if one.is_new]
        async with self._db.savepoint():
            made = await self._insert(new)
            await self._update([one.row for one in tried if not one.is_new])
        return {row.created for row in new} - made

    async def _refused_step(self, order: Order) -> Refusal | None:
        """Write an order step by step, up to the first that breaks, and blame that one; None if none breaks alone."""
        for step, row in enumerate(rows_by_step(order)):
            try:
                left_out = await self._write_some([Tried(row, order.is_new and step == 0)])
            except PermanentError as broken:
                refusal = refusal_for(order, step, broken)
                if refusal is None:
                    raise give_back_refused(row, broken) from broken
                return refusal
            if left_out:
                return reused()
        return None

    async def _write_refused(self, rows: Rows) -> None:
        """Write what the ledger shows of refused orders. Rows of those that have ended are a record for people only."""
        if rows.refused_confirms:
            await self._db.execute(self._sql.mark_refused_confirms, self._shard, *columns(rows.refused_confirms))
        await bisect(rows.closed, self._insert_closed)

    async def _insert_closed(self, rows: Sequence[ReservationRow]) -> None:
        async with self._db.savepoint():
            await self._insert(rows)

    async def _insert(self, rows: Sequence[ReservationRow]) -> set[Created]:
        """Insert those whose id is free, with their lines; which they were."""
        if not rows:
            return set()
        found = await self._db.fetch(self._sql.insert_reservations, self._shard, *columns(rows))
        made = {Created(*row) for row in found}
        lines = lines_of([row for row in rows if row.created in made], self._orders)
        if lines:
            await self._db.execute(self._sql.insert_lines, *columns(lines))
        return made

    async def _update(self, rows: Sequence[ReservationRow]) -> None:
        if not rows:
            return
        found = await self._db.execute(self._sql.update_reservations, self._shard, *columns(rows))
        if found != len(rows):
            raise BrokenInvariant("GIVE_BACK_REFUSED: a reservation moved that the ledger does not hold")
        sold = [(*row[:3], row.state) for row in rows if moves_lines(row)]
        if sold:
            await self._db.execute(self._sql.update_line_quantities, *columns(sold))

    # Balances and dead letters

    async def _add_to_items(self, deltas: Mapping[tuple[str, str, str], Mapping[str, int]]) -> None:
        """Balances are applied whole and never blamed on an order."""
        rows = sorted((*item, *(delta.get(account, 0) for account in ACCOUNTS)) for item, delta in deltas.items())
        if not rows:
            return
        try:
            found = {tuple(row) for row in await self._db.fetch(self._sql.add_to_items, *columns(rows))}
        except PermanentError as broken:
            raise BrokenInvariant(f"NEGATIVE_BALANCE: {broken}") from broken
        missing = sorted(deltas.keys() - found)
        if missing:
            raise BrokenInvariant(f"NEGATIVE_BALANCE: there is no item {missing[0][2]} in sale {missing[0][1]}")

    async def _insert_letters(self, letters: Sequence[DeadLetter]) -> None:
        if not letters:
            return
        rows = [(*letter[:7], _as_json(letter.lines), *letter[8:-1]) for letter in letters]
        await self._db.execute(self._sql.insert_letters, self._shard, *columns(rows))
        owed = [(*letter[:3], not letter.is_open) for letter in letters if letter.needs_compensation]
        if owed:
            await self._db.execute(self._sql.insert_compensations, self._shard, *columns(owed))

    async def _move_letters(self, moves: Sequence[DeadLetterUpdate]) -> None:
        if not moves:
            return
        await self._db.execute(self._sql.move_letters, self._shard, *columns(moves))
        ended = [move[:3] for move in moves if not move.is_open]
        if ended:
            await self._db.execute(self._sql.end_compensations, self._shard, *columns(ended))


def give_back_refused(row: ReservationRow, broken: PermanentError) -> BrokenInvariant:
    """What no order can be blamed for."""
    return BrokenInvariant(f"GIVE_BACK_REFUSED: {row.sale_id}/{row.reservation_id}: {broken}")


def _created(letter: Row) -> Created:
    return Created(letter["created_epoch"], letter["created_seq"], letter["created_index"])


def _earlier_refusal(letter: Row) -> Refusal:
    reason = CompensationReason.Value(f"COMPENSATION_REASON_{letter['reason']}")
    at_making = _created(letter) == (letter["epoch"], letter["seq"], letter["index"])
    return Refusal(EARLIER_RUN, reason, letter["detail"], at_making)


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


def _by_key(tried: Tried) -> tuple[str, str, str]:
    return tried.row[:3]
