"""Says when a process may take a shard over, beside others that do the same."""

from collections.abc import Callable

from inventory_service.domain.restore import Permission
from inventory_service.domain.shard_ports import Shards
from inventory_service.domain.shards import ShardStatus
from inventory_service.service.relay.takeover import Attempt, Ending, ShardTakeover

TAKEOVER_TIMEOUT_S = 5.0  # without a change, before another process' take-over counts as abandoned


class ShardTurn:
    """One shard's: a take-over of another process that goes on is left alone, so that two never interrupt each other.

    A shard that has to be loaded waits for its turn outside of a take-over, so that another process may load it.
    """

    def __init__(
        self,
        shard: int,
        shards: Shards,
        takeover: ShardTakeover,
        monotonic: Callable[[], float],
        timeout_s: float = TAKEOVER_TIMEOUT_S,
    ) -> None:
        self._shard = shard
        self._shards = shards
        self._takeover = takeover
        self._monotonic = monotonic
        self._timeout_s = timeout_s
        self._seen = ("", 0, 0)  # token, parts and renewals of another process' take-over
        self._seen_at = 0.0
        self.waits_for_slot = False  # of the loader

    async def attempt(self, status: ShardStatus, permission: Permission) -> Attempt | None:
        """One attempt; None if another process is at it, for which `force` does not wait."""
        if self._is_taken_over_elsewhere(status) and not permission.force:
            return None
        attempt = await self._takeover.attempt(self._shard, permission)
        if attempt.ending is not Ending.LOADER_BUSY:
            return attempt
        self.waits_for_slot = True
        try:
            async with self._takeover.loader_slot(self._shard):
                self.waits_for_slot = False
                if self._is_taken_over_elsewhere(await self._shards.status(self._shard)) and not permission.force:
                    return None
                return await self._takeover.attempt(self._shard, permission)
        finally:
            self.waits_for_slot = False

    def _is_taken_over_elsewhere(self, status: ShardStatus) -> bool:
        if not status.takeover_token or self._takeover.started(self._shard, status.takeover_token):
            return False
        now, seen = self._monotonic(), (status.takeover_token, status.parts, status.renewals)
        if seen != self._seen:
            self._seen, self._seen_at = seen, now
        return now - self._seen_at < self._timeout_s
