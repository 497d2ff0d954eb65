"""Backpressure: how many commits a shard may be ahead of the ledger; none while Redis is short of memory.

Beyond it Reserve fails with LEDGER_BEHIND and everything else is served.
"""


class Backpressure:
    """Of one stock; the watch over the store's memory sets `memory_is_short`."""

    def __init__(self, outbox_limit: int) -> None:
        self._outbox_limit = outbox_limit
        self.memory_is_short = False

    @property
    def max_commits_ahead(self) -> int:
        """How many commits of a shard the ledger may lack; none while memory is short, for each takes some memory."""
        return 0 if self.memory_is_short else self._outbox_limit
