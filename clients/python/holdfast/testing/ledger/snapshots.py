"""One sale in the ledger in memory, as AuditSale compares it with the stock."""

from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

from holdfast.inventory.v1.reservation_pb2 import LEDGER_STATE_RECORDED
from holdfast.testing.ledger.odd_lines import is_odd, spelled, state_name
from holdfast.testing.ledger.settings import stored_settings
from holdfast.testing.ledger.sums import entry_sums, letter_sums, order_sums
from holdfast.testing.ledger.tables import (
    ACCOUNTS,
    AVAILABLE,
    EXTERNAL,
    HELD_UNITS,
    REFUSED_UNITS,
    SOLD_UNITS,
    LetterRow,
    SaleRow,
    Tables,
)
from inventory_service.domain.buyer_reconciliation import LedgerBuyer
from inventory_service.domain.keys import Position, SaleKey
from inventory_service.domain.ledger_reconciliation import OddLines
from inventory_service.domain.reconciliation import ItemInLedger, RefusedOrder, ReservationSnapshot
from inventory_service.domain.reservation import CONFIRMED, HELD, ID_REUSED, Reservation, Units
from inventory_service.domain.sale_reconciliation import (
    ItemAtCommit,
    OrdersOfId,
    TakenUnits,
    orders_by_id,
)
from inventory_service.domain.sale_reconciliation import SaleRow as AuditedSale
from inventory_service.domain.shard_load import StoredSettings
from inventory_service.domain.shards import CommitId, LedgerRow
from inventory_service.domain.units import held_and_sold, name_of_limited


class InMemorySnapshots:
    """The port `SaleSnapshots`."""

    def __init__(self, tables: Tables, shards: int) -> None:
        self._tables = tables
        self._shards = shards

    @asynccontextmanager
    async def snapshot(self, shard: int, sale: SaleKey) -> AsyncIterator["InMemorySnapshot | None"]:
        """The ledger changes between two awaits at the earliest, and a snapshot's methods have none."""
        commit = self._tables.watermarks[shard].commit
        row = LedgerRow(shard, self._shards, *commit, "", *commit, "")
        yield InMemorySnapshot(self._tables, row, sale)


class InMemorySnapshot:
    """The port `SaleSnapshot`."""

    def __init__(self, tables: Tables, row: LedgerRow, sale: SaleKey) -> None:
        self.row = row
        self._tables = tables
        self._key = sale
        self._sale: SaleRow | None = tables.sales.get(sale)
        self._orders = tables.reservations.get(sale, {})
        self._letters: list[LetterRow] = list(tables.letters_of(sale))

    async def has_commit(self, commit: CommitId, hash: str) -> bool:
        return commit <= self.row.commit_id

    async def sale(self) -> AuditedSale | None:
        if self._sale is None:
            return None
        return AuditedSale(stored_settings(self._sale, self._sale.settings), self._sale.has_left)

    async def settings_at(self, place: Position, row: AuditedSale) -> StoredSettings | None:
        change = self._sale.changes.get(place) if self._sale is not None else None
        return stored_settings(self._sale, change) if self._sale is not None and change is not None else None

    async def items_at(self, commit: CommitId) -> Sequence[ItemAtCommit]:
        if self._sale is None:
            return []
        sums = entry_sums(self._sale, commit)
        return [
            ItemAtCommit(sku, limit, -sums[sku][EXTERNAL], *(sums[sku][account] for account in ACCOUNTS))
            for sku, limit in sorted(self._sale.limits.items())
        ]

    async def refused_units(self, commit: CommitId) -> Mapping[str, TakenUnits] | None:
        found: defaultdict[str, TakenUnits] = defaultdict(TakenUnits)
        for row in self._letters:
            is_later = _commit_of(row.latest.position) > commit
            if _commit_of(row.letter.position) > commit or not (row.is_open or is_later):
                continue
            if is_later:
                return None
            _add_taken(found, row.latest)
        return found

    async def orders(self, ids: Sequence[str]) -> Mapping[str, OrdersOfId]:
        wanted = set(ids)
        rows = {id: snapshot_of(row.reservation) for id, row in self._orders.items() if id in wanted}
        letters = [_refused_order(row) for row in self._letters if row.letter.reservation_id in wanted]
        return orders_by_id(rows, letters)

    async def expected(self, made_by: CommitId, archived: CommitId, after: str, limit: int) -> Sequence[str]:
        orders = [(row.reservation, row.reservation.state == HELD) for row in self._orders.values()]
        orders += [(row.latest, row.is_open) for row in self._letters]
        found = {
            order.reservation_id
            for order, is_there in orders
            if order.reservation_id > after
            and _commit_of(order.created) <= made_by
            and (is_there or _commit_of(order.position) > archived)
        }
        return sorted(found)[:limit]

    async def buyers(self, buyer_ids: Sequence[str], after: CommitId) -> Mapping[str, LedgerBuyer]:
        wanted, limited = set(buyer_ids), self._limited()
        found: dict[str, LedgerBuyer] = {}
        for order, takes in self._all_orders():
            if order.buyer_id not in wanted:
                continue
            empty = LedgerBuyer({}, limited, has_changed=False)
            buyer = found.get(order.buyer_id, empty)
            units = defaultdict(TakenUnits, buyer.by_sku)
            if takes:
                _add_taken(units, order)
            has_changed = buyer.has_changed or _commit_of(order.position) > after
            found[order.buyer_id] = LedgerBuyer(units, limited, has_changed)
        return found

    async def owners(self, made_by: CommitId, after: str, limit: int) -> tuple[str | None, Sequence[str]]:
        owning = sorted(
            (order for order, takes in self._all_orders() if takes and order.reservation_id > after),
            key=lambda order: order.reservation_id,
        )
        some = [order for order in owning if _commit_of(order.created) <= made_by][:limit]
        names = {order.buyer_id for order in some if any(_taken(order).values())}
        for order in some:
            names |= {name_of_limited(order.buyer_id, sku) for sku in self._limited() & _taken(order).keys()}
        return some[-1].reservation_id if len(some) >= limit else None, sorted(names)

    async def item_sums(self) -> Sequence[ItemInLedger]:
        if self._sale is None:
            return []
        entries = entry_sums(self._sale, self.row.commit_id)
        held, sold = order_sums(row.reservation for row in self._orders.values())
        refused = letter_sums(self._letters)
        return [
            ItemInLedger(
                sku=sku,
                total=sum(balance.values()),
                available=balance[AVAILABLE],
                held=balance[HELD_UNITS],
                sold=balance[SOLD_UNITS],
                refused=balance[REFUSED_UNITS],
                entries=entries[sku],
                lines_held=held[sku],
                lines_sold=sold[sku],
                lines_refused=refused[sku],
            )
            for sku, balance in sorted(self._sale.balances.items())
        ]

    async def odd_lines(self, limit: int, has_left: bool) -> Sequence[OddLines]:
        odd = [row.reservation for row in self._orders.values() if is_odd(row.reservation, has_left)]
        some = sorted(odd, key=lambda order: order.reservation_id)[:limit]
        return [OddLines(order.reservation_id, state_name(order), spelled(order)) for order in some]

    async def count_reservations(self) -> int:
        return len(self._orders)

    def _all_orders(self) -> list[tuple[Reservation, bool]]:
        """Rows and dead letters, and whether the units are counted: those of a refused order by its letter alone."""
        orders = [
            (row.reservation, row.reservation.ledger_state == LEDGER_STATE_RECORDED) for row in self._orders.values()
        ]
        return orders + [(row.latest, row.is_open) for row in self._letters]

    def _limited(self) -> set[str]:
        return {sku for sku, limit in self._sale.limits.items() if limit} if self._sale is not None else set()


def snapshot_of(order: Reservation) -> ReservationSnapshot:
    """A reservation as both sides of an audit have it."""
    return ReservationSnapshot(
        order.reservation_id,
        order.state,
        order.revision,
        order.expire_time_ms,
        order.expire_time_ms if order.state == HELD else 0,
        order.created,
        order.position,
        order.buyer_id,
        tuple(units for units in order.lines if units.claimed),
    )


def _refused_order(row: LetterRow) -> RefusedOrder:
    """A letter knows of its order's units those claimed and those owned."""
    is_sold = row.latest.state == CONFIRMED
    lines = tuple(
        Units(units.sku, units.claimed, units.sold - units.came_back if is_sold else 0, 0)
        for units in row.latest.lines
        if units.claimed
    )
    order = snapshot_of(row.latest._replace(lines=lines))
    is_id_reused = row.letter.reason == ID_REUSED
    return RefusedOrder(order, _commit_of(row.letter.position), row.is_open, is_id_reused)


def _taken(order: Reservation) -> dict[str, TakenUnits]:
    """What an order holds and owns, by SKU; nothing of what has neither."""
    found = {units.sku: TakenUnits(*held_and_sold(units, order.state)) for units in order.lines}
    return {sku: units for sku, units in found.items() if any(units)}


def _add_taken(found: defaultdict[str, TakenUnits], order: Reservation) -> None:
    for sku, units in _taken(order).items():
        found[sku] += units


def _commit_of(position: Position) -> CommitId:
    return CommitId(position.epoch, position.seq)
