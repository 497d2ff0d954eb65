"""What the persister needs of Kafka and of the ledger; the adapters implement it."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import NamedTuple, Protocol

from holdfast.inventory.v1.events_pb2 import Compensation

from order_persister.domain.chain import AcceptedCommit, KafkaRecord, Quarantined, ReadMark, Watermark
from order_persister.domain.changes import Created
from order_persister.domain.dead_letters import DeadLetter, DeadLetterUpdate
from order_persister.domain.facts import NextFacts
from order_persister.domain.fold import Refusal
from order_persister.domain.orphans import Orphan
from order_persister.domain.refusals import Block
from order_persister.domain.rows import LineRow, RefusedConfirm, ReservationRow
from order_persister.domain.sales import AdjustmentRow, ItemRow, LeftRow, SaleChangeRow, SaleRow, SettingsRow
from order_persister.domain.shards import ShardRow
from order_persister.domain.transfers import Entry


class LedgerTransaction(Protocol):
    """An open transaction that writes one shard; each method is one statement, and does nothing for no rows.

    Every method may raise `PermanentError` for what Postgres always rejects, and an error to retry for all else.
    """

    def savepoint(self) -> AbstractAsyncContextManager[None]:
        """Undo what fails inside; the transaction goes on."""

    async def lock_shard(self) -> ShardRow | None:
        """Read the shard's row and lock it until the transaction ends; None if there is none."""

    async def raise_watermark(
        self, watermark: Watermark, time_ms: int, mark: ReadMark, seen: tuple[int, int]
    ) -> ShardRow:
        """Set the shard's watermark, whose commit has this time, and what `set_reading` sets; the row afterwards.

        The settled position rises to just below the oldest open dead letter.
        """

    async def set_reading(self, mark: ReadMark, seen: tuple[int, int]) -> None:
        """Set the shard's read mark, and the highest commit (epoch, seq) that it has seen above its watermark."""

    async def restart_reading(self, mark: ReadMark) -> None:
        """Set the shard's read mark to the partition's start, if it is still at `mark`."""

    async def freeze(self, epoch: int, seq: int, reason: str) -> None:
        """Freeze the shard if it is at this position and not frozen yet."""

    async def quarantine(self, item: Quarantined) -> bool:
        """Keep bytes that cannot be applied; False if they are kept already."""

    async def insert_orphans(self, orphans: Sequence[Orphan]) -> None:
        """Keep changes that the ledger never takes; a repeat changes nothing."""

    async def journal_hashes(self, positions: Sequence[tuple[int, int]]) -> Mapping[tuple[int, int], str]:
        """The hashes of the commits at these positions, of those that the journal has."""

    async def insert_epoch(self, epoch: int, base: Watermark) -> None:
        """Keep where an epoch began that the ledger has entered by its first commit."""

    async def insert_journal(self, commits: Sequence[AcceptedCommit]) -> None:
        """Append commits to the journal."""

    async def blocked_buyers(self, buyers: Sequence[tuple[str, str]]) -> Mapping[tuple[str, str], Block]:
        """The blocked ones of these buyers (tenant, id)."""

    async def open_refusals(self, orders: Sequence[Created]) -> Mapping[Created, Refusal]:
        """The refusals of those of these orders whose dead letter is open."""

    async def insert_sales(self, rows: Sequence[SaleRow]) -> None:
        """Insert sales."""

    async def update_settings(self, rows: Sequence[SettingsRow]) -> int:
        """Set the settings of sales; how many of them were found."""

    async def insert_sale_changes(self, rows: Sequence[SaleChangeRow]) -> None:
        """Insert changes of sales' settings."""

    async def insert_items(self, rows: Sequence[ItemRow]) -> None:
        """Insert items, all units available."""

    async def insert_adjustments(self, rows: Sequence[AdjustmentRow]) -> None:
        """Insert adjustments of stock."""

    async def set_left_times(self, rows: Sequence[LeftRow]) -> int:
        """Note when sales left Redis; how many of them were found."""

    async def insert_reservations(self, rows: Sequence[ReservationRow]) -> set[Created]:
        """Insert the reservations whose id is free, without their lines; the orders that were left out."""

    async def update_reservations(self, rows: Sequence[ReservationRow]) -> int:
        """Update reservations without their lines, found by id and creation position; how many were found."""

    async def insert_lines(self, rows: Sequence[LineRow]) -> None:
        """Insert the lines of new reservations."""

    async def update_lines(self, rows: Sequence[LineRow]) -> None:
        """Update lines that are there since their reservation was made."""

    async def write_added_lines(self, rows: Sequence[LineRow]) -> None:
        """Insert or update lines that changes of holds have added."""

    async def mark_refused_confirms(self, rows: Sequence[RefusedConfirm]) -> None:
        """Mark reservations as refused, their states as they were."""

    async def add_to_items(self, deltas: Mapping[tuple[str, str, str], Mapping[str, int]]) -> set[tuple[str, str, str]]:
        """Add changes (item -> account -> units) to the balances and totals of items; the items that were found."""

    async def insert_entries(self, entries: Sequence[Entry]) -> None:
        """Insert transfers."""

    async def insert_dead_letters(self, dead_letters: Sequence[DeadLetter]) -> None:
        """Insert dead letters, and a compensation for each that needs one."""

    async def update_dead_letters(self, updates: Sequence[DeadLetterUpdate]) -> None:
        """Update open dead letters; compensations of orders that have ended are done."""


class Ledger(Protocol):
    """The ledger, for writing."""

    def transaction(self, shard: int) -> AbstractAsyncContextManager[LedgerTransaction]:
        """A transaction; it commits at the end of the block and rolls back if the block raises."""


class UnpublishedRecords(Protocol):
    """What the ledger holds and Kafka may lack. Every method retries until the ledger answers."""

    async def shard_rows(self, shards: Iterable[int]) -> Mapping[int, ShardRow]:
        """The rows of those of these shards that have one."""

    async def next_facts(self, shard: int, applied: Sequence[AcceptedCommit] = ()) -> NextFacts | None:
        """The next facts above the shard's facts mark, which may be none; `applied` saves reading the journal.

        None if the mark is at the watermark, or if this version does not know all of the next commit.
        """

    async def record_published(self, shard: int, facts: NextFacts) -> bool:
        """Store that these are on Kafka; False if the mark was moved, or the ledger was set back, meanwhile."""

    async def due_compensations(self, shard: int, only_new: bool) -> Sequence[Compensation]:
        """Some compensations that are due; each is due again later until the ledger has the end of its order."""

    async def open_compensations(self, shards: Iterable[int]) -> Mapping[int, "OpenCompensations"]:
        """The refused orders of each shard that still have units; a shard without any is left out."""


class OpenCompensations(NamedTuple):
    """Numbers of a shard's refused orders that still have units."""

    open: int
    stalled: int  # of these, those whose compensation was sent again and again without effect


class CommitRecords(Protocol):
    """The partitions of the commits topic, for reading apart from the group. Raises an error to retry."""

    async def end(self, shard: int) -> int:
        """The offset that the next record will get."""

    async def record_at(self, shard: int, offset: int) -> KafkaRecord | None:
        """One record; None if it was deleted, or does not exist yet."""

    def records_from(self, shard: int, offset: int) -> AsyncGenerator[Sequence[KafkaRecord], None]:
        """Every record from an offset on that is not deleted, in order, up to the partition's end."""


class Message(NamedTuple):
    """A record to send; its partition is the shard."""

    topic: str  # without the prefix
    shard: int
    key: bytes
    value: bytes


# Sends messages of one topic and shard as one batch, in order, and returns when Kafka has confirmed it.
Send = Callable[[Sequence[Message]], Awaitable[None]]
