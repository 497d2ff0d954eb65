"""How often and how long a call is repeated: arithmetic on a clock and a random number that are passed in."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass

from holdfast.errors import HoldfastError


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Limits of the repeats of one call. A repeat carries the same ids, so it never does a thing twice."""

    overall_s: float = 10.0  # from the first attempt to giving up
    attempt_s: float = 2.0  # the deadline of one attempt, cut to what is left of the whole
    first_delay_s: float = 0.05
    longest_delay_s: float = 2.0


class RetryBudget:
    """What is left of one call's time for repeats."""

    def __init__(
        self,
        policy: RetryPolicy,
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,  # from 0 to 1
    ) -> None:
        self._policy = policy
        self._clock = clock
        self._jitter = jitter
        self._ends_at = clock() + policy.overall_s
        self._delay_s = policy.first_delay_s
        self._outcome_unknown = False

    def attempt_s(self) -> float:
        """The deadline of the attempt that begins now."""
        return max(0.001, min(self._policy.attempt_s, self._left_s()))

    def delay_after(self, error: HoldfastError) -> float:
        """How long to wait before the next attempt; raises the error if there is none.

        The pause that the server asks for is a minimum: the jittered delay comes on top, so that clients that failed
        together do not return together. One attempt with an unknown outcome makes the whole call's outcome unknown.
        """
        self._outcome_unknown = self._outcome_unknown or error.outcome_unknown
        delay_s = (error.retry_after_s or 0.0) + self._delay_s * (0.5 + self._jitter() / 2)
        if not error.repeatable:
            raise error
        if delay_s >= self._left_s():
            error.outcome_unknown = self._outcome_unknown
            raise error
        self._delay_s = min(2 * self._delay_s, self._policy.longest_delay_s)
        return delay_s

    def _left_s(self) -> float:
        return self._ends_at - self._clock()
