"""Counts the commits that this process observed in Redis and that a take-over did not find: callers know of them."""

from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

from structlog.typing import FilteringBoundLogger

from holdfast_runtime.retry import Backoff
from inventory_service.domain.lost_commits import LostCommits, lost_commits
from inventory_service.domain.shard_ports import EpochBases, Shards
from inventory_service.domain.shards import CommitId, LedgerUnavailable, RedisUnavailable

INTERVAL_S, MAX_RETRY_S = 1.0, 30.0
MAX_ATTEMPTS = 10  # some minutes: a ledger that was set back may never know on which commit an epoch built


class EpochChange(NamedTuple):
    """A shard's last commit observed before its epoch changed, 0-0 if none was, and the epoch observed then."""

    shard: int
    last: CommitId
    epoch: int
    attempts: int = 0  # to judge it, while both servers answered


class LostCommitsWatch:
    """Judges each change of epoch once, as soon as it is known on which commit the new epoch builds.

    Redis knows that of its present epoch, and the ledger of all: it is asked where epochs were skipped.
    """

    def __init__(
        self, shards: Shards, ledger: EpochBases, count: Callable[[int, int], None], log: FilteringBoundLogger
    ) -> None:
        self._shards = shards
        self._ledger = ledger
        self._count = count
        self._log = log
        self._pending: list[EpochChange] = []
        self._bases: defaultdict[int, dict[int, CommitId]] = defaultdict(dict)  # by shard and epoch

    def epoch_changed(self, shard: int, last: CommitId, epoch: int) -> None:
        """Have a change judged by the next check."""
        self._pending.append(EpochChange(shard, last, epoch))

    async def run(self) -> None:
        """Check for ever; less often while a change cannot be judged."""
        delay = Backoff(INTERVAL_S, MAX_RETRY_S)
        while True:
            await delay.wait()
            await self.check()
            if not self._pending:
                delay.reset()

    async def check(self) -> None:
        """Judge what is pending; what cannot be judged yet stays so. Without a change no server is asked."""
        for change in list(self._pending):
            again = await self._judge(change)
            self._pending.remove(change)
            if again is not None and again.attempts == MAX_ATTEMPTS:
                names = {"last": str(change.last), "why": "nothing tells on which commit the new epoch builds"}
                self._log.error("acknowledged_perhaps_lost", shard=change.shard, epoch=change.epoch, **names)
            elif again is not None:
                self._pending.append(again)

    async def _judge(self, change: EpochChange) -> EpochChange | None:
        """Log and count what the change lost; the change, to be judged again, if it is not known yet."""
        answered = 0
        for learn in (self._learn_from_redis, self._learn_from_ledger):
            with suppress(KeyError, RedisUnavailable, LedgerUnavailable):
                await learn(change.shard)
                answered += 1
                self._report(change, lost_commits(change.last, change.epoch, self._bases[change.shard]))
                return None
        return change._replace(attempts=change.attempts + (answered == 2))

    def _report(self, change: EpochChange, lost: LostCommits) -> None:
        if lost.commits:
            self._count(change.shard, lost.commits)
            names = {"first": str(lost.first), "last": str(lost.last), "commits": lost.commits}
            self._log.error("acknowledged_and_lost", shard=change.shard, epoch=change.epoch, **names)

    async def _learn_from_redis(self, shard: int) -> None:
        status = await self._shards.status(shard)
        if status.base is not None:
            self._bases[shard][status.epoch] = status.base

    async def _learn_from_ledger(self, shard: int) -> None:
        self._bases[shard].update(await self._ledger.bases(shard))
