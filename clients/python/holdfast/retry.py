"""How often and how long an unanswered call is repeated: pure arithmetic on a clock and a dice that are handed in."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass

from holdfast.errors import HoldfastError


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Every call of Holdfast may run twice under the same ids, so repeating is safe; this says how patiently."""

    overall_s: float = 10.0  # from the first attempt to giving up
    attempt_s: float = 2.0  # the deadline of one attempt, cut to what is left of the whole
    first_delay_s: float = 0.05
    longest_delay_s: float = 2.0


class Patience:
    """What is left of one call's patience."""

    def __init__(
        self,
        policy: RetryPolicy,
        clock: Callable[[], float] = time.monotonic,
        dice: Callable[[], float] = random.random,  # from 0 to 1
    ) -> None:
        self._policy = policy
        self._clock = clock
        self._dice = dice
        self._ends_at = clock() + policy.overall_s
        self._delay_s = policy.first_delay_s
        self._outcome_unknown = False

    def attempt_s(self) -> float:
        """The deadline of the attempt that begins now."""
        return max(0.001, min(self._policy.attempt_s, self._left_s()))

    def delay_after(self, error: HoldfastError) -> float:
        """How long to wait before the next attempt; raises the error if there will be none.

        A server's wish is a floor: the jittered delay comes on top, lest everyone it sent away return together. One
        attempt whose outcome is unknown leaves the whole call's unknown, whatever later attempts say of themselves.
        """
        self._outcome_unknown = self._outcome_unknown or error.outcome_unknown
        delay_s = (error.retry_after_s or 0.0) + self._delay_s * (0.5 + self._dice() / 2)
        if not error.repeatable:
            raise error
        if delay_s >= self._left_s():
            error.outcome_unknown = self._outcome_unknown
            raise error
        self._delay_s = min(2 * self._delay_s, self._policy.longest_delay_s)
        return delay_s

    def _left_s(self) -> float:
        return self._ends_at - self._clock()
