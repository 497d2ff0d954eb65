"""Parses the result of read_versions.lua."""

from inventory_service.adapters.redis.call import CallHead, Values
from inventory_service.domain.shards import CommitId
from inventory_service.domain.versions import LOADED, ShardVersions


def shard_versions(head: CallHead, result: Values) -> ShardVersions:
    """What the script found."""
    age_ms, versions = result
    return ShardVersions(
        head.now_ms,
        head.position(head.seq),
        CommitId(*head.settled),
        lag_ms=None if age_ms < 0 else age_ms,
        sales=[None if version is None else _commit_id(version) for version in versions],
    )


def _commit_id(version: bytes) -> CommitId:
    """Parse "epoch-seq", or nothing."""
    if not version:
        return LOADED
    epoch, _, seq = version.partition(b"-")
    return CommitId(int(epoch), int(seq))
