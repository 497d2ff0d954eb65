"""How many commits of a shard have not reached Kafka and the ledger, and the gauges that export it."""

from typing import NamedTuple, Protocol

from inventory_service.domain.ports import HoldCounts


class Backlog(NamedTuple):
    """The commits of a shard that are on their way: their number, and the age of the oldest."""

    serving: bool
    sends: bool  # this relay has the lease, so it publishes the shard's commits
    outbox: int  # commits in the outbox
    unsent: int  # not confirmed by Kafka; known only to the relay that publishes
    unsent_s: float
    unledgered_s: float  # of the oldest commit not reported by the ledger
    ahead_s: float  # by which the time of the last commit is ahead of Redis' clock
    parts: int = 0  # that a load from the ledger has written; 0 when none is under way


class RelayGauges(Protocol):
    """Exports the backlog and the number of holds of each shard."""

    def show(self, shard: int, backlog: Backlog) -> None: ...

    def show_holds(self, shard: int, holds: HoldCounts) -> None: ...
