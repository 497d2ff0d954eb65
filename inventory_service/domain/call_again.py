"""What a request gets instead of a result while more holds are overdue than one call takes back."""

from collections.abc import Awaitable, Callable, Sequence
from enum import Enum
from typing import Final, TypeVar


class CallAgain(Enum):
    """Not a result: more holds are overdue than one call takes back."""

    CALL_AGAIN = "CALL_AGAIN"


CALL_AGAIN: Final = CallAgain.CALL_AGAIN

Request = TypeVar("Request")
Result = TypeVar("Result")


async def until_judged(
    requests: Sequence[Request], judge_some: Callable[[Sequence[Request]], Awaitable[Sequence[Result | CallAgain]]]
) -> list[Result]:
    """Call `judge_some` until each request has its result; those that got CALL_AGAIN are repeated in their order.

    Each call that returns CALL_AGAIN takes back a hundred overdue holds, so this ends.
    """
    results = list(await judge_some(requests))
    while waiting := [at for at, result in enumerate(results) if result is CALL_AGAIN]:
        again = await judge_some([requests[at] for at in waiting])
        for at, result in zip(waiting, again, strict=True):
            results[at] = result
    return [result for result in results if result is not CALL_AGAIN]
