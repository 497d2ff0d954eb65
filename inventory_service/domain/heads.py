"""The highest commit of each shard that this process has observed, by which an older copy of Redis is detected."""

from collections.abc import Callable

from inventory_service.domain.shards import CommitId

NONE = CommitId(0, 0)
EpochListener = Callable[[int, CommitId, int], None]


class ObservedHeads:
    """Fed by whatever proves that a shard's Redis had a commit. A call is not served by a Redis that lacks it.

    `epoch_changed` is told when a shard's epoch is another than before: shard, last commit observed until then (0-0:
    none), new epoch.
    """

    def __init__(self, epoch_changed: EpochListener = lambda *_: None) -> None:
        self._highest: dict[int, CommitId] = {}
        self._epoch_changed = epoch_changed

    def get(self, shard: int) -> CommitId:
        """The highest commit observed; 0-0 if none was."""
        return self._highest.get(shard, NONE)

    def observe(self, shard: int, commit_id: CommitId) -> None:
        """Record a commit; one below the highest changes nothing."""
        highest = self.get(shard)
        if commit_id > highest:
            self._highest[shard] = commit_id
            if commit_id.epoch != highest.epoch:
                self._epoch_changed(shard, highest, commit_id.epoch)
