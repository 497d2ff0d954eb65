"""Has gRPC make its threads under SCHED_BATCH, so that none of them preempts the event loop when it wakes.

Each of them is woken for every call, works for some microseconds and sleeps again. Under Linux' usual policy it takes
the core from whatever runs there at that moment, mostly the loop: docs/decisions/hot-path.md has the figures. A thread
has the policy of the thread that makes it, and changing between these two policies needs no privilege.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def made_under_sched_batch() -> Iterator[None]:
    """Threads that begin within the block are under SCHED_BATCH; that of the block is only until its end.

    Nothing is changed where that policy does not exist or is refused, or if the thread has another than the usual one.
    """
    changed = _change_policy("SCHED_OTHER", "SCHED_BATCH")
    try:
        yield
    finally:
        if changed:
            _change_policy("SCHED_BATCH", "SCHED_OTHER")


def _change_policy(before: str, after: str) -> bool:
    """Change the policy of this thread from the one to the other, and return whether that was done."""
    if sys.platform != "linux":
        return False
    try:
        if os.sched_getscheduler(0) != getattr(os, before):
            return False
        os.sched_setscheduler(0, getattr(os, after), os.sched_param(0))
    except OSError:  # a sandbox refuses it
        return False
    return True
