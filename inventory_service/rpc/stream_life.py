"""How long a stream may live: until its server drains, or until it is so old that gRPC would soon cut it."""

import asyncio
import random
from contextlib import suppress

# gRPC cuts a stream, without a reason, once the age of its connection and the grace after it are over, however young
# the stream is. The grace is longer than any stream lives, and streams that began together end one after another.
SHORTEST_S = 240.0
LONGEST_S = 290.0
ANSWER_S = 5.0  # for what an aged stream has still to answer


class StreamLife:
    """One for all streams of a process. `drain_is_late` is set when a drain has taken too long."""

    def __init__(
        self,
        draining: asyncio.Event,
        shortest_s: float = SHORTEST_S,
        longest_s: float = LONGEST_S,
        *,
        drain_is_late: asyncio.Event | None = None,
    ) -> None:
        self._draining = draining
        self._shortest_s = shortest_s
        self._longest_s = longest_s
        self._drain_is_late = drain_is_late or asyncio.Event()

    async def over(self) -> None:
        """Return once a stream that begins now has to end; its status is SERVER_DRAINING either way."""
        with suppress(TimeoutError):
            async with asyncio.timeout(random.uniform(self._shortest_s, self._longest_s)):
                await self._draining.wait()

    async def out_of_time(self) -> None:
        """Return once a stream that is over must end although it has not answered all that it has read."""
        with suppress(TimeoutError):
            async with asyncio.timeout(None if self._draining.is_set() else ANSWER_S):
                await self._drain_is_late.wait()
