"""Until when the caller of the current call waits, and until when the ledger may take over a question of it.

Both are moments by `perf_counter`, kept in the context of the call's task, so that no call in between passes them on.
"""

from contextvars import ContextVar
from math import inf
from time import perf_counter

MARGIN_S = 0.2  # for the answer's way back to the caller
SHORT_S = 1.0  # so near its end a call ends by itself

caller_leaves: ContextVar[float] = ContextVar("caller_leaves", default=inf)
question_ends: ContextVar[float] = ContextVar("question_ends", default=inf)


def one_limit_s(longest_s: float) -> float:
    """What one of many questions of a call may take, so that its failure comes before the end of the whole call."""
    left_s = caller_leaves.get() - perf_counter() - 2 * MARGIN_S
    return min(longest_s, left_s) if left_s > SHORT_S else longest_s


def question_limit_s(longest_s: float) -> float:
    """What a question may take, so that the caller still gets the answer that there is none."""
    left_s = caller_leaves.get() - perf_counter()
    return min(longest_s, left_s - min(MARGIN_S, left_s / 2))
