"""The lease by which one relay at a time sends a shard's commits, and by which several share the shards out.

It saves work and promises nothing. Losing it, having it twice or believing in it for too long makes two relays send the
same commits, of which the ledger drops the second; a lease that nobody has ends the sending only until one asks again.
"""

import asyncio
import hashlib
from collections.abc import Callable
from contextlib import suppress

from structlog.typing import FilteringBoundLogger

from holdfast_runtime.retry import Backoff
from inventory_service.domain.shard_ports import Shards
from inventory_service.domain.shards import ServerUnavailable

LEASE_S = 3.0  # after which another relay goes on where one died
ASK_S = 1.0
FIRST_YIELD_S = 10.0  # for which a relay that Kafka did not answer leaves the shard to whoever asks
MAX_YIELD_S = 300.0  # after it has taken the shard back in vain again and again
LOWEST_PRIORITY = 0


class ShardLease:
    """One shard's lease as one relay sees it.

    The relay believes in it from before Redis was asked, by its own clock, so it has stopped before the lease runs out.
    Two send while one that lost it to a higher rank has not asked again, and when one that was halted (SIGSTOP, a long
    pause of the machine) goes on with what it has in hand.
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
        """Whether sending is up to us."""
        return self._monotonic() < self._ends

    async def keep(self) -> None:
        """Ask for the lease, whether to get it or to go on having it; the owner repeats it."""
        asked_at, had = self._monotonic(), self.is_held
        if await self._shards.lease(self._shard, self._relay, self._priority_now(asked_at), int(LEASE_S * 1000)):
            self._ends = asked_at + LEASE_S
            self._granted.set()
        elif had:
            self._ends = asked_at
            self._log.info("lease_lost", why="another relay sends this shard's commits")
        await asyncio.sleep(ASK_S)

    async def wait(self) -> None:
        """Return when it was granted, or after a while: whoever waits looks again."""
        self._granted.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(LEASE_S):
                await self._granted.wait()

    def doubt(self) -> None:
        """Kafka does not answer us: another relay, which it may answer, can have the shard for the asking.

        Each time that it was taken back in vain, and the shard paused for it, the next try is further away.
        """
        now = self._monotonic()
        if now >= self._yields_until:
            self._yield_s = self._yield_backoff.take()
        self._yields_until = now + self._yield_s

    def trust(self) -> None:
        """Kafka has answered us: what we are due is ours again."""
        self._yield_backoff.reset()
        self._yields_until = self._monotonic()

    async def let_go(self) -> None:
        """Spare the others the wait for its end."""
        if self.is_held:
            self._ends = self._monotonic()
            with suppress(ServerUnavailable):
                await self._shards.lease(self._shard, self._relay, LOWEST_PRIORITY, 0)

    def _priority_now(self, now: float) -> int:
        return LOWEST_PRIORITY if now < self._yields_until else self._priority


def priority_of(shard: int, relay: str) -> int:
    """Where a relay stands among all in one shard, as good as by lot: the highest has the lease. At least 1."""
    lot = hashlib.blake2b(f"{relay}/{shard}".encode(), digest_size=4).digest()
    return max(int.from_bytes(lot), LOWEST_PRIORITY + 1)
