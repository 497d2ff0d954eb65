"""A shard's row in the ledger, and the outcome of applying a batch to it."""

from typing import NamedTuple

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

    @property
    def position(self) -> tuple[int, int]:
        """Epoch and seq of the last commit that was applied."""
        return self.epoch, self.seq

    @property
    def facts_position(self) -> tuple[int, int]:
        """Epoch and seq of the last commit whose facts are on Kafka."""
        return self.facts_epoch, self.facts_seq


class Outcome(NamedTuple):
    """A shard's row after a batch, and the seq from which its relay is asked to resend (0: no resend)."""

    shard: int
    row: ShardRow
    resend_from_seq: int = 0
