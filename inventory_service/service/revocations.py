"""Revokes tokens, and keeps what this process knows of revocations up to date with both of their stores.

The ledger's table is the record. The stream in Redis has new ones reach every server soon, and keeps those that were
made while the ledger was away, until a server has added them to the table.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import NamedTuple, Protocol

from holdfast.inventory.v1 import error_reason_pb2 as reasons

from inventory_service.domain.results import Failure
from inventory_service.domain.revocation_ports import RevocationStream, RevocationTable
from inventory_service.domain.revocations import Revocation, Revocations
from inventory_service.domain.shards import RedisUnavailable
from inventory_service.service.bulkhead import Bulkhead

STREAM_INTERVAL_S = 0.25
TABLE_INTERVAL_S, TABLE_RETRY_S = 10.0, 1.0
START_S = 5.0  # for the first reads
LEDGER_S = 2.0  # a ledger that is silent must not hold up what the stream can do alone
STREAM_S = 2.0

TimeLeft = Callable[[], float | None]  # seconds until the caller's deadline; None: there is none


class Reads(Protocol):
    """Notes each successful read of a store."""

    def read_table(self) -> None: ...

    def read_stream(self) -> None: ...


class Revoked(NamedTuple):
    """What a revocation came to."""

    replayed: bool  # all of its tokens were revoked before
    recorded: bool  # the ledger has it


class TokenRevocations:
    """The revocations of one process. A repeat is harmless, and finishes what an earlier call left undone."""

    def __init__(
        self,
        known: Revocations,
        table: RevocationTable,
        stream: RevocationStream,
        bulkhead: Bulkhead,
        reads: Reads,
        now_ms: Callable[[], int],
    ) -> None:
        self.known = known
        self._table = table
        self._stream = stream
        self._bulkhead = bulkhead
        self._reads = reads
        self.now_ms = now_ms
        self.has_read_table = False  # at the last attempt

    async def revoke(self, revocation: Revocation, time_left: TimeLeft) -> Revoked | Failure:
        """Make the tokens invalid; a failure only if neither store took it."""
        was_known = self.known.covers(revocation)
        added = await self._bulkhead.ask(partial(self._table.add, revocation))
        unsent = await self._send(revocation, time_left)
        if isinstance(added, Failure) and unsent is not None:
            return added if added.reason == reasons.ERROR_REASON_OUTCOME_UNKNOWN else unsent
        self.known.add([revocation])
        is_recorded = not isinstance(added, Failure)
        return Revoked(replayed=was_known or (is_recorded and not added), recorded=is_recorded)

    async def _send(self, revocation: Revocation, time_left: TimeLeft) -> Failure | None:
        left_s = time_left()
        try:
            async with asyncio.timeout(STREAM_S if left_s is None else min(STREAM_S, left_s / 2)):
                return await self._stream.add(revocation)
        except TimeoutError:
            return Failure(reasons.ERROR_REASON_OUTCOME_UNKNOWN)

    async def start(self) -> None:
        """Read both stores once, as far as they answer in time."""
        with suppress(TimeoutError):
            async with asyncio.timeout(START_S):
                await asyncio.gather(self.read_stream(), self.read_table())

    async def read_stream_forever(self) -> None:
        """Read the stream again and again, until cancelled."""
        while True:
            await asyncio.sleep(STREAM_INTERVAL_S)
            await self.read_stream()

    async def read_table_forever(self) -> None:
        """Read the table again and again, until cancelled."""
        while True:
            await asyncio.sleep(TABLE_INTERVAL_S if self.has_read_table else TABLE_RETRY_S)
            await self.read_table()

    async def read_stream(self) -> None:
        """Learn what is new in the stream; nothing while Redis is away."""
        with suppress(RedisUnavailable):
            self._learn(await self._stream.new())
            self._reads.read_stream()

    async def read_table(self) -> None:
        """Learn what is in the table, add what it lacks, and drop what is over; nothing while the ledger is away."""
        known = self.known.all()  # before the table is read: what is added meanwhile may be missing there
        found = await self._bulkhead.ask(self._table.all)
        self.known.drop_expired(self.now_ms())
        self.has_read_table = not isinstance(found, Failure)
        if isinstance(found, Failure):
            return
        self._learn(found)
        self._reads.read_table()
        await self._add_missing(known, found)

    async def _add_missing(self, known: Sequence[Revocation], found: Sequence[Revocation]) -> None:
        """Until the first one that the ledger does not take; the next read tries again."""
        recorded = Revocations()
        recorded.add(found)
        for revocation in self._alive(known):
            if not recorded.covers(revocation):
                added = await self._bulkhead.ask(partial(self._table.add, revocation))
                if isinstance(added, Failure):
                    return

    def _learn(self, found: Sequence[Revocation]) -> None:
        self.known.add(self._alive(found))

    def _alive(self, revocations: Sequence[Revocation]) -> list[Revocation]:
        now_ms = self.now_ms()
        return [revocation for revocation in revocations if revocation.expires_ms > now_ms]
