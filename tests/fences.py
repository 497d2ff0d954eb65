"""The result of a fence, for tests that open shards without a ledger."""

from inventory_service.domain.shards import BegunTakeover, CommitId, Fenced, LedgerRow


def fenced(takeover: BegunTakeover, epoch: int, shards: int = 1) -> Fenced:
    """What a ledger that is at Redis' own commit would return."""
    row = LedgerRow(takeover.shard, shards, epoch, 0, takeover.hash, epoch, 0, "")
    return Fenced(row, CommitId(takeover.epoch, takeover.seq))
