"""A shard's row in the ledger, and the outcome of applying a batch to it."""

from collections.abc import Sequence
from typing import NamedTuple

from order_persister.domain.chain import AcceptedCommit, ReadMark, Watermark

# The same as in the inventory service, and in docs/operations.md.
RESIZING = (
    "the number of shards never changes, because each reservation is named by its shard and its place there: for "
    "another number run a second installation, with a Redis, a PostgreSQL database and a HOLDFAST_KAFKA_PREFIX of its "
    "own, make new sales there, and let the old one end with its sales"
)


class ShardRow(NamedTuple):
    """What the ledger holds of a shard; the fields are the columns of `lock_shard`."""

    epoch: int
    seq: int
    hash: str
    settled_epoch: int
    settled_seq: int
    facts_epoch: int
    facts_seq: int
    frozen_reason: str  # empty: not frozen
    read_offset: int
    read_digest: bytes
    seen_epoch: int
    seen_seq: int

    @property
    def position(self) -> tuple[int, int]:
        """Epoch and seq of the last commit that was applied."""
        return self.epoch, self.seq

    @property
    def watermark(self) -> Watermark:
        """The last commit that was applied."""
        return Watermark(self.epoch, self.seq, self.hash)

    @property
    def read_mark(self) -> ReadMark:
        """How far the row has read its partition."""
        return ReadMark(self.read_offset, self.read_digest)

    @property
    def seen(self) -> tuple[int, int]:
        """Epoch and seq of the highest commit that a record named and the ledger could not apply."""
        return self.seen_epoch, self.seen_seq

    @property
    def facts_position(self) -> tuple[int, int]:
        """Epoch and seq of the last commit whose facts are on Kafka."""
        return self.facts_epoch, self.facts_seq


class PartitionState(NamedTuple):
    """A partition that is assigned to this process."""

    acknowledged: int  # the offset up to which the group has acknowledged records
    reached: int  # the offset up to which this process has read or acknowledged them
    end: int  # the offset that the next record will get


class Outcome(NamedTuple):
    """What a transaction has made of a shard, or a batch."""

    shard: int
    row: ShardRow  # afterwards
    resend_from_seq: int = 0  # from which its relay is asked to resend; 0: no resend
    applied: Sequence[AcceptedCommit] = ()  # by the transaction, up to the row's watermark
    has_refused: bool = False  # whether it has refused orders
