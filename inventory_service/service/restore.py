"""Opens shards that do not open by themselves, by a take-over each, which loads from the ledger what it may.

Safe to repeat, also after a crash at any step, and beside relays, which do the same for what needs no operator.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import NamedTuple

from holdfast_runtime.retry import Backoff
from inventory_service.domain.restore import Comparison, Permission
from inventory_service.domain.shard_ports import CommitOffsets, LedgerRows, Shards
from inventory_service.domain.shards import ServerUnavailable
from inventory_service.service import audit
from inventory_service.service.relay.takeover import Ending, ShardTakeover
from inventory_service.service.relay.tasks import running
from inventory_service.service.relay.turn import ShardTurn

WATCH_S = 1.0
STALL_S = 120.0  # without any progress, of the ledger or of a load, before a shard is given up
AUDIT_S = 20.0  # from when the shard serves: one whose sales get calls all the time is not audited
ERRORS = 8  # in a row, with growing delays, before a server counts as away
RUN_AGAIN = "and run `holdfast restore` again"
NOTHING_KNOWN = "neither store has anything of it, nor Kafka all of it: run `holdfast init`"


class State(StrEnum):
    """How a shard stands at the end of the command."""

    SERVES = "serves"
    ADOPTED = "was opened as it is"
    LOADED = "was loaded from the ledger"
    WOULD_ADOPT = "would be opened as it is"
    WOULD_LOAD = "would be loaded from the ledger"
    DIFFERS = "serves, and differs from the ledger"
    NOT_AUDITED = "serves, and was not compared with the ledger"
    NEEDS_CONSENT = "is not opened"
    UNKNOWN = "could not be opened"


SUCCESSES = frozenset(State) - {State.DIFFERS, State.NEEDS_CONSENT, State.UNKNOWN}


@dataclass
class ShardResult:
    """What became of one shard."""

    shard: int
    state: State
    why: str = ""
    epoch: int = 0  # the new one, if it was opened
    orphans: int = 0  # changes that were dropped, and are listed by `holdfast orphans`
    differences: list[str] = field(default_factory=list)  # that an audit found afterwards

    def __str__(self) -> str:
        """A line for a person."""
        parts = [f"shard {self.shard} {self.state.value}", self.why, "; ".join(self.differences)]
        if self.orphans:
            parts.append(f"{self.orphans} dropped changes are listed by `holdfast orphans`")
        return ": ".join(part for part in parts if part)


class Dependencies(NamedTuple):
    """The ports of a restore, and its outputs."""

    shards: Shards
    ledger: LedgerRows
    offsets: CommitOffsets
    takeover: ShardTakeover
    audit: audit.Dependencies
    write: Callable[[str], None]  # gets the result
    monotonic: Callable[[], float]


class Options(NamedTuple):
    """What to open, and what may be loaded for it."""

    shard_count: int
    only: int | None  # one shard; None: all
    permission: Permission
    dry_run: bool
    as_json: bool


async def run(dependencies: Dependencies, options: Options) -> int:
    """The exit code: 0 if all serve, 1 if a loss must be accepted or an audit differs, 2 if a server is away."""
    shards = range(options.shard_count) if options.only is None else [options.only]
    results = await asyncio.gather(*(_ShardRestore(shard, dependencies, options).result() for shard in shards))
    code = _exit_code(results)
    if options.as_json:
        dependencies.write(json.dumps({"serving": not code, "shards": [asdict(result) for result in results]}))
    else:
        dependencies.write("\n".join(map(str, results)))
    return code


def _exit_code(results: Sequence[ShardResult]) -> int:
    states = {result.state for result in results}
    if State.UNKNOWN in states:
        return 2
    return 0 if states <= SUCCESSES else 1


class _ShardRestore:
    """Opens one shard."""

    def __init__(self, shard: int, dependencies: Dependencies, options: Options) -> None:
        self._shard = shard
        self._shards, self._ledger, self._offsets, self._takeover, self._audit, _, monotonic = dependencies
        self._permission, self._options = options.permission, options
        self._turn = ShardTurn(shard, self._shards, self._takeover, monotonic)
        self._was_closed = False

    async def result(self) -> ShardResult:
        """How the shard stands at the end."""
        if self._options.dry_run:
            return await self._first_of(self._preview)
        try:
            async with self._while_it_moves():
                result = await self._first_of(self._open)
        except TimeoutError:
            return self._result(State.UNKNOWN, await self._where_it_stands())
        by_another_process = result.state is State.SERVES and self._was_closed
        return await self._audited(result) if result.state is State.LOADED or by_another_process else result

    async def _first_of(self, attempt: Callable[[], Awaitable[ShardResult | None]]) -> ShardResult:
        """The first result; an attempt that has none was overtaken by another process, or left the shard to it."""
        delay, errors = Backoff(first_s=0.05, longest_s=1.0), 0
        while True:
            try:
                result = await attempt()
            except ServerUnavailable as error:
                errors += 1
                if errors == ERRORS:
                    return self._result(State.UNKNOWN, error.describe(RUN_AGAIN))
            else:
                if result is not None:
                    return result
                errors = 0
            await delay.wait()

    async def _open(self) -> ShardResult | None:
        """One attempt."""
        status, row = await self._shards.status(self._shard), await self._ledger.row(self._shard)
        if status.serving and not self._permission.force:
            return self._result(State.SERVES)
        self._was_closed = True
        if row is None:
            if status.blank and not await self._kafka_has_all():
                return self._result(State.NEEDS_CONSENT, NOTHING_KNOWN)
            await self._ledger.read_again(self._shard, self._options.shard_count)
        attempt = await self._turn.attempt(status, self._permission)
        if attempt is None:
            return None
        if attempt.ending in (Ending.LOADED, Ending.ADOPTED):
            state = State.LOADED if attempt.ending is Ending.LOADED else State.ADOPTED
            return ShardResult(self._shard, state, "", attempt.epoch, attempt.orphans)
        if attempt.ending in (Ending.NEEDS_RESTORE, Ending.LEDGER_REFUSES):
            return self._result(State.NEEDS_CONSENT, attempt.detail)
        if attempt.ending is Ending.NEWER_EPOCH:
            await self._takeover.freeze_if_ledger_went_back(self._shard)
        return None

    async def _kafka_has_all(self) -> bool:
        """Whether Kafka still has every record of the shard since its first one, and there is one."""
        beginning, end = await self._offsets.offsets(self._shard)
        return beginning == 0 < end

    async def _audited(self, result: ShardResult) -> ShardResult:
        found = await audit.audit_shard(self._audit, self._shard, AUDIT_S)
        if isinstance(found, str):
            result.state, result.why = State.NOT_AUDITED, f"{found}: run `holdfast audit` once it gets fewer calls"
        elif found.differences:
            result.state, result.differences = State.DIFFERS, [str(difference) for difference in found.differences]
        return result

    async def _preview(self) -> ShardResult:
        """What `_open` would do, as far as the ledger has read what Kafka has."""
        status = await self._shards.status(self._shard)
        if status.serving and not self._permission.force:
            return self._result(State.SERVES)
        found = await self._takeover.preview(status)
        if found is None:
            if status.blank and not await self._kafka_has_all():
                return self._result(State.NEEDS_CONSENT, NOTHING_KNOWN)
            return self._result(State.WOULD_LOAD, "the ledger has no row of it, and reads what Kafka has first")
        why = f"Redis is {found.comparison.value}"
        if found.objections:
            why = "; ".join(found.objections)
        if not self._permission.allows(found.comparison, found.known_lost):
            why = found.row.frozen_reason if found.ledger_refuses else why
            return self._result(State.NEEDS_CONSENT, f"{why}; {found.remedy}")
        adopts = found.comparison is Comparison.EQUAL and not self._permission.force
        return self._result(State.WOULD_ADOPT if adopts else State.WOULD_LOAD, why)

    def _result(self, state: State, why: str = "") -> ShardResult:
        return ShardResult(self._shard, state, why)

    @asynccontextmanager
    async def _while_it_moves(self) -> AsyncIterator[None]:
        """TimeoutError once neither the ledger nor a load has moved for a while."""
        async with asyncio.timeout(STALL_S) as deadline, running(self._extend(deadline)):
            yield

    async def _extend(self, deadline: asyncio.Timeout) -> None:
        """Time counts from the last movement, and not while the shard waits for the loads of others to end."""
        before: object = None
        while True:
            with suppress(ServerUnavailable):
                now = await self._positions()
                if deadline.expired():
                    return  # what it limits has yet to end
                if now != before or self._turn.waits_for_slot:
                    before = now
                    deadline.reschedule(asyncio.get_running_loop().time() + STALL_S)
            await asyncio.sleep(WATCH_S)

    async def _positions(self) -> tuple[object, ...]:
        status, row = await self._shards.status(self._shard), await self._ledger.row(self._shard)
        return status.parts, status.renewals, status.serving, row and (row.commit_id, row.read_offset)

    async def _where_it_stands(self) -> str:
        with suppress(ServerUnavailable):
            row = await self._ledger.row(self._shard)
            if row is not None:
                stands = f"the ledger stands at commit {row.commit_id} and has read its records up to {row.read_offset}"
                return f"{stands}; check that `holdfast persist` and `holdfast relay` run, {RUN_AGAIN}"
        return f"nothing has moved for {STALL_S:g} s; {RUN_AGAIN}"
