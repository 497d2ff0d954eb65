"""The highest commit of each shard that this process has observed, by which an older copy of Redis is detected."""

from inventory_service.domain.shards import CommitId

NONE = CommitId(0, 0)


class ObservedHeads:
    """Fed by whatever proves that a shard's Redis had a commit. A call is not served by a Redis that lacks it."""

    def __init__(self) -> None:
        self._highest: dict[int, CommitId] = {}

    def get(self, shard: int) -> CommitId:
        """The highest commit observed; 0-0 if none was."""
        return self._highest.get(shard, NONE)

    def observe(self, shard: int, commit_id: CommitId) -> None:
        """Record a commit; one below the highest changes nothing."""
        if commit_id > self.get(shard):
            self._highest[shard] = commit_id
