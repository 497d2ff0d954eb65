"""The lease by which one relay at a time publishes a shard's commits, and by which relays share the shards.

It saves work, and no promise rests on it. If two relays have it, both publish the same commits and the ledger drops the
second copy; if none has it, publishing pauses until one asks again.
"""

import asyncio
import hashlib
from collections.abc import Callable
from contextlib import suppress

from structlog.typing import FilteringBoundLogger

from holdfast_runtime.retry import Backoff
from inventory_service.domain.shard_ports import Shards
from inventory_service.domain.shards import ServerUnavailable

LEASE_S = 3.0  # after which another relay continues where one died
RENEW_INTERVAL_S = 1.0
FIRST_YIELD_S = 10.0  # for which a relay that cannot reach Kafka leaves the shard to the others
MAX_YIELD_S = 300.0  # after repeated attempts that failed
LOWEST_PRIORITY = 0


class ShardLease:
    """One shard's lease as one relay sees it.

    The relay counts the lease from before it asked Redis, by its own clock, so it stops before the lease runs out. Two
    relays publish while one that lost the lease to a higher priority has not renewed yet, and when one that was halted
    (SIGSTOP, a long pause of the machine) continues.
    """

    def __init__(
        self, shard: int, relay: str, shards: Shards, monotonic: Callable[[], float], log: FilteringBoundLogger
    ) -> None:
        self._shard = shard
        self._relay = relay
        self._shards = shards
        self._monotonic = monotonic
        self._log = log
        self._priority = priority_of(shard, relay)
        self._ends = self._yields_until = monotonic()
        self._yield_backoff = Backoff(FIRST_YIELD_S, MAX_YIELD_S)
        self._yield_s = 0.0
        self._granted = asyncio.Event()

    @property
    def is_held(self) -> bool:
        """Whether this relay publishes the shard's commits."""
        return self._monotonic() < self._ends

    async def renew(self) -> None:
        """Ask for the lease, or prolong it; the relay repeats it."""
        asked_at, had = self._monotonic(), self.is_held
        if await self._shards.lease(self._shard, self._relay, self._priority_now(asked_at), int(LEASE_S * 1000)):
            self._ends = asked_at + LEASE_S
            self._granted.set()
        elif had:
            self._ends = asked_at
            self._log.info("lease_lost", why="another relay publishes this shard's commits")
        await asyncio.sleep(RENEW_INTERVAL_S)

    async def wait(self) -> None:
        """Return when the lease is granted, or after a while; the caller checks `is_held` again."""
        self._granted.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(LEASE_S):
                await self._granted.wait()

    def yield_shard(self) -> None:
        """Ask with the lowest priority for a while, for this relay cannot reach Kafka and another one may.

        Each time that the shard was reclaimed without success the next attempt is further away.
        """
        now = self._monotonic()
        if now >= self._yields_until:
            self._yield_s = self._yield_backoff.take()
        self._yields_until = now + self._yield_s

    def reclaim(self) -> None:
        """Ask with this relay's own priority again: Kafka has answered."""
        self._yield_backoff.reset()
        self._yields_until = self._monotonic()

    async def release(self) -> None:
        """Give the lease up, so that other relays need not wait for its end."""
        if self.is_held:
            self._ends = self._monotonic()
            with suppress(ServerUnavailable):
                await self._shards.lease(self._shard, self._relay, LOWEST_PRIORITY, 0)

    def _priority_now(self, now: float) -> int:
        return LOWEST_PRIORITY if now < self._yields_until else self._priority


def priority_of(shard: int, relay: str) -> int:
    """A relay's priority for one shard, at least 1: a hash, so that shards spread evenly. The highest has the lease."""
    digest = hashlib.blake2b(f"{relay}/{shard}".encode(), digest_size=4).digest()
    return max(int.from_bytes(digest), LOWEST_PRIORITY + 1)
