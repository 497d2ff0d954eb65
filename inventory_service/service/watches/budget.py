"""So much a second of something, for all watches of a server together."""

from collections.abc import Callable

BURST_S = 0.2  # what is not used within this time is lost


class Budget:
    """What is taken beyond it is owed: nothing is left until as much has come in."""

    def __init__(self, per_s: float, clock: Callable[[], float]) -> None:
        self._per_s = per_s
        self._most = per_s * BURST_S
        self._clock = clock
        self._left = self._most
        self._since = clock()

    def is_left(self) -> bool:
        """Whether anything may be taken."""
        now = self._clock()
        self._left = min(self._most, self._left + (now - self._since) * self._per_s)
        self._since = now
        return self._left > 0

    def take(self, amount: float) -> None:
        """Take so much, even if less is left."""
        self._left -= amount
