"""What relay, take-over, init and compensator need of Redis, Kafka and the ledger, as Protocols.

Every method may raise the `ServerUnavailable` of its server. Any other exception is a bug and ends the process.
"""

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from typing import Protocol

from inventory_service.domain.moves import Compensate
from inventory_service.domain.shards import (
    BegunTakeover,
    Commit,
    CommitId,
    LedgerProgress,
    LedgerRow,
    ShardStatus,
    TopicSpec,
    Trimmed,
)


class Outbox(Protocol):
    """The commits that the ledger is not yet known to hold."""

    async def read_after(self, shard: int, commit_id: CommitId, wait_ms: int) -> Sequence[Commit]:
        """The next commits in order, a few hundred KiB; waits for one if there is none, and may answer with none."""
        ...

    async def find(self, shard: int, commit_id: CommitId) -> Commit | None:
        """One commit, while it is not trimmed."""
        ...

    async def time_after(self, shard: int, commit_id: CommitId) -> int | None:
        """When the first commit after `commit_id` was made, in ms by the shard's clock; None if there is none."""
        ...


class Shards(Protocol):
    """Who serves a shard, and how far its outbox is trimmed."""

    async def status(self, shard: int) -> ShardStatus: ...

    async def trim(self, report: LedgerProgress) -> Trimmed:
        """Drop what the ledger holds; a report that contradicts Redis freezes the shard."""
        ...

    async def freeze(self, shard: int, epoch: int, reason: str, token: str = "") -> bool:
        """Stop a shard; False at another epoch, or if `token` is not its take-over's: late news harms nothing."""
        ...

    async def begin_takeover(self, shard: int, token: str, epoch: int, ledger_frozen: bool) -> BegunTakeover | str:
        """Stop serving for a take-over; or one word why not: NEWER_EPOCH, or SERVING unless the ledger is frozen."""
        ...

    async def adopt(self, takeover: BegunTakeover, epoch: int, shards: int) -> bool:
        """Serve again, under `epoch`; False if the take-over or the Redis process is gone."""
        ...

    async def lease(self, shard: int, relay: str, priority: int, ms: int) -> bool:
        """Ask for the sending of a shard's commits for so long (0: let go of it); True if it is the asker's.

        The relay that has it keeps it; any relay gets it once it has run out, and one of a higher rank at once.
        """
        ...


class CommitTopic(Protocol):
    """The topic of commits, one partition a shard."""

    async def publish(self, shard: int, commits: Sequence[Commit]) -> None:
        """Returns when Kafka has confirmed all of them, in order."""
        ...


class ProgressTopic(Protocol):
    """What persisters report, of all shards, from now on."""

    def reports(self, connected: Callable[[], None]) -> AsyncGenerator[LedgerProgress, None]:
        """Never ends; `connected` is called whenever the server has answered, be it that there is none."""
        ...


class PersisterOffsets(Protocol):
    """How far the persisters have read the topic of commits."""

    async def end(self, shard: int) -> int:
        """The offset that the next record will get; 0 if nothing was ever sent, or Kafka lost it all."""
        ...

    async def read_up_to(self, shard: int) -> int:
        """The offset of the first record that is there and not acknowledged; the end if all are."""
        ...


class CompensationTopic(Protocol):
    """What the ledger wants given back."""

    def compensations(self, connected: Callable[[], None]) -> AsyncGenerator[Compensate | None, None]:
        """One at a time, None for one that cannot be read; asking for the next says that the last was handled.

        `connected` is called whenever the server has answered, be it that there is none.
        """
        ...


class TopicAdmin(Protocol):
    """Kafka's list of topics."""

    async def partitions(self) -> Mapping[str, int]:
        """Partitions of every topic there is."""
        ...

    async def create(self, plan: TopicSpec) -> None:
        """Make a topic; one that is there already is fine."""
        ...


class LedgerRows(Protocol):
    """The shards' rows in the ledger."""

    async def row(self, shard: int) -> LedgerRow | None: ...

    async def rows(self) -> Mapping[int, LedgerRow]: ...

    async def fence(self, shard: int, shards: int, epoch: int, hash: str) -> int | None:
        """Draw a new epoch, if the row still stands at `epoch` (0: is not there) and its hash is `hash`; else None."""
        ...

    async def thaw(self, row: LedgerRow) -> bool:
        """Let the ledger take commits again, if its row still stands as it was read, frozen reason included."""
        ...
