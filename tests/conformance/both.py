"""Asks the server for tests and a real one the same, and compares what they answer."""

import asyncio
import math
import time
from collections import Counter
from collections.abc import Callable, Iterable
from datetime import timedelta
from difflib import unified_diff

from google.protobuf.message import Message

from tests.conformance.answers import Answers
from tests.conformance.servers import Double, Processes


class Both:
    """The two, and how often each method was answered with each code."""

    def __init__(self, double: Double, processes: Processes, prefix: str) -> None:
        self._double, self._processes = double, processes
        self._told_at = time.monotonic()
        self._told = Answers(double, prefix), Answers(processes, prefix)
        self.outcomes: Counter[str] = Counter()

    async def ask(self, method: str, build: Message | Callable[[Answers], Message]) -> list[str]:
        """What both answer; a request may be made from what its server told before."""
        await self._follow()
        requests = [build if isinstance(build, Message) else build(each) for each in self._told]
        of_double, of_processes = [
            await each.to(method, request) for each, request in zip(self._told, requests, strict=True)
        ]
        difference = "\n".join(unified_diff(of_processes, of_double, "processes", "double", lineterm="", n=8))
        assert of_double == of_processes, f"call {self.outcomes.total()}: {method} {requests[1]}\n{difference}"
        self.outcomes[of_double[0]] += 1
        return of_double

    async def pass_time(self, passed: timedelta) -> None:
        """Let time pass for both."""
        await self._processes.pass_time(passed)
        await self._follow()

    async def _follow(self) -> None:
        """Let as much time pass in the one as has passed by itself in the other: a limit by the minute goes by it."""
        now = time.monotonic()
        await self._double.pass_time(timedelta(milliseconds=math.ceil((now - self._told_at) * 1000)))
        self._told_at = now

    async def recorded(self, refusable: Iterable[tuple[str, str]] = ()) -> None:
        """Wait until the ledgers have all that was done, and have judged these: sale and reservation."""
        named = list(refusable)
        await asyncio.gather(*(each.judged_by_the_ledger(*name) for each in self._told for name in named))
        await asyncio.gather(*(each.recorded() for each in self._told))
