"""Wait for a condition with a deadline; no test sleeps for luck."""

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, overload

POLL_S = 0.02
# For what takes a moment and is no promise in seconds: only a test that hangs waits so long, on the busiest machine.
LONG_S = 30.0
T = TypeVar("T")


@overload
async def eventually(condition: Callable[[], Awaitable[T | None]], deadline_s: float = ...) -> T: ...


@overload
async def eventually(condition: Callable[[], T | None], deadline_s: float = ...) -> T: ...


async def eventually(condition: Callable[[], Any], deadline_s: float = LONG_S) -> Any:
    """Call the condition until its result is true, and return that; AssertionError after `deadline_s` seconds.

    The condition may be a plain or an async function. An AssertionError of its own counts as "not yet", so it may
    hold several asserts; the last one is the cause of the error. It is called once more after the deadline, because
    this process may itself have been halted meanwhile.
    """
    deadline = time.monotonic() + deadline_s
    why: AssertionError | None = None
    while True:
        is_last = time.monotonic() > deadline
        try:
            answer = condition()
            outcome = await answer if inspect.isawaitable(answer) else answer
            if outcome:
                return outcome
        except AssertionError as not_yet:
            why = not_yet
        if is_last:
            raise AssertionError(f"not within {deadline_s:g} s: {describe(condition)}") from why
        await asyncio.sleep(POLL_S)


def describe(condition: Callable[..., object]) -> str:
    """Name a condition for the message of a failed wait: its docstring, else its repr."""
    return inspect.getdoc(condition) or repr(condition)
