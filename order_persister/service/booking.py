"""Writes one run of commits of one shard inside an open transaction: rows, balances, transfers and dead letters."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from order_persister.domain.chain import AcceptedCommit
from order_persister.domain.changes import Created
from order_persister.domain.dead_letters import DeadLetter, dead_letter_updates_from, dead_letters_from
from order_persister.domain.fold import Order, Refusal, orders_from
from order_persister.domain.ports import LedgerTransaction
from order_persister.domain.refusals import (
    PermanentError,
    bisect,
    buyers_to_check,
    refusal_for,
    refusal_for_reused_id,
    refusals_before_writing,
)
from order_persister.domain.rows import ReservationRow, Rows, final_rows, rows_by_step
from order_persister.domain.sales import sale_rows_from
from order_persister.domain.transfers import deltas_from, entries_from_orders


class BrokenInvariant(Exception):
    """The run contradicts the ledger, and no order may be refused for it. The message is why the shard is frozen."""


class PendingRow(NamedTuple):
    """A row that Postgres may reject, and whether this run created its order."""

    row: ReservationRow
    is_new: bool


class Booking:
    """One run, within one transaction. If it raises, the caller rolls the transaction back."""

    def __init__(self, transaction: LedgerTransaction, commits: Sequence[AcceptedCommit]) -> None:
        self._transaction = transaction
        self._orders = orders_from(commits)
        self._sales = sale_rows_from(commits)

    async def write(self) -> list[DeadLetter]:
        """Write everything that follows from the run; the dead letters of the orders that it refused."""
        try:
            return await self._write()
        except PermanentError as error:
            raise BrokenInvariant(f"GIVE_BACK_REFUSED: {error}") from error

    async def _write(self) -> list[DeadLetter]:
        await self._write_sales()
        refusals = await self._write_reservations()
        orders = self._orders.values()
        moves = [*self._sales.entries_of_adjustments, *entries_from_orders(orders, refusals)]
        await self._add_to_items(deltas_from(moves))
        await self._transaction.insert_entries([*self._sales.entries_of_items, *moves])
        dead_letters = dead_letters_from(orders, refusals)
        await self._transaction.insert_dead_letters(dead_letters)
        await self._transaction.update_dead_letters(dead_letter_updates_from(orders, refusals))
        return dead_letters

    async def _write_sales(self) -> None:
        """Write sales before the orders in them. Redis makes each change once, so a second one freezes the shard."""
        transaction, sales = self._transaction, self._sales
        await transaction.insert_sales(sales.made)
        found = await transaction.update_settings(sorted(sales.settings.values()))
        await transaction.insert_sale_changes(sales.changes)
        await transaction.insert_items(sales.items)
        await transaction.insert_adjustments(sales.adjustments)
        found += await transaction.set_left_times(sales.left)
        if found != len(sales.settings) + len(sales.left):
            raise BrokenInvariant("GIVE_BACK_REFUSED: the ledger does not hold a sale that has changed")

    async def _write_reservations(self) -> dict[Created, Refusal]:
        """Write a row for every order that has one; the refusals decided before the writing and by it."""
        refusals = await self._refusals_before_writing()
        rows = final_rows(self._orders.values(), refusals)
        rejected = await self._write_rows(rows, refusals)
        await self._write_refused(rows)  # after the others: a reused id belongs to the order that is not refused
        refusals |= rejected
        rejected_rows = final_rows([self._orders[created] for created in rejected], refusals, are_written=True)
        await self._update(rejected_rows.changed)  # back to what they were before the refused step
        await self._write_refused(rejected_rows)
        return refusals

    async def _refusals_before_writing(self) -> dict[Created, Refusal]:
        orders = self._orders.values()
        earlier = await self._transaction.open_refusals([order.created for order in orders if not order.is_new])
        blocked = await self._transaction.blocked_buyers(sorted(buyers_to_check(orders)))
        return refusals_before_writing(orders, earlier, blocked)

    async def _write_rows(self, rows: Rows, refusals: Mapping[Created, Refusal]) -> dict[Created, Refusal]:
        """Write the new and the changed rows; the refusals of those that cannot be written."""
        try:
            return dict.fromkeys(await self._write_all_or_none(rows.new, rows.changed), refusal_for_reused_id())
        except PermanentError:
            return await self._write_by_halves(rows, refusals)

    async def _write_by_halves(self, rows: Rows, refusals: Mapping[Created, Refusal]) -> dict[Created, Refusal]:
        """Find the rows that cannot be written, and write all others."""
        pending = [*(PendingRow(row, True) for row in rows.new), *(PendingRow(row, False) for row in rows.changed)]
        reused_ids, bad_rows = await bisect(sorted(pending, key=_key), self._write_pending)
        rejected = {created: refusal_for_reused_id() for some in reused_ids for created in some}
        for bad, error in bad_rows:
            created = bad.row.created
            may_be_refused = bad.is_new or created not in refusals
            refusal = await self._refusal_by_step(self._orders[created]) if may_be_refused else None
            if refusal is not None:
                rejected[created] = refusal
            elif created in refusals:
                raise _give_back_refused(bad.row, error)
        return rejected

    async def _write_pending(self, pending: Sequence[PendingRow]) -> set[Created]:
        new, changed = ([one.row for one in pending if one.is_new is is_new] for is_new in (True, False))
        return await self._write_all_or_none(new, changed)

    async def _write_all_or_none(
        self, new: Sequence[ReservationRow], changed: Sequence[ReservationRow]
    ) -> set[Created]:
        """Write all rows, or none if one violates a constraint; the new orders that were left out for a reused id."""
        async with self._transaction.savepoint():
            left_out = await self._insert(new)
            await self._update(changed)
        return left_out

    async def _refusal_by_step(self, order: Order) -> Refusal | None:
        """Write an order step by step up to the first that is rejected: its refusal; None if each is written."""
        for step, row in enumerate(rows_by_step(order)):
            try:
                left_out = await self._write_pending([PendingRow(row, order.is_new and step == 0)])
            except PermanentError as error:
                refusal = refusal_for(order, step, error)
                if refusal is None:
                    raise _give_back_refused(row, error) from error
                return refusal
            if left_out:
                return refusal_for_reused_id()
        return None

    async def _write_refused(self, rows: Rows) -> None:
        """Write the rows of refused orders. Those of ended orders are for information and may be left out."""
        await self._transaction.mark_refused_confirms(rows.refused_confirms)
        await bisect(rows.refused_ended, self._insert_all_or_none)

    async def _insert_all_or_none(self, rows: Sequence[ReservationRow]) -> None:
        async with self._transaction.savepoint():
            await self._insert(rows)

    async def _insert(self, rows: Sequence[ReservationRow]) -> set[Created]:
        """Insert the reservations whose id is free, with their lines; the orders that were left out."""
        left_out = await self._transaction.insert_reservations(rows)
        inserted = [row for row in rows if row.created not in left_out] if left_out else rows
        await self._transaction.insert_lines([line for row in inserted for line in row.lines])
        return left_out

    async def _update(self, rows: Sequence[ReservationRow]) -> None:
        found = await self._transaction.update_reservations(rows)
        if found != len(rows):
            raise BrokenInvariant("GIVE_BACK_REFUSED: the ledger does not hold a reservation that has changed")
        lines = [line for row in rows for line in row.lines]
        await self._transaction.update_lines([line for line in lines if line.asked_quantity])
        await self._transaction.write_added_lines([line for line in lines if not line.asked_quantity])

    async def _add_to_items(self, deltas: Mapping[tuple[str, str, str], Mapping[str, int]]) -> None:
        """Balances are applied whole: no single order is refused for one that would be negative."""
        try:
            found = await self._transaction.add_to_items(deltas)
        except PermanentError as error:
            raise BrokenInvariant(f"NEGATIVE_BALANCE: {error}") from error
        missing = sorted(deltas.keys() - found)
        if missing:
            raise BrokenInvariant(f"NEGATIVE_BALANCE: there is no item {missing[0][2]} in sale {missing[0][1]}")


def _give_back_refused(row: ReservationRow, error: PermanentError) -> BrokenInvariant:
    """A row that gives units back was rejected."""
    return BrokenInvariant(f"GIVE_BACK_REFUSED: {row.sale_id}/{row.reservation_id}: {error}")


def _key(pending: PendingRow) -> tuple[str, str, str]:
    return pending.row[:3]
