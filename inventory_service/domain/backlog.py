"""How far behind Kafka and the ledger a shard is, and where a relay shows it and the shard's holds."""

from typing import NamedTuple, Protocol

from inventory_service.domain.ports import HoldCounts


class Backlog(NamedTuple):
    """What is under way of a shard, in commits and in the age of the oldest of them."""

    serving: bool
    sends: bool  # this relay sends the shard's commits, and not another
    outbox: int
    unsent: int  # not confirmed by Kafka; only the relay that sends knows
    unsent_s: float
    unledgered_s: float  # not known to be in the ledger


class RelayGauges(Protocol):
    """Where a relay shows how far behind everything is, and how many holds there are."""

    def show(self, shard: int, backlog: Backlog) -> None: ...

    def show_holds(self, shard: int, holds: HoldCounts) -> None: ...
