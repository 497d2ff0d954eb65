"""Redis' books against the ledger's, at one position of a shard: what must be equal, and in words what is not."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from google.protobuf.message import DecodeError

from inventory_service.domain.events import sales_made
from inventory_service.domain.keys import Position, SaleKey
from inventory_service.domain.reservation import Line
from inventory_service.domain.shards import Commit, CommitId, hash_of


class ItemInRedis(NamedTuple):
    sku: str
    available: int
    held: int
    sold: int


class ReservationSnapshot(NamedTuple):
    """A reservation as either side keeps it; an overdue hold is HELD until it is taken back."""

    reservation_id: str
    state: int
    revision: int
    created: Position
    lines: tuple[Line, ...]  # sorted by SKU


class Part(NamedTuple):
    """Some of a sale as Redis keeps it, with the head of the shard at that moment."""

    now_ms: int  # by the shard's clock
    head: CommitId
    hash: str
    cursor: int  # of the next part; 0: this was the last
    items: tuple[ItemInRedis, ...]  # in the first part only
    reservations: tuple[ReservationSnapshot, ...]


class DeadLetter(NamedTuple):
    """A dead letter of the reservation that was made at `created`."""

    reservation_id: str
    created: Position
    is_open: bool
    is_id_reused: bool
    reservation_state: int


class Balances(NamedTuple):
    """An item's units in the ledger."""

    sku: str
    available: int
    held: int
    sold: int
    refused: int


class ItemInLedger(NamedTuple):
    """An item's balances, beside what the ledger's own entries, reservations and dead letters add up to."""

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
    """Something that is not as it must be."""

    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"


def item_differences(
    sale: SaleKey, redis: Sequence[ItemInRedis], ledger: Sequence[ItemInLedger | Balances]
) -> Iterable[Difference]:
    """Available is equal; what Redis holds and sold is what the ledger holds, sold and refused."""
    kept, booked = {item.sku: item for item in redis}, {item.sku: item for item in ledger}
    for sku in sorted(kept.keys() | booked.keys()):
        where = f"sale {sale} item {sku}"
        if sku not in booked or sku not in kept:
            yield Difference(where, f"is only in {'Redis' if sku in kept else 'the ledger'}")
            continue
        ours, theirs = kept[sku], booked[sku]
        if ours.available != theirs.available:
            yield Difference(where, f"available {ours.available} in Redis, {theirs.available} in the ledger")
        if ours.held + ours.sold != theirs.held + theirs.sold + theirs.refused:
            in_ledger = f"{theirs.held} + {theirs.sold} + {theirs.refused} in the ledger"
            yield Difference(where, f"held + sold {ours.held} + {ours.sold} in Redis, with refused {in_ledger}")


def leftover_differences(sale: SaleKey, ledger: Sequence[ItemInLedger]) -> Iterable[Difference]:
    """A sale that has left Redis is over and done with: nothing of it is held, or waits to be given back."""
    for item in ledger:
        if item.held or item.refused:
            open_units = f"the ledger's held is {item.held}, its refused {item.refused}"
            yield Difference(f"sale {sale} item {item.sku}", f"has left Redis, and {open_units}")


def sum_differences(sale: SaleKey, ledger: Sequence[ItemInLedger]) -> Iterable[Difference]:
    """The ledger's own books: balances are what entries, reservation lines and dead letters add up to."""
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
    letters: Sequence[DeadLetter],
) -> Iterable[Difference]:
    """Reservations are equal, but for orders that the ledger refused and has not closed, or whose id was another's."""
    by_position = {letter.created: letter for letter in letters}
    for kept in redis:
        letter, booked = by_position.get(kept.created), ledger.get(kept.reservation_id)
        if letter is not None and (letter.is_open or letter.is_id_reused):
            continue
        where = f"sale {sale} reservation {kept.reservation_id}"
        if booked is None:
            if letter is None or letter.reservation_state != kept.state:
                yield Difference(where, f"is {_told(kept)} in Redis and not in the ledger")
        elif booked != kept:
            yield Difference(where, f"is {_told(kept)} in Redis, {_told(booked)} in the ledger")


def hold_differences(sale: SaleKey, redis: int, ledger: int) -> Iterable[Difference]:
    """A hold never leaves Redis, so each of the ledger's is there; those of open refusals are not counted."""
    if redis != ledger:
        yield Difference(f"sale {sale}", f"{redis} reservations are held in Redis, {ledger} in the ledger")


def _told(booked: ReservationSnapshot) -> str:
    lines = ", ".join(f"{line.quantity} {line.sku}" for line in booked.lines)
    _, epoch, seq, index = booked.created
    return f"(state {booked.state}, revision {booked.revision}, made at {epoch}-{seq}[{index}], {lines or 'no lines'})"


class JournalReader:
    """Reads a shard's journal in order, recomputes its chain from the payloads, and finds the sales that it made."""

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
            yield Difference(self._where, f"{at} has a hash that its payload does not give")
        self._last, self._hash = commit.commit_id, commit.hash
        self.commits += 1
        try:
            self.sales.update(sales_made(commit.payload))
        except DecodeError:
            yield Difference(self._where, f"{at} has a payload that cannot be read")

    def finish(self, commit_id: CommitId, hash: str, sales: Iterable[SaleKey]) -> Iterable[Difference]:
        """The ledger stands at the journal's last commit, or at the start of an epoch right after it."""
        if hash != self._hash or (commit_id != self._last and commit_id.seq != 0):
            yield Difference(self._where, f"ends at commit {self._last}, and the ledger stands at {commit_id}")
        for sale in sorted(self.sales ^ set(sales)):
            missing = "the ledger has no row of it" if sale in self.sales else "no commit made it"
            yield Difference(self._where, f"sale {sale}: {missing}")
