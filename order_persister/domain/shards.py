"""Where a shard stands, as the ledger says it."""

from typing import NamedTuple


class ShardRow(NamedTuple):
    """What the ledger holds of a shard; the fields are the columns of `lock_row`."""

    epoch: int
    seq: int
    hash: str
    settled_epoch: int
    settled_seq: int
    facts_epoch: int
    facts_seq: int
    frozen_reason: str  # empty: not frozen


class Outcome(NamedTuple):
    """Where a shard stands after a batch, and from where its relay is asked to send again (0: nowhere)."""

    shard: int
    row: ShardRow
    resend_from_seq: int = 0
