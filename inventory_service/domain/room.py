"""How much a stock may still take before the ledger has to follow: new orders wait then, and all else is answered."""


class Room:
    """One stock's room; whoever watches the store's memory sets `memory_is_short`."""

    def __init__(self, outbox_limit: int) -> None:
        self._outbox_limit = outbox_limit
        self.memory_is_short = False

    @property
    def commits(self) -> int:
        """How many commits a shard may owe the ledger; none while memory is short, for an order needs some of it."""
        return 0 if self.memory_is_short else self._outbox_limit
