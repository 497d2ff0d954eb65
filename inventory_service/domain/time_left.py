"""Until when the caller of the current call waits, and until when the ledger may take over a question of it.

Both are moments by `perf_counter`, kept in the context of the call's task, so that no call in between passes them on.
"""

from contextvars import ContextVar
from math import inf
from time import perf_counter

MARGIN_S = 0.2  # for the answer's way back to the caller

caller_leaves: ContextVar[float] = ContextVar("caller_leaves", default=inf)
question_ends: ContextVar[float] = ContextVar("question_ends", default=inf)


def question_limit_s(longest_s: float) -> float:
    """What a question may take, so that the caller still gets the answer that there is none."""
    left_s = caller_leaves.get() - perf_counter()
    return min(longest_s, left_s - min(MARGIN_S, left_s / 2))
