"""How often and how long a call is repeated: arithmetic on a clock and a random number that are passed in."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass

from holdfast.errors import HoldfastError

SHORTEST_ATTEMPT_S = 0.02  # a server refuses a call with less than half of it left, which would hide the error before
GRACE_S = 1.0  # for gRPC to end an attempt at its deadline
BURST_S = 10  # seconds for which a retry budget keeps what is not spent


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Limits of the repeats of one call, and of all calls of a client. A repeat never does a thing twice."""

    overall_s: float = 10.0  # from the first attempt to giving up
    attempt_s: float = 2.0  # the deadline of one attempt, cut to what is left of the whole
    ledger_attempt_s: float = 5.0  # the same, if it is longer, of calls for which the server may ask the ledger
    audit_s: float = 290.0  # from the first attempt of an audit to giving up; a server takes no longer
    first_delay_s: float = 0.05
    longest_delay_s: float = 2.0
    repeats_per_s: float = 10.0  # of all calls together; beyond these, a call in ten is repeated


class RetryBudget:
    """How many repeats the calls of one client have left, so that a server that is slow is not asked ever more."""

    CALLS_A_REPEAT = 10  # the budget is kept in calls, so that it is a whole number while no time passes

    def __init__(self, per_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._calls_per_s = per_s * self.CALLS_A_REPEAT
        self._clock = clock
        self._filled_at = clock()
        self._left = self._calls_per_s * BURST_S
        self._most = max(self.CALLS_A_REPEAT, self._left)

    def add_call(self) -> None:
        """Count a call that begins."""
        self._left = min(self._most, self._left + 1)

    def take(self) -> bool:
        """Whether one more repeat may be made now; it is counted."""
        now = self._clock()
        self._left = min(self._most, self._left + (now - self._filled_at) * self._calls_per_s)
        self._filled_at = now
        if self._left < self.CALLS_A_REPEAT:
            return False
        self._left -= self.CALLS_A_REPEAT
        return True


class Outcome:
    """Whether one of the attempts that have ended may have done what is asked."""

    def __init__(self) -> None:
        self.is_unknown = False

    def add(self, error: HoldfastError) -> None:
        """Count an attempt that ended so, and tell its error what is known now.

        One attempt with an unknown outcome makes the whole call's outcome unknown, unless a later one was judged: a
        repeat is told how the matter stands.
        """
        self.is_unknown = error.outcome_unknown or (self.is_unknown and not error.judged)
        error.outcome_unknown = self.is_unknown


class Attempts:
    """The attempts of one call: their deadlines, the delays between them, and whether one may have done it."""

    def __init__(
        self,
        policy: RetryPolicy,
        budget: RetryBudget | None,  # None: these repeats need none
        *,
        attempt_s: float | None = None,  # the policy's if not given
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,  # from 0 to 1
    ) -> None:
        self._policy = policy
        self._budget = budget
        self._clock = clock
        self._jitter = jitter
        self._attempt_s = policy.attempt_s if attempt_s is None else attempt_s
        self._ends_at = clock() + policy.overall_s
        self._delay_s = policy.first_delay_s
        self._is_out = False
        self._outcome = Outcome()
        if budget:
            budget.add_call()

    @property
    def outcome_unknown(self) -> bool:
        """Whether an attempt may have done it: one that is out, or one that ended so and was followed by no answer."""
        return self._is_out or self._outcome.is_unknown

    @property
    def are_over(self) -> bool:
        """Whether the patience is spent."""
        return self._left_s() <= 0

    def begin(self) -> float:
        """The deadline of the attempt that begins now, in seconds."""
        self._is_out = True
        return max(0.001, min(self._attempt_s, self._left_s()))

    def delay_after(self, error: HoldfastError) -> float:
        """How long to wait before the next attempt; raises the error if there is none.

        The pause that the server asks for is a minimum: the jittered delay comes on top, so that clients that failed
        together do not return together.
        """
        self._is_out = False
        self._outcome.add(error)
        delay_s = (error.retry_after_s or 0.0) + self._delay_s * (0.5 + self._jitter() / 2)
        if not error.repeatable or delay_s + SHORTEST_ATTEMPT_S > self._left_s() or not self._may_repeat():
            raise error
        self._delay_s = min(2 * self._delay_s, self._policy.longest_delay_s)
        return delay_s

    def _may_repeat(self) -> bool:
        return self._budget is None or self._budget.take()

    def _left_s(self) -> float:
        return self._ends_at - self._clock()
