"""The ports of relay, take-over, init and compensator to Redis, Kafka and the ledger.

Every method may raise the `ServerUnavailable` of its server. Any other exception is a bug and ends the process.
"""

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from typing import Protocol

from inventory_service.domain.moves import Compensate
from inventory_service.domain.shards import (
    AcceptedLoss,
    BegunTakeover,
    Commit,
    CommitId,
    Fenced,
    LedgerProgress,
    LedgerRow,
    Offsets,
    ShardStatus,
    TopicSpec,
    Trimmed,
)


class Outbox(Protocol):
    """The commits of each shard that are not trimmed yet."""

    async def read_after(self, shard: int, commit_id: CommitId, wait_ms: int) -> Sequence[Commit]:
        """The next commits in order, a few hundred KiB; waits for one if there is none, and may return none."""
        ...

    async def find(self, shard: int, commit_id: CommitId) -> Commit | None:
        """One commit, while it is not trimmed."""
        ...

    async def time_after(self, shard: int, commit_id: CommitId) -> int | None:
        """The time of the first commit after `commit_id`, in ms by the shard's clock; None if there is none."""
        ...


class Shards(Protocol):
    """The state of each shard in Redis."""

    async def status(self, shard: int) -> ShardStatus: ...

    async def trim(self, report: LedgerProgress) -> Trimmed:
        """Drop the commits that the ledger has; a report that contradicts Redis freezes the shard."""
        ...

    async def freeze(self, shard: int, epoch: int, reason: str, token: str = "") -> bool:
        """Stop a shard; False at another epoch, or if `token` is not its take-over's, so late calls are harmless."""
        ...

    async def begin_takeover(self, shard: int, token: str, epoch: int, also_serving: bool) -> BegunTakeover | str:
        """Stop serving for a take-over; or the reason not to: NEWER_EPOCH, or SERVING unless `also_serving`."""
        ...

    async def adopt(self, takeover: BegunTakeover, fenced: Fenced) -> bool:
        """Serve again, in the epoch of the fence; False if the take-over or its Redis is gone."""
        ...

    async def lease(self, shard: int, relay: str, priority: int, ms: int) -> bool:
        """Take or extend the lease on publishing a shard's commits for `ms` (0: release it); True if `relay` holds it.

        Another relay gets the lease when it has expired, and one of a higher priority at once.
        """
        ...


class CommitTopic(Protocol):
    """The topic of commits, one partition a shard."""

    async def publish(self, shard: int, commits: Sequence[Commit]) -> None:
        """Return when Kafka has confirmed all of them, in order."""
        ...


class ProgressTopic(Protocol):
    """The persisters' progress reports of all shards, from now on."""

    def reports(self, connected: Callable[[], None]) -> AsyncGenerator[LedgerProgress, None]:
        """Never ends; `connected` is called whenever Kafka has answered, with a report or without."""
        ...


class CommitOffsets(Protocol):
    """The partitions of the topic of commits."""

    async def offsets(self, shard: int) -> Offsets:
        """Where a partition begins and ends; 0 and 0 if nothing was ever published, or Kafka lost it all."""
        ...

    async def digest_at(self, shard: int, offset: int) -> bytes:
        """The digest of a record that is not deleted."""
        ...

    async def last_epoch(self, shard: int) -> int:
        """The epoch of the last record of a partition; 0 if it holds none."""
        ...


class CompensationTopic(Protocol):
    """The compensations of refused orders."""

    def compensations(self, connected: Callable[[], None]) -> AsyncGenerator[Compensate | None, None]:
        """One at a time, None for an unreadable one; each is acknowledged by the request for a later one.

        `connected` is called whenever Kafka has answered, with a compensation or without.
        """
        ...


class TopicAdmin(Protocol):
    """Kafka's list of topics."""

    async def partitions(self) -> Mapping[str, int]:
        """The number of partitions of every topic."""
        ...

    async def create(self, spec: TopicSpec) -> None:
        """Create a topic; it is no error if it exists."""
        ...


class Orphans(Protocol):
    """The list of changes that callers may have heard of and that the ledger never takes."""

    async def keep(self, shard: int, commits: Sequence[Commit], why: str) -> int:
        """Keep the changes of those commits that the ledger lacks: how many were not kept before."""
        ...


class LedgerRows(Protocol):
    """The shards' rows in the ledger."""

    async def row(self, shard: int) -> LedgerRow | None: ...

    async def rows(self) -> Mapping[int, LedgerRow]: ...

    async def open(self, shard: int, shards: int, read_offset: int, above: int) -> Fenced | None:
        """Begin the first epoch of a shard that has no row, read up to an offset; None if it has one.

        It is above that of any record of an earlier installation, which the ledger would take for its own otherwise.
        """
        ...

    async def fence(self, row: LedgerRow, above: int, how: str, loss: AcceptedLoss | None = None) -> Fenced | None:
        """Begin a new epoch, above the row's and that of Redis; None if the row has changed or has read less.

        None also if the ledger has seen a commit that it could not apply, unless that `loss` is accepted. `how` is
        ADOPTED or LOADED.
        """
        ...

    async def has_commit(self, shard: int, commit: CommitId, hash: str) -> bool:
        """Whether the ledger has applied this commit; of seq 0, whether an epoch began so."""
        ...

    async def read_again(self, shard: int, shards: int) -> None:
        """Give a shard that has no row one before every commit, so that persisters read its records from the first."""
        ...

    async def skip_deleted(self, row: LedgerRow, offset: int) -> bool:
        """Count as read what Kafka has deleted before an offset; False if the row has read on since."""
        ...

    async def thaw(self, row: LedgerRow) -> bool:
        """Let the ledger apply commits again, if its row is still as it was read, frozen reason included."""
        ...


class EpochBases(Protocol):
    """The epochs that the ledger has begun."""

    async def bases(self, shard: int) -> Mapping[int, CommitId]:
        """By epoch of a shard, the commit on which it builds; 0-0 if on none."""
        ...
