"""A shard's row in the ledger, and the outcome of applying a batch to it."""

from typing import NamedTuple


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
