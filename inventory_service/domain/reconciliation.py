"""Compares Redis with the ledger at one commit of a shard, and describes each difference."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from google.protobuf.message import DecodeError

from inventory_service.domain.events import sales_made
from inventory_service.domain.keys import Position, SaleKey
from inventory_service.domain.reservation import Units
from inventory_service.domain.shard_load import StoredSettings
from inventory_service.domain.shards import Commit, CommitId, hash_of


class ItemInRedis(NamedTuple):
    sku: str
    available: int
    held: int
    sold: int
    buyer_limit: int = 0  # 0: none


class ReservationSnapshot(NamedTuple):
    """A reservation as Redis or the ledger stores it; an overdue hold is HELD until it is expired."""

    reservation_id: str
    state: int
    revision: int
    expire_time_ms: int  # of its hold; 0: it never was one
    due_ms: int  # when it is taken back: the same while it is HELD, else 0
    created: Position
    position: Position  # of its latest change
    buyer_id: str  # '': the id was spent
    lines: tuple[Units, ...]  # sorted by SKU


class SalePage(NamedTuple):
    """A page of a sale in Redis, or some of its reservations, with the head of the shard at that moment."""

    is_late: bool  # whether the sale is due only after its first hold ends
    head: CommitId
    hash: str
    cursor: int  # of the next page; 0: this was the last
    items: tuple[ItemInRedis, ...]  # in the first page only
    reservations: tuple[ReservationSnapshot, ...]
    settings: StoredSettings | None  # in the first page only; None: Redis has no such sale
    frozen_reason: str  # '': the shard is not frozen
    archived: CommitId  # no reservation that changed after it has been archived


class RefusedOrder(NamedTuple):
    """An order that the ledger refused, as its dead letter has it after its latest change."""

    order: ReservationSnapshot  # of its units only those claimed, and as sold those that it owns
    refused_at: CommitId  # the refused change
    is_open: bool
    is_id_reused: bool


class Balances(NamedTuple):
    """An item's units in the ledger."""

    sku: str
    available: int
    held: int
    sold: int
    refused: int


class ItemInLedger(NamedTuple):
    """An item's balances, beside the sums of the ledger's entries, reservation lines and dead letters."""

    sku: str
    total: int
    available: int
    held: int
    sold: int
    refused: int
    entries: Mapping[str, int]  # account -> balance; that of external is the total, negative
    lines_held: int
    lines_sold: int
    lines_refused: int


class Difference(NamedTuple):
    """One difference, in words."""

    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"


def item_differences(
    sale: SaleKey, redis: Sequence[ItemInRedis], ledger: Sequence[ItemInLedger | Balances]
) -> Iterable[Difference]:
    """Available must be equal, and held + sold in Redis equal to held + sold + refused in the ledger."""
    in_redis, in_ledger = {item.sku: item for item in redis}, {item.sku: item for item in ledger}
    for sku in sorted(in_redis.keys() | in_ledger.keys()):
        where = f"sale {sale} item {sku}"
        if sku not in in_ledger or sku not in in_redis:
            yield Difference(where, f"is only in {'Redis' if sku in in_redis else 'the ledger'}")
            continue
        redis_item, ledger_item = in_redis[sku], in_ledger[sku]
        if redis_item.available != ledger_item.available:
            yield Difference(where, f"available {redis_item.available} in Redis, {ledger_item.available} in the ledger")
        if redis_item.held + redis_item.sold != ledger_item.held + ledger_item.sold + ledger_item.refused:
            with_refused = f"{ledger_item.held} + {ledger_item.sold} + {ledger_item.refused} in the ledger"
            yield Difference(
                where, f"held + sold {redis_item.held} + {redis_item.sold} in Redis, with refused {with_refused}"
            )


def leftover_differences(sale: SaleKey, ledger: Sequence[ItemInLedger]) -> Iterable[Difference]:
    """A sale that has left Redis must have no held and no refused units."""
    for item in ledger:
        if item.held or item.refused:
            open_units = f"the ledger's held is {item.held}, its refused {item.refused}"
            yield Difference(f"sale {sale} item {item.sku}", f"has left Redis, and {open_units}")


def sum_differences(sale: SaleKey, ledger: Sequence[ItemInLedger]) -> Iterable[Difference]:
    """Within the ledger, balances must be the sums of entries, reservation lines and dead letters."""
    for item in ledger:
        sums = (
            ("available", item.available, "entries", item.entries.get("available", 0)),
            ("held", item.held, "entries", item.entries.get("held", 0)),
            ("sold", item.sold, "entries", item.entries.get("sold", 0)),
            ("refused", item.refused, "entries", item.entries.get("refused", 0)),
            ("total", item.total, "entries", -item.entries.get("external", 0)),
            ("held", item.held, "reservations", item.lines_held),
            ("sold", item.sold, "reservations", item.lines_sold),
            ("refused", item.refused, "open dead letters", item.lines_refused),
        )
        for account, balance, source, added in sums:
            if balance != added:
                where = f"sale {sale} item {item.sku}"
                yield Difference(where, f"the ledger's {account} is {balance}, its {source} add up to {added}")


def reservation_differences(
    sale: SaleKey,
    redis: Sequence[ReservationSnapshot],
    ledger: Mapping[str, ReservationSnapshot],
    dead_letters: Sequence[RefusedOrder],
) -> Iterable[Difference]:
    """Reservations must be equal, except those with an open dead letter or one for a reused id."""
    by_position = {dead_letter.order.created: dead_letter for dead_letter in dead_letters}
    for kept in redis:
        dead_letter, recorded = by_position.get(kept.created), ledger.get(kept.reservation_id)
        if dead_letter is not None and (dead_letter.is_open or dead_letter.is_id_reused):
            continue
        where = f"sale {sale} reservation {kept.reservation_id}"
        if recorded is None:
            if dead_letter is None or dead_letter.order.state != kept.state:
                yield Difference(where, f"is {_describe(kept)} in Redis and not in the ledger")
        elif recorded != kept:
            yield Difference(where, f"is {_describe(kept)} in Redis, {_describe(recorded)} in the ledger")


def hold_differences(sale: SaleKey, redis: int, ledger: int) -> Iterable[Difference]:
    """A hold never leaves Redis, so both numbers must be equal; holds with an open dead letter count in neither."""
    if redis != ledger:
        yield Difference(f"sale {sale}", f"{redis} reservations are held in Redis, {ledger} in the ledger")


def due_differences(sale: SaleKey, page: SalePage) -> Iterable[Difference]:
    """A sale must be due when its first hold ends, for nothing else takes back the holds of a sale without calls."""
    if page.is_late:
        yield Difference(f"sale {sale}", "is due later than its first hold ends")


def _describe(reservation: ReservationSnapshot) -> str:
    lines = ", ".join(f"{line.claimed} {line.sku}{_sold(line)}" for line in reservation.lines)
    created, changed = _place(reservation.created), _place(reservation.position)
    ends = f"hold ends at {reservation.expire_time_ms}, due at {reservation.due_ms}"
    state = f"state {reservation.state}, revision {reservation.revision}, {ends}"
    of = f"of {reservation.buyer_id}, " if reservation.buyer_id else ""
    return f"({of}{state}, created at {created}, changed at {changed}, {lines or 'no lines'})"


def _place(position: Position) -> str:
    return f"{position.epoch}-{position.seq}[{position.index}]"


def _sold(line: Units) -> str:
    return f" ({line.sold} sold, {line.came_back} came back)" if line.sold else ""


class JournalReader:
    """Reads a shard's journal in order: recomputes its hash chain from the payloads, and collects the sales created."""

    def __init__(self, shard: int) -> None:
        self._where = f"journal of shard {shard}"
        self._last = CommitId(0, 0)
        self._hash = ""
        self.commits = 0
        self.sales: set[SaleKey] = set()

    def read(self, commit: Commit) -> Iterable[Difference]:
        at = f"commit {commit.commit_id}"
        expected = self._last.seq + 1 if commit.epoch == self._last.epoch else 1
        if commit.seq != expected:
            yield Difference(self._where, f"{at} comes where {commit.epoch}-{expected} should")
        if commit.hash != hash_of(self._hash, commit.payload):
            yield Difference(self._where, f"{at} has a hash that does not match its payload")
        self._last, self._hash = commit.commit_id, commit.hash
        self.commits += 1
        try:
            self.sales.update(sales_made(commit.payload))
        except DecodeError:
            yield Difference(self._where, f"{at} has an unreadable payload")

    def finish(self, commit_id: CommitId, hash: str, sales: Iterable[SaleKey]) -> Iterable[Difference]:
        """The ledger must be at the journal's last commit, or at the start of an epoch right after it."""
        if hash != self._hash or (commit_id != self._last and commit_id.seq != 0):
            yield Difference(self._where, f"ends at commit {self._last}, and the ledger is at {commit_id}")
        for sale in sorted(self.sales ^ set(sales)):
            missing = "the ledger has no row of it" if sale in self.sales else "no commit created it"
            yield Difference(self._where, f"sale {sale}: {missing}")
