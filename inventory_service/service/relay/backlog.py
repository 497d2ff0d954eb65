"""Reads how much of a shard's outbox is not sent yet, or not yet in the ledger, and for how long."""

from inventory_service.domain.backlog import Backlog
from inventory_service.domain.shard_ports import Outbox
from inventory_service.domain.shards import CommitId, ShardStatus


async def read_backlog(outbox: Outbox, status: ShardStatus, sent: CommitId | None, now_s: float) -> Backlog:
    """The backlog of a shard with this status. `sent`: the last commit sent by this relay; None if another one sends.

    Of an empty outbox Redis need not be asked how old its commits are.
    """

    async def age_s(commit_id: CommitId | None) -> float:
        """Seconds since the first commit after this one was made; 0 if there is none."""
        if commit_id is None or status.outbox_length == 0:
            return 0.0
        made_ms = await outbox.time_after(status.shard, commit_id)
        return max(now_s - made_ms / 1000, 0.0) if made_ms is not None else 0.0

    return Backlog(
        serving=status.serving,
        sends=sent is not None,
        outbox=status.outbox_length,
        unsent=max(status.seq - sent.seq, 0) if sent is not None and sent.epoch == status.epoch else 0,
        unsent_s=await age_s(sent),
        unledgered_s=await age_s(status.trimmed),
        ahead_s=status.ahead_ms / 1000,
        parts=status.parts,
    )
