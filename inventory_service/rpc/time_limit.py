"""Cancels the calls of one method that take longer than a limit and whose callers set no deadline.

gRPC cancels those with a deadline. All calls of a method have one limit, so the oldest is over first, and one timer
serves them all: a timer for each costs 2 % of a call.
"""

import asyncio
from time import perf_counter
from typing import Any, TypeAlias

Call: TypeAlias = "asyncio.Task[Any]"


class TimeLimit:
    """The calls under way that it may cancel, in the order in which they began; without a limit it has none."""

    def __init__(self, limit_s: float | None) -> None:
        self._limit_s = limit_s
        self._loop = asyncio.get_running_loop()
        self._began: dict[Call, float] = {}  # by `perf_counter`
        self._timer_is_set = False  # which calls `_cancel_overdue`

    def begin(self, began: float, left_s: float | None) -> "Call | None":
        """Add the task that runs this, unless the caller gave it so much time itself."""
        if left_s is not None or self._limit_s is None:
            return None
        call = asyncio.current_task(self._loop)
        assert call is not None, "gRPC runs each call in a task"
        self._began[call] = began
        if not self._timer_is_set:
            self._set_timer(self._limit_s)
        return call

    def end(self, call: Call) -> bool:
        """Remove what `begin` returned; True if it had been removed, as one that took too long is."""
        return self._began.pop(call, None) is None

    def _set_timer(self, after_s: float) -> None:
        self._timer_is_set = True
        self._loop.call_later(after_s, self._cancel_overdue)

    def _cancel_overdue(self) -> None:
        self._timer_is_set = False
        assert self._limit_s is not None
        began_before = perf_counter() - self._limit_s
        for call, began in list(self._began.items()):
            if began > began_before:
                self._set_timer(began - began_before)
                return
            del self._began[call]
            call.cancel()
