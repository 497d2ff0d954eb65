"""Holds the refusals of a server that drains, until each of its connections has got GOAWAY.

gRPC ends a call as CANCELLED, without a reason, if it arrives after the server began to stop and before its caller has
read GOAWAY. A caller that waits for the response of its last call sends none in between: so the refusals go out after
GOAWAY, on the same connection, and what the caller does next goes over another one.

A stream is not held, so that it ends before GOAWAY. Its caller may be writing, and gRPC closes a connection that has
got GOAWAY as soon as its last stream has ended: what the caller has not read by then, the status too, is lost.
"""

import asyncio
from contextlib import suppress

QUIET_S = 0.1  # in which no call ends: those that waited inside gRPC or were on their way have arrived
LONGEST_HOLD_S = 0.3  # where callers send new calls without waiting for responses, it never becomes quiet


class Refusals:
    """Those of one process. Unless they are held, each is sent at once."""

    def __init__(self) -> None:
        self._may_go = asyncio.Event()
        self._may_go.set()
        self._call_has_ended = asyncio.Event()

    def hold(self) -> None:
        self._may_go.clear()

    def release(self) -> None:
        self._may_go.set()

    def call_ended(self) -> None:
        """Also with an answer: its caller may send the next one."""
        self._call_has_ended.set()

    async def may_go(self) -> None:
        """Return once a refusal may be sent."""
        await self._may_go.wait()

    async def quiet(self, within_s: float) -> None:
        """Wait until no call has ended or been refused for a while, `LONGEST_HOLD_S` or `within_s` at most."""
        with suppress(TimeoutError):
            async with asyncio.timeout(min(within_s, LONGEST_HOLD_S)):
                while await self._has_call_within(QUIET_S):
                    pass

    async def _has_call_within(self, quiet_s: float) -> bool:
        self._call_has_ended.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(quiet_s):
                return await self._call_has_ended.wait()
        return False
