"""One token bucket a caller: how many calls it may make at once, and how many a second in the long run."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Hashable
from time import monotonic
from weakref import WeakValueDictionary

MOST_BUCKETS = 65_536
_ROUNDING_S = 1e-6


class RateLimit:
    """Buckets of `burst` tokens, at least 1, which fill at `per_s` tokens a second.

    Of each bucket it keeps the moment at which it will be full, and forgets those that are. Beyond `most` it forgets
    the one from which tokens were taken longest ago: to have its own forgotten, a caller needs so many other callers
    that their buckets give it more.
    """

    def __init__(
        self, per_s: float, burst: float, clock: Callable[[], float] = monotonic, most: int = MOST_BUCKETS
    ) -> None:
        self._token_s = 1 / per_s
        self._burst = burst
        self._clock = clock
        self._most = most
        self._full_at: OrderedDict[Hashable, float] = OrderedDict()  # in the order of the last taking
        self._turns: WeakValueDictionary[Hashable, asyncio.Lock] = WeakValueDictionary()  # of callers that wait
        self._kept_by_waiting = 1 if burst >= 2 else 0

    def take(self, caller: Hashable, tokens: int = 1) -> float:
        """Take tokens and return 0, or take none and return the seconds until they can be taken.

        More than a bucket holds are taken of a full one, which then owes the rest.
        """
        return self._take(caller, tokens, kept=0)

    def take_instead(self, caller: Hashable, tokens: int) -> float:
        """The same in place of the one token that a call has taken already, which is given back in any case."""
        if caller in self._full_at:
            self._full_at[caller] -= self._token_s
        return self.take(caller, tokens)

    async def wait(self, caller: Hashable) -> None:
        """Wait for a token and take it; the waits for one caller's tokens end in their order.

        One is left, where a bucket holds two or more: a stream that waits must not hold up the caller's other calls.
        """
        turn = self._turns.get(caller)
        if turn is None and not self._take(caller, 1, self._kept_by_waiting):
            return
        if turn is None:
            turn = self._turns[caller] = asyncio.Lock()
        async with turn:
            while wait_s := self._take(caller, 1, self._kept_by_waiting):  # noqa: ASYNC110  (time alone fills a bucket)
                await asyncio.sleep(wait_s)

    def _take(self, caller: Hashable, tokens: int, kept: int) -> float:
        now = self._clock()
        full_at = max(self._full_at.get(caller, now), now)
        wait_s = full_at - now + (min(tokens + kept, self._burst) - self._burst) * self._token_s
        if wait_s > _ROUNDING_S:
            return wait_s
        self._full_at[caller] = full_at + tokens * self._token_s
        self._full_at.move_to_end(caller)
        self._forget(now)
        return 0.0

    def _forget(self, now: float) -> None:
        """Forget at most two buckets, which is more than each taking adds."""
        for _ in range(2):
            caller, full_at = next(iter(self._full_at.items()))
            if full_at > now and len(self._full_at) <= self._most:
                return
            del self._full_at[caller]
            if not self._full_at:
                return
