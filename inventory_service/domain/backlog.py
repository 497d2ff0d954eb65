"""How far behind Kafka and the ledger a shard is, and where a relay shows it."""

from typing import NamedTuple, Protocol


class Backlog(NamedTuple):
    """What is under way of a shard, in commits and in the age of the oldest of them."""

    serving: bool
    outbox: int
    unsent: int  # not confirmed by Kafka
    unsent_s: float
    unledgered_s: float  # not known to be in the ledger


class RelayGauges(Protocol):
    """Where a relay shows how far behind everything is."""

    def show(self, shard: int, backlog: Backlog) -> None: ...
