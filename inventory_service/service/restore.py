"""Opens shards that do not open by themselves, by a take-over each, which loads from the ledger what it may.

Safe to repeat, also after a crash at any step, and beside relays, which do the same for what needs no operator.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import NamedTuple

from holdfast_runtime.retry import Backoff
from inventory_service.domain.restore import Comparison, Permission, remedy
from inventory_service.domain.shard_ports import LedgerRows, Shards
from inventory_service.domain.shards import ServerUnavailable, check_shard_count
from inventory_service.service import audit
from inventory_service.service.relay.takeover import Ending, Findings, ShardTakeover

STALL_S = 120.0  # without any progress, of the ledger or of a load, before a shard is given up
AUDIT_S = 120.0
ERRORS = 8  # in a row, with growing delays, before a server counts as away
RUN_AGAIN = "and run `holdfast restore` again"


class State(StrEnum):
    """How a shard stands at the end of the command."""

    SERVES = "serves"
    ADOPTED = "was opened as it is"
    LOADED = "was loaded from the ledger"
    WOULD_ADOPT = "would be opened as it is"
    WOULD_LOAD = "would be loaded from the ledger"
    DIFFERS = "was loaded from the ledger and differs from it"
    NEEDS_CONSENT = "is not opened"
    UNKNOWN = "could not be opened"


WELL = frozenset({State.SERVES, State.ADOPTED, State.LOADED, State.WOULD_ADOPT, State.WOULD_LOAD})


@dataclass
class ShardResult:
    """What became of one shard."""

    shard: int
    state: State
    why: str = ""
    epoch: int = 0  # the new one, if it was opened
    orphans: int = 0  # changes that were dropped, and are listed by `holdfast orphans`
    differences: list[str] = field(default_factory=list)  # that an audit found after a load

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
    takeover: ShardTakeover
    audit: audit.Dependencies
    write: Callable[[str], None]  # gets the result


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
    restore = _Restore(dependencies, options)
    results = await asyncio.gather(*(restore.result_of(shard) for shard in shards))
    code = _exit_code(results)
    if options.as_json:
        dependencies.write(json.dumps({"serving": not code, "shards": [asdict(result) for result in results]}))
    else:
        dependencies.write("\n".join(map(str, results)))
    return code


def _exit_code(results: "list[ShardResult]") -> int:
    states = {result.state for result in results}
    if State.UNKNOWN in states:
        return 2
    return 0 if states <= WELL else 1


class _Restore:
    """The restore of one shard after the other."""

    def __init__(self, dependencies: Dependencies, options: Options) -> None:
        self._dependencies = dependencies
        self._options = options

    async def result_of(self, shard: int) -> ShardResult:
        if self._options.dry_run:
            return await self._retried(shard, self._preview)
        try:
            async with self._while_it_moves(shard):
                return await self._retried(shard, self._open)
        except TimeoutError:
            return ShardResult(shard, State.UNKNOWN, await self._where_it_stands(shard))

    async def _retried(
        self, shard: int, attempt: "Callable[[int], asyncio.Future[ShardResult | None]]"
    ) -> ShardResult:
        """The first result; an attempt that has none was overtaken by another process."""
        delay, errors = Backoff(first_s=0.05, longest_s=1.0), 0
        while True:
            try:
                result = await attempt(shard)
            except ServerUnavailable as error:
                errors += 1
                if errors == ERRORS:
                    away = f"{error.server} does not answer: {error}; start it, {RUN_AGAIN}"
                    return ShardResult(shard, State.UNKNOWN, away)
            else:
                if result is not None:
                    return result
                errors = 0
            await delay.wait()
